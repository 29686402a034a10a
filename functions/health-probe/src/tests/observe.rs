use std::time::Duration;

use lifeboat_core::{situation::Observation, vote::Sight, vote::Vote};

use super::{
    ask_from, at,
    fake::{Fake, Mood, primary, replica},
    *,
};
use crate::Clock;

fn observed(response: Response) -> (u32, Observation) {
    let Response::Observe { rounds, last } = response else { panic!("not an observation") };
    (rounds, last)
}

fn site_down(world: &Fake, round: usize, site: &str) -> Option<f64> {
    let kept = world.kept();
    let found = kept[round].site_down.iter().find(|(name, _)| name.as_str() == site);
    found.map(|(_, value)| *value)
}

#[tokio::test(start_paused = true)]
async fn rounds_begin_every_interval_until_the_next_invocation_takes_over() {
    let world = Fake::warm_standby().shared();
    let (rounds, last) = observed(ask(&world, OBSERVE).await.unwrap());
    let begun: Vec<Timestamp> = world.kept().iter().map(|round| round.at).collect();
    let expected: Vec<Timestamp> = (0..30).map(|round| at(f64::from(round) * 2.0)).collect();
    assert_eq!((rounds, begun), (30, expected));
    assert_eq!(last.observed_at, at(58.0));
    assert!(world.now() < at(60.0), "{}", world.now());
}

