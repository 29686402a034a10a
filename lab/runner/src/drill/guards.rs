//! The guards of a site, ended on every host at once and started again as their unit does it.

use std::time::Duration;

use jiff::Timestamp;
use lifeboat_core::permit::{PERMIT_SECONDS, Permit};
use lifeboat_lab_hosts::HostsError;

use crate::{
    clock,
    lab::{APP, Lab, LabError, SiteConfig},
};

/// The service, as the hosts have it.
const GUARD: &str = "guard";
/// What systemd waits before it starts a guard again that has ended: `RestartSec` of the unit.
const RESTARTS_AFTER: Duration = Duration::from_millis(100);
/// Until every host has a new permit; far above what is measured, so that a permit that is late is
/// measured too.
const PERMITTED_WITHIN: Duration = Duration::from_secs(20);

/// How a guard ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With SIGKILL, as when it crashes; its unit starts it again after [`RESTARTS_AFTER`].
    Killed,
    /// With SIGTERM, as `systemctl restart` ends it. It takes its permit with it, and is started at
    /// once.
    Stopped,
}

/// One restart of all guards of a site.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restart {
    /// When the first guard was ended.
    pub(super) ended_at: Timestamp,
    /// When the first of the permits ends, or ended, that the old guards left behind.
    pub(super) left_until: Timestamp,
    /// When every host was seen with a new permit.
    pub(super) permitted_at: Timestamp,
}

impl Lab {
    /// The permit on a host as it is now; none where there is none.
    pub(super) fn permit(&self, site: &SiteConfig, host: &str) -> Option<Permit> {
        let file = self.home_of(site, host).join(APP).join("permit.json");
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    /// Ends the guard on every host of a site by its process id, and starts it again.
    pub(super) async fn restart_guards(
        &self,
        site: &SiteConfig,
        ending: Ending,
    ) -> Result<Restart, LabError> {
        let ended_at = clock::now();
        let fail = |error: HostsError| LabError::from_error("restart the guards", &error);
        let ended = match ending {
            Ending::Killed => {
                self.each_host(site, |host| self.hosts.kill_service(host, GUARD)).await
            }
            Ending::Stopped => {
                self.each_host(site, |host| self.hosts.stop_service(host, GUARD)).await
            }
        };
        ended.map_err(fail)?;
        let none_runs_at = clock::now();
        let left = site.running().filter_map(|host| Some(self.permit(site, host)?.valid_until));
        let left_until = left.min().unwrap_or(ended_at);
        if ending == Ending::Killed {
            clock::pause(RESTARTS_AFTER).await;
        }
        let started = |host| async move { self.hosts.start_service(host, GUARD).await.map(drop) };
        self.each_host(site, started).await.map_err(fail)?;
        let permitted_at = self.permitted_from(site, none_runs_at).await?;
        Ok(Restart { ended_at, left_until, permitted_at })
    }

    /// Waits until every host of a site has a permit for which the registers were read after this
    /// moment; when that was seen.
    pub(super) async fn permitted_from(
        &self,
        site: &SiteConfig,
        moment: Timestamp,
    ) -> Result<Timestamp, LabError> {
        let lasts = jiff::SignedDuration::from_secs(PERMIT_SECONDS);
        let is_newer = |host| {
            self.permit(site, host).is_some_and(|p| p.valid_until.duration_since(moment) > lasts)
        };
        let seen = clock::find(PERMITTED_WITHIN, || async {
            site.running().all(is_newer).then(clock::now)
        });
        seen.await.ok_or_else(|| {
            let says = |host| {
                let permit = self.permit(site, host);
                format!("{host}: {}", permit.map_or_else(|| "none".to_owned(), |p| p.reason))
            };
            LabError::new(format!(
                "site {} has no new permit on every host within {} s ({})",
                site.name,
                PERMITTED_WITHIN.as_secs(),
                site.running().map(says).collect::<Vec<_>>().join("; ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_started_again_as_soon_as_its_unit_says() {
        let unit = include_str!("../../../../packaging/systemd/lifeboat-guard@.service");
        assert!(unit.contains("Restart=always"));
        assert!(unit.contains(&format!("RestartSec={}ms\n", RESTARTS_AFTER.as_millis())));
    }
}
