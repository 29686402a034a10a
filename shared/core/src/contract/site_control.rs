//! `site-control`: act on the hosts of a site.

use serde::{Deserialize, Serialize};

use super::{Authority, DatabaseAddress};
use crate::ids::{AppName, SiteName};

/// What to do to a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Stop the old site from writing, if it can be reached at all. Never fails for the reason that
    /// it cannot.
    Fence {
        /// Who asks.
        authority: Authority,
        /// The site to fence: not `authority.site`.
        old_site: SiteName,
        /// Commands sent by an earlier call, to be asked about instead of sent again.
        #[serde(default)]
        commands: Vec<String>,
    },
    /// Point the app of `authority.site` at this database and start it.
    Activate {
        /// Who asks.
        authority: Authority,
        /// The database.
        database: DatabaseAddress,
        /// Commands sent by an earlier call, to be asked about instead of sent again.
        #[serde(default)]
        commands: Vec<String>,
    },
    /// Start the app of the site that is active at first, under epoch 1: what no recovery does. The
    /// plan says which site that is and where its database is, and the ledger that nothing has
    /// happened since.
    ActivateFirst {
        /// The app.
        app: AppName,
        /// The site.
        site: SiteName,
        /// Commands sent by an earlier call, to be asked about instead of sent again.
        #[serde(default)]
        commands: Vec<String>,
    },
}

/// How far the work is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Response {
    /// The commands were sent and have not ended: ask again with them.
    InProgress {
        /// Command ids.
        commands: Vec<String>,
    },
    /// It is done: fencing on every host, activating on enough of them.
    Done {
        /// How many hosts; 0 when the plan names none, so that nothing had to be done.
        hosts: u32,
        /// Activating only: the hosts that have not done it, and why, for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        without: Vec<String>,
    },
    /// Fencing only: some host cannot be reached, or did not confirm that it has stopped. It fences itself when it returns, before it serves
    /// a write, because its epoch is old.
    Unfenced {
        /// What was tried, and what came back.
        reason: String,
    },
}

impl Response {
    /// Every one of these hosts did it.
    #[must_use]
    pub const fn done(hosts: u32) -> Self {
        Self::Done { hosts, without: Vec::new() }
    }
}
