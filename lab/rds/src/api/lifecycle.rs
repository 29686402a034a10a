//! `RebootDBInstance`, `StopDBInstance`, `StartDBInstance`.

use std::sync::Arc;

use super::{Answer, Call};
use crate::model::{Instance, Key, State, Status};
use crate::query::ApiError;
use crate::service::Service;

/// Takes an instance from one status to another, or says why not.
fn move_on(state: &mut State, key: &Key, from: Status, to: Status) -> Result<(), ApiError> {
    let instance = state.instance_mut(key)?;
    if instance.status != from {
        return Err(ApiError::state(format!(
            "Instance {} is not in {} state.",
            key.id,
            from.word()
        )));
    }
    instance.status = to;
    Ok(())
}

/// `RebootDBInstance`: `rebooting`, then `available`, with pending parameters in force.
pub(super) fn reboot(call: &Call) -> Answer {
    call.params.only(&["DBInstanceIdentifier", "ForceFailover"], &[])?;
    let key = call.instance_key()?;
    if call.params.flag("ForceFailover")? == Some(true) {
        return Err(ApiError::combination(
            "Cannot perform a forced failover: this lab's instances have one server each.",
        ));
    }
    call.service.store.change(|state| {
        // A reboot is the way out when the parameters were wrong and have been mended.
        let wrong = state.instance(&key)?.status == Status::IncompatibleParameters;
        let from = if wrong { Status::IncompatibleParameters } else { Status::Available };
        move_on(state, &key, from, Status::Rebooting)
    })?;
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "reboot", Some(Status::Failed), async move {
        service.halt(&work_key).await?;
        service.store.change(|state| {
            if let Ok(instance) = state.instance_mut(&work_key) {
                apply_pending(instance);
            }
        });
        service.boot(&work_key).await?;
        service.settle(&work_key, Status::Available, "availability", "DB instance restarted");
        Ok(())
    });
    call.instance_answer("RebootDBInstanceResult", &key)
}

/// Puts changes that waited into force.
pub(super) fn apply_pending(instance: &mut Instance) {
    if let Some(class) = instance.pending_class.take() {
        instance.class = class;
    }
    if let Some(storage) = instance.pending_storage.take() {
        instance.storage = storage;
    }
}

/// `StopDBInstance`: `stopping`, then `stopped`. RDS stops neither replicas nor their sources.
pub(super) fn stop(call: &Call) -> Answer {
    call.params.only(&["DBInstanceIdentifier"], &[])?;
    let key = call.instance_key()?;
    call.service.store.change(|state| {
        if state.instance(&key)?.source.is_some() || state.replicas(&key).next().is_some() {
            return Err(ApiError::state(format!(
                "Cannot stop {}: it is a read replica or has one.",
                key.id
            )));
        }
        move_on(state, &key, Status::Available, Status::Stopping)
    })?;
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "stop", Some(Status::Failed), async move {
        service.halt(&work_key).await?;
        service.settle(&work_key, Status::Stopped, "notification", "DB instance stopped");
        Ok(())
    });
    call.instance_answer("StopDBInstanceResult", &key)
}

/// `StartDBInstance`: `starting`, then `available`.
pub(super) fn start(call: &Call) -> Answer {
    call.params.only(&["DBInstanceIdentifier"], &[])?;
    let key = call.instance_key()?;
    call.service.store.change(|state| move_on(state, &key, Status::Stopped, Status::Starting))?;
    begin_start(&call.service, &key);
    call.instance_answer("StartDBInstanceResult", &key)
}

fn begin_start(service: &Arc<Service>, key: &Key) {
    let (worker, work_key) = (Arc::clone(service), key.clone());
    service.begin(key, "start", Some(Status::Failed), async move {
        worker.boot(&work_key).await?;
        worker.settle(&work_key, Status::Available, "notification", "DB instance started");
        Ok(())
    });
}

/// Brings the instances of an earlier run back: those that ran start again, work that was cut off failed
/// unless it can simply be done again.
pub(crate) fn start_existing(service: &Arc<Service>) {
    service.store.change(|state| {
        let unfinished =
            state.snapshots.values_mut().filter(|snapshot| snapshot.status == "creating");
        unfinished.for_each(|snapshot| "failed".clone_into(&mut snapshot.status));
    });
    let keys: Vec<(Key, Status)> =
        service.store.read(|s| s.instances.values().map(|i| (i.key.clone(), i.status)).collect());
    for (key, status) in keys {
        match status {
            Status::Available
            | Status::BackingUp
            | Status::Modifying
            | Status::Rebooting
            | Status::ResettingMasterCredentials
            | Status::Starting => {
                service.store.change(|state| {
                    if let Ok(instance) = state.instance_mut(&key) {
                        instance.status = Status::Starting;
                    }
                });
                begin_start(service, &key);
            }
            Status::Stopping | Status::Creating | Status::Deleting => {
                let now = if status == Status::Stopping { Status::Stopped } else { Status::Failed };
                service.settle(
                    &key,
                    now,
                    "failure",
                    "The lab's RDS server ended during the work on this instance",
                );
            }
            Status::Failed | Status::IncompatibleParameters | Status::Stopped => {}
        }
    }
}
