//! The example events, played in the order of a recovery.

use super::*;

macro_rules! event {
    ($name:literal) => {
        serde_json::from_str::<Request>(include_str!(concat!(
            "../../../../events/recovery-log/",
            $name,
            ".json"
        )))
        .unwrap()
    };
}

async fn play(world: &World, request: Request) -> Result<Response, ErrorName> {
    // A claim loses what is written until it is made.
    let second = if matches!(request, Request::Claim { .. }) { 40 } else { 60 };
    handle(request, world, at(second)).await.map_err(|fault| fault.name)
}

#[tokio::test]
async fn a_recovery_by_example() {
    let world = world();
    let invalid = Err(ErrorName::InvalidInput);
    assert_eq!(play(&world, event!("open-without-plan-is-invalid")).await, invalid);
    let opened = play(&world, event!("open-by-alarm")).await.unwrap();
    assert!(matches!(opened, Response::Opened { epoch: Epoch(2), .. }), "{opened:?}");
    let second = play(&world, event!("open-second-stands-down")).await.unwrap();
    assert!(matches!(second, Response::StandDown { .. }), "{second:?}");
    let step = play(&world, event!("record-step")).await.unwrap();
    assert_eq!(step, Response::Recorded { sequence: 1 });
    let approval = play(&world, event!("record-approval")).await.unwrap();
    assert_eq!(approval, Response::Recorded { sequence: 2 });
    assert_eq!(play(&world, event!("claim-stale-epoch")).await, Err(ErrorName::StaleEpoch));
    assert_eq!(play(&world, event!("claim-other-site-is-invalid")).await, invalid);
    assert_eq!(play(&world, event!("close-before-claim-is-invalid")).await, invalid);
    let claimed = play(&world, event!("claim")).await.unwrap();
    assert!(matches!(claimed, Response::Claimed { epoch: Epoch(2), .. }), "{claimed:?}");
    let settled = play(&world, event!("settle")).await.unwrap();
    assert_eq!(settled, Response::Settled { behind: Vec::new() });
    let closed = play(&world, event!("close-recovered")).await.unwrap();
    assert!(matches!(closed, Response::Closed { recovery_seconds: Some(35.0), .. }), "{closed:?}");
}

#[tokio::test]
async fn the_other_endings_by_example() {
    let closes =
        [(event!("close-stood-down"), Ending::StoodDown), (event!("close-failed"), Ending::Failed)];
    for (close, expected) in closes {
        let world = world();
        play(&world, event!("open-by-alarm")).await.unwrap();
        let closed = play(&world, close).await.unwrap();
        assert!(
            matches!(closed, Response::Closed { ending, .. } if ending == expected),
            "{closed:?}"
        );
        let next = play(&world, event!("open-by-operator")).await.unwrap();
        assert!(matches!(next, Response::Opened { epoch: Epoch(4), .. }), "{next:?}");
    }
    let world = world();
    play(&world, event!("open-by-alarm")).await.unwrap();
    assert_eq!(play(&world, event!("release")).await, Ok(Response::Released {}));
    assert_eq!(play(&world, event!("claim")).await, Err(ErrorName::StaleEpoch));
}
