//! `ModifyDBInstance`.

use std::sync::Arc;

use super::create::{class, group, password};
use super::{Answer, Call, HARMLESS};
use crate::model::{Instance, Status};
use crate::postgres::{PgError, sql};
use crate::query::ApiError;
use crate::service::STATEMENT;

const KNOWN: [&str; 13] = [
    "AllocatedStorage",
    "ApplyImmediately",
    "BackupRetentionPeriod",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBParameterGroupName",
    "DeletionProtection",
    "EngineVersion",
    "MasterUserPassword",
    "MultiAZ",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PubliclyAccessible",
];

/// `ModifyDBInstance`. A class or size that is not applied immediately waits for the next reboot;
/// a new parameter group always does, as on RDS. A new password makes the instance
/// `resetting-master-credentials` for a moment.
pub(super) fn modify(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&KNOWN, &HARMLESS)?;
    let key = call.instance_key()?;
    let password = params.get("MasterUserPassword").map(|_| password(params)).transpose()?;
    let named_group =
        params.get("DBParameterGroupName").map(|_| group(call, params)).transpose()?;
    call.service.store.change(|state| {
        let instance = state.instance_mut(&key)?;
        if instance.status != Status::Available
            && !(instance.status == Status::Stopped && password.is_none())
        {
            return Err(ApiError::state(format!(
                "Database instance is not in available state: it is {}.",
                instance.status.word()
            )));
        }
        // Decided on a copy, so that a refused call changes nothing.
        let mut changed = instance.clone();
        apply(call, &mut changed)?;
        if let Some(group) = named_group.filter(|group| *group != changed.group) {
            changed.group = group;
            changed.group_pending = true;
        }
        if password.is_some() {
            if changed.source.is_some() {
                return Err(ApiError::combination(
                    "The master password of a read replica is its source's: change it there.",
                ));
            }
            changed.status = Status::ResettingMasterCredentials;
        }
        *instance = changed;
        Ok(())
    })?;
    let answer = call.instance_answer("ModifyDBInstanceResult", &key);
    if let Some(password) = password {
        let (service, work_key) = (Arc::clone(&call.service), key.clone());
        call.service.begin(
            &key,
            "reset of the master credentials",
            Some(Status::Available),
            async move {
                let master = service.instance(&work_key)?.master;
                let session = service.session(&work_key, STATEMENT).await?;
                session
                    .run("SET synchronous_commit = local; SET log_min_error_statement = 'panic'")
                    .await?;
                session
                    .run(&format!(
                        "ALTER ROLE {} PASSWORD {}",
                        sql::name(&master),
                        sql::literal(&password)
                    ))
                    .await?;
                service.settle(
                    &work_key,
                    Status::Available,
                    "configuration change",
                    "Reset master credentials",
                );
                Ok::<(), PgError>(())
            },
        );
    }
    answer
}

fn apply(call: &Call, instance: &mut Instance) -> Result<(), ApiError> {
    let params = &call.params;
    let now = params.flag("ApplyImmediately")?.unwrap_or(false);
    if let Some(version) =
        params.get("EngineVersion").filter(|version| *version != instance.engine_version)
    {
        return Err(ApiError::combination(format!(
            "Cannot upgrade postgres from {} to {version} in this lab.",
            instance.engine_version
        )));
    }
    if let Some(days) = params.number("BackupRetentionPeriod", 0, 35)? {
        instance.retention = days;
    }
    if let Some(protect) = params.flag("DeletionProtection")? {
        instance.deletion_protection = protect;
    }
    if let Some(multi) = params.flag("MultiAZ")? {
        instance.multi_az = multi;
    }
    if let Some(public) = params.flag("PubliclyAccessible")? {
        instance.public = public;
    }
    if let Some(window) = params.get("PreferredBackupWindow") {
        window.clone_into(&mut instance.backup_window);
    }
    if let Some(window) = params.get("PreferredMaintenanceWindow") {
        window.clone_into(&mut instance.maintenance_window);
    }
    if let Some(text) = params.get("DBInstanceClass") {
        instance.pending_class = Some(class(text)?);
    }
    if let Some(size) = params.number("AllocatedStorage", 5, 65_536)? {
        if size < instance.storage {
            return Err(ApiError::combination(format!(
                "Requested storage size ({size}) cannot be less than the current storage size ({}).",
                instance.storage
            )));
        }
        instance.pending_storage = Some(size);
    }
    if now {
        super::lifecycle::apply_pending(instance);
    }
    Ok(())
}
