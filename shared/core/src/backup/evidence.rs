//! What was checked of a recovery point, and how it ended.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, PointId};
use crate::ids::{AppName, Region};

/// How deep a check went. Each depth is recorded by itself: a point that was restored once and
/// found damaged when it was read later is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Every object of the manifest is there with its size and the checksum that S3 keeps.
    Present,
    /// Every byte was read, decompressed and held against its checksum and its format.
    Read,
    /// It was restored into a scratch place, and its content was held against the manifest.
    Restored,
}

impl Depth {
    /// Every depth, shallowest first.
    pub const ALL: [Self; 3] = [Self::Present, Self::Read, Self::Restored];

    /// The word in keys and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Read => "read",
            Self::Restored => "restored",
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Depth {
    type Err = ();
    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|depth| depth.as_str() == word).ok_or(())
    }
}

/// How a check ended. That it could not tell is neither: `Undecided` is the record of that.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing is wrong.
    Sound,
    /// It cannot be relied on.
    Damaged,
}

impl Outcome {
    /// The word in keys and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Damaged => "damaged",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = ();
    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Sound, Self::Damaged].into_iter().find(|o| o.as_str() == word).ok_or(())
    }
}

/// Something that a check found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFinding {
    /// The file of the manifest that it is in; empty when it is about the point as a whole.
    pub file: String,
    /// Where in it: `byte 4096`, `table public.tickets`, or both.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What, in one sentence without a full stop.
    pub message: String,
}

/// The record of one check, kept beside the catalogue in the region whose copy was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// The recovery point.
    pub id: PointId,
    /// The region whose copy was checked.
    pub region: Region,
    /// How deep.
    pub depth: Depth,
    /// How it ended.
    pub outcome: Outcome,
    /// When the check began.
    pub started_at: Timestamp,
    /// When it ended: the point's `verified_at` at this depth.
    pub ended_at: Timestamp,
    /// What was checked, in sentences for people: tables and rows, entries, keys, servers.
    pub facts: Vec<String>,
    /// What was found wrong; empty when sound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<EvidenceFinding>,
}
