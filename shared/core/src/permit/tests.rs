use super::*;
use crate::{
    ids::Region,
    ledger::{ControlRecord, HolderState},
    registers::{Answer, fresh},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

fn claim(epoch: u64, site: &str) -> Claim {
    Claim { epoch: Epoch(epoch), site: site.parse().unwrap() }
}

fn record(epoch: u64, site: &str) -> ControlRecord {
    fresh(&"queue".parse().unwrap(), &claim(epoch, site), at(0))
}

/// The host was started 100 s before second 0.
fn moment(second: i64) -> Moment {
    let millis = u64::try_from((second + 100) * 1000).unwrap();
    Moment { at: at(second), uptime: Uptime { boot_id: "this one".into(), millis } }
}

/// The guard of site a, which is configured with epoch 1.
#[derive(Default)]
struct Guard(Memory);

impl Guard {
    /// Whether it grants a permit on what a's region, b's and the witness's answer; `None` is silent.
    fn tick(&mut self, second: i64, records: [Option<&ControlRecord>; 3]) -> bool {
        let regions = ["us-east-1", "us-west-2", "us-east-2"];
        let answers = regions.into_iter().zip(records).map(|(region, record)| {
            let region: Region = region.parse().unwrap();
            let silent = || Answer::Silent("dark".into());
            (region, record.cloned().map_or_else(silent, Answer::Holds))
        });
        let registers = Registers::new(answers);
        let app = "queue".parse().unwrap();
        let (permit, memory) = decide(self.0, &app, &claim(1, "a"), &registers, &moment(second));
        self.0 = memory;
        assert_eq!(permit.epoch, Epoch(1));
        let granted = permit.valid_until > at(second);
        assert_eq!(granted, permit.valid_until_uptime_ms > moment(second).uptime.millis);
        granted
    }
}

#[test]
fn the_loss_of_any_one_register_stops_nobody_restarts_included() {
    let old = record(1, "a");
    for silent in 0..3 {
        let mut seen = [Some(&old); 3];
        seen[silent] = None;
        assert!(Guard::default().tick(0, seen), "after a start, without register {silent}");
        let mut guard = Guard::default();
        assert!((0..100).all(|second| guard.tick(second * 60, seen)), "after pauses");
    }
}

#[test]
fn a_site_that_can_be_overtaken_stops() {
    let (old, new) = (record(1, "a"), record(2, "b"));
    let mut guard = Guard::default();
    assert!(guard.tick(0, [Some(&old), Some(&old), Some(&old)]));
    assert!(!guard.tick(1, [Some(&old), None, None]), "one register, the own one, is no majority");
    assert!(!guard.tick(2, [Some(&old), Some(&new), None]), "a split");
    assert!(guard.tick(3, [Some(&old), Some(&new), Some(&old)]), "a claim that is not complete");
    assert!(!guard.tick(4, [Some(&old), Some(&new), Some(&new)]), "a complete one");
    assert!(!guard.tick(5, [None, None, None]));
}

#[test]
fn an_older_epoch_is_not_confirmed_again() {
    let (old, new) = (record(1, "a"), record(2, "b"));
    let mut guard = Guard::default();
    assert!(!guard.tick(0, [Some(&old), Some(&new), Some(&new)]));
    // The witness's register was put back to an older version while b's region is dark.
    assert!(!guard.tick(1, [Some(&old), None, Some(&old)]));
}

#[test]
fn a_permit_counts_from_before_the_reads() {
    let old = record(1, "a");
    let answers = ["us-east-1", "us-west-2", "us-east-2"];
    let answers = answers.map(|region| (region.parse().unwrap(), Answer::Holds(old.clone())));
    let (permit, _) = decide(
        Memory::default(),
        &"queue".parse().unwrap(),
        &claim(1, "a"),
        &Registers::new(answers),
        &moment(10),
    );
    assert_eq!(permit.valid_until, at(10 + PERMIT_SECONDS));
    assert_eq!(permit.valid_until_uptime_ms, moment(10 + PERMIT_SECONDS).uptime.millis);
    assert_eq!(permit.boot_id, "this one");
}

#[test]
fn the_uptime_is_read_as_linux_writes_it() {
    let read = Uptime::of("12345.67 23456.78\n", "2f8a\n");
    assert_eq!(read, Some(Uptime { boot_id: "2f8a".into(), millis: 12_345_670 }));
    assert_eq!(Uptime::of("7.05 1.00", "2f8a").unwrap().millis, 7_050);
    for (uptime, boot_id) in [("", "2f8a"), ("12", "2f8a"), ("1.5 2", "2f8a"), ("1.50 2", " \n")] {
        assert_eq!(Uptime::of(uptime, boot_id), None, "{uptime}");
    }
}

#[test]
fn nothing_is_opened_before_the_last_permit_has_ended() {
    let mut holder = Holder {
        incident: "one".parse().unwrap(),
        execution: "arn".into(),
        target: "b".parse().unwrap(),
        epoch: Epoch(2),
        opened_at: at(0),
        state: HolderState::Claimed,
        agreed_at: None,
        agreed_before: None,
    };
    assert!(ended(&holder, at(1_000)).is_err(), "no majority is known");
    holder.agreed_at = Some(at(10));
    assert!(ended(&holder, at(10 + PERMIT_SECONDS)).is_err());
    assert_eq!(ended(&holder, at(10) + PERMITS_END), Ok(at(10) + PERMITS_END));
}
