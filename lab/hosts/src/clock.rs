//! The one place of this crate that reads the clock or pauses.

use std::time::Duration;

use jiff::Timestamp;

/// The time now, by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the lab's hosts run in real time; this is their only clock"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits between two looks at processes that the kernel gives no event for (they are not our children).
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel has no event for the end of another process's child"
)]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Seconds since the epoch, the form of a time in AWS's JSON 1.1.
pub(crate) fn wire(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
