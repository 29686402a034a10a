//! Choosing, and restores that a host makes.

use lifeboat_core::{
    ErrorName,
    backup::Outcome,
    ledger::{ControlRecord, Holder, HolderState},
};
use lifeboat_hosts::{HostFailure, Progress};

use super::{super::*, fake::*};

const KIND: Kind = Kind::DatabaseDump;
const OLDER: &str = "20261124T080000Z-full";

#[tokio::test]
async fn the_newest_verified_is_chosen_and_a_damaged_one_is_answered_with_an_older_one() {
    let points = vec![(OLDER, Some(Outcome::Sound)), (POINT, Some(Outcome::Damaged))];
    let ports = ports(Fake { points, ..Fake::default() });
    let choose = |id: Option<&str>| Request::Choose {
        app: app(),
        kind: KIND,
        id: id.map(|id| PointId::new(id).unwrap()),
        to: None,
    };
    let Response::Chosen { id, reason } = handle(choose(None), &ports, now()).await.unwrap() else {
        panic!("the older one")
    };
    assert_eq!(id.as_str(), OLDER);
    assert!(reason.contains(POINT), "{reason}");
    let response = handle(choose(Some(POINT)), &ports, now()).await.unwrap();
    let Response::Unreliable { instead, .. } = response else { panic!("{response:?}") };
    assert_eq!(instead.unwrap().as_str(), OLDER);
}

#[tokio::test]
async fn only_what_is_verified_goes_into_use_and_anything_into_scratch() {
    for outcome in [None, Some(Outcome::Damaged)] {
        let ports = ports(Fake { points: vec![(POINT, outcome)], ..Fake::default() });
        let fault = handle(start(KIND, Target::Place), &ports, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused, "{fault}");
        assert!(ports.world.sent.lock().unwrap().is_empty());
        handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
    }
    let points = vec![(POINT, Some(Outcome::Sound))];
    let ports = ports(Fake { points, ..Fake::default() });
    handle(start(KIND, Target::Place), &ports, now()).await.unwrap();
    let sent = ports.world.sent.lock().unwrap();
    assert!(sent[0].parameters.contains(&("Target", "place".to_owned())));
    assert!(sent[0].parameters.contains(&("Site", "b".to_owned())), "this region's site");
}

#[tokio::test]
async fn starting_twice_sends_once_and_a_failure_at_any_call_is_mended_by_asking_again() {
    for place in 0.. {
        let ports = ports(Fake { fail_at: Some(place), ..Fake::default() });
        match handle(start(KIND, Target::Scratch), &ports, now()).await {
            Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
            // Past the last call.
            Ok(_) => break,
        }
        let again = handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
        assert_eq!(again, Response::Started { commands: vec!["command-1".into()] });
        assert_eq!(ports.world.sent.lock().unwrap().len(), 1);
    }
    let ports = ports(Fake::default());
    for _ in 0..2 {
        handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
    }
    assert_eq!(ports.world.sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_line_of_the_output_is_the_result() {
    let line = r#"{"started_at":"2026-11-24T12:00:00Z","ended_at":"2026-11-24T12:01:00Z","outcome":"damaged","facts":["1 table"],"findings":[{"file":"database.dump.zst","message":"cut short"}]}"#;
    let world = |output: String| Fake {
        progress: Some(Progress::Succeeded { hosts: 1 }),
        output,
        ..Fake::default()
    };
    let all = ports(world(format!("restoring\n{line}\n\n")));
    let response = handle(poll(KIND, &["command-1"]), &all, now()).await.unwrap();
    let Response::Restored { result } = response else { panic!("{response:?}") };
    assert_eq!((result.outcome, result.findings.len()), (Outcome::Damaged, 1));

    for output in ["", "done", r#"{"outcome":"sound"}"#] {
        let all = ports(world(output.to_owned()));
        let fault = handle(poll(KIND, &["command-1"]), &all, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NeedsHuman, "{output}");
    }
}

#[tokio::test]
async fn a_restore_that_goes_on_is_not_ready_and_one_that_failed_is_no_verdict() {
    let all = ports(Fake::default());
    let fault = handle(poll(KIND, &["command-1"]), &all, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NotReady);
    let failure = HostFailure {
        host: "i-1".into(),
        status: "Failed".into(),
        exit_code: Some(1),
        last_line: "no room in /var/tmp".into(),
    };
    let all = ports(Fake { progress: Some(Progress::Failed(vec![failure])), ..Fake::default() });
    let fault = handle(poll(KIND, &["command-1"]), &all, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("no room in /var/tmp"), "{fault}");
    let fault = handle(poll(KIND, &[]), &all, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
}

#[tokio::test]
async fn a_host_is_told_the_moment_and_only_when_there_is_one() {
    let base = Kind::DatabaseBase;
    let to: Timestamp = "2026-11-24T12:30:00.9Z".parse().unwrap();
    let sound = || vec![(POINT, Some(Outcome::Sound))];
    let world = Fake { points: sound(), archived_until: Some(now()), ..Fake::default() };
    let all = ports(world);
    for target in [Target::Place, Target::Scratch] {
        handle(start_to(base, Some(to), target), &all, now()).await.unwrap();
        // The same to another moment, or to none, is another restore.
        handle(start(base, target), &all, now()).await.unwrap();
        handle(start_to(base, Some(to), target), &all, now()).await.unwrap();
        handle(start(base, target), &all, now()).await.unwrap();
    }
    let sent = all.world.sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 4);
    for order in sent.iter().step_by(2) {
        assert!(order.parameters.contains(&("To", "2026-11-24T12:30:00Z".to_owned())));
    }
    for order in sent.iter().skip(1).step_by(2) {
        assert!(order.parameters.iter().all(|(name, _)| *name != "To"));
    }

    // Into use goes only what reaches the moment.
    let all = ports(Fake { points: sound(), archived_until: point().time(), ..Fake::default() });
    let fault = handle(start_to(base, Some(to), Target::Place), &all, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused, "{fault}");
    assert!(fault.message.contains("reaches 2026-11-24T12:00:00Z"), "{fault}");
    let fault = handle(start_to(KIND, Some(to), Target::Scratch), &all, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput, "a dump has no moments: {fault}");
}

#[tokio::test]
async fn nothing_goes_into_use_on_a_host_while_a_recovery_is_open() {
    let place = || start(KIND, Target::Place);
    let with = |record| {
        let points = vec![(POINT, Some(Outcome::Sound))];
        ports(Fake { points, record: Some(record), ..Fake::default() })
    };
    let quiet = ControlRecord::first(app(), "a".parse().unwrap(), now());
    let mut open = quiet.clone();
    open.recovery = Some(Holder {
        incident: "queue-1".parse().unwrap(),
        execution: "arn".into(),
        target: "b".parse().unwrap(),
        epoch: lifeboat_core::Epoch(2),
        opened_at: now(),
        state: HolderState::Claimed,
        agreed_at: None,
        agreed_before: None,
    });
    let all = with(open.clone());
    let fault = handle(place(), &all, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused, "{fault}");
    assert!(fault.message.contains("recovery queue-1 of queue is open"), "{fault}");
    assert!(all.world.sent.lock().unwrap().is_empty());
    handle(start(KIND, Target::Scratch), &all, now()).await.unwrap();

    open.recovery.as_mut().unwrap().state = HolderState::Failed;
    for record in [quiet, open] {
        handle(place(), &with(record), now()).await.unwrap();
    }
}
