use proptest::prelude::*;

use super::*;
use crate::error::ErrorName;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

fn app() -> AppName {
    "queue".parse().unwrap()
}

fn claim(epoch: u64, site: &str) -> Claim {
    Claim { epoch: Epoch(epoch), site: site.parse().unwrap() }
}

fn record(epoch: u64, site: &str) -> ControlRecord {
    fresh(&app(), &claim(epoch, site), at(0))
}

const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "us-east-2"];

/// The registers of a's region, b's and the witness's; `None` is silent.
fn registers(records: [Option<ControlRecord>; 3]) -> Registers {
    Registers::new(REGIONS.into_iter().zip(records).map(|(region, record)| {
        let answer = record.map_or_else(|| Answer::Silent("dark".into()), Answer::Holds);
        (region.parse().unwrap(), answer)
    }))
}

#[test]
fn two_of_three_confirm_and_a_split_confirms_nobody() {
    let (old, new) = (Some(record(1, "a")), Some(record(2, "b")));
    let all = registers([old.clone(), old.clone(), old.clone()]);
    assert_eq!(all.agreed(), Some(claim(1, "a")));
    let one_dark = registers([old.clone(), None, old.clone()]);
    assert_eq!(one_dark.agreed(), Some(claim(1, "a")));
    let begun = registers([old.clone(), new.clone(), old.clone()]);
    assert_eq!(begun.agreed(), Some(claim(1, "a")), "one register is no claim yet");
    let split = registers([old.clone(), new.clone(), None]);
    assert_eq!(split.agreed(), None);
    assert_eq!(split.newest(), Some(claim(2, "b")));
    let complete = registers([old, new.clone(), new]);
    assert_eq!(complete.agreed(), Some(claim(2, "b")));
    assert!(!complete.too_few());
    assert_eq!(
        [all.missing(), one_dark.missing(), split.missing(), complete.missing()],
        [0, 1, 3, 1]
    );
    assert!(registers([None, None, Some(record(1, "a"))]).too_few());
}

#[test]
fn what_lags_is_moved_up_to_what_is_complete_and_no_further() {
    let (old, new) = (Some(record(1, "a")), Some(record(2, "b")));
    let behind = registers([old.clone(), new.clone(), new.clone()]).lagging(&app(), at(9));
    let [(region, moved)] = behind.as_slice() else { panic!("{behind:?}") };
    assert_eq!((region.as_str(), claim_of(moved)), ("us-east-1", claim(2, "b")));
    assert!(registers([old.clone(), new, old]).lagging(&app(), at(9)).is_empty());
    let answers = [("us-east-1", Answer::Absent), ("us-west-2", Answer::Holds(record(1, "a")))];
    let answers = answers.into_iter().chain([("us-east-2", Answer::Holds(record(1, "a")))]);
    let new_region =
        Registers::new(answers.map(|(region, answer)| (region.parse().unwrap(), answer)));
    assert_eq!(new_region.lagging(&app(), at(9)).len(), 1);
}

fn held(record: ControlRecord, epoch: u64, state: HolderState) -> ControlRecord {
    let recovery = Some(Holder {
        incident: "one".parse().unwrap(),
        execution: "arn".into(),
        target: "b".parse().unwrap(),
        epoch: Epoch(epoch),
        opened_at: at(0),
        state,
        agreed_at: None,
        agreed_before: None,
    });
    ControlRecord { recovery, highest_reserved: Epoch(epoch), ..record }
}

#[test]
fn a_recovery_acts_only_under_a_claim_that_a_majority_confirms() {
    let own: Region = "us-west-2".parse().unwrap();
    let act = |records| {
        may_act(&registers(records), &own, &"one".parse().unwrap(), Epoch(2))
            .map(|holder| holder.epoch)
            .map_err(|fault| fault.name)
    };
    let old = Some(record(1, "a"));
    let mine = Some(held(record(2, "b"), 2, HolderState::Claimed));
    let theirs = Some(record(2, "b"));
    assert_eq!(act([old.clone(), mine.clone(), theirs.clone()]), Ok(Epoch(2)));
    assert_eq!(act([None, mine.clone(), theirs.clone()]), Ok(Epoch(2)));
    assert_eq!(act([old.clone(), mine.clone(), None]), Err(ErrorName::Transient));
    assert_eq!(act([old.clone(), None, theirs.clone()]), Err(ErrorName::Transient));
    // Overtaken in one register is overtaken.
    assert_eq!(act([Some(record(3, "a")), mine, theirs.clone()]), Err(ErrorName::StaleEpoch));
    let open = Some(held(record(1, "a"), 2, HolderState::Open));
    assert_eq!(act([old.clone(), open, old]), Err(ErrorName::Refused));
    let failed = Some(held(record(2, "b"), 2, HolderState::Failed));
    assert_eq!(act([None, failed, theirs]), Err(ErrorName::StaleEpoch));
}

