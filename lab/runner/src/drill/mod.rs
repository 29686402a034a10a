//! The drills: a disaster, the recovery by the real machine, and what was achieved.

mod abort;
mod approval;
mod backups;
mod canary;
mod evidence;
mod false_alarm;
mod follow;
mod guards;
mod hosts;
pub mod models;
mod outage;
mod owners;
mod partition;
mod register_lost;
mod registers;
mod rounds;
mod stuck;

use std::{
    net::{IpAddr, TcpListener},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde::Serialize;

use false_alarm::Trouble;
use register_lost::Lost;

use crate::{
    client::{Client, ClientConfig, ClientHandle, SUSTAINED, Write},
    lab::{ACTIVE, DNS, Lab, LabError, Mode, Options},
    report::{self, DnsAnswer, DrillEvidence, DrillReport, Palette, Verdict},
    say,
};

/// Writes that the client sends each second.
const WRITES_PER_SECOND: u32 = 20;

/// What happens in a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The active region dies; users must be served from the other one.
    RegionOutage,
    /// The standby region loses sight of everything: no failover.
    StandbyBlind,
    /// The active site answers in 3 s: no failover.
    SlowPrimary,
    /// The active site's database is away for as long as a failover within its region takes, and a
    /// verdict has to hold for longer: no failover to another region.
    MultiAzFailover,
    /// The active region dies, and an operator starts the recovery at the same moment as the alarm,
    /// twice: one recovery, one epoch.
    DoubleStart,
    /// The active region dies, and a person stops the recovery behind each step: it goes on.
    Abort,
    /// The active region dies, and the standby's database is away when it is to be promoted, for longer
    /// than the RTO: somebody is paged, and it goes on when the database is back.
    PromotionStuck,
    /// An operator leaves a site that answers; a person approves, and the old site is fenced.
    Approval,
    /// The link between the regions is cut, and both sites live: never do both write, and one does
    /// wherever a majority of the registers can be seen.
    Partition,
    /// The witness's region is dark, and every guard of the active site is started again: nothing
    /// comes of it.
    WitnessLost,
    /// The standby's region is dark, and every guard of the active site is started again: nothing
    /// comes of it.
    PeerLost,
    /// Every kind of backup is taken on its schedule, proven by restoring it, and swept.
    BackupCycle,
    /// A byte is flipped in the newest backup of each kind: it must be found, and not restored.
    CorruptBackup,
}

impl Scenario {
    /// The name of the drill and of its files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RegionOutage => "region-outage",
            Self::StandbyBlind => "standby-blind",
            Self::SlowPrimary => "slow-primary",
            Self::MultiAzFailover => "multi-az-failover",
            Self::DoubleStart => "double-start",
            Self::Abort => "abort",
            Self::PromotionStuck => "promotion-stuck",
            Self::Approval => "approval",
            Self::Partition => "partition",
            Self::WitnessLost => "witness-lost",
            Self::PeerLost => "peer-lost",
            Self::BackupCycle => "backup-cycle",
            Self::CorruptBackup => "corrupt-backup",
        }
    }

    const fn is_about_backups(self) -> bool {
        matches!(self, Self::BackupCycle | Self::CorruptBackup)
    }
}

/// Who sees the third register while the regions do not see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessSeen {
    /// Both regions.
    Both,
    /// The active one only.
    Active,
    /// The standby's only.
    Standby,
    /// Neither.
    Neither,
}

impl WitnessSeen {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Neither => "neither",
        }
    }
}

/// When the link of a partition is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Heals {
    /// When what came of it has settled.
    Settled,
    /// As soon as the recovery has claimed its epoch, while it waits for the old permits to end.
    Waiting,
}

/// What to rehearse.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// What happens.
    pub scenario: Scenario,
    /// How a region dies.
    pub mode: Mode,
    /// What kind of lab.
    pub options: Options,
    /// For how long the replication stream is held back before the disaster.
    pub stall: Duration,
    /// Who sees the witness in a partition.
    pub witness: WitnessSeen,
    /// When a partition ends.
    pub heals: Heals,
}

