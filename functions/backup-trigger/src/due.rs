//! Which backups this region has to take now.

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Fault, SiteName,
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
    if plan.database.engine == Engine::Rds {
        report_window(&plan, &active, ports, now).await;
    }
    if active != *name {
        return Ok(Response::Due { site: active, due: Vec::new() });
    }
    let mut all = Vec::new();
    let mut hosts = Hosts::default();
    let (owed, earlier) = owed(&plan, ports, now).await?;
    for (kind, id) in owed {
        let work = Work { plan: &plan, name, site, kind, id: &id };
        let free = match (kind, cache::managed(site, kind)) {
            (Kind::DatabaseSnapshot, _) => may_go_on(app, &id, Unbegun::Due, ports).await?,
            (_, Some(managed)) => {
                hosts.are_free(&work, ports, now).await?
                    && cache::may_go_on(app, &id, managed, ports).await?
            }
            (_, None) => hosts.are_free(&work, ports, now).await?,
        };
        if free {
            all.push(item(app, kind, id, now));
        }
    }
    for id in earlier {
        if may_go_on(app, &id, Unbegun::Past, ports).await? {
            all.push(item(app, Kind::DatabaseSnapshot, id, now));
        }
    }
    Ok(Response::Due { site: active, due: all })
}

fn item(app: &AppName, kind: Kind, id: PointId, now: Timestamp) -> Due {
    let tell = id.time().is_none_or(|start| schedule::is_told(start, now));
    Due { app: app.clone(), kind, id, tell }
}

/// How many backups a host makes at once: its agent carries out five commands at a time (Systems
/// Manager, `Mds.CommandWorkersLimit`), and an order of a recovery must never wait behind backups.
const AT_ONCE: usize = 3;

/// What the hosts of an app have been asked for in the last day; asked of Systems Manager once.
#[derive(Default)]
struct Hosts {
    recent: Option<Vec<Found>>,
}

impl Hosts {
    /// Whether a host may begin this backup now.
    async fn are_free<W: World>(
        &mut self,
        work: &Work<'_>,
        ports: &Ports<W>,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        if self.recent.is_none() {
            let since = now - lifeboat_hosts::LOOK_BACK;
            self.recent = Some(ports.world.recent(hosts::DOCUMENT, since).await?);
        }
        let recent = self.recent.as_deref().unwrap_or_default();
        let order = hosts::order(work, ports);
        let tries: Vec<&Found> = recent.iter().filter(|found| found.is(&order)).collect();
        let of_app = |found: &&Found| {
            found.parameters.get("App").is_some_and(|app| *app == work.plan.app.as_str())
        };
        let open = recent.iter().filter(of_app).filter(|found| found.succeeded.is_none()).count();
        // One that is under way is watched by the execution that began it.
        Ok(open < AT_ONCE && attempts::judge(&tries, now) == Tries::Free)
    }
}

/// What the schedule says of what is there, and the snapshots of earlier slots that RDS may still be at
/// work on.
async fn owed<W: World>(
    plan: &AppPlan,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<(Vec<(Kind, PointId)>, Vec<PointId>), Fault> {
    let Some(backup) = &plan.backup else { return Ok((Vec::new(), Vec::new())) };
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
    let (schedule, app, region) = (&backup.schedule, &plan.app, &ports.region);
    let owed = schedule::due(schedule, app, region, &catalogue, incremental, now);
    Ok((owed, schedule::earlier_snapshots(schedule, app, region, &catalogue, now)))
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
async fn may_go_on<W: World>(
    app: &AppName,
    id: &PointId,
    unbegun: Unbegun,
    ports: &Ports<W>,
) -> Result<bool, Fault> {
    let Some(name) = rds::snapshot(app, id) else { return Ok(false) };
    Ok(match ports.world.find(&ports.region, &name).await? {
        Some(snapshot) => !matches!(snapshot.status, SnapshotStatus::Failed(_)),
        None => unbegun == Unbegun::Due,
    })
}

/// What a snapshot is that was not begun: that of the current slot is due, that of an earlier one past.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unbegun {
    Due,
    Past,
}

/// Reports to which points in time the active site's database can be restored in this region. Each
/// region looks for itself, so that a dark one hides nothing of the other. It is watched, not made, so
/// a failure to look costs nothing but a datapoint.
async fn report_window<W: World>(
    plan: &AppPlan,
    active: &SiteName,
    ports: &Ports<W>,
    now: Timestamp,
) {
    let Some(site) = plan.sites.get(active) else { return };
    let database = Database { identifier: &site.database.identifier };
    match ports.world.window(database, &site.region).await {
        Ok(window) => {
            tracing::info!(
                event = "pitr_window",
                source = %site.region,
                earliest = window.earliest.map(tracing::field::display),
                latest = window.latest.map(tracing::field::display),
            );
            ports.world.report(&plan.app, window, now);
        }
        Err(fault) => tracing::warn!(event = "pitr_window_unknown", "{fault}"),
    }
}
