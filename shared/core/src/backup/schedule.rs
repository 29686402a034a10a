//! When backups are due: the sections `[backup.schedule.KIND]` of the plan file.
//!
//! Time is cut into slots that do not depend on when anybody looks: those of a day begin at `at`
//! and come each `every`. A recovery point carries the moment at which its slot began, so asking
//! twice within a slot gives one name, and two triggers make one backup.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Catalogue, Kind, PointId, RecoveryPoint, Standing, retention::Retention};
use crate::{
    ids::{AppName, Region},
    plan_file::Problem,
};

/// Seconds of a day of UTC as computers count them, without leap seconds.
const DAY_SECONDS: u32 = 86_400;

/// A length of time in whole minutes, hours or days: `15m`, `4h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Every {
    seconds: u32,
}

/// A moment of each day, in UTC: `02:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(try_from = "String", into = "String")]
pub struct DayTime {
    minutes: u32,
}

/// A text that is no length of time, or no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// No length.
    #[error("`{0}` is not a length of time: use minutes, hours or days, such as 15m, 4h or 1d")]
    Every(String),
    /// No time of day.
    #[error("`{0}` is not a time of day in UTC, such as 02:30")]
    DayTime(String),
}

impl Every {
    /// Its length in seconds; at least a minute.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.seconds
    }
}

impl FromStr for Every {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let read = || {
            let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let unit = match unit {
                "m" => 60,
                "h" => 3600,
                "d" => DAY_SECONDS,
                _ => return None,
            };
            let count: u32 =
                digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)?.parse().ok()?;
            count.checked_mul(unit).filter(|seconds| *seconds > 0)
        };
        read().map(|seconds| Self { seconds }).ok_or_else(|| TimeError::Every(text.to_owned()))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.seconds {
            // A day is written as it usually is: every 24h.
            DAY_SECONDS => (24, 'h'),
            seconds if seconds.is_multiple_of(DAY_SECONDS) => (seconds / DAY_SECONDS, 'd'),
            seconds if seconds.is_multiple_of(3600) => (seconds / 3600, 'h'),
            seconds => (seconds / 60, 'm'),
        };
        f.pad(&format!("{count}{unit}"))
    }
}

impl FromStr for DayTime {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let number = |digits: &str, below: u32| {
            let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            let number: Option<u32> = digits.parse().ok();
            number.filter(|number| two && *number < below)
        };
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            Some(number(hours, 24)? * 60 + number(minutes, 60)?)
        };
        read().map(|minutes| Self { minutes }).ok_or_else(|| TimeError::DayTime(text.to_owned()))
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:02}:{:02}", self.minutes / 60, self.minutes % 60))
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = TimeError;
            fn try_from(text: String) -> Result<Self, TimeError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
as_text!(Every, DayTime);

/// When the backups of one kind are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// The time from one to the next: a part of a day that divides it, or whole days.
    pub every: Every,
    /// When the first of a day is taken, UTC; midnight without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DayTime>,
    /// The longest time from one full base backup to the next: in between they hold only what has
    /// changed. Without it every one is full. Only for `database-base`, from PostgreSQL 17 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_every: Option<Every>,
}

/// When backups are taken, by kind. What is not named is not taken.
pub type BackupSchedule = BTreeMap<Kind, Slots>;

impl Slots {
    /// The moment at which the slot that `now` lies in began.
    ///
    /// Days are counted from 1970-01-01, so that slots of several days do not depend on anything
    /// else.
    #[must_use]
    pub fn current(&self, now: Timestamp) -> Timestamp {
        let every = i64::from(self.every.seconds);
        let offset = i64::from(self.at.unwrap_or_default().minutes).saturating_mul(60);
        let since = now.as_second().saturating_sub(offset);
        let start = since.saturating_sub(since.rem_euclid(every)).saturating_add(offset);
        Timestamp::from_second(start).unwrap_or(Timestamp::MIN)
    }

    /// The slots before the one that `now` lies in, the newest first: those in which a backup may have
    /// been begun that a service is still at work on.
    fn before(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let every = SignedDuration::from_secs(i64::from(self.every.seconds));
        let starts = std::iter::successors(Some(self.current(now)), move |start| {
            start.checked_sub(every).ok()
        });
        starts
            .skip(1)
            .take(SLOTS_BACK)
            .take_while(move |start| now.duration_since(*start) <= LONGEST_COPY)
    }
}

/// How many slots back [`Slots::before`] looks at most: each that has no backup costs a call.
const SLOTS_BACK: usize = 6;
/// How far back it looks at most: the first copy of many terabytes into another region takes most of
/// a day. Beyond it the alarm on the age of the newest verified point has gone off.
const LONGEST_COPY: SignedDuration = SignedDuration::from_hours(48);

/// How often a person is told that a backup cannot be begun.
const TELL_EVERY: i64 = 3_600;
/// Seconds from one tick to the next: the schedule of `lifeboat-backup` in the template.
pub const TICK_SECONDS: u32 = 300;

/// Whether a person is told, at this tick, that the backup of a slot cannot be begun: with the slot's
/// first tick, and then once an hour.
#[must_use]
pub fn is_told(start: Timestamp, now: Timestamp) -> bool {
    now.duration_since(start).as_secs().rem_euclid(TELL_EVERY) < i64::from(TICK_SECONDS)
}

/// What the database server that base backups are taken from allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incremental {
    /// PostgreSQL 17 or newer, with `summarize_wal` on.
    Allowed,
    /// Every base backup has to be full.
    NotAllowed,
}

/// The deepest chain of incremental backups that [`due`] begins: each one more makes a restore
/// longer, and one that is damaged takes all that stand on it with it.
pub const LONGEST_CHAIN: usize = 12;

