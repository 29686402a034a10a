//! `backup-trigger`: take the backups that are due.

use serde::{Deserialize, Serialize};

use crate::{
    backup::{Kind, PointId},
    ids::{AppName, SiteName},
};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Which backups this region has to take now.
    Due {
        /// The app.
        app: AppName,
    },
    /// Begin one. Beginning it again finds what is under way or done.
    Start {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point to make.
        id: PointId,
    },
    /// Whether it is complete. That it is not *yet* is the error `NotReady`.
    Poll {
        /// The app.
        app: AppName,
        /// The kind.
        kind: Kind,
        /// The recovery point.
        id: PointId,
        /// The commands that were sent to hosts for it, oldest first.
        commands: Vec<String>,
    },
}

/// A backup to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Due {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// The recovery point to make: the same for everyone who asks within a slot of the schedule.
    pub id: PointId,
    /// Whether a person is told when it cannot even be begun. A tick comes every five minutes, and
    /// what keeps a backup from being begun may last for hours.
    #[serde(default = "told")]
    pub tell: bool,
}

/// What an operator asks for is always told of.
const fn told() -> bool {
    true
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// Of [`Request::Due`].
    Due {
        /// The site whose data is taken; backups are taken of the active one alone.
        site: SiteName,
        /// What is due; empty in the region of a standby.
        due: Vec<Due>,
    },
    /// Of [`Request::Start`]: it is under way. Of [`Request::Poll`] without commands: a service has
    /// done its part, and a host goes on.
    Started {
        /// The command on a host; none while RDS or `ElastiCache` does the work.
        commands: Vec<String>,
    },
    /// Of [`Request::Start`] and [`Request::Poll`]: it is there. Its manifest says what it holds: that of
    /// a database with thousands of tables is larger than what a state machine passes on (256 KiB).
    Complete {
        /// Of a snapshot: why the other region has no copy of it. A person has to know, and the
        /// backup counts here nevertheless.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_elsewhere: Option<String>,
    },
}
