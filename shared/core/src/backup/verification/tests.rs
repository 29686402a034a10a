//! Checks that are owed to points, and what ends them.

use proptest::prelude::*;

use super::*;
use crate::backup::{ATTEMPTS, Attempts, Check};

const NOW: &str = "2026-11-24T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn point(kind: Kind, id: PointId, checks: &[(Depth, &str, Outcome)]) -> RecoveryPoint {
    let mut known = Checks::default();
    for (depth, when, outcome) in checks {
        known.note(*depth, Check { at: at(when), outcome: *outcome });
    }
    RecoveryPoint {
        app: "queue".parse().unwrap(),
        kind,
        region: "us-west-2".parse().unwrap(),
        taken_at: id.time().unwrap(),
        depends_on: id.parent().into_iter().collect(),
        id,
        wal: None,
        size_bytes: 0,
        checks: known,
        locked_until: None,
        held: false,
    }
}

fn dump(when: &str, checks: &[(Depth, &str, Outcome)]) -> RecoveryPoint {
    point(Kind::DatabaseDump, PointId::full(at(when)), checks)
}

fn of(points: Vec<RecoveryPoint>) -> Vec<String> {
    let catalogue = Catalogue { complete: true, points };
    owed(&catalogue, &Cadence::default(), at(NOW))
        .into_iter()
        .map(|owed| format!("{} {}", owed.depth, owed.id))
        .collect()
}

use Depth::{Present, Read, Restored};
use Outcome::{Damaged, Sound};

#[test]
fn a_new_point_is_looked_at_and_read_and_then_restored() {
    let when = "2026-11-24T11:00:00Z";
    assert_eq!(
        of(vec![dump(when, &[])]),
        ["present 20261124T110000Z-full", "read 20261124T110000Z-full"]
    );
    let read = [(Present, when, Sound), (Read, when, Sound)];
    assert_eq!(of(vec![dump(when, &read)]), ["restored 20261124T110000Z-full"]);
    let all = [(Present, when, Sound), (Read, when, Sound), (Restored, when, Sound)];
    assert!(of(vec![dump(when, &all)]).is_empty());
}

#[test]
fn the_newest_is_read_again_and_the_older_ones_are_not() {
    let old = "2026-11-23T12:00:00Z";
    let checked = [(Present, old, Sound), (Read, old, Sound), (Restored, NOW, Sound)];
    assert_eq!(
        of(vec![dump("2026-11-21T00:00:00Z", &checked), dump("2026-11-22T00:00:00Z", &checked)]),
        ["read 20261122T000000Z-full"]
    );
}

/// The dump of this hour of the day, which was looked at.
fn seen(hour: u32) -> RecoveryPoint {
    let when = format!("2026-11-24T{hour:02}:00:00Z");
    dump(&when, &[(Present, &when, Sound)])
}

/// Runs that could not tell, the last of which ended then.
fn runs(count: u32, last: &str) -> Option<Attempts> {
    Some(Attempts { count, last: at(last) })
}

#[test]
fn what_is_too_large_to_be_read_is_restored_instead() {
    let mut large = seen(11);
    let name = "20261124T110000Z-full";
    assert_eq!(of(vec![large.clone()]), [format!("read {name}")]);
    large.checks.unproven.too_large_to_read = Some(at("2026-11-24T11:30:00Z"));
    assert_eq!(of(vec![large.clone()]), [format!("restored {name}")]);
    large.checks.note(Restored, Check { at: at("2026-11-24T11:45:00Z"), outcome: Sound });
    assert!(of(vec![large]).is_empty());
}

#[test]
fn what_cannot_be_read_is_tried_each_run_and_restored_after_some() {
    let mut odd = seen(8);
    let name = "20261124T080000Z-full";
    for count in 1..=4 {
        odd.checks.unproven.read = runs(count, "2026-11-24T11:00:00Z");
        let mut owed = vec![format!("read {name}")];
        // A bucket that answers again is read again, because that costs little.
        owed.extend((count >= ATTEMPTS).then(|| format!("restored {name}")));
        assert_eq!(of(vec![odd.clone()]), owed, "{count}");
    }
}

/// A snapshot of this hour of the day, whose restores could not tell.
fn snapshot(hour: u32, restored: Option<Attempts>) -> RecoveryPoint {
    let when = format!("2026-11-24T{hour:02}:00:00Z");
    let mut point =
        point(Kind::DatabaseSnapshot, PointId::full(at(&when)), &[(Present, &when, Sound)]);
    point.checks.unproven.restored = restored;
    point
}

