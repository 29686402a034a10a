//! What a host that boots is: active or standby, and under which epoch. The rule behind `lifeboat
//! host join`.
//!
//! An activation orders the hosts that a site has at that moment. One that is launched later, by
//! Auto Scaling or in place of a broken one, gets no order, so it asks the control records itself.
//! The rule is that of [`crate::permit`]: a host becomes active only under the newest epoch, and only
//! when every other region was asked, unless the own region's record is the last word. What cannot
//! be told leaves a host standby, for its own region's record may be the one that was left behind.
//! What the host has is never replaced by something older.

use serde::{Deserialize, Serialize};

use crate::{
    contract::DatabaseAddress,
    ids::{AppName, Epoch, Region, SiteName},
    ledger::{ControlRecord, HolderState, newest},
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

/// The control records, as far as they could be read.
#[derive(Debug, Clone)]
pub struct Registers<'a> {
    /// The own region's, if it could be read.
    pub own: Option<&'a ControlRecord>,
    /// The other regions' that could be read.
    pub others: Vec<&'a ControlRecord>,
    /// The regions that did not answer, the own one perhaps among them.
    pub unreachable: Vec<Region>,
}

/// The host that asks.
#[derive(Debug, Clone)]
pub struct Joiner<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The site that the host was launched for.
    pub site: &'a SiteName,
    /// Its region.
    pub region: &'a Region,
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
pub fn join(joiner: &Joiner<'_>, registers: &Registers<'_>) -> Joining {
    if let Some(foreign) = foreign(joiner) {
        return Joining::Foreign(foreign);
    }
    let newest = newest(registers.others.iter().copied().chain(registers.own));
    let Some(record) = newest else {
        return cannot_tell(
            joiner,
            Epoch(0),
            format!(
                "no register of {} could be read ({}); run `lifeboat plan apply`, or see that \
                 this host's role has the stack's host policy",
                joiner.app,
                silent(registers)
            ),
        );
    };
    let epoch = record.epoch;
    if let Some(current) = joiner.current
        && current.epoch > epoch
    {
        return cannot_tell(
            joiner,
            epoch,
            format!(
                "site.json has epoch {}, and the newest register that could be read has {epoch} \
                 ({})",
                current.epoch,
                silent(registers)
            ),
        );
    }
    if record.active_site != *joiner.site {
        // The region that activates a site writes its own record first: it is the one to ask.
        if registers.own.is_none() && registers.unreachable.contains(joiner.region) {
            let why = format!(
                "site {} is active under epoch {epoch}, says another region; the own one, {}, does \
                 not answer",
                record.active_site, joiner.region
            );
            return cannot_tell(joiner, epoch, why);
        }
        let was_active = joiner.current.is_some_and(|current| current.role == Role::Active);
        return Joining::Take {
            file: standby(joiner, epoch),
            hook: was_active.then_some(Hook::Stop),
        };
    }
    match as_active(joiner, registers, record) {
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

/// The database that an active host of the site uses; or why it may not be active yet.
fn as_active(
    joiner: &Joiner<'_>,
    registers: &Registers<'_>,
    record: &ControlRecord,
) -> Result<DatabaseAddress, String> {
    // Claimed is not yet served: the database may still be a replica.
    if let Some(holder) = &record.recovery
        && holder.target == *joiner.site
    {
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
    let last_word =
        registers.own.is_some_and(|own| !own.known_elsewhere && own.epoch == record.epoch);
    if !registers.unreachable.is_empty() && !last_word {
        return Err(format!(
            "site {} is active under epoch {}, if no other region knows a newer one ({})",
            joiner.site,
            record.epoch,
            silent(registers)
        ));
    }
    // What an order of this epoch wrote is what was promoted; the plan is what was planned.
    let ordered = joiner.current.filter(|current| current.epoch == record.epoch);
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

fn silent(registers: &Registers<'_>) -> String {
    if registers.unreachable.is_empty() {
        return "every region answered".to_owned();
    }
    let names: Vec<&str> = registers.unreachable.iter().map(Region::as_str).collect();
    format!("no answer from {}", names.join(", "))
}

#[cfg(test)]
mod tests;
