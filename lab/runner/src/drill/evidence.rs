//! What proves, or disproves, that the invariants held.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use lifeboat_core::recovery_log::{Entry, EntryKind, verify};
use serde_json::{Value, json};

use super::follow::Recovery;
use crate::{
    client::Write,
    clock,
    lab::{ACTIVE, APP, Lab, LabError, STANDBY, SiteConfig},
    report::{InvariantResult, NotificationResult, seconds_between},
};

/// How long the returned site is offered writes.
const OFFERED_FOR: Duration = Duration::from_secs(6);
/// Until the returned site has seen the newer epoch: its guard ticks each second.
const FENCED_WITHIN: Duration = Duration::from_secs(20);
/// Until messages have arrived that were sent asynchronously.
const DELIVERED_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn invariant(id: &str, held: bool, evidence: impl Into<String>) -> InvariantResult {
    InvariantResult { id: id.to_owned(), held, evidence: evidence.into() }
}

/// Offers a site writes for a while: how many, and how many it took.
async fn offer(site: &SiteConfig) -> (u64, u64) {
    let client = reqwest::Client::new();
    let url = format!("http://{}/tickets", site.app());
    let (mut offered, mut accepted) = (0, 0);
    let began = std::time::Instant::now();
    while began.elapsed() < OFFERED_FOR {
        let id = format!("stale-{offered}");
        let answer = client
            .post(&url)
            .json(&json!({ "id": id }))
            .timeout(Duration::from_secs(2))
            .send()
            .await;
        offered += 1;
        accepted += u64::from(answer.is_ok_and(|answer| answer.status().is_success()));
        clock::pause(Duration::from_millis(100)).await;
    }
    (offered, accepted)
}

/// What the returned site did.
#[derive(Debug)]
pub(super) struct Returned {
    /// Writes that it accepted after the other site had opened.
    pub(super) stale_writes: u64,
    /// Why its guard refuses, in the guard's words; none when it does not refuse.
    pub(super) fenced: Option<String>,
    /// Writes that it was offered.
    pub(super) offered: u64,
}

impl Lab {
    /// Offers writes to the site that came back, and counts those that it took, by its answers and
    /// by what is in its database.
    pub(super) async fn examine_returned(
        &self,
        site: &SiteConfig,
        opened_at: Timestamp,
    ) -> Result<Returned, LabError> {
        let (offered, accepted) = offer(site).await;
        let fenced = clock::find(FENCED_WITHIN, || async {
            let permit = self.permit(site, site.host)?;
            (permit.valid_until <= clock::now()).then_some(permit.reason)
        })
        .await;
        let in_database = self.written_since(site, opened_at).await?;
        Ok(Returned { stale_writes: accepted.max(in_database), fenced, offered })
    }

    /// Offers writes to a site that was standby all along; its database is a replica, which takes none of
    /// its own.
    pub(super) async fn examine_standby(&self, site: &SiteConfig) -> Returned {
        let (offered, stale_writes) = offer(site).await;
        let permit = self.permit(site, site.host);
        let ended = permit.is_none_or(|permit| permit.valid_until <= clock::now());
        let fenced = ended.then(|| "no permit".to_owned());
        Returned { stale_writes, fenced, offered }
    }

    /// Tickets that a site's own database took after this moment.
    async fn written_since(&self, site: &SiteConfig, at: Timestamp) -> Result<u64, LabError> {
        let client = self.database(site).await?;
        let query = format!("SELECT count(*) FROM tickets WHERE created_at > '{at}'");
        let row = client
            .query_one(&query, &[])
            .await
            .map_err(|error| LabError::from_error("count the tickets of the old site", &error))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// The entries of the newest recovery's log, as they are in the ledger's bucket.
    pub(super) async fn log_entries(&self, site: &SiteConfig) -> Result<Vec<Entry>, LabError> {
        let bucket = format!("s3://lifeboat-ledger-000000000000-{}/log/{APP}/", site.region);
        let folder = self.home.join("log");
        let target = folder.to_string_lossy().into_owned();
        self.aws.cli(site.region, &["s3", "cp", "--recursive", &bucket, &target]).await?;
        let mut files = Vec::new();
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder)
                .map_err(|error| LabError::from_error("read the copied log", &error))?;
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
            .iter()
            .map(|file| {
                let text = std::fs::read(file)
                    .map_err(|error| LabError::from_error("read the copied log", &error))?;
                serde_json::from_slice(&text)
                    .map_err(|error| LabError::from_error("a log entry", &error))
            })
            .collect()
    }

