//! What this server knows, and the one step that turns it into answers: [`Inner::settle`].
//!
//! Zones, checks and observations only ever change here, under one lock, and each change settles
//! the verdicts and the published answers before the lock is released: a question is never
//! answered from a half-applied state.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    CHECKERS,
    health::{self, Observed, Opinion, Verdict},
    lookup::{Reply, View},
    mirror::Snapshot,
    model::{CheckKind, HealthCheck, Zone, normal_name},
    probe::Outcome,
    report::{
        AnswerChange, CheckerReport, HealthCheckReport, MirrorReport, RecordReport, Records,
        SetReport,
    },
};

/// Answer changes that are kept; older ones are forgotten.
const CHANGES_KEPT: usize = 10_000;

/// The AWS regions that run health checkers, one checker in each:
/// `HealthCheckRegion` in <https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html>.
const CHECKER_REGIONS: [&str; CHECKERS as usize] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];

/// Shared by the DNS server, the mirror, the checkers and the status API.
#[derive(Debug)]
pub(crate) struct State {
    inner: Mutex<Inner>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    zones: Vec<Zone>,
    checks: BTreeMap<String, HealthCheck>,
    watches: BTreeMap<String, Watch>,
    verdicts: BTreeMap<String, Verdict>,
    since: BTreeMap<String, Timestamp>,
    published: BTreeMap<(String, String), Vec<String>>,
    changes: VecDeque<AnswerChange>,
    mirror: MirrorReport,
}

/// What was observed for one health check.
#[derive(Debug, Default)]
struct Watch {
    checkers: [Checker; CHECKERS as usize],
    alarm: Observed,
    alarm_report: Option<CheckerReport>,
}

