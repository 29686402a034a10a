//! Why each point is kept, if it is.

use jiff::{SignedDuration, Timestamp, tz::Offset};

use super::{
    Note,
    column::{Column, Unclaimed},
    index::{Cluster, Facts, Index, Segment},
    policy::Retention,
    reason::{KeepReason, Period, Tier},
    worth::{Odd, Worth, Worths},
};
use crate::backup::{Kind, RecoveryPoint, Standing};

/// The reasons to keep; none where a point may go.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    pub(super) reasons: Column<Option<KeepReason<'a>>>,
    /// What people should know, whatever is done.
    pub(super) notes: Vec<Note<'a>>,
}

/// What is known of a group when its points have been seen from the newest to the oldest.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// The newest point, whatever it is worth.
    newest: Option<usize>,
    /// The newest one that its own checks call verified.
    newest_verified: Option<usize>,
    /// The newest one that can be counted on.
    newest_counted: Option<usize>,
    counted: u32,
    tiers: [TierSeen; Tier::ALL.len()],
}

/// How far a tier is filled.
#[derive(Debug, Clone, Default)]
struct TierSeen {
    kept: u32,
    period: Option<i64>,
    /// The newest of the period that can be counted on.
    counted: Option<usize>,
    /// The newest of the period that nothing is known against.
    unproven: Option<usize>,
}

pub(super) struct Rules<'r, 'a> {
    pub(super) index: &'r Index<'a>,
    pub(super) worths: &'r Worths<'a>,
    pub(super) retention: &'r Retention,
    pub(super) now: Timestamp,
    /// The slots, the newest first.
    pub(super) newest_first: &'r [usize],
}

