//! The handler with a bucket in memory: cut off at each call, run twice, locked, held, and counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalogue::{
    Backups, Span,
    testing::{Failure, MemoryBucket},
};
use lifeboat_core::{
    ErrorName,
    backup::{Depth, Manifest, Outcome, Standing, WalSpan, keys},
    plan_file,
};

use super::*;

const NOW: &str = "2026-11-24T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn app() -> AppName {
    "queue".parse().unwrap()
}

fn days_ago(days: i64) -> PointId {
    PointId::full(now() - SignedDuration::from_hours(24 * days))
}

struct World {
    bucket: Arc<MemoryBucket>,
    recovery: Mutex<Seen<IncidentId>>,
    snapshots: Mutex<BTreeSet<PointId>>,
    policy: String,
}

impl World {
    fn new() -> Self {
        let bucket = MemoryBucket::default();
        bucket.at(now());
        Self {
            bucket: Arc::new(bucket),
            recovery: Mutex::new(Seen::Absent),
            snapshots: Mutex::default(),
            policy: String::new(),
        }
    }

    fn backups(&self) -> Backups<MemoryBucket> {
        Backups::over(Arc::clone(&self.bucket), "us-west-2".parse().unwrap())
    }

    /// A backup of one object, read and found sound; each written twice, as a retry may do.
    fn backup(&self, kind: Kind, id: &PointId) {
        self.manifest(kind, id, None);
        let read = keys::evidence(&app(), kind, id, Depth::Read, Outcome::Sound);
        self.bucket.force(&read, "{}");
    }

    fn manifest(&self, kind: Kind, id: &PointId, wal: Option<WalSpan>) {
        self.bucket.force(&keys::artifact(&app(), kind, id, "files.tar.zst"), "0123456789");
        let manifest = Manifest {
            app: app(),
            kind,
            id: id.clone(),
            site: "a".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            source: "a test".into(),
            versions: BTreeMap::new(),
            started_at: now(),
            ended_at: now(),
            lsn: None,
            wal,
            tables: Vec::new(),
            keys: BTreeMap::new(),
            entries: None,
            artifacts: Vec::new(),
        };
        let body = serde_json::to_vec(&manifest).unwrap();
        self.bucket.force(&keys::manifest(&app(), kind, id), body.clone());
        self.bucket.force(&keys::manifest(&app(), kind, id), body);
    }

    async fn sweep(&self) -> Result<Response, Fault> {
        self.ask(true).await
    }

    async fn ask(&self, execute: bool) -> Result<Response, Fault> {
        let ports =
            Ports { plans: self, recoveries: self, backups: self.backups(), snapshots: self };
        handle(Request { app: app(), execute }, &ports, now()).await
    }

    /// The points of a kind that are listed.
    fn points(&self, kind: Kind) -> Vec<PointId> {
        let keys = self.bucket.keys();
        let read = keys.iter().filter_map(|key| keys::read_manifest(key));
        read.filter(|(_, of, _)| *of == kind).map(|(_, _, id)| id).collect()
    }
}

impl Plans for &World {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        let text = include_str!("../../../events/plan/queue.toml");
        Ok(plan_file::read(&format!("{text}\n{}", self.policy)).unwrap())
    }
}

impl Recoveries for &World {
    async fn open(&self, _: &AppName, regions: Vec<Region>) -> Seen<IncidentId> {
        assert_eq!(regions.len(), 2);
        self.recovery.lock().unwrap().clone()
    }
}

impl Snapshots for &World {
    async fn list(&self, _: &AppName) -> Result<Vec<PointId>, Fault> {
        Ok(self.snapshots.lock().unwrap().iter().cloned().collect())
    }

    async fn delete(&self, _: &AppName, id: &PointId) -> Result<Gone, Fault> {
        self.snapshots.lock().unwrap().remove(id);
        Ok(Gone::Gone)
    }
}

fn ids(deletions: &[Deletion]) -> Vec<PointId> {
    deletions.iter().map(|one| one.id.clone()).collect()
}

