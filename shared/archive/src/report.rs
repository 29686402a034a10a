//! What a reader found.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Findings that are kept in a report; the rest are only counted. A file whose every block is
/// damaged would otherwise make a report as large as itself.
pub(crate) const FINDINGS_KEPT: usize = 100;

/// What an artifact turned out to be, by its own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `pg_dump --format=custom`.
    PgDump,
    /// A tar archive.
    Tar,
    /// A container image archive (`docker save`, OCI layout) in a tar.
    Image,
    /// A Redis snapshot.
    Rdb,
    /// A Redis append-only file: one file, or the manifest's whole set.
    Aof,
    /// `pg_basebackup`: tar or plain files with a `backup_manifest`.
    BaseBackup,
    /// A WAL segment of PostgreSQL.
    Wal,
    /// None of these.
    Unknown,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PgDump => "a pg_dump archive",
            Self::Tar => "a tar archive",
            Self::Image => "a container image archive",
            Self::Rdb => "a Redis snapshot",
            Self::Aof => "a Redis append-only file",
            Self::BaseBackup => "a base backup",
            Self::Wal => "a WAL segment",
            Self::Unknown => "of no known format",
        })
    }
}

/// A word that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no format")]
pub struct FormatError {
    word: String,
}

impl Format {
    /// The formats that can be asked for, by their names.
    const NAMED: [(&str, Self); 7] = [
        ("pg-dump", Self::PgDump),
        ("tar", Self::Tar),
        ("image", Self::Image),
        ("rdb", Self::Rdb),
        ("aof", Self::Aof),
        ("base-backup", Self::BaseBackup),
        ("wal", Self::Wal),
    ];

    /// The names of the formats that can be asked for.
    #[must_use]
    pub const fn names() -> [&'static str; 7] {
        let [a, b, c, d, e, f, g] = Self::NAMED;
        [a.0, b.0, c.0, d.0, e.0, f.0, g.0]
    }
}

impl std::str::FromStr for Format {
    type Err = FormatError;
    fn from_str(word: &str) -> Result<Self, FormatError> {
        let named = Self::NAMED.into_iter().find(|(name, _)| *name == word);
        named.map(|(_, format)| format).ok_or_else(|| FormatError { word: word.to_owned() })
    }
}

/// Where in the artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Place {
    /// Offset in bytes from the artifact's beginning; in a compressed artifact, of the decompressed
    /// bytes when `decompressed` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Whether the offset counts bytes after the outer compression was taken off.
    #[serde(default)]
    pub decompressed: bool,
    /// The table, file, layer, key or segment that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
}

impl fmt::Display for Place {
    /// `byte 4096, public.tickets`, or one of the two; nothing when it is about the whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(offset) = self.offset {
            write!(f, "byte {offset}{}", if self.decompressed { " decompressed" } else { "" })?;
        }
        match (&self.item, self.offset) {
            (Some(item), Some(_)) => write!(f, ", {item}"),
            (Some(item), None) => f.write_str(item),
            (None, _) => Ok(()),
        }
    }
}

/// Something that is wrong with an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What, in one sentence without a full stop.
    pub message: String,
}

/// Rows of one table as its data block holds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRows {
    /// Schema and name, as in `public.tickets`.
    pub table: String,
    /// Rows; none when the dump holds `INSERT`s, whose rows cannot be counted by lines.
    pub rows: Option<u64>,
}

/// What the artifact holds, as far as its format tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Details {
    /// Version and program that wrote it, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    /// Tables with data (dumps).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableRows>,
    /// Files (tar, base backups), layers (images), or increments (AOF).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Keys (Redis snapshots), those that have expired since included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    /// Keys that expire: a server that loads the snapshot later may have fewer by up to as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_expiring: Option<u64>,
    /// Keys by database (Redis snapshots).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<u64, u64>,
    /// Commands (AOF), behind the snapshot that it may begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<u64>,
    /// What a reader should know and is nothing wrong: that a checksum is absent, for instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The result of reading an artifact to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it is.
    pub format: Format,
    /// The outer compressions, outermost first: `gzip`, `zstd`, `lz4`.
    pub compression: Vec<String>,
    /// Stored bytes read.
    pub size_bytes: u64,
    /// SHA-256 of the stored bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// What it holds.
    pub details: Details,
    /// The first findings; none means that it is sound.
    pub findings: Vec<Finding>,
    /// All findings, those that were not kept included.
    pub findings_total: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings_total == 0
    }
}

/// Findings while they are gathered.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) kept: Vec<Finding>,
    pub(crate) total: u64,
}

impl Findings {
    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.total += 1;
        if self.kept.len() < FINDINGS_KEPT {
            self.kept.push(Finding { place, message: message.into() });
        }
    }

    /// Adds another's, behind these.
    pub(crate) fn append(&mut self, other: Self) {
        self.total += other.total;
        let free = FINDINGS_KEPT.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(free));
    }
}
