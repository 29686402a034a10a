//! The local cloud: everything below AWS's API line that a drill needs, started and stopped as a
//! whole.
//!
//! The order of a start is: check the machine, emulator, network (gateway and links), RDS, hosts,
//! DNS, capture server; then what an operator would do: deploy both regions, create the databases,
//! apply the plan, and activate the first site by `lifeboat init`. Dropping a [`Lab`] at any point ends all that it started.

mod aws;
mod capture;
mod config;
mod databases;
mod deploy;
mod disaster;
mod emulator;
mod more_hosts;
mod objects;
mod preflight;
mod site_files;
mod site_hosts;
mod sites;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use lifeboat_lab_dns::{DnsConfig, DnsHandle, DnsServer};
use lifeboat_lab_gateway::{
    gateway::{self, CallerListener, GatewayConfig, GatewayHandle, Upstreams},
    links::{self, LinkConfig, LinksConfig, LinksHandle},
};
use lifeboat_lab_hosts::{HostsConfig, HostsServer};
use lifeboat_lab_rds::{RdsConfig, RdsHandle, RdsServer};

pub use aws::Aws;
pub use capture::{Capture, Captured};
pub use config::{
    ACTIVE, APP, DNS, MoreHost, MoreKind, SITES, STANDBY, SiteConfig, WITNESS_REGION, addresses,
};
pub use disaster::Mode;
use emulator::Emulator;
pub use objects::backup_bucket;
pub(crate) use preflight::FUNCTIONS;
pub(crate) use site_hosts::host_role;
pub use sites::ALIASED_RTO_SECONDS;
use sites::Passwords;

use crate::say::Work;

/// Why the lab does not start, or a drill cannot go on: one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LabError(pub String);

impl LabError {
    /// An error with this line.
    pub fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    /// What was being done, and what went wrong with all its causes.
    pub fn from_error(doing: &str, error: &dyn std::error::Error) -> Self {
        let mut line = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            line.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self(line)
    }
}

/// What kind of lab.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The standby holds every acknowledged write (`engine = "postgres"`), at the price of waiting.
    pub synchronous: bool,
    /// Traffic is moved by changing records instead of by a health check.
    pub switch_by_record: bool,
    /// The sites are behind load balancers, which the name leads to by alias records.
    pub aliased: bool,
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    /// The checkout.
    pub root: PathBuf,
    /// Where the lab keeps everything: `target/lab` in the checkout.
    pub home: PathBuf,
    /// What it was started with.
    pub options: Options,
    /// The gateway: faults, dark regions, call log.
    pub gateway: GatewayHandle,
    /// The network links.
    pub links: LinksHandle,
    /// RDS.
    pub rds: RdsHandle,
    /// Hosts and Run Command.
    pub hosts: HostsServer,
    /// Route 53's data plane.
    pub dns: DnsHandle,
    /// What people would have received.
    pub capture: Capture,
    /// Calls from outside any region.
    pub aws: Aws,
    emulator: Emulator,
    passwords: Passwords,
    /// The zone of the load balancers' names, once there is one.
    load_balancers: OnceLock<String>,
    /// Where our own programs are.
    bin: PathBuf,
}

