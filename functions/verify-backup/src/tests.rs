//! The handler with a bucket in memory: run twice, failed at each call, and every way in which a
//! backup can be wrong.

mod holds;
mod read;
mod undecided;
mod wal;
mod world;

use lifeboat_catalogue::testing::Failure;
use lifeboat_core::{
    ErrorName,
    backup::{Depth, Evidence, Kind, Outcome, PointId, keys},
    contract::verify_backup::{Request, Response},
};

use world::{Act, World, at, id};

use crate::Snapshot;

fn check(kind: Kind, id: &PointId, depth: Depth) -> Request {
    Request::Check { app: "queue".parse().unwrap(), kind, id: id.clone(), depth }
}

fn evidence(response: Response) -> Evidence {
    match response {
        Response::Checked { evidence } => *evidence,
        Response::Due { .. }
        | Response::Skipped { .. }
        | Response::Undecided { .. }
        | Response::Fresh { .. } => panic!("no check: {response:?}"),
    }
}

async fn due(world: &World) -> Vec<String> {
    let request = Request::Due { app: "queue".parse().unwrap() };
    let response = world.ask(request).await.unwrap();
    let Response::Due { due } = response else { panic!("not due: {response:?}") };
    due.into_iter().map(|d| format!("{} {} {}", d.depth, d.kind, d.id)).collect()
}

#[tokio::test]
async fn what_is_due_is_done_and_then_nothing_is() {
    let world = World::new();
    world.backup(Kind::Config, &id(1), b"configuration", Act::None);
    world.backup(Kind::Code, &id(2), b"code", Act::None);
    for _ in 0..3 {
        for line in due(&world).await {
            let mut words = line.split(' ');
            let depth: Depth = words.next().unwrap().parse().unwrap();
            let kind: Kind = words.next().unwrap().parse().unwrap();
            let point: PointId = words.next().unwrap().parse().unwrap();
            let request = if depth == Depth::Restored {
                world.restored(kind, &point, Outcome::Sound)
            } else {
                check(kind, &point, depth)
            };
            assert_eq!(evidence(world.ask(request).await.unwrap()).outcome, Outcome::Sound);
        }
    }
    assert!(due(&world).await.is_empty());
    assert_eq!(world.bucket.keys().iter().filter(|key| key.starts_with("evidence/")).count(), 6);
}

#[tokio::test]
async fn a_missing_or_short_object_is_damage_that_says_which() {
    let world = World::new();
    world.backup(Kind::Config, &id(1), b"configuration", Act::Missing);
    let found = evidence(world.ask(check(Kind::Config, &id(1), Depth::Present)).await.unwrap());
    assert_eq!(found.outcome, Outcome::Damaged);
    assert_eq!(found.findings[0].file, "files.tar.zst");
    assert_eq!(found.findings[0].message, "the object is not there");
    world.backup(Kind::Config, &id(2), b"configuration", Act::Cut);
    let found = evidence(world.ask(check(Kind::Config, &id(2), Depth::Present)).await.unwrap());
    assert_eq!(found.findings[0].message, "the object has 12 bytes, 13 in the manifest");
    // At depth read it is damage as well.
    let found = evidence(world.ask(check(Kind::Config, &id(1), Depth::Read)).await.unwrap());
    assert_eq!(found.outcome, Outcome::Damaged);
}

#[tokio::test]
async fn a_copy_whose_manifest_came_first_is_waited_for_and_not_found_damaged() {
    let world = World::new();
    world.backup(Kind::Config, &id(11), b"configuration", Act::Missing);
    for depth in [Depth::Present, Depth::Read] {
        let fault = world.ask(check(Kind::Config, &id(11), depth)).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NotReady, "{depth}");
        assert!(fault.message.contains("copies from us-east-1 may be under way"), "{fault}");
    }
    assert!(!world.bucket.keys().iter().any(|key| key.starts_with("evidence/")));
    // Where the backup was taken the manifest is last, so nothing is under way.
    let mut own = World::manifest(Kind::Code, &id(11), "files.tar.zst", b"code");
    own.region = "us-west-2".parse().unwrap();
    world.put(&own, b"code", Act::Missing);
    for depth in [Depth::Present, Depth::Read] {
        let found = evidence(world.ask(check(Kind::Code, &id(11), depth)).await.unwrap());
        assert_eq!(found.outcome, Outcome::Damaged, "{depth}");
    }
}

