//! `restore-backup`: restore a recovery point, or a moment, into a scratch place or into use.
//!
//! Into use goes only what may be relied on: verified, with everything beneath it. Into a scratch
//! place goes anything, because that is how it becomes verified; the scratch place is removed
//! whatever was found. RDS restores into a new instance, never over the site's, and nothing of it
//! is ever deleted that does not carry both the name and the tag that a scratch instance of ours has.
//!
//! A scratch instance that the plan's secret does not open, because the password was changed after the
//! snapshot, gets a password of its own; no other instance ever does.
//!
//! While a recovery is open, nothing goes into use on a host: the recovery decides which of the
//! sites serves, and what a host runs. A new instance of RDS is in nobody's way, and may be what a
//! recovery that stands still needs.

mod hosts;
mod instances;
mod judge;
mod ports;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region, SiteName,
    backup::{Choice, Kind, PointId, choose_window, whole_moment},
    contract::restore_backup::{Request, Response, Target},
    ledger,
    plan_file::{AppPlan, Engine, Site},
};

pub use hosts::DOCUMENT;
pub use judge::{Judgement, Rows, Seen, judge};
pub use ports::{
    Backups, Instance, InstanceState, Instances, Ledgers, Login, Looked, NewInstance, Outputs,
    Plans, Ports, Restoring, Source, Sql, Visit, World,
};

/// Carries out a request, as far as it goes without waiting.
///
/// # Errors
/// `NotReady` while a restore, or the removal of what it left, is under way (ask again); `Refused`
/// when something unreliable would go into use, or a recovery is open; `InvalidInput` when there is
/// no such point, no moment can be asked of its kind, or the plan does not have what it needs;
/// `NeedsHuman` when a host or RDS failed, with the reason that it gave; `Transient` when an answer
/// was lost. That a backup is damaged is an answer.
pub async fn handle<W: World>(
    request: Request,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    match request {
        Request::Choose { app, kind, id, to } => {
            let to = moment(kind, to, now)?;
            Ok(match chosen(&app, kind, id.as_ref(), to, ports).await? {
                Choice::Reliable { id, reason } => Response::Chosen { id, reason },
                Choice::Unreliable { reason, instead } => Response::Unreliable { reason, instead },
            })
        }
        Request::Start { app, kind, id, to, target } => {
            let to = moment(kind, to, now)?;
            let plan = ports.world.plan(&app).await?;
            let work = work(&plan, kind, &id, to, target, &ports.region)?;
            if kind == Kind::DatabaseSnapshot {
                return instances::start(&work, ports, now).await;
            }
            if target == Target::Place {
                reliable(&work, ports).await?;
                no_recovery(&plan, ports, now).await?;
            }
            hosts::start(&work, ports, now).await
        }
        Request::Poll { app, kind, id, to, target, commands } => {
            if kind != Kind::DatabaseSnapshot {
                return hosts::poll(&app, kind, &id, &commands, ports).await;
            }
            let to = moment(kind, to, now)?;
            let plan = ports.world.plan(&app).await?;
            let work = work(&plan, kind, &id, to, target, &ports.region)?;
            instances::advance(&work, ports, now).await
        }
        Request::Remove { app, kind, id, to } => {
            if kind == Kind::DatabaseSnapshot {
                instances::remove(&app, &id, moment(kind, to, now)?, ports).await
            } else {
                Ok(Response::Removed)
            }
        }
    }
}

/// The moment in whole seconds, if one is asked for.
fn moment(kind: Kind, to: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    to.map(|to| whole_moment(kind, to, now)).transpose().map_err(Fault::invalid)
}

async fn chosen<W: World>(
    app: &AppName,
    kind: Kind,
    id: Option<&PointId>,
    to: Option<Timestamp>,
    ports: &Ports<W>,
) -> Result<Choice, Fault> {
    let Some(to) = to.filter(|_| kind == Kind::DatabaseSnapshot) else {
        return ports.world.choose(app, kind, id, to).await;
    };
    let plan = ports.world.plan(app).await?;
    let named = PointId::full(to);
    if let Some(id) = id.filter(|id| **id != named) {
        return Err(Fault::invalid(format!(
            "give either the snapshot {id} or the moment {to}: RDS restores a moment from its \
             automated backups"
        )));
    }
    Ok(match held(&plan, to, ports).await? {
        Ok((_, reason)) => Choice::Reliable { id: named, reason },
        Err(reason) => Choice::Unreliable { reason, instead: None },
    })
}

/// The automated backups of this region that hold a moment, and why these; if none do, why not.
async fn held<W: World>(
    plan: &AppPlan,
    to: Timestamp,
    ports: &Ports<W>,
) -> Result<Result<(Source, String), String>, Fault> {
    if plan.database.engine != Engine::Rds {
        return Err(Fault::invalid(format!(
            "the database of {} is not RDS's: restore {} to {to}",
            plan.app,
            Kind::DatabaseBase
        )));
    }
    let windows = ports.world.windows(plan).await?;
    let active = ports.world.registers(plan).await?.presumed().map(|claim| claim.site);
    let chosen = choose_window(&windows, &plan.app, &ports.region, active.as_ref(), to);
    Ok(chosen.map(|(window, reason)| (Source::Moment(window.backups.clone(), to), reason)))
}

/// The check before anything goes into use: what was chosen an hour ago may be damaged now.
async fn reliable<W: World>(work: &Work<'_>, ports: &Ports<W>) -> Result<(), Fault> {
    let Work { plan, kind, id, to, .. } = work;
    match chosen(&plan.app, *kind, Some(id), *to, ports).await? {
        Choice::Reliable { .. } => Ok(()),
        Choice::Unreliable { reason, .. } => Err(Fault::refused(reason)),
    }
}

/// That nobody else decides now what the site's hosts run.
async fn no_recovery<W: World>(
    plan: &AppPlan,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<(), Fault> {
    let registers = ports.world.registers(plan).await?;
    match ledger::acting(&registers, now) {
        None => Ok(()),
        Some((_, holder)) => Err(Fault::refused(format!(
            "recovery {} of {} is open since {}, and decides what its sites run: let it end, or \
             restore into scratch",
            holder.incident, plan.app, holder.opened_at
        ))),
    }
}

/// A restore to make, in this region.
struct Work<'a> {
    plan: &'a AppPlan,
    name: &'a SiteName,
    site: &'a Site,
    kind: Kind,
    id: &'a PointId,
    to: Option<Timestamp>,
    target: Target,
}

fn work<'a>(
    plan: &'a AppPlan,
    kind: Kind,
    id: &'a PointId,
    to: Option<Timestamp>,
    target: Target,
    region: &Region,
) -> Result<Work<'a>, Fault> {
    let (name, site) = plan.site_in(region.as_str()).ok_or_else(|| {
        Fault::invalid(format!(
            "the plan of {} has no site in {region}; ask in a region that has one",
            plan.app
        ))
    })?;
    Ok(Work { plan, name, site, kind, id, to, target })
}

#[cfg(test)]
mod tests;
