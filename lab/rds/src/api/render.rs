//! Shows instances as the API does.

use crate::clock;
use crate::config::POSTGRES_PORT;
use crate::model::{Instance, Key, Replication, State, Status};
use crate::query::Tag;
use crate::service::Service;
use crate::xml::Element;

/// A `DBInstance` element.
pub(super) fn instance(service: &Service, state: &State, instance: &Instance) -> Element {
    let key = &instance.key;
    let element = Element::new("DBInstance")
        .text("DBInstanceIdentifier", &key.id)
        .text("DBInstanceArn", service.arn("db", key))
        .text("DbiResourceId", &instance.resource_id)
        .text("DBInstanceStatus", instance.status.word())
        .text("Engine", "postgres")
        .text("EngineVersion", &instance.engine_version)
        .text("LicenseModel", "postgresql-license")
        .text("DBInstanceClass", &instance.class)
        .text("AllocatedStorage", instance.storage)
        .text("StorageType", "gp3")
        .text("MasterUsername", &instance.master)
        .maybe("DBName", instance.database.as_deref())
        .text("DbInstancePort", 0)
        .maybe("InstanceCreateTime", instance.created.map(clock::iso))
        .maybe("LatestRestorableTime", latest(state, instance))
        .text("BackupRetentionPeriod", instance.retention)
        .text("PreferredBackupWindow", &instance.backup_window)
        .text("PreferredMaintenanceWindow", &instance.maintenance_window)
        .text("MultiAZ", instance.multi_az)
        .text("AvailabilityZone", &instance.zone)
        .text("PubliclyAccessible", instance.public)
        .text("AutoMinorVersionUpgrade", false)
        .text("CopyTagsToSnapshot", false)
        .text("StorageEncrypted", instance.encrypted)
        .maybe("KmsKeyId", instance.kms_key.as_deref())
        .text("DeletionProtection", instance.deletion_protection)
        .text("IAMDatabaseAuthenticationEnabled", false)
        .child(group(instance))
        .child(pending(instance))
        .list("TagList", tags(&instance.tags));
    // As on RDS, the endpoint appears when the instance first becomes available.
    let element = match instance.created {
        Some(_) => element.child(endpoint(instance)),
        None => element,
    };
    let element = match &instance.source {
        Some(source) => element
            .text("ReadReplicaSourceDBInstanceIdentifier", name_from(service, key, source))
            .list("StatusInfos", [replication(state, instance, source)]),
        None => element,
    };
    let replicas = state.replicas(key).map(|replica| name_from(service, key, &replica.key));
    element.list(
        "ReadReplicaDBInstanceIdentifiers",
        replicas.map(|name| Element::leaf("ReadReplicaDBInstanceIdentifier", name)),
    )
}

fn latest(state: &State, instance: &Instance) -> Option<String> {
    let backup = state.automated_of(instance).filter(|_| instance.retention > 0)?;
    backup.window().map(|(_, latest)| clock::iso(latest))
}

/// Within a region an instance is named by its identifier, from another one by its ARN.
fn name_from(service: &Service, from: &Key, other: &Key) -> String {
    if from.region == other.region { other.id.clone() } else { service.arn("db", other) }
}

fn endpoint(instance: &Instance) -> Element {
    Element::new("Endpoint").text("Address", instance.address).text("Port", POSTGRES_PORT)
}

fn group(instance: &Instance) -> Element {
    let status = if instance.group_pending { "pending-reboot" } else { "in-sync" };
    let group = Element::new("DBParameterGroup")
        .text("DBParameterGroupName", &instance.group)
        .text("ParameterApplyStatus", status);
    Element::new("DBParameterGroups").child(group)
}

fn pending(instance: &Instance) -> Element {
    Element::new("PendingModifiedValues")
        .maybe("DBInstanceClass", instance.pending_class.as_deref())
        .maybe("AllocatedStorage", instance.pending_storage)
}

/// The words of `DBInstanceStatusInfo` in the RDS model: replicating, error, stopped, terminated.
fn replication(state: &State, instance: &Instance, source: &Key) -> Element {
    let (normal, status, message) = if !state.instances.contains_key(source) {
        (false, "terminated", Some("The source was deleted."))
    } else if instance.status == Status::Stopped {
        (false, "stopped", None)
    } else {
        match &instance.replication {
            Replication::Unknown | Replication::Replicating => (true, "replicating", None),
            Replication::Broken(reason) => (false, "error", Some(reason.as_str())),
        }
    };
    Element::new("DBInstanceStatusInfo")
        .text("StatusType", "read replication")
        .text("Normal", normal)
        .text("Status", status)
        .maybe("Message", message)
}

/// `Tag` elements.
pub(super) fn tags(tags: &[Tag]) -> impl Iterator<Item = Element> {
    tags.iter().map(|(key, value)| Element::new("Tag").text("Key", key).text("Value", value))
}