    /// A region's register: epoch and active site.
    pub(super) async fn register_in(&self, region: &str) -> Result<Value, LabError> {
        let path = format!("/lifeboat-ledger-000000000000-{region}/control/{APP}.json");
        let text = self.aws.rest(reqwest::Method::GET, region, "s3", &path, String::new()).await?;
        serde_json::from_str(&text).map_err(|error| LabError::from_error("the register", &error))
    }

    /// The epoch that the register of a site's region holds.
    pub(super) async fn epoch(&self, site: &SiteConfig) -> Result<u64, LabError> {
        let record = self.register_in(site.region).await?;
        Ok(record.get("epoch").and_then(Value::as_u64).unwrap_or(0))
    }

    /// Whether each channel was told of each of these stages.
    pub(super) async fn notifications(&self, stages: &[&str]) -> Vec<NotificationResult> {
        let wanted: Vec<(&str, &str)> = stages
            .iter()
            .flat_map(|stage| ["sns", "slack"].map(|channel| (channel, *stage)))
            .collect();
        let arrived = |channel: &str, stage: &str| {
            self.capture
                .deliveries()
                .iter()
                .any(|delivery| delivery.channel == channel && delivery.mentions(stage))
        };
        clock::find(DELIVERED_WITHIN, || async {
            wanted.iter().all(|(channel, stage)| arrived(channel, stage)).then_some(())
        })
        .await;
        wanted
            .into_iter()
            .map(|(channel, stage)| NotificationResult {
                channel: channel.to_owned(),
                stage: stage.to_owned(),
                delivered: arrived(channel, stage),
            })
            .collect()
    }

    /// Invariant 4: whatever the recovery asked of the lost region and of Route 53's control plane
    /// from the surviving region stayed without an answer.
    pub(super) fn needed_nothing_lost(&self, from: Timestamp, until: Timestamp) -> InvariantResult {
        let (mut asked, mut answered) = (0, Vec::new());
        for call in self.gateway.calls().since(0) {
            let Ok(at) = call.time.parse::<Timestamp>() else { continue };
            let lost = call.region == ACTIVE.region || call.service == "route53";
            if call.source == STANDBY.region && lost && at >= from && at <= until {
                asked += 1;
                if call.status.is_some() {
                    answered.push(format!("{} {}", call.service, call.operation));
                }
            }
        }
        let evidence = if answered.is_empty() {
            format!(
                "{asked} calls to the lost region and to Route 53's control plane, none answered"
            )
        } else {
            format!("answered: {}", answered.join(", "))
        };
        invariant("4-needs-nothing-lost", answered.is_empty(), evidence)
    }

    /// Invariant 9: no secret in the history, the calls, the log, the messages, or what the
    /// functions and the hosts wrote.
    pub(super) async fn no_secret_shown(&self, recovery: &Recovery) -> InvariantResult {
        let mut texts = vec![("the execution's history", recovery.history.clone())];
        for (name, path) in [
            ("the call log", self.home.join("calls.jsonl")),
            ("the emulator's log", self.home.join("emulator.log")),
            ("the app's log", self.host_home(&STANDBY).join("log/app.log")),
            ("the guard's log", self.host_home(&STANDBY).join("log/guard.log")),
        ] {
            texts.push((name, std::fs::read_to_string(path).unwrap_or_default()));
        }
        for delivery in self.capture.deliveries() {
            texts.push(("a message", delivery.body.to_string()));
        }
        for function in crate::lab::FUNCTIONS {
            texts.push((function, self.function_logs(function).await.unwrap_or_default()));
        }
        let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
        let shown: Vec<&str> = texts
            .iter()
            .filter(|(_, text)| self.secrets().iter().any(|secret| text.contains(secret)))
            .map(|(name, _)| *name)
            .collect();
        let evidence = if shown.is_empty() {
            format!("3 secrets searched for in {} texts, {bytes} bytes", texts.len())
        } else {
            format!("shown in {}", shown.join(", "))
        };
        invariant("9-no-secret-shown", shown.is_empty() && bytes > 0, evidence)
    }

