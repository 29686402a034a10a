//! Why a recovery point is kept, or deleted.

use std::fmt;

use jiff::{Timestamp, tz::Offset};
use serde::{Serialize, Serializer};

use crate::{backup::PointId, ids::IncidentId};

/// A tier of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// One point a day.
    Daily,
    /// One point a week.
    Weekly,
    /// One point a month.
    Monthly,
    /// One point a year.
    Yearly,
}

impl Tier {
    /// Every tier, shortest period first.
    pub const ALL: [Self; 4] = [Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The word in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

/// The day, week, month or year of UTC that a moment lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Which of them.
    pub tier: Tier,
    /// A moment in it.
    pub at: Timestamp,
}

impl fmt::Display for Period {
    /// `2026-11-20`, `2026-W47`, `2026-11` or `2026`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Offset::UTC.to_datetime(self.at).date();
        match self.tier {
            Tier::Daily => date.fmt(f),
            Tier::Weekly => {
                let week = date.iso_week_date();
                write!(f, "{:04}-W{:02}", week.year(), week.week())
            }
            Tier::Monthly => write!(f, "{:04}-{:02}", date.year(), date.month()),
            Tier::Yearly => write!(f, "{:04}", date.year()),
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a recovery point is kept. Where several reasons hold, the one that is listed first here is
/// given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum KeepReason<'a> {
    /// Somebody holds it.
    Held,
    /// Object lock keeps it.
    Locked {
        /// Until then.
        until: Timestamp,
    },
    /// It claims to be from the future: a clock is wrong, and its age is not known.
    Future,
    /// The catalogue has two points of this name.
    Ambiguous,
    /// It and others need each other, so none of them can go first.
    Cycle,
    /// It is the newest of its app, kind and region that was verified.
    NewestVerified,
    /// Its own checks say so of it, but not all that it is restored with is verified.
    NewestAlone,
    /// It is not old enough.
    WithinDays {
        /// The policy's days.
        days: u32,
    },
    /// It is one of the newest verified ones, of which the policy keeps so many.
    Minimum {
        /// How many.
        minimum: u32,
    },
    /// It stands for a period.
    Tier {
        /// Which tier.
        tier: Tier,
        /// Which period.
        period: Period,
    },
    /// Restoring to the first moments of the window begins with it.
    WindowStart {
        /// The first moment that can be restored to.
        from: Timestamp,
    },
    /// No point of its app, kind and region is verified, so none of them can be spared.
    NoneVerified,
    /// It is WAL, and no base backup of its app and region is verified.
    NoVerifiedBase,
    /// A point that is kept is restored on top of it, or with it.
    NeededBy {
        /// That point.
        point: &'a PointId,
    },
    /// It is WAL that is replayed after a base backup, to reach the moments since.
    Replayed {
        /// The base backup.
        base: &'a PointId,
    },
    /// It may be needed: what this point needs is not known.
    NeedsUnknown {
        /// The point.
        point: &'a PointId,
    },
    /// It may go, but a recovery is open.
    RecoveryOpen {
        /// Which.
        incident: &'a IncidentId,
    },
    /// It may go, but everything of the app is on hold.
    Hold {
        /// Why.
        reason: &'a str,
    },
    /// It may go, but whether a recovery or a hold forbids it could not be found out.
    Unknown {
        /// Why not.
        why: &'a str,
    },
    /// It may go, but not everything was listed.
    ListingIncomplete,
    /// It may go, but this run has deleted as much as a run may.
    LimitReached,
}

impl KeepReason<'_> {
    /// The word in JSON and in summaries.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Locked { .. } => "locked",
            Self::Future => "future",
            Self::Ambiguous => "ambiguous",
            Self::Cycle => "cycle",
            Self::NewestVerified => "newest-verified",
            Self::NewestAlone => "newest-alone",
            Self::WithinDays { .. } => "within-days",
            Self::Minimum { .. } => "minimum",
            Self::Tier { .. } => "tier",
            Self::WindowStart { .. } => "window-start",
            Self::NoneVerified => "none-verified",
            Self::NoVerifiedBase => "no-verified-base",
            Self::NeededBy { .. } => "needed-by",
            Self::Replayed { .. } => "replayed",
            Self::NeedsUnknown { .. } => "needs-unknown",
            Self::RecoveryOpen { .. } => "recovery-open",
            Self::Hold { .. } => "hold",
            Self::Unknown { .. } => "unknown",
            Self::ListingIncomplete => "listing-incomplete",
            Self::LimitReached => "limit-reached",
        }
    }

    /// Whether the policy would let it go, and only this run does not.
    #[must_use]
    pub const fn is_postponed(&self) -> bool {
        match self {
            Self::RecoveryOpen { .. }
            | Self::Hold { .. }
            | Self::Unknown { .. }
            | Self::ListingIncomplete
            | Self::LimitReached => true,
            Self::Held
            | Self::Locked { .. }
            | Self::Future
            | Self::Ambiguous
            | Self::Cycle
            | Self::NewestVerified
            | Self::NewestAlone
            | Self::WithinDays { .. }
            | Self::Minimum { .. }
            | Self::Tier { .. }
            | Self::WindowStart { .. }
            | Self::NoneVerified
            | Self::NoVerifiedBase
            | Self::NeededBy { .. }
            | Self::Replayed { .. }
            | Self::NeedsUnknown { .. } => false,
        }
    }
}

