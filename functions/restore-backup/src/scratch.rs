//! What RDS restores: a snapshot into a scratch instance, which is looked at and deleted.

use jiff::Timestamp;
use lifeboat_core::{
    AppName, ErrorName, Fault,
    backup::{EvidenceFinding, Outcome, PointId, rds},
    contract::restore_backup::{Response, RestoreResult, Target},
};

use crate::{Instance, InstanceState, Ports, Restoring, Work, World, judge};

pub(crate) async fn start<W: World>(
    work: &Work<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    match advance(work, ports, now).await {
        Err(fault) if fault.name == ErrorName::NotReady => {
            tracing::info!(event = "scratch_under_way", point = %work.id, "{}", fault.message);
            Ok(Response::Started { commands: Vec::new() })
        }
        other => other,
    }
}

/// Takes the next step. Once the database was looked at its instance is on its way out; that it is
/// gone is the answer of [`remove`].
pub(crate) async fn advance<W: World>(
    work: &Work<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Work { plan, site, kind, id, target, .. } = work;
    if *target == Target::Place {
        return Err(Fault::invalid(format!(
            "a snapshot of RDS is restored into a new instance, never over the site's; restore \
             {id} into scratch, or by aws rds restore-db-instance-from-db-snapshot"
        )));
    }
    let (app, world) = (&plan.app, &ports.world);
    let (name, snapshot) = names(app, id)?;
    let Some(instance) = world.instance(&name).await? else {
        let manifest = world.manifest(app, *kind, id).await?;
        manifest.ok_or_else(|| {
            Fault::invalid(format!("there is no {kind} backup {id} of {app} in {}", ports.region))
        })?;
        let tags = [
            (rds::APP_TAG, app.to_string()),
            (rds::SCRATCH_TAG, id.to_string()),
            (rds::STARTED_TAG, now.to_string()),
        ];
        let like = &site.database.identifier;
        return match world.restore(&snapshot, &name, like, &tags).await? {
            Restoring::Begun => Err(Fault::not_ready(format!("{name} is being restored"))),
            // The manifest is here and the snapshot is not: that is the answer.
            Restoring::NoSnapshot => Ok(missing(&snapshot, ports.region.as_str(), now)),
        };
    };
    let point = scratch_point(&instance, &name, id)?;
    match &instance.state {
        InstanceState::Busy(word) => Err(Fault::not_ready(format!("{name} is {word}"))),
        InstanceState::Deleting => {
            Err(Fault::not_ready(format!("{name} of an earlier restore is being deleted")))
        }
        InstanceState::Failed(word) => {
            world.delete(&name).await?;
            Err(Fault::needs_human(format!(
                "{point} could not be restored: {name} is {word}, and is deleted now; aws rds \
                 describe-events tells why"
            )))
        }
        InstanceState::Available { host, port } => {
            let manifest = world.manifest(app, *kind, id).await?;
            let looked = match manifest {
                Some(manifest) => {
                    world.look(plan, host, *port).await.map(|seen| judge(&manifest, &seen))
                }
                None => Err(Fault::invalid(format!("the manifest of {point} is gone"))),
            };
            if let Err(fault) = &looked
                && matches!(fault.name, ErrorName::NotReady | ErrorName::Transient)
            {
                return Err(fault.clone());
            }
            // Whatever was found: nobody needs it any more.
            world.delete(&name).await?;
            let (facts, findings) = looked?;
            let outcome = if findings.is_empty() { Outcome::Sound } else { Outcome::Damaged };
            let started_at = instance.started_at.unwrap_or(now);
            let result = RestoreResult { started_at, ended_at: now, outcome, facts, findings };
            Ok(Response::Restored { result: Box::new(result) })
        }
    }
}

/// Deletes the scratch instance of a point, until it is gone.
pub(crate) async fn remove<W: World>(
    app: &AppName,
    id: &PointId,
    ports: &Ports<W>,
) -> Result<Response, Fault> {
    let (name, _) = names(app, id)?;
    let Some(instance) = ports.world.instance(&name).await? else { return Ok(Response::Removed) };
    scratch_point(&instance, &name, id)?;
    if instance.state != InstanceState::Deleting {
        ports.world.delete(&name).await?;
    }
    Err(Fault::not_ready(format!("{name} is being deleted")))
}

fn names(app: &AppName, id: &PointId) -> Result<(String, String), Fault> {
    rds::scratch(app, id)
        .zip(rds::snapshot(app, id))
        .ok_or_else(|| Fault::invalid(format!("{id} is not the name of a snapshot's point")))
}

/// The point that an instance of ours was restored from. Anything else is left alone.
fn scratch_point(instance: &Instance, name: &str, id: &PointId) -> Result<String, Fault> {
    match &instance.scratch_of {
        Some(point) if point == id.as_str() => Ok(point.clone()),
        Some(_) | None => Err(Fault::refused(format!(
            "there is an instance {name} without the tag {}={id}: it is not Lifeboat's to look at or \
             to delete; rename it",
            rds::SCRATCH_TAG
        ))),
    }
}

fn missing(snapshot: &str, region: &str, now: Timestamp) -> Response {
    Response::Restored {
        result: Box::new(RestoreResult {
            started_at: now,
            ended_at: now,
            outcome: Outcome::Damaged,
            facts: Vec::new(),
            findings: vec![EvidenceFinding {
                file: String::new(),
                place: String::new(),
                message: format!("there is no snapshot {snapshot} in {region}"),
            }],
        }),
    }
}