impl<'a> Rules<'_, 'a> {
    pub(super) fn apply(&self) -> Kept<'a> {
        let len = self.index.len();
        let mut kept = Kept { reasons: Column::new(len), notes: Vec::new() };
        let mut groups: Column<usize> = Column::new(len);
        for (number, group) in self.index.groups.iter().enumerate() {
            for slot in group.slots.clone() {
                groups.set(slot, number);
            }
        }
        let mut seen = vec![Seen::default(); self.index.groups.len()];
        for slot in self.newest_first.iter().copied() {
            let group = groups.get(slot);
            let kind = self.index.groups.get(group).map(|group| group.kind);
            let facts = self.index.facts(slot);
            if let (Some(kind), Some(facts), Some(seen)) = (kind, facts, seen.get_mut(group)) {
                self.one(slot, facts, kind, seen, &mut kept);
            }
        }
        for (group, seen) in self.index.groups.iter().zip(&mut seen) {
            for (tier, seen) in Tier::ALL.into_iter().zip(&mut seen.tiers) {
                self.end_period(tier, seen, &mut kept);
            }
            self.note(seen, group.kind, &mut kept);
        }
        let mut bases = vec![None; self.index.pairs];
        for (group, seen) in self.index.groups.iter().zip(&seen) {
            if group.kind == Kind::DatabaseBase
                && let Some(base) = bases.get_mut(group.pair)
            {
                *base = seen.newest_counted;
            }
        }
        let anchors = self.anchors(&mut kept);
        for (group, seen) in self.index.groups.iter().zip(&seen) {
            let unproven = if seen.newest_counted.is_none() {
                Some(KeepReason::NoneVerified)
            } else if group.kind == Kind::DatabaseWal
                && bases.get(group.pair).is_none_or(Option::is_none)
            {
                Some(KeepReason::NoVerifiedBase)
            } else {
                None
            };
            if let Some(reason) = unproven {
                for slot in group.slots.clone() {
                    kept.add(slot, reason);
                }
            }
        }
        self.needed(&mut kept);
        self.wal(&anchors, &bases, &mut kept);
        kept
    }

    /// The reasons that a point has by itself and by its place among its like.
    fn one(&self, slot: usize, facts: &Facts, kind: Kind, seen: &mut Seen, kept: &mut Kept<'a>) {
        if facts.held {
            kept.add(slot, KeepReason::Held);
        }
        if facts.locked
            && let Some(until) = self.index.point(slot).and_then(|point| point.locked_until)
            && until > self.now
        {
            kept.add(slot, KeepReason::Locked { until });
        }
        if let Some(odd) = self.worths.odd.get(slot) {
            kept.add(
                slot,
                match odd {
                    Odd::Future => KeepReason::Future,
                    Odd::Ambiguous => KeepReason::Ambiguous,
                    Odd::Cycle => KeepReason::Cycle,
                },
            );
            return;
        }
        let worth = self.worths.worth.get(slot);
        let counts = worth == Worth::Counts;
        seen.newest = seen.newest.or(Some(slot));
        // What its own checks say is enough to be spared; to be counted on takes more.
        let verified = matches!(facts.standing, Standing::Verified { .. });
        if verified && seen.newest_verified.is_none() {
            seen.newest_verified = Some(slot);
            let reason = if counts { KeepReason::NewestVerified } else { KeepReason::NewestAlone };
            kept.add(slot, reason);
        }
        if counts && seen.newest_counted.is_none() {
            seen.newest_counted = Some(slot);
            kept.add(slot, KeepReason::NewestVerified);
        }
        let days = self.retention.days(kind);
        if facts.taken_at >= self.days_ago(days) {
            kept.add(slot, KeepReason::WithinDays { days });
        }
        if kind == Kind::DatabaseWal {
            return;
        }
        if counts {
            if seen.counted < self.retention.minimum {
                kept.add(slot, KeepReason::Minimum { minimum: self.retention.minimum });
            }
            seen.counted = seen.counted.saturating_add(1);
        }
        if matches!(worth, Worth::Counts | Worth::Unproven) {
            for (tier, seen) in Tier::ALL.into_iter().zip(&mut seen.tiers) {
                if seen.kept >= self.tier_count(tier) {
                    continue;
                }
                let period = Some(period_of(tier, facts.taken_at));
                if seen.period != period {
                    self.end_period(tier, seen, kept);
                    seen.period = period;
                }
                let newest = if counts { &mut seen.counted } else { &mut seen.unproven };
                *newest = newest.or(Some(slot));
            }
        }
    }

    /// Keeps the point that stands for a period, now that all of the period were seen.
    fn end_period(&self, tier: Tier, seen: &mut TierSeen, kept: &mut Kept<'a>) {
        let chosen = seen.counted.take().or(seen.unproven.take());
        seen.unproven = None;
        if let Some(slot) = chosen.filter(|_| seen.kept < self.tier_count(tier)) {
            let period = Period { tier, at: self.index.taken_at(slot) };
            kept.add(slot, KeepReason::Tier { tier, period });
            seen.kept = seen.kept.saturating_add(1);
        }
    }

    fn tier_count(&self, tier: Tier) -> u32 {
        let tiers = &self.retention.tiers;
        match tier {
            Tier::Daily => tiers.daily,
            Tier::Weekly => tiers.weekly,
            Tier::Monthly => tiers.monthly,
            Tier::Yearly => tiers.yearly,
        }
    }

    fn note(&self, seen: &Seen, kind: Kind, kept: &mut Kept<'a>) {
        let Some(newest) = seen.newest.and_then(|slot| self.index.point(slot)) else { return };
        let worth = seen.newest.map(|slot| self.worths.worth.get(slot));
        match seen.newest_counted.and_then(|slot| self.index.point(slot)) {
            None => kept.notes.push(Note::NoneVerified {
                app: &newest.app,
                kind,
                region: &newest.region,
            }),
            Some(verified) if matches!(worth, Some(Worth::Damaged | Worth::Broken)) => {
                kept.notes.push(Note::NewestUnusable {
                    app: &newest.app,
                    kind,
                    region: &newest.region,
                    newest: &newest.id,
                    verified: &verified.id,
                });
            }
            Some(_) => {}
        }
    }

    fn days_ago(&self, days: u32) -> Timestamp {
        self.now
            .checked_sub(SignedDuration::from_hours(i64::from(days).saturating_mul(24)))
            .unwrap_or(Timestamp::MIN)
    }

    /// For each cluster, the base backup that point-in-time recovery begins with: the newest one
    /// before the window of the WAL that can be counted on, or else that nothing is known against.
    ///
    /// A cluster that archived nothing in the window (one that a restore has replaced) has no
    /// moment in it to be restored to, and needs none.
    fn anchors(&self, kept: &mut Kept<'a>) -> Vec<Option<usize>> {
        let from = self.days_ago(self.retention.days(Kind::DatabaseWal));
        let clusters = &self.index.clusters;
        let live: Vec<bool> = clusters
            .iter()
            .map(|cluster| {
                let mut slots = cluster.slots.clone();
                slots.any(|slot| (from..=self.now).contains(&self.index.taken_at(slot)))
            })
            .collect();
        let mut counted = vec![None; clusters.len()];
        let mut unproven = vec![None; clusters.len()];
        for slot in self.newest_first.iter().copied() {
            let Some(span) = self.worths.span(slot) else { continue };
            let is_base = self.index.kind(slot) == Some(Kind::DatabaseBase);
            if !is_base
                || self.worths.odd.get(slot).is_some()
                || self.index.taken_at(slot) > from
                || !live.get(span.cluster).copied().unwrap_or(false)
            {
                continue;
            }
            let newest = match self.worths.worth.get(slot) {
                Worth::Counts => counted.get_mut(span.cluster),
                Worth::Unproven => unproven.get_mut(span.cluster),
                Worth::Damaged | Worth::Broken => None,
            };
            if let Some(newest) = newest {
                *newest = newest.or(Some(slot));
            }
        }
        let anchors: Vec<Option<usize>> = counted
            .into_iter()
            .zip(unproven)
            .map(|(counted, unproven)| counted.or(unproven))
            .collect();
        for anchor in anchors.iter().flatten() {
            kept.add(*anchor, KeepReason::WindowStart { from });
        }
        anchors
    }

    /// Keeps what kept points are restored on top of.
    fn needed(&self, kept: &mut Kept<'a>) {
        let mut open: Vec<usize> =
            (0..self.index.len()).filter(|slot| kept.reasons.get(*slot).is_some()).collect();
        while let Some(slot) = open.pop() {
            let Some(point) = self.index.point(slot) else { continue };
            for parent in self.worths.parents.of(slot) {
                if kept.add(*parent, KeepReason::NeededBy { point: &point.id }) {
                    open.push(*parent);
                }
            }
        }
    }

    /// Keeps the WAL that kept points need, and the WAL that is replayed after a base.
    fn wal(&self, anchors: &[Option<usize>], bases: &[Option<usize>], kept: &mut Kept<'a>) {
        let clusters = &self.index.clusters;
        let mut unclaimed: Vec<Unclaimed> =
            clusters.iter().map(|cluster| Unclaimed::new(cluster.slots.clone())).collect();
        // In the order of the slots, so that the same catalogue gives the same reasons.
        for slot in 0..self.index.len() {
            let Some(span) = self.worths.span(slot) else { continue };
            let point = self.index.point(slot).filter(|_| kept.reasons.get(slot).is_some());
            if let (Some(point), Some(unclaimed)) = (point, unclaimed.get_mut(span.cluster)) {
                unclaimed.claim(span.slots.clone(), |segment| {
                    kept.add(segment, KeepReason::NeededBy { point: &point.id });
                });
            }
        }
        let replayed = anchors.iter().chain(bases).flatten();
        for base in replayed {
            let Some(span) = self.worths.span(*base) else { continue };
            if let (Some(cluster), Some(point)) =
                (clusters.get(span.cluster), self.index.point(*base))
            {
                self.replay(cluster, span.first, point, kept);
            }
        }
        for group in self.index.groups.iter().filter(|group| group.kind == Kind::DatabaseWal) {
            if let Some(point) = self.worths.needs_unknown.get(group.pair) {
                for slot in group.slots.clone() {
                    kept.add(slot, KeepReason::NeedsUnknown { point });
                }
            }
        }
    }

    /// Keeps the WAL from a base on. Older timelines have ended before it, and what newer ones hold
    /// of earlier positions does not lead to it.
    fn replay(
        &self,
        cluster: &Cluster,
        first: Segment,
        base: &'a RecoveryPoint,
        kept: &mut Kept<'a>,
    ) {
        for slot in cluster.slots.clone() {
            let segment = self.index.segment(slot);
            if segment
                .is_some_and(|at| at.timeline >= first.timeline && at.position >= first.position)
            {
                kept.add(slot, KeepReason::Replayed { base: &base.id });
            }
        }
    }
}

impl<'a> Kept<'a> {
    /// Keeps a point for this reason, unless it is kept already. Whether it was news.
    fn add(&mut self, slot: usize, reason: KeepReason<'a>) -> bool {
        let news = self.reasons.get(slot).is_none();
        if news {
            self.reasons.set(slot, Some(reason));
        }
        news
    }
}

/// A number that two moments share when they lie in the same day, week, month or year of UTC.
fn period_of(tier: Tier, at: Timestamp) -> i64 {
    let day = at.as_second().div_euclid(86_400);
    match tier {
        Tier::Daily => day,
        // The first day of 1970 was a Thursday.
        Tier::Weekly => day.saturating_add(3).div_euclid(7),
        Tier::Monthly => {
            let date = Offset::UTC.to_datetime(at).date();
            i64::from(date.year()) * 12 + i64::from(date.month())
        }
        Tier::Yearly => i64::from(Offset::UTC.to_datetime(at).date().year()),
    }
}