#[test]
fn a_restore_that_cannot_tell_is_tried_a_few_times_and_not_each_hour() {
    let first = "restored 20261124T060000Z-full";
    let mut tried = snapshot(6, runs(1, "2026-11-24T11:00:00Z"));
    assert!(of(vec![tried.clone()]).is_empty(), "an hour ago");
    tried.checks.unproven.restored = runs(1, "2026-11-24T09:00:00Z");
    assert_eq!(of(vec![tried.clone()]), [first]);
    // A newer one does not begin the count anew.
    assert_eq!(of(vec![tried.clone(), snapshot(10, None)]), [first]);
    tried.checks.unproven.restored = runs(ATTEMPTS, "2026-11-24T09:00:00Z");
    assert!(of(vec![tried.clone()]).is_empty());
    assert!(of(vec![tried.clone(), snapshot(10, None)]).is_empty(), "the kind rests for a day");
    tried.checks.unproven.restored = runs(ATTEMPTS, "2026-11-23T12:00:00Z");
    assert_eq!(of(vec![tried.clone(), snapshot(10, None)]), ["restored 20261124T100000Z-full"]);
    assert!(of(vec![tried]).is_empty(), "it is never tried again");
}

#[test]
fn whatever_goes_wrong_a_day_has_three_scratch_servers_for_a_kind_at_most() {
    // Each restore fails, and a new snapshot comes every four hours.
    let mut points = vec![snapshot(0, None)];
    let mut restores = 0;
    for hour in 0..96_i64 {
        let now = at("2026-11-24T00:30:00Z") + SignedDuration::from_hours(hour);
        if hour % 4 == 0 && hour > 0 {
            let id = PointId::full(at("2026-11-24T00:00:00Z") + SignedDuration::from_hours(hour));
            let mut next = snapshot(0, None);
            (next.taken_at, next.id) = (id.time().unwrap(), id);
            points.push(next);
        }
        let catalogue = Catalogue { complete: true, points: points.clone() };
        for owed in owed(&catalogue, &Cadence::default(), now) {
            assert_eq!(owed.depth, Restored);
            restores += 1;
            let point = points.iter_mut().find(|point| point.id == owed.id).unwrap();
            let attempts = &mut point.checks.unproven.restored;
            let count = attempts.map_or(0, |attempts| attempts.count) + 1;
            assert!(count <= ATTEMPTS, "{}", owed.id);
            *attempts = Some(Attempts { count, last: now });
        }
    }
    assert!((6..=12).contains(&restores), "{restores} in four days");
}

#[test]
fn what_is_damaged_is_owed_nothing_and_the_next_older_one_is_restored() {
    let when = "2026-11-24T10:00:00Z";
    let sound = [(Present, when, Sound), (Read, when, Sound)];
    let damaged = [(Present, when, Sound), (Read, when, Sound), (Restored, when, Damaged)];
    assert_eq!(
        of(vec![dump("2026-11-23T00:00:00Z", &sound), dump("2026-11-24T00:00:00Z", &damaged)]),
        ["restored 20261123T000000Z-full"]
    );
}

#[test]
fn the_newest_backup_is_restored_with_what_it_stands_on() {
    let when = "2026-11-24T11:00:00Z";
    let sound = [(Present, when, Sound), (Read, when, Sound)];
    let base = PointId::full(at("2026-11-24T00:00:00Z"));
    let child = PointId::incremental(at("2026-11-24T04:00:00Z"), &base);
    let points = [base, child.clone()].map(|id| point(Kind::DatabaseBase, id, &sound));
    assert_eq!(of(points.into()), [format!("restored {child}")]);
}

#[test]
fn what_was_damaged_is_looked_at_again_the_next_day() {
    let then = "2026-11-23T11:00:00Z";
    let found = [(Present, then, Damaged), (Read, then, Damaged)];
    let name = "20261123T100000Z-full";
    assert_eq!(
        of(vec![dump("2026-11-23T10:00:00Z", &found)]),
        [format!("present {name}"), format!("read {name}")]
    );
    let again = "2026-11-24T11:00:00Z";
    let mended = [(Present, then, Damaged), (Present, again, Sound), (Read, then, Damaged)];
    assert_eq!(of(vec![dump("2026-11-23T10:00:00Z", &mended)]), [format!("read {name}")]);
    let still = [(Present, again, Damaged), (Read, again, Damaged)];
    assert!(of(vec![dump("2026-11-23T10:00:00Z", &still)]).is_empty());
}

