//! `CreateDBInstanceReadReplica` and `PromoteReadReplica`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::create::{already_exists, class, fresh_directory, group, port, resource_id};
use super::{Answer, Call, HARMLESS};
use crate::clock;
use crate::model::{Instance, Key, Replication, Status, identifier};
use crate::postgres::cluster::{self, Copy};
use crate::postgres::{PgError, REPLICATOR, settings};
use crate::query::ApiError;
use crate::service::{STATEMENT, Service};

const KNOWN: [&str; 12] = [
    "AllocatedStorage",
    "AvailabilityZone",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBParameterGroupName",
    "DeletionProtection",
    "KmsKeyId",
    "MultiAZ",
    "Port",
    "PubliclyAccessible",
    "SourceDBInstanceIdentifier",
    "Tags",
];

/// The SDKs add these two for a source in another region; the ARN says the region already.
const PRESIGNED: [&str; 2] = ["PreSignedUrl", "SourceRegion"];

/// A replica that waits for its dead source's answer is promoted within this or not at all.
const PROMOTED_WITHIN: Duration = Duration::from_secs(120);

/// `CreateDBInstanceReadReplica`: `creating` while it copies, then `available`.
pub(super) fn create(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&KNOWN, &[HARMLESS.as_slice(), PRESIGNED.as_slice()].concat())?;
    let id = identifier("DBInstanceIdentifier", params.need("DBInstanceIdentifier")?, 63)?;
    let key = Key::new(&call.region, id);
    let source_key =
        call.service.key(&call.region, "db", params.need("SourceDBInstanceIdentifier")?)?;
    port(params)?;
    let class = params.get("DBInstanceClass").map(class).transpose()?;
    let storage = params.number("AllocatedStorage", 5, 65_536)?;
    let named_group =
        params.get("DBParameterGroupName").map(|_| group(call, params)).transpose()?;

    call.service.store.change(|state| {
        if state.instances.contains_key(&key) {
            return Err(already_exists());
        }
        let source = state.instance(&source_key)?.clone();
        if source.status != Status::Available {
            return Err(ApiError::state(format!("The source {} is {}, not available.", source_key.id, source.status.word())));
        }
        if source.retention == 0 {
            return Err(ApiError::state(
                "Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance to set the backup retention period to a non-zero value.",
            ));
        }
        let address = call.service.free_address(state, &call.region)?;
        // A group belongs to one region: a replica elsewhere begins with that region's default.
        let group = match named_group {
            Some(group) => group,
            None if source_key.region == call.region => source.group.clone(),
            None => super::groups::default_name(&call.service),
        };
        let instance = Instance {
            key: key.clone(),
            status: Status::Creating,
            resource_id: resource_id()?,
            address,
            class: class.unwrap_or_else(|| source.class.clone()),
            storage: storage.unwrap_or(source.storage),
            created: None,
            // A replica has no automated backups of its own before it is promoted.
            retention: 0,
            zone: params.get("AvailabilityZone").map_or_else(|| format!("{}a", call.region), str::to_owned),
            multi_az: params.flag("MultiAZ")?.unwrap_or(false),
            public: params.flag("PubliclyAccessible")?.unwrap_or(source.public),
            kms_key: params.get("KmsKeyId").map(str::to_owned).or_else(|| source.kms_key.clone()),
            deletion_protection: params.flag("DeletionProtection")?.unwrap_or(false),
            group,
            group_pending: false,
            pending_class: None,
            pending_storage: None,
            tags: params.tags(),
            source: Some(source_key.clone()),
            replication: Replication::default(),
            ..source
        };
        state.instances.insert(key.clone(), instance);
        Ok(())
    })?;
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "creation of the replica", Some(Status::Failed), async move {
        build(&service, &work_key, &source_key).await
    });
    call.instance_answer("CreateDBInstanceReadReplicaResult", &key)
}

