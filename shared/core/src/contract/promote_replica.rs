//! `promote-replica`: make the standby's database writable.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Authority, DatabaseAddress};
use crate::{guard::ApprovalGiven, plan_file::Scenario};

/// What to promote, and what may be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who asks. The database promoted is that of `authority.site`.
    pub authority: Authority,
    /// Whose RPO holds.
    pub scenario: Scenario,
    /// The plan's estimate of the loss, in seconds; none when unknown.
    pub estimated_loss_seconds: Option<f64>,
    /// From when the loss counts; none when nothing is lost, or nothing is known.
    #[serde(default)]
    pub loss_since: Option<Timestamp>,
    /// A person's leave to lose that much, if one was needed.
    #[serde(default)]
    pub approval: Option<ApprovalGiven>,
}

/// How the database came to be writable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was a replica, and was promoted by this recovery.
    Promoted,
    /// It was a primary when asked: an earlier call's work, whose answer may have been lost.
    AlreadyPrimary,
}

/// The writable database. That it is not writable *yet* is the error `NotReady`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// How.
    pub outcome: Outcome,
    /// Where the app finds it.
    pub database: DatabaseAddress,
}
