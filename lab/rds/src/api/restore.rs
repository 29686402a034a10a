//! `RestoreDBInstanceFromDBSnapshot`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::create::{already_exists, class, fresh_directory, group, port, resource_id};
use super::snapshots::{available, directory, not_found};
use super::{Answer, Call, HARMLESS};
use crate::model::{Instance, Key, Replication, Status, identifier};
use crate::postgres::cluster;
use crate::query::ApiError;

const KNOWN: [&str; 14] = [
    "AllocatedStorage",
    "AvailabilityZone",
    "BackupRetentionPeriod",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBParameterGroupName",
    "DBSnapshotIdentifier",
    "DeletionProtection",
    "Engine",
    "MultiAZ",
    "Port",
    "PreferredBackupWindow",
    "PubliclyAccessible",
    "Tags",
];

/// `RestoreDBInstanceFromDBSnapshot`: a new instance with the snapshot's data, users and passwords.
pub(super) fn restore(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&KNOWN, &HARMLESS)?;
    let key = Key::new(
        &call.region,
        identifier("DBInstanceIdentifier", params.need("DBInstanceIdentifier")?, 63)?,
    );
    let snapshot_key =
        call.service.key(&call.region, "snapshot", params.need("DBSnapshotIdentifier")?)?;
    if snapshot_key.region != call.region {
        return Err(not_found(&snapshot_key.id));
    }
    if let Some(engine) = params.get("Engine").filter(|engine| *engine != "postgres") {
        return Err(ApiError::value(format!(
            "A snapshot of postgres cannot be restored as {engine}."
        )));
    }
    let wishes = Wishes::read(call)?;
    call.service.store.change(|state| {
        if state.instances.contains_key(&key) {
            return Err(already_exists());
        }
        let old = available(state, &snapshot_key)?.instance.clone();
        let address = call.service.free_address(state, &call.region)?;
        state.instances.insert(key.clone(), wishes.instance(call, &key, old, address)?);
        Ok(())
    })?;
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "restore", Some(Status::Failed), async move {
        fresh_directory(&service, &work_key).await?;
        let from = directory(&service, &snapshot_key).join("pgdata");
        cluster::duplicate(&service.launcher, &from, &service.pgdata(&work_key)).await?;
        service.boot(&work_key).await?;
        service.settle(&work_key, Status::Available, "creation", "Restored from snapshot");
        Ok(())
    });
    call.instance_answer("RestoreDBInstanceFromDBSnapshotResult", &key)
}

/// What the call wants to be different in the restored instance.
#[derive(Debug)]
pub(super) struct Wishes {
    class: Option<String>,
    storage: Option<u32>,
    retention: Option<u32>,
    group: String,
}

impl Wishes {
    pub(super) fn read(call: &Call) -> Result<Self, ApiError> {
        let params = &call.params;
        port(params)?;
        Ok(Self {
            class: params.get("DBInstanceClass").map(class).transpose()?,
            storage: params.number("AllocatedStorage", 5, 65_536)?,
            retention: params.number("BackupRetentionPeriod", 0, 35)?,
            group: group(call, params)?,
        })
    }

    /// The instance that is made of `old`.
    pub(super) fn instance(
        &self,
        call: &Call,
        key: &Key,
        old: Instance,
        address: Ipv4Addr,
    ) -> Result<Instance, ApiError> {
        let params = &call.params;
        Ok(Instance {
            key: key.clone(),
            status: Status::Creating,
            resource_id: resource_id()?,
            address,
            class: self.class.clone().unwrap_or_else(|| old.class.clone()),
            storage: self.storage.unwrap_or(old.storage).max(old.storage),
            created: None,
            retention: self.retention.unwrap_or(old.retention),
            zone: params
                .get("AvailabilityZone")
                .map_or_else(|| format!("{}a", call.region), str::to_owned),
            multi_az: params.flag("MultiAZ")?.unwrap_or(false),
            public: params.flag("PubliclyAccessible")?.unwrap_or(old.public),
            deletion_protection: params.flag("DeletionProtection")?.unwrap_or(false),
            group: self.group.clone(),
            group_pending: false,
            pending_class: None,
            pending_storage: None,
            tags: params.tags(),
            source: None,
            replication: Replication::default(),
            ..old
        })
    }
}
