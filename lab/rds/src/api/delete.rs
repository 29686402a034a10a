//! `DeleteDBInstance`.

use std::sync::Arc;

use super::{Answer, Call, replica};
use crate::model::{Instance, Key, Status};
use crate::postgres::PgError;
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
    let snapshot = params.get("FinalDBSnapshotIdentifier");
    match (skip, snapshot) {
        (true, None) => {}
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
        (false, Some(_)) => {
            return Err(ApiError::combination(
                "Final snapshots are not supported by this lab: set SkipFinalSnapshot.",
            ));
        }
    }
    let orphans: Vec<Key> = call.service.store.change(|state| {
        let instance = state.instance_mut(&key)?;
        if instance.deletion_protection {
            return Err(ApiError::combination("Cannot delete protected DB Instance, please disable deletion protection and try again."));
        }
        if instance.status == Status::Deleting {
            return Err(ApiError::state(format!("Instance {} is already being deleted.", key.id)));
        }
        instance.status = Status::Deleting;
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
        remove(&service, &work_key).await
    });
    answer
}

async fn remove(service: &Service, key: &Key) -> Result<(), PgError> {
    service.halt(key).await?;
    let path = service.directory(key);
    match std::fs::remove_dir_all(&path) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
            return Err(PgError::File { path, reason });
        }
        Ok(()) | Err(_) => {}
    }
    service.event(key, "deletion", "DB instance deleted");
    service.store.change(|state| state.instances.remove(key));
    Ok(())
}
