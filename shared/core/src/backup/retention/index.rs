//! The catalogue in order: every point has a slot, and slots sort by app, region, kind and name.

use std::{collections::HashMap, ops::Range};

use jiff::Timestamp;

use crate::backup::{Catalogue, Kind, Outcome, RecoveryPoint, Standing};

/// The points of one app, region and kind.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    /// The number of its app and region.
    pub(super) pair: usize,
    pub(super) slots: Range<usize>,
}

/// The WAL of one cluster, of one app in one region, by timeline and position.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) slots: Range<usize>,
}

/// What sorts a point. Comparing numbers is several times as fast as comparing the texts.
#[derive(Debug, Clone, Copy)]
struct Sorting {
    /// App and region, kind, and the cluster of WAL: see [`prefix`].
    prefix: u64,
    /// The name: see [`key`].
    key: u128,
    place: usize,
}

/// What is asked of a point again and again, side by side in memory: the points themselves are ten
/// times as large, and may lie anywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) taken_at: Timestamp,
    pub(super) kind: Kind,
    pub(super) size_bytes: u64,
    pub(super) standing: Standing,
    /// Whether it was restored, and sound.
    pub(super) restored: bool,
    pub(super) held: bool,
    /// Whether object lock keeps it, or has kept it.
    pub(super) locked: bool,
    /// Whether it is restored on top of nothing.
    pub(super) stands_alone: bool,
    /// Whether it names a cluster.
    pub(super) has_wal: bool,
}

impl Facts {
    fn of(point: &RecoveryPoint) -> Self {
        let restored = point.checks.restored;
        Self {
            taken_at: point.taken_at,
            kind: point.kind,
            size_bytes: point.size_bytes,
            standing: point.checks.standing(),
            restored: restored.is_some_and(|check| check.outcome == Outcome::Sound),
            held: point.held,
            locked: point.locked_until.is_some(),
            stands_alone: point.depends_on.is_empty() && point.id.parent_name().is_none(),
            has_wal: point.wal.is_some(),
        }
    }
}

/// Of a point that is in no cluster.
const NO_SYSTEM: u32 = u32::MAX;

/// One number for app and region (28 bits), kind (4) and cluster (32).
fn prefix(pair: u32, kind: Kind, system: u32) -> u64 {
    (u64::from(pair) << 36) | (u64::from(kind as u8) << 32) | u64::from(system)
}

#[derive(Debug)]
pub(super) struct Index<'a> {
    sorting: Vec<Sorting>,
    pub(super) points: Vec<&'a RecoveryPoint>,
    facts: Vec<Facts>,
    pub(super) groups: Vec<Group>,
    pub(super) clusters: Vec<Cluster>,
    pub(super) pairs: usize,
    by_cluster: HashMap<(usize, &'a str), usize>,
}

/// A segment's place: timeline, and position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) timeline: u32,
    pub(super) position: u64,
}

impl Segment {
    /// What the name of a segment says.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() != 24 {
            return None;
        }
        let timeline = u32::from_str_radix(text.get(..8)?, 16).ok()?;
        let position = u64::from_str_radix(text.get(8..)?, 16).ok()?;
        Some(Self { timeline, position })
    }

    /// Its number within its log of 4 GiB: the last eight digits.
    pub(super) const fn low(self) -> u64 {
        self.position & 0xFFFF_FFFF
    }

    /// Whether `next` is the segment after this one, where a log has so many segments.
    pub(super) const fn is_followed_by(self, next: Self, in_a_log: u64) -> bool {
        if self.low() + 1 < in_a_log {
            next.position == self.position + 1
        } else {
            next.low() == 0 && next.position >> 32 == (self.position >> 32) + 1
        }
    }

    fn key(self) -> u128 {
        (u128::from(self.timeline) << 64) | u128::from(self.position)
    }

    /// The segment whose key this is.
    fn of_key(key: u128) -> Self {
        let timeline = u32::try_from(key >> 64).unwrap_or(u32::MAX);
        let position = u64::try_from(key & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        Self { timeline, position }
    }
}

