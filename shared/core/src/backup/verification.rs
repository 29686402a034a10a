//! Which checks are owed, and which objects must outlive everyone's mistakes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Catalogue, Depth, Kind, Outcome, PointId, RecoveryPoint, Standing};

/// How long after its backup a point that is there and was not read is restored nevertheless: some
/// runs of the schedule have tried to read it by then.
const UNREAD_FOR: SignedDuration = SignedDuration::from_hours(6);

/// How often points are checked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// The newest point of each kind is read again after this time. Every other point is read once:
    /// storage that loses bytes loses them of the newest too, and reading all costs as much as
    /// keeping all.
    pub read_every: SignedDuration,
    /// A point of each kind is restored after this time.
    pub restore_every: SignedDuration,
    /// Checks that one run makes at most.
    pub limit: usize,
}

impl Default for Cadence {
    /// Daily, as full backups are taken; fifty checks are what an hourly run can do one after
    /// another when each takes its minute.
    fn default() -> Self {
        let day = SignedDuration::from_hours(24);
        Self { read_every: day, restore_every: day, limit: 50 }
    }
}

/// How often backups are checked again: the section `[backup.verify]` of the plan file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// Hours after which the newest point of each kind is read again.
    pub read_every_hours: u32,
    /// Hours after which a point of each kind is restored again.
    pub restore_every_hours: u32,
}

impl Default for Verify {
    fn default() -> Self {
        Self { read_every_hours: 24, restore_every_hours: 24 }
    }
}

impl Verify {
    /// Whether it says nothing of its own.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The same as times, with the bound of one run.
    #[must_use]
    pub fn cadence(self) -> Cadence {
        let hours = |hours: u32| SignedDuration::from_hours(i64::from(hours));
        Cadence {
            read_every: hours(self.read_every_hours),
            restore_every: hours(self.restore_every_hours),
            ..Cadence::default()
        }
    }
}

/// A check that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The kind.
    pub kind: Kind,
    /// The point.
    pub id: PointId,
    /// How deep.
    pub depth: Depth,
}

/// The checks that are owed at `now` to the points of one app in one region, the newest points
/// first, at most [`Cadence::limit`].
///
/// What was found damaged is checked again at that depth, because only newer evidence corrects a
/// verdict that was wrong: a copy may have come late, a host may have lacked something, a reader may
/// have been mended. A look or a reading is owed again after [`Cadence::read_every`], a restore after
/// [`Cadence::restore_every`], unless something else is known against the point or what it stands
/// on: then that comes first. Of what stands on a damaged point nothing is owed. WAL is not in here,
/// because it is read in order and not by points.
#[must_use]
pub fn owed(catalogue: &Catalogue, cadence: &Cadence, now: Timestamp) -> Vec<Owed> {
    let mut kinds: BTreeMap<Kind, Vec<&RecoveryPoint>> = BTreeMap::new();
    for point in catalogue.points.iter().filter(|point| point.kind != Kind::DatabaseWal) {
        kinds.entry(point.kind).or_default().push(point);
    }
    let mut owed: Vec<(Timestamp, Owed)> = Vec::new();
    for (kind, points) in &mut kinds {
        points.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| b.id.cmp(&a.id)));
        let mut add = |point: &RecoveryPoint, depth| {
            owed.push((point.taken_at, Owed { kind: *kind, id: point.id.clone(), depth }));
        };
        let old = |check: super::Check| now.duration_since(check.at) >= cadence.read_every;
        for point in points.iter() {
            for depth in [Depth::Present, Depth::Read] {
                let damaged = point
                    .checks
                    .at_depth(depth)
                    .filter(|check| check.outcome == Outcome::Damaged && old(*check));
                if damaged.is_some() {
                    add(point, depth);
                }
            }
        }
        let reliable = reliable(points);
        for point in points.iter() {
            let damaged = |check: Option<super::Check>| {
                check.filter(|check| check.outcome == Outcome::Damaged)
            };
            let checks = &point.checks;
            let alone = damaged(checks.present).or(damaged(checks.read)).is_none();
            let beneath = point.id.parent();
            let stands = beneath.is_none_or(|id| reliable.iter().any(|point| point.id == id));
            let due = damaged(checks.restored)
                .is_some_and(|check| now.duration_since(check.at) >= cadence.restore_every);
            if due && alone && stands {
                add(point, Depth::Restored);
            }
        }
        for point in reliable.iter().filter(|point| point.checks.present.is_none()) {
            add(point, Depth::Present);
        }
        if has_artifacts(*kind) {
            for (place, point) in reliable.iter().enumerate() {
                // A restore reads every byte as well.
                let read = point.checks.read.or(point.checks.restored);
                if read.is_none_or(|check| place == 0 && old(check)) {
                    add(point, Depth::Read);
                }
            }
        }
        let restored = points.iter().filter_map(|point| point.checks.restored);
        let restored = restored.filter(|check| check.outcome == Outcome::Sound);
        let recent = restored
            .map(|check| check.at)
            .max()
            .is_some_and(|at| now.duration_since(at) < cadence.restore_every);
        let ready = |point: &&&RecoveryPoint| {
            // What could not be read for so long is too large for it, and a host has the time.
            let waited = now.duration_since(point.taken_at) >= UNREAD_FOR;
            let looked_at = point.checks.present.is_some();
            point.checks.read.is_some() || looked_at && (!has_artifacts(*kind) || waited)
        };
        if let Some(point) = reliable.iter().find(ready).filter(|_| !recent) {
            add(point, Depth::Restored);
        }
    }
    owed.sort_by(|(a, one), (b, other)| {
        b.cmp(a).then_with(|| one.kind.cmp(&other.kind)).then_with(|| one.depth.cmp(&other.depth))
    });
    owed.into_iter().map(|(_, owed)| owed).take(cadence.limit).collect()
}

