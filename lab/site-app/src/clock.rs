//! The one place of this crate that reads a clock, the host's uptime, which nobody sets, or pauses.

use std::{io, time::Duration};

use crate::permit::Uptime;

/// Waits: the lab's slow-primary fault is an answer that comes late.
#[expect(clippy::disallowed_methods, reason = "the fault to simulate is the wait itself")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// For how long this host has been up, suspension included (proc(5), random(4)).
pub(crate) fn uptime() -> io::Result<Uptime> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let odd = || io::Error::other(format!("/proc/uptime says {text:?}"));
    let seconds: f64 =
        text.split_whitespace().next().and_then(|first| first.parse().ok()).ok_or_else(odd)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an uptime is positive, and its milliseconds fit"
    )]
    let millis = (seconds * 1000.0).round() as u64;
    Ok(Uptime { boot_id: boot_id.trim().to_owned(), millis })
}
