//! Whether this site may accept a write: a pure decision over the site's configuration, the guard's permit and the time.
//!
//! # Why a stale site cannot write
//! The guard on the host sees the newest epoch and writes `permit.json` about once a second, each time valid for a few
//! seconds more, and only while this site's epoch is the newest. Three checks keep a write inside that time:
//!
//! 1. [`check`], before anything is done: the role is active, the permit is for this site and this epoch, and it is valid now.
//! 2. The `INSERT` itself carries the deadline: `... WHERE clock_timestamp() < valid_until`. A process that is frozen
//!    between the check and the statement sends the statement when it is thawed, minutes later, when another site may
//!    be active; the database then inserts nothing. A check in the process alone could not see that.
//! 3. After the answer of the database the time is looked at again: a commit that is known only after the permit's end is not
//!    acknowledged.
//!
//! The first and the third go by the host's uptime, which nobody can set: a clock that jumps makes a permit neither longer
//! nor shorter. The second uses the database's clock against the end by the host's clock, and matters for a process that was
//! frozen in between alone; for it the two must differ by less than what is waited beyond the end of a permit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::site::{Role, Site};

/// `permit.json`: the guard's word that this site's epoch was the newest when it looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The app.
    pub app: String,
    /// The site it is for.
    pub site: String,
    /// The epoch it is for.
    pub epoch: i64,
    /// Its end by the host's clock, RFC 3339: what the database compares with its own.
    pub valid_until: Timestamp,
    /// Its end by the host's uptime: writes are accepted before.
    pub valid_until_uptime_ms: u64,
    /// Which start of the host that uptime counts from.
    pub boot_id: String,
}

/// For how long this host has been up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Which start of the host it counts from.
    pub boot_id: String,
    /// In milliseconds.
    pub millis: u64,
}

/// Why a write is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The site is not active under its epoch.
    #[error("site {site} is on standby under epoch {epoch}")]
    Standby {
        /// This site.
        site: String,
        /// Its epoch.
        epoch: i64,
    },
    /// There is no permit to read.
    #[error("there is no write permit: {0}")]
    NoPermit(String),
    /// The permit is another app's or another site's.
    #[error("the write permit is for {app} at site {site}")]
    WrongSite {
        /// The permit's app.
        app: String,
        /// The permit's site.
        site: String,
    },
    /// The permit is for another epoch.
    #[error("the write permit is for epoch {permit}, the site is at epoch {site}")]
    WrongEpoch {
        /// The permit's epoch.
        permit: i64,
        /// The site's epoch.
        site: i64,
    },
    /// The permit is from before the host was started, and its end says nothing now.
    #[error("the write permit is from before this host was started")]
    OtherBoot,
    /// The permit's time is over.
    #[error("the write permit ended at {valid_until}")]
    Expired {
        /// Its end.
        valid_until: Timestamp,
    },
    /// The database received the write after the permit's end, and inserted nothing.
    #[error("the database received the write after the permit's end {valid_until}, and refused it")]
    TooLate {
        /// The permit's end.
        valid_until: Timestamp,
    },
    /// The commit became known after the permit's end: the write may be there, and is not acknowledged.
    #[error(
        "the answer of the database came after the permit's end {valid_until}: ask again with the same id"
    )]
    Unconfirmed {
        /// The permit's end.
        valid_until: Timestamp,
    },
}

impl Refusal {
    /// A stable word for the reason, for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Standby { .. } => "standby",
            Self::NoPermit(_) => "no_permit",
            Self::WrongSite { .. } => "wrong_site",
            Self::WrongEpoch { .. } => "wrong_epoch",
            Self::OtherBoot => "other_boot",
            Self::Expired { .. } => "permit_expired",
            Self::TooLate { .. } => "too_late",
            Self::Unconfirmed { .. } => "unconfirmed",
        }
    }
}

/// The permit under which the site may write, or why it may not.
///
/// # Errors
/// The [`Refusal`], to be handed to the caller as `stale_epoch`.
pub fn check<'a>(
    site: &Site,
    permit: Result<&'a Permit, &str>,
    now: &Uptime,
) -> Result<&'a Permit, Refusal> {
    if site.role != Role::Active {
        return Err(Refusal::Standby { site: site.site.clone(), epoch: site.epoch });
    }
    let permit = permit.map_err(|why| Refusal::NoPermit(why.to_owned()))?;
    if permit.app != site.app || permit.site != site.site {
        return Err(Refusal::WrongSite { app: permit.app.clone(), site: permit.site.clone() });
    }
    if permit.epoch != site.epoch {
        return Err(Refusal::WrongEpoch { permit: permit.epoch, site: site.epoch });
    }
    if permit.boot_id != now.boot_id {
        return Err(Refusal::OtherBoot);
    }
    if permit.has_ended(now) {
        return Err(Refusal::Expired { valid_until: permit.valid_until });
    }
    Ok(permit)
}

impl Permit {
    /// Whether it is over. What was started again since then does not ask: it has lost the request.
    #[must_use]
    pub const fn has_ended(&self, now: &Uptime) -> bool {
        now.millis >= self.valid_until_uptime_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: &str = "2026-01-01T00:00:05.000Z";

    #[track_caller]
    fn decide(
        role: &str,
        permit: Option<(&str, &str, i64)>,
        (boot_id, millis): (&str, u64),
        expected: Result<(), &str>,
    ) {
        let site = format!(r#"{{"app": "queue", "site": "a", "epoch": 4, "role": "{role}"}}"#);
        let site: Site = serde_json::from_str(&site).expect("the site is good");
        let until: Timestamp = UNTIL.parse().expect("the time is good");
        let permit = permit.map(|(app, site, epoch)| Permit {
            app: app.to_owned(),
            site: site.to_owned(),
            epoch,
            valid_until: until,
            valid_until_uptime_ms: 5_000,
            boot_id: "this".to_owned(),
        });
        let now = Uptime { boot_id: boot_id.to_owned(), millis };
        let decision = check(&site, permit.as_ref().ok_or("no such file"), &now);
        assert_eq!(decision.map(drop).map_err(|refusal| refusal.reason()), expected);
    }

    #[test]
    fn a_write_needs_a_valid_permit_of_this_site_and_epoch() {
        let good = Some(("queue", "a", 4));
        let early = ("this", 4_999);
        decide("active", good, early, Ok(()));
        decide("active", good, ("this", 5_000), Err("permit_expired"));
        decide("active", good, ("this", 500_000), Err("permit_expired"));
        // It was started anew, and its uptime begins at 0.
        decide("active", good, ("another", 10), Err("other_boot"));
        decide("active", None, early, Err("no_permit"));
        decide("standby", good, early, Err("standby"));
        decide("active", Some(("queue", "a", 3)), early, Err("wrong_epoch"));
        decide("active", Some(("queue", "a", 5)), early, Err("wrong_epoch"));
        decide("active", Some(("queue", "b", 4)), early, Err("wrong_site"));
        decide("active", Some(("shop", "a", 4)), early, Err("wrong_site"));
    }
}
