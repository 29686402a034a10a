//! Disasters, and the return of what they took.

use std::time::Duration;

use lifeboat_lab_gateway::{
    gateway::{DarkMode, DarkRegion, FaultAction, FaultRule, Matching},
    links::LinkState,
};
use lifeboat_lab_hosts::HostsError;
use serde::Serialize;

use super::{LabError, SiteConfig};
use crate::lab::Lab;

/// The rule under which Route 53's control plane is dark.
const ROUTE53_RULE: &str = "route53-control-plane";

/// Where Route 53's control plane is.
const ROUTE53_REGION: &str = "us-east-1";

/// The rule under which one region's functions do not reach another region's API.
const CUT_RULE: &str = "cut-off-from-a-region";

/// What the rules begin with under which two regions do not reach each other.
const PART_RULE: &str = "part";

/// How a region dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Processes are killed and connections refused.
    Kill,
    /// Processes are stopped where they stand and connections hang.
    Hang,
}

impl Lab {
    /// The processes of functions in a region: function and process id.
    ///
    /// # Errors
    /// The emulator does not answer.
    pub(crate) async fn function_processes(
        &self,
        region: &str,
    ) -> Result<Vec<(String, u32)>, LabError> {
        let all = self.emulator.workers().await?;
        Ok(all
            .into_iter()
            .filter(|(_, at, _)| at == region)
            .map(|(name, _, id)| (name, id))
            .collect())
    }

    /// Does something to every host of a site that is on when the site is; the first that fails ends
    /// it.
    pub(crate) async fn each_host<W>(
        &self,
        site: &SiteConfig,
        work: impl Fn(&'static str) -> W,
    ) -> Result<(), HostsError>
    where
        W: Future<Output = Result<(), HostsError>>,
    {
        for host in site.running() {
            work(host).await?;
        }
        Ok(())
    }

    /// A whole region at once: its site, its functions, its AWS API in both directions; and Route 53's
    /// control plane, if it is there.
    ///
    /// # Errors
    /// A part of the region survived.
    pub async fn strike(&self, site: &SiteConfig, mode: Mode) -> Result<(), LabError> {
        let dark = match mode {
            Mode::Kill => DarkMode::Refuse,
            Mode::Hang => DarkMode::Hang,
        };
        self.darken(site.region, dark);
        // Changing records is the one way that needs the control plane; see the plan file.
        if site.region == ROUTE53_REGION && !self.options.switch_by_record {
            self.darken_route53(dark)?;
        }
        let fail = |error: &dyn std::error::Error| LabError::from_error("strike the region", error);
        match mode {
            Mode::Kill => {
                let (host, database, functions) = tokio::join!(
                    self.each_host(site, |host| self.hosts.kill_host(host)),
                    self.rds.kill_instance(site.region, site.instance),
                    self.emulator.region(site.region, Some("kill")),
                );
                host.map_err(|error| fail(&error))?;
                database.map_err(|error| fail(&error))?;
                functions
            }
            Mode::Hang => {
                let (host, database, functions) = tokio::join!(
                    self.each_host(site, |host| self.hosts.freeze_host(host)),
                    self.rds.freeze_instance(site.region, site.instance),
                    self.emulator.region(site.region, Some("hang")),
                );
                host.map_err(|error| fail(&error))?;
                database.map_err(|error| fail(&error))?;
                functions
            }
        }
    }

    /// A region's AWS API reaches nobody and answers nobody; of the witness's region that is all.
    pub(crate) fn darken(&self, region: &str, mode: DarkMode) {
        self.gateway.faults().darken(&DarkRegion { region: region.to_owned(), mode });
    }

    /// The region comes back as it was: machines boot (or go on), the API answers again.
    ///
    /// # Errors
    /// A part of the region did not come back.
    pub async fn bring_back(&self, site: &SiteConfig, mode: Mode) -> Result<(), LabError> {
        let fail =
            |error: &dyn std::error::Error| LabError::from_error("bring the region back", error);
        self.gateway.faults().lighten(site.region);
        self.emulator.region(site.region, None).await?;
        match mode {
            Mode::Kill => {
                self.rds
                    .start_instance_again(site.region, site.instance)
                    .await
                    .map_err(|error| fail(&error))?;
                self.each_host(site, |host| self.hosts.boot_host(host))
                    .await
                    .map_err(|error| fail(&error))
            }
            Mode::Hang => {
                self.rds.thaw_instance(site.region, site.instance).map_err(|error| fail(&error))?;
                self.each_host(site, |host| self.hosts.thaw_host(host))
                    .await
                    .map_err(|error| fail(&error))
            }
        }
    }

    /// A site's database dies.
    ///
    /// # Errors
    /// There is no such instance.
    pub(crate) async fn take_database_away(&self, site: &SiteConfig) -> Result<(), LabError> {
        let killed = self.rds.kill_instance(site.region, site.instance).await;
        killed.map(drop).map_err(|error| LabError::from_error("take the database away", &error))
    }

    /// It is back as it was.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn give_database_back(&self, site: &SiteConfig) -> Result<(), LabError> {
        let started = self.rds.start_instance_again(site.region, site.instance).await;
        started.map(drop).map_err(|error| LabError::from_error("give the database back", &error))
    }

