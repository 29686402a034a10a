//! `verify-backup`: prove recovery points, and say how old the newest proven ones are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::restore_backup::RestoreResult;
use crate::{
    backup::{Depth, Evidence, Kind, PointId, Undecided},
    ids::{AppName, Region},
};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Which checks this region owes its copies now.
    Due {
        /// The app.
        app: AppName,
    },
    /// Check one copy, at depth `present` or `read`, and record how it ended.
    Check {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point.
        id: PointId,
        /// How deep.
        depth: Depth,
    },
    /// Record how a restore into a scratch place ended: depth `restored`.
    Record {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point.
        id: PointId,
        /// What the restore found.
        result: Box<RestoreResult>,
    },
    /// Record that a run could not tell, at any depth. Recording it again changes nothing.
    Undecided {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point.
        id: PointId,
        /// How deep the check was to go.
        depth: Depth,
        /// When the run began: each run is one attempt.
        run: Timestamp,
        /// Why it could not tell, for people.
        why: String,
    },
    /// How old the newest verified point of each kind is here, as metrics.
    Freshness {
        /// The app.
        app: AppName,
    },
}

/// A check to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DueCheck {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// The recovery point.
    pub id: PointId,
    /// How deep.
    pub depth: Depth,
}

/// How fresh a kind is in one region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindFreshness {
    /// The kind.
    pub kind: Kind,
    /// The region.
    pub region: Region,
    /// The newest verified point; none is the worst news.
    pub newest_verified: Option<PointId>,
    /// The moment that it restores to.
    pub taken_at: Option<Timestamp>,
    /// Seconds between that moment and now; without one, the seconds since the plan schedules the kind.
    pub age_seconds: Option<f64>,
    /// Points newer than it that were not checked.
    pub unverified: u32,
    /// Points that a check found damaged.
    pub damaged: u32,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// Of [`Request::Due`].
    Due {
        /// What is due, the newest points first.
        due: Vec<DueCheck>,
    },
    /// Of [`Request::Check`] and [`Request::Record`]: it was checked. That the point is damaged is
    /// an answer, not an error; that it could not be told is the error.
    Checked {
        /// What was written down.
        evidence: Box<Evidence>,
    },
    /// Of [`Request::Check`]: the point is too large to be read by a function, and its restore
    /// proves it.
    Skipped {
        /// What was written down.
        record: Box<Undecided>,
    },
    /// Of [`Request::Undecided`].
    Undecided {
        /// What was written down.
        record: Box<Undecided>,
        /// The number of this attempt at the check, from 1 on.
        attempt: u32,
        /// Whether a person is told: once for a point and depth.
        tell: bool,
    },
    /// Of [`Request::Freshness`].
    Fresh {
        /// Each kind that the plan schedules.
        kinds: Vec<KindFreshness>,
    },
}
