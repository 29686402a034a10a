//! The one clock. Everything else takes `now` as an argument.

use std::time::Duration;

use jiff::Timestamp;

/// The current time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one clock of the functions")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Returns at `at`, or at once when that has passed. Only for pacing (`health-probe`, `lifeboat
/// guard`): waiting for a state belongs to the state machine.
#[expect(clippy::disallowed_methods, reason = "the one place that paces")]
pub async fn pause_until(at: Timestamp) {
    let left = at.duration_since(now());
    tokio::time::sleep(Duration::try_from(left).unwrap_or(Duration::ZERO)).await;
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test]
    async fn a_pause_ends_at_its_time_and_never_waits_for_the_past() {
        let at = now() + SignedDuration::from_millis(20);
        pause_until(at).await;
        assert!(now() >= at);
        tokio::time::timeout(
            Duration::from_millis(500),
            pause_until(now() - SignedDuration::from_hours(1)),
        )
        .await
        .unwrap();
    }
}
