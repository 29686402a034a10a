//! `backup-cycle` and `corrupt-backup`: what is taken, proven, kept and deleted.
//!
//! The backups are those of a running system, taken by the schedules of the stack. What the drills
//! say of them is read from S3 as the account's root, not asked of the functions that are rehearsed.

mod corrupt;
mod cycle;
mod exported;
mod harm;
mod look;
mod moment;
mod safe;

use std::time::Duration;

use jiff::Timestamp;
use lifeboat_core::backup::Kind;

pub(super) use corrupt::run as corrupt;
pub(super) use cycle::run as cycle;

use super::{Request, evidence::invariant, outage::dns_answers};
use crate::{
    client::Traffic,
    clock,
    lab::{APP, Lab},
    report::{
        BackupResult, DnsAnswer, DrillReport, InvariantResult, Palette, Parts, StepResult, Verdict,
        live_line,
    },
    say,
};

/// A second app, whose plan says that RDS runs its database and ElastiCache its cache: snapshots are
/// rehearsed beside the kinds of what one runs oneself.
const VAULT: &str = "vault";

/// What is backed up: by app, every kind that its plan schedules. WAL is archived all the time, and
/// looked at by itself.
const KINDS: [(&str, Kind); 9] = [
    (APP, Kind::DatabaseDump),
    (APP, Kind::DatabaseBase),
    (APP, Kind::Config),
    (APP, Kind::Code),
    (APP, Kind::Logs),
    (APP, Kind::Images),
    (APP, Kind::Cache),
    (VAULT, Kind::DatabaseSnapshot),
    (VAULT, Kind::Cache),
];

/// Until every kind is taken: a scheduled tick comes within 5 min, and the backups take seconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(180);
/// Until every kind is read and restored in both regions.
const PROVEN_WITHIN: Duration = Duration::from_secs(150);

/// The drill's own steps, told as they end.
struct Steps {
    zero: Timestamp,
    all: Vec<StepResult>,
}

impl Steps {
    fn begin() -> Self {
        Self { zero: clock::now(), all: Vec::new() }
    }

    fn done(&mut self, name: &str, started_at: Timestamp, outcome: impl Into<String>) {
        let ended = clock::now();
        let outcome = outcome.into();
        let took = ended.duration_since(started_at);
        let since = ended.duration_since(self.zero);
        say::line(&live_line(Palette::detect(), since, name, &outcome, Some(took)));
        self.all.push(StepResult {
            name: name.to_owned(),
            started_at,
            ended_at: Some(ended),
            outcome,
        });
    }
}

/// What a backup drill found, beside the client's traffic.
struct Found {
    steps: Steps,
    backups: Vec<BackupResult>,
    invariants: Vec<InvariantResult>,
    detected_at: Option<Timestamp>,
    epoch: u64,
}

/// The report: nothing failed for users, and no epoch changed.
async fn report(
    lab: &Lab,
    request: Request,
    found: Found,
    traffic: &Traffic,
    stages: &[&str],
) -> (DrillReport, Vec<DnsAnswer>) {
    let Found { steps, backups, mut invariants, detected_at, epoch } = found;
    let failed = traffic.writes.iter().filter(|write| !write.acknowledged).count();
    invariants.push(invariant(
        "users-undisturbed",
        failed == 0,
        format!("{failed} of {} writes failed", traffic.writes.len()),
    ));
    let report = DrillReport {
        scenario: request.scenario.as_str().to_owned(),
        started_at: steps.zero,
        struck_at: steps.zero,
        detected_at,
        served_at: None,
        rto_target_seconds: None,
        achieved_rto_seconds: None,
        rpo_target_seconds: None,
        achieved_rpo_seconds: None,
        writes_acknowledged: u64::try_from(traffic.acknowledged().len()).unwrap_or(0),
        writes_lost: 0,
        writes_after_recovery: 0,
        stale_writes_accepted: 0,
        dual_writer_seconds: 0.0,
        loss_shown_seconds: None,
        epoch_before: epoch,
        epoch_after: epoch,
        parts: Parts::default(),
        steps: steps.all,
        notifications: lab.notifications(stages).await,
        invariants,
        verdict: Verdict::Fail,
        leftover_resources: 0,
        mode: "backups".to_owned(),
        reason: String::new(),
        writes_lost_ids: Vec::new(),
        backups,
    };
    (report, dns_answers(lab))
}
