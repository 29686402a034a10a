//! `restore-backup`: restore a recovery point, into a scratch place or into use.
//!
//! Into use goes only what may be relied on: verified, with everything beneath it. Into a scratch
//! place goes anything, because that is how it becomes verified; the scratch place is removed
//! whatever was found, and of RDS nothing is ever deleted that does not carry both the name and the
//! tag that a scratch instance of ours has.

mod hosts;
mod judge;
mod ports;
mod scratch;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region, SiteName,
    backup::{Choice, Kind, PointId, choose},
    contract::restore_backup::{Request, Response, Target},
    plan_file::{AppPlan, Site},
};

pub use hosts::DOCUMENT;
pub use judge::{Seen, judge};
pub use ports::{
    Backups, Instance, InstanceState, Outputs, Plans, Ports, Restoring, Scratch, Sql, World,
};

/// Carries out a request, as far as it goes without waiting.
///
/// # Errors
/// `NotReady` while a restore, or the removal of what it left, is under way (ask again); `Refused`
/// when something unreliable would go into use; `InvalidInput` when there is no such point or the
/// plan does not have what it needs; `NeedsHuman` when a host or RDS failed, with the reason that it
/// gave; `Transient` when an answer was lost. That a backup is damaged is an answer.
pub async fn handle<W: World>(
    request: Request,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    match request {
        Request::Choose { app, kind, id } => {
            Ok(match chosen(&app, kind, id.as_ref(), ports).await? {
                Choice::Reliable { id, reason } => Response::Chosen { id, reason },
                Choice::Unreliable { reason, instead } => Response::Unreliable { reason, instead },
            })
        }
        Request::Start { app, kind, id, target } => {
            if target == Target::Place {
                reliable(&app, kind, &id, ports).await?;
            }
            let plan = ports.world.plan(&app).await?;
            let work = work(&plan, kind, &id, target, &ports.region)?;
            if kind == Kind::DatabaseSnapshot {
                scratch::start(&work, ports, now).await
            } else {
                hosts::start(&work, ports, now).await
            }
        }
        Request::Poll { app, kind, id, target, commands } => {
            if kind != Kind::DatabaseSnapshot {
                return hosts::poll(&app, kind, &id, &commands, ports).await;
            }
            let plan = ports.world.plan(&app).await?;
            let work = work(&plan, kind, &id, target, &ports.region)?;
            scratch::advance(&work, ports, now).await
        }
        Request::Remove { app, kind, id } => {
            if kind == Kind::DatabaseSnapshot {
                scratch::remove(&app, &id, ports).await
            } else {
                Ok(Response::Removed)
            }
        }
    }
}

async fn chosen<W: World>(
    app: &AppName,
    kind: Kind,
    id: Option<&PointId>,
    ports: &Ports<W>,
) -> Result<Choice, Fault> {
    let catalogue = ports.world.catalogue(app, kind).await?;
    Ok(choose(&catalogue, app, kind, id))
}

/// The check before anything goes into use: what was chosen an hour ago may be damaged now.
async fn reliable<W: World>(
    app: &AppName,
    kind: Kind,
    id: &PointId,
    ports: &Ports<W>,
) -> Result<(), Fault> {
    match chosen(app, kind, Some(id), ports).await? {
        Choice::Reliable { .. } => Ok(()),
        Choice::Unreliable { reason, .. } => Err(Fault::refused(reason)),
    }
}

/// A restore to make, in this region.
struct Work<'a> {
    plan: &'a AppPlan,
    name: &'a SiteName,
    site: &'a Site,
    kind: Kind,
    id: &'a PointId,
    target: Target,
}

fn work<'a>(
    plan: &'a AppPlan,
    kind: Kind,
    id: &'a PointId,
    target: Target,
    region: &Region,
) -> Result<Work<'a>, Fault> {
    let (name, site) = plan.site_in(region.as_str()).ok_or_else(|| {
        Fault::invalid(format!(
            "the plan of {} has no site in {region}; ask in a region that has one",
            plan.app
        ))
    })?;
    Ok(Work { plan, name, site, kind, id, target })
}

#[cfg(test)]
mod tests;
