//! What kinds of backups there are.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alike::instead;

/// One kind of backup: one way of taking, checking and restoring it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A snapshot that RDS takes and copies to the other region.
    DatabaseSnapshot,
    /// A logical dump of the app's database (`pg_dump`, custom format).
    DatabaseDump,
    /// A physical backup of the whole server (`pg_basebackup`), full or incremental.
    DatabaseBase,
    /// One archived WAL segment.
    DatabaseWal,
    /// The hosts' configuration files.
    Config,
    /// The app's code.
    Code,
    /// Log files.
    Logs,
    /// Container images.
    Images,
    /// Redis: snapshot, append-only file and configuration.
    Cache,
}

/// A word that is not a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a kind of backup; {}", instead(word, Kind::ALL.map(Kind::as_str).into_iter()))]
pub struct KindError {
    word: String,
}

impl Kind {
    /// Every kind, in the order in which people read them.
    pub const ALL: [Self; 9] = [
        Self::DatabaseSnapshot,
        Self::DatabaseDump,
        Self::DatabaseBase,
        Self::DatabaseWal,
        Self::Config,
        Self::Code,
        Self::Logs,
        Self::Images,
        Self::Cache,
    ];

    /// The word in keys, metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseSnapshot => "database-snapshot",
            Self::DatabaseDump => "database-dump",
            Self::DatabaseBase => "database-base",
            Self::DatabaseWal => "database-wal",
            Self::Config => "config",
            Self::Code => "code",
            Self::Logs => "logs",
            Self::Images => "images",
            Self::Cache => "cache",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = KindError;
    fn from_str(word: &str) -> Result<Self, KindError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| KindError { word: word.to_owned() })
    }
}
