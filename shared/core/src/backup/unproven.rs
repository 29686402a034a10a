//! Checks without a verdict: those that could not tell, and those that are not made because the point
//! is too large for them.
//!
//! Neither is a verdict. They are kept beside the verdicts so that what cannot be told costs a
//! bounded number of attempts and one message to a person, and so that whoever looks at a point that
//! is not proven sees why it is not.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Checks, Depth, Kind, Outcome, PointId, schema};
use crate::ids::{AppName, Region};

/// Runs that try to make one check of one point: after the last a person is told, once. What passes
/// by itself (a host that restarts, an answer that is lost) has passed by then.
pub const ATTEMPTS: u32 = 3;

/// How a check ended, as the name of what it left says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// With a verdict.
    Ended(Outcome),
    /// Without one, in the run that began at this moment (whole seconds).
    Undecided(Timestamp),
    /// It is not made: the point is too large for it.
    Skipped,
}

/// Runs that could not tell, since the newest verdict of the depth and of the point as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    /// How many.
    pub count: u32,
    /// When the last one ended.
    #[schemars(schema_with = "schema::moment")]
    pub last: Timestamp,
}

impl Attempts {
    /// Whether there were as many as there may be.
    #[must_use]
    pub const fn are_used_up(self) -> bool {
        self.count >= ATTEMPTS
    }
}

/// What keeps a point from being proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Unproven {
    /// Attempts at [`Depth::Present`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<Attempts>,
    /// Attempts at [`Depth::Read`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Attempts>,
    /// Attempts at [`Depth::Restored`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<Attempts>,
    /// When it was found too large to be read by a function; its restore proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::moment_or_none")]
    pub too_large_to_read: Option<Timestamp>,
}

impl Unproven {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The attempts at this depth; none where there were none.
    #[must_use]
    pub const fn attempts(&self, depth: Depth) -> Option<Attempts> {
        match depth {
            Depth::Present => self.present,
            Depth::Read => self.read,
            Depth::Restored => self.restored,
        }
    }

    /// Whether no more attempts at this depth are made, or none was to be made.
    #[must_use]
    pub fn is_given_up(&self, depth: Depth) -> bool {
        let skipped = depth == Depth::Read && self.too_large_to_read.is_some();
        skipped || self.attempts(depth).is_some_and(Attempts::are_used_up)
    }
}

/// The record of a check without a verdict, kept beside the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undecided {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// The recovery point.
    pub id: PointId,
    /// The region whose copy it is.
    pub region: Region,
    /// How deep the check was to go.
    pub depth: Depth,
    /// The run that could not tell, by the moment it began; none when the check is not made at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Timestamp>,
    /// When it ended.
    pub at: Timestamp,
    /// Why there is no verdict, for people.
    pub why: String,
}

/// What the names of one point's evidence say, in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks(Vec<(Depth, Mark, Timestamp)>);

impl Marks {
    /// One more, which was written at `at`.
    pub fn add(&mut self, depth: Depth, mark: Mark, at: Timestamp) {
        self.0.push((depth, mark, at));
    }

    /// What they say of a point whose manifest was written at `written`: whoever wrote it anew wrote
    /// something that nobody has checked.
    #[must_use]
    pub fn checks(&self, written: Timestamp) -> Checks {
        let mut checks = Checks::default();
        for (depth, mark, at) in &self.0 {
            if let Mark::Ended(outcome) = mark {
                checks.note(*depth, Check { at: *at, outcome: *outcome });
            }
        }
        checks.forget_sound_before(written);
        let attempts = |depth| {
            let runs = self.runs(&checks, depth, written);
            let last = runs.iter().map(|(_, at)| *at).max()?;
            Some(Attempts { count: u32::try_from(runs.len()).unwrap_or(u32::MAX), last })
        };
        let skipped = self
            .0
            .iter()
            .filter(|(depth, mark, _)| (*depth, *mark) == (Depth::Read, Mark::Skipped));
        let unproven = Unproven {
            present: attempts(Depth::Present),
            read: attempts(Depth::Read),
            restored: attempts(Depth::Restored),
            too_large_to_read: skipped
                .map(|(_, _, at)| *at)
                .filter(|at| *at >= written && checks.read.is_none_or(|read| read.at < *at))
                .max(),
        };
        Checks { unproven, ..checks }
    }

