//! Which recovery point to restore.
//!
//! The invariant: nothing is chosen that is not verified, and of an incremental backup everything
//! that it is restored on top of. Whoever asked for something else is told why not, and what would
//! do instead; it is never swapped silently.
//!
//! A base backup carries the log that it needs to be consistent, which its check has read; the
//! archived log is needed to go on from there to a moment, of which [`super::moment`] judges.

use std::{collections::BTreeMap, convert::Infallible};

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
    let question = Question { app, kind, asked, wanted: "verified".to_owned() };
    let none = |_: &RecoveryPoint| Ok::<_, Infallible>(None);
    match choose_by(catalogue, &question, none) {
        Ok(choice) => choice,
        Err(never) => match never {},
    }
}

type Points<'a> = BTreeMap<&'a PointId, &'a RecoveryPoint>;

/// What is looked for.
pub(super) struct Question<'a> {
    pub(super) app: &'a AppName,
    pub(super) kind: Kind,
    pub(super) asked: Option<&'a PointId>,
    /// What it has to be, for people: `verified`.
    pub(super) wanted: String,
}

/// As [`choose`], with more that may speak against a verified point. Points are judged from the
/// newest down, and no more of them than the answer needs.
pub(super) fn choose_by<E>(
    catalogue: &Catalogue,
    question: &Question<'_>,
    more: impl Fn(&RecoveryPoint) -> Result<Option<String>, E>,
) -> Result<Choice, E> {
    let points: Points<'_> = catalogue
        .points
        .iter()
        .filter(|point| point.app == *question.app && point.kind == question.kind)
        .map(|point| (&point.id, point))
        .collect();
    let doubt = |point: &RecoveryPoint| match doubt(&points, point) {
        Some(doubt) => Ok(Some(doubt)),
        None => more(point),
    };
    let mut by_age: Vec<&RecoveryPoint> = points.values().copied().collect();
    by_age.sort_by(|one, other| (other.taken_at, &other.id).cmp(&(one.taken_at, &one.id)));
    match question.asked {
        Some(id) => asked_for(&by_age, question, id, doubt),
        None => newest(&by_age, question, doubt),
    }
}

fn asked_for<E>(
    by_age: &[&RecoveryPoint],
    question: &Question<'_>,
    id: &PointId,
    doubt: impl Fn(&RecoveryPoint) -> Result<Option<String>, E>,
) -> Result<Choice, E> {
    let Question { app, kind, wanted, .. } = question;
    let why = match by_age.iter().find(|point| point.id == *id) {
        None => "it is not in this region's catalogue".to_owned(),
        Some(point) => match doubt(point)? {
            None => return Ok(Choice::Reliable { id: id.clone(), reason: worth(point) }),
            Some(why) => why,
        },
    };
    let mut instead = None;
    for point in by_age.iter().filter(|point| point.id < *id) {
        if doubt(point)?.is_none() {
            instead = Some(point.id.clone());
            break;
        }
    }
    let advice = instead.as_ref().map_or_else(
        || format!("no older {kind} backup of {app} is {wanted} here: look in the other region"),
        |id| format!("restore {id}, the newest older one that is {wanted}"),
    );
    Ok(Choice::Unreliable {
        reason: format!("{kind} backup {id} of {app} cannot be relied on: {why}; {advice}"),
        instead,
    })
}

/// How many points that were passed over are named.
const NAMED: usize = 3;

fn newest<E>(
    by_age: &[&RecoveryPoint],
    question: &Question<'_>,
    doubt: impl Fn(&RecoveryPoint) -> Result<Option<String>, E>,
) -> Result<Choice, E> {
    let Question { app, kind, wanted, .. } = question;
    let mut passed = Vec::new();
    for point in by_age {
        match doubt(point)? {
            None => {
                let mut reason = worth(point);
                if !passed.is_empty() {
                    reason.push_str("; passed over: ");
                    reason.push_str(&list(&passed));
                }
                return Ok(Choice::Reliable { id: point.id.clone(), reason });
            }
            Some(why) => passed.push(format!("{} ({why})", point.id)),
        }
    }
    let found = if passed.is_empty() { "there is none".to_owned() } else { list(&passed) };
    Ok(Choice::Unreliable {
        reason: format!(
            "no {kind} backup of {app} in this region is {wanted}: {found}; look in the other \
             region, or verify one before it is restored"
        ),
        instead: None,
    })
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
