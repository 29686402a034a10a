//! Which recovery points are kept, which are deleted, in which order, and why.
//!
//! [`plan`] decides; a sweep carries out [`SweepPlan::deletions`] from the first to the last and
//! may be cut off anywhere. What holds of every plan, and is tested on catalogues made at random:
//!
//! - Nothing that a kept point is restored on top of, or with, is deleted; and the list is in an
//!   order in which this holds after each single deletion, for what is still to be deleted too.
//! - The newest verified point of each app, kind and region stays, with all that it needs. Points
//!   that are unverified, damaged, or that need something damaged or missing, count as nothing.
//! - While no point of an app, kind and region is verified, none of them is deleted.
//! - Nothing is deleted while a recovery or a hold is open, while it is not known whether one is,
//!   or from an incomplete listing.
//! - What has a lock, a hold, a moment in the future, or a name that is there twice, stays.
//! - The WAL from the last verified base before the WAL's window stays without a hole, so that
//!   every moment of the window can be restored; and so does the WAL after the newest verified base,
//!   however old it is.

mod column;
mod index;
mod keep;
mod order;
mod policy;
mod reason;
mod worth;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::Serialize;

pub use policy::{Limit, Retention, Tiers, check};
pub use reason::{DeleteReason, KeepReason, Period, Tier, Verdict};

use super::{Catalogue, Kind, PointId, RecoveryPoint};
use crate::ids::{AppName, IncidentId, Region};
use index::Index;
use keep::Rules;
use worth::{Worth, Worths};

/// Something that forbids deletions, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// It was looked for, and is not there.
    Absent,
    /// It is there.
    Present(T),
    /// It could not be found out, for this reason; never taken for absent.
    Unknown(String),
}

/// What besides the catalogue decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// The moment of the decision.
    pub now: Timestamp,
    /// The recovery that is open.
    pub recovery: Seen<IncidentId>,
    /// The hold on everything of the app, with its reason.
    pub hold: Seen<String>,
}

/// What is done with one recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The point.
    pub point: &'a RecoveryPoint,
    /// What is done, and why.
    pub verdict: Verdict<'a>,
}

/// How many points, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct Tally {
    /// Recovery points.
    pub points: u64,
    /// Stored bytes.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, point: &RecoveryPoint) {
        self.points = self.points.saturating_add(1);
        self.bytes = self.bytes.saturating_add(point.size_bytes);
    }
}

/// Something that people should know, whatever is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Note<'a> {
    /// None of these points is verified.
    NoneVerified {
        /// The app.
        app: &'a AppName,
        /// The kind.
        kind: Kind,
        /// The region.
        region: &'a Region,
    },
    /// The newest of these points is damaged, or needs something that is damaged or gone.
    NewestUnusable {
        /// The app.
        app: &'a AppName,
        /// The kind.
        kind: Kind,
        /// The region.
        region: &'a Region,
        /// The newest point.
        newest: &'a PointId,
        /// The newest one that can be counted on, which is kept.
        verified: &'a PointId,
    },
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneVerified { app, kind, region } => {
                write!(f, "no {kind} of {app} in {region} is verified: none of them is deleted")
            }
            Self::NewestUnusable { app, kind, region, newest, verified } => write!(
                f,
                "the newest {kind} of {app} in {region}, {newest}, cannot be restored; the newest \
                 verified one, {verified}, is kept"
            ),
        }
    }
}

/// What a plan amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Summary<'a> {
    /// What is kept, what is postponed included.
    pub kept: Tally,
    /// What is deleted.
    pub deleted: Tally,
    /// What the policy would let go, and this run does not.
    pub postponed: Tally,
    /// Why so many are kept, by [`KeepReason::code`].
    pub kept_by: BTreeMap<&'static str, Tally>,
    /// Why so many are deleted, by [`DeleteReason::code`].
    pub deleted_by: BTreeMap<&'static str, Tally>,
    /// What people should know.
    pub notes: Vec<Note<'a>>,
}

