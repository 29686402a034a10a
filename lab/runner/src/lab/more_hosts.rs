//! The further hosts of the sites: those that run beside the first, the one that is off, and the one
//! that comes late.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use lifeboat_lab_hosts::{HostSpec, HostState};
use serde_json::Value;

use super::{
    APP, LabError, SiteConfig,
    config::{MoreHost, MoreKind},
    preflight::Tools,
    site_hosts::{app, environment, guard, tags},
};
use crate::lab::Lab;

impl Lab {
    /// The directory of a host of a site.
    #[must_use]
    pub fn home_of(&self, site: &SiteConfig, host: &str) -> PathBuf {
        if host == site.host { self.host_home(site) } else { self.home.join("hosts").join(host) }
    }

    /// Adds the further hosts of a site, and boots those that run.
    pub(super) async fn add_more_hosts(
        &self,
        site: &SiteConfig,
        tools: &Tools,
        credentials: &[(String, String)],
    ) -> Result<(), LabError> {
        for host in site.more {
            self.add_one_more(site, host, tools, credentials)?;
            if host.kind == MoreKind::Running {
                let booted = self.hosts.boot_host(host.id).await;
                booted.map_err(|error| LabError::from_error("boot a host", &error))?;
            }
        }
        Ok(())
    }

    fn add_one_more(
        &self,
        site: &SiteConfig,
        host: &MoreHost,
        tools: &Tools,
        credentials: &[(String, String)],
    ) -> Result<(), LabError> {
        let home = self.home_of(site, host.id);
        let password_file = self.prepare(&home)?;
        let mut spec = HostSpec {
            tags: tags(site),
            env: environment(tools, credentials),
            services: vec![
                guard(site, tools, &home),
                app(site, tools, &home, &password_file, site.app_of(host)),
            ],
            ..HostSpec::new(host.id, &format!("queue-{}", site.name), site.region, &home)
        };
        if host.kind == MoreKind::Late {
            let hook = home.join("join.sh");
            fs::write(&hook, join_script(site))
                .and_then(|()| fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)))
                .map_err(|error| LabError::from_error(&hook.display().to_string(), &error))?;
            spec.boot_hook = Some(hook);
        }
        let added = self.hosts.add_host(spec);
        added
            .and_then(|()| self.hosts.write_hooks(host.id, APP, &["guard", "app"]))
            .map_err(|error| LabError::from_error("add a host", &error))
    }

    /// Boots the hosts of a site that come late; each has joined when this returns.
    ///
    /// # Errors
    /// One of them did not join.
    pub async fn boot_late(&self, site: &SiteConfig) -> Result<(), LabError> {
        for host in site.hosts_that(MoreKind::Late) {
            let booted = self.hosts.boot_host(host.id).await;
            booted.map_err(|error| LabError::from_error("boot a late host", &error))?;
        }
        Ok(())
    }

    /// What `site.json` on a host says: role and epoch; none when there is none.
    #[must_use]
    pub fn site_role(&self, site: &SiteConfig, host: &str) -> Option<(String, u64)> {
        let file = self.home_of(site, host).join(APP).join("site.json");
        let site: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        Some((site.get("role")?.as_str()?.to_owned(), site.get("epoch")?.as_u64()?))
    }

    /// Whether a host is off.
    #[must_use]
    pub fn is_off(&self, host: &str) -> bool {
        self.hosts.host_state(host).is_ok_and(|state| state == HostState::Off)
    }
}

/// What the unit `lifeboat-join@` does on a host with systemd: again, until it can be told.
fn join_script(site: &SiteConfig) -> String {
    let SiteConfig { name, region, .. } = site;
    let peers = site.peers();
    format!(
        "#!/bin/sh\n\
         tries=0\n\
         until \"$LIFEBOAT_BIN\" host join --app {APP} --site {name} --region {region} \\\n  \
         --peer {peers} --ledger-prefix lifeboat-ledger-000000000000 --home \"$LIFEBOAT_HOME\"\n\
         do\n  \
         tries=$((tries + 1))\n  \
         [ \"$tries\" -lt 60 ] || exit 1\n  \
         sleep 1\n\
         done\n"
    )
}
