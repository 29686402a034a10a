//! The only place of this crate that reads the clock or pauses.

use std::time::Duration;

use jiff::Timestamp;

/// The present time, to the millisecond: the precision that the RDS API shows.
#[expect(clippy::disallowed_methods, reason = "the one clock of the lab's RDS")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Pauses between two looks at a state that cannot be awaited otherwise (a process, a server).
#[expect(clippy::disallowed_methods, reason = "bounded polling of processes and servers")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// An RFC 3339 time with milliseconds, as in RDS's XML.
pub(crate) fn iso(time: Timestamp) -> String {
    format!("{time:.3}")
}
