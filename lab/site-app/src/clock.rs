//! The one place of this crate that reads the clock or pauses.

use std::time::Duration;

use jiff::Timestamp;

/// The time now, by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "a server acts in real time; this is its only clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Waits: the lab's slow-primary fault is an answer that comes late.
#[expect(clippy::disallowed_methods, reason = "the fault to simulate is the wait itself")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
