//! Snapshots that RDS restores into a scratch instance.

use std::sync::{Mutex, atomic::Ordering};

use lifeboat_core::{
    ErrorName,
    backup::{Outcome, TableCount, question::Answer},
};

use super::{super::*, fake::*};

const KIND: Kind = Kind::DatabaseSnapshot;

fn remove() -> Request {
    Request::Remove { app: app(), kind: KIND, id: point(), to: None }
}

/// Starts and asks until there is an answer, RDS advancing in between.
async fn restored(ports: &Ports<Fake>) -> Result<Response, Fault> {
    for _ in 0..10 {
        match handle(start(KIND, Target::Scratch), ports, now()).await {
            Ok(Response::Started { .. }) => ports.world.advance(),
            Err(fault) if fault.name == ErrorName::Transient => {}
            other => return other,
        }
    }
    panic!("it does not end")
}

async fn removed(ports: &Ports<Fake>) {
    for _ in 0..10 {
        match handle(remove(), ports, now()).await {
            Ok(response) => {
                assert_eq!(response, Response::Removed);
                return;
            }
            Err(fault) => {
                assert!(matches!(fault.name, ErrorName::NotReady | ErrorName::Transient), "{fault}")
            }
        }
        ports.world.advance();
    }
    panic!("it is not removed")
}

#[tokio::test]
async fn a_failure_at_any_call_ends_in_a_verdict_and_leaves_nothing() {
    for place in 0..16 {
        let ports = ports(Fake { fail_at: Some(place), ..Fake::default() });
        let response = restored(&ports).await.unwrap();
        let Response::Restored { result } = response else { panic!("{response:?}") };
        assert_eq!(result.outcome, Outcome::Sound, "call {place}");
        assert!(result.facts[0].contains("1 tables with 7 rows"), "{:?}", result.facts);
        removed(&ports).await;
        assert_eq!(ports.world.restored.load(Ordering::SeqCst), 1, "call {place}");
        assert_eq!(*ports.world.instance.lock().unwrap(), None);
    }
}

#[tokio::test]
async fn a_snapshot_that_is_missing_is_a_damaged_backup() {
    let ports = ports(Fake { no_snapshot: true, ..Fake::default() });
    let response = restored(&ports).await.unwrap();
    let Response::Restored { result } = response else { panic!("{response:?}") };
    assert_eq!(result.outcome, Outcome::Damaged);
    assert!(result.findings[0].message.contains("lifeboat-queue-20261124t120000z in us-west-2"));
    removed(&ports).await;
}