/// Starts a lab and checks what drills rely on in it.
///
/// # Errors
/// The lab did not start, or something in it is not as on AWS.
pub async fn check_canary(root: &Path) -> Result<ExitCode, LabError> {
    let lab = Lab::start(root, Options::default()).await?;
    let outcome = canary::run(&lab).await;
    let violations = lab.gateway.violations().clone();
    lab.stop().await;
    outcome?;
    match models::fit(&violations).into_iter().find(|result| !result.held) {
        Some(broken) => Err(LabError::new(format!("{}: {}", broken.id, broken.evidence))),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What a drill found out; what is still missing is known when the lab has stopped.
#[derive(Debug)]
struct Finding {
    report: DrillReport,
    writes: Vec<Write>,
    dns: Vec<DnsAnswer>,
    /// What went wrong besides targets and invariants.
    trouble: Option<String>,
}

/// Runs a drill in a lab of its own, and writes its report.
///
/// # Errors
/// The lab did not start, or the drill could not be carried through. That a target was missed is
/// the exit code.
pub async fn run(root: &Path, mut request: Request) -> Result<ExitCode, LabError> {
    // A database that one runs oneself has every kind of backup; only then is the standby
    // synchronous in the lab.
    request.options.synchronous |= request.scenario.is_about_backups();
    let claims = matches!(request.witness, WitnessSeen::Both | WitnessSeen::Standby);
    if request.heals == Heals::Waiting && !(request.scenario == Scenario::Partition && claims) {
        return Err(LabError::new(
            "HEALS=waiting is for a recovery that claims: SCENARIO=partition with WITNESS=both or \
             standby",
        ));
    }
    say::line(&format!("drill {}", request.scenario.as_str()));
    let lab = Lab::start(root, request.options).await?;
    let outcome = match request.scenario {
        Scenario::RegionOutage
        | Scenario::DoubleStart
        | Scenario::Abort
        | Scenario::PromotionStuck
        | Scenario::Approval => outage::run(&lab, request).await,
        Scenario::Partition => partition::run(&lab, request).await,
        Scenario::WitnessLost => register_lost::run(&lab, request, Lost::Witness).await,
        Scenario::PeerLost => register_lost::run(&lab, request, Lost::Peer).await,
        Scenario::StandbyBlind => false_alarm::run(&lab, request, Trouble::Blind).await,
        Scenario::SlowPrimary => false_alarm::run(&lab, request, Trouble::Slow).await,
        Scenario::MultiAzFailover => false_alarm::run(&lab, request, Trouble::DatabaseAway).await,
        Scenario::BackupCycle => backups::cycle(&lab, request).await,
        Scenario::CorruptBackup => backups::corrupt(&lab, request).await,
    };
    // Drills of backups watch no site.
    let observations = match &outcome {
        Ok(finding) if !request.scenario.is_about_backups() => {
            lab.rounds(finding.report.started_at).await
        }
        Ok(_) | Err(_) => Ok(Vec::new()),
    };
    let calls = lab.home.join("calls.jsonl");
    let violations = lab.gateway.violations().clone();
    lab.stop().await;
    if outcome.is_err() {
        // A refused request may be why.
        models::tell(&violations);
    }
    let (mut finding, observations) = (outcome?, observations?);
    finding.report.invariants.extend(models::fit(&violations));
    finding.report.leftover_resources = leftovers();
    judge(&mut finding);
    let folder = root.join("target/drill");
    let evidence = DrillEvidence {
        command: command(request),
        report: finding.report,
        writes: finding.writes,
        observations,
        dns: finding.dns,
        marks: Vec::new(),
    };
    let written = report::write(&folder, &evidence)
        .map_err(|error| LabError::from_error("write the report", &error))?;
    let kept = folder.join(format!("{}.calls.jsonl", request.scenario.as_str()));
    std::fs::copy(&calls, &kept)
        .map_err(|error| LabError::from_error("keep the call log", &error))?;
    say::line(&report::summary(Palette::detect(), &evidence.report));
    say::line(&format!("  report  {}", shown(root, &written.html)));
    say::line(&format!("          {}", shown(root, &written.json)));
    Ok(match evidence.report.verdict {
        Verdict::Pass => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::FAILURE,
    })
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn command(request: Request) -> String {
    let mut words = vec!["make drill".to_owned()];
    if request.scenario != Scenario::RegionOutage {
        words.push(format!("SCENARIO={}", request.scenario.as_str()));
    }
    if request.mode == Mode::Hang {
        words.push("MODE=hang".to_owned());
    }
    if request.options.synchronous && !request.scenario.is_about_backups() {
        words.push("SYNC=1".to_owned());
    }
    if request.options.switch_by_record {
        words.push("RECORD=1".to_owned());
    }
    if request.options.aliased {
        words.push("ALIAS=1".to_owned());
    }
    if request.scenario == Scenario::Partition {
        words.push(format!("WITNESS={}", request.witness.as_str()));
        if request.heals == Heals::Waiting {
            words.push("HEALS=waiting".to_owned());
        }
    }
    if !request.stall.is_zero() {
        words.push(format!("STALL={}", request.stall.as_millis()));
    }
    words.join(" ")
}

/// Addresses of the lab that are still held after it has stopped.
fn leftovers() -> u64 {
    let held = crate::lab::addresses().filter(|address| TcpListener::bind(address).is_err());
    u64::try_from(held.count()).unwrap_or(u64::MAX)
}

/// Pass, or the first reason why not.
fn judge(finding: &mut Finding) {
    let Finding { report, trouble, .. } = finding;
    let missed = |name: &str, target: Option<f64>, achieved: Option<f64>| match (target, achieved) {
        (Some(target), Some(achieved)) if achieved > target => {
            Some(format!("{name} of {achieved:.1} s misses the target of {target:.0} s"))
        }
        (Some(_), None) => {
            Some(format!("{name} could not be measured: users were not served again"))
        }
        (Some(_) | None, _) => None,
    };
    let broken = report.invariants.iter().find(|invariant| !invariant.held);
    let silent = report.notifications.iter().find(|notification| !notification.delivered);
    let wrong = trouble
        .take()
        .or_else(|| missed("RTO", report.rto_target_seconds, report.achieved_rto_seconds))
        .or_else(|| missed("RPO", report.rpo_target_seconds, report.achieved_rpo_seconds))
        .or_else(|| broken.map(|broken| format!("{} broke: {}", broken.id, broken.evidence)))
        .or_else(|| {
            silent.map(|silent| format!("{} was not told: {}", silent.channel, silent.stage))
        })
        .or_else(|| {
            (report.leftover_resources > 0)
                .then(|| format!("{} addresses are still in use", report.leftover_resources))
        });
    match wrong {
        Some(reason) => {
            report.verdict = Verdict::Fail;
            report.reason = reason;
        }
        None => {
            report.verdict = Verdict::Pass;
            if report.reason.is_empty() {
                report.reason = "every target was met and every invariant held".to_owned();
            }
        }
    }
}

/// A client that has been served for a while.
async fn serving_client(request_timeout: Duration) -> Result<ClientHandle, LabError> {
    served(request_timeout, None).await
}

/// The same for a client that keeps to an address, whatever the name leads to.
async fn served(
    request_timeout: Duration,
    keeps_to: Option<IpAddr>,
) -> Result<ClientHandle, LabError> {
    let config = ClientConfig {
        name: "queue.example.test".to_owned(),
        keeps_to,
        resolver: DNS,
        port: ACTIVE.app().port(),
        writes_per_second: WRITES_PER_SECOND,
        request_timeout,
    };
    let client =
        Client::start(config).map_err(|error| LabError::from_error("start the client", &error))?;
    let enough = SUSTAINED * 3;
    let served = client
        .wait_for(Duration::from_secs(30), |writes| {
            writes.iter().filter(|write| write.acknowledged).count() >= enough
        })
        .await;
    if served {
        return Ok(client);
    }
    let last = client.snapshot().last().and_then(|write| write.failure.clone());
    Err(LabError::new(format!(
        "the client is not served before the disaster: {}",
        last.unwrap_or_else(|| "no write has ended".to_owned())
    )))
}
