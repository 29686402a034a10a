//! `backup-trigger`: take the backups that are due.
//!
//! Backups are taken of the active site alone, in its own region: a site that was left behind would
//! write newer names for older data. A backup is there when its manifest is, and nothing else is
//! remembered: a command is found again by its parameters, a snapshot by its name. So every request
//! can be made again, by anyone, at any time, and takes no second backup.
//!
//! What hosts do is begun and left alone; what RDS does advances by one step a call (snapshot, copy
//! into the other region, manifest), and so does what ElastiCache does (snapshot, export), which a
//! host then makes a backup of.

mod attempts;
mod cache;
mod due;
mod hosts;
mod ports;
mod snapshot;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, ErrorName, Fault, Region, SiteName,
    backup::{Kind, PointId},
    contract::backup_trigger::{Request, Response},
    plan_file::{AppPlan, Site},
};

pub use hosts::DOCUMENT;
pub use ports::{
    CacheSnapshot, Caches, Database, Manifests, Meter, Plans, Ports, Sites, Snapshot,
    SnapshotStatus, Snapshots, Window, World,
};
pub use snapshot::ALONE_TAG;

/// Carries out a request, as far as it goes without waiting.
///
/// # Errors
/// `NotReady` while a backup is under way (ask again); `Refused` when this region's site is not the
/// active one; `InvalidInput` when the plan does not have what is asked for; `NeedsHuman` when a
/// host or RDS failed, with the reason that it gave; `Transient` when an answer was lost.
pub async fn handle<W: World>(
    request: Request,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    match request {
        Request::Due { app } => due::due(&app, ports, now).await,
        Request::Start { app, kind, id } => begin(&app, kind, &id, ports, now).await,
        Request::Poll { app, kind, id, commands } => {
            let answer = look(&app, kind, &id, &commands, ports, now).await?;
            if kind == Kind::Cache && matches!(answer, Response::Complete { .. }) {
                cache::tidy(&app, &id, ports).await;
            }
            Ok(answer)
        }
    }
}

async fn begin<W: World>(
    app: &AppName,
    kind: Kind,
    id: &PointId,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    if let Some(done) = complete(app, kind, id, ports).await? {
        return Ok(done);
    }
    let plan = ports.world.plan(app).await?;
    let work = work(&plan, kind, id, ports).await?;
    let step = match (kind, cache::managed(work.site, kind)) {
        (Kind::DatabaseSnapshot, _) => snapshot::advance(&work, ports, now).await,
        (_, Some(cache)) => cache::advance(&work, cache, ports, now).await,
        (_, None) => return hosts::start(&work, ports, now).await,
    };
    match step {
        Err(fault) if fault.name == ErrorName::NotReady => {
            tracing::info!(event = "snapshot_under_way", point = %id, "{}", fault.message);
            Ok(Response::Started { commands: Vec::new() })
        }
        other => other,
    }
}

async fn look<W: World>(
    app: &AppName,
    kind: Kind,
    id: &PointId,
    commands: &[String],
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    if let Some(done) = complete(app, kind, id, ports).await? {
        return Ok(done);
    }
    if !commands.is_empty() {
        return hosts::poll(app, kind, id, commands, ports).await;
    }
    let plan = ports.world.plan(app).await?;
    let work = work(&plan, kind, id, ports).await?;
    match (kind, cache::managed(work.site, kind)) {
        (Kind::DatabaseSnapshot, _) => snapshot::advance(&work, ports, now).await,
        (_, Some(cache)) => cache::advance(&work, cache, ports, now).await,
        (_, None) => hosts::poll(app, kind, id, commands, ports).await,
    }
}

/// A backup to make of the active site, which is here.
struct Work<'a> {
    plan: &'a AppPlan,
    name: &'a SiteName,
    site: &'a Site,
    kind: Kind,
    id: &'a PointId,
}

async fn work<'a, W: World>(
    plan: &'a AppPlan,
    kind: Kind,
    id: &'a PointId,
    ports: &Ports<W>,
) -> Result<Work<'a>, Fault> {
    let (name, site) = site_here(plan, &ports.region)?;
    if kind == Kind::DatabaseWal {
        return Err(Fault::invalid(
            "WAL is archived continuously, by `lifeboat host wal receive` on a host: it is not taken",
        ));
    }
    let active = ports.world.active(plan).await?;
    if active != *name {
        return Err(Fault::refused(format!(
            "site {active} of {} is active, and backups are taken of the active site alone; this \
             is {}, with site {name}",
            plan.app, ports.region
        )));
    }
    Ok(Work { plan, name, site, kind, id })
}

fn site_here<'a>(plan: &'a AppPlan, region: &Region) -> Result<(&'a SiteName, &'a Site), Fault> {
    plan.site_in(region.as_str()).ok_or_else(|| {
        Fault::invalid(format!(
            "the plan of {} has no site in {region}; remove the plan's parameter there, or apply \
             the plan again",
            plan.app
        ))
    })
}

/// The answer for a backup that is there.
async fn complete<W: World>(
    app: &AppName,
    kind: Kind,
    id: &PointId,
    ports: &Ports<W>,
) -> Result<Option<Response>, Fault> {
    let manifest = ports.world.manifest(app, kind, id).await?;
    Ok(manifest.map(|_| Response::Complete { not_elsewhere: None }))
}

#[cfg(test)]
mod tests;