#[tokio::test]
async fn a_check_fails_at_every_call_without_evidence_of_damage_and_succeeds_later() {
    for depth in [Depth::Present, Depth::Read] {
        let world = World::new();
        world.backup(Kind::Config, &id(1), b"configuration", Act::None);
        world.ask(check(Kind::Config, &id(1), depth)).await.unwrap();
        let calls = world.bucket.calls().len();
        assert!(calls >= 5, "{:?}", world.bucket.calls());
        for failure in [Failure::Before, Failure::AnswerLost] {
            for call in 0..calls {
                let world = World::new();
                world.backup(Kind::Config, &id(1), b"configuration", Act::None);
                world.bucket.fail(call, failure);
                let fault = world.ask(check(Kind::Config, &id(1), depth)).await.unwrap_err();
                assert_eq!(fault.name, ErrorName::Transient, "{depth} {call}");
                let damaged = world.bucket.keys().into_iter().any(|key| key.contains("damaged"));
                assert!(!damaged, "{depth} {call}");
                world.bucket.heal();
                let found = world.ask(check(Kind::Config, &id(1), depth)).await.unwrap();
                assert_eq!(evidence(found).outcome, Outcome::Sound, "{depth} {call}");
            }
        }
    }
}

#[tokio::test]
async fn checking_twice_leaves_what_checking_once_does() {
    let world = World::new();
    world.backup(Kind::Config, &id(1), b"configuration", Act::None);
    for depth in [Depth::Present, Depth::Read] {
        world.ask(check(Kind::Config, &id(1), depth)).await.unwrap();
    }
    let (keys, held) = (world.bucket.keys(), world.bucket.held());
    for depth in [Depth::Present, Depth::Read] {
        world.ask(check(Kind::Config, &id(1), depth)).await.unwrap();
    }
    assert_eq!((world.bucket.keys(), world.bucket.held()), (keys, held));
}

#[tokio::test]
async fn a_point_that_was_swept_is_refused_and_never_found_damaged() {
    let world = World::new();
    for request in [
        check(Kind::Config, &id(1), Depth::Read),
        world.restored(Kind::Config, &id(1), Outcome::Sound),
    ] {
        let fault = world.ask(request).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused);
        assert!(fault.message.contains("it was swept"), "{fault}");
    }
    assert!(world.bucket.keys().is_empty());
}

#[tokio::test]
async fn a_manifest_in_anothers_place_is_damage() {
    let world = World::new();
    world.backup(Kind::Config, &id(1), b"configuration", Act::None);
    let app = "queue".parse().unwrap();
    let manifest = world.bucket.content(&keys::manifest(&app, Kind::Config, &id(1))).unwrap();
    world.bucket.force(&keys::manifest(&app, Kind::Config, &id(2)), manifest);
    for request in [
        check(Kind::Config, &id(2), Depth::Present),
        world.restored(Kind::Config, &id(2), Outcome::Sound),
    ] {
        let found = evidence(world.ask(request).await.unwrap());
        assert_eq!(found.outcome, Outcome::Damaged);
        assert!(found.findings[0].message.contains("its manifest is that of config"));
    }
}