#[tokio::test]
async fn what_has_expired_goes_with_every_version_and_the_rest_stays() {
    let world = World::new();
    for days in [40, 35, 29, 1] {
        world.backup(Kind::Config, &days_ago(days));
    }
    let shown = world.ask(false).await.unwrap();
    assert_eq!(ids(&shown.deleted), [days_ago(40), days_ago(35)]);
    assert!(!shown.executed);
    assert_eq!(world.points(Kind::Config).len(), 4, "a dry run deletes nothing");

    let swept = world.sweep().await.unwrap();
    assert_eq!(swept.deleted, shown.deleted);
    // The one of 29 days was not looked at: a newer one is verified.
    assert_eq!((swept.deleted_total, swept.kept, swept.executed), (2, 1, true));
    assert!(swept.deleted[0].reason.contains("30 days"), "{:?}", swept.deleted);
    assert_eq!(world.points(Kind::Config), [days_ago(29), days_ago(1)]);
    let left = world.bucket.keys_with_versions();
    assert!(!left.iter().any(|key| key.contains(days_ago(40).as_str())), "{left:?}");

    let again = world.sweep().await.unwrap();
    assert_eq!((again.deleted_total, again.retained.len()), (0, 0));
}

#[tokio::test]
async fn the_newest_verified_stays_however_old_it_is() {
    let world = World::new();
    world.backup(Kind::Config, &days_ago(90));
    world.backup(Kind::Config, &days_ago(80));
    // Newer ones, none of which was proven.
    for days in [20, 2, 1] {
        world.manifest(Kind::Config, &days_ago(days), None);
    }
    let swept = world.sweep().await.unwrap();
    assert_eq!(ids(&swept.deleted), [days_ago(90)]);
}

#[tokio::test]
async fn cut_off_at_any_call_what_is_listed_is_whole_and_the_next_sweep_ends_it() {
    let build = || {
        let world = World::new();
        for days in [40, 35, 1] {
            world.backup(Kind::Config, &days_ago(days));
        }
        let base = days_ago(20);
        let mut tip = base.clone();
        world.backup(Kind::DatabaseBase, &base);
        for hour in 1..4 {
            let at = base.time().unwrap() + SignedDuration::from_hours(hour);
            tip = PointId::incremental(at, &tip);
            world.backup(Kind::DatabaseBase, &tip);
        }
        world.backup(Kind::DatabaseBase, &days_ago(1));
        world.bucket.heal();
        world
    };
    let world = build();
    world.sweep().await.unwrap();
    let (calls, end) = (world.bucket.calls().len(), world.bucket.keys_with_versions());
    assert_eq!(world.points(Kind::DatabaseBase), [days_ago(1)]);
    for failure in [Failure::Before, Failure::AnswerLost] {
        for call in 0..calls {
            let world = build();
            world.bucket.fail(call, failure);
            // That the hold cannot be read is an answer: then nothing goes.
            if let Err(fault) = world.sweep().await {
                assert_eq!(fault.name, ErrorName::Transient);
            }
            let keys = world.bucket.keys();
            for kind in [Kind::Config, Kind::DatabaseBase] {
                let points = world.points(kind);
                for id in &points {
                    assert!(id.parent().is_none_or(|parent| points.contains(&parent)), "{call}");
                    let artifact = keys::artifact(&app(), kind, id, "files.tar.zst");
                    assert!(keys.contains(&artifact), "{call}: {id} lost its object");
                }
            }
            world.sweep().await.unwrap();
            assert_eq!(world.bucket.keys_with_versions(), end, "{call} {failure:?}");
        }
    }
}

