use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, ErrorName,
    backup::{Choice, Depth, Kind, Outcome, PointId, Standing, keys, stamp},
};

use crate::{
    Backups, Span,
    testing::{Failure, MemoryBucket},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn app() -> AppName {
    "queue".parse().unwrap()
}

fn world() -> (Arc<MemoryBucket>, Backups<MemoryBucket>) {
    let bucket = Arc::new(MemoryBucket::default());
    (Arc::clone(&bucket), Backups::over(bucket, "us-west-2".parse().unwrap()))
}

fn point(bucket: &MemoryBucket, kind: Kind, id: &PointId, checks: &[(Depth, Outcome)]) {
    bucket.force(&keys::manifest(&app(), kind, id), "{}");
    for (depth, outcome) in checks {
        bucket.force(&keys::evidence(&app(), kind, id, *depth, *outcome), "{}");
    }
}

const SOUND: (Depth, Outcome) = (Depth::Read, Outcome::Sound);
const DAMAGED: (Depth, Outcome) = (Depth::Present, Outcome::Damaged);

#[tokio::test]
async fn a_catalogue_of_many_pages_is_whole_and_one_of_a_failed_page_an_error() {
    let (bucket, backups) = world();
    let first = at("2026-01-01T00:00:00Z");
    for hour in 0..2500 {
        let id = PointId::full(first + SignedDuration::from_hours(hour));
        point(&bucket, Kind::Config, &id, &[SOUND]);
    }
    let seen = backups.catalogue(&app(), Some(Kind::Config)).await.unwrap();
    assert_eq!((seen.complete, seen.points.len()), (true, 2500));
    assert!(seen.points.iter().all(|p| matches!(p.checks.standing(), Standing::Verified { .. })));
    assert_eq!(bucket.calls().len(), 6);
    for call in 0..6 {
        bucket.heal();
        bucket.fail(call, Failure::Before);
        let fault = backups.catalogue(&app(), Some(Kind::Config)).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Transient);
    }
}

#[tokio::test]
async fn a_span_costs_what_is_in_it() {
    let (bucket, backups) = world();
    let first = at("2026-01-01T00:00:00Z");
    for hour in 0..2500 {
        let id = PointId::full(first + SignedDuration::from_hours(hour));
        point(&bucket, Kind::Config, &id, &[]);
    }
    let span =
        Span { from: Some(at("2026-02-01T00:00:00Z")), until: Some(at("2026-02-02T00:00:00Z")) };
    let seen = backups.manifests(&app(), Some(Kind::Config), &span).await.unwrap();
    assert_eq!(seen.len(), 24);
    assert!(seen[0].key.contains(&stamp(span.from.unwrap())));
    assert_eq!(bucket.calls(), ["list"]);
}

#[tokio::test]
async fn the_newest_verified_is_found_from_the_end() {
    let (bucket, backups) = world();
    let now = at("2026-11-24T12:00:00Z");
    let old = PointId::full(at("2025-01-01T00:00:00Z"));
    assert_eq!(backups.newest_verified(&app(), Kind::Cache, now).await, Ok(None));
    point(&bucket, Kind::Cache, &old, &[SOUND]);
    let found = backups.newest_verified(&app(), Kind::Cache, now).await.unwrap().unwrap();
    assert_eq!(found.id, old);

    let month = PointId::full(at("2026-10-24T00:00:00Z"));
    point(&bucket, Kind::Cache, &month, &[SOUND]);
    point(&bucket, Kind::Cache, &PointId::full(at("2026-11-24T00:00:00Z")), &[]);
    point(&bucket, Kind::Cache, &PointId::full(at("2026-11-23T00:00:00Z")), &[SOUND, DAMAGED]);
    let found = backups.newest_verified(&app(), Kind::Cache, now).await.unwrap().unwrap();
    assert_eq!(found.id, month);
    let before = backups
        .newest_verified_before(&app(), Kind::Cache, Some(at("2026-10-24T00:00:00Z")), now)
        .await;
    assert_eq!(before.unwrap().unwrap().id, old);

    bucket.heal();
    point(&bucket, Kind::Cache, &PointId::full(now), &[SOUND]);
    backups.newest_verified(&app(), Kind::Cache, now).await.unwrap();
    assert_eq!(bucket.calls(), ["list", "list"]);
}

#[tokio::test]
async fn an_increment_counts_only_with_what_it_stands_on() {
    let (bucket, backups) = world();
    let now = at("2026-11-24T12:00:00Z");
    let base = PointId::full(at("2026-11-20T00:00:00Z"));
    let one = PointId::incremental(at("2026-11-24T04:00:00Z"), &base);
    let two = PointId::incremental(at("2026-11-24T08:00:00Z"), &one);
    let newest = async || {
        let found = backups.newest_verified(&app(), Kind::DatabaseBase, now).await.unwrap();
        found.map(|point| point.id)
    };
    point(&bucket, Kind::DatabaseBase, &two, &[SOUND]);
    assert_eq!(newest().await, None, "its parents are not there");
    point(&bucket, Kind::DatabaseBase, &one, &[SOUND]);
    point(&bucket, Kind::DatabaseBase, &base, &[]);
    assert_eq!(newest().await, None, "its base is not verified");
    point(&bucket, Kind::DatabaseBase, &base, &[SOUND]);
    assert_eq!(newest().await, Some(two.clone()));
    point(&bucket, Kind::DatabaseBase, &one, &[DAMAGED]);
    assert_eq!(newest().await, Some(base.clone()));
    // A kind that is asked for alone shows nothing of the others.
    assert_eq!(backups.newest_verified(&app(), Kind::Cache, now).await, Ok(None));
}