#[test]
fn a_restore_that_found_damage_is_made_again_the_next_day() {
    let (then, again) = ("2026-11-23T11:00:00Z", "2026-11-24T11:00:00Z");
    let sound = [(Present, then, Sound), (Read, then, Sound)];
    let with = |more: &[_]| vec![dump("2026-11-23T10:00:00Z", &[&sound[..], more].concat())];
    let name = "20261123T100000Z-full";
    assert_eq!(of(with(&[(Restored, then, Damaged)])), [format!("restored {name}")]);
    assert!(of(with(&[(Restored, again, Damaged)])).is_empty());
    // What it found again is newer than what it found first, and the other way round.
    let corrected = [(Restored, then, Damaged), (Restored, again, Sound)];
    assert_eq!(of(with(&corrected)), [format!("read {name}")]);
    // A byte that is known to be wrong is looked at first.
    let read = [(Read, again, Damaged), (Restored, then, Damaged)];
    assert!(of(with(&read)).is_empty());
    // Of a chain the lowest comes first.
    let base = PointId::full(at("2026-11-22T00:00:00Z"));
    let child = PointId::incremental(at("2026-11-22T04:00:00Z"), &base);
    let wrong = [(Present, then, Sound), (Read, then, Sound), (Restored, then, Damaged)];
    let points = [base.clone(), child].map(|id| point(Kind::DatabaseBase, id, &wrong));
    assert_eq!(of(points.into()), [format!("restored {base}")]);
}

proptest! {
    /// Whatever was found before: when nothing is wrong, everything counts in the end.
    #[test]
    fn a_wrong_verdict_is_corrected_by_the_checks_that_are_owed(
        histories in proptest::collection::vec(
            proptest::collection::vec((0..3_usize, 0..48_i64, any::<bool>()), 0..6), 1..4),
    ) {
        let base = PointId::full(at("2026-11-20T00:00:00Z"));
        let child = PointId::incremental(at("2026-11-20T04:00:00Z"), &base);
        let last = PointId::incremental(at("2026-11-20T08:00:00Z"), &child);
        let mut points = Vec::new();
        for (id, history) in [base, child, last].into_iter().zip(&histories) {
            let mut point = point(Kind::DatabaseBase, id, &[]);
            for (depth, hour, sound) in history {
                let outcome = if *sound { Sound } else { Damaged };
                let when = at("2026-11-21T00:00:00Z") + SignedDuration::from_hours(*hour);
                point.checks.note(Depth::ALL[*depth], Check { at: when, outcome });
            }
            points.push(point);
        }
        let mut catalogue = Catalogue { complete: true, points };
        for day in 0..12_i64 {
            let now = at(NOW) + SignedDuration::from_hours(24 * day);
            for owed in owed(&catalogue, &Cadence::default(), now) {
                let point = catalogue.points.iter_mut().find(|p| p.id == owed.id).unwrap();
                point.checks.note(owed.depth, Check { at: now, outcome: Sound });
            }
        }
        for point in &catalogue.points {
            let counts = matches!(point.checks.standing(), Standing::Verified { .. });
            prop_assert!(counts, "{}: {:?}", point.id, point.checks);
        }
    }
}

#[test]
fn an_increment_of_something_damaged_or_gone_is_owed_nothing() {
    let base = PointId::full(at("2026-11-24T00:00:00Z"));
    let child = PointId::incremental(at("2026-11-24T04:00:00Z"), &base);
    let orphan = vec![point(Kind::DatabaseBase, child.clone(), &[])];
    assert!(of(orphan).is_empty());
    let damaged = [(Read, "2026-11-24T05:00:00Z", Damaged)];
    assert!(
        of(vec![point(Kind::DatabaseBase, child, &[]), point(Kind::DatabaseBase, base, &damaged)])
            .is_empty()
    );
}

#[test]
fn a_snapshot_is_never_read() {
    let id = PointId::full(at("2026-11-24T00:00:00Z"));
    let asked = |checks: &[_]| of(vec![point(Kind::DatabaseSnapshot, id.clone(), checks)]);
    assert_eq!(asked(&[]), ["present 20261124T000000Z-full"]);
    assert_eq!(asked(&[(Present, NOW, Sound)]), ["restored 20261124T000000Z-full"]);
}

#[test]
fn the_newest_come_first_across_the_kinds_and_a_run_is_bounded() {
    let mut points: Vec<RecoveryPoint> = (1..=40).map(|hour| dump_at(Kind::Config, hour)).collect();
    points.extend((1..=40).map(|hour| dump_at(Kind::Cache, hour)));
    let catalogue = Catalogue { complete: true, points };
    let owed = owed(&catalogue, &Cadence::default(), at(NOW));
    assert_eq!(owed.len(), 50);
    let kinds: Vec<_> = owed.iter().take(4).map(|owed| (owed.kind, owed.depth)).collect();
    assert_eq!(
        kinds,
        [
            (Kind::Config, Present),
            (Kind::Config, Read),
            (Kind::Cache, Present),
            (Kind::Cache, Read)
        ]
    );
    assert!(owed.windows(2).all(|two| two[0].id >= two[1].id));
}

fn dump_at(kind: Kind, hours: i64) -> RecoveryPoint {
    point(kind, PointId::full(at(NOW) - SignedDuration::from_hours(hours)), &[])
}