    /// What a function logged in the standby's region.
    pub(super) async fn function_logs(&self, function: &str) -> Result<String, LabError> {
        let body = json!({ "logGroupName": format!("/aws/lambda/lifeboat-{function}") });
        let target = "Logs_20140328.FilterLogEvents";
        let answer = self.aws.json(STANDBY.region, "logs", target, &body).await?;
        let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let messages = events.iter().filter_map(|event| event.get("message")?.as_str());
        Ok(messages.collect::<Vec<_>>().join("\n"))
    }
}

/// Invariant 8: the log of each recovery is a chain from its opening on, and the newest one's ends with
/// its close; one that was stopped before is not closed.
pub(super) fn chain(entries: &[Entry]) -> InvariantResult {
    let mut recoveries: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        recoveries.entry(&entry.incident).or_default().push(entry.clone());
    }
    let broken = recoveries.values().find_map(|entries| verify(entries).err());
    let opens = |entries: &Vec<Entry>| entries.first().is_some_and(|e| e.kind == EntryKind::Opened);
    let newest = recoveries.values().max_by_key(|entries| entries.last().map(|entry| entry.epoch));
    let closes = newest.and_then(|entries| entries.last()).map(|entry| entry.kind);
    let whole = recoveries.values().all(opens) && closes == Some(EntryKind::Closed);
    let of = match recoveries.len() {
        1 => String::new(),
        several => format!(" of {several} recoveries"),
    };
    let evidence = match &broken {
        Some(broken) => broken.clone(),
        None if whole => {
            format!("{} entries{of} from opened to closed, every hash follows", entries.len())
        }
        None => format!("{} entries{of}, not from opened to closed", entries.len()),
    };
    invariant("8-log-is-a-chain", whole && broken.is_none(), evidence)
}

/// Invariant 2: what the plan expected to lose was within the RPO, or a person approved it.
pub(super) fn loss_was_known(entries: &[Entry], rpo_seconds: f64) -> InvariantResult {
    let loss = estimated_loss(entries);
    let approved = entries.iter().any(|entry| entry.kind == EntryKind::Approval);
    let evidence = match loss {
        Some(loss) => format!("estimated loss {loss:.1} s before promoting, RPO {rpo_seconds} s"),
        None => "the plan did not know the loss".to_owned(),
    };
    let held = approved || loss.is_some_and(|loss| loss <= rpo_seconds);
    invariant("2-loss-known-before-promotion", held, evidence)
}

/// The loss that the plan expected at most, in seconds.
pub(super) fn estimated_loss(entries: &[Entry]) -> Option<f64> {
    // What was approved is planned again: the last one is what was acted on. Once it is promoted, a
    // recovery that goes on from there loses nothing more, and its plan says so.
    let planned = entries.iter().rev().filter(|entry| entry.kind == EntryKind::Planned);
    let losses: Vec<Option<f64>> =
        planned.map(|entry| find_number(&entry.body, "estimated_loss_seconds")).collect();
    let before = losses.iter().find(|loss| **loss != Some(0.0)).or(losses.first());
    before.copied().flatten()
}

/// For how long both sites acknowledged writes: from the first acknowledgement of the standby's site
/// until the last one of the other.
pub(super) fn dual_writer_seconds<'a>(clients: impl IntoIterator<Item = &'a Vec<Write>>) -> f64 {
    let writes: Vec<&Write> = clients.into_iter().flatten().filter(|w| w.acknowledged).collect();
    let at = |site: &SiteConfig| {
        let addresses: Vec<_> = site.apps().map(|app| app.ip()).collect();
        let at_site = |write: &&&Write| write.address.is_some_and(|at| addresses.contains(&at));
        writes.iter().filter(at_site).map(|write| write.ended_at).collect::<Vec<_>>()
    };
    match (at(&STANDBY).into_iter().min(), at(&ACTIVE).into_iter().max()) {
        (Some(first), Some(last)) => seconds_between(first, last).max(0.0),
        (None, _) | (_, None) => 0.0,
    }
}

/// A number anywhere in a document.
fn find_number(value: &Value, key: &str) -> Option<f64> {
    match value {
        Value::Object(map) => map
            .get(key)
            .and_then(Value::as_f64)
            .or_else(|| map.values().find_map(|inner| find_number(inner, key))),
        Value::Array(items) => items.iter().find_map(|inner| find_number(inner, key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
