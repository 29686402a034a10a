//! The catalogue in order: every point has a slot, and slots sort by app, region, kind and name.

use std::{collections::HashMap, ops::Range};

use jiff::Timestamp;

use crate::backup::{Catalogue, Kind, RecoveryPoint};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sorting {
    pair: u32,
    kind: Kind,
    /// The number of the cluster, of WAL.
    system: u32,
    key: u128,
    place: usize,
}

/// Of a point that is in no cluster.
const NO_SYSTEM: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Index<'a> {
    sorting: Vec<Sorting>,
    pub(super) points: Vec<&'a RecoveryPoint>,
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
        let mut sorting: Vec<Sorting> = catalogue
            .points
            .iter()
            .enumerate()
            .map(|(place, point)| Sorting {
                pair: intern(&mut pairs, (point.app.as_str(), point.region.as_str())),
                kind: point.kind,
                system: match &point.wal {
                    Some(wal) if point.kind == Kind::DatabaseWal => {
                        intern(&mut systems, wal.system.as_str())
                    }
                    _ => NO_SYSTEM,
                },
                key: key(point.id.as_str()),
                place,
            })
            .collect();
        let (pairs, pair_ranks) = number(pairs);
        let (systems, system_ranks) = number(systems);
        let rank = |ranks: &[u32], seen: u32| {
            usize::try_from(seen).ok().and_then(|seen| ranks.get(seen)).copied().unwrap_or(seen)
        };
        for entry in &mut sorting {
            entry.pair = rank(&pair_ranks, entry.pair);
            entry.system = rank(&system_ranks, entry.system);
        }
        let id = |entry: &Sorting| catalogue.points.get(entry.place).map(|point| &point.id);
        sorting.sort_unstable_by(|a, b| {
            let numbers = |entry: &Sorting| (entry.pair, entry.kind, entry.system, entry.key);
            numbers(a).cmp(&numbers(b)).then_with(|| id(a).cmp(&id(b))).then(a.place.cmp(&b.place))
        });
        let points: Vec<&RecoveryPoint> =
            sorting.iter().filter_map(|entry| catalogue.points.get(entry.place)).collect();
        let mut index = Self {
            points,
            groups: Vec::new(),
            clusters: Vec::new(),
            pairs: pairs.len(),
            by_cluster: HashMap::new(),
            sorting,
        };
        let mut start = 0;
        for same in index.sorting.chunk_by(|a, b| a.pair == b.pair && a.kind == b.kind) {
            let Some(first) = same.first() else { continue };
            let pair = usize::try_from(first.pair).unwrap_or(usize::MAX);
            let end = start + same.len();
            index.groups.push(Group { kind: first.kind, pair, slots: start..end });
            for cluster in same.chunk_by(|a, b| a.system == b.system) {
                let system = cluster.first().and_then(|entry| {
                    usize::try_from(entry.system).ok().and_then(|system| systems.get(system))
                });
                if let Some(system) = system.copied() {
                    index.by_cluster.insert((pair, system), index.clusters.len());
                    index.clusters.push(Cluster { slots: start..start + cluster.len() });
                }
                start += cluster.len();
            }
            start = end;
        }
        index
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    pub(super) fn point(&self, slot: usize) -> Option<&'a RecoveryPoint> {
        self.points.get(slot).copied()
    }

    /// When a point was taken; the beginning of time for a slot that is none.
    pub(super) fn taken_at(&self, slot: usize) -> Timestamp {
        self.point(slot).map_or(Timestamp::MIN, |point| point.taken_at)
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
