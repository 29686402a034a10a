//! Which backups this region has to take now.

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Fault,
    backup::{
        Catalogue, Kind, PointId, rds,
        schedule::{self, Incremental},
    },
    contract::backup_trigger::{Due, Response},
    plan_file::{AppPlan, Engine},
};
use lifeboat_hosts::Found;

use crate::{
    Database, Ports, SnapshotStatus, Work, World,
    attempts::{self, Tries},
    cache, hosts, site_here,
};

/// The server's entry in a manifest's versions.
const SERVER: &str = "server";
/// The first version of PostgreSQL that takes incremental base backups (release notes of 17).
const FIRST_INCREMENTAL: u32 = 17;

pub(crate) async fn due<W: World>(
    app: &AppName,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let world = &ports.world;
    let plan = world.plan(app).await?;
    let (name, site) = site_here(&plan, &ports.region)?;
    let active = world.active(&plan).await?;
    if active != *name {
        return Ok(Response::Due { site: active, due: Vec::new() });
    }
    if plan.database.engine == Engine::Rds {
        report_windows(&plan, Database { identifier: &site.database.identifier }, ports, now).await;
    }
    let mut all = Vec::new();
    let mut recent: Option<Vec<Found>> = None;
    for (kind, id) in owed(&plan, ports, now).await? {
        let free = if kind == Kind::DatabaseSnapshot {
            may_go_on(app, &id, ports).await?
        } else {
            let commands = match recent.take() {
                Some(commands) => commands,
                None => world.recent(hosts::DOCUMENT, now - lifeboat_hosts::LOOK_BACK).await?,
            };
            let work = Work { plan: &plan, name, site, kind, id: &id };
            let order = hosts::order(&work, ports);
            let tries: Vec<&Found> = commands.iter().filter(|found| found.is(&order)).collect();
            // One that is under way is watched by the execution that began it.
            let free = attempts::judge(&tries, now) == Tries::Free;
            recent = Some(commands);
            match cache::managed(site, kind) {
                Some(managed) if free => cache::may_go_on(app, &id, managed, ports).await?,
                Some(_) | None => free,
            }
        };
        if free {
            all.push(Due { app: app.clone(), kind, id });
        }
    }
    Ok(Response::Due { site: active, due: all })
}

/// What the schedule says of what is there.
async fn owed<W: World>(
    plan: &AppPlan,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Vec<(Kind, PointId)>, Fault> {
    let Some(backup) = &plan.backup else { return Ok(Vec::new()) };
    let mut catalogue = Catalogue { complete: true, points: Vec::new() };
    for (kind, slots) in &backup.schedule {
        let longest = slots.full_every.map_or(slots.every, |full| full.max(slots.every));
        // A full backup and all that may stand on it, with the slot that it began in.
        let back = SignedDuration::from_secs(i64::from(longest.seconds()))
            .saturating_mul(2)
            .saturating_add(SignedDuration::from_hours(24));
        let since = now.checked_sub(back).unwrap_or(Timestamp::UNIX_EPOCH);
        catalogue.points.extend(ports.world.catalogue(&plan.app, *kind, since).await?.points);
    }
    let incremental = incremental(plan, &catalogue, ports).await?;
    Ok(schedule::due(&backup.schedule, &plan.app, &ports.region, &catalogue, incremental, now))
}

/// Whether base backups may be incremental: as the server was when the newest one was taken. A
/// server that was upgraded since has its next full backup first, which then says so.
async fn incremental<W: World>(
    plan: &AppPlan,
    catalogue: &Catalogue,
    ports: &Ports<W>,
) -> Result<Incremental, Fault> {
    let newest = catalogue
        .points
        .iter()
        .filter(|point| point.kind == Kind::DatabaseBase)
        .max_by_key(|point| (point.taken_at, &point.id));
    let Some(newest) = newest else { return Ok(Incremental::NotAllowed) };
    let manifest = ports.world.manifest(&plan.app, newest.kind, &newest.id).await?;
    let version = manifest.and_then(|manifest| manifest.versions.get(SERVER).cloned());
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    Ok(match major {
        Some(FIRST_INCREMENTAL..) => Incremental::Allowed,
        Some(_) | None => Incremental::NotAllowed,
    })
}

/// Whether a snapshot can still become a backup. One that is under way is due until its manifest is
/// there, because each call takes it one step further; one that failed was told of when it did.
async fn may_go_on<W: World>(app: &AppName, id: &PointId, ports: &Ports<W>) -> Result<bool, Fault> {
    let Some(name) = rds::snapshot(app, id) else { return Ok(false) };
    let found = ports.world.find(&ports.region, &name).await?;
    Ok(!found.is_some_and(|snapshot| matches!(snapshot.status, SnapshotStatus::Failed(_))))
}

/// Reports to which points in time the database can be restored, here and in the other region. It
/// is watched, not made, so a failure to look costs nothing but a datapoint.
async fn report_windows<W: World>(
    plan: &AppPlan,
    database: Database<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) {
    for site in plan.sites.values() {
        match ports.world.window(database, &site.region).await {
            Ok(window) => {
                tracing::info!(
                    event = "pitr_window",
                    region = %site.region,
                    earliest = window.earliest.map(tracing::field::display),
                    latest = window.latest.map(tracing::field::display),
                );
                ports.world.report(&plan.app, &site.region, window, now);
            }
            Err(fault) => {
                tracing::warn!(event = "pitr_window_unknown", region = %site.region, "{fault}");
            }
        }
    }
}
