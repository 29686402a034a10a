//! The operator's scripts on a site's hosts.

use std::ops::RangeInclusive;

use super::Report;
use crate::plan_file::Site;

/// Seconds that hooks may be given. Below, no service starts; above, the machine `lifeboat-recover`
/// stops asking before a host is done, which gets 30 s to take the document and is asked about 240
/// times, a second apart at least.
pub const HOOK_SECONDS: RangeInclusive<u32> = 10..=180;

pub(super) fn check(name: &str, site: &Site, report: &mut Report) {
    let Some(seconds) = site.hosts.as_ref().and_then(|hosts| hosts.hook_seconds) else { return };
    if !HOOK_SECONDS.contains(&seconds) {
        let (least, most) = (HOOK_SECONDS.start(), HOOK_SECONDS.end());
        report.add(
            &["sites", name, "hosts", "hook_seconds"],
            format!(
                "use {least} to {most} s, which a hook gets; let one that needs longer start the work \
                 and end, as `systemctl start --no-block` does: the recovery waits \
                 for the site's health checks afterwards"
            ),
        );
    }
}