/// A number that sorts as the name does, as far as it goes.
fn key(id: &str) -> u128 {
    if let Some(segment) = Segment::read(id) {
        return segment.key();
    }
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(id.bytes()) {
        *byte = from;
    }
    u128::from_be_bytes(bytes)
}

/// Numbers for texts, in the texts' order.
fn number<T: Ord + Copy + std::hash::Hash>(texts: HashMap<T, u32>) -> (Vec<T>, Vec<u32>) {
    let mut sorted: Vec<(T, u32)> = texts.into_iter().collect();
    sorted.sort_unstable();
    let mut ranks = vec![0; sorted.len()];
    for (rank, (_, seen)) in sorted.iter().enumerate() {
        if let Some(place) = usize::try_from(*seen).ok().and_then(|seen| ranks.get_mut(seen)) {
            *place = u32::try_from(rank).unwrap_or(NO_SYSTEM);
        }
    }
    (sorted.into_iter().map(|(text, _)| text).collect(), ranks)
}

/// The number of `text`: that of its first sight.
fn intern<T: Eq + std::hash::Hash>(seen: &mut HashMap<T, u32>, text: T) -> u32 {
    let next = u32::try_from(seen.len()).unwrap_or(NO_SYSTEM);
    *seen.entry(text).or_insert(next)
}

impl<'a> Index<'a> {
    pub(super) fn new(catalogue: &'a Catalogue) -> Self {
        let mut pairs = HashMap::new();
        let mut systems = HashMap::new();
        let mut sorting = Vec::with_capacity(catalogue.points.len());
        let mut facts = Vec::with_capacity(catalogue.points.len());
        for (place, point) in catalogue.points.iter().enumerate() {
            let pair = intern(&mut pairs, (point.app.as_str(), point.region.as_str()));
            let system = match &point.wal {
                Some(wal) if point.kind == Kind::DatabaseWal => {
                    intern(&mut systems, wal.system.as_str())
                }
                _ => NO_SYSTEM,
            };
            let prefix = prefix(pair, point.kind, system);
            sorting.push(Sorting { prefix, key: key(point.id.as_str()), place });
            facts.push(Facts::of(point));
        }
        // So far numbers are in the order of first sight; from here on in the order of the texts.
        let (pairs, pair_ranks) = number(pairs);
        let (systems, system_ranks) = number(systems);
        let rank = |ranks: &[u32], seen: u64| {
            usize::try_from(seen).ok().and_then(|seen| ranks.get(seen)).copied()
        };
        for (entry, facts) in sorting.iter_mut().zip(&facts) {
            let pair = rank(&pair_ranks, entry.prefix >> 36).unwrap_or(u32::MAX);
            let system = rank(&system_ranks, entry.prefix & u64::from(NO_SYSTEM));
            entry.prefix = prefix(pair, facts.kind, system.unwrap_or(NO_SYSTEM));
        }
        let id = |entry: &Sorting| catalogue.points.get(entry.place).map(|point| &point.id);
        sorting.sort_unstable_by(|a, b| {
            (a.prefix, a.key)
                .cmp(&(b.prefix, b.key))
                .then_with(|| id(a).cmp(&id(b)))
                .then_with(|| a.place.cmp(&b.place))
        });
        let in_order =
            |entry: &Sorting| Some((catalogue.points.get(entry.place)?, *facts.get(entry.place)?));
        let (points, facts) = sorting.iter().filter_map(in_order).unzip();
        let mut index = Self {
            points,
            facts,
            groups: Vec::new(),
            clusters: Vec::new(),
            pairs: pairs.len(),
            by_cluster: HashMap::new(),
            sorting,
        };
        index.divide(&systems);
        index
    }