#[tokio::test(start_paused = true)]
async fn rounds_that_take_their_whole_deadline_keep_the_cadence() {
    let mut world = Fake::warm_standby();
    world.check_takes = Duration::from_secs(60);
    let world = world.shared();
    let (rounds, _) = observed(ask(&world, OBSERVE).await.unwrap());
    assert_eq!((rounds, world.kept().last().unwrap().at), (30, at(58.0)));
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_must_end_early_hands_in_what_it_has() {
    let world = Fake::warm_standby().shared();
    let request = serde_json::from_str(OBSERVE).unwrap();
    let region = "us-west-2".parse().unwrap();
    let (rounds, _) = observed(handle(request, &world, &region, at(10.0)).await.unwrap());
    // A round at 6 s could last until 7.8 s and leaves 2 s; one at 8 s would not.
    assert_eq!((rounds, world.kept().len()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn metrics_that_cannot_be_kept_never_delay_a_round() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let mut world = Fake::warm_standby();
        world.puts = mood;
        let world = world.shared();
        let (rounds, last) = observed(ask(&world, OBSERVE).await.unwrap());
        assert_eq!((rounds, last.observed_at), (30, at(58.0)), "{mood:?}");
        assert!(world.now() <= at(59.6), "{mood:?}: {}", world.now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_site_is_down_and_a_warm_standby_is_not() {
    let world = Fake::warm_standby().shared();
    let first = observed(ask(&world, OBSERVE).await.unwrap()).1;
    assert_eq!(first.sight, Sight::Clear);
    assert_eq!((site_down(&world, 0, "a"), site_down(&world, 0, "b")), (Some(0.0), Some(0.0)));

    let world = Fake::warm_standby().shared();
    world.lose("127.0.21");
    observed(ask(&world, OBSERVE).await.unwrap());
    assert_eq!((site_down(&world, 0, "a"), site_down(&world, 0, "b")), (Some(1.0), Some(0.0)));
}

#[tokio::test(start_paused = true)]
async fn a_blind_observer_keeps_no_vote_and_says_that_it_is_blind() {
    let world = Fake::warm_standby().shared();
    world.lose("127.0.21");
    world.lose("127.0.22");
    let (_, last) = observed(ask(&world, OBSERVE).await.unwrap());
    assert_eq!(last.sight, Sight::Blind);
    for round in world.kept() {
        assert_eq!((round.site_down, round.blind, round.lag_seconds), (vec![], 1.0, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_dies_is_unknown() {
    let world = Fake::warm_standby().shared();
    world.votes.lock().unwrap().insert("127.0.21.10".into(), Vote::Unknown);
    let (_, last) = observed(ask(&world, OBSERVE).await.unwrap());
    let http = last.sites["a"].checks.values().next().unwrap();
    assert_eq!(http.vote, Vote::Unknown);
    assert_eq!(site_down(&world, 0, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn the_lag_grows_from_the_last_moment_at_which_the_replica_held_everything() {
    let world = Fake::warm_standby().shared();
    let later = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            world.pause_until(at(9.0)).await;
            world.lose("127.0.21");
        }
    });
    let (_, last) = observed(ask(&world, OBSERVE).await.unwrap());
    later.await.unwrap();
    let lags: Vec<f64> = world.kept().iter().filter_map(|round| round.lag_seconds).collect();
    assert_eq!(lags[..7], [0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 4.0]);
    assert_eq!(last.replica.caught_up_at, Some(at(8.0)));
    assert_eq!(last.replica.received_lsn.as_deref(), Some("0/64"));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stops_receiving_lags_although_it_answers() {
    let world = Fake::warm_standby().shared();
    world.databases.lock().unwrap().insert("127.0.21.20".into(), primary(200));
    let (_, last) = observed(ask(&world, OBSERVE).await.unwrap());
    assert_eq!((last.replica.vote, last.replica.caught_up_at), (Vote::Up, None));
    assert!(world.kept().iter().all(|round| round.lag_seconds.is_none()));
}

#[tokio::test(start_paused = true)]
async fn the_active_region_has_no_replica_and_states_no_lag() {
    let world = Fake::warm_standby().shared();
    world.databases.lock().unwrap().insert("127.0.11.20".into(), primary(100));
    let (_, last) = observed(ask_from(&world, OBSERVE, "us-east-1").await.unwrap());
    assert_eq!(last.replica.in_recovery, Some(false));
    assert_eq!((last.replica.received_lsn, last.replica.caught_up_at), (None, None));
    assert!(world.kept().iter().all(|round| round.lag_seconds.is_none()));
}

/// What the metrics say of the first round: broken, behind, degraded.
async fn standing(world: Fake, region: &str) -> (Option<f64>, Option<f64>, Option<(String, f64)>) {
    let world = world.shared();
    observed(ask_from(&world, OBSERVE, region).await.unwrap());
    let first = world.kept()[0].clone();
    let degraded = first.degraded.map(|(site, value)| (site.to_string(), value));
    (first.broken, first.behind_seconds, degraded)
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_gets_nothing_is_broken_and_one_without_a_primary_is_not() {
    let well = (Some(0.0), Some(0.0), Some(("a".to_owned(), 0.0)));
    assert_eq!(standing(Fake::warm_standby(), "us-west-2").await, well);
    let with = |state| {
        let world = Fake::warm_standby();
        world.databases.lock().unwrap().extend([("127.0.22.20".to_owned(), state)]);
        world
    };
    let cut = lifeboat_postgres::State { receives: false, ..replica(90) };
    assert_eq!(standing(with(cut), "us-west-2").await.0, Some(1.0));
    // Both databases are primaries: nobody follows.
    let (broken, _, degraded) = standing(with(primary(100)), "us-west-2").await;
    assert_eq!((broken, degraded), (Some(1.0), None));
    let world = Fake::warm_standby();
    world.databases.lock().unwrap().remove("127.0.22.20");
    assert_eq!(standing(world, "us-west-2").await.0, Some(1.0), "the standby does not answer");
    // An outage of the active site is no broken replication.
    let world = Fake::warm_standby();
    world.lose("127.0.21");
    assert_eq!(standing(world, "us-west-2").await, (None, None, None));
    // Nor is anything told by one who sees nothing.
    let world = Fake::warm_standby();
    world.lose("127.0.22");
    assert_eq!(standing(world, "us-west-2").await.0, None);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_never_catches_up_is_behind_by_what_is_known_and_its_lag_stays_unknown() {
    let world = Fake::warm_standby().shared();
    world.databases.lock().unwrap().insert("127.0.21.20".into(), primary(200));
    observed(ask(&world, OBSERVE).await.unwrap());
    let last = world.kept().last().unwrap().clone();
    assert_eq!((last.lag_seconds, last.behind_seconds), (None, Some(58.0)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_app_degrades_the_active_site_and_a_warm_standby_is_not_degraded() {
    let world = Fake::warm_standby();
    world.votes.lock().unwrap().insert("127.0.21.10".into(), Vote::Down);
    assert_eq!(standing(world, "us-west-2").await.2, Some(("a".to_owned(), 1.0)));
}