#[tokio::test]
async fn an_instance_without_our_tag_is_neither_read_nor_deleted() {
    let ports = ports(Fake { foreign: true, ..Fake::default() });
    assert_eq!(restored(&ports).await.unwrap_err().name, ErrorName::Refused);
    let fault = handle(remove(), &ports, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused, "{fault}");
    assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_instance_goes_whatever_the_look_found_or_how_it_failed() {
    let empty = Ok(Seen::default());
    let denied = Err(Fault::needs_human("password authentication failed"));
    for look in [empty, denied] {
        let ports = ports(Fake { look: Some(look.clone()), ..Fake::default() });
        match (look, restored(&ports).await) {
            (Ok(_), Ok(Response::Restored { result })) => {
                assert_eq!(result.outcome, Outcome::Damaged);
            }
            (Err(expected), Err(fault)) => assert_eq!(fault, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 1);
        removed(&ports).await;
    }
    let ports = ports(Fake::default());
    handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
    ports.world.instance.lock().unwrap().as_mut().unwrap().state =
        InstanceState::Failed("incompatible-restore".into());
    let fault = handle(poll(KIND, &[]), &ports, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    removed(&ports).await;
}

#[tokio::test]
async fn what_goes_into_use_is_a_new_instance_which_nothing_deletes() {
    let place = || start(KIND, Target::Place);
    for outcome in [None, Some(Outcome::Damaged)] {
        let ports = ports(Fake { points: vec![(POINT, outcome)], ..Fake::default() });
        let fault = handle(place(), &ports, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused, "{fault}");
        assert_eq!(ports.world.restored.load(Ordering::SeqCst), 0);
    }
    for look in [None, Some(Ok(Seen::default()))] {
        let points = vec![(POINT, Some(Outcome::Sound))];
        let ports = ports(Fake { points, look: look.clone(), ..Fake::default() });
        let began = handle(place(), &ports, now()).await.unwrap();
        assert_eq!(began, Response::Started { commands: Vec::new() });
        ports.world.advance();
        // However often it is asked for.
        for _ in 0..2 {
            let response = handle(place(), &ports, now()).await.unwrap();
            let Response::Restored { result } = response else { panic!("{response:?}") };
            let outcome = if look.is_none() { Outcome::Sound } else { Outcome::Damaged };
            assert_eq!(result.outcome, outcome);
            let facts = result.facts.join("\n");
            assert!(
                facts.contains("queue-restored-20261124120000 takes connections at 10.0.0.1:5432")
            );
            assert!(facts.contains("sites.b.database") && facts.contains("lifeboat plan apply"));
        }
        assert_eq!(ports.world.restored.load(Ordering::SeqCst), 1);
        // What failed is not deleted either, nor by a removal of scratch.
        let mut instance = ports.world.instance.lock().unwrap().clone().unwrap();
        instance.state = InstanceState::Failed("storage-full".into());
        *ports.world.instance.lock().unwrap() = Some(instance);
        let fault = handle(place(), &ports, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NeedsHuman, "{fault}");
        assert_eq!(handle(remove(), &ports, now()).await.unwrap_err().name, ErrorName::Refused);
        assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 0);
    }
    let points = vec![(POINT, Some(Outcome::Sound))];
    let ports = ports(Fake { points, foreign: true, ..Fake::default() });
    handle(place(), &ports, now()).await.unwrap();
    let fault = handle(place(), &ports, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused, "it is somebody else's: {fault}");
}

#[test]
fn every_difference_from_the_manifest_is_a_finding() {
    let count = |table: &str, rows| TableCount { table: table.into(), rows: Some(rows) };
    let mut expected = manifest(KIND);
    expected.tables = vec![count("public.a", 1), count("public.b", 2), count("public.c", 3)];
    let seen = Seen {
        in_recovery: true,
        tables: [("public.a".into(), Rows::Counted(1)), ("public.b".into(), Rows::Counted(1))]
            .into(),
        checks: vec![
            ("holds".into(), Answer::Holds),
            ("fails".into(), Answer::Fails("answered false".into())),
            ("breaks".into(), Answer::Unasked("no such column (SQLSTATE 42703)".into())),
        ],
        unreadable: Vec::new(),
    };
    let Judgement { facts, findings, unasked } = judge(Some(&expected), &seen);
    let places: Vec<&str> = findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["", "table public.b", "table public.c", "check fails"]);
    assert!(unasked[0].contains("check `breaks` (backup.checks[2] of the plan)"), "{unasked:?}");
    assert!(facts.contains(&"1 of 3 checks of the plan hold".to_owned()), "{facts:?}");
    let sound = Seen { in_recovery: false, checks: Vec::new(), ..seen };
    expected.tables = vec![count("public.a", 1), count("public.b", 1)];
    assert!(judge(Some(&expected), &sound).findings.is_empty());
}

#[tokio::test]
async fn a_check_that_cannot_be_asked_is_no_damage_and_leaves_nothing() {
    let answer = Answer::Unasked("relation \"new\" does not exist (SQLSTATE 42P01)".into());
    let seen = Seen {
        tables: [("public.a".into(), Rows::Counted(1))].into(),
        checks: vec![("new".into(), answer)],
        ..Seen::default()
    };
    let world = Fake { look: Some(Ok(seen.clone())), ..Fake::default() };
    let ports = ports(world);
    let fault = restored(&ports).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
    for said in ["check `new` (backup.checks[0] of the plan)", "SQLSTATE 42P01", "plan apply"] {
        assert!(fault.message.contains(said), "{said}: {fault}");
    }
    assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 1);
    removed(&ports).await;

    // What goes into use is there, and its endpoint is told.
    let points = vec![(POINT, Some(Outcome::Sound))];
    let ports = super::fake::ports(Fake { points, look: Some(Ok(seen)), ..Fake::default() });
    handle(start(KIND, Target::Place), &ports, now()).await.unwrap();
    ports.world.advance();
    let response = handle(start(KIND, Target::Place), &ports, now()).await.unwrap();
    let Response::Restored { result } = response else { panic!("{response:?}") };
    assert_eq!(result.outcome, Outcome::Sound);
    let facts = result.facts.join("\n");
    assert!(facts.contains("backup.checks[0]") && facts.contains("10.0.0.1:5432"), "{facts}");
}

fn table(rows: Rows) -> Seen {
    Seen { tables: [("public.tickets".into(), rows)].into(), ..Seen::default() }
}

