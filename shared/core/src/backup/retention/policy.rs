//! How long recovery points are kept: the section `[backup.retention]` of the plan file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{backup::Kind, plan_file::Problem};

/// How long recovery points are kept, and how much one run may delete.
///
/// ```toml
/// minimum = 3
/// keep_days = { database-dump = 30, database-wal = 3 }
/// tiers = { weekly = 4, monthly = 12 }
/// limit = { deletions = 1000 }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that the points of a kind are kept at least; [`Retention::days`] has the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keep_days: BTreeMap<Kind, u32>,
    /// Single points that are kept beyond their days.
    #[serde(skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// How many verified points of each app, kind and region are kept however old they are, WAL
    /// apart. The newest one is kept even without this.
    pub minimum: u32,
    /// How much one run may delete.
    pub limit: Limit,
}

/// How many periods keep one point each: of the newest periods that have one, the newest verified
/// point, or the newest that is not known to be damaged where none is verified. Periods are UTC's;
/// weeks are those of ISO 8601. WAL is in no tier: a single segment restores nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tiers {
    /// Days.
    pub daily: u32,
    /// Weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// Years.
    pub yearly: u32,
}

impl Tiers {
    /// Whether no tier keeps anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How much one run may delete. A mistake in a policy then costs a bounded part of what there is,
/// and somebody sees it before the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// Recovery points.
    pub deletions: u32,
    /// Stored bytes. A run stops before the point that would exceed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Default for Limit {
    /// A thousand points: what one `DeleteObjects` call takes, and more than a day of every kind
    /// makes (a segment of WAL each minute is 1440 in a day, and sweeps run every few hours).
    fn default() -> Self {
        Self { deletions: 1000, bytes: None }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_days: BTreeMap::new(),
            tiers: Tiers::default(),
            minimum: 1,
            limit: Limit::default(),
        }
    }
}

impl Retention {
    /// Days that points of this kind are kept at least.
    ///
    /// Without a word in the policy they are the requirement's: 30 for full backups, 7 for the
    /// frequent ones of the database, 3 for WAL.
    #[must_use]
    pub fn days(&self, kind: Kind) -> u32 {
        self.keep_days.get(&kind).copied().unwrap_or(match kind {
            Kind::DatabaseWal => 3,
            Kind::DatabaseBase => 7,
            Kind::DatabaseSnapshot
            | Kind::DatabaseDump
            | Kind::Config
            | Kind::Code
            | Kind::Logs
            | Kind::Images
            | Kind::Cache => 30,
        })
    }
}

/// The longest time that can be asked for, in days: a hundred years. More is a typing error.
const LONGEST_DAYS: u32 = 36_525;
/// The most points that a policy can keep by count: more than a backup each minute for a month.
const MOST_POINTS: u32 = 100_000;

/// Everything that is wrong with a policy, with paths that begin at the policy.
#[must_use]
pub fn check(retention: &Retention) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |path: &[&str], message: String| {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        problems.push(Problem { path, message });
    };
    for (kind, days) in &retention.keep_days {
        if !(1..=LONGEST_DAYS).contains(days) {
            add(&["keep_days", kind.as_str()], format!("use 1 to {LONGEST_DAYS} days"));
        }
    }
    let (wal, base) = (retention.days(Kind::DatabaseWal), retention.days(Kind::DatabaseBase));
    if wal > base {
        // The key that is there, so that the mistake has a place.
        let kind = [Kind::DatabaseWal, Kind::DatabaseBase]
            .into_iter()
            .find(|kind| retention.keep_days.contains_key(kind))
            .unwrap_or(Kind::DatabaseWal);
        add(
            &["keep_days", kind.as_str()],
            format!(
                "WAL is kept for {wal} days and the base backups that it is replayed on for {base}; \
                 WAL without a base restores nothing, so keep database-base at least as long as \
                 database-wal"
            ),
        );
    }
    if !(1..=MOST_POINTS).contains(&retention.minimum) {
        add(
            &["minimum"],
            format!("use 1 to {MOST_POINTS}: the newest verified point is kept in any case"),
        );
    }
    for (name, count) in [
        ("daily", retention.tiers.daily),
        ("weekly", retention.tiers.weekly),
        ("monthly", retention.tiers.monthly),
        ("yearly", retention.tiers.yearly),
    ] {
        if count > MOST_POINTS {
            add(&["tiers", name], format!("use 0 to {MOST_POINTS}"));
        }
    }
    if retention.limit.deletions == 0 {
        add(
            &["limit", "deletions"],
            "0 would keep everything for ever; to stop deletions for a while, put a hold on the \
             app"
            .into(),
        );
    }
    if retention.limit.bytes == Some(0) {
        add(
            &["limit", "bytes"],
            "0 would keep everything for ever; leave it out for no limit".into(),
        );
    }
    problems
}
