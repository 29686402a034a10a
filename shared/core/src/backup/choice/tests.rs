use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::backup::{Check, Checks, Depth, Outcome};

const S: Option<Outcome> = Some(Outcome::Sound);
const D: Option<Outcome> = Some(Outcome::Damaged);

fn at(hour: i64) -> Timestamp {
    let day: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    day + SignedDuration::from_hours(hour)
}

fn point(id: PointId, read: Option<Outcome>) -> RecoveryPoint {
    let mut checks = Checks::default();
    if let Some(outcome) = read {
        checks.note(Depth::Read, Check { at: at(40), outcome });
    }
    RecoveryPoint {
        app: "queue".parse().unwrap(),
        kind: Kind::DatabaseBase,
        region: "us-west-2".parse().unwrap(),
        taken_at: id.time().unwrap(),
        depends_on: id.parent().into_iter().collect(),
        id,
        wal: None,
        size_bytes: 0,
        checks,
        locked_until: None,
        held: false,
    }
}

fn full(hour: i64) -> PointId {
    PointId::full(at(hour))
}

fn pick(points: Vec<RecoveryPoint>, asked: Option<&PointId>) -> Choice {
    let catalogue = Catalogue { complete: true, points };
    choose(&catalogue, &"queue".parse().unwrap(), Kind::DatabaseBase, asked)
}

fn chosen(choice: Choice) -> (PointId, String) {
    match choice {
        Choice::Reliable { id, reason } => (id, reason),
        Choice::Unreliable { .. } => panic!("{choice:?}"),
    }
}

fn refused(choice: Choice) -> (String, Option<PointId>) {
    match choice {
        Choice::Unreliable { reason, instead } => (reason, instead),
        Choice::Reliable { .. } => panic!("{choice:?}"),
    }
}

#[test]
fn the_newest_verified_is_chosen_and_what_was_passed_over_is_told() {
    let points = vec![
        point(full(0), S),
        point(full(4), S),
        point(full(8), D),
        point(full(12), None),
        point(full(16), None),
        point(full(20), None),
    ];
    let (id, reason) = chosen(pick(points, None));
    assert_eq!(id, full(4));
    assert!(reason.starts_with("verified at 2026-11-25T16:00:00Z; passed over: "), "{reason}");
    assert!(reason.contains("never verified") && reason.ends_with("and 1 more"), "{reason}");
}

#[test]
fn a_damaged_or_unverified_one_is_refused_with_the_next_older_verified_one() {
    let points =
        vec![point(full(0), S), point(full(4), D), point(full(8), None), point(full(9), S)];
    for (asked, word) in [(full(4), "damaged"), (full(8), "never verified")] {
        let (reason, instead) = refused(pick(points.clone(), Some(&asked)));
        assert_eq!(instead, Some(full(0)), "{reason}");
        assert!(reason.contains(word) && reason.contains(full(0).as_str()), "{reason}");
    }
    let (reason, instead) = refused(pick(points.clone(), Some(&full(5))));
    assert!(reason.contains("not in this region's catalogue"), "{reason}");
    assert_eq!(instead, Some(full(0)));
    assert_eq!(chosen(pick(points, Some(&full(0)))).0, full(0));
}

#[test]
fn an_incremental_backup_is_no_better_than_its_base() {
    let base = full(0);
    let child = PointId::incremental(at(4), &base);
    let grandchild = PointId::incremental(at(8), &child);
    let chain = |base_checked, child_checked| {
        vec![
            point(base.clone(), base_checked),
            point(child.clone(), child_checked),
            point(grandchild.clone(), S),
        ]
    };
    assert_eq!(chosen(pick(chain(S, S), None)).0, grandchild);
    assert_eq!(chosen(pick(chain(S, D), None)).0, base);
    let (reason, instead) = refused(pick(chain(D, S), Some(&grandchild)));
    assert!(reason.contains(&format!("it needs {base}, and it was found damaged")), "{reason}");
    assert_eq!(instead, None);
    let orphan = vec![point(grandchild.clone(), S), point(base.clone(), S)];
    let (reason, _) = refused(pick(orphan, Some(&grandchild)));
    assert!(reason.contains(&format!("it needs {child}, which is not here")), "{reason}");
}

#[test]
fn with_nothing_verified_nothing_is_chosen() {
    assert!(refused(pick(Vec::new(), None)).0.contains("there is none"));
    let (reason, instead) = refused(pick(vec![point(full(0), None)], None));
    assert!(reason.contains("never verified") && instead.is_none(), "{reason}");
    let mut other = point(full(0), S);
    other.app = "other".parse().unwrap();
    refused(pick(vec![other], None));
}

proptest! {
    #[test]
    fn what_is_chosen_is_verified_and_nothing_newer_is(
        outcomes in prop::collection::vec(0..3_u8, 0..12),
    ) {
        let outcome = |code: &u8| match code {
            0 => S,
            1 => D,
            _ => None,
        };
        let points: Vec<RecoveryPoint> =
            (0..).zip(&outcomes).map(|(hour, code)| point(full(hour), outcome(code))).collect();
        let best = points.iter().rev().find(|p| p.checks.read.is_some_and(|c| c.outcome == Outcome::Sound));
        match pick(points.clone(), None) {
            Choice::Reliable { id, .. } => prop_assert_eq!(Some(&id), best.map(|p| &p.id)),
            Choice::Unreliable { instead, .. } => {
                prop_assert_eq!(best, None);
                prop_assert_eq!(instead, None);
            }
        }
    }
}

proptest! {
    /// A point is accepted exactly while the newest evidence of no depth is against it, and the
    /// newest reading or restore is for it, in whatever order evidence is listed.
    #[test]
    fn only_newer_sound_evidence_takes_a_verdict_back(
        evidence in proptest::collection::vec((0..3_usize, 0..20_i64, any::<bool>()), 0..12),
    ) {
        let mut one = point(full(0), None);
        for (depth, hour, sound) in &evidence {
            let outcome = if *sound { Outcome::Sound } else { Outcome::Damaged };
            one.checks.note(Depth::ALL[*depth], Check { at: at(*hour), outcome });
        }
        // Of two at the same moment the bad one counts.
        let newest = |depth: usize| {
            let of = evidence.iter().filter(|(other, ..)| *other == depth);
            of.map(|(_, hour, sound)| (*hour, !sound)).max().map(|(_, damaged)| !damaged)
        };
        let all = [0, 1, 2].map(newest);
        let expected = !all.contains(&Some(false)) && all[1..].contains(&Some(true));
        let accepted = matches!(pick(vec![one], Some(&full(0))), Choice::Reliable { .. });
        prop_assert_eq!(accepted, expected);
    }
}
