//! Automated backups: shown, copied to another region, deleted.

use super::describe::page;
use super::{Answer, Call};
use crate::automated;
use crate::clock;
use crate::config::POSTGRES_PORT;
use crate::model::{Automated, BackupStatus, Key, State, Status};
use crate::query::{ApiError, Filter};
use crate::service::Service;
use crate::xml::Element;

const KIND: &str = "auto-backup";

/// `DescribeDBInstanceAutomatedBackups`.
pub(super) fn describe(call: &Call) -> Answer {
    let params = &call.params;
    let filters = params.filters(&["db-instance-id", "dbi-resource-id", "status"])?;
    let of = params
        .get("DBInstanceIdentifier")
        .map(|text| call.service.key(&call.region, "db", text))
        .transpose()?;
    let only = params
        .get("DBInstanceAutomatedBackupsArn")
        .map(|text| call.service.key(&call.region, KIND, text))
        .transpose()?;
    let resource = params.get("DbiResourceId");
    let found: Vec<Automated> = call.service.store.read(|state| {
        let here = state.automated.values().filter(|backup| backup.key.region == call.region);
        here.filter(|backup| of.as_ref().is_none_or(|key| key.id == backup.instance.key.id))
            .filter(|backup| only.as_ref().is_none_or(|key| *key == backup.key))
            .filter(|backup| resource.is_none_or(|id| id == backup.instance.resource_id))
            .filter(|backup| filters.iter().all(|filter| matches(backup, filter)))
            .cloned()
            .collect()
    });
    let named = params.get("DBInstanceAutomatedBackupsArn").or(resource);
    if let Some(name) = named.filter(|_| found.is_empty()) {
        return Err(not_found(name));
    }
    let (found, marker) = page(params, found, |backup| backup.key.id.clone())?;
    let elements = found.iter().map(|backup| element(&call.service, backup));
    Ok(Some(
        Element::new("DescribeDBInstanceAutomatedBackupsResult")
            .list("DBInstanceAutomatedBackups", elements)
            .maybe("Marker", marker),
    ))
}

fn matches(backup: &Automated, filter: &Filter) -> bool {
    filter.values.iter().any(|value| match filter.name.as_str() {
        "db-instance-id" => value
            .rsplit(':')
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(&backup.instance.key.id)),
        "dbi-resource-id" => *value == backup.instance.resource_id,
        _ => *value == backup.status.word(),
    })
}

/// `StartDBInstanceAutomatedBackupsReplication`, called in the region that gets the copy.
pub(super) fn start_replication(call: &Call) -> Answer {
    let params = &call.params;
    let known = ["BackupRetentionPeriod", "KmsKeyId", "SourceDBInstanceArn", "Tags"];
    params.only(&known, &["PreSignedUrl", "SourceRegion"])?;
    let source = source(call)?;
    if source.region == call.region {
        return Err(ApiError::value(
            "SourceDBInstanceArn must name an instance of another region than the one that is called.",
        ));
    }
    let retention = params.number("BackupRetentionPeriod", 1, 35)?;
    let backup = call.service.store.change(|state| {
        let instance = state.instance(&source)?.clone();
        if !matches!(instance.status, Status::Available | Status::BackingUp) {
            return Err(ApiError::state(format!(
                "Instance {} is {}, not available.",
                source.id,
                instance.status.word()
            )));
        }
        if instance.retention == 0 {
            return Err(ApiError::state(
                "Automated backups are not enabled for the source instance.",
            ));
        }
        let mut backup = match find(state, call, &instance.resource_id) {
            Some(known) if known.status.follows() => {
                return Err(ApiError::state(
                    "The automated backups of this instance are replicated to this region already.",
                ));
            }
            // What was retained goes on.
            Some(known) => Automated { status: BackupStatus::Pending, ..known.clone() },
            None => automated::new(&instance, &call.region, BackupStatus::Pending)?,
        };
        // RDS keeps copies for 7 days when nothing is said (API reference).
        backup.retention = retention.unwrap_or(7);
        backup.kms_key = params.get("KmsKeyId").map(str::to_owned);
        state.automated.insert(backup.key.clone(), backup.clone());
        Ok(backup)
    })?;
    let result = "StartDBInstanceAutomatedBackupsReplicationResult";
    Ok(Some(Element::new(result).child(element(&call.service, &backup))))
}

