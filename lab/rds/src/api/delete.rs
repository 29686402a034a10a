//! `DeleteDBInstance`.

use std::sync::Arc;

use super::{Answer, Call, replica, snapshots};
use crate::automated;
use crate::model::{Instance, Key, Status};
use crate::postgres::{PgError, cluster};
use crate::query::ApiError;
use crate::service::Service;

const KNOWN: [&str; 4] = [
    "DBInstanceIdentifier",
    "DeleteAutomatedBackups",
    "FinalDBSnapshotIdentifier",
    "SkipFinalSnapshot",
];

/// `DeleteDBInstance`: `deleting`, then gone. Replicas in the same region are promoted, those in
/// other regions stay replicas without a source, as on RDS.
pub(super) fn delete(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&KNOWN, &[])?;
    let key = call.instance_key()?;
    let skip = params.flag("SkipFinalSnapshot")?.unwrap_or(false);
    let backups = params.flag("DeleteAutomatedBackups")?.unwrap_or(true);
    let snapshot = params.get("FinalDBSnapshotIdentifier");
    let snapshot = match (skip, snapshot) {
        (true, None) => None,
        (false, Some(_)) => Some(snapshots::new_key(call, "FinalDBSnapshotIdentifier")?),
        (true, Some(_)) => {
            return Err(ApiError::combination(
                "FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is true.",
            ));
        }
        (false, None) => {
            return Err(ApiError::combination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
            ));
        }
    };
    let orphans: Vec<Key> = call.service.store.change(|state| {
        let instance = state.instance_mut(&key)?;
        if instance.deletion_protection {
            return Err(ApiError::combination("Cannot delete protected DB Instance, please disable deletion protection and try again."));
        }
        if instance.status == Status::Deleting {
            return Err(ApiError::state(format!("Instance {} is already being deleted.", key.id)));
        }
        if let Some(snapshot) = &snapshot {
            if instance.source.is_some() {
                return Err(ApiError::combination("A final snapshot cannot be taken of a read replica: set SkipFinalSnapshot."));
            }
            let instance = instance.clone();
            snapshots::insert(state, &call.service, snapshot, instance, Vec::new(), None)?;
        }
        state.instance_mut(&key)?.status = Status::Deleting;
        // A backup that is given up for the deletion never becomes available.
        for other in state.snapshots.values_mut() {
            let last = snapshot.as_ref() == Some(&other.key);
            if other.instance.key == key && other.status == "creating" && !last {
                "failed".clone_into(&mut other.status);
            }
        }
        let near = |replica: &&Instance| {
            replica.key.region == key.region && replica.status == Status::Available
        };
        let orphans: Vec<Key> =
            state.replicas(&key).filter(near).map(|r| r.key.clone()).collect();
        for orphan in &orphans {
            state.instance_mut(orphan)?.status = Status::Modifying;
        }
        Ok(orphans)
    })?;
    let answer = call.instance_answer("DeleteDBInstanceResult", &key);
    for orphan in &orphans {
        replica::begin_promotion(&call.service, orphan, 1);
    }
    call.service.give_up(&key);
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "deletion", Some(Status::Failed), async move {
        remove(&service, &work_key, snapshot.as_ref(), backups).await
    });
    answer
}

async fn remove(
    service: &Arc<Service>,
    key: &Key,
    snapshot: Option<&Key>,
    backups: bool,
) -> Result<(), PgError> {
    if let Some(snapshot) = snapshot {
        snapshots::take(service, key, snapshot).await?;
    }
    service.halt(key).await?;
    cluster::remove(&service.directory(key)).await?;
    // RDS deletes the automated backups too unless it is told not to.
    automated::release(service, &service.instance(key)?, backups)?;
    service.event(key, "deletion", "DB instance deleted");
    service.store.change(|state| state.instances.remove(key));
    Ok(())
}