#[tokio::test]
async fn a_table_that_is_too_large_is_sampled_and_the_evidence_says_so() {
    let mut seen = table(Rows::Sampled { rows: 31, millionths: 500, bytes: 1 << 40 });
    seen.tables.insert("public.places".into(), Rows::Counted(7));
    let ports = ports(Fake { look: Some(Ok(seen.clone())), ..Fake::default() });
    let Response::Restored { result } = restored(&ports).await.unwrap() else { panic!() };
    assert_eq!(result.outcome, Outcome::Sound);
    let facts = result.facts.join("\n");
    for said in [
        "1 of 2 tables with 7 rows were read whole",
        "public.tickets (31 rows in 0.05 % of 1099511627776 bytes)",
        "nothing is known of their other pages",
    ] {
        assert!(facts.contains(said), "{said}: {facts}");
    }
    // What a sample found is held against no count.
    let mut expected = manifest(KIND);
    expected.tables = vec![TableCount { table: "public.tickets".into(), rows: Some(5_000_000) }];
    assert!(judge(Some(&expected), &seen).findings.is_empty());
}

#[tokio::test]
async fn what_takes_longer_than_a_call_goes_on_in_the_next_and_ends_some_day() {
    let unfinished = || Looked::Unfinished("3 of 9 tables are read".into());
    let looks = Mutex::new(vec![unfinished(), unfinished()]);
    let world = Fake { looks, ..Fake::default() };
    let ports = ports(world);
    handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
    ports.world.advance();
    for _ in 0..2 {
        let fault = handle(poll(KIND, &[]), &ports, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NotReady, "{fault}");
        assert!(fault.message.contains("3 of 9 tables"), "{fault}");
        assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 0);
    }
    let response = handle(poll(KIND, &[]), &ports, now()).await.unwrap();
    assert!(matches!(response, Response::Restored { .. }), "{response:?}");

    // Hours later it is still not done: that says nothing of the backup, and leaves no instance.
    let world = Fake { looks: Mutex::new(vec![unfinished()]), ..Fake::default() };
    let ports = super::fake::ports(world);
    handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
    ports.world.advance();
    let later = now() + jiff::SignedDuration::from_hours(7);
    let fault = handle(poll(KIND, &[]), &ports, later).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman, "{fault}");
    for said in ["cannot be told", "3 of 9 tables", "backup.verify.count_up_to_mib"] {
        assert!(fault.message.contains(said), "{said}: {fault}");
    }
    assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_password_that_was_changed_since_the_snapshot_is_reset_on_the_scratch_instance_alone() {
    let denied = || Looked::Denied("password authentication failed".into());
    let whole = || Looked::Whole(table(Rows::Counted(7)));
    // The plan's secret, then the instance's own: set after the first time, good after the second.
    let looks = vec![denied(), denied(), denied(), denied(), denied(), whole()];
    let ports = ports(Fake { looks: Mutex::new(looks), ..Fake::default() });
    handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
    ports.world.advance();
    for set in 1..=2 {
        let fault = handle(poll(KIND, &[]), &ports, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NotReady, "{fault}");
        assert_eq!(ports.world.passwords.load(Ordering::SeqCst), set);
    }
    let response = handle(poll(KIND, &[]), &ports, now()).await.unwrap();
    let Response::Restored { result } = response else { panic!("{response:?}") };
    assert!(result.facts.join("\n").contains("as postgres, with a password of its own"));
    let logins = ports.world.logins.lock().unwrap().clone();
    assert_eq!(logins[..2], ["plan", "postgres of lifeboat-scratch-queue-20261124120000"]);

    // What is restored to be used keeps what it has, and whoever restores is told.
    let points = vec![(POINT, Some(Outcome::Sound))];
    let world = Fake { points, looks: Mutex::new(vec![denied()]), ..Fake::default() };
    let ports = super::fake::ports(world);
    handle(start(KIND, Target::Place), &ports, now()).await.unwrap();
    ports.world.advance();
    let fault = handle(start(KIND, Target::Place), &ports, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman, "{fault}");
    assert!(fault.message.contains("the password that the database had then"), "{fault}");
    assert_eq!(ports.world.passwords.load(Ordering::SeqCst), 0);
    assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_password_that_never_opens_it_is_not_set_for_ever() {
    let denied = || Looked::Denied("password authentication failed".into());
    let looks = Mutex::new(vec![denied(), denied()]);
    let ports = ports(Fake { looks, ..Fake::default() });
    handle(start(KIND, Target::Scratch), &ports, now()).await.unwrap();
    ports.world.advance();
    let later = now() + jiff::SignedDuration::from_hours(7);
    let fault = handle(poll(KIND, &[]), &ports, later).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman, "{fault}");
    assert_eq!(ports.world.passwords.load(Ordering::SeqCst), 0);
    assert_eq!(ports.world.deleted.load(Ordering::SeqCst), 1);
}
