//! What each point is worth: whether it can be counted on, given what it is restored with.

use jiff::Timestamp;

use super::{
    column::Column,
    index::{Facts, Group, Index, Segment},
};
use crate::backup::{Kind, PointId, Standing};

/// Whether a point can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Worth {
    /// It is verified, and so is all that it is restored on top of.
    Counts,
    /// Nothing is known against it.
    #[default]
    Unproven,
    /// It is damaged.
    Damaged,
    /// Something that it is restored with is damaged or gone.
    Broken,
}

/// Why a point is set apart: it is kept, and it stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    Future,
    Ambiguous,
    Cycle,
}

/// Pairs of slots, to be asked from one end.
#[derive(Debug)]
pub(super) struct Links {
    start: Vec<usize>,
    ends: Vec<usize>,
}

impl Links {
    fn new(len: usize, pairs: impl Iterator<Item = (usize, usize)> + Clone) -> Self {
        let mut start = vec![0_usize; len.saturating_add(1)];
        for (from, _) in pairs.clone() {
            if let Some(count) = start.get_mut(from + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for count in &mut start {
            sum += *count;
            *count = sum;
        }
        let mut free = start.clone();
        let mut ends = vec![0; sum];
        for (from, to) in pairs {
            if let Some(place) = free.get_mut(from) {
                if let Some(end) = ends.get_mut(*place) {
                    *end = to;
                }
                *place += 1;
            }
        }
        Self { start, ends }
    }

    pub(super) fn of(&self, slot: usize) -> &[usize] {
        let start = self.start.get(slot).copied().unwrap_or(0);
        let end = self.start.get(slot + 1).copied().unwrap_or(start);
        self.ends.get(start..end).unwrap_or_default()
    }
}

/// A point's WAL: which slots hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) cluster: usize,
    pub(super) first: Segment,
    pub(super) slots: std::ops::Range<usize>,
}

#[derive(Debug)]
pub(super) struct Worths<'a> {
    /// What each point is restored on top of.
    pub(super) parents: Links,
    /// What is restored on top of each point.
    pub(super) children: Links,
    pub(super) worth: Column<Worth>,
    pub(super) odd: Column<Option<Odd>>,
    /// The WAL of the points that need some and whose cluster has some here.
    spans: Vec<Span>,
    /// Where in `spans` that of a slot is, counted from 1; 0 is none.
    span_of: Column<usize>,
    /// For each app and region, a point whose needs for WAL are not known.
    pub(super) needs_unknown: Column<Option<&'a PointId>>,
}

impl<'a> Worths<'a> {
    pub(super) fn new(index: &Index<'a>, now: Timestamp) -> Self {
        let len = index.len();
        let mut odd: Column<Option<Odd>> = Column::new(len);
        let mut edges: Vec<(usize, usize)> = Vec::new();
        let mut gone: Column<bool> = Column::new(len);
        let mut needs_unknown: Column<Option<&PointId>> = Column::new(index.pairs);
        for group in &index.groups {
            mark_odd(index, group, now, &mut odd);
            for slot in group.slots.clone() {
                let Some(facts) = index.facts(slot) else { continue };
                if group.kind == Kind::DatabaseWal {
                    if !(facts.has_wal && facts.stands_alone && index.is_segment(slot)) {
                        needs_unknown.set(group.pair, index.point(slot).map(|point| &point.id));
                    }
                    continue;
                }
                if facts.stands_alone {
                    continue;
                }
                let Some(point) = index.point(slot) else { continue };
                // The name says it too: a catalogue that forgets a parent costs no chain.
                let unsaid = point
                    .id
                    .parent_name()
                    .filter(|name| point.depends_on.iter().all(|id| id.as_str() != *name));
                for parent in point.depends_on.iter().map(PointId::as_str).chain(unsaid) {
                    match index.find(group, parent) {
                        Some(parent) => edges.push((slot, parent)),
                        None => gone.set(slot, true),
                    }
                }
            }
        }
        let parents = Links::new(len, edges.iter().copied());
        let children = Links::new(len, edges.iter().map(|&(child, parent)| (parent, child)));
        drop(edges);
        let mut worths = Self {
            parents,
            children,
            worth: Column::new(len),
            odd,
            spans: Vec::new(),
            span_of: Column::new(len),
            needs_unknown,
        };
        worths.find_spans(index);
        let wal = Health::of_wal(index);
        worths.judge(index, &gone, &wal);
        worths
    }

