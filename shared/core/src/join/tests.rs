use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    ids::Region,
    ledger::{ControlRecord, Holder},
    registers::Answer,
};

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
        agreed_at: None,
        agreed_before: None,
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

/// Site b's host; the registers are those of us-west-2, us-east-1 and the witness, and `None` is a
/// region that does not answer.
type Three<'a> = [Option<&'a ControlRecord>; 3];

fn ask(current: Option<&SiteFile>, records: Three<'_>) -> Joining {
    ask_with(current, records, Ok(&database("planned")))
}

fn ask_with(
    current: Option<&SiteFile>,
    records: Three<'_>,
    database: Result<&DatabaseAddress, &str>,
) -> Joining {
    let (app, site) = ("queue".parse().unwrap(), "b".parse().unwrap());
    join(&Joiner { app: &app, site: &site, current, database }, &registers(records))
}

fn registers(records: Three<'_>) -> Registers {
    let regions = ["us-west-2", "us-east-1", "us-east-2"];
    Registers::new(regions.into_iter().zip(records).map(|(region, record)| {
        let region: Region = region.parse().unwrap();
        let silent = || Answer::Silent("dark".into());
        (region, record.cloned().map_or_else(silent, Answer::Holds))
    }))
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
    let (old, new) = (record(1, "a"), record(2, "b"));
    assert_eq!(ask(None, [Some(&new), Some(&new), Some(&new)]), active(2, "planned"));
    assert_eq!(ask(None, [Some(&old), Some(&old), Some(&old)]), standby_under(1));
    // A recovery that leaves this site has changed nothing yet.
    let leaving = held(record(2, "b"), "a", HolderState::Open);
    assert_eq!(ask(None, [Some(&leaving), Some(&new), Some(&new)]), active(2, "planned"));
}

#[test]
fn any_two_registers_are_enough_and_one_is_not() {
    let (old, new) = (record(1, "a"), record(2, "b"));
    assert_eq!(ask(None, [Some(&new), None, Some(&new)]), active(2, "planned"));
    assert_eq!(ask(None, [None, Some(&new), Some(&new)]), active(2, "planned"));
    assert_eq!(ask(None, [Some(&new), Some(&old), Some(&old)]), standby_under(1));
    let (written, why) = untold(ask(None, [Some(&new), None, None]));
    assert_eq!(written, Some(file(0, Role::Standby, "planned")));
    assert!(why.contains("us-east-1: no answer"), "{why}");
    let (written, why) = untold(ask(None, [None, None, None]));
    assert_eq!(written, Some(file(0, Role::Standby, "planned")));
    assert!(why.contains("no register"), "{why}");
}

#[test]
fn a_site_that_is_being_activated_is_not_active_yet() {
    for (state, says) in [
        (HolderState::Claimed, "is activating site b"),
        (HolderState::Failed, "start it again with `lifeboat recover`"),
    ] {
        let (claimed, told) = (held(record(2, "b"), "b", state), record(2, "b"));
        let (written, why) = untold(ask(None, [Some(&claimed), None, Some(&told)]));
        assert_eq!(written, Some(file(2, Role::Standby, "planned")));
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn what_a_host_has_is_not_replaced_by_something_older_or_less_certain() {
    let current = file(3, Role::Active, "promoted");
    let (second, third, fourth) = (record(2, "b"), record(3, "b"), record(4, "b"));
    let (written, why) = untold(ask(Some(&current), [Some(&second), Some(&second), None]));
    assert_eq!(written, None);
    assert!(why.contains("epoch 3"), "{why}");
    // Not confirmed: the guard withholds the permit, and nobody needs to stop.
    let (written, _) = untold(ask(Some(&current), [Some(&third), None, None]));
    assert_eq!(written, None);
    // A claim that is not complete may be given up.
    let (written, _) = untold(ask(Some(&current), [Some(&fourth), Some(&third), None]));
    assert_eq!(written, None);
}

#[test]
fn a_host_that_missed_the_end_of_its_site_stops() {
    let (current, moved) = (file(2, Role::Active, "promoted"), record(3, "a"));
    let joining = ask(Some(&current), [Some(&moved), Some(&moved), None]);
    let file = file(3, Role::Standby, "promoted");
    assert_eq!(joining, Joining::Take { file, hook: Some(Hook::Stop) });
}

#[test]
fn joining_twice_is_once_and_the_database_of_an_order_stays() {
    let current = file(2, Role::Active, "promoted");
    let new = record(2, "b");
    let all = [Some(&new), Some(&new), Some(&new)];
    assert_eq!(ask(Some(&current), all), active(2, "promoted"));
    // That of an older epoch does not.
    let old = file(1, Role::Standby, "old");
    assert_eq!(ask(Some(&old), all), active(2, "planned"));
    // Without the plan, the order is enough; without either there is nothing to start the app with.
    assert_eq!(ask_with(Some(&current), all, Err("denied")), active(2, "promoted"));
    let (written, why) = untold(ask_with(None, all, Err("denied")));
    assert_eq!(written.unwrap().role, Role::Standby);
    assert!(why.contains("denied"), "{why}");
}

#[test]
fn a_host_of_another_site_is_left_alone() {
    let other = SiteFile { site: "a".parse().unwrap(), ..file(2, Role::Active, "x") };
    let new = record(2, "b");
    let joining = ask(Some(&other), [Some(&new), Some(&new), None]);
    assert!(
        matches!(joining, Joining::Foreign(why) if why.contains("site a, not of queue, site b"))
    );
}

fn any_register() -> impl Strategy<Value = Option<ControlRecord>> {
    // An epoch is handed out once: no two registers name different sites under it.
    let one = (1u64..5, 0u8..4).prop_map(|(epoch, holder)| {
        let record = record(epoch, if epoch % 2 == 0 { "b" } else { "a" });
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
    fn nothing_makes_a_host_active_but_a_claim_that_a_majority_holds(
        records in proptest::array::uniform3(any_register()),
        current in proptest::option::of((0u64..5, any::<bool>())),
    ) {
        let current = current.map(|(epoch, active)| {
            file(epoch, if active { Role::Active } else { Role::Standby }, "x")
        });
        let [own, peer, witness] = &records;
        let records = [own.as_ref(), peer.as_ref(), witness.as_ref()];
        let written = match ask(current.as_ref(), records) {
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
                let claim = Claim { epoch: file.epoch, site: "b".parse().unwrap() };
                prop_assert!(registers(records).confirm(&claim));
            }
        }
    }
}
