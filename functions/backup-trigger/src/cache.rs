//! What ElastiCache does: a snapshot of the replication group, its export into this region's staging
//! bucket, and then a host's work, which makes the backup out of the export.
//!
//! A snapshot of ElastiCache can be copied into no other region. Its export is an ordinary RDB file:
//! the host reads it through, counts its keys and puts it into the backup bucket, which S3 copies. The
//! export expires by itself. Of the snapshots the newest one that became a backup is kept, as the
//! shortest way back within the region, and nothing counts on it.

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, PointId, elasticache, rds},
    contract::backup_trigger::Response,
    plan_file::{Site, SiteCache},
};

use crate::{CacheSnapshot, Ports, SnapshotStatus, Work, World, hosts, site_here};

/// The cache of a site that ElastiCache runs, when it is a cache that is backed up.
pub(crate) fn managed(site: &Site, kind: Kind) -> Option<&SiteCache> {
    site.cache.as_ref().filter(|_| kind == Kind::Cache)
}

/// Takes the next step: up to the export it is `NotReady`, and then a host's command is under way.
pub(crate) async fn advance<W: World>(
    work: &Work<'_>,
    cache: &SiteCache,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let app = &work.plan.app;
    let name = elasticache::snapshot(app, work.id).ok_or_else(|| {
        Fault::invalid(format!("{} is not the name of a snapshot's point", work.id))
    })?;
    if ports.world.is_exported(&elasticache::export(&name)).await? {
        return hosts::start(work, ports, now).await;
    }
    export(work, cache, &name, &ports.world, now).await.map(|step| {
        Err(Fault::not_ready(format!("snapshot {name} of {}: {step}", cache.replication_group)))
    })?
}

/// Takes the next step towards the export, and says which.
async fn export<W: World>(
    work: &Work<'_>,
    cache: &SiteCache,
    name: &str,
    world: &W,
    now: Timestamp,
) -> Result<String, Fault> {
    let group = &cache.replication_group;
    let snapshots = world.of_group(group).await?;
    let Some(snapshot) = snapshots.iter().find(|snapshot| snapshot.name == name) else {
        let tags = [
            (rds::APP_TAG, work.plan.app.to_string()),
            (rds::POINT_TAG, work.id.to_string()),
            (rds::STARTED_TAG, now.to_string()),
        ];
        world.take(group, name, &tags).await?;
        return Ok("it was asked for".to_owned());
    };
    if let Some(why) = hopeless(snapshot) {
        return Err(Fault::needs_human(format!("snapshot {name} of {group} {why}")));
    }
    match &snapshot.status {
        SnapshotStatus::Available => {
            world.export(name).await?;
            Ok("its export was asked for".to_owned())
        }
        SnapshotStatus::Creating(word) | SnapshotStatus::Failed(word) => {
            Ok(format!("it is {word}"))
        }
    }
}

/// Why a snapshot cannot become a backup; none when it can.
fn hopeless(snapshot: &CacheSnapshot) -> Option<String> {
    match (&snapshot.status, snapshot.node_groups) {
        (SnapshotStatus::Failed(word), _) => Some(format!(
            "is {word}; aws elasticache describe-events tells why. The next slot of the schedule \
             takes another"
        )),
        (SnapshotStatus::Available, 2..) => Some(format!(
            "has {} node groups, and only a cache of one is backed up; take cache out of the \
             schedule, or export the snapshot by hand",
            snapshot.node_groups
        )),
        (SnapshotStatus::Available | SnapshotStatus::Creating(_), _) => None,
    }
}

/// Whether ElastiCache's part can still be done. What is under way is due until a host has it,
/// because each call takes it one step further; what failed was told of when it did.
pub(crate) async fn may_go_on<W: World>(
    app: &AppName,
    id: &PointId,
    cache: &SiteCache,
    ports: &Ports<W>,
) -> Result<bool, Fault> {
    let Some(name) = elasticache::snapshot(app, id) else { return Ok(false) };
    let snapshots = ports.world.of_group(&cache.replication_group).await?;
    Ok(!snapshots.iter().any(|found| found.name == name && hopeless(found).is_some()))
}

/// Deletes the snapshots that are older than that of a point which is now complete. The backup does
/// not depend on it, so a failure costs a line in the log and is made good with the next point.
pub(crate) async fn tidy<W: World>(app: &AppName, id: &PointId, ports: &Ports<W>) {
    match delete_older(app, id, ports).await {
        Ok(0) => {}
        Ok(deleted) => tracing::info!(event = "cache_snapshots_deleted", deleted, newer = %id),
        Err(fault) => tracing::warn!(event = "cache_snapshots_left", newer = %id, "{fault}"),
    }
}

async fn delete_older<W: World>(
    app: &AppName,
    id: &PointId,
    ports: &Ports<W>,
) -> Result<usize, Fault> {
    let world = &ports.world;
    let plan = world.plan(app).await?;
    let (_, site) = site_here(&plan, &ports.region)?;
    let Some(cache) = managed(site, Kind::Cache) else { return Ok(0) };
    if world.hold(app).await?.is_some() {
        return Ok(0);
    }
    let mut deleted = 0;
    for snapshot in world.of_group(&cache.replication_group).await? {
        if elasticache::is_older(app, id, &snapshot.name) {
            world.forget(&snapshot.name).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
