//! What a host that boots is: active or standby, and under which epoch. The rule behind `lifeboat
//! host join`.
//!
//! An activation orders the hosts that a site has at that moment. One that is launched later, by
//! Auto Scaling or in place of a broken one, gets no order, so it asks the registers itself. The
//! rule is that of [`crate::permit`]: a host becomes active only under the claim that a majority of
//! the registers holds. What cannot be told leaves a host standby, for its own region's register may
//! be the one that was left behind. What the host has is never replaced by something older.

use serde::{Deserialize, Serialize};

use crate::{
    contract::DatabaseAddress,
    ids::{AppName, Epoch, SiteName},
    ledger::HolderState,
    registers::{Claim, Registers},
};

/// What a site's host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It runs the app, which writes while the host has a permit.
    Active,
    /// It writes nothing.
    Standby,
}

/// The site's configuration on a host, `site.json`, as the document `lifeboat-site-control` writes
/// it; byte for byte the same when it is written with two blanks to a level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteFile {
    /// The app.
    pub app: AppName,
    /// The site that the host belongs to.
    pub site: SiteName,
    /// The epoch under which it is what it is.
    pub epoch: Epoch,
    /// What it is.
    pub role: Role,
    /// The database that the app writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseAddress>,
}

/// The host that asks.
#[derive(Debug, Clone)]
pub struct Joiner<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The site that the host was launched for.
    pub site: &'a SiteName,
    /// What its `site.json` says, if it has one.
    pub current: Option<&'a SiteFile>,
    /// The site's database in the plan; or why the plan could not be read.
    pub database: Result<&'a DatabaseAddress, &'a str>,
}

/// The operator's script that goes with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `hooks/start`.
    Start,
    /// `hooks/stop`.
    Stop,
}

/// What a host is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joining {
    /// It is this now: write it, then run the hook.
    Take {
        /// The new `site.json`.
        file: SiteFile,
        /// The hook.
        hook: Option<Hook>,
    },
    /// It cannot be told yet: ask again.
    CannotTell {
        /// What to write meanwhile, which is standby; none leaves what is there.
        file: Option<SiteFile>,
        /// Why, and what would help.
        why: String,
    },
    /// The host belongs to something else: nothing is touched.
    Foreign(String),
}

/// What this host is to do, from what it could read.
#[must_use]
pub fn join(joiner: &Joiner<'_>, registers: &Registers) -> Joining {
    if let Some(foreign) = foreign(joiner) {
        return Joining::Foreign(foreign);
    }
    let Some(claim) = registers.agreed() else {
        return undecided(joiner, registers);
    };
    let epoch = claim.epoch;
    if let Some(current) = joiner.current
        && current.epoch > epoch
    {
        return cannot_tell(
            joiner,
            epoch,
            format!(
                "site.json has epoch {}, and a majority of the registers has {epoch} ({})",
                current.epoch,
                registers.words()
            ),
        );
    }
    if claim.site != *joiner.site {
        let was_active = joiner.current.is_some_and(|current| current.role == Role::Active);
        return Joining::Take {
            file: standby(joiner, epoch),
            hook: was_active.then_some(Hook::Stop),
        };
    }
    match as_active(joiner, registers, &claim) {
        Ok(database) => Joining::Take {
            file: SiteFile {
                app: joiner.app.clone(),
                site: joiner.site.clone(),
                epoch,
                role: Role::Active,
                database: Some(database),
            },
            hook: Some(Hook::Start),
        },
        Err(why) => cannot_tell(joiner, epoch, why),
    }
}

/// No majority holds one claim: the host is standby under what is known, and asks again.
fn undecided(joiner: &Joiner<'_>, registers: &Registers) -> Joining {
    if registers.newest().is_none() {
        return cannot_tell(
            joiner,
            Epoch(0),
            format!(
                "no register of {} could be read ({}); run `lifeboat plan apply`, or see that this \
                 host's role has the stack's host policy",
                joiner.app,
                registers.silence()
            ),
        );
    }
    let why = format!("no majority of the registers confirms a site ({})", registers.words());
    // A claim that is not complete may be given up: what the host has stays.
    cannot_tell(joiner, Epoch(0), why)
}

/// The database that an active host of the site uses; or why it may not be active yet.
fn as_active(
    joiner: &Joiner<'_>,
    registers: &Registers,
    claim: &Claim,
) -> Result<DatabaseAddress, String> {
    // Claimed is not yet served: the database may still be a replica.
    let held = registers.held().filter_map(|(_, record)| record.recovery.as_ref());
    if let Some(holder) = held.filter(|h| h.target == *joiner.site).max_by_key(|h| h.epoch) {
        return Err(match holder.state {
            HolderState::Open | HolderState::Claimed => {
                format!("recovery {} is activating site {}", holder.incident, joiner.site)
            }
            HolderState::Failed => format!(
                "recovery {} of site {} failed; start it again with `lifeboat recover`",
                holder.incident, joiner.site
            ),
        });
    }
    // What an order of this epoch wrote is what was promoted; the plan is what was planned.
    let ordered = joiner.current.filter(|current| current.epoch == claim.epoch);
    match (ordered.and_then(|current| current.database.as_ref()), joiner.database) {
        (Some(database), _) | (None, Ok(database)) => Ok(database.clone()),
        (None, Err(why)) => Err(format!("the plan could not be read: {why}")),
    }
}

fn foreign(joiner: &Joiner<'_>) -> Option<String> {
    let current = joiner.current?;
    (current.app != *joiner.app || current.site != *joiner.site).then(|| {
        format!(
            "site.json is that of app {}, site {}, not of {}, site {}; correct what this host was \
             started with, or move site.json away",
            current.app, current.site, joiner.app, joiner.site
        )
    })
}

/// Standby under an epoch, with the database that the host knows of.
fn standby(joiner: &Joiner<'_>, epoch: Epoch) -> SiteFile {
    let known = joiner.current.and_then(|current| current.database.clone());
    SiteFile {
        app: joiner.app.clone(),
        site: joiner.site.clone(),
        epoch,
        role: Role::Standby,
        database: known.or_else(|| joiner.database.ok().cloned()),
    }
}

/// A host that has nothing, or something that is older than what is known, is standby meanwhile.
fn cannot_tell(joiner: &Joiner<'_>, epoch: Epoch, why: String) -> Joining {
    let outdated = joiner.current.is_none_or(|current| current.epoch < epoch);
    Joining::CannotTell { file: outdated.then(|| standby(joiner, epoch)), why }
}

#[cfg(test)]
mod tests;