#[tokio::test]
async fn a_restore_is_recorded_as_it_ended() {
    let world = World::new();
    world.backup(Kind::Cache, &id(1), b"cache", Act::None);
    let request = world.restored(Kind::Cache, &id(1), Outcome::Damaged);
    let found = evidence(world.ask(request).await.unwrap());
    assert_eq!((found.depth, found.outcome), (Depth::Restored, Outcome::Damaged));
    assert_eq!(found.started_at, at("2026-11-24T11:00:00Z"));
    let key = keys::evidence(
        &"queue".parse().unwrap(),
        Kind::Cache,
        &id(1),
        Depth::Restored,
        Outcome::Damaged,
    );
    let stored: Evidence = serde_json::from_slice(&world.bucket.content(&key).unwrap()).unwrap();
    assert_eq!(stored, found);
}

#[tokio::test]
async fn a_snapshot_is_what_rds_says_and_one_under_way_is_waited_for() {
    let world = World::new();
    world.backup(Kind::DatabaseSnapshot, &id(1), b"", Act::Missing);
    let present = || check(Kind::DatabaseSnapshot, &id(1), Depth::Present);
    let says = |snapshot| *world.snapshot.lock().unwrap() = snapshot;
    says(Snapshot::Pending("creating".into()));
    assert_eq!(world.ask(present()).await.unwrap_err().name, ErrorName::NotReady);
    assert!(!world.bucket.keys().iter().any(|key| key.starts_with("evidence/")));
    says(Snapshot::Available { size_bytes: 20 << 30 });
    assert_eq!(evidence(world.ask(present()).await.unwrap()).outcome, Outcome::Sound);
    for broken in [Snapshot::Missing, Snapshot::Broken("failed".into())] {
        says(broken);
        assert_eq!(evidence(world.ask(present()).await.unwrap()).outcome, Outcome::Damaged);
    }
}

#[tokio::test]
async fn depths_that_are_not_this_functions_are_invalid() {
    let world = World::new();
    world.backup(Kind::Config, &id(1), b"configuration", Act::None);
    world.backup(Kind::DatabaseSnapshot, &id(1), b"", Act::Missing);
    for (kind, depth) in [(Kind::Config, Depth::Restored), (Kind::DatabaseSnapshot, Depth::Read)] {
        let fault = world.ask(check(kind, &id(1), depth)).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::InvalidInput);
    }
}

#[tokio::test]
async fn the_age_is_that_of_the_newest_verified_and_missing_without_one() {
    let world = World::new();
    let fresh = Request::Freshness { app: "queue".parse().unwrap() };
    world.backup(Kind::Config, &id(1), b"configuration", Act::None);
    world.backup(Kind::Config, &id(5), b"configuration", Act::None);
    let ages = async || {
        world.ask(fresh.clone()).await.unwrap();
        let emitted = std::mem::take(&mut *world.emitted.lock().unwrap());
        let config = emitted.into_iter().find(|kind| kind.kind == Kind::Config).unwrap();
        (config.age_seconds, config.unverified, config.damaged)
    };
    // Parameter Store may not answer: then no age is known, and the alarm takes silence for the worst.
    assert_eq!(ages().await, (None, 2, 0));
    let stored = r#"{"backup":{"schedule":{"config":{"every":"24h"}}}}"#;
    *world.history.lock().unwrap() = Ok(vec![(at("2026-11-24T09:00:00Z"), stored.into())]);
    // As old as its schedule, before anything is proven.
    let (age, unverified, _) = ages().await;
    assert!(age.is_some_and(|age| age > 3.0 * 3600.0 && age < 3.1 * 3600.0), "{age:?}");
    assert_eq!(unverified, 2);
    world.ask(check(Kind::Config, &id(1), Depth::Read)).await.unwrap();
    let (age, unverified, damaged) = ages().await;
    assert!(age.is_some_and(|age| age > 11.0 * 3600.0 && age < 11.1 * 3600.0), "{age:?}");
    assert_eq!((unverified, damaged), (1, 0));
    let flip = world.restored(Kind::Config, &id(5), Outcome::Damaged);
    world.ask(flip).await.unwrap();
    assert_eq!(ages().await.2, 1);
}