/// Whether the kind's bytes are in the bucket. A snapshot's are where RDS keeps them.
#[must_use]
pub const fn has_artifacts(kind: Kind) -> bool {
    match kind {
        Kind::DatabaseSnapshot => false,
        Kind::DatabaseDump
        | Kind::DatabaseBase
        | Kind::DatabaseWal
        | Kind::Config
        | Kind::Code
        | Kind::Logs
        | Kind::Images
        | Kind::Cache => true,
    }
}

/// The points, in their order, that nothing is known against: neither they nor what they are
/// restored on top of is damaged or missing.
fn reliable<'a>(points: &[&'a RecoveryPoint]) -> Vec<&'a RecoveryPoint> {
    let sound: BTreeSet<&PointId> = points
        .iter()
        .filter(|point| !matches!(point.checks.standing(), Standing::Damaged { .. }))
        .map(|point| &point.id)
        .collect();
    let stands = |point: &&&RecoveryPoint| {
        let mut next = Some(point.id.clone());
        while let Some(id) = next {
            if !sound.contains(&id) {
                return false;
            }
            next = id.parent();
        }
        true
    };
    points.iter().filter(stands).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backup::{Check, Checks};

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
            of(vec![
                dump("2026-11-21T00:00:00Z", &checked),
                dump("2026-11-22T00:00:00Z", &checked)
            ]),
            ["read 20261122T000000Z-full"]
        );
    }

    #[test]
    fn what_is_too_large_to_be_read_is_restored_instead() {
        let old = "2026-11-24T05:00:00Z";
        let looked_at = [(Present, old, Sound)];
        let name = "20261124T050000Z-full";
        assert_eq!(
            of(vec![dump(old, &looked_at)]),
            [format!("read {name}"), format!("restored {name}")]
        );
        let restored = [(Present, old, Sound), (Restored, "2026-11-24T11:00:00Z", Sound)];
        assert!(of(vec![dump(old, &restored)]).is_empty());
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
            of(vec![
                point(Kind::DatabaseBase, child, &[]),
                point(Kind::DatabaseBase, base, &damaged)
            ])
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
        let mut points: Vec<RecoveryPoint> =
            (1..=40).map(|hour| dump_at(Kind::Config, hour)).collect();
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
}
