//! `backup-trigger`: take the backups that are due.

use serde::{Deserialize, Serialize};

use crate::{
    backup::{Kind, Manifest, PointId},
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
    /// Of [`Request::Start`] and [`Request::Poll`]: it is there.
    Complete {
        /// What it holds.
        manifest: Box<Manifest>,
        /// Of a snapshot: why the other region has no copy of it. A person has to know, and the
        /// backup counts here nevertheless.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_elsewhere: Option<String>,
    },
}