impl fmt::Display for KeepReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::Locked { until } => write!(f, "locked until {until}"),
            Self::Future => f.write_str("from the future: a clock is wrong, its age is not known"),
            Self::Ambiguous => f.write_str("the catalogue has two points of this name"),
            Self::Cycle => f.write_str("it and others need each other"),
            Self::NewestVerified => f.write_str("newest verified"),
            Self::NewestAlone => f.write_str("newest verified, but not all that it needs is"),
            Self::WithinDays { days } => write!(f, "within its {}", Days(*days)),
            Self::Minimum { minimum } => write!(f, "one of the {minimum} newest verified"),
            Self::Tier { tier, period } => write!(f, "{} {period}", tier.as_str()),
            Self::WindowStart { from } => {
                write!(f, "point-in-time recovery from {from} on begins with it")
            }
            Self::NoneVerified => {
                f.write_str("none of its app, kind and region is verified, so none can be spared")
            }
            Self::NoVerifiedBase => f.write_str("no base backup to replay it on is verified"),
            Self::NeededBy { point } => write!(f, "needed by {point}"),
            Self::Replayed { base } => write!(f, "replayed after {base}"),
            Self::NeedsUnknown { point } => write!(f, "what {point} needs is not known"),
            Self::RecoveryOpen { incident } => write!(f, "may go, but recovery {incident} is open"),
            Self::Hold { reason } => write!(f, "may go, but there is a hold: {reason}"),
            Self::Unknown { why } => write!(f, "may go, but {why}"),
            Self::ListingIncomplete => f.write_str("may go, but the listing is incomplete"),
            Self::LimitReached => f.write_str("may go, but the limit of this run is reached"),
        }
    }
}

/// Why a recovery point is deleted. Nothing that is kept needs it, and its days are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum DeleteReason {
    /// Nothing else speaks for it.
    Expired {
        /// The policy's days.
        days: u32,
    },
    /// It is damaged besides.
    Damaged {
        /// The policy's days.
        days: u32,
    },
    /// It cannot be restored: something that it needs is damaged or gone.
    Broken {
        /// The policy's days.
        days: u32,
    },
    /// It is WAL that no base backup needs any more.
    UnneededWal {
        /// The policy's days.
        days: u32,
    },
}

impl DeleteReason {
    /// The word in JSON and in summaries.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Damaged { .. } => "damaged",
            Self::Broken { .. } => "broken",
            Self::UnneededWal { .. } => "unneeded-wal",
        }
    }
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { days } => write!(f, "older than its {}", Days(*days)),
            Self::Damaged { days } => write!(f, "damaged, and older than its {}", Days(*days)),
            Self::Broken { days } => {
                let days = Days(*days);
                write!(f, "what it needs is damaged or gone, and it is older than its {days}")
            }
            Self::UnneededWal { days } => {
                write!(f, "older than its {}, and no base backup needs it", Days(*days))
            }
        }
    }
}

/// A number of days, in words.
struct Days(u32);

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 day"),
            days => write!(f, "{days} days"),
        }
    }
}

/// What is done with a recovery point, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "action", content = "reason", rename_all = "kebab-case")]
pub enum Verdict<'a> {
    /// It stays.
    Keep(KeepReason<'a>),
    /// It goes.
    Delete(DeleteReason),
}

impl Verdict<'_> {
    /// Whether it goes.
    #[must_use]
    pub const fn is_delete(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    /// The reason's word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Keep(reason) => reason.code(),
            Self::Delete(reason) => reason.code(),
        }
    }
}

impl fmt::Display for Verdict<'_> {
    /// The reason, as one sentence without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(reason) => reason.fmt(f),
            Self::Delete(reason) => reason.fmt(f),
        }
    }
}
