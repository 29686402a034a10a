//! `health-probe`: observe the sites from this region.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{AppName, SiteName},
    situation::Observation,
    vote::Checks,
};

/// What to observe, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Round after round until a little before the next tick of the schedule, emitting each
    /// round's votes as metrics.
    Observe {
        /// The app.
        app: AppName,
    },
    /// One round, with what the metrics remember of the last minutes: what a recovery decides on.
    Assess {
        /// The app.
        app: AppName,
    },
    /// Whether a site can serve: every check `up`, its database writable and out of recovery, the
    /// app serving under this epoch.
    Verify {
        /// The app.
        app: AppName,
        /// The site.
        site: SiteName,
        /// The epoch that it must serve under.
        epoch: crate::ids::Epoch,
    },
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Response {
    /// Of [`Request::Observe`].
    Observe {
        /// Rounds made.
        rounds: u32,
        /// The last round.
        last: Observation,
    },
    /// Of [`Request::Assess`].
    Assess {
        /// The round, and since when what is down has been down.
        observation: Observation,
    },
    /// Of [`Request::Verify`]: the site can serve. That it cannot *yet* is the error `NotReady`.
    Verify {
        /// The site.
        site: SiteName,
        /// Its checks.
        checks: Checks,
    },
}
