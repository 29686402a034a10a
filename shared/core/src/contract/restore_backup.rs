//! `restore-backup`: restore a recovery point.

use serde::{Deserialize, Serialize};

use crate::{
    backup::{EvidenceFinding, Kind, Outcome, PointId},
    ids::AppName,
};

/// The input of the machine `lifeboat-restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// The recovery point; none asks for the newest that may be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PointId>,
    /// Restore to this moment; see [`Request::Choose`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<jiff::Timestamp>,
    /// Where to.
    pub target: Target,
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A scratch server or folder on a host of this region's site, removed whatever happens: the
    /// check of depth `restored`.
    Scratch,
    /// Where the site uses it: files into their places, images into the engine, the cache's files
    /// into its folder, a dump into the site's database, which must be empty. RDS restores into a
    /// new instance beside the site's, which is kept: the plan is pointed at it by a person.
    Place,
}

impl Target {
    /// The word in parameters and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Place => "place",
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Which recovery point to restore: the one that is asked for, if it may be relied on.
    Choose {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The one asked for; none asks for the newest verified.
        #[serde(default)]
        id: Option<PointId>,
        /// Restore to this moment, in whole seconds; a part of one is cut off. Of `database-snapshot`
        /// it is the automated backups of RDS in this region that are restored, and of
        /// `database-base` a base backup with the archived log after it; no other kind has moments
        /// between its backups.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<jiff::Timestamp>,
    },
    /// Begin a restore. Beginning it again finds what is under way.
    Start {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point.
        id: PointId,
        /// The moment, as it was chosen with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<jiff::Timestamp>,
        /// Where to.
        target: Target,
    },
    /// Whether it has ended. That it has not *yet* is the error `NotReady`.
    Poll {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point.
        id: PointId,
        /// The moment, as it was chosen with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<jiff::Timestamp>,
        /// Where to.
        target: Target,
        /// The commands that were sent to hosts for it, oldest first.
        commands: Vec<String>,
    },
    /// Remove what a restore into a scratch place has left, whatever became of it. That it is not
    /// gone *yet* is the error `NotReady`.
    Remove {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point.
        id: PointId,
        /// The moment, as it was chosen with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<jiff::Timestamp>,
    },
}

/// How a restore ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreResult {
    /// When the work began.
    pub started_at: jiff::Timestamp,
    /// When it ended.
    pub ended_at: jiff::Timestamp,
    /// Whether what was restored is what the manifest says.
    pub outcome: Outcome,
    /// What was restored and checked, in sentences for people.
    pub facts: Vec<String>,
    /// What was wrong; empty when sound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<EvidenceFinding>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// Of [`Request::Choose`]: this one may be restored.
    Chosen {
        /// The recovery point. A moment that RDS restores to has the name of a point of that moment.
        id: PointId,
        /// Why this one, for people: what was passed over and why.
        reason: String,
    },
    /// Of [`Request::Choose`]: the one asked for may not be relied on.
    Unreliable {
        /// Why, and what to do.
        reason: String,
        /// The newest verified point that is older than it, if there is one.
        instead: Option<PointId>,
    },
    /// Of [`Request::Start`].
    Started {
        /// The commands on hosts; empty when RDS does the work.
        commands: Vec<String>,
    },
    /// Of [`Request::Poll`], and of [`Request::Start`] when there is nothing to wait for.
    Restored {
        /// How it ended.
        result: Box<RestoreResult>,
    },
    /// Of [`Request::Remove`]: nothing is left. Hosts remove what is theirs themselves.
    Removed,
}
