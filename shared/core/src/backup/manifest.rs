//! What a backup holds, written when it is complete.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, PointId};
use crate::ids::{AppName, Region, SiteName};

/// One object of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its name within the backup, such as `database.dump.zst`.
    pub name: String,
    /// Stored bytes.
    pub size_bytes: u64,
    /// SHA-256 of the stored bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// A table that is in a backup, and its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableCount {
    /// Schema and name, as in `public.tickets`.
    pub table: String,
    /// Rows, counted in the backup's own snapshot. None where a backup has no snapshot to count in:
    /// a base backup restores to the moment at which it is consistent, in which nobody could look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// The WAL that a physical backup needs to become consistent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WalSpan {
    /// The cluster's system identifier.
    pub system: String,
    /// The first segment's name.
    pub first: PointId,
    /// The last segment's name.
    pub last: PointId,
}

/// What a backup holds. Written last, and only when everything else of it is in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// The recovery point.
    pub id: PointId,
    /// The site that it was taken from.
    pub site: SiteName,
    /// The region that it was taken in; copies elsewhere carry the same manifest.
    pub region: Region,
    /// What was backed up, for people: a database and its server, paths, images.
    pub source: String,
    /// Programs and servers with their versions, such as `pg_dump` -> `15.18`.
    pub versions: BTreeMap<String, String>,
    /// When the work began: what was written before this moment is in the backup.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The position of a database: an LSN, as PostgreSQL writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
    /// The WAL that a physical backup needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<WalSpan>,
    /// The tables of a database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableCount>,
    /// Keys in each Redis database.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, u64>,
    /// Entries (files, images) of an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// The objects. Empty for a snapshot that RDS keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

impl Manifest {
    /// Stored bytes of all its objects.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.artifacts.iter().map(|artifact| artifact.size_bytes).sum()
    }
}