    /// The runs that could not tell since the newest verdict, each with the moment of its record.
    fn runs(
        &self,
        checks: &Checks,
        depth: Depth,
        written: Timestamp,
    ) -> BTreeSet<(Timestamp, Timestamp)> {
        let verdict = checks.at_depth(depth).map(|check| check.at);
        let runs = self.0.iter().filter(|(of, _, at)| {
            *of == depth && *at >= written && verdict.is_none_or(|verdict| verdict < *at)
        });
        runs.filter_map(|(_, mark, at)| match mark {
            Mark::Undecided(run) => Some((*run, *at)),
            Mark::Ended(_) | Mark::Skipped => None,
        })
        .collect()
    }

    /// The number, from 1 on, of the attempt that the run of this moment made at a point whose
    /// manifest was written at `written`; the same however often it is asked.
    #[must_use]
    pub fn attempt(&self, depth: Depth, run: Timestamp, written: Timestamp) -> u32 {
        let runs = self.runs(&self.checks(written), depth, written);
        // Names have whole seconds.
        let before = runs.iter().filter(|(other, _)| other.as_second() < run.as_second()).count();
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: &str) -> Timestamp {
        format!("2026-11-24T{hour}:00:00Z").parse().unwrap()
    }

    fn runs(hours: &[&str]) -> Marks {
        let mut marks = Marks::default();
        for hour in hours {
            marks.add(Depth::Restored, Mark::Undecided(at(hour)), at(hour));
        }
        marks
    }

    #[test]
    fn an_attempt_is_counted_once_however_often_it_is_recorded() {
        let mut marks = runs(&["01", "02"]);
        assert_eq!(marks.attempt(Depth::Restored, at("02"), at("00")), 2);
        assert_eq!(marks.attempt(Depth::Restored, at("03"), at("00")), 3);
        assert_eq!(marks.attempt(Depth::Read, at("03"), at("00")), 1, "another depth");
        marks.add(Depth::Restored, Mark::Undecided(at("03")), at("03"));
        let attempts = marks.checks(at("00")).unproven.restored.unwrap();
        assert_eq!((attempts.count, attempts.last, attempts.are_used_up()), (3, at("03"), true));
        let again = at("03") + jiff::SignedDuration::from_millis(700);
        assert_eq!(marks.attempt(Depth::Restored, again, at("00")), 3);
    }

    #[test]
    fn a_verdict_and_a_new_manifest_begin_anew() {
        let mut marks = runs(&["01", "02", "03"]);
        assert!(marks.checks(at("00")).unproven.is_given_up(Depth::Restored));
        assert!(marks.checks(at("04")).unproven.is_empty(), "written after them");
        marks.add(Depth::Restored, Mark::Ended(Outcome::Sound), at("05"));
        assert!(marks.checks(at("00")).unproven.is_empty());
        assert_eq!(marks.attempt(Depth::Restored, at("06"), at("00")), 1);
    }

    #[test]
    fn what_is_too_large_is_said_until_somebody_has_read_it() {
        let mut marks = Marks::default();
        marks.add(Depth::Read, Mark::Skipped, at("01"));
        let unproven = marks.checks(at("00")).unproven;
        assert_eq!(unproven.too_large_to_read, Some(at("01")));
        assert!(unproven.is_given_up(Depth::Read) && !unproven.is_given_up(Depth::Restored));
        marks.add(Depth::Read, Mark::Ended(Outcome::Sound), at("02"));
        assert!(marks.checks(at("00")).unproven.is_empty());
    }
}
