//! What RDS does: a snapshot here, its copy in the other region, and the manifest when both are
//! there.
//!
//! The copy is the point of it, but a region that cannot be reached must not keep the snapshot that
//! is here from counting: after [`GRACE`] without an answer the manifest is written without, and the reason is told.

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    ErrorName, Fault, Region,
    backup::{Manifest, rds},
    contract::backup_trigger::Response,
    plan_file::Engine,
};

use crate::{Database, Ports, Snapshot, SnapshotStatus, Work, World};

/// How long the other region may fail to answer before the snapshot counts without its copy:
/// longer than a throttle or a deployment, and no longer than two ticks of the schedule.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// The tag that remembers since when the other region has not answered.
pub const ALONE_TAG: &str = "lifeboat-alone-since";

/// Takes the next step.
pub(crate) async fn advance<W: World>(
    work: &Work<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Work { plan, name: site_name, site, kind, id } = work;
    let (app, world) = (&plan.app, &ports.world);
    if plan.database.engine != Engine::Rds {
        return Err(Fault::invalid(format!(
            "the database of {app} is not RDS's, so it has no snapshots; schedule database-dump or \
             database-base"
        )));
    }
    let name = rds::snapshot(app, id)
        .ok_or_else(|| Fault::invalid(format!("{id} is not the name of a snapshot's point")))?;
    let database = Database { identifier: &site.database.identifier };
    let Some(here) = world.find(&ports.region, &name).await? else {
        let tags = tags(work, now);
        world.create(database, &name, &tags).await?;
        return Err(Fault::not_ready(format!("snapshot {name} was asked for")));
    };
    match &here.status {
        SnapshotStatus::Available => {}
        SnapshotStatus::Creating(word) => {
            return Err(Fault::not_ready(format!("snapshot {name} is {word}")));
        }
        SnapshotStatus::Failed(word) => {
            return Err(Fault::needs_human(format!(
                "snapshot {name} of {} is {word}; aws rds describe-events tells why. The next slot \
                 of the schedule takes another",
                here.instance
            )));
        }
    }
    let started_at = here.started_at.or(id.time()).unwrap_or(now);
    let other = plan.other_than(site_name).map(|(_, other)| &other.region);
    let not_elsewhere = match other {
        Some(other) => elsewhere(work, &here, other, ports, now, started_at).await?,
        None => None,
    };
    let manifest = Manifest {
        app: app.clone(),
        kind: *kind,
        id: (*id).clone(),
        site: (*site_name).clone(),
        region: ports.region.clone(),
        source: format!("RDS snapshot {name} of {}", here.instance),
        versions: [("server".to_owned(), here.engine_version.clone())].into(),
        started_at,
        ended_at: now,
        lsn: None,
        wal: None,
        tables: Vec::new(),
        keys: [].into(),
        entries: None,
        artifacts: Vec::new(),
    };
    world.put(&manifest).await?;
    if let Some(reason) = &not_elsewhere {
        tracing::error!(event = "snapshot_not_elsewhere", point = %id, "{reason}");
    }
    Ok(Response::Complete { not_elsewhere })
}

/// Why the other region has no copy; none when it has one.
async fn elsewhere<W: World>(
    work: &Work<'_>,
    here: &Snapshot,
    other: &Region,
    ports: &Ports<W>,
    now: Timestamp,
    started_at: Timestamp,
) -> Result<Option<String>, Fault> {
    let world = &ports.world;
    let copied = async {
        match world.find(other, &here.name).await? {
            None => {
                let tags = tags(work, started_at);
                world.copy(here, other, &tags).await?;
                Ok(SnapshotStatus::Creating("just begun".to_owned()))
            }
            Some(copy) => Ok(copy.status),
        }
    };
    let status: Result<SnapshotStatus, Fault> = copied.await;
    let reason = match status {
        Ok(SnapshotStatus::Available) => return Ok(None),
        Ok(SnapshotStatus::Creating(word)) => {
            return Err(Fault::not_ready(format!(
                "snapshot {} is here, and its copy in {other} is {word}",
                here.name
            )));
        }
        Ok(SnapshotStatus::Failed(word)) => format!("its copy in {other} is {word}"),
        Err(fault) if passes(fault.name) => {
            // The mark is the memory of when the region was first missed.
            let since = match here.alone_since {
                Some(since) => since,
                None => {
                    world.mark(here, ALONE_TAG, &now.to_string()).await?;
                    now
                }
            };
            if now.duration_since(since) < GRACE {
                return Err(Fault::not_ready(fault.message));
            }
            fault.message
        }
        Err(fault) => fault.message,
    };
    Ok(Some(format!(
        "snapshot {} of {} exists in {} alone: {reason}. Copy it by hand, or see that the next one \
         is copied",
        here.name, here.instance, ports.region
    )))
}

const fn passes(name: ErrorName) -> bool {
    match name {
        ErrorName::Transient | ErrorName::NotReady => true,
        ErrorName::InvalidInput
        | ErrorName::Refused
        | ErrorName::StaleEpoch
        | ErrorName::NeedsHuman => false,
    }
}

fn tags(work: &Work<'_>, started_at: Timestamp) -> Vec<(&'static str, String)> {
    vec![
        (rds::APP_TAG, work.plan.app.to_string()),
        (rds::POINT_TAG, work.id.to_string()),
        (rds::STARTED_TAG, started_at.to_string()),
    ]
}