#[test]
fn the_overview_names_the_recovery_that_may_be_acting() {
    let open = held(record(1, "a"), 2, HolderState::Open);
    let failed = held(record(1, "a"), 3, HolderState::Failed);
    let seen = registers([Some(failed), Some(open), Some(record(1, "a"))]).overview(at(1)).unwrap();
    assert_eq!(seen.recovery.unwrap().epoch, Epoch(2));
    assert_eq!(seen.highest_reserved, Epoch(3));
    assert_eq!(registers([None, None, None]).overview(at(1)), None);
}

fn any_register() -> impl Strategy<Value = Option<ControlRecord>> {
    proptest::option::of(
        (1u64..6).prop_map(|epoch| record(epoch, if epoch % 2 == 0 { "b" } else { "a" })),
    )
}

proptest! {
    /// Two claims are never confirmed by the same registers, and moving registers up to a newer claim
    /// never leaves the older one confirmed once the newer one is.
    #[test]
    fn of_two_claims_only_the_newer_one_can_be_confirmed(
        before in proptest::array::uniform3(any_register()), epoch in 1u64..8, moved in 0u8..8,
    ) {
        let newer = claim(epoch, if epoch % 2 == 0 { "b" } else { "a" });
        let agreed = registers(before.clone()).agreed();
        let after: Vec<Option<ControlRecord>> = before.into_iter().enumerate().map(|(place, record)| {
            let record = record?;
            Some(match raise(&record, &newer, at(1)) {
                Raise::Write(raised) if moved & (1 << place) != 0 => raised,
                Raise::Write(_) | Raise::Holds | Raise::Newer(_) => record,
            })
        }).collect();
        for record in after.iter().flatten() {
            prop_assert!(record.highest_reserved >= record.epoch);
        }
        let after = registers(after.try_into().unwrap());
        if let (Some(agreed), Some(now)) = (agreed, after.agreed()) {
            prop_assert!(now >= agreed, "{now:?} after {agreed:?}");
        }
        if after.confirm(&newer) {
            prop_assert_eq!(after.agreed(), Some(newer));
        }
    }
}

#[test]
fn a_claim_without_a_majority_can_be_given_up_and_one_with_it_cannot() {
    let old = Some(record(1, "a"));
    let failed = |epoch, site| Some(held(record(epoch, site), epoch, HolderState::Failed));
    let alone = registers([old.clone(), failed(2, "b"), old.clone()]);
    assert_eq!(abandon(&alone, at(119)).unwrap_err().name, ErrorName::NotReady);
    let put_back = abandon(&alone, at(120)).unwrap();
    let [(region, back)] = put_back.as_slice() else { panic!("{put_back:?}") };
    assert_eq!((region.as_str(), claim_of(back)), ("us-west-2", claim(1, "a")));
    assert_eq!((back.highest_reserved, &back.recovery), (Epoch(2), &None), "its number stays used");

    let refused = |records| abandon(&registers(records), at(120)).unwrap_err().name;
    let acts = Some(held(record(2, "b"), 2, HolderState::Claimed));
    assert_eq!(refused([old.clone(), acts, old.clone()]), ErrorName::Refused);
    assert_eq!(refused([old.clone(), old.clone(), old.clone()]), ErrorName::Refused);
    let complete = Some(record(2, "b"));
    assert_eq!(refused([old.clone(), failed(2, "b"), complete.clone()]), ErrorName::Refused);
    assert_eq!(refused([old, failed(2, "b"), None]), ErrorName::Transient);

    // The claim before it was complete, and never came as far as serving: that is not forgotten.
    let again = registers([complete.clone(), failed(4, "b"), complete]);
    let (_, back) = abandon(&again, at(120)).unwrap().remove(0);
    assert_eq!(claim_of(&back), claim(2, "b"));
    assert_eq!(back.recovery.unwrap().state, HolderState::Failed);
}