    /// Finds where groups and clusters begin and end.
    fn divide(&mut self, systems: &[&'a str]) {
        let mut start = 0;
        for same in self.sorting.chunk_by(|a, b| a.prefix >> 32 == b.prefix >> 32) {
            let (Some(first), Some(point)) = (same.first(), self.points.get(start)) else {
                continue;
            };
            let pair = usize::try_from(first.prefix >> 36).unwrap_or(usize::MAX);
            let end = start + same.len();
            self.groups.push(Group { kind: point.kind, pair, slots: start..end });
            for cluster in same.chunk_by(|a, b| a.prefix == b.prefix) {
                let system = cluster.first().and_then(|entry| {
                    let system = usize::try_from(entry.prefix & u64::from(NO_SYSTEM)).ok()?;
                    systems.get(system).copied()
                });
                if let Some(system) = system {
                    self.by_cluster.insert((pair, system), self.clusters.len());
                    self.clusters.push(Cluster { slots: start..start + cluster.len() });
                }
                start += cluster.len();
            }
            start = end;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    pub(super) fn point(&self, slot: usize) -> Option<&'a RecoveryPoint> {
        self.points.get(slot).copied()
    }

    /// Whether the point of this slot has the same name, in the same cluster, as the one before.
    pub(super) fn is_twin(&self, slot: usize) -> bool {
        let entry = |slot: usize| self.sorting.get(slot).map(|entry| (entry.prefix, entry.key));
        slot.checked_sub(1).is_some_and(|before| {
            entry(before) == entry(slot)
                && self.point(before).map(|point| &point.id)
                    == self.point(slot).map(|point| &point.id)
        })
    }

    pub(super) fn kind(&self, slot: usize) -> Option<Kind> {
        self.facts(slot).map(|facts| facts.kind)
    }

    pub(super) fn facts(&self, slot: usize) -> Option<&Facts> {
        self.facts.get(slot)
    }

    /// When a point was taken; the beginning of time for a slot that is none.
    pub(super) fn taken_at(&self, slot: usize) -> Timestamp {
        self.facts(slot).map_or(Timestamp::MIN, |facts| facts.taken_at)
    }

    /// Whether the name of a point is that of a segment. The key of any other name begins with a
    /// digit's byte, and is larger than that of any segment.
    pub(super) fn is_segment(&self, slot: usize) -> bool {
        self.sorting.get(slot).is_some_and(|entry| entry.key >> 96 == 0)
    }

    /// The segment that a slot of a cluster holds.
    pub(super) fn segment(&self, slot: usize) -> Option<Segment> {
        self.sorting.get(slot).map(|entry| Segment::of_key(entry.key))
    }

    /// The slot of the point of this name among the slots of one group.
    pub(super) fn find(&self, group: &Group, name: &str) -> Option<usize> {
        let wanted = key(name);
        let entries = self.sorting.get(group.slots.clone())?;
        let names = self.points.get(group.slots.clone())?;
        let mut place = entries.partition_point(|entry| entry.key < wanted);
        while entries.get(place).is_some_and(|entry| entry.key == wanted) {
            if names.get(place).is_some_and(|point| point.id.as_str() == name) {
                return Some(group.slots.start + place);
            }
            place += 1;
        }
        None
    }

    /// The WAL of a cluster, of one app in one region, with its number.
    pub(super) fn cluster(&self, pair: usize, system: &str) -> Option<(usize, &Cluster)> {
        let number = *self.by_cluster.get(&(pair, system))?;
        Some((number, self.clusters.get(number)?))
    }

    /// The slots of a cluster from one segment to another, both included. Between two timelines
    /// these are all of the first from its segment on, and all of the last up to its segment.
    pub(super) fn span(&self, cluster: &Cluster, first: Segment, last: Segment) -> Range<usize> {
        let entries = self.sorting.get(cluster.slots.clone()).unwrap_or_default();
        let start = entries.partition_point(|entry| entry.key < first.key());
        let end = entries.partition_point(|entry| entry.key <= last.key());
        cluster.slots.start + start..cluster.slots.start + end.max(start)
    }
}
