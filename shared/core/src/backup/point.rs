//! The name of a recovery point.

use std::fmt;

use jiff::{Timestamp, civil::DateTime, tz::Offset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The name of a recovery point within its app and kind; names sort by time.
///
/// `20261124T120000Z-full`, or `20261124T160000Z-incr-20261124T120000Z-full` for an incremental
/// backup, whose parent stands behind it. An archived WAL segment has the name that PostgreSQL gives
/// it, 24 hexadecimal digits, which sorts by position.
///
/// The time is that of the schedule's slot, so that a backup that is asked for twice is one backup.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = schema::POINT_ID))]
pub struct PointId(String);

/// A name that is not a recovery point's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the name of a recovery point, such as 20261124T120000Z-full, \
     20261124T160000Z-incr-20261124T120000Z-full or 00000001000000000000002A"
)]
pub struct PointIdError(String);

/// Digits of the time in a name: `20261124T120000Z`.
const STAMP: usize = 16;
/// The deepest chain of incremental backups that a name can carry: S3's keys end at 1024 bytes.
const DEEPEST: usize = 32;

impl PointId {
    /// A backup that stands alone, of this moment (whole seconds).
    #[must_use]
    pub fn full(at: Timestamp) -> Self {
        Self(format!("{}-full", stamp(at)))
    }

    /// A backup of what changed since `parent`.
    #[must_use]
    pub fn incremental(at: Timestamp, parent: &Self) -> Self {
        Self(format!("{}-incr-{parent}", stamp(at)))
    }

    /// The name as given.
    ///
    /// # Errors
    /// It does not follow the rule.
    pub fn new(value: impl Into<String>) -> Result<Self, PointIdError> {
        let value = value.into();
        if is_segment(&value) || is_chain(&value) {
            Ok(Self(value))
        } else {
            Err(PointIdError(value))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment in the name; a WAL segment's has none.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        read_stamp(self.0.get(..STAMP)?)
    }

    /// The backup that this one is restored on top of.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.parent_name().map(|parent| Self(parent.to_owned()))
    }

    /// The name of the backup that this one is restored on top of.
    #[must_use]
    pub fn parent_name(&self) -> Option<&str> {
        self.0.get(STAMP..)?.strip_prefix("-incr-")
    }
}

/// A moment as it stands in names, in whole seconds; such names sort by time.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    Offset::UTC.to_datetime(at).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The moment that a stamp names.
pub(super) fn read_stamp(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == STAMP - 1)?;
    let civil = DateTime::strptime("%Y%m%dT%H%M%S", digits).ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

fn is_segment(value: &str) -> bool {
    value.len() == 24 && value.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

fn is_chain(value: &str) -> bool {
    let mut rest = value;
    for _ in 0..DEEPEST {
        let Some((time, after)) = rest.split_at_checked(STAMP) else { return false };
        if read_stamp(time).is_none() {
            return false;
        }
        match after.strip_prefix("-incr-") {
            Some(parent) => rest = parent,
            None => return after == "-full",
        }
    }
    false
}

impl TryFrom<String> for PointId {
    type Error = PointIdError;
    fn try_from(value: String) -> Result<Self, PointIdError> {
        Self::new(value)
    }
}

impl From<PointId> for String {
    fn from(id: PointId) -> Self {
        id.0
    }
}

impl std::str::FromStr for PointId {
    type Err = PointIdError;
    fn from_str(value: &str) -> Result<Self, PointIdError> {
        Self::new(value)
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_carry_their_parents() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let full = PointId::full(at("2026-11-24T12:00:00Z"));
        let child = PointId::incremental(at("2026-11-24T16:00:00.7Z"), &full);
        let grandchild = PointId::incremental(at("2026-11-24T20:00:00Z"), &child);
        assert_eq!(full.as_str(), "20261124T120000Z-full");
        assert_eq!(child.as_str(), "20261124T160000Z-incr-20261124T120000Z-full");
        assert!(full < child && child < grandchild);
        assert_eq!(grandchild.parent(), Some(child.clone()));
        assert_eq!(child.parent(), Some(full.clone()));
        assert_eq!(full.parent(), None);
        assert_eq!(child.time(), Some(at("2026-11-24T16:00:00Z")));
        for id in [full, child, grandchild] {
            assert_eq!(PointId::new(id.to_string()), Ok(id));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [
            "",
            "full",
            "20261124T120000Z",
            "20261324T120000Z-full",
            "20261124T120000Z-full/..",
            "20261124T120000Z-incr-",
            "20261124T160000Z-incr-20261124T120000Z",
            "00000001000000000000002a",
            "0000000100000000000002A",
        ] {
            assert!(PointId::new(wrong).is_err(), "{wrong}");
        }
        assert!(PointId::new("00000001000000000000002A").is_ok());
        assert_eq!(PointId::new("00000001000000000000002A").unwrap().time(), None);
    }
}
