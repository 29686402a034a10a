//! The one place of this crate that reads the clock. Everything that judges takes `now`.

use jiff::{Timestamp, Unit};

/// The present moment, UTC, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}
