use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::ledger::Holder;

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn record(epoch: u64, active: &str) -> ControlRecord {
    ControlRecord {
        epoch: Epoch(epoch),
        highest_reserved: Epoch(epoch),
        ..ControlRecord::first("queue".parse().unwrap(), active.parse().unwrap(), now())
    }
}

fn held(record: ControlRecord, target: &str, state: HolderState) -> ControlRecord {
    let recovery = Some(Holder {
        incident: "queue-region-outage".parse().unwrap(),
        execution: "arn".into(),
        target: target.parse().unwrap(),
        epoch: record.epoch,
        opened_at: now(),
        state,
    });
    ControlRecord { recovery, ..record }
}

fn database(host: &str) -> DatabaseAddress {
    DatabaseAddress { host: host.into(), port: 5432, name: "queue".into() }
}

fn file(epoch: u64, role: Role, host: &str) -> SiteFile {
    SiteFile {
        app: "queue".parse().unwrap(),
        site: "b".parse().unwrap(),
        epoch: Epoch(epoch),
        role,
        database: Some(database(host)),
    }
}

/// Site b's host in us-west-2, whose peer is us-east-1; `None` is a region that does not answer.
fn ask(
    current: Option<&SiteFile>,
    own: Option<&ControlRecord>,
    peer: Option<&ControlRecord>,
) -> Joining {
    ask_with(current, own, peer, Ok(&database("planned")))
}

fn ask_with(
    current: Option<&SiteFile>,
    own: Option<&ControlRecord>,
    peer: Option<&ControlRecord>,
    database: Result<&DatabaseAddress, &str>,
) -> Joining {
    let (app, site) = ("queue".parse().unwrap(), "b".parse().unwrap());
    let region: Region = "us-west-2".parse().unwrap();
    let far: Region = "us-east-1".parse().unwrap();
    let silent = [(own, &region), (peer, &far)];
    let silent = silent.into_iter().filter(|(record, _)| record.is_none());
    let registers = Registers {
        own,
        others: peer.into_iter().collect(),
        unreachable: silent.map(|(_, region)| region.clone()).collect(),
    };
    join(&Joiner { app: &app, site: &site, region: &region, current, database }, &registers)
}

fn active(epoch: u64, host: &str) -> Joining {
    Joining::Take { file: file(epoch, Role::Active, host), hook: Some(Hook::Start) }
}

fn standby_under(epoch: u64) -> Joining {
    Joining::Take { file: file(epoch, Role::Standby, "planned"), hook: None }
}

/// What is written meanwhile, and why.
fn untold(joining: Joining) -> (Option<SiteFile>, String) {
    match joining {
        Joining::CannotTell { file, why } => (file, why),
        Joining::Take { .. } | Joining::Foreign(_) => panic!("{joining:?}"),
    }
}

#[test]
fn a_host_launched_after_the_activation_is_what_its_site_is() {
    assert_eq!(ask(None, Some(&record(2, "b")), Some(&record(2, "b"))), active(2, "planned"));
    assert_eq!(ask(None, Some(&record(1, "a")), Some(&record(1, "a"))), standby_under(1));
    // A recovery that leaves this site has changed nothing yet.
    let leaving = held(record(2, "b"), "a", HolderState::Open);
    assert_eq!(ask(None, Some(&leaving), Some(&leaving)), active(2, "planned"));
}

#[test]
fn a_newer_epoch_of_another_region_wins_over_the_own_record() {
    assert_eq!(ask(None, Some(&record(2, "b")), Some(&record(3, "a"))), standby_under(3));
    assert_eq!(ask(None, Some(&record(2, "a")), Some(&record(3, "b"))), active(3, "planned"));
}

#[test]
fn a_record_that_nobody_confirms_makes_no_host_active() {
    let (written, why) = untold(ask(None, Some(&record(2, "b")), None));
    assert_eq!(written, Some(file(2, Role::Standby, "planned")));
    assert!(why.contains("us-east-1"), "{why}");
    let (_, why) = untold(ask(None, None, Some(&record(2, "b"))));
    assert!(why.contains("us-west-2"), "{why}");
    // Nobody else can have gone on from an epoch that nobody else knows.
    let alone = ControlRecord { known_elsewhere: false, ..record(2, "b") };
    assert_eq!(ask(None, Some(&alone), None), active(2, "planned"));
    let (written, why) = untold(ask(None, None, None));
    assert_eq!(written, Some(file(0, Role::Standby, "planned")));
    assert!(why.contains("no register"), "{why}");
}

#[test]
fn a_standby_is_told_by_its_own_region() {
    assert_eq!(ask(None, Some(&record(1, "a")), None), standby_under(1));
    // The own region may have claimed its site since.
    let (written, _) = untold(ask(None, None, Some(&record(1, "a"))));
    assert_eq!(written, Some(file(1, Role::Standby, "planned")));
}

