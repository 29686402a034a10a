//! The legal hold, after every prefix of the calls that move it.

use lifeboat_catalogue::{LegalHolds, testing::Failure};
use lifeboat_core::backup::{Depth, Kind, Outcome, PointId, keys};

use super::{
    check,
    world::{Act, World, at, clock, id},
};
use crate::holds;

fn objects(id: &PointId) -> Vec<String> {
    let app = "queue".parse().unwrap();
    vec![
        keys::artifact(&app, Kind::Config, id, "files.tar.zst"),
        keys::manifest(&app, Kind::Config, id),
    ]
}

async fn move_hold(world: &World) -> Result<(), lifeboat_core::Fault> {
    let app = "queue".parse().unwrap();
    holds::move_to_newest(&world.backups(), &app, Kind::Config, clock()).await
}

/// Two backups; the older one is read and held, the newer one is read and not yet held.
async fn between() -> World {
    let world = World::new();
    world.backup(Kind::Config, &id(1), b"configuration", Act::None);
    world.ask(check(Kind::Config, &id(1), Depth::Read)).await.unwrap();
    assert_eq!(world.bucket.held(), objects(&id(1)));
    world.backup(Kind::Config, &id(2), b"configuration", Act::None);
    let app = "queue".parse().unwrap();
    let read = keys::evidence(&app, Kind::Config, &id(2), Depth::Read, Outcome::Sound);
    world.bucket.force(&read, "{}");
    world.bucket.heal();
    world
}

#[tokio::test]
async fn the_hold_follows_the_newest_that_counts() {
    let world = between().await;
    move_hold(&world).await.unwrap();
    assert_eq!(world.bucket.held(), objects(&id(2)));
    // Damage sends it back to the one before.
    let flip = world.restored(Kind::Config, &id(2), Outcome::Damaged);
    world.ask(flip).await.unwrap();
    assert_eq!(world.bucket.held(), objects(&id(1)));
    // With nothing that counts it stays.
    let flip = world.restored(Kind::Config, &id(1), Outcome::Damaged);
    world.ask(flip).await.unwrap();
    assert_eq!(world.bucket.held(), objects(&id(1)));
}

#[tokio::test]
async fn a_hold_that_the_other_region_has_lifted_is_set_again() {
    let world = between().await;
    move_hold(&world).await.unwrap();
    for key in objects(&id(2)) {
        world.bucket.hold(&key, false).await.unwrap();
    }
    assert!(world.bucket.held().is_empty());
    move_hold(&world).await.unwrap();
    assert_eq!(world.bucket.held(), objects(&id(2)));
}

#[tokio::test]
async fn cut_off_anywhere_one_of_them_is_held_whole_and_a_second_try_leaves_no_other() {
    let world = between().await;
    move_hold(&world).await.unwrap();
    let calls = world.bucket.calls().len();
    for failure in [Failure::Before, Failure::AnswerLost] {
        for call in 0..calls {
            let world = between().await;
            world.bucket.fail(call, failure);
            move_hold(&world).await.unwrap_err();
            let held = world.bucket.held();
            let whole = |id| objects(&id).iter().all(|key| held.contains(key));
            assert!(whole(id(1)) || whole(id(2)), "{call} {failure:?}: {held:?}");
            move_hold(&world).await.unwrap();
            assert_eq!(world.bucket.held(), objects(&id(2)), "{call} {failure:?}");
        }
    }
}

#[tokio::test]
async fn what_the_newest_is_restored_on_top_of_is_held_with_it() {
    let world = World::new();
    let base = id(0);
    let child = PointId::incremental(at("2026-11-24T04:00:00Z"), &base);
    for id in [&base, &child] {
        world.backup(Kind::DatabaseBase, id, b"a base", Act::None);
        world.ask(check(Kind::DatabaseBase, id, Depth::Present)).await.unwrap();
    }
    assert!(world.bucket.held().is_empty(), "what was only looked at does not count");
    let app = "queue".parse().unwrap();
    for id in [&base, &child] {
        let read = keys::evidence(&app, Kind::DatabaseBase, id, Depth::Read, Outcome::Sound);
        world.bucket.force(&read, "{}");
    }
    holds::move_to_newest(&world.backups(), &app, Kind::DatabaseBase, clock()).await.unwrap();
    assert_eq!(world.bucket.held().len(), 4);
}

#[tokio::test]
async fn two_that_move_it_at_once_leave_no_object_held_that_is_not_the_newests() {
    // One of them is cut off at each of its calls, the other one goes through, and the first goes
    // on: as much as two state machines can do to each other.
    let calls = {
        let world = between().await;
        move_hold(&world).await.unwrap();
        world.bucket.calls().len()
    };
    for call in 0..calls {
        let world = between().await;
        world.bucket.fail(call, Failure::AnswerLost);
        move_hold(&world).await.unwrap_err();
        world.backup(Kind::Config, &id(3), b"configuration", Act::None);
        world.ask(check(Kind::Config, &id(3), Depth::Read)).await.unwrap();
        move_hold(&world).await.unwrap();
        assert_eq!(world.bucket.held(), objects(&id(3)), "{call}");
    }
}
