//! Who may act: the control record and the rules for changing it.
//!
//! Each region's bucket holds one control record per app, changed only by conditional writes. The
//! rules here keep two invariants, both held as property tests: epochs only grow, and at most one
//! recovery holds an app at a time.
//!
//! The order of a change of the active site is: [`open`] reserves the next epoch and makes the
//! recovery the holder; [`claim`] makes the target the active site under that epoch, from which
//! moment a site with an older epoch must not serve a write; [`close`] releases the holder. The
//! epoch is reserved before anything is decided and claimed before anything is changed, so a
//! recovery that stands down has changed nothing but a counter.

mod request;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorName, Fault},
    ids::{AppName, Epoch, IncidentId, SiteName},
};

pub use request::{Met, attempt_name, met};

/// How long a recovery may hold the ledger without being renewed, in seconds. Longer than the
/// `TimeoutSeconds` of the recover machine (3,600 s), so that a holder that is past it is dead.
pub const HOLD_SECONDS: i64 = 3_700;

/// The epoch of the first record, which no recovery has claimed.
pub const FIRST_EPOCH: Epoch = Epoch(1);

/// One app's control record, as one region's bucket holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRecord {
    /// The app.
    pub app: AppName,
    /// The epoch under which `active_site` serves.
    pub epoch: Epoch,
    /// The highest epoch ever handed out; at least `epoch`. Reserved numbers are never reused.
    pub highest_reserved: Epoch,
    /// The site whose database accepts the app's writes.
    pub active_site: SiteName,
    /// The recovery under way, if any.
    pub recovery: Option<Holder>,
    /// Whether another region may know of this epoch. While none does, nobody can have gone on
    /// from it, so this record is the last word without any confirmation; that is how a site
    /// serves, and its hosts restart, while the other region stays dark.
    #[serde(default = "assume_known")]
    pub known_elsewhere: bool,
    /// When the record was last written.
    pub updated_at: Timestamp,
}

/// The recovery that holds the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// Its id.
    pub incident: IncidentId,
    /// The execution that works on it (an ARN).
    pub execution: String,
    /// The site it activates.
    pub target: SiteName,
    /// The epoch it reserved.
    pub epoch: Epoch,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Whether it still runs.
    pub state: HolderState,
}

/// How far a holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderState {
    /// It may decide, and has changed nothing yet.
    Open,
    /// The active site has changed: from here on forward only.
    Claimed,
    /// It ended in failure; a person, or a new recovery, goes on from there.
    Failed,
}

const fn assume_known() -> bool {
    true
}

impl ControlRecord {
    /// The first record of an app: epoch 1, the given site active.
    #[must_use]
    pub fn first(app: AppName, active_site: SiteName, now: Timestamp) -> Self {
        Self {
            app,
            epoch: FIRST_EPOCH,
            highest_reserved: FIRST_EPOCH,
            active_site,
            recovery: None,
            known_elsewhere: true,
            updated_at: now,
        }
    }
}

/// The newest of the records that could be read (this region's and its peers'). The epoch decides,
/// then the reservation, then the time.
#[must_use]
pub fn newest<'a>(
    records: impl IntoIterator<Item = &'a ControlRecord>,
) -> Option<&'a ControlRecord> {
    records
        .into_iter()
        .max_by_key(|record| (record.epoch, record.highest_reserved, record.updated_at))
}

/// That the app of `site` may be started under the first epoch: the record is the first one still, and
/// names this site.
///
/// # Errors
/// [`crate::ErrorName::Refused`] with what has happened since, and what to do instead.
pub fn first_activation(record: &ControlRecord, site: &SiteName) -> Result<(), Fault> {
    let app = &record.app;
    let refused = |why: String| Err(Fault::new(ErrorName::Refused, why));
    if let Some(holder) = &record.recovery {
        return refused(format!(
            "recovery {} has held {app} since {} and activates site {}; let it end: `lifeboat plan \
             show --app {app}` says how far it is",
            holder.incident, holder.opened_at, holder.target
        ));
    }
    if record.active_site != *site {
        return refused(format!(
            "site {} of {app} is the active one (epoch {}), not {site}; a site that is not active is \
             activated by `lifeboat recover`",
            record.active_site, record.epoch
        ));
    }
    if record.epoch != FIRST_EPOCH {
        return refused(format!(
            "site {site} of {app} was activated by a recovery before (epoch {}); `lifeboat recover` \
             does it again",
            record.epoch
        ));
    }
    Ok(())
}

/// Who asks for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant<'a> {
    /// The recovery's id.
    pub incident: &'a IncidentId,
    /// Its execution.
    pub execution: &'a str,
    /// The site it wants to activate.
    pub target: &'a SiteName,
}

/// What [`open`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Write this record (conditionally on the one that was read) and the recovery is open.
    Write(ControlRecord),
    /// The same execution opened it before; go on with this record.
    AlreadyOurs(ControlRecord),
    /// Not now, for this reason. Not an error: the caller stands down and says so.
    StandDown(String),
}

