//! Rates at which AWS takes calls, where they bite at the size of the lab.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::call::Call;
use super::config::Quotas;

/// Requests that a quota lets through; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    route53: Arc<Mutex<Bucket>>,
}

impl Limits {
    pub(super) fn new(quotas: &Quotas) -> Self {
        Self { route53: Arc::new(Mutex::new(Bucket::new(quotas.route53_per_second))) }
    }

    /// Whether the service still takes this call.
    pub(super) fn takes(&self, call: &Call, now: Instant) -> bool {
        if call.service != "route53" {
            return true;
        }
        self.route53.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

/// So many calls a second, and as many at once.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    left: f64,
    filled: Option<Instant>,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second, filled: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let since = self.filled.map_or(0.0, |filled| (now - filled).as_secs_f64());
        self.filled = Some(now);
        self.left = (self.left + since * self.per_second).min(self.per_second);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn five_calls_a_second_pass_and_the_sixth_does_not() {
        let mut bucket = Bucket::new(5);
        let begun = Instant::now();
        let taken = |bucket: &mut Bucket, at: u64| bucket.take(begun + Duration::from_millis(at));
        assert!((0..5).all(|_| taken(&mut bucket, 0)));
        assert!(!taken(&mut bucket, 0));
        assert!(!taken(&mut bucket, 199));
        assert!(taken(&mut bucket, 400));
        assert_eq!((0..9).filter(|_| taken(&mut bucket, 60_000)).count(), 5);
    }
}