    /// Route 53's control plane answers nobody; its data plane goes on.
    fn darken_route53(&self, mode: DarkMode) -> Result<(), LabError> {
        let action = match mode {
            DarkMode::Refuse => FaultAction::Refuse,
            DarkMode::Hang => FaultAction::Hang,
        };
        let rule = FaultRule {
            id: ROUTE53_RULE.to_owned(),
            matching: Matching { service: Some("route53".to_owned()), ..Matching::default() },
            action,
        };
        self.gateway
            .faults()
            .add(rule)
            .map(|_| ())
            .map_err(|error| LabError::from_error("darken Route 53", &error))
    }

    /// Route 53's control plane answers again.
    pub fn lighten_route53(&self) {
        self.gateway.faults().remove(ROUTE53_RULE);
    }

    /// Calls from one region's functions to the AWS API of another hang.
    ///
    /// # Errors
    /// The gateway does not take the rule.
    pub fn cut_off(&self, caller: &str, region: &str) -> Result<(), LabError> {
        let (caller, region) = (Some(caller.to_owned()), Some(region.to_owned()));
        let rule = FaultRule {
            id: CUT_RULE.to_owned(),
            matching: Matching { caller, region, ..Matching::default() },
            action: FaultAction::Hang,
        };
        let added = self.gateway.faults().add(rule).map(|_| ());
        added.map_err(|error| LabError::from_error("cut a region off", &error))
    }

    /// They are answered again.
    pub fn rejoin(&self) {
        self.gateway.faults().remove(CUT_RULE);
    }

    /// Nothing passes between these regions any more, neither to the AWS API nor on the private links;
    /// what is in each of them goes on.
    ///
    /// # Errors
    /// The gateway does not take the rule.
    pub fn part(&self, pairs: &[(&str, &str)]) -> Result<(), LabError> {
        for (from, to) in pairs {
            let matching = Matching {
                caller: Some((*from).to_owned()),
                region: Some((*to).to_owned()),
                ..Matching::default()
            };
            let id = format!("{PART_RULE}:{from}:{to}");
            let rule = FaultRule { id, matching, action: FaultAction::Hang };
            let added = self.gateway.faults().add(rule).map(|_| ());
            added.map_err(|error| LabError::from_error("part two regions", &error))?;
            if let Some(site) = super::SITES.iter().find(|site| site.region == *to) {
                self.links.links().set_prefix(&format!("{from}->{}", site.name), LinkState::Hang);
            }
        }
        Ok(())
    }

    /// It passes again.
    pub fn reunite(&self, pairs: &[(&str, &str)]) {
        for (from, to) in pairs {
            self.gateway.faults().remove(&format!("{PART_RULE}:{from}:{to}"));
            if let Some(site) = super::SITES.iter().find(|site| site.region == *to) {
                self.links.links().set_prefix(&format!("{from}->{}", site.name), LinkState::Up);
            }
        }
    }

    /// What the active site's database sends to the standby's region is held back, replication
    /// first of all: what is acknowledged from now on is not carried over.
    ///
    /// # Errors
    /// There is no such link.
    pub fn stall_replication(&self, on: bool) -> Result<(), LabError> {
        let name = format!("{}->{}:postgres", super::STANDBY.region, super::ACTIVE.name);
        let state = if on { LinkState::StallAnswers } else { LinkState::Up };
        self.links
            .links()
            .set(&name, state)
            .map_err(|error| LabError::from_error("stall replication", &error))
    }

    /// A region loses sight of everything, its own site included; its AWS API still answers.
    pub fn blind(&self, region: &str) {
        self.links.links().set_prefix(&format!("{region}->"), LinkState::Hang);
    }

    /// The app of a site answers this much later.
    ///
    /// # Errors
    /// The host's directory cannot be written.
    pub fn slow_down(&self, site: &SiteConfig, by: Duration) -> Result<(), LabError> {
        let file = self.host_home(site).join("slow");
        std::fs::write(&file, by.as_millis().to_string())
            .map_err(|error| LabError::from_error(&file.display().to_string(), &error))
    }
}