/// Whether this claimant may open a recovery on the newest known record.
#[must_use]
pub fn open(newest: &ControlRecord, claimant: &Claimant<'_>, now: Timestamp) -> Opening {
    if let Some(holder) = &newest.recovery {
        if holder.incident == *claimant.incident && holder.execution == claimant.execution {
            return Opening::AlreadyOurs(newest.clone());
        }
        if under_way(newest, now).is_some() {
            return Opening::StandDown(format!(
                "recovery {} is open since {} (execution {}); let it end, or stop it and mark it \
                 failed before starting another",
                holder.incident, holder.opened_at, holder.execution
            ));
        }
    }
    // A recovery that claimed its epoch and then failed leaves its target named as the active site;
    // only a recovery of that same target can complete it.
    let unfinished = newest.recovery.as_ref().is_some_and(|holder| {
        holder.target == *claimant.target && newest.active_site == holder.target
    });
    if newest.active_site == *claimant.target && !unfinished {
        return Opening::StandDown(format!(
            "site {} is the active site already (epoch {})",
            claimant.target, newest.epoch
        ));
    }
    let epoch = newest.highest_reserved.max(newest.epoch).next();
    Opening::Write(ControlRecord {
        highest_reserved: epoch,
        recovery: Some(Holder {
            incident: claimant.incident.clone(),
            execution: claimant.execution.to_owned(),
            target: claimant.target.clone(),
            epoch,
            opened_at: now,
            state: HolderState::Open,
        }),
        updated_at: now,
        ..newest.clone()
    })
}

/// The recovery that may be acting now: one that failed, or has held the ledger for longer than it
/// can live, acts no more.
#[must_use]
pub fn under_way(record: &ControlRecord, now: Timestamp) -> Option<&Holder> {
    let holder = record.recovery.as_ref()?;
    let held = now.duration_since(holder.opened_at);
    let expired = held > SignedDuration::from_secs(HOLD_SECONDS);
    (holder.state != HolderState::Failed && !expired).then_some(holder)
}

/// That `incident` still holds the ledger under `epoch`: the check before every action.
///
/// # Errors
/// [`crate::ErrorName::StaleEpoch`] when someone else holds it or a newer epoch exists; stop and
/// undo nothing.
pub fn authorize<'a>(
    record: &'a ControlRecord,
    incident: &IncidentId,
    epoch: Epoch,
) -> Result<&'a Holder, Fault> {
    match &record.recovery {
        Some(holder)
            if holder.incident == *incident
                && holder.epoch == epoch
                && record.highest_reserved == epoch
                && holder.state != HolderState::Failed =>
        {
            Ok(holder)
        }
        Some(holder) => Err(Fault::stale(format!(
            "recovery {incident} acts under epoch {epoch}, but the register is held by {} under \
             epoch {}",
            holder.incident, holder.epoch
        ))),
        None => Err(Fault::stale(format!(
            "recovery {incident} is not open: the register is at epoch {} with site {} active",
            record.epoch, record.active_site
        ))),
    }
}

/// The record that makes the holder's target the active site. `known_elsewhere` says whether
/// another region can be told of it: then it must be written as known *before* anyone is told.
///
/// # Errors
/// As [`authorize`].
pub fn claim(
    record: &ControlRecord,
    incident: &IncidentId,
    epoch: Epoch,
    known_elsewhere: bool,
    now: Timestamp,
) -> Result<ControlRecord, Fault> {
    let holder = authorize(record, incident, epoch)?;
    if holder.state == HolderState::Claimed {
        return Ok(record.clone());
    }
    Ok(ControlRecord {
        epoch,
        active_site: holder.target.clone(),
        recovery: Some(Holder { state: HolderState::Claimed, ..holder.clone() }),
        known_elsewhere,
        updated_at: now,
        ..record.clone()
    })
}

/// How a recovery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Users are served from the target.
    Recovered,
    /// Nothing was changed, because nothing had to be or was allowed to be.
    StoodDown,
    /// It failed; a person has to look.
    Failed,
}

/// The record after the recovery has ended. Ending twice is once.
///
/// # Errors
/// [`crate::ErrorName::StaleEpoch`] when another recovery holds the ledger.
pub fn close(
    record: &ControlRecord,
    incident: &IncidentId,
    ending: Ending,
    now: Timestamp,
) -> Result<ControlRecord, Fault> {
    let Some(holder) = &record.recovery else { return Ok(record.clone()) };
    if holder.incident != *incident {
        return Err(Fault::stale(format!(
            "recovery {incident} cannot be closed: {} holds the register",
            holder.incident
        )));
    }
    let recovery = match ending {
        Ending::Recovered | Ending::StoodDown => None,
        Ending::Failed => Some(Holder { state: HolderState::Failed, ..holder.clone() }),
    };
    Ok(ControlRecord { recovery, updated_at: now, ..record.clone() })
}

/// What a site may do, from the newest record that it could see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is the active site under this epoch.
    Active(Epoch),
    /// It must not serve a write, for this reason.
    Fenced(String),
}

/// Whether `site`, configured with `epoch`, may serve writes when `newest` is the newest record.
#[must_use]
pub fn standing(newest: &ControlRecord, site: &SiteName, epoch: Epoch) -> Standing {
    if newest.active_site != *site {
        Standing::Fenced(format!(
            "site {} is active under epoch {}; this is site {site} with epoch {epoch}",
            newest.active_site, newest.epoch
        ))
    } else if newest.epoch != epoch {
        Standing::Fenced(format!(
            "the register is at epoch {}; site {site} is configured with epoch {epoch}",
            newest.epoch
        ))
    } else {
        Standing::Active(epoch)
    }
}

#[cfg(test)]
mod tests;
