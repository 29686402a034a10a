use proptest::prelude::*;

use super::*;
use crate::{error::ErrorName, registers::Answer};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

fn first() -> ControlRecord {
    ControlRecord::first("queue".parse().unwrap(), site("a"), at(0))
}

fn class(target: &str) -> EpochClass {
    EpochClass::of(&site(target), [&site("a"), &site("b")]).unwrap()
}

/// Opens on one register alone, as if it were all that there is.
fn opened(record: &ControlRecord, incident: &str, target: &str, second: i64) -> Opening {
    let own: Region = "us-west-2".parse().unwrap();
    let registers = Registers::new([(own.clone(), Answer::Holds(record.clone()))]);
    opened_on(&own, &registers, incident, target, second)
}

fn opened_on(
    own: &Region,
    registers: &Registers,
    incident: &str,
    target: &str,
    second: i64,
) -> Opening {
    let id: IncidentId = incident.parse().unwrap();
    let (class, target) = (class(target), site(target));
    let claimant = Claimant { incident: &id, execution: incident, target: &target };
    open(own, registers, &claimant, class, at(second))
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
                        match claim(&record, incident, *epoch, at(clock)) {
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
    assert_eq!((record.active_site.as_str(), record.epoch), ("a", Epoch(1)));
    assert_eq!(close(&record, &id, Ending::StoodDown, at(3)).unwrap(), record);
}

#[test]
fn a_failed_recovery_can_be_completed_by_another() {
    let Opening::Write(record) = opened(&first(), "one", "b", 1) else { panic!("refused") };
    let one = "one".parse().unwrap();
    let record = claim(&record, &one, Epoch(2), at(2)).unwrap();
    assert_eq!(claim(&record, &one, Epoch(2), at(3)).unwrap(), record);
    assert_eq!((record.active_site.as_str(), record.epoch), ("b", Epoch(2)));
    let record = agree(&record, &one, Epoch(2), at(3)).unwrap();
    assert_eq!(record.recovery.as_ref().unwrap().agreed_at, Some(at(3)));
    assert_eq!(agree(&record, &one, Epoch(2), at(9)).unwrap(), record, "the first time counts");

    let record = close(&record, &one, Ending::Failed, at(4)).unwrap();
    assert_eq!(authorize(&record, &one, Epoch(2)).unwrap_err().name, ErrorName::StaleEpoch);
    let Opening::Write(record) = opened(&record, "two", "b", 5) else { panic!("refused") };
    assert_eq!(record.recovery.unwrap().epoch, Epoch(4));
}

#[test]
fn an_attempt_in_the_wrong_region_blocks_neither_it_nor_the_right_one() {
    let [west, east, witness] = ["us-west-2", "us-east-1", "us-east-2"].map(|r| r.parse().unwrap());
    let all = |b: &ControlRecord, a: &ControlRecord, w: &ControlRecord| {
        Registers::new([
            (Region::clone(&west), Answer::Holds(b.clone())),
            (Region::clone(&east), Answer::Holds(a.clone())),
            (Region::clone(&witness), Answer::Holds(w.clone())),
        ])
    };
    let before = all(&first(), &first(), &first());
    let Opening::Write(b) = opened_on(&west, &before, "one", "b", 1) else { panic!("refused") };
    let one = "one".parse().unwrap();
    let b = claim(&b, &one, Epoch(2), at(2)).unwrap();
    let b = close(&b, &one, Ending::Failed, at(3)).unwrap();
    let told = ControlRecord { recovery: None, ..b.clone() };
    let after = all(&b, &told, &told);
    // In a's region, of a: it takes the claim back under an epoch of its own.
    let Opening::Write(a) = opened_on(&east, &after, "two", "a", 4) else { panic!("refused") };
    assert_eq!(a.recovery.as_ref().unwrap().epoch, Epoch(3));
    let two = "two".parse().unwrap();
    let a = close(&a, &two, Ending::Failed, at(5)).unwrap();
    // And b's own region goes on from what it claimed, above every epoch that was handed out.
    let after = all(&b, &a, &told);
    let Opening::Write(b) = opened_on(&west, &after, "three", "b", 6) else { panic!("refused") };
    assert_eq!(b.recovery.unwrap().epoch, Epoch(4));
}

#[test]
fn a_holder_whose_epoch_was_overtaken_blocks_nobody() {
    let Opening::Write(record) = opened(&first(), "one", "b", 1) else { panic!("refused") };
    let overtaken = ControlRecord { highest_reserved: Epoch(3), ..record };
    assert_eq!(under_way(&overtaken, at(2)), None);
    assert!(authorize(&overtaken, &"one".parse().unwrap(), Epoch(2)).is_err(), "it may not act");
    let Opening::Write(next) = opened(&overtaken, "two", "b", 2) else { panic!("refused") };
    assert_eq!(next.recovery.unwrap().epoch, Epoch(4));
}

#[test]
fn no_two_sites_take_the_same_epochs() {
    let (a, b) = (class("a"), class("b"));
    let taken =
        |class: EpochClass| (0..6).map(|epoch| class.above(Epoch(epoch)).0).collect::<Vec<_>>();
    assert_eq!(taken(a), [1, 3, 3, 5, 5, 7]);
    assert_eq!(taken(b), [2, 2, 4, 4, 6, 6]);
    assert_eq!(EpochClass::of(&site("c"), [&site("a"), &site("b")]), None);
    let three = ["a", "b", "c"].map(site);
    let firsts = three.iter().map(|of| EpochClass::of(of, &three).unwrap().above(Epoch(3)).0);
    assert_eq!(firsts.collect::<Vec<_>>(), [4, 5, 6]);
}

#[test]
fn a_holder_that_outlived_its_machine_does_not_block_the_next_recovery() {
    let Opening::Write(record) = opened(&first(), "one", "b", 1) else { panic!("refused") };
    assert!(matches!(opened(&record, "two", "b", HOLD_SECONDS), Opening::StandDown(_)));
    assert!(matches!(opened(&record, "two", "b", HOLD_SECONDS + 2), Opening::Write(_)));
}

#[test]
fn the_first_activation_is_one_only_while_nothing_has_happened() {
    let app = "queue".parse().unwrap();
    let alone = |record| Registers::new([("us-west-2".parse().unwrap(), Answer::Holds(record))]);
    assert_eq!(first_activation(&app, &alone(first()), &site("a"), at(1)), Ok(()));
    let Opening::Write(open) = opened(&first(), "one", "b", 0) else { panic!() };
    let moved = ControlRecord { epoch: Epoch(2), active_site: site("b"), ..first() };
    let back = ControlRecord { epoch: Epoch(3), ..first() };
    for (record, asked, says) in [
        (open, "a", "recovery one has held queue"),
        (first(), "b", "site a of queue is the active one (epoch 1), not b"),
        (moved, "a", "site b of queue is the active one (epoch 2), not a"),
        (back, "a", "activated by a recovery before (epoch 3)"),
    ] {
        let fault = first_activation(&app, &alone(record), &site(asked), at(1)).unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused);
        assert!(fault.message.contains(says), "{fault}");
    }
}
