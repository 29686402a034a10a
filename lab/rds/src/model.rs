//! What the server remembers: instances, snapshots, parameter groups, events.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::query::{ApiError, Tag};

/// Names an instance: identifiers are unique within a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) region: String,
    pub(crate) id: String,
}

impl Key {
    pub(crate) fn new(region: impl Into<String>, id: impl Into<String>) -> Self {
        Self { region: region.into(), id: id.into() }
    }
}

/// `DBInstanceStatus`, with the words of the RDS user guide ("Viewing DB instance status").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Available,
    BackingUp,
    Creating,
    Deleting,
    Failed,
    IncompatibleParameters,
    Modifying,
    Rebooting,
    ResettingMasterCredentials,
    Starting,
    Stopped,
    Stopping,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::BackingUp => "backing-up",
            Self::Creating => "creating",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
            Self::IncompatibleParameters => "incompatible-parameters",
            Self::Modifying => "modifying",
            Self::Rebooting => "rebooting",
            Self::ResettingMasterCredentials => "resetting-master-credentials",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Stopping => "stopping",
        }
    }
}

/// How a replica's stream does; not remembered over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Replication {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// The receiver streams.
    Replicating,
    /// The receiver does not stream, or the replica does not answer.
    Broken(String),
}

/// One DB instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) key: Key,
    pub(crate) status: Status,
    pub(crate) resource_id: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) class: String,
    /// GiB, recorded only.
    pub(crate) storage: u32,
    pub(crate) engine_version: String,
    pub(crate) master: String,
    pub(crate) database: Option<String>,
    /// When it first became available.
    pub(crate) created: Option<Timestamp>,
    /// Days; 0 switches automated backups off.
    pub(crate) retention: u32,
    pub(crate) backup_window: String,
    pub(crate) maintenance_window: String,
    pub(crate) zone: String,
    pub(crate) multi_az: bool,
    pub(crate) public: bool,
    pub(crate) encrypted: bool,
    pub(crate) kms_key: Option<String>,
    pub(crate) deletion_protection: bool,
    pub(crate) group: String,
    /// The parameters of the group are not all in force before a reboot.
    pub(crate) group_pending: bool,
    pub(crate) pending_class: Option<String>,
    pub(crate) pending_storage: Option<u32>,
    pub(crate) tags: Vec<Tag>,
    /// What it replicates from. The source's list of replicas is derived from this, so that a
    /// promotion clears both sides at once.
    pub(crate) source: Option<Key>,
    /// The passwords of the two internal roles; a replica and a restored instance have their source's.
    pub(crate) secrets: Secrets,
    #[serde(skip)]
    pub(crate) replication: Replication,
}

/// Passwords of the internal roles.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) admin: String,
    pub(crate) replication: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Instance {
    /// The replication slot that a replica holds on its source: letters, digits and `_` only.
    pub(crate) fn slot(&self) -> String {
        slot(&self.resource_id)
    }
}

/// The slot of the replica with this resource id.
pub(crate) fn slot(resource_id: &str) -> String {
    format!("{SLOT_PREFIX}{}", resource_id.to_lowercase().replace('-', "_"))
}

/// What the names of slots that belong to this server begin with.
pub(crate) const SLOT_PREFIX: &str = "lab_";

/// One DB snapshot. Its files are a base backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) key: Key,
    /// `creating`, `available` or `failed`.
    pub(crate) status: String,
    pub(crate) taken: Option<Timestamp>,
    pub(crate) tags: Vec<Tag>,
    /// The instance as it was.
    pub(crate) instance: Instance,
    /// The snapshot that this one is a copy of.
    pub(crate) copied_from: Option<Key>,
}

/// Where an automated backup stands, with the words of the RDS API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BackupStatus {
    /// Waits for its first base.
    Creating,
    /// Of an instance that exists.
    Active,
    /// Its instance is gone, or its replication was stopped.
    Retained,
    /// A copy in another region that waits for its first base.
    Pending,
    /// A copy in another region.
    Replicating,
}

impl BackupStatus {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Retained => "retained",
            Self::Pending => "pending",
            Self::Replicating => "replicating",
        }
    }

    /// It is a copy that still follows its source.
    pub(crate) fn follows(self) -> bool {
        matches!(self, Self::Pending | Self::Replicating)
    }
}

