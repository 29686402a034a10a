//! In which order points are deleted: the oldest first, but nothing before what needs it.

use jiff::Timestamp;

use super::{
    column::{Column, Unclaimed},
    index::Index,
    policy::Limit,
    worth::Worths,
};
use crate::backup::Kind;

/// The slots to delete, in order. Every prefix of it leaves each other point what it needs.
pub(super) fn order(
    index: &Index<'_>,
    worths: &Worths<'_>,
    newest_first: &[usize],
    may_go: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut backups: Vec<(usize, Timestamp)> = Vec::new();
    let mut segments: Vec<usize> = Vec::new();
    let mut taken: Column<bool> = Column::new(index.len());
    for slot in newest_first.iter().rev().copied().filter(|slot| may_go(*slot)) {
        if index.kind(slot) == Some(Kind::DatabaseWal) {
            segments.push(slot);
        } else {
            // The oldest is whose turn it is; what needs it goes just before it.
            let turn = index.taken_at(slot);
            with_dependents(slot, worths, &mut taken, |slot| backups.push((slot, turn)));
        }
    }
    let after = last_needs(index, worths, &backups);
    let mut order = Vec::with_capacity(backups.len().saturating_add(segments.len()));
    let mut backups = backups.into_iter().peekable();
    let mut segments = segments.into_iter().peekable();
    let mut gone = 0_usize;
    loop {
        let segment = segments.peek().copied().filter(|segment| {
            let is_free = after.get(*segment) <= gone;
            let older = backups.peek().is_none_or(|(_, turn)| index.taken_at(*segment) < *turn);
            is_free && older
        });
        if let Some(segment) = segment {
            order.push(segment);
            segments.next();
        } else if let Some((backup, _)) = backups.next() {
            order.push(backup);
            gone += 1;
        } else {
            return order;
        }
    }
}

/// Gives a slot to `push` after everything that needs it.
fn with_dependents(
    slot: usize,
    worths: &Worths<'_>,
    taken: &mut Column<bool>,
    mut push: impl FnMut(usize),
) {
    if taken.get(slot) {
        return;
    }
    taken.set(slot, true);
    let mut path = vec![(slot, 0_usize)];
    while let Some((slot, next)) = path.last_mut() {
        match worths.children.of(*slot).get(*next).copied() {
            Some(child) => {
                *next += 1;
                if !taken.get(child) {
                    taken.set(child, true);
                    path.push((child, 0));
                }
            }
            None => {
                push(*slot);
                path.pop();
            }
        }
    }
}

/// For each segment, how many of the backups have to be gone before nothing needs it.
fn last_needs(
    index: &Index<'_>,
    worths: &Worths<'_>,
    backups: &[(usize, Timestamp)],
) -> Column<usize> {
    let mut after: Column<usize> = Column::new(index.len());
    let mut unclaimed: Vec<Unclaimed> =
        index.clusters.iter().map(|cluster| Unclaimed::new(cluster.slots.clone())).collect();
    // The last one to go claims its WAL first.
    for (place, (slot, _)) in backups.iter().enumerate().rev() {
        let Some(span) = worths.span(*slot) else { continue };
        if let Some(unclaimed) = unclaimed.get_mut(span.cluster) {
            unclaimed.claim(span.slots.clone(), |segment| after.set(segment, place + 1));
        }
    }
    after
}

/// How many of the first of `order` the limit lets go.
pub(super) fn within(limit: Limit, index: &Index<'_>, order: &[usize]) -> usize {
    let mut bytes = 0_u64;
    let count = usize::try_from(limit.deletions).unwrap_or(usize::MAX);
    order
        .iter()
        .take(count)
        .take_while(|slot| {
            let size = index.facts(**slot).map_or(0, |facts| facts.size_bytes);
            bytes = bytes.saturating_add(size);
            limit.bytes.is_none_or(|most| bytes <= most)
        })
        .count()
}