#[test]
fn a_site_that_is_being_activated_is_not_active_yet() {
    for (state, says) in [
        (HolderState::Claimed, "is activating site b"),
        (HolderState::Failed, "start it again with `lifeboat recover`"),
    ] {
        let claimed = held(record(2, "b"), "b", state);
        let (written, why) = untold(ask(None, Some(&claimed), Some(&claimed)));
        assert_eq!(written, Some(file(2, Role::Standby, "planned")));
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn what_a_host_has_is_not_replaced_by_something_older_or_less_certain() {
    let current = file(3, Role::Active, "promoted");
    let (written, why) = untold(ask(Some(&current), Some(&record(2, "b")), Some(&record(2, "b"))));
    assert_eq!(written, None);
    assert!(why.contains("epoch 3"), "{why}");
    // The same epoch, not confirmed: the guard withholds the permit, and nobody needs to stop.
    let (written, _) = untold(ask(Some(&current), Some(&record(3, "b")), None));
    assert_eq!(written, None);
    // What is known to be newer makes it a standby, confirmed or not.
    let (written, _) = untold(ask(Some(&current), Some(&record(4, "b")), None));
    assert_eq!(written, Some(file(4, Role::Standby, "promoted")));
}

#[test]
fn a_host_that_missed_the_end_of_its_site_stops() {
    let current = file(2, Role::Active, "promoted");
    let joining = ask(Some(&current), Some(&record(3, "a")), Some(&record(3, "a")));
    let file = file(3, Role::Standby, "promoted");
    assert_eq!(joining, Joining::Take { file, hook: Some(Hook::Stop) });
}

#[test]
fn joining_twice_is_once_and_the_database_of_an_order_stays() {
    let current = file(2, Role::Active, "promoted");
    let both = record(2, "b");
    assert_eq!(ask(Some(&current), Some(&both), Some(&both)), active(2, "promoted"));
    // That of an older epoch does not.
    let old = file(1, Role::Standby, "old");
    assert_eq!(ask(Some(&old), Some(&both), Some(&both)), active(2, "planned"));
    // Without the plan, the order is enough; without either there is nothing to start the app with.
    let none = ask_with(Some(&current), Some(&both), Some(&both), Err("denied"));
    assert_eq!(none, active(2, "promoted"));
    let (written, why) = untold(ask_with(None, Some(&both), Some(&both), Err("denied")));
    assert_eq!(written.unwrap().role, Role::Standby);
    assert!(why.contains("denied"), "{why}");
}

#[test]
fn a_host_of_another_site_is_left_alone() {
    let other = SiteFile { site: "a".parse().unwrap(), ..file(2, Role::Active, "x") };
    let joining = ask(Some(&other), Some(&record(2, "b")), Some(&record(2, "b")));
    assert!(
        matches!(joining, Joining::Foreign(why) if why.contains("site a, not of queue, site b"))
    );
}

fn registers() -> impl Strategy<Value = Option<ControlRecord>> {
    // An epoch is handed out once: no two records name different sites under it.
    let one = (1u64..5, any::<bool>(), 0u8..4).prop_map(|(epoch, known, holder)| {
        let record = record(epoch, if epoch % 2 == 0 { "b" } else { "a" });
        let record = ControlRecord { known_elsewhere: known, ..record };
        match holder {
            0 => held(record, "b", HolderState::Claimed),
            1 => held(record, "a", HolderState::Open),
            _ => record,
        }
    });
    proptest::option::of(one)
}

proptest! {
    #[test]
    fn nothing_makes_a_host_active_under_anything_but_the_newest_epoch(
        own in registers(), peer in registers(),
        current in proptest::option::of((0u64..5, any::<bool>())),
    ) {
        let current = current.map(|(epoch, active)| {
            file(epoch, if active { Role::Active } else { Role::Standby }, "x")
        });
        let joining = ask(current.as_ref(), own.as_ref(), peer.as_ref());
        let seen = newest(own.iter().chain(&peer)).cloned();
        let written = match joining {
            Joining::Take { file, .. } => Some(file),
            Joining::CannotTell { file, .. } => {
                prop_assert!(file.as_ref().is_none_or(|file| file.role == Role::Standby));
                file
            }
            Joining::Foreign(_) => None,
        };
        if let Some(file) = written {
            prop_assert!(current.is_none_or(|current| current.epoch <= file.epoch));
            if file.role == Role::Active {
                let seen = seen.unwrap();
                prop_assert_eq!((seen.active_site.as_str(), seen.epoch), ("b", file.epoch));
                let last_word = own.as_ref().is_some_and(|own| !own.known_elsewhere);
                prop_assert!((own.is_some() && peer.is_some()) || last_word);
            }
        }
    }
}
