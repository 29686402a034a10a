//! A bucket in memory with backups in it, and everything else that the function asks.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalogue::{Backups, testing::MemoryBucket};
use lifeboat_core::{
    AppName, Fault,
    backup::{Artifact, Kind, Manifest, Outcome, PointId, keys},
    contract::{
        restore_backup::RestoreResult,
        verify_backup::{KindFreshness, Request, Response},
    },
    plan_file::{self, AppPlan},
};
use sha2::{Digest, Sha256};

use crate::{Metrics, Plans, Ports, Snapshot, Snapshots, handle};

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) const NOW: &str = "2026-11-24T12:00:00Z";

/// The full backup of this hour of the day.
pub(super) fn id(hour: i64) -> PointId {
    PointId::full(at("2026-11-24T00:00:00Z") + SignedDuration::from_hours(hour))
}

/// What is done to a backup's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    None,
    Missing,
    Cut,
    Flip(usize),
}

/// A clock that moves a millisecond with each look.
static TICKS: AtomicI64 = AtomicI64::new(0);

pub(super) fn clock() -> Timestamp {
    at(NOW) + SignedDuration::from_millis(TICKS.fetch_add(1, Ordering::SeqCst))
}

pub(super) struct World {
    pub(super) bucket: Arc<MemoryBucket>,
    pub(super) snapshot: Mutex<Snapshot>,
    pub(super) emitted: Mutex<Vec<KindFreshness>>,
    /// What Parameter Store says of the plan's versions.
    pub(super) history: Mutex<Result<Vec<(Timestamp, String)>, Fault>>,
}

impl World {
    pub(super) fn new() -> Self {
        let bucket = MemoryBucket::default();
        bucket.at(at(NOW));
        Self {
            bucket: Arc::new(bucket),
            snapshot: Mutex::new(Snapshot::Missing),
            emitted: Mutex::default(),
            history: Mutex::new(Err(Fault::transient("a reset"))),
        }
    }

    pub(super) fn backups(&self) -> Backups<MemoryBucket> {
        Backups::over(Arc::clone(&self.bucket), "us-west-2".parse().unwrap())
    }

    pub(super) fn manifest(kind: Kind, id: &PointId, name: &str, bytes: &[u8]) -> Manifest {
        let taken_at = id.time().unwrap();
        let sum = Sha256::digest(bytes);
        let artifact = Artifact {
            name: name.into(),
            size_bytes: bytes.len() as u64,
            sha256: sum.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Manifest {
            app: "queue".parse().unwrap(),
            kind,
            id: id.clone(),
            site: "a".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            source: "a test".into(),
            versions: [].into(),
            started_at: taken_at,
            ended_at: taken_at,
            lsn: None,
            wal: None,
            tables: Vec::new(),
            keys: [].into(),
            entries: None,
            artifacts: if kind == Kind::DatabaseSnapshot { vec![] } else { vec![artifact] },
        }
    }

    /// Puts a backup of one object into the bucket.
    pub(super) fn backup(&self, kind: Kind, id: &PointId, bytes: &[u8], act: Act) {
        self.put(&Self::manifest(kind, id, "files.tar.zst", bytes), bytes, act);
    }

    pub(super) fn put(&self, manifest: &Manifest, bytes: &[u8], act: Act) {
        let Manifest { app, kind, id, .. } = manifest;
        let mut bytes = bytes.to_vec();
        match act {
            Act::Cut => drop(bytes.pop()),
            Act::Flip(place) => bytes[place] ^= 0x10,
            Act::None | Act::Missing => {}
        }
        if act != Act::Missing {
            for artifact in &manifest.artifacts {
                let key = keys::artifact(app, *kind, id, &artifact.name);
                self.bucket.force(&key, bytes.clone());
            }
        }
        let manifest = serde_json::to_vec(&manifest).unwrap();
        self.bucket.force(&keys::manifest(app, *kind, id), manifest);
    }

    pub(super) fn restored(&self, kind: Kind, id: &PointId, outcome: Outcome) -> Request {
        let result = RestoreResult {
            started_at: at("2026-11-24T11:00:00Z"),
            ended_at: at("2026-11-24T11:01:00Z"),
            outcome,
            facts: vec!["restored into a scratch folder".into()],
            findings: Vec::new(),
        };
        let app = "queue".parse().unwrap();
        Request::Record { app, kind, id: id.clone(), result: Box::new(result) }
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Response, Fault> {
        self.ask_within(request, SignedDuration::from_secs(60)).await
    }

    pub(super) async fn ask_within(
        &self,
        request: Request,
        time: SignedDuration,
    ) -> Result<Response, Fault> {
        let ports =
            Ports { plans: self, backups: self.backups(), snapshots: self, metrics: self, clock };
        handle(request, &ports, clock() + time).await
    }
}

impl Plans for &World {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        // Its schedule names what is watched here.
        Ok(plan_file::read(include_str!("../../../../events/plan/queue.toml")).unwrap())
    }

    async fn history(&self, _: &AppName) -> Result<Vec<(Timestamp, String)>, Fault> {
        self.history.lock().unwrap().clone()
    }
}

impl Snapshots for &World {
    async fn snapshot(&self, _: &AppName, _: &PointId) -> Result<Snapshot, Fault> {
        Ok(self.snapshot.lock().unwrap().clone())
    }
}

impl Metrics for &World {
    fn emit(&self, _: &AppName, kind: &KindFreshness, _: Timestamp) {
        self.emitted.lock().unwrap().push(kind.clone());
    }
}
