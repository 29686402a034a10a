//! `recovery-log`: the ledger and the log of a recovery.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Authority;
use crate::{
    guard::ApprovalGiven,
    ids::{AppName, Epoch, IncidentId, Region, SiteName},
    ledger::Ending,
    plan_file::Scenario,
    recovery_log::EntryKind,
    situation::Trigger,
};

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Take the ledger for a recovery that activates the site of this region.
    Open {
        /// The app.
        app: AppName,
        /// The recovery's id.
        incident: IncidentId,
        /// The execution (an ARN) that works on it.
        execution: String,
        /// What is said to have happened.
        scenario: Scenario,
        /// Who says so.
        trigger: Trigger,
    },
    /// Append a fact to the recovery's log.
    Record {
        /// Who asks.
        authority: Authority,
        /// What it tells of.
        kind: EntryKind,
        /// The facts.
        body: Value,
    },
    /// Make `authority.site` the active site. From here on forward only.
    Claim {
        /// Who asks.
        authority: Authority,
        /// When the votes were taken that the claim rests on.
        observed_at: Timestamp,
        /// Whose objectives it is held against.
        scenario: Scenario,
        /// The plan's loss estimate, in seconds; none when it is unknown.
        estimated_loss_seconds: Option<f64>,
        /// From when the loss counts.
        #[serde(default)]
        loss_since: Option<Timestamp>,
        /// Who approved it, if anyone did.
        #[serde(default)]
        approval: Option<ApprovalGiven>,
    },
    /// End the recovery whose execution has ended without doing so itself.
    Release {
        /// The app.
        app: AppName,
        /// The recovery.
        incident: IncidentId,
        /// Its epoch.
        epoch: Epoch,
        /// Whether its execution succeeded: it had recovered, and could not close.
        has_recovered: bool,
    },
    /// Move registers up that lag behind the claim that a majority holds.
    Settle {
        /// The app.
        app: AppName,
    },
    /// End the recovery, and say what it achieved.
    Close {
        /// Who asks.
        authority: Authority,
        /// How it ended.
        ending: Ending,
        /// Why, or with what error.
        reason: String,
        /// When the trouble was detected.
        #[serde(default)]
        detected_at: Option<Timestamp>,
        /// The plan's loss estimate, in seconds.
        #[serde(default)]
        estimated_loss_seconds: Option<f64>,
        /// The steps that were taken.
        #[serde(default)]
        steps: Vec<StepTaken>,
    },
}

/// Why a recovery is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandDownReason {
    /// Another recovery holds a register; it tells people.
    Held,
    /// The site is the active one already.
    Active,
    /// No register could be read.
    NothingKnown,
    /// This execution was closed before: it was redriven, and another one has to be started.
    Ended,
}

/// Which recovery holds a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldBy {
    /// The recovery's id.
    pub incident: IncidentId,
    /// Its execution (an ARN).
    pub execution: String,
    /// Its epoch.
    pub epoch: Epoch,
}

/// A step as the machine saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepTaken {
    /// The state's name.
    pub name: String,
    /// When it was entered.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// In a word or a sentence.
    pub outcome: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// Of [`Request::Open`]: the recovery holds the ledger.
    Opened {
        /// The site that it activates.
        site: SiteName,
        /// The epoch that it holds.
        epoch: Epoch,
        /// The site that is active now.
        active_site: SiteName,
        /// The epoch under which that one serves.
        active_epoch: Epoch,
    },
    /// Of [`Request::Open`]: not now, and why. Nothing was changed.
    StandDown {
        /// Why, for people.
        reason: String,
        /// Why, for the machine.
        why: StandDownReason,
        /// The recovery of this region that holds the register, which may have died.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<HeldBy>,
    },
    /// Of [`Request::Release`]: it holds the register no more, if it did.
    Released {},
    /// Of [`Request::Record`].
    Recorded {
        /// The entry's place in the chain.
        sequence: u32,
    },
    /// Of [`Request::Claim`].
    Claimed {
        /// The epoch that is now the active one.
        epoch: Epoch,
        /// When a majority of the registers was known to hold it.
        agreed_at: Timestamp,
        /// The regions whose register does not hold it yet, or may not.
        behind: Vec<Region>,
    },
    /// Of [`Request::Settle`].
    Settled {
        /// The regions whose register lags and could not be moved.
        behind: Vec<Region>,
    },
    /// Of [`Request::Close`].
    Closed {
        /// How it ended.
        ending: Ending,
        /// From detection to the end, in seconds. The client's view is longer by the time to
        /// detect and by what its resolver caches.
        recovery_seconds: Option<f64>,
        /// Where the log is, as `s3://bucket/prefix`.
        log: String,
    },
}