#[tokio::test]
async fn the_versions_of_a_span_are_all_of_them() {
    let (bucket, backups) = world();
    let prefix = keys::manifests(&app(), Kind::Config);
    let first = at("2026-01-01T00:00:00Z");
    let id = |hour| PointId::full(first + SignedDuration::from_hours(hour));
    for hour in 0..1200 {
        let key = keys::manifest(&app(), Kind::Config, &id(hour));
        bucket.force(&key, "{}");
        bucket.force(&key, "{}");
        bucket.mark_deleted(&key);
    }
    let key = |hour| keys::manifest(&app(), Kind::Config, &id(hour));
    let seen = backups.versions(&prefix, Some(&key(1000)), Some(&key(1010))).await.unwrap();
    assert_eq!(seen.len(), 30);
    assert_eq!(seen[0].key, key(1000));
    assert_eq!(bucket.calls(), ["versions"]);
    bucket.heal();
    assert_eq!(backups.versions(&prefix, None, None).await.unwrap().len(), 3600);
    assert_eq!(bucket.calls().len(), 4);
}

#[tokio::test]
async fn any_hold_holds_and_one_that_cannot_be_told_is_an_error() {
    let (bucket, backups) = world();
    assert_eq!(backups.hold(&app()).await, Ok(None));
    bucket.force(&keys::hold(&app()), "");
    assert!(backups.hold(&app()).await.unwrap().is_some());
    bucket.force(&keys::hold(&app()), "an investigation,\n see ticket 7");
    let reason = backups.hold(&app()).await.unwrap().unwrap();
    assert!(reason.contains("an investigation, see ticket 7"), "{reason}");
    bucket.fail(0, Failure::Before);
    assert_eq!(backups.hold(&app()).await.unwrap_err().name, ErrorName::Transient);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_not_a_missing_one() {
    let (bucket, backups) = world();
    let id = PointId::full(at("2026-11-24T00:00:00Z"));
    assert_eq!(backups.manifest(&app(), Kind::Config, &id).await, Ok(None));
    point(&bucket, Kind::Config, &id, &[]);
    let fault = backups.manifest(&app(), Kind::Config, &id).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
}

#[tokio::test]
async fn what_was_read_of_another_cluster_proves_no_segment_of_this_one() {
    let (bucket, backups) = world();
    let id = PointId::new("000000010000000000000007").unwrap();
    let read = keys::evidence(&app(), Kind::DatabaseWal, &id, Depth::Read, Outcome::Sound);
    let standing = async || {
        let end = backups.wal_end(&app()).await.unwrap();
        end.last().unwrap().checks.standing()
    };
    bucket.at(at("2026-11-24T00:00:00Z"));
    bucket.force(&read, "{}");
    // A database that was restored begins its log anew.
    bucket.at(at("2026-11-24T12:00:00Z"));
    bucket.force(&keys::wal(&app(), "7421", id.as_str()), "segment");
    assert_eq!(standing().await, Standing::Unverified);
    bucket.force(&read, "{}");
    assert!(matches!(standing().await, Standing::Verified { .. }));
}

#[tokio::test]
async fn a_base_is_chosen_whose_archived_log_reaches_the_moment() {
    let (bucket, backups) = world();
    let base = |id: &PointId, last: &str| {
        bucket.at(id.time().unwrap());
        point(&bucket, Kind::DatabaseBase, id, &[SOUND]);
        let manifest = serde_json::json!({
            "app": "queue", "kind": "database-base", "id": id, "site": "a", "region": "us-east-1",
            "source": "a test", "versions": {}, "started_at": id.time(), "ended_at": id.time(),
            "wal": { "system": "7421", "first": last, "last": last },
        });
        bucket.force(&keys::manifest(&app(), Kind::DatabaseBase, id), manifest.to_string());
        let (depth, outcome) = SOUND;
        let key = keys::evidence(&app(), Kind::DatabaseBase, id, depth, outcome);
        bucket.force(&key, "{}");
    };
    let segment = |name: &str, archived: &str| {
        bucket.at(at(archived));
        bucket.force(&keys::wal(&app(), "7421", name), "segment");
    };
    let old = PointId::full(at("2026-11-24T00:00:00Z"));
    let new = PointId::full(at("2026-11-24T04:00:00Z"));
    base(&old, "000000010000000000000002");
    base(&new, "000000010000000000000005");
    segment("000000010000000000000003", "2026-11-24T03:00:00Z");
    segment("000000010000000000000004", "2026-11-24T03:30:00Z");
    segment("000000010000000000000005", "2026-11-24T04:00:00Z");
    segment("000000010000000000000006", "2026-11-24T05:00:00Z");
    let choose = async |to: &str| {
        backups.choose(&app(), Kind::DatabaseBase, None, Some(at(to))).await.unwrap()
    };
    let chosen = async |to: &str| match choose(to).await {
        Choice::Reliable { id, .. } => id,
        other => panic!("{other:?}"),
    };
    assert_eq!(chosen("2026-11-24T04:30:00Z").await, new);
    assert_eq!(chosen("2026-11-24T03:10:00Z").await, old);
    let Choice::Unreliable { reason, .. } = choose("2026-11-24T05:00:01Z").await else {
        panic!("nothing reaches it")
    };
    assert!(reason.contains("reaches 2026-11-24T05:00:00Z and not"), "{reason}");
    bucket.mark_deleted(&keys::wal(&app(), "7421", "000000010000000000000006"));
    let Choice::Unreliable { reason, .. } = choose("2026-11-24T04:30:00Z").await else {
        panic!("the log ends before")
    };
    assert!(reason.contains("no archived WAL follows it"), "{reason}");
    let other = backups.choose(&app(), Kind::Cache, None, Some(at("2026-11-24T04:30:00Z"))).await;
    assert_eq!(other.unwrap_err().name, ErrorName::InvalidInput);
}
