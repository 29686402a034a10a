//! `dns-failover`: send clients to a site.

use serde::{Deserialize, Serialize};

use super::Authority;
use crate::plan_file::Switch;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Move the name to `authority.site`, unless that site fails its checks.
    Switch {
        /// Who asks.
        authority: Authority,
    },
    /// That a resolver hands the site's address to clients.
    Confirm {
        /// Who asks.
        authority: Authority,
    },
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Response {
    /// Of [`Request::Switch`].
    Switch {
        /// The mechanism.
        switch: Switch,
        /// False when it was switched already.
        changed: bool,
        /// What undoes it, in words and commands.
        undo: String,
    },
    /// Of [`Request::Confirm`]. That clients do not get it *yet* is the error `NotReady`.
    Confirm {
        /// The addresses that the resolvers gave.
        answers: Vec<std::net::IpAddr>,
    },
}