/// A decision for every point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepPlan<'a> {
    /// One for each point of the catalogue, by app, region, kind and name.
    pub decisions: Vec<Decision<'a>>,
    /// The points to delete, in an order that may be cut off anywhere.
    pub deletions: Vec<&'a RecoveryPoint>,
    /// What it amounts to.
    pub summary: Summary<'a>,
}

/// What to do with every point of a catalogue.
///
/// Takes time n log n for n points, and memory of some 200 bytes for each beside the catalogue.
#[must_use]
pub fn plan<'a>(
    catalogue: &'a Catalogue,
    retention: &Retention,
    circumstances: &'a Circumstances,
) -> SweepPlan<'a> {
    let index = Index::new(catalogue);
    let now = circumstances.now;
    let worths = Worths::new(&index, now);
    let newest_first = newest_first(&index);
    let rules =
        Rules { index: &index, worths: &worths, retention, now, newest_first: &newest_first };
    let mut kept = rules.apply();

    let order =
        order::order(&index, &worths, &newest_first, |slot| kept.reasons.get(slot).is_none());
    let stop = stop(catalogue, circumstances);
    let go = if stop.is_some() { 0 } else { order::within(retention.limit, &index, &order) };
    let (go, wait) = order.split_at_checked(go).unwrap_or((&order, &[]));
    for slot in wait {
        kept.reasons.set(*slot, Some(stop.unwrap_or(KeepReason::LimitReached)));
    }

    let mut summary = Summary { notes: std::mem::take(&mut kept.notes), ..Summary::default() };
    let mut decisions = Vec::with_capacity(index.len());
    for (slot, point) in index.points.iter().copied().enumerate() {
        let verdict = match kept.reasons.get(slot) {
            Some(reason) => {
                summary.kept.add(point);
                summary.kept_by.entry(reason.code()).or_default().add(point);
                if reason.is_postponed() {
                    summary.postponed.add(point);
                }
                Verdict::Keep(reason)
            }
            None => {
                let reason = delete_reason(point, worths.worth.get(slot), retention);
                summary.deleted.add(point);
                summary.deleted_by.entry(reason.code()).or_default().add(point);
                Verdict::Delete(reason)
            }
        };
        decisions.push(Decision { point, verdict });
    }
    let deletions = go.iter().filter_map(|slot| index.point(*slot)).collect();
    SweepPlan { decisions, deletions, summary }
}

/// Every slot, the newest first; of two of the same moment the one whose name sorts last.
fn newest_first(index: &Index<'_>) -> Vec<usize> {
    let mut moments: Vec<(Timestamp, usize)> =
        (0..index.len()).map(|slot| (index.taken_at(slot), slot)).collect();
    moments.sort_unstable_by(|a, b| b.cmp(a));
    moments.into_iter().map(|(_, slot)| slot).collect()
}

/// Why nothing may be deleted at all.
fn stop<'a>(catalogue: &Catalogue, circumstances: &'a Circumstances) -> Option<KeepReason<'a>> {
    match (&circumstances.recovery, &circumstances.hold) {
        (Seen::Present(incident), _) => Some(KeepReason::RecoveryOpen { incident }),
        (_, Seen::Present(reason)) => Some(KeepReason::Hold { reason }),
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => Some(KeepReason::Unknown { why }),
        (Seen::Absent, Seen::Absent) => {
            (!catalogue.complete).then_some(KeepReason::ListingIncomplete)
        }
    }
}

fn delete_reason(point: &RecoveryPoint, worth: Worth, retention: &Retention) -> DeleteReason {
    let days = retention.days(point.kind);
    match worth {
        Worth::Damaged => DeleteReason::Damaged { days },
        Worth::Broken => DeleteReason::Broken { days },
        Worth::Counts | Worth::Unproven if point.kind == Kind::DatabaseWal => {
            DeleteReason::UnneededWal { days }
        }
        Worth::Counts | Worth::Unproven => DeleteReason::Expired { days },
    }
}