#[derive(Debug, Default)]
struct Checker {
    opinion: Opinion,
    newest: Option<(Timestamp, Outcome)>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Inner::default()), revision: watch::Sender::new(0) }
    }

    /// A receiver that is notified after every change of what this server knows.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Takes over a reading of the control plane. True when it differs from the one before.
    pub(crate) fn adopt(&self, snapshot: Snapshot, now: Timestamp) -> bool {
        self.change(|inner| {
            inner.mirror.last_success = Some(now);
            inner.mirror.last_error = None;
            let checks: BTreeMap<String, HealthCheck> =
                snapshot.checks.into_iter().map(|check| (check.id.clone(), check)).collect();
            if inner.zones == snapshot.zones && inner.checks == checks && inner.mirror.loaded {
                return false;
            }
            inner.mirror.loaded = true;
            inner.zones = snapshot.zones;
            // A check that was edited keeps its opinions until new results say otherwise: an edit
            // by itself must not move traffic.
            inner.watches.retain(|id, _| checks.contains_key(id));
            inner.checks = checks;
            inner.settle("records", now);
            true
        })
    }

    /// Notes that the control plane could not be read; the last good copy stays.
    pub(crate) fn mirror_failed(&self, error: String) {
        self.change(|inner| {
            inner.mirror.last_error = Some(error);
            true
        });
    }

    /// One checker's newest result for the endpoint check `id`.
    pub(crate) fn observe(&self, id: &str, checker: usize, outcome: Outcome, now: Timestamp) {
        self.change(|inner| {
            let Some(check) = inner.checks.get(id) else { return false };
            let CheckKind::Endpoint { failure_threshold, .. } = check.kind else { return false };
            let watch = inner.watches.entry(id.to_owned()).or_default();
            let Some(checker) = watch.checkers.get_mut(checker) else { return false };
            checker.opinion = checker.opinion.after(outcome.passed, failure_threshold);
            checker.newest = Some((now, outcome));
            inner.settle("health", now);
            true
        });
    }

    /// The newest state of the alarm that check `id` follows; none when it could not be read.
    pub(crate) fn observe_alarm(&self, id: &str, state: Option<&str>, now: Timestamp) {
        self.change(|inner| {
            let Some(check) = inner.checks.get(id) else { return false };
            let CheckKind::Alarm { region, insufficient, .. } = &check.kind else { return false };
            let watch = inner.watches.entry(id.to_owned()).or_default();
            watch.alarm = health::alarm(state, *insufficient, watch.alarm);
            watch.alarm_report = Some(CheckerReport {
                region: region.clone(),
                opinion: watch.alarm,
                checked_at: Some(now),
                status: Some(format!("Alarm state: {}", state.unwrap_or("could not be read"))),
            });
            inner.settle("health", now);
            true
        });
    }

    /// The reply to a question; none while the control plane was never read.
    pub(crate) fn reply(&self, name: &str, kind: &str, draw: u64) -> Option<Reply> {
        let inner = self.lock();
        inner.mirror.loaded.then(|| inner.view().reply(&normal_name(name), kind, draw))
    }

    pub(crate) fn changes(&self) -> Vec<AnswerChange> {
        self.lock().changes.iter().cloned().collect()
    }

    pub(crate) fn checks(&self) -> Vec<HealthCheck> {
        self.lock().checks.values().cloned().collect()
    }

    /// Everything that would be answered now, with the health behind it.
    pub(crate) fn report(&self) -> Records {
        let inner = self.lock();
        Records {
            mirror: inner.mirror.clone(),
            records: inner.records(),
            health_checks: inner.checks.values().map(|check| inner.check(check)).collect(),
        }
    }

    fn change(&self, step: impl FnOnce(&mut Inner) -> bool) -> bool {
        let changed = step(&mut self.lock());
        if changed {
            self.revision.send_modify(|revision| *revision += 1);
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No step leaves the state half changed, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn view(&self) -> View<'_> {
        View { zones: &self.zones, verdicts: &self.verdicts }
    }

    fn observed(&self, id: &str) -> Observed {
        let (Some(check), Some(watch)) = (self.checks.get(id), self.watches.get(id)) else {
            return Observed::Unknown;
        };
        match check.kind {
            CheckKind::Endpoint { .. } => {
                health::endpoint(watch.checkers.iter().map(|checker| checker.opinion))
            }
            CheckKind::Alarm { .. } => watch.alarm,
            CheckKind::Calculated { .. } | CheckKind::NotObserved { .. } => Observed::Unknown,
        }
    }

    /// Derives verdicts and answers anew, and logs what moved.
    fn settle(&mut self, cause: &'static str, now: Timestamp) {
        let verdicts = health::verdicts(&self.checks, |id| self.observed(id));
        self.since.retain(|id, _| verdicts.contains_key(id));
        for (id, verdict) in &verdicts {
            if self.verdicts.get(id) != Some(verdict) {
                self.since.insert(id.clone(), now);
                tracing::info!(check = %id, ?verdict, "health check changed");
            }
        }
        self.verdicts = verdicts;

        let mut published = BTreeMap::new();
        for zone in &self.zones {
            for set in &zone.sets {
                published
                    .entry((set.name.clone(), set.kind.clone()))
                    .or_insert_with(|| self.view().values(zone, &set.name, &set.kind));
            }
        }
        let gone = self.published.keys().filter(|key| !published.contains_key(*key));
        let touched: Vec<(String, String)> = published.keys().chain(gone).cloned().collect();
        for key in touched {
            let from = self.published.get(&key).cloned().unwrap_or_default();
            let to = published.get(&key).cloned().unwrap_or_default();
            if from != to {
                let (name, kind) = key;
                tracing::info!(%name, %kind, ?from, ?to, cause, "answer changed");
                self.changes.push_back(AnswerChange { name, kind, from, to, at: now, cause });
            }
        }
        let surplus = self.changes.len().saturating_sub(CHANGES_KEPT);
        self.changes.drain(..surplus);
        self.published = published;
    }

    fn records(&self) -> Vec<RecordReport> {
        let mut records: Vec<RecordReport> = Vec::new();
        for zone in &self.zones {
            for set in &zone.sets {
                let view = self.view();
                let chosen = view.chosen(zone, &set.name, &set.kind);
                let report = SetReport::new(
                    set,
                    view.is_healthy(zone, set),
                    chosen.iter().any(|one| std::ptr::eq(*one, set)),
                );
                let known =
                    records.iter_mut().find(|one| one.name == set.name && one.kind == set.kind);
                match known {
                    Some(record) => record.sets.push(report),
                    None => records.push(RecordReport {
                        zone: zone.name.clone(),
                        name: set.name.clone(),
                        kind: set.kind.clone(),
                        values: view.values(zone, &set.name, &set.kind),
                        sets: vec![report],
                    }),
                }
            }
        }
        records
    }

    fn check(&self, check: &HealthCheck) -> HealthCheckReport {
        let watch = self.watches.get(&check.id);
        let checkers = match check.kind {
            CheckKind::Endpoint { .. } => CHECKER_REGIONS
                .iter()
                .enumerate()
                .filter_map(|(index, region)| {
                    let checker = watch?.checkers.get(index)?;
                    Some(CheckerReport {
                        region: (*region).to_owned(),
                        opinion: checker.opinion.held(),
                        checked_at: checker.newest.as_ref().map(|(at, _)| *at),
                        status: checker.newest.as_ref().map(|(_, outcome)| outcome.report.clone()),
                    })
                })
                .collect(),
            CheckKind::Alarm { .. }
            | CheckKind::Calculated { .. }
            | CheckKind::NotObserved { .. } => {
                watch.and_then(|watch| watch.alarm_report.clone()).into_iter().collect()
            }
        };
        HealthCheckReport {
            id: check.id.clone(),
            calculated: matches!(check.kind, CheckKind::Calculated { .. }),
            inverted: check.inverted,
            disabled: check.disabled,
            status: self.verdicts.get(&check.id).copied(),
            since: self.since.get(&check.id).copied(),
            observed: self.observed(&check.id),
            checkers,
        }
    }
}