/// The backups that are due: of each kind whose current slot has no recovery point, the name that
/// the point will have. The same at every moment of a slot until the catalogue has it.
///
/// `catalogue` is that of the region in which the app is active.
#[must_use]
pub fn due(
    schedule: &BackupSchedule,
    app: &AppName,
    region: &Region,
    catalogue: &Catalogue,
    incremental: Incremental,
    now: Timestamp,
) -> Vec<(Kind, PointId)> {
    let mut due = Vec::new();
    for (kind, slots) in schedule {
        let start = slots.current(now);
        let of_kind = || of_kind(catalogue, app, region, *kind);
        if is_served(of_kind(), start) {
            continue;
        }
        let parent = match (kind, slots.full_every, incremental) {
            (Kind::DatabaseBase, Some(full_every), Incremental::Allowed) => {
                parent(of_kind(), start, full_every)
            }
            _ => None,
        };
        let id = parent
            .map_or_else(|| PointId::full(start), |parent| PointId::incremental(start, &parent.id));
        due.push((*kind, id));
    }
    due
}

/// Whether a slot has its point, whatever that stands on.
fn is_served<'a>(mut of_kind: impl Iterator<Item = &'a RecoveryPoint>, start: Timestamp) -> bool {
    of_kind.any(|point| point.id.time() == Some(start))
}

/// The snapshots of earlier slots that have no point, the newest first: one that RDS is still at work on
/// is taken further, and one that was never begun is past.
///
/// `catalogue` is that of the region in which the app is active.
#[must_use]
pub fn earlier_snapshots(
    schedule: &BackupSchedule,
    app: &AppName,
    region: &Region,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Vec<PointId> {
    let kind = Kind::DatabaseSnapshot;
    let slots = schedule.get(&kind).into_iter();
    let starts = slots.flat_map(|slots| slots.before(now));
    let unserved = starts.filter(|start| !is_served(of_kind(catalogue, app, region, kind), *start));
    unserved.map(PointId::full).collect()
}

/// The points of a kind that an app has in a region.
fn of_kind<'a>(
    catalogue: &'a Catalogue,
    app: &'a AppName,
    region: &'a Region,
    kind: Kind,
) -> impl Iterator<Item = &'a RecoveryPoint> {
    let points = catalogue.points.iter();
    points.filter(move |p| p.app == *app && p.kind == kind && p.region == *region)
}

/// The point that an incremental backup of the slot `start` stands on: the newest one, when its
/// full backup is recent enough, its chain is short enough, and none of the chain is damaged or
/// gone.
fn parent<'a>(
    points: impl Iterator<Item = &'a RecoveryPoint>,
    start: Timestamp,
    full_every: Every,
) -> Option<&'a RecoveryPoint> {
    let by_name: BTreeMap<&str, &RecoveryPoint> =
        points.map(|point| (point.id.as_str(), point)).collect();
    let newest = by_name
        .values()
        .copied()
        .filter(|point| point.id.time().is_some_and(|at| at < start))
        .max_by_key(|point| (point.id.time(), &point.id))?;
    let mut name = newest.id.as_str();
    for _ in 0..LONGEST_CHAIN {
        let point = by_name.get(name)?;
        if matches!(point.checks.standing(), Standing::Damaged { .. }) {
            return None;
        }
        match point.id.parent_name() {
            Some(parent) => name = parent,
            None => {
                let age = start.duration_since(point.id.time()?);
                let longest = SignedDuration::from_secs(i64::from(full_every.seconds));
                return (age < longest).then_some(newest);
            }
        }
    }
    None
}

/// Everything that is wrong with a schedule, by itself and beside the retention; paths begin at the
/// schedule.
#[must_use]
pub fn check(schedule: &BackupSchedule, retention: &Retention) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (kind, slots) in schedule {
        let mut add = |key: &str, message: String| {
            let path = vec![kind.as_str().to_owned(), key.to_owned()];
            problems.push(Problem { path, message });
        };
        let every = slots.every.seconds;
        if !DAY_SECONDS.is_multiple_of(every) && !every.is_multiple_of(DAY_SECONDS) {
            add(
                "every",
                format!(
                    "{} divides no day evenly, so that slots would move from day to day; use a \
                     divisor of 24h, or whole days",
                    slots.every
                ),
            );
        }
        if *kind == Kind::DatabaseWal {
            add(
                "every",
                "WAL is archived continuously, by no schedule; leave it out, and run `lifeboat host \
                 wal receive` as a service on the hosts"
                    .into(),
            );
        }
        let days = retention.days(*kind);
        if u64::from(every) > u64::from(days).saturating_mul(u64::from(DAY_SECONDS)) {
            add(
                "every",
                format!(
                    "a point is kept for {days} days and the next one comes after {}; take them more \
                     often, or keep them longer",
                    slots.every
                ),
            );
        }
        let wal = retention.days(Kind::DatabaseWal);
        if *kind == Kind::DatabaseBase
            && u64::from(every) > u64::from(wal).saturating_mul(u64::from(DAY_SECONDS))
        {
            add(
                "every",
                format!(
                    "WAL is kept for {wal} days and a base backup comes each {}: all the WAL in \
                     between would have to be replayed; take base backups at least as often",
                    slots.every
                ),
            );
        }
        match (kind, slots.full_every) {
            (Kind::DatabaseBase, Some(full)) if full < slots.every => add(
                "full_every",
                format!("use at least {}, the time between two base backups", slots.every),
            ),
            (Kind::DatabaseBase, _) | (_, None) => {}
            (_, Some(_)) => {
                add("full_every", "only base backups can be incremental; leave it out".into());
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests;
