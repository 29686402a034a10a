//! `plan-recovery`: from a situation to an explicit plan.

use serde::{Deserialize, Serialize};

use super::Authority;
use crate::{
    guard::ApprovalGiven,
    ids::SiteName,
    plan_file::Scenario,
    recovery_plan::RecoveryPlan,
    situation::{Observation, Trigger},
};

/// The situation, as the machine gathered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who asks.
    pub authority: Authority,
    /// What is said to have happened.
    pub scenario: Scenario,
    /// Who says so.
    pub trigger: Trigger,
    /// The site that was active when the recovery was opened.
    pub active_site: SiteName,
    /// The votes.
    pub observation: Observation,
    /// How many times this recovery has looked before.
    #[serde(default)]
    pub looks: u32,
    /// A person's leave, given for an earlier plan of this recovery; the votes are newer than it.
    #[serde(default)]
    pub approval: Option<ApprovalGiven>,
}

/// The plan; always one that passes the linter.
pub type Response = RecoveryPlan;