async fn build(service: &Service, key: &Key, source: &Key) -> Result<(), PgError> {
    let (instance, source) = (service.instance(key)?, service.instance(source)?);
    fresh_directory(service, key).await?;
    let copy = Copy {
        from: service.link(&key.region, &source),
        role: REPLICATOR,
        password: &instance.secrets.replication,
        slot: Some(&instance.slot()),
    };
    cluster::copy(&service.install, &service.launcher, &service.pgdata(key), &copy).await?;
    service.boot(key).await?;
    service.settle(
        key,
        Status::Available,
        "read replica",
        "Replication for the Read Replica started",
    );
    Ok(())
}

/// `PromoteReadReplica`: `modifying`, then `available` and on its own. It is decided and done
/// without any look at the source, which may be dead or hang.
pub(super) fn promote(call: &Call) -> Answer {
    call.params
        .only(&["BackupRetentionPeriod", "DBInstanceIdentifier", "PreferredBackupWindow"], &[])?;
    let key = call.instance_key()?;
    let retention = call.params.number("BackupRetentionPeriod", 0, 35)?.unwrap_or(1);
    call.service.store.change(|state| {
        let instance = state.instance_mut(&key)?;
        if instance.source.is_none() {
            return Err(ApiError::state("DB Instance is not a read replica"));
        }
        if instance.status != Status::Available {
            return Err(ApiError::state(format!(
                "DB instance {} is {}, not available.",
                key.id,
                instance.status.word()
            )));
        }
        instance.status = Status::Modifying;
        if let Some(window) = call.params.get("PreferredBackupWindow") {
            window.clone_into(&mut instance.backup_window);
        }
        Ok(())
    })?;
    begin_promotion(&call.service, &key, retention);
    call.instance_answer("PromoteReadReplicaResult", &key)
}

/// Promotes in the background; the instance is `modifying` already.
pub(super) fn begin_promotion(service: &Arc<Service>, key: &Key, retention: u32) {
    let (worker, work_key) = (Arc::clone(service), key.clone());
    service.begin(key, "promotion", Some(Status::Available), async move {
        become_primary(&worker, &work_key).await?;
        // Both sides change in one step: the source's list is derived from this field.
        worker.store.change(|state| {
            if let Ok(instance) = state.instance_mut(&work_key) {
                instance.source = None;
                instance.retention = retention;
            }
        });
        worker.settle(
            &work_key,
            Status::Available,
            "read replica",
            "Promoted Read Replica to a stand-alone database instance",
        );
        Ok(())
    });
}

async fn become_primary(service: &Service, key: &Key) -> Result<(), PgError> {
    let begin = Instant::now();
    let session = service.session(key, STATEMENT).await?;
    // A standby that has just failed to reach its source waits for wal_retrieve_retry_interval
    // (5 s by default) before it looks for a promotion again: 6 of 16 promotions were measured to
    // take those 5 s. RDS restarts the instance instead, which takes minutes.
    session.run("ALTER SYSTEM SET wal_retrieve_retry_interval = '100ms'").await?;
    session.run("SELECT pg_reload_conf()").await?;
    session.run("SELECT pg_promote(wait => false)").await?;
    loop {
        let in_recovery = session.texts("SELECT pg_is_in_recovery()").await?;
        if in_recovery.first().is_some_and(|text| text == "f") {
            break;
        }
        if begin.elapsed() > PROMOTED_WITHIN {
            return Err(PgError::Late { what: "promotion", within: PROMOTED_WITHIN });
        }
        clock::pause(Duration::from_millis(10)).await;
    }
    // Taking a transaction id is a write: it proves that the server takes writes now.
    session.run("SELECT pg_current_xact_id()").await?;
    settings::write_upstream(&service.pgdata(key), None)?;
    session.run("ALTER SYSTEM RESET wal_retrieve_retry_interval").await?;
    session.run("SELECT pg_reload_conf()").await?;
    tracing::info!(
        region = key.region,
        instance = key.id,
        milliseconds = begin.elapsed().as_millis(),
        "promoted"
    );
    Ok(())
}