    /// The WAL that a point needs, where its cluster has some here.
    pub(super) fn span(&self, slot: usize) -> Option<&Span> {
        self.spans.get(self.span_of.get(slot).checked_sub(1)?)
    }

    fn find_spans(&mut self, index: &Index<'a>) {
        for group in index.groups.iter().filter(|group| group.kind != Kind::DatabaseWal) {
            for slot in group.slots.clone() {
                let has_wal = index.facts(slot).is_some_and(|facts| facts.has_wal);
                if !has_wal && group.kind != Kind::DatabaseBase {
                    continue;
                }
                let Some(point) = index.point(slot) else { continue };
                let Some(wal) = &point.wal else {
                    self.needs_unknown.set(group.pair, Some(&point.id));
                    continue;
                };
                let first = Segment::read(wal.first.as_str());
                let last = Segment::read(wal.last.as_str());
                let (Some(first), Some(last)) = (first, last) else {
                    self.needs_unknown.set(group.pair, Some(&point.id));
                    continue;
                };
                if first > last {
                    self.needs_unknown.set(group.pair, Some(&point.id));
                    continue;
                }
                if let Some((number, cluster)) = index.cluster(group.pair, &wal.system) {
                    let slots = index.span(cluster, first, last);
                    let cluster = number;
                    self.spans.push(Span { cluster, first, slots });
                    self.span_of.set(slot, self.spans.len());
                }
            }
        }
    }

    /// Judges each point after all that it is restored on top of.
    fn judge(&mut self, index: &Index<'a>, gone: &Column<bool>, wal: &Health) {
        let len = index.len();
        let mut open: Column<usize> = Column::new(len);
        let mut ready: Vec<usize> = Vec::with_capacity(len);
        for slot in 0..len {
            let parents = self.parents.of(slot).len();
            open.set(slot, parents);
            if parents == 0 {
                ready.push(slot);
            }
        }
        let mut verified: Column<bool> = Column::new(len);
        let mut judged: Column<bool> = Column::new(len);
        let mut next = 0;
        while let Some(slot) = ready.get(next).copied() {
            next += 1;
            judged.set(slot, true);
            let parents = self.parents.of(slot);
            let sound_below = parents
                .iter()
                .all(|parent| matches!(self.worth.get(*parent), Worth::Counts | Worth::Unproven));
            let verified_below = parents.iter().all(|parent| verified.get(*parent));
            let wal_is_there = self.span(slot).is_none_or(|span| wal.is_whole(index, span, slot));
            let facts = index.facts(slot);
            let standing = facts.map_or(Standing::Unverified, |facts| facts.standing);
            let restored = facts.is_some_and(|facts| facts.restored);
            let is_verified = matches!(standing, Standing::Verified { .. });
            verified.set(slot, is_verified && verified_below);
            // A restore proves what is below; reading proves only what was read.
            let worth = match standing {
                Standing::Damaged { .. } => Worth::Damaged,
                Standing::Verified { .. } | Standing::Unverified
                    if gone.get(slot) || !sound_below || !wal_is_there =>
                {
                    Worth::Broken
                }
                Standing::Verified { .. } if restored || verified_below => Worth::Counts,
                Standing::Verified { .. } | Standing::Unverified => Worth::Unproven,
            };
            self.worth.set(slot, worth);
            for child in self.children.of(slot) {
                let left = open.get(*child).saturating_sub(1);
                open.set(*child, left);
                if left == 0 {
                    ready.push(*child);
                }
            }
        }
        for slot in (0..len).filter(|slot| !judged.get(*slot)) {
            self.worth.set(slot, Worth::Broken);
            if self.odd.get(slot).is_none() {
                self.odd.set(slot, Some(Odd::Cycle));
            }
        }
    }
}

