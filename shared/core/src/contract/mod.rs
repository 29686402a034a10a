//! What each function is asked and what it answers.
//!
//! Unknown fields are refused: an event that a function does not understand must fail loudly at the
//! edge, not half-work behind it. Business outcomes are responses; failures are [`crate::Fault`]s.

pub mod backup_trigger;
pub mod dns_failover;
pub mod health_probe;
pub mod notify;
pub mod plan_recovery;
pub mod promote_replica;
pub mod recovery_log;
pub mod restore_backup;
pub mod retention_sweep;
pub mod site_control;
pub mod verify_backup;

use serde::{Deserialize, Serialize};

use crate::ids::{AppName, Epoch, IncidentId, SiteName};

/// Who acts, on what, under which epoch: carried by every request that changes something, and
/// checked against the ledger before it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// The app.
    pub app: AppName,
    /// The recovery.
    pub incident: IncidentId,
    /// The epoch that it holds.
    pub epoch: Epoch,
    /// The site that it activates.
    pub site: SiteName,
}

/// Where an app finds its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database's name inside the server.
    pub name: String,
}
