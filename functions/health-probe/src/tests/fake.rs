//! A world of two sites in virtual time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Fault, SiteName,
    plan_file::{self, AppPlan},
    vote::{CheckResult, Vote},
};
use lifeboat_postgres::{Lsn, State};
use tokio::time::Instant;

use crate::{
    Answer, Clock, Databases, Memory, Metrics, Network, Plans, Probe, RoundMetrics, Unread,
};

pub(super) const START: &str = "2026-01-01T12:00:00Z";

/// How a call of the fake ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Fails,
    Hangs,
}

pub(super) struct Fake {
    pub(super) plan: AppPlan,
    pub(super) plans: Mood,
    /// Endpoint to its vote; others vote `up`.
    pub(super) votes: Mutex<BTreeMap<String, Vote>>,
    /// What each check takes.
    pub(super) check_takes: Duration,
    pub(super) bodies: BTreeMap<String, String>,
    /// Host to its database; others are unread.
    pub(super) databases: Mutex<BTreeMap<String, State>>,
    pub(super) puts: Mood,
    pub(super) kept: Mutex<Vec<RoundMetrics>>,
    pub(super) recall: Mood,
    pub(super) memory: Memory,
    pub(super) began: Instant,
}

pub(super) fn replica(position: u64) -> State {
    State { in_recovery: true, read_only: true, position: Some(Lsn(position)), receives: true }
}

pub(super) fn primary(position: u64) -> State {
    State { in_recovery: false, read_only: false, position: Some(Lsn(position)), receives: false }
}

impl Fake {
    /// Site a active and well, site b its warm standby: database and cache run, the app does not.
    pub(super) fn warm_standby() -> Self {
        let plan = plan_file::read(include_str!("../../../../events/plan/queue.toml")).unwrap();
        Self {
            plan,
            plans: Mood::Well,
            votes: Mutex::new([("127.0.22.10".to_owned(), Vote::Down)].into()),
            check_takes: Duration::from_millis(3),
            bodies: BTreeMap::new(),
            databases: Mutex::new(
                [("127.0.21.20".into(), primary(100)), ("127.0.22.20".into(), replica(100))].into(),
            ),
            puts: Mood::Well,
            kept: Mutex::default(),
            recall: Mood::Well,
            memory: Memory::default(),
            began: Instant::now(),
        }
    }

    pub(super) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// Everything at these hosts stops answering.
    pub(super) fn lose(&self, site: &str) {
        for host in ["10", "20", "30"] {
            self.votes.lock().unwrap().insert(format!("{site}.{host}"), Vote::Down);
        }
        self.databases.lock().unwrap().remove(&format!("{site}.20"));
    }

    pub(super) fn kept(&self) -> Vec<RoundMetrics> {
        self.kept.lock().unwrap().clone()
    }
}

/// The address in an endpoint of the sample plan.
fn host(endpoint: &str) -> String {
    let rest = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    rest.split(':').next().unwrap_or_default().to_owned()
}

async fn in_the_mood(mood: Mood) -> Result<(), Fault> {
    match mood {
        Mood::Well => Ok(()),
        Mood::Fails => Err(Fault::transient("the fake fails")),
        Mood::Hangs => std::future::pending().await,
    }
}

impl Plans for Fake {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        in_the_mood(self.plans).await.map(|()| self.plan.clone())
    }
}

impl Network for Fake {
    async fn check(&self, probe: &Probe, limit: Duration) -> Answer {
        tokio::time::sleep_until(Instant::now() + self.check_takes.min(limit)).await;
        let host = host(&probe.endpoint);
        let vote = self.votes.lock().unwrap().get(&host).copied().unwrap_or(Vote::Up);
        assert_ne!(vote, Vote::Unknown, "the check dies");
        Answer {
            check: CheckResult { vote, detail: "of the fake".into(), elapsed_ms: 3 },
            body: self.bodies.get(&host).cloned(),
        }
    }
}

impl Databases for Fake {
    async fn state(&self, _: &AppPlan, endpoint: &str, _: Duration) -> Result<State, Unread> {
        let found = self.databases.lock().unwrap().get(&host(endpoint)).copied();
        found.ok_or_else(|| Unread { vote: Vote::Down, detail: "connection refused".into() })
    }
}

impl Metrics for Fake {
    async fn put(&self, round: &RoundMetrics) -> Result<(), Fault> {
        in_the_mood(self.puts).await?;
        self.kept.lock().unwrap().push(round.clone());
        Ok(())
    }

    async fn recall(
        &self,
        _: &AppName,
        _: &[SiteName],
        _: &SiteName,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Memory, Fault> {
        in_the_mood(self.recall).await.map(|()| self.memory.clone())
    }
}

impl Clock for Fake {
    fn now(&self) -> Timestamp {
        let start: Timestamp = START.parse().unwrap();
        start + SignedDuration::try_from(self.began.elapsed()).unwrap()
    }

    async fn pause_until(&self, at: Timestamp) {
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep_until(Instant::now() + left).await;
    }
}