impl Lab {
    /// Starts everything and brings it to where site `a` serves and both regions watch.
    ///
    /// # Errors
    /// One line that says what to do; nothing is left behind.
    pub async fn start(root: &Path, options: Options) -> Result<Self, LabError> {
        let work = Work::begin("check this machine");
        let tools = preflight::check(root)?;
        let home = fresh_home(root)?;
        work.done();

        let work = Work::begin("start the cloud: AWS API, network, RDS, hosts, DNS");
        let emulator = Emulator::start(root, &home).await?;
        let gateway = gateway::start(gateway_config(root, &home))
            .await
            .map_err(|error| LabError::from_error("start the gateway", &error))?;
        let links = links::start(links_config())
            .await
            .map_err(|error| LabError::from_error("start the network links", &error))?;
        let rds = RdsServer::start(RdsConfig {
            // RDS takes up to 300 s, which a rehearsal need not wait for: nothing is measured by it.
            archive_every: Duration::from_secs(30),
            ..RdsConfig::lab(home.join("rds"))
        })
        .await
        .map_err(|error| LabError::from_error("start RDS", &error))?;
        let hosts = HostsServer::start(HostsConfig::default())
            .await
            .map_err(|error| LabError::from_error("start the hosts", &error))?;
        let dns = DnsServer::start(DnsConfig::default())
            .await
            .map_err(|error| LabError::from_error("start DNS", &error))?;
        let aws = Aws::new(root, config::OPERATOR_GATEWAY);
        let capture = Capture::start(config::CAPTURE, aws.clone()).await?;
        work.done();

        let passwords = Passwords::new()?;
        let lab = Self {
            root: root.to_path_buf(),
            home,
            options,
            gateway,
            links,
            rds,
            hosts,
            dns,
            capture,
            aws,
            emulator,
            passwords,
            load_balancers: OnceLock::new(),
            bin: tools.bin.clone(),
        };
        match lab.bring_up(&tools).await {
            Ok(()) => Ok(lab),
            Err(error) => {
                lab.stop().await;
                Err(error)
            }
        }
    }

    async fn bring_up(&self, tools: &preflight::Tools) -> Result<(), LabError> {
        let zone = self.deploy(tools).await?;
        self.start_sites(tools, &zone).await
    }

    /// Stops everything, in the order in which nothing is missed: hosts and databases first.
    pub async fn stop(self) {
        let Self { gateway, links, rds, mut hosts, dns, capture, emulator, .. } = self;
        if let Err(error) = hosts.stop().await {
            crate::say::error(&format!("stop the hosts: {error}"));
        }
        rds.stop().await;
        emulator.stop().await;
        capture.stop().await;
        dns.stop().await;
        links.stop().await;
        gateway.stop().await;
    }
}

/// An empty `target/lab`.
fn fresh_home(root: &Path) -> Result<PathBuf, LabError> {
    let home = root.join("target/lab");
    let fail = |error: std::io::Error| LabError::from_error(&home.display().to_string(), &error);
    match std::fs::remove_dir_all(&home) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    std::fs::create_dir_all(&home).map_err(fail)?;
    Ok(home)
}

fn gateway_config(root: &Path, home: &Path) -> GatewayConfig {
    let mut callers: Vec<CallerListener> = SITES
        .iter()
        .map(|site| CallerListener { caller: site.region.to_owned(), listen: site.gateway() })
        .collect();
    callers
        .push(CallerListener { caller: "operator".to_owned(), listen: config::OPERATOR_GATEWAY });
    let upstreams = Upstreams {
        emulator: config::EMULATOR,
        rds: config::RDS,
        ssm: config::SSM,
        dns_status: config::DNS_STATUS,
    };
    let host_tags = SITES
        .iter()
        .flat_map(|site| {
            let all = [site.host].into_iter().chain(site.more.iter().map(|host| host.id));
            all.map(|id| (id.to_owned(), site_hosts::tags(site)))
        })
        .collect();
    GatewayConfig {
        host_tags,
        call_log: Some(home.join("calls.jsonl")),
        models: Some(root.join("target/tools/venv")),
        ..GatewayConfig::new(callers, config::GATEWAY_ADMIN, upstreams)
    }
}

/// A link from every region to every service of every site.
fn links_config() -> LinksConfig {
    let links = SITES.iter().flat_map(|from| {
        SITES.iter().flat_map(move |to| {
            to.services().map(move |(service, target)| LinkConfig {
                name: format!("{}->{}:{service}", from.region, to.name),
                listen: SocketAddr::new(
                    [127, 0, from.number * 10 + to.number, config::last_octet(target)].into(),
                    target.port(),
                ),
                target,
            })
        })
    });
    LinksConfig { admin: Some(config::LINKS_ADMIN), links: links.collect() }
}
