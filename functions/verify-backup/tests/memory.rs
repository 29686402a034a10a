//! What reading costs in memory does not grow with the object. A process of its own, because the
//! peak is that of the process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalogue::{
    Backups, Content, Head, LegalHolds, Objects, Page, Shared, testing::MemoryBucket,
};
use lifeboat_core::{
    AppName, Fault,
    backup::{Depth, Kind, Outcome, PointId, keys},
    contract::verify_backup::{KindFreshness, Request, Response},
    plan_file::{self, AppPlan},
};
use verify_backup::{Metrics, Plans, Ports, Snapshot, Snapshots, handle};

/// A bucket whose one object is made while it is read.
struct Endless {
    rest: MemoryBucket,
    len: u64,
}

impl Objects for Endless {
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Fault> {
        self.rest.list(prefix, after).await
    }
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.rest.get(key).await
    }
    async fn put(&self, key: &str, body: Vec<u8>) -> Result<(), Fault> {
        self.rest.put(key, body).await
    }
}

impl Content for Endless {
    async fn head(&self, _: &str) -> Result<Option<Head>, Fault> {
        Ok(Some(Head { size_bytes: self.len, etag: "1".into(), sha256: None }))
    }
    async fn range(&self, _: &str, _: &str, _: u64, len: u64) -> Result<Bytes, Fault> {
        tokio::task::yield_now().await;
        Ok(vec![0x5A; usize::try_from(len).unwrap()].into())
    }
}

impl LegalHolds for Endless {
    async fn hold(&self, key: &str, on: bool) -> Result<(), Fault> {
        self.rest.hold(key, on).await
    }
}

impl Shared for Endless {
    async fn look(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        self.rest.look(key).await
    }
    async fn replace(
        &self,
        key: &str,
        etag: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Option<String>, Fault> {
        self.rest.replace(key, etag, body).await
    }
}

struct Nothing;

impl Plans for Nothing {
    async fn history(&self, _: &AppName) -> Result<Vec<(jiff::Timestamp, String)>, Fault> {
        Ok(Vec::new())
    }

    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        plan_file::read(include_str!("../../../events/plan/queue.toml"))
            .map_err(|_| Fault::invalid("the example is wrong"))
    }
}

impl Snapshots for Nothing {
    async fn snapshot(&self, _: &AppName, _: &PointId) -> Result<Snapshot, Fault> {
        Ok(Snapshot::Missing)
    }
}

impl Metrics for Nothing {
    fn emit(&self, _: &AppName, _: &KindFreshness, _: Timestamp) {}
}

fn clock() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

async fn read(mebibytes: u64) {
    let rest = MemoryBucket::default();
    let id = PointId::full(clock());
    let app: AppName = "queue".parse().unwrap();
    let manifest = serde_json::json!({
        "app": "queue", "kind": "config", "id": id, "site": "a", "region": "us-east-1",
        "source": "a test", "versions": {}, "started_at": clock(), "ended_at": clock(),
        "artifacts": [{ "name": "a", "size_bytes": mebibytes << 20, "sha256": "0" }],
    });
    rest.force(&keys::manifest(&app, Kind::Config, &id), manifest.to_string());
    let bucket = Arc::new(Endless { rest, len: mebibytes << 20 });
    let backups = Backups::over(bucket, "us-west-2".parse().unwrap());
    let ports = Ports { plans: Nothing, backups, snapshots: Nothing, metrics: Nothing, clock };
    let request = Request::Check { app, kind: Kind::Config, id, depth: Depth::Read };
    let deadline = clock() + SignedDuration::from_mins(15);
    match handle(request, &ports, deadline).await.unwrap() {
        // Its checksum is not the one in the manifest, and nothing else is wrong.
        Response::Checked { evidence } => {
            assert_eq!(evidence.outcome, Outcome::Damaged);
            assert_eq!(evidence.findings.len(), 1, "{:?}", evidence.findings);
        }
        Response::Due { .. }
        | Response::Skipped { .. }
        | Response::Undecided { .. }
        | Response::Fresh { .. } => panic!("no check"),
    }
}

#[tokio::test]
async fn reading_a_large_object_takes_no_more_memory_than_a_small_one() {
    let before = peak();
    read(48).await;
    let small = peak() - before;
    read(144).await;
    let large = peak() - before;
    let limit = 64 << 20;
    assert!(large <= limit, "{} MiB", large >> 20);
    // How many ranges wait at one moment is the scheduler's choice, so a peak varies by them (24 MiB at
    // most: see `source`). One that grew with the object would be 96 MiB higher.
    assert!(large - small <= 24 << 20, "{} MiB more", (large - small) >> 20);
}
