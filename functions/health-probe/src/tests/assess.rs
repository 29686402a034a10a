use lifeboat_core::{
    plan_file::Replication,
    situation::{Observation, estimated_loss},
    vote::SiteVerdict,
};

use super::{
    fake::{Fake, Mood},
    *,
};
use crate::Memory;

fn assessed(response: Response) -> Observation {
    let Response::Assess { observation } = response else { panic!("not an assessment") };
    observation
}

/// Well until 30 s before the assessment, down since, the replica having caught up 1.5 s earlier.
fn remembered() -> Memory {
    let down = (-60..-30).step_by(2).map(|second| (at(f64::from(second)), 0.0));
    let down = down.chain((-30..0).step_by(2).map(|second| (at(f64::from(second)), 1.0)));
    let lag = (-31..0).step_by(2).map(|second| (at(f64::from(second)), f64::from(second + 32)));
    Memory {
        site_down: [("a".parse().unwrap(), down.collect())].into(),
        lag_seconds: lag.map(|(at, lag)| (at, lag - 0.5)).collect(),
    }
}

fn struck() -> Fake {
    let world = Fake::warm_standby();
    world.lose("127.0.21");
    Fake { memory: remembered(), ..world }
}

#[tokio::test(start_paused = true)]
async fn what_is_down_has_been_down_since_the_metrics_say_so() {
    let world = struck().shared();
    let first = assessed(ask(&world, ASSESS).await.unwrap());
    assert_eq!(first.sites["a"].verdict, SiteVerdict::Down);
    assert_eq!(first.sites["a"].down_since, Some(at(-30.0)));
    assert_eq!(first.sites["a"].held_since, Some(at(-30.0)));
    assert_eq!((first.sites["b"].down_since, first.sites["b"].held_since), (None, None));
    assert_eq!(first.replica.caught_up_at, Some(at(-31.5)));
    let loss = estimated_loss(&first, &"a".parse().unwrap(), Replication::Asynchronous);
    assert_eq!((loss.seconds, loss.since), (Some(37.0), Some(at(-31.5))));

    let again = assessed(ask(&world, ASSESS).await.unwrap());
    assert_eq!((again.sites, again.replica), (first.sites, first.replica));
}

#[tokio::test(start_paused = true)]
async fn without_the_metrics_the_loss_is_unknown_and_nothing_fails() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let world = Fake { recall: mood, ..struck() }.shared();
        let seen = assessed(ask(&world, ASSESS).await.unwrap());
        assert_eq!(seen.sites["a"].verdict, SiteVerdict::Down);
        assert_eq!((seen.sites["a"].down_since, seen.replica.caught_up_at), (None, None));
        assert_eq!(seen.sites["a"].held_since, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_that_the_metrics_knew_well_is_down_since_this_round() {
    let mut world = struck();
    world.memory.site_down.values_mut().next().unwrap().push((at(-1.0), 0.0));
    let seen = assessed(ask(&world.shared(), ASSESS).await.unwrap());
    let since = (seen.sites["a"].down_since, seen.sites["a"].held_since);
    assert_eq!(since, (Some(at(0.0)), Some(at(0.0))));
}

#[tokio::test(start_paused = true)]
async fn a_site_that_is_well_now_is_down_since_never() {
    let world = Fake { memory: remembered(), ..Fake::warm_standby() }.shared();
    let seen = assessed(ask(&world, ASSESS).await.unwrap());
    assert_eq!(seen.sites["a"].down_since, None);
    assert_eq!(seen.replica.caught_up_at, Some(at(0.0)));
    assert!(world.kept().is_empty(), "an assessment is not a round of the metrics");
}
