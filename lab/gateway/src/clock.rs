//! The one place of this crate that reads the clock or waits for time to pass.
//!
//! The lab's network is the world outside the product: a delay here *is* the fault that is injected,
//! and a call record is stamped when the call is seen.

use std::time::Duration;

/// The time of day, for call records.
#[expect(clippy::disallowed_methods, reason = "a call record is stamped where the call is seen")]
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Waits for `duration`: the injected delay itself, or the back-off of an accept loop.
#[expect(clippy::disallowed_methods, reason = "the delay is the fault under test")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
