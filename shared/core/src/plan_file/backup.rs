//! What a plan says of backups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::backup::{Kind, retention::Retention, schedule::BackupSchedule, verification::Verify};

/// What is backed up beside the database, and how it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// Files on the site's hosts: for `config`, `code` and `logs`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<Kind, Files>,
    /// Container images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Images>,
    /// Where a base backup is put into place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Questions that a restored database must answer with true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<SqlCheck>,
    /// When backups are taken, by kind. What is not named is not taken.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub schedule: BackupSchedule,
    /// What is kept, and for how long.
    pub retention: Retention,
    /// How often backups are checked again.
    #[serde(skip_serializing_if = "Verify::is_default")]
    pub verify: Verify,
}

/// Files of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Absolute paths of files and folders on the host.
    pub paths: Vec<String>,
    /// Absolute paths within them that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// A self-managed server's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The absolute path of the server's data directory, the same on the hosts of both sites.
    pub data_directory: String,
}

/// Container images, and the programs that save and load them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// Names with tags, such as `queue-api:1.4`.
    pub names: Vec<String>,
    /// Program and arguments that write the archive of one image to standard output; `{image}` in
    /// an argument stands for its name. No shell reads it.
    #[serde(default = "docker_save")]
    pub save: Vec<String>,
    /// Program and arguments that load an archive from standard input.
    #[serde(default = "docker_load")]
    pub load: Vec<String>,
}

fn docker_save() -> Vec<String> {
    ["docker", "save", "{image}"].map(str::to_owned).to_vec()
}

fn docker_load() -> Vec<String> {
    ["docker", "load"].map(str::to_owned).to_vec()
}

/// A question that a restored database must answer with true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlCheck {
    /// What it shows, for people.
    pub name: String,
    /// A query of one row and one boolean column. It runs read-only in the scratch database.
    pub query: String,
}