#[tokio::test]
async fn a_lock_keeps_a_point_whole_with_all_that_it_stands_on_and_is_reported() {
    let world = World::new();
    let base = days_ago(20);
    let child = PointId::incremental(base.time().unwrap() + SignedDuration::from_hours(4), &base);
    let other = days_ago(15);
    for id in [&base, &child, &other, &days_ago(1)] {
        world.backup(Kind::DatabaseBase, id);
    }
    world.bucket.lock(&keys::manifest(&app(), Kind::DatabaseBase, &child));
    let swept = world.sweep().await.unwrap();
    assert_eq!(ids(&swept.deleted), [other]);
    assert_eq!(ids(&swept.retained), [child.clone(), base.clone()]);
    assert!(swept.retained[0].reason.contains("object lock"), "{:?}", swept.retained);
    for id in [&base, &child] {
        let artifact = keys::artifact(&app(), Kind::DatabaseBase, id, "files.tar.zst");
        assert!(world.bucket.keys().contains(&artifact));
    }
}

#[tokio::test]
async fn what_only_keeps_its_objects_is_no_backup_any_more_and_is_reported() {
    let world = World::new();
    world.backup(Kind::Config, &days_ago(40));
    world.backup(Kind::Config, &days_ago(1));
    let artifact = keys::artifact(&app(), Kind::Config, &days_ago(40), "files.tar.zst");
    world.bucket.lock(&artifact);
    for _ in 0..2 {
        let swept = world.sweep().await.unwrap();
        assert_eq!(ids(&swept.retained), [days_ago(40)]);
        assert!(world.bucket.keys().contains(&artifact));
        assert_eq!(world.points(Kind::Config), [days_ago(1)]);
    }
}

#[tokio::test]
async fn nothing_goes_while_a_hold_or_a_recovery_stands_or_a_name_is_strange() {
    let incident: IncidentId = "queue-2".parse().unwrap();
    type Stop = fn(&World, &IncidentId);
    let stops: [(&str, Stop); 3] = [
        ("an investigation", |world, _| {
            world.bucket.force(&keys::hold(&app()), "an investigation")
        }),
        ("recovery queue-2 is open", |world, incident| {
            *world.recovery.lock().unwrap() = Seen::Present(incident.clone());
        }),
        ("not understood", |world, _| world.bucket.force("manifests/queue/tapes/1.json", "{}")),
    ];
    for (word, stop) in stops {
        let world = World::new();
        world.backup(Kind::Config, &days_ago(40));
        world.backup(Kind::Config, &days_ago(1));
        stop(&world, &incident);
        let before = world.bucket.keys_with_versions();
        let swept = world.sweep().await.unwrap();
        assert!(swept.stopped.as_ref().is_some_and(|why| why.contains(word)), "{swept:?}");
        assert!(!swept.executed && swept.deleted.is_empty());
        assert_eq!(world.bucket.keys_with_versions(), before, "{word}");
        assert!(!world.bucket.calls().contains(&"delete"));
    }
}

#[tokio::test]
async fn what_could_not_be_told_deletes_nothing_and_is_asked_again() {
    let world = World::new();
    world.backup(Kind::Config, &days_ago(40));
    world.backup(Kind::Config, &days_ago(1));
    *world.recovery.lock().unwrap() = Seen::Unknown("us-east-1 is silent".into());
    let before = world.bucket.keys_with_versions();
    let fault = world.sweep().await.unwrap_err();
    assert_eq!((fault.name, fault.message.as_str()), (ErrorName::Transient, "us-east-1 is silent"));
    assert_eq!(world.bucket.keys_with_versions(), before);
    *world.recovery.lock().unwrap() = Seen::Absent;
    assert_eq!(ids(&world.sweep().await.unwrap().deleted), [days_ago(40)]);
}

#[tokio::test]
async fn a_manifest_that_somebody_deleted_keeps_its_objects() {
    let world = World::new();
    world.backup(Kind::Config, &days_ago(40));
    world.backup(Kind::Config, &days_ago(35));
    world.backup(Kind::Config, &days_ago(1));
    world.bucket.mark_deleted(&keys::manifest(&app(), Kind::Config, &days_ago(40)));
    let swept = world.sweep().await.unwrap();
    assert_eq!(ids(&swept.deleted), [days_ago(35)]);
    let artifact = keys::artifact(&app(), Kind::Config, &days_ago(40), "files.tar.zst");
    assert!(world.bucket.keys().contains(&artifact));
}

