//! Moments that RDS restores from its automated backups.

use std::sync::atomic::Ordering;

use lifeboat_core::{ErrorName, backup::Outcome, ledger::ControlRecord};

use super::{super::*, fake::*};

const KIND: Kind = Kind::DatabaseSnapshot;

fn to() -> Timestamp {
    point().time().unwrap()
}

/// A world in which the other region's automated backups are replicated here.
fn world() -> Fake {
    let record = ControlRecord::first(app(), "a".parse().unwrap(), now());
    let window = Some(("2026-11-20T00:00:00Z".parse().unwrap(), now()));
    Fake { window, record: Some(record), ..Fake::default() }
}

fn choose(id: Option<PointId>, to: Timestamp) -> Request {
    Request::Choose { app: app(), kind: KIND, id, to: Some(to) }
}

#[tokio::test]
async fn a_moment_within_the_window_is_chosen_and_another_is_told_the_window() {
    let all = ports(world());
    // Of a moment's name there may be a snapshot; a part of a second is cut off.
    let later = to() + jiff::SignedDuration::from_millis(900);
    for id in [None, Some(point())] {
        let response = handle(choose(id, later), &all, now()).await.unwrap();
        let Response::Chosen { id, reason } = response else { panic!("{response:?}") };
        assert_eq!(id, point());
        assert!(reason.contains("replicated here, of queue-a"), "{reason}");
    }
    let early = "2026-11-19T23:59:59Z".parse().unwrap();
    let response = handle(choose(None, early), &all, now()).await.unwrap();
    let Response::Unreliable { reason, instead: None } = response else { panic!("{response:?}") };
    assert!(reason.contains("from 2026-11-20T00:00:00Z to 2026-11-24T13:00:00Z"), "{reason}");

    let wrong = [
        choose(Some(PointId::new("20261124T080000Z-full").unwrap()), to()),
        choose(None, now() + jiff::SignedDuration::from_secs(1)),
        Request::Start {
            app: app(),
            kind: KIND,
            id: PointId::new("20261124T080000Z-full").unwrap(),
            to: Some(to()),
            target: Target::Scratch,
        },
    ];
    for request in wrong {
        let fault = handle(request, &all, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::InvalidInput, "{fault}");
    }
    let all = ports(Fake { self_managed: true, ..world() });
    let fault = handle(choose(None, to()), &all, now()).await.unwrap_err();
    assert!(fault.message.contains("restore database-base to"), "{fault}");
}

#[tokio::test]
async fn a_moment_outside_the_window_is_not_begun() {
    for target in [Target::Scratch, Target::Place] {
        for window in [None, Some((now(), now()))] {
            let all = ports(Fake { window, ..world() });
            let begin = start_to(KIND, Some(to()), target);
            let fault = handle(begin, &all, now()).await.unwrap_err();
            assert_eq!(fault.name, ErrorName::Refused, "{fault}");
            assert_eq!(all.world.restored.load(Ordering::SeqCst), 0);
        }
    }
}

/// Starts and asks until there is an answer, RDS advancing in between.
async fn restored(all: &Ports<Fake>, target: Target) -> Response {
    for _ in 0..10 {
        match handle(start_to(KIND, Some(to()), target), all, now()).await {
            Ok(Response::Started { .. }) => all.world.advance(),
            Err(fault) if fault.name == ErrorName::Transient => {}
            other => return other.unwrap(),
        }
    }
    panic!("it does not end")
}

#[tokio::test]
async fn a_failure_at_any_call_ends_in_one_restore_and_scratch_is_removed() {
    for place in 0..16 {
        for target in [Target::Scratch, Target::Place] {
            let all = ports(Fake { fail_at: Some(place), ..world() });
            let response = restored(&all, target).await;
            let Response::Restored { result } = response else { panic!("{response:?}") };
            assert_eq!(result.outcome, Outcome::Sound, "call {place}");
            assert!(result.facts[1].contains("a moment between backups"), "{:?}", result.facts);
            assert_eq!(all.world.restored.load(Ordering::SeqCst), 1, "call {place}");
            if target == Target::Place {
                assert_eq!(all.world.deleted.load(Ordering::SeqCst), 0, "call {place}");
                continue;
            }
            for _ in 0..5 {
                let remove =
                    Request::Remove { app: app(), kind: KIND, id: point(), to: Some(to()) };
                if handle(remove, &all, now()).await == Ok(Response::Removed) {
                    break;
                }
                all.world.advance();
            }
            assert_eq!(*all.world.instance.lock().unwrap(), None, "call {place}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_of_the_same_name_is_another_instance() {
    let all = ports(world());
    handle(start(KIND, Target::Scratch), &all, now()).await.unwrap();
    // It is found under the name of the moment only because this world has one instance.
    let fault = handle(start_to(KIND, Some(to()), Target::Scratch), &all, now()).await;
    assert_eq!(fault.unwrap_err().name, ErrorName::Refused);
}
