//! Runs that could not tell.

use jiff::Timestamp;
use lifeboat_catalogue::testing::Failure;
use lifeboat_core::{
    ErrorName,
    backup::{Depth, Kind, Outcome, Standing},
    contract::verify_backup::{Request, Response},
};

use super::{
    due,
    world::{Act, World, at, id},
};

fn undecided(kind: Kind, depth: Depth, run: &str) -> Request {
    Request::Undecided {
        app: "queue".parse().unwrap(),
        kind,
        id: id(1),
        depth,
        run: run.parse().unwrap(),
        why: "no host answers".into(),
    }
}

/// The run of this hour, and the moment at which it ends.
async fn ask(world: &World, kind: Kind, depth: Depth, hour: u32) -> (u32, bool) {
    let run = format!("2026-11-24T{hour:02}:00:00.250Z");
    world.bucket.at(run.parse::<Timestamp>().unwrap());
    let response = world.ask(undecided(kind, depth, &run)).await.unwrap();
    let Response::Undecided { attempt, tell, record } = response else { panic!("{response:?}") };
    assert_eq!(record.why, "no host answers");
    (attempt, tell)
}

fn left(world: &World) -> usize {
    world.bucket.keys().iter().filter(|key| key.contains("-undecided-")).count()
}

#[tokio::test]
async fn a_person_is_told_at_the_third_run_and_never_again() {
    let world = World::new();
    world.bucket.at(at("2026-11-24T01:00:00Z"));
    world.backup(Kind::DatabaseSnapshot, &id(1), b"", Act::None);
    let told = [(1, false), (2, false), (3, true), (4, false), (4, false)];
    for (hour, expected) in (2..).zip(told) {
        for again in 0..2 {
            let answer = ask(&world, Kind::DatabaseSnapshot, Depth::Restored, hour).await;
            assert_eq!(answer, expected, "hour {hour}, {again}");
        }
    }
    assert_eq!(left(&world), 3, "nothing is written for ever");
    let app = "queue".parse().unwrap();
    let point = world.backups().point(&app, Kind::DatabaseSnapshot, &id(1)).await.unwrap().unwrap();
    assert_eq!(point.checks.standing(), Standing::Unverified, "could not tell is no damage");
    assert_eq!(point.checks.unproven.restored.map(|attempts| attempts.count), Some(3));
    assert_eq!(due(&world).await, ["present database-snapshot 20261124T010000Z-full"]);
    // A verdict ends it.
    world.bucket.at(at("2026-11-24T10:00:00Z"));
    world.ask(world.restored(Kind::DatabaseSnapshot, &id(1), Outcome::Sound)).await.unwrap();
    assert_eq!(ask(&world, Kind::DatabaseSnapshot, Depth::Restored, 11).await, (1, false));
}

#[tokio::test]
async fn an_attempt_whose_answer_is_lost_is_the_same_attempt() {
    for failure in [Failure::Before, Failure::AnswerLost] {
        for call in 0..3 {
            let world = World::new();
            world.bucket.at(at("2026-11-24T01:00:00Z"));
            world.backup(Kind::Config, &id(1), b"configuration", Act::None);
            world.bucket.fail(call, failure);
            let request = undecided(Kind::Config, Depth::Read, "2026-11-24T02:00:00Z");
            let fault = world.ask(request).await.unwrap_err();
            assert_eq!(fault.name, ErrorName::Transient, "{call}");
            assert_eq!(ask(&world, Kind::Config, Depth::Read, 2).await, (1, false), "{call}");
            assert_eq!(left(&world), 1);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_counted_is_told() {
    let world = World::new();
    // Swept meanwhile; and WAL, of which each check asks for another segment.
    assert_eq!(ask(&world, Kind::Config, Depth::Read, 2).await, (1, true));
    world.backup(Kind::DatabaseWal, &id(1), b"", Act::None);
    assert_eq!(ask(&world, Kind::DatabaseWal, Depth::Read, 2).await, (1, true));
    assert_eq!(left(&world), 0);
}