#[tokio::test]
async fn the_limit_of_a_run_leaves_the_rest_for_the_next() {
    let mut world = World::new();
    world.policy = "[backup.retention]\nlimit = { deletions = 10, bytes = 35 }\n".into();
    for days in [50, 49, 48, 47, 46, 1] {
        world.backup(Kind::Config, &days_ago(days));
    }
    let swept = world.sweep().await.unwrap();
    assert_eq!(ids(&swept.deleted), [days_ago(50), days_ago(49), days_ago(48)]);
    assert!(swept.more);
    let swept = world.sweep().await.unwrap();
    assert_eq!(ids(&swept.deleted), [days_ago(47), days_ago(46)]);
    assert!(!swept.more);
}

#[tokio::test]
async fn snapshots_go_after_their_manifests_and_leftovers_with_them() {
    let world = World::new();
    let kind = Kind::DatabaseSnapshot;
    for days in [40, 1] {
        world.manifest(kind, &days_ago(days), None);
        let present =
            keys::evidence(&app(), kind, &days_ago(days), Depth::Restored, Outcome::Sound);
        world.bucket.force(&present, "{}");
    }
    // Of one that is 50 days old an earlier sweep took the manifest.
    *world.snapshots.lock().unwrap() = [50, 40, 1].map(days_ago).into();
    world.sweep().await.unwrap();
    assert_eq!(*world.snapshots.lock().unwrap(), [days_ago(1)].into());
}

fn segment(number: u32) -> PointId {
    PointId::new(format!("0000000100000000{number:08X}")).unwrap()
}

#[tokio::test]
async fn wal_goes_when_no_base_needs_it() {
    let world = World::new();
    let wal =
        |first, last| WalSpan { system: "7421".into(), first: segment(first), last: segment(last) };
    for number in 1..=30_u32 {
        let at = now() - SignedDuration::from_hours(24 * i64::from(31 - number) / 2);
        world.bucket.at(at);
        let key = keys::wal(&app(), "7421", segment(number).as_str());
        world.bucket.force(&key, "segment");
    }
    world.bucket.at(now());
    let read = |id: &PointId| {
        let read = keys::evidence(&app(), Kind::DatabaseBase, id, Depth::Read, Outcome::Sound);
        world.bucket.force(&read, "{}");
    };
    // At fifteen days, five days and one day.
    for (days, first) in [(15, 1), (5, 21), (1, 29)] {
        world.manifest(Kind::DatabaseBase, &days_ago(days), Some(wal(first, first + 1)));
        read(&days_ago(days));
    }
    let mut mark = lifeboat_catalogue::Watermark::new("7421");
    mark.timelines.insert(
        "00000001".into(),
        lifeboat_catalogue::Progress {
            through: segment(30),
            written_at: now(),
            verified_at: now(),
            reader: serde_json::Value::Null,
            gaps: Vec::new(),
        },
    );
    world.backups().put_watermark(&app(), &mark).await.unwrap();
    let swept = world.sweep().await.unwrap();
    assert!(swept.stopped.is_none(), "{swept:?}");
    let left: Vec<String> =
        world.bucket.keys().into_iter().filter(|key| key.starts_with("wal/")).collect();
    let kept: Vec<String> =
        (21..=30).map(|n| keys::wal(&app(), "7421", segment(n).as_str())).collect();
    assert_eq!(left, kept);
    assert_eq!(world.points(Kind::DatabaseBase), [days_ago(5), days_ago(1)]);
}

