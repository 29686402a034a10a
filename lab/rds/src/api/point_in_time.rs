//! `RestoreDBInstanceToPointInTime`.

use std::sync::Arc;

use jiff::Timestamp;

use super::create::{already_exists, fresh_directory};
use super::restore::Wishes;
use super::{Answer, Call, HARMLESS, automated as api};
use crate::automated;
use crate::clock;
use crate::model::{Automated, Key, Status, identifier};
use crate::postgres::cluster;
use crate::postgres::settings::Recovery;
use crate::query::ApiError;

const KNOWN: [&str; 17] = [
    "AllocatedStorage",
    "AvailabilityZone",
    "BackupRetentionPeriod",
    "DBInstanceClass",
    "DBParameterGroupName",
    "DeletionProtection",
    "Engine",
    "MultiAZ",
    "Port",
    "PreferredBackupWindow",
    "PubliclyAccessible",
    "RestoreTime",
    "SourceDBInstanceAutomatedBackupsArn",
    "SourceDBInstanceIdentifier",
    "SourceDbiResourceId",
    "Tags",
    "TargetDBInstanceIdentifier",
];

/// `RestoreDBInstanceToPointInTime`: a new instance as the source was at a time, from the newest base
/// before it and the archived log after that. The source is not contacted.
pub(super) fn restore(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&KNOWN, &[HARMLESS.as_slice(), &["UseLatestRestorableTime"]].concat())?;
    let target = params.need("TargetDBInstanceIdentifier")?;
    let key = Key::new(&call.region, identifier("TargetDBInstanceIdentifier", target, 63)?);
    let backup = source(call)?;
    let until = match (params.time("RestoreTime")?, params.flag("UseLatestRestorableTime")?) {
        (Some(time), None | Some(false)) => Some(within(&backup, time)?),
        (None, Some(true)) => {
            backup.window().ok_or_else(no_base)?;
            None
        }
        (Some(_), Some(true)) => {
            return Err(ApiError::combination(
                "RestoreTime and UseLatestRestorableTime cannot both be specified.",
            ));
        }
        (None, None | Some(false)) => {
            return Err(ApiError::combination(
                "RestoreTime or UseLatestRestorableTime must be specified.",
            ));
        }
    };
    let usable = |finished: Timestamp| until.is_none_or(|until| finished <= until);
    let base = backup.bases.iter().rev().find(|base| usable(base.finished)).ok_or_else(no_base)?;
    let from = automated::base_directory(&call.service, &backup, base);
    let segments = automated::place(&call.service, &backup).join(automated::SEGMENTS);
    let wishes = Wishes::read(call)?;
    call.service.store.change(|state| {
        if state.instances.contains_key(&key) {
            return Err(already_exists());
        }
        let address = call.service.free_address(state, &call.region)?;
        let mut instance = wishes.instance(call, &key, backup.instance.clone(), address)?;
        instance.kms_key = backup.kms_key.clone().or(instance.kms_key);
        state.instances.insert(key.clone(), instance);
        Ok(())
    })?;
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "restore", Some(Status::Failed), async move {
        fresh_directory(&service, &work_key).await?;
        cluster::duplicate(&service.launcher, &from, &service.pgdata(&work_key)).await?;
        service.recover(&work_key, Recovery { segments, until }).await?;
        let message = match until {
            Some(until) => format!("Restored to {}", clock::iso(until)),
            None => "Restored to the latest restorable time".to_owned(),
        };
        service.settle(&work_key, Status::Available, "creation", &message);
        Ok(())
    });
    call.instance_answer("RestoreDBInstanceToPointInTimeResult", &key)
}

/// The backup to restore from: exactly one parameter names it.
fn source(call: &Call) -> Result<Automated, ApiError> {
    let params = &call.params;
    let (id, arn, resource) = (
        params.get("SourceDBInstanceIdentifier"),
        params.get("SourceDBInstanceAutomatedBackupsArn"),
        params.get("SourceDbiResourceId"),
    );
    if [id, arn, resource].iter().flatten().count() != 1 {
        return Err(ApiError::combination(
            "Exactly one of SourceDBInstanceIdentifier, SourceDbiResourceId and SourceDBInstanceAutomatedBackupsArn must be specified.",
        ));
    }
    if let Some(backup) = api::named(call, arn, resource)? {
        return Ok(backup);
    }
    let id = id.unwrap_or_default();
    let key = call.service.key(&call.region, "db", id)?;
    call.service.store.read(|state| {
        let instance = state.instance(&key).ok().filter(|_| key.region == call.region);
        let instance = instance.ok_or_else(|| ApiError::no_instance(id))?;
        if instance.retention == 0 {
            return Err(ApiError::new(
                "PointInTimeRestoreNotEnabled",
                400,
                format!(
                    "Point-in-time restore is not enabled for {}: its BackupRetentionPeriod is 0.",
                    key.id
                ),
            ));
        }
        state.automated_of(instance).cloned().ok_or_else(no_base)
    })
}

fn within(backup: &Automated, time: Timestamp) -> Result<Timestamp, ApiError> {
    let (earliest, latest) = backup.window().ok_or_else(no_base)?;
    let refuse = |word: &str, than: Timestamp| {
        Err(ApiError::value(format!(
            "The specified instance cannot be restored to a time {word} than {}: {} is not in its restore window.",
            clock::iso(than),
            clock::iso(time)
        )))
    };
    if time < earliest {
        return refuse("earlier", earliest);
    }
    if time > latest {
        return refuse("later", latest);
    }
    Ok(time)
}

fn no_base() -> ApiError {
    ApiError::state("The first automated backup of the source is still being created.")
}