/// The automated backup of an instance, or its copy in another region: bases and the log after them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Automated {
    /// Its region and its identifier (`ab-...`).
    pub(crate) key: Key,
    pub(crate) status: BackupStatus,
    /// The instance as it was last seen.
    pub(crate) instance: Instance,
    /// Days.
    pub(crate) retention: u32,
    pub(crate) kms_key: Option<String>,
    /// Oldest first.
    pub(crate) bases: Vec<Base>,
    /// Up to when the archived log reaches.
    pub(crate) latest: Option<Timestamp>,
    /// A base is being taken.
    #[serde(skip)]
    pub(crate) busy: bool,
    /// When a base was last begun.
    #[serde(skip)]
    pub(crate) tried: Option<Timestamp>,
}

impl Automated {
    /// The earliest and the latest time that can be restored.
    pub(crate) fn window(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, last) = (self.bases.first()?.finished, self.bases.last()?.finished);
        Some((first, self.latest.map_or(last, |latest| latest.max(last))))
    }
}

/// One base backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// The name of its directory.
    pub(crate) name: String,
    /// Before it is consistent, no time can be restored.
    pub(crate) finished: Timestamp,
    /// The segment of the log that it begins in, 24 hexadecimal digits.
    pub(crate) first_segment: String,
}

/// One DB parameter group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) key: Key,
    pub(crate) family: String,
    pub(crate) description: String,
    pub(crate) tags: Vec<Tag>,
    pub(crate) parameters: BTreeMap<String, Parameter>,
}

/// A parameter that a group sets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parameter {
    pub(crate) value: String,
    /// Waits for a reboot (static, or asked for).
    pub(crate) at_reboot: bool,
}

/// One entry of the event log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) region: String,
    pub(crate) source: String,
    pub(crate) source_type: String,
    pub(crate) arn: String,
    pub(crate) category: String,
    pub(crate) message: String,
    pub(crate) at: Timestamp,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) instances: BTreeMap<Key, Instance>,
    pub(crate) snapshots: BTreeMap<Key, Snapshot>,
    pub(crate) groups: BTreeMap<Key, Group>,
    pub(crate) automated: BTreeMap<Key, Automated>,
    pub(crate) events: Vec<Event>,
}

impl State {
    /// The automated backup of an instance in its own region.
    pub(crate) fn automated_of(&self, instance: &Instance) -> Option<&Automated> {
        self.automated.values().find(|backup| {
            backup.key.region == instance.key.region
                && backup.instance.resource_id == instance.resource_id
        })
    }

    pub(crate) fn instance(&self, key: &Key) -> Result<&Instance, ApiError> {
        self.instances.get(key).ok_or_else(|| ApiError::no_instance(&key.id))
    }

    pub(crate) fn instance_mut(&mut self, key: &Key) -> Result<&mut Instance, ApiError> {
        self.instances.get_mut(key).ok_or_else(|| ApiError::no_instance(&key.id))
    }

    /// The instances that replicate from `key`.
    pub(crate) fn replicas<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Instance> {
        self.instances.values().filter(move |i| i.source.as_ref() == Some(key))
    }
}

/// Checks an identifier as RDS does and returns it in lower case, as RDS stores it.
pub(crate) fn identifier(parameter: &str, text: &str, longest: usize) -> Result<String, ApiError> {
    let fits = text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.ends_with('-')
        && !text.contains("--");
    if fits {
        return Ok(text.to_ascii_lowercase());
    }
    Err(ApiError::value(format!(
        "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; must not end with a hyphen or contain two consecutive hyphens; and must be at most {longest} characters long."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_the_rules_of_rds() {
        assert_eq!(identifier("DBInstanceIdentifier", "Queue-A1", 63).unwrap(), "queue-a1");
        for wrong in ["", "1a", "-a", "a-", "a--b", "a_b", "a.b", &"x".repeat(64)] {
            assert_eq!(
                identifier("DBInstanceIdentifier", wrong, 63).unwrap_err().code,
                "InvalidParameterValue",
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_slot_name_is_one_that_postgresql_takes() {
        assert_eq!(slot("db-AB12"), "lab_db_ab12");
    }
}