/// `StopDBInstanceAutomatedBackupsReplication`: what was copied is retained.
pub(super) fn stop_replication(call: &Call) -> Answer {
    call.params.only(&["SourceDBInstanceArn"], &["SourceRegion"])?;
    let source = source(call)?;
    let backup = call.service.store.change(|state| {
        let follows = |backup: &&mut Automated| {
            backup.key.region == call.region
                && backup.instance.key == source
                && backup.status.follows()
        };
        let backup = state.automated.values_mut().find(follows);
        let backup = backup.ok_or_else(|| {
            ApiError::state(format!(
                "The automated backups of {} are not replicated to {}.",
                source.id, call.region
            ))
        })?;
        let shown = backup.clone();
        backup.status = BackupStatus::Retained;
        Ok::<_, ApiError>(shown)
    })?;
    let result = "StopDBInstanceAutomatedBackupsReplicationResult";
    Ok(Some(Element::new(result).child(element(&call.service, &backup))))
}

/// `DeleteDBInstanceAutomatedBackup`: of a retained one.
pub(super) fn delete(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&["DBInstanceAutomatedBackupsArn", "DbiResourceId"], &[])?;
    let backup =
        named(call, params.get("DBInstanceAutomatedBackupsArn"), params.get("DbiResourceId"))?
            .ok_or_else(|| {
                ApiError::combination(
                    "DbiResourceId or DBInstanceAutomatedBackupsArn must be given.",
                )
            })?;
    if backup.status != BackupStatus::Retained {
        return Err(ApiError::new(
            "InvalidDBInstanceAutomatedBackupState",
            400,
            format!("The automated backup is {}, not retained.", backup.status.word()),
        ));
    }
    let removed = automated::delete(&call.service, &backup);
    removed.map_err(|error| ApiError::new("InternalFailure", 500, error.to_string()))?;
    let result = "DeleteDBInstanceAutomatedBackupResult";
    Ok(Some(Element::new(result).child(element(&call.service, &backup))))
}

/// The backup in the caller's region that an ARN or a resource id names.
pub(super) fn named(
    call: &Call,
    arn: Option<&str>,
    resource: Option<&str>,
) -> Result<Option<Automated>, ApiError> {
    let key = arn.map(|arn| call.service.key(&call.region, KIND, arn)).transpose()?;
    let Some(name) = arn.or(resource) else { return Ok(None) };
    let found = call.service.store.read(|state| match key {
        Some(key) if key.region == call.region => state.automated.get(&key).cloned(),
        Some(_) => None,
        None => find(state, call, resource.unwrap_or_default()).cloned(),
    });
    found.map(Some).ok_or_else(|| not_found(name))
}

fn find<'a>(state: &'a State, call: &Call, resource_id: &str) -> Option<&'a Automated> {
    state.automated.values().find(|backup| {
        backup.key.region == call.region && backup.instance.resource_id == resource_id
    })
}

fn source(call: &Call) -> Result<Key, ApiError> {
    let arn = call.params.need("SourceDBInstanceArn")?;
    if !arn.starts_with("arn:") {
        return Err(ApiError::value(format!("Invalid ARN: {arn}")));
    }
    call.service.key(&call.region, "db", arn)
}

fn not_found(name: &str) -> ApiError {
    let message = format!("DBInstanceAutomatedBackup {name} not found.");
    ApiError::new("DBInstanceAutomatedBackupNotFound", 404, message)
}

fn element(service: &Service, backup: &Automated) -> Element {
    let instance = &backup.instance;
    let window = backup.window().map(|(first, last)| {
        Element::new("RestoreWindow")
            .text("EarliestTime", clock::iso(first))
            .text("LatestTime", clock::iso(last))
    });
    let element = Element::new("DBInstanceAutomatedBackup")
        .text("DBInstanceArn", service.arn("db", &instance.key))
        .text("DBInstanceAutomatedBackupsArn", service.arn(KIND, &backup.key))
        .text("DbiResourceId", &instance.resource_id)
        .text("DBInstanceIdentifier", &instance.key.id)
        // The region of the instance, wherever the backup is (API reference).
        .text("Region", &instance.key.region)
        .text("Status", backup.status.word())
        .text("Engine", "postgres")
        .text("EngineVersion", &instance.engine_version)
        .text("LicenseModel", "postgresql-license")
        .text("AllocatedStorage", instance.storage)
        .text("StorageType", "gp3")
        .text("Port", POSTGRES_PORT)
        .text("AvailabilityZone", &instance.zone)
        .maybe("InstanceCreateTime", instance.created.map(clock::iso))
        .text("MasterUsername", &instance.master)
        .text("Encrypted", instance.encrypted || backup.kms_key.is_some())
        .maybe("KmsKeyId", backup.kms_key.as_deref())
        .text("BackupRetentionPeriod", backup.retention)
        .text("IAMDatabaseAuthenticationEnabled", false)
        .text("BackupTarget", "region");
    match window {
        Some(window) => element.child(window),
        None => element,
    }
}
