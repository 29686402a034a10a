use proptest::prelude::*;

use super::*;
use crate::error::ErrorName;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

fn first() -> ControlRecord {
    ControlRecord::first("queue".parse().unwrap(), site("a"), at(0))
}

fn opened(record: &ControlRecord, incident: &str, target: &str, second: i64) -> Opening {
    let id: IncidentId = incident.parse().unwrap();
    let target = site(target);
    let claimant = Claimant { incident: &id, execution: incident, target: &target };
    open(record, &claimant, at(second))
}

#[derive(Debug, Clone)]
enum Move {
    Open { who: u8, target: bool },
    Claim { who: u8 },
    Close { who: u8, ending: Ending },
    Wait { seconds: i64 },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let ending =
        prop_oneof![Just(Ending::Recovered), Just(Ending::StoodDown), Just(Ending::Failed)];
    proptest::collection::vec(
        prop_oneof![
            (0u8..3, any::<bool>()).prop_map(|(who, target)| Move::Open { who, target }),
            (0u8..3).prop_map(|who| Move::Claim { who }),
            (0u8..3, ending).prop_map(|(who, ending)| Move::Close { who, ending }),
            (0i64..5_000).prop_map(|seconds| Move::Wait { seconds }),
        ],
        0..40,
    )
}

proptest! {
    /// Whatever recoveries do and in whatever order, epochs only grow, no number is handed out
    /// twice, and an epoch's claim never comes back after a newer one.
    #[test]
    fn epochs_only_grow_and_at_most_one_recovery_holds(moves in moves()) {
        let mut record = first();
        let mut clock = 0;
        let mut handed_out = std::collections::BTreeSet::new();
        let mut held = [const { None }; 3];
        for step in moves {
            clock += 1;
            let before = record.clone();
            match step {
                Move::Open { who, target } => {
                    let target = if target { "a" } else { "b" };
                    if let Opening::Write(next) =
                        opened(&record, &format!("incident-{who}-{clock}"), target, clock)
                    {
                        let holder = next.recovery.clone().unwrap();
                        prop_assert!(handed_out.insert(holder.epoch), "epoch handed out twice");
                        held[usize::from(who)] = Some((holder.incident, holder.epoch));
                        record = next;
                    }
                }
                Move::Claim { who } => {
                    if let Some((incident, epoch)) = &held[usize::from(who)] {
                        let newest = record.highest_reserved;
                        match claim(&record, incident, *epoch, clock % 2 == 0, at(clock)) {
                            Ok(next) => {
                                prop_assert_eq!(*epoch, newest, "an old epoch was claimed");
                                record = next;
                            }
                            Err(fault) => prop_assert_eq!(fault.name, ErrorName::StaleEpoch),
                        }
                    }
                }
                Move::Close { who, ending } => {
                    if let Some((incident, _)) = &held[usize::from(who)]
                        && let Ok(next) = close(&record, incident, ending, at(clock))
                    {
                        record = next;
                    }
                }
                Move::Wait { seconds } => clock += seconds,
            }
            prop_assert!(record.epoch >= before.epoch);
            prop_assert!(record.highest_reserved >= before.highest_reserved);
            prop_assert!(record.highest_reserved >= record.epoch);
            if record.active_site != before.active_site {
                prop_assert!(record.epoch > before.epoch, "the active site changed, not the epoch");
            }
            let holders = held.iter().flatten().filter(|(incident, epoch)| {
                authorize(&record, incident, *epoch).is_ok()
            });
            prop_assert!(holders.count() <= 1, "two recoveries may act");
        }
    }
}

#[test]
fn the_same_execution_opens_once_and_another_stands_down() {
    let Opening::Write(record) = opened(&first(), "one", "b", 1) else { panic!("refused") };
    assert_eq!(record.recovery.as_ref().unwrap().epoch, Epoch(2));
    assert_eq!(record.epoch, Epoch(1), "reserving an epoch fences nobody");
    assert!(matches!(opened(&record, "one", "b", 2), Opening::AlreadyOurs(_)));
    assert!(matches!(opened(&record, "two", "b", 2), Opening::StandDown(_)));
}

#[test]
fn standing_down_leaves_the_active_site_in_place() {
    let Opening::Write(record) = opened(&first(), "one", "b", 1) else { panic!("refused") };
    let id = "one".parse().unwrap();
    let record = close(&record, &id, Ending::StoodDown, at(2)).unwrap();
    assert_eq!(standing(&record, &site("a"), Epoch(1)), Standing::Active(Epoch(1)));
    assert_eq!(close(&record, &id, Ending::StoodDown, at(3)).unwrap(), record);
}

#[test]
fn a_claim_fences_the_old_site_and_a_failed_recovery_can_be_completed_by_another() {
    let Opening::Write(record) = opened(&first(), "one", "b", 1) else { panic!("refused") };
    let one = "one".parse().unwrap();
    let record = claim(&record, &one, Epoch(2), true, at(2)).unwrap();
    assert_eq!(claim(&record, &one, Epoch(2), true, at(3)).unwrap(), record);
    assert!(matches!(standing(&record, &site("a"), Epoch(1)), Standing::Fenced(_)));
    assert_eq!(standing(&record, &site("b"), Epoch(2)), Standing::Active(Epoch(2)));

    let record = close(&record, &one, Ending::Failed, at(4)).unwrap();
    assert_eq!(authorize(&record, &one, Epoch(2)).unwrap_err().name, ErrorName::StaleEpoch);
    let Opening::Write(record) = opened(&record, "two", "b", 5) else { panic!("refused") };
    assert_eq!(record.recovery.unwrap().epoch, Epoch(3));
}

#[test]
fn a_holder_that_outlived_its_machine_does_not_block_the_next_recovery() {
    let Opening::Write(record) = opened(&first(), "one", "b", 1) else { panic!("refused") };
    assert!(matches!(opened(&record, "two", "b", HOLD_SECONDS), Opening::StandDown(_)));
    assert!(matches!(opened(&record, "two", "b", HOLD_SECONDS + 2), Opening::Write(_)));
}

#[test]
fn the_newest_of_two_regions_records_is_the_one_with_the_higher_epoch() {
    let old = first();
    let new = ControlRecord { epoch: Epoch(2), highest_reserved: Epoch(2), ..first() };
    assert_eq!(newest([&old, &new]), Some(&new));
    assert_eq!(newest([&new, &old]), Some(&new));
    assert_eq!(newest([]), None);
}

#[test]
fn the_first_activation_is_one_only_while_nothing_has_happened() {
    assert_eq!(first_activation(&first(), &site("a")), Ok(()));
    let Opening::Write(open) = opened(&first(), "one", "b", 0) else { panic!() };
    let moved = ControlRecord { epoch: Epoch(2), active_site: site("b"), ..first() };
    let back = ControlRecord { epoch: Epoch(3), ..first() };
    for (record, asked, says) in [
        (open, "a", "recovery one has held queue"),
        (first(), "b", "site a of queue is the active one (epoch 1), not b"),
        (moved, "a", "site b of queue is the active one (epoch 2), not a"),
        (back, "a", "activated by a recovery before (epoch 3)"),
    ] {
        let fault = first_activation(&record, &site(asked)).unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused);
        assert!(fault.message.contains(says), "{fault}");
    }
}
