//! Rates at which AWS takes calls, where they bite at the size of the lab.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::call::Call;

/// A bucket of tokens: how many it holds, and how many come back each second.
type Rate = (f64, f64);

/// All operations of Route 53 together, and each by itself, for an account (Route 53 developer guide,
/// "Throttling for Amazon Route 53 API requests"; until July 2026 it was five requests a second for
/// everything).
const ROUTE53: Rate = (50.0, 10.0);

/// The operations of Route 53 that have a lower rate of their own (the same page).
const ROUTE53_OPERATIONS: [(&str, Rate); 8] = [
    ("AssociateVPCWithHostedZone", (20.0, 5.0)),
    ("CreateHealthCheck", (50.0, 0.5)),
    ("CreateHostedZone", (40.0, 2.0)),
    ("DeleteHealthCheck", (15.0, 3.0)),
    ("DeleteHostedZone", (40.0, 5.0)),
    ("DisassociateVPCFromHostedZone", (10.0, 5.0)),
    ("GetHealthCheckLastFailureReason", (4.0, 1.0)),
    ("GetHealthCheckStatus", (4.0, 1.0)),
];

/// What the account has left; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    route53: Arc<Mutex<Route53>>,
}

#[derive(Debug, Default)]
struct Route53 {
    account: Bucket,
    operations: HashMap<String, Bucket>,
}

impl Limits {
    /// Whether the service still takes this call.
    pub(super) fn takes(&self, call: &Call, now: Instant) -> bool {
        call.service != "route53"
            || self
                .route53
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .takes(&call.operation, now)
    }
}

impl Route53 {
    /// A request takes a token from both buckets, and is throttled when either is empty.
    fn takes(&mut self, operation: &str, now: Instant) -> bool {
        let rate = ROUTE53_OPERATIONS.iter().find(|(name, _)| *name == operation);
        let rate = rate.map_or(ROUTE53, |(_, rate)| *rate);
        let own = self.operations.entry(operation.to_owned()).or_default();
        if self.account.has(ROUTE53, now) && own.has(rate, now) {
            self.account.take();
            own.take();
            return true;
        }
        false
    }
}

#[derive(Debug, Default)]
struct Bucket {
    /// What is left, and since when; a bucket that nobody used is full.
    left: Option<(f64, Instant)>,
}

impl Bucket {
    /// Fills the bucket up to now; whether it holds a token then.
    fn has(&mut self, (most, per_second): Rate, now: Instant) -> bool {
        let left = match self.left {
            None => most,
            Some((left, since)) => {
                (left + now.saturating_duration_since(since).as_secs_f64() * per_second).min(most)
            }
        };
        self.left = Some((left, now));
        left >= 1.0
    }

    fn take(&mut self) {
        if let Some((left, _)) = &mut self.left {
            *left -= 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of `count` calls pass at this time.
    fn passed(limits: &mut Route53, operation: &str, at: Instant, count: usize) -> usize {
        (0..count).filter(|_| limits.takes(operation, at)).count()
    }

    #[test]
    fn an_account_has_fifty_requests_at_once_and_ten_a_second() {
        let (mut limits, begun) = (Route53::default(), Instant::now());
        assert_eq!(passed(&mut limits, "ListHostedZones", begun, 30), 30);
        assert_eq!(passed(&mut limits, "ListResourceRecordSets", begun, 30), 20);
        let later = begun + Duration::from_millis(1_500);
        assert_eq!(passed(&mut limits, "ChangeResourceRecordSets", later, 30), 15);
        let full = begun + Duration::from_secs(3_600);
        assert_eq!(passed(&mut limits, "ListHostedZones", full, 80), 50);
    }

    #[test]
    fn an_operation_has_a_rate_of_its_own() {
        let (mut limits, begun) = (Route53::default(), Instant::now());
        assert_eq!(passed(&mut limits, "GetHealthCheckStatus", begun, 9), 4);
        assert_eq!(passed(&mut limits, "GetHealthCheck", begun, 9), 9);
        let later = begun + Duration::from_secs(2);
        assert_eq!(passed(&mut limits, "GetHealthCheckStatus", later, 9), 2);
        assert_eq!(passed(&mut limits, "CreateHealthCheck", later, 1), 1);
    }
}
