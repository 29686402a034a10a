//! Which checks are owed, and which objects must outlive everyone's mistakes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Catalogue, Checks, Depth, Kind, Outcome, PointId, RecoveryPoint, Standing};

/// How long after a restore that could not tell the next attempt is made: each costs a scratch
/// server, and what passes by itself takes longer than the hour between two runs.
const RESTORE_AGAIN: SignedDuration = SignedDuration::from_hours(3);

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
    /// GiB of stored bytes up to which the function reads a point; a larger one is proven by its
    /// restore alone. 0: it reads none.
    pub read_up_to_gib: u32,
    /// MiB up to which every row of a table is counted in a database that RDS has restored; of a
    /// larger one a sample of pages is read. 0: all are sampled.
    pub count_up_to_mib: u32,
}

impl Default for Verify {
    /// 16 GiB: see [`READ_UP_TO_GIB`]; 256 MiB: see [`COUNT_UP_TO_MIB`].
    fn default() -> Self {
        Self {
            read_every_hours: 24,
            restore_every_hours: 24,
            read_up_to_gib: READ_UP_TO_GIB,
            count_up_to_mib: COUNT_UP_TO_MIB,
        }
    }
}

/// Below what the function reads in its 900 s. Measured: one core takes the compression off, hashes and
/// checks 170 MB a second of a tar in gzip, 370 of one in zstd. The 512 MB that the function has are
/// 0.29 of a core (Lambda developer guide, "Configure Lambda function memory": 1,769 MB are one), which
/// makes 44 GB of gzip in 900 s; TLS and the network take up to half of that.
pub const READ_UP_TO_GIB: u32 = 16;

/// What a restored volume gives in about a minute: it is loaded while it is read (RDS user guide,
/// "Restoring to a DB instance", on lazy loading), for which AWS names no rate. At the 35 ms a
/// request that users report, and the 128 KiB that a server reads ahead, 256 MiB take 72 s.
pub const COUNT_UP_TO_MIB: u32 = 256;

impl Verify {
    /// Whether it says nothing of its own.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Stored bytes up to which a point is read by a function.
    #[must_use]
    pub const fn read_up_to_bytes(&self) -> u64 {
        (self.read_up_to_gib as u64) << 30
    }

    /// Bytes up to which every row of a restored table is counted.
    #[must_use]
    pub const fn count_up_to_bytes(&self) -> u64 {
        (self.count_up_to_mib as u64) << 20
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
///
/// What cannot be told is bounded. A point that is too large to be read, or that could not be read in
/// [`super::ATTEMPTS`] runs, goes on to its restore. A restore that could not tell is made again,
/// of the same point, after three hours, [`super::ATTEMPTS`] times in all; then the kind waits for
/// [`Cadence::restore_every`] and the newest other point is tried.
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
        let rests = rests(points, cadence, now);
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
            let given_up = checks.unproven.is_given_up(Depth::Restored);
            if due && alone && stands && !given_up && !rests {
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
                let too_large = point.checks.unproven.too_large_to_read.is_some();
                if !too_large && read.is_none_or(|check| place == 0 && old(check)) {
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
            let Checks { present, read, unproven, .. } = point.checks;
            let is_next = !has_artifacts(*kind) || unproven.is_given_up(Depth::Read);
            let passed = read.is_some() || present.is_some() && is_next;
            passed && !unproven.is_given_up(Depth::Restored)
        };
        let begun = |point: &&&RecoveryPoint| point.checks.unproven.restored.is_some();
        // One that was begun is brought to its end, although a newer one has come meanwhile.
        let next = reliable.iter().filter(ready).find(begun);
        if let Some(point) = next.or_else(|| reliable.iter().find(ready))
            && !recent
            && !rests
        {
            add(point, Depth::Restored);
        }
    }
    owed.sort_by(|(a, one), (b, other)| {
        b.cmp(a).then_with(|| one.kind.cmp(&other.kind)).then_with(|| one.depth.cmp(&other.depth))
    });
    owed.into_iter().map(|(_, owed)| owed).take(cadence.limit).collect()
}

/// Whether no restore of the kind is begun now, because the last that could not tell was a short
/// while ago.
fn rests(points: &[&RecoveryPoint], cadence: &Cadence, now: Timestamp) -> bool {
    points.iter().filter_map(|point| point.checks.unproven.restored).any(|attempts| {
        let rest = if attempts.are_used_up() { cadence.restore_every } else { RESTORE_AGAIN };
        now.duration_since(attempts.last) < rest
    })
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
mod tests;