/// What the survey leaves out only ever saves something.
#[tokio::test]
async fn a_sweep_from_a_part_deletes_nothing_that_one_from_everything_keeps() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut planned = 0;
    for round in 0..150 {
        let mut world = World::new();
        let tiers = match round % 3 {
            0 => "",
            1 => "tiers = { daily = 20 }\n",
            _ => "tiers = { weekly = 3, monthly = 4 }\n",
        };
        let minimum = 1 + random(4);
        world.policy = format!(
            "[backup.retention]\nminimum = {minimum}\nkeep_days = {{ config = 10, cache = 5 }}\n{tiers}"
        );
        for kind in [Kind::Config, Kind::Cache] {
            for _ in 0..1 + random(40) {
                let hours = i64::try_from(random(24 * 60)).unwrap();
                let id = PointId::full(now() - SignedDuration::from_hours(hours));
                world.manifest(kind, &id, None);
                match random(4) {
                    0 => {}
                    1 => world.bucket.force(
                        &keys::evidence(&app(), kind, &id, Depth::Read, Outcome::Damaged),
                        "{}",
                    ),
                    _ => world.bucket.force(
                        &keys::evidence(&app(), kind, &id, Depth::Read, Outcome::Sound),
                        "{}",
                    ),
                }
            }
        }
        let retention = (&world).plan(&app()).await.unwrap().backup.unwrap().retention;
        let circumstances =
            Circumstances { now: now(), recovery: Seen::Absent, hold: Seen::Absent };
        let whole = world.backups().catalogue(&app(), None).await.unwrap();
        let whole = retention::plan(&whole, &retention, &circumstances);
        let whole: BTreeSet<_> = whole.deletions.iter().map(|p| delete::name(p)).collect();
        let part = survey::survey(&world.backups(), &app(), &retention, now()).await.unwrap();
        let part = retention::plan(&part.catalogue, &retention, &circumstances);
        let part: BTreeSet<_> = part.deletions.iter().map(|p| delete::name(p)).collect();
        // Less would be safe, more would not; that it is neither keeps the store from growing.
        assert!(part.is_subset(&whole), "round {round}");
        assert_eq!(part, whole, "round {round}");
        planned += whole.len();
    }
    assert!(planned > 1_000, "{planned}");
}

#[tokio::test]
async fn a_sweep_costs_what_it_deletes() {
    let world = World::new();
    // 33,334 points of three objects: 334 of them, 1,002 objects, are older than 30 days.
    let (points, expired) = (33_334_i64, 334_i64);
    let horizon = now() - SignedDuration::from_hours(24 * 30);
    for place in 0..points {
        let at = if place < expired {
            horizon - SignedDuration::from_mins(1 + place)
        } else {
            horizon + SignedDuration::from_secs(70 * (place - expired))
        };
        let id = PointId::full(at);
        world.bucket.force(&keys::artifact(&app(), Kind::Config, &id, "files.tar.zst"), "0");
        world.bucket.force(&keys::manifest(&app(), Kind::Config, &id), "{}");
        let read = keys::evidence(&app(), Kind::Config, &id, Depth::Read, Outcome::Sound);
        world.bucket.force(&read, "{}");
    }
    let objects = world.bucket.keys().len();
    assert!(objects > 100_000);
    world.bucket.heal();
    let swept = world.sweep().await.unwrap();
    assert_eq!(swept.deleted_total, 334);
    assert_eq!(world.bucket.keys().len(), objects - 1_002);
    let calls = world.bucket.calls();
    // Listing everything by pages of a thousand, and one call for each object that goes.
    let naive = objects.div_ceil(1000) + 1_002;
    assert!(calls.len() * 20 <= naive, "{} of {naive}: {calls:?}", calls.len());
    // The span is what was asked for: nothing else of the young ones was touched.
    let span = Span { from: Some(horizon), until: None };
    let rest = world.backups().catalogue_within(&app(), Some(Kind::Config), &span).await.unwrap();
    assert!(rest.points.iter().all(|p| matches!(p.checks.standing(), Standing::Verified { .. })));
    assert_eq!(calls.iter().filter(|call| **call == "delete").count(), 3);
}
