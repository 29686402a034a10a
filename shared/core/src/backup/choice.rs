//! Which recovery point to restore.
//!
//! The invariant: nothing is chosen that is not verified, and of an incremental backup everything
//! that it is restored on top of. Whoever asked for something else is told why not, and what would
//! do instead; it is never swapped silently.

use std::collections::BTreeMap;

use super::{Catalogue, Kind, PointId, RecoveryPoint, Standing};
use crate::ids::AppName;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This one may be restored.
    Reliable {
        /// It.
        id: PointId,
        /// Why this one, for people: what was passed over and why.
        reason: String,
    },
    /// The one asked for may not be relied on, or there is none that may.
    Unreliable {
        /// Why, and what to do.
        reason: String,
        /// The newest that may be relied on and is older, if there is one.
        instead: Option<PointId>,
    },
}

/// The one asked for, if it may be relied on; without one, the newest that may.
///
/// `catalogue` is that of one region.
#[must_use]
pub fn choose(catalogue: &Catalogue, app: &AppName, kind: Kind, asked: Option<&PointId>) -> Choice {
    let points: BTreeMap<&PointId, &RecoveryPoint> = catalogue
        .points
        .iter()
        .filter(|point| point.app == *app && point.kind == kind)
        .map(|point| (&point.id, point))
        .collect();
    match asked {
        Some(id) => asked_for(&points, app, kind, id),
        None => newest(&points, app, kind),
    }
}

type Points<'a> = BTreeMap<&'a PointId, &'a RecoveryPoint>;

fn asked_for(points: &Points<'_>, app: &AppName, kind: Kind, id: &PointId) -> Choice {
    let doubt = match points.get(id) {
        None => "it is not in this region's catalogue".to_owned(),
        Some(point) => match doubt(points, point) {
            None => return Choice::Reliable { id: id.clone(), reason: worth(point) },
            Some(doubt) => doubt,
        },
    };
    let instead = points
        .values()
        .filter(|point| point.id < *id && self::doubt(points, point).is_none())
        .max_by_key(|point| (point.taken_at, &point.id))
        .map(|point| point.id.clone());
    let advice = instead.as_ref().map_or_else(
        || format!("no older {kind} backup of {app} is verified here: look in the other region"),
        |id| format!("restore {id}, the newest older one that is verified"),
    );
    Choice::Unreliable {
        reason: format!("{kind} backup {id} of {app} cannot be relied on: {doubt}; {advice}"),
        instead,
    }
}

/// How many points that were passed over are named.
const NAMED: usize = 3;

fn newest(points: &Points<'_>, app: &AppName, kind: Kind) -> Choice {
    let mut by_age: Vec<&RecoveryPoint> = points.values().copied().collect();
    by_age.sort_by(|one, other| (other.taken_at, &other.id).cmp(&(one.taken_at, &one.id)));
    let mut passed = Vec::new();
    for point in by_age {
        match doubt(points, point) {
            None => {
                let mut reason = worth(point);
                if !passed.is_empty() {
                    reason.push_str("; passed over: ");
                    reason.push_str(&list(&passed));
                }
                return Choice::Reliable { id: point.id.clone(), reason };
            }
            Some(doubt) => passed.push(format!("{} ({doubt})", point.id)),
        }
    }
    let found = if passed.is_empty() { "there is none".to_owned() } else { list(&passed) };
    Choice::Unreliable {
        reason: format!(
            "no {kind} backup of {app} in this region is verified: {found}; look in the other \
             region, or verify one before it is restored"
        ),
        instead: None,
    }
}

fn list(passed: &[String]) -> String {
    let mut text: String = passed.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = passed.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn worth(point: &RecoveryPoint) -> String {
    match point.checks.standing() {
        Standing::Verified { at } => format!("verified at {at}"),
        Standing::Unverified | Standing::Damaged { .. } => String::new(),
    }
}

/// Why a point cannot be relied on; none when it can.
fn doubt(points: &Points<'_>, point: &RecoveryPoint) -> Option<String> {
    let own = standing(point);
    if own.is_some() {
        return own;
    }
    let mut parent = point.id.parent();
    while let Some(id) = parent {
        match points.get(&id) {
            None => return Some(format!("it needs {id}, which is not here")),
            Some(base) => {
                if let Some(doubt) = standing(base) {
                    return Some(format!("it needs {id}, and {doubt}"));
                }
            }
        }
        parent = id.parent();
    }
    None
}

fn standing(point: &RecoveryPoint) -> Option<String> {
    match point.checks.standing() {
        Standing::Verified { .. } => None,
        Standing::Unverified => Some("it was never verified".to_owned()),
        Standing::Damaged { at } => Some(format!("it was found damaged at {at}")),
    }
}

#[cfg(test)]
mod tests;
