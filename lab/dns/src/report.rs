//! What the status API and the in-process API show.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    health::{Observed, Verdict},
    model::{Content, RecordSet, Routing},
};

/// The moment at which the answer to a name and type changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerChange {
    /// Name, without the trailing dot.
    pub name: String,
    /// `A`, `CNAME`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Values that were answered before, sorted; empty when the record is new.
    pub from: Vec<String>,
    /// Values that are answered from now on, sorted; empty when the record is gone.
    pub to: Vec<String>,
    /// When the new answer was first given.
    pub at: Timestamp,
    /// `health` when a health check moved it, `records` when the zones or checks were edited.
    pub cause: &'static str,
}

/// The whole state of the server at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Records {
    /// How fresh the copy of the control plane is.
    pub mirror: MirrorReport,
    /// Every name and type, with what is answered now.
    pub records: Vec<RecordReport>,
    /// Every health check.
    pub health_checks: Vec<HealthCheckReport>,
}

/// How fresh the copy of the control plane is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MirrorReport {
    /// Whether the control plane was ever read; until then every question gets SERVFAIL.
    pub loaded: bool,
    /// When it was last read whole.
    pub last_success: Option<Timestamp>,
    /// Why the newest reading failed; none while readings succeed.
    pub last_error: Option<String>,
}

/// One name and type.
#[derive(Clone, Debug, Serialize)]
pub struct RecordReport {
    /// Name of the hosted zone.
    pub zone: String,
    /// Name, without the trailing dot.
    pub name: String,
    /// `A`, `CNAME`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Values that may be answered now, sorted.
    pub values: Vec<String>,
    /// The record sets behind them.
    pub sets: Vec<SetReport>,
}

/// One record set.
#[derive(Clone, Debug, Serialize)]
pub struct SetReport {
    /// `SetIdentifier`; none for simple records.
    pub set_identifier: Option<String>,
    /// The routing policy and this set's part in it.
    pub routing: Routing,
    /// Its health check.
    pub health_check: Option<String>,
    /// Whether it counts as healthy.
    pub healthy: bool,
    /// Whether it may be answered now.
    pub answering: bool,
    /// Time to live in seconds; none for an alias.
    pub ttl: Option<u32>,
    /// Its own values; for an alias, the name it points at.
    pub values: Vec<String>,
}

impl SetReport {
    pub(crate) fn new(set: &RecordSet, healthy: bool, answering: bool) -> Self {
        let (ttl, values) = match &set.content {
            Content::Values { ttl, values } => (Some(*ttl), values.clone()),
            Content::Alias { target, .. } => (None, vec![target.clone()]),
        };
        Self {
            set_identifier: set.set_identifier.clone(),
            routing: set.routing,
            health_check: set.health_check.clone(),
            healthy,
            answering,
            ttl,
            values,
        }
    }
}

/// One health check.
#[derive(Clone, Debug, Serialize)]
pub struct HealthCheckReport {
    /// The id that records carry.
    pub id: String,
    /// Whether it adds up other checks instead of looking at something itself.
    pub calculated: bool,
    /// Whether its verdict is the opposite of what is observed.
    pub inverted: bool,
    /// Whether its checkers are stopped.
    pub disabled: bool,
    /// What it tells the records that carry it.
    pub status: Option<Verdict>,
    /// Since when it says so.
    pub since: Option<Timestamp>,
    /// What is observed, before inversion; always unknown for a calculated check.
    pub observed: Observed,
    /// What each checker says.
    pub checkers: Vec<CheckerReport>,
}

/// What one checker says of one health check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckerReport {
    /// The AWS region that the checker stands for.
    pub region: String,
    /// Its opinion, after the failure threshold.
    pub opinion: Observed,
    /// When it last looked.
    pub checked_at: Option<Timestamp>,
    /// What it saw then.
    pub status: Option<String>,
}
