//! How long a call between regions may take, from the round trip that the plan reckons with.
//!
//! A limit that is too short makes a healthy region look dark; one that is too long is waited for in
//! every disaster. So none is a guess:
//!
//! - A cold call takes **four** round trips: TCP's handshake (RFC 9293, section 3.5), two for TLS 1.2
//!   (RFC 5246, section 7.3; TLS 1.3 takes one), and the request with its answer.
//! - Another request on a connection that is open takes **one**.
//! - Each request is answered [`SERVICE_MS`] later than the network alone would have it.
//!
//! At the default of 250 ms a cold call has 4 x 250 + 200 = 1200 ms.

use std::time::Duration;

/// What a service takes for a small request, in milliseconds: S3 answers small objects within 100 to
/// 200 ms (S3 user guide, "Best practices design patterns: optimizing Amazon S3 performance").
pub const SERVICE_MS: u32 = 200;

/// Round trips of a call that has to connect first.
const COLD_TRIPS: u32 = 4;

/// A round trip between two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoundTrip {
    ms: u32,
}

impl RoundTrip {
    /// What is reckoned with where the plan says nothing: more than between any two regions of
    /// one continent, and than between North America, Europe and East Asia.
    pub const DEFAULT_MS: u32 = 250;

    /// The longest that a plan may reckon with. A guard must be able to make two ticks, each with a
    /// cold read of the other region, while a permit lasts ([`crate::permit::PERMIT_SECONDS`], 3 s):
    /// 2 x (4 x 300 + 200) = 2800 ms, and 200 ms for the host itself.
    pub const LONGEST_MS: u32 = 300;

    /// A round trip of so many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u32) -> Self {
        Self { ms }
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u32 {
        self.ms
    }

    /// What one call may take that has to connect first.
    #[must_use]
    pub const fn cold_call(self) -> Duration {
        millis(COLD_TRIPS * self.ms + SERVICE_MS)
    }

    /// What one more request may take on a connection that is open.
    #[must_use]
    pub const fn warm_call(self) -> Duration {
        millis(self.ms + SERVICE_MS)
    }

    /// What `requests` may take one after the other, the first of which has to connect.
    #[must_use]
    pub const fn calls(self, requests: u32) -> Duration {
        millis(requests * (self.ms + SERVICE_MS) + (COLD_TRIPS - 1) * self.ms)
    }
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self::from_ms(Self::DEFAULT_MS)
    }
}

const fn millis(ms: u32) -> Duration {
    // Lossless: `Duration::from_millis` takes more than a `u32`, and `u64::from` is not const.
    Duration::new((ms / 1000) as u64, ms % 1000 * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permit::PERMIT_SECONDS;

    #[test]
    fn limits_follow_from_the_round_trip() {
        let default = RoundTrip::default();
        assert_eq!(default.cold_call(), Duration::from_millis(1200));
        assert_eq!(default.warm_call(), Duration::from_millis(450));
        assert_eq!(default.calls(1), default.cold_call());
        assert_eq!(default.calls(2), default.cold_call() + default.warm_call());
        assert_eq!(RoundTrip::from_ms(0).cold_call(), Duration::from_millis(200));
    }

    #[test]
    fn two_ticks_of_a_guard_fit_into_a_permit_however_long_the_round_trip() {
        let longest = RoundTrip::from_ms(RoundTrip::LONGEST_MS);
        let permit = Duration::from_secs(PERMIT_SECONDS.unsigned_abs());
        assert!(2 * longest.cold_call() + Duration::from_millis(200) <= permit);
        assert!(
            2 * RoundTrip::from_ms(RoundTrip::LONGEST_MS + 1).cold_call()
                > permit - Duration::from_millis(200)
        );
    }
}