fn mark_odd(index: &Index<'_>, group: &Group, now: Timestamp, odd: &mut Column<Option<Odd>>) {
    for slot in group.slots.clone() {
        if index.taken_at(slot) > now {
            odd.set(slot, Some(Odd::Future));
        }
        if slot > group.slots.start && index.is_twin(slot) {
            odd.set(slot, Some(Odd::Ambiguous));
            odd.set(slot.saturating_sub(1), Some(Odd::Ambiguous));
        }
    }
}

fn is_damaged(facts: &Facts) -> bool {
    matches!(facts.standing, Standing::Damaged { .. })
}

/// Where WAL is damaged or missing.
#[derive(Debug)]
struct Health {
    /// Up to and including each slot, how many segments are damaged or do not follow on the one
    /// before them.
    faults: Column<usize>,
}

impl Health {
    fn of_wal(index: &Index<'_>) -> Self {
        let mut faults = Column::new(index.len());
        for cluster in &index.clusters {
            let segments = |slot: usize| index.segment(slot);
            // How many segments make one of the 4 GiB of a log file: a power of two, 4 to 4096, by
            // the server's wal_segment_size. The highest that was seen tells.
            let highest = cluster.slots.clone().filter_map(segments).map(Segment::low).max();
            let in_a_log = highest.unwrap_or(0).saturating_add(1).next_power_of_two().max(4);
            let mut sum = 0_usize;
            let mut before: Option<Segment> = None;
            for slot in cluster.slots.clone() {
                let here = segments(slot);
                // A new timeline begins with the segment in which the old one was left.
                let follows = match (before, here) {
                    (Some(before), Some(here)) => {
                        here.timeline != before.timeline || before.is_followed_by(here, in_a_log)
                    }
                    (None, Some(_)) => true,
                    (_, None) => false,
                };
                let damaged = index.facts(slot).is_none_or(is_damaged);
                sum += usize::from(!follows || damaged);
                faults.set(slot, sum);
                before = here;
            }
        }
        Self { faults }
    }

    /// Whether all the WAL of a span is there, and none of it damaged.
    fn is_whole(&self, index: &Index<'_>, span: &Span, slot: usize) -> bool {
        let Some(wal) = index.point(slot).and_then(|point| point.wal.as_ref()) else { return true };
        let is = |slot: usize, id: &PointId| index.point(slot).is_some_and(|at| at.id == *id);
        let Some(last) = span.slots.end.checked_sub(1).filter(|_| !span.slots.is_empty()) else {
            return false;
        };
        let first = span.slots.start;
        let damaged = index.facts(first).is_none_or(is_damaged);
        // That the first does not follow on what was before it does not matter.
        is(first, &wal.first)
            && is(last, &wal.last)
            && !damaged
            && self.faults.get(last) == self.faults.get(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_each_other_across_logs() {
        let segment = |text: &str| Segment::read(text).unwrap();
        let follows = |a: &str, b: &str, n| segment(a).is_followed_by(segment(b), n);
        assert!(follows("000000010000000000000001", "000000010000000000000002", 256));
        assert!(follows("0000000100000000000000FF", "000000010000000100000000", 256));
        assert!(follows("00000001000000000000003F", "000000010000000100000000", 64));
        assert!(!follows("0000000100000000000000FE", "000000010000000100000000", 256));
        assert!(!follows("000000010000000000000001", "000000010000000000000003", 256));
        assert!(!follows("000000010000000000000001", "000000010000000000000001", 256));
    }
}
