//! DB snapshots: base backups of an instance.

use std::path::PathBuf;
use std::sync::Arc;

use super::describe::page;
use super::{Answer, Call, render};
use crate::clock;
use crate::config::POSTGRES_PORT;
use crate::model::{Instance, Key, Snapshot, State, Status, identifier};
use crate::postgres::cluster::{self, Copy};
use crate::postgres::{PgError, REPLICATOR};
use crate::query::{ApiError, Filter, Tag};
use crate::service::Service;
use crate::xml::Element;

const AVAILABLE: &str = "available";

/// `CreateDBSnapshot`: the instance is `backing-up` and the snapshot `creating` while it copies.
pub(super) fn create(call: &Call) -> Answer {
    let params = &call.params;
    params.only(&["DBInstanceIdentifier", "DBSnapshotIdentifier", "Tags"], &[])?;
    let key = call.instance_key()?;
    let snapshot_key = new_key(call, "DBSnapshotIdentifier")?;
    call.service.store.change(|state| {
        let instance = state.instance(&key)?.clone();
        if instance.status != Status::Available {
            let status = instance.status.word();
            return Err(ApiError::state(format!(
                "Instance {} is {status}, not available.",
                key.id
            )));
        }
        insert(state, &call.service, &snapshot_key, instance, params.tags(), None)?;
        state.instance_mut(&key)?.status = Status::BackingUp;
        Ok(())
    })?;
    let answer = snapshot_answer(call, "CreateDBSnapshotResult", &snapshot_key);
    let (service, work_key) = (Arc::clone(&call.service), key.clone());
    call.service.begin(&key, "backup", Some(Status::Available), async move {
        take(&service, &work_key, &snapshot_key).await?;
        service.settle(&work_key, Status::Available, "backup", "Finished DB Instance backup");
        Ok(())
    });
    answer
}

/// The key for a snapshot that is to be made.
pub(super) fn new_key(call: &Call, parameter: &str) -> Result<Key, ApiError> {
    Ok(Key::new(&call.region, identifier(parameter, call.params.need(parameter)?, 255)?))
}

/// Remembers a snapshot that is being made.
pub(super) fn insert(
    state: &mut State,
    service: &Service,
    key: &Key,
    instance: Instance,
    tags: Vec<Tag>,
    copied_from: Option<Key>,
) -> Result<(), ApiError> {
    if state.snapshots.contains_key(key) {
        let message = format!(
            "Cannot create the snapshot because a snapshot with the identifier {} already exists.",
            key.id
        );
        return Err(ApiError::new("DBSnapshotAlreadyExists", 400, message));
    }
    // Every snapshot of the lab is a manual one: an automated backup is no snapshot here.
    let there = state.snapshots.keys().filter(|known| known.region == key.region).count();
    let most = service.config.manual_snapshots;
    if there >= most {
        let message = format!("Cannot create more than {most} manual snapshots");
        return Err(ApiError::new("SnapshotQuotaExceeded", 400, message));
    }
    let status = "creating".to_owned();
    let snapshot = Snapshot { key: key.clone(), status, taken: None, tags, instance, copied_from };
    state.snapshots.insert(key.clone(), snapshot);
    Ok(())
}

/// Copies the instance's cluster into the snapshot's directory: from the running server, or the
/// files of a stopped one.
pub(super) async fn take(service: &Service, instance: &Key, snapshot: &Key) -> Result<(), PgError> {
    let result = async {
        let instance = service.instance(instance)?;
        let target = prepare(service, snapshot).await?;
        let secrets = &instance.secrets;
        let copy = Copy {
            from: instance.address,
            role: REPLICATOR,
            password: &secrets.replication,
            slot: None,
        };
        match service.running(&instance.key) {
            Some(_) => cluster::copy(&service.install, &service.launcher, &target, &copy).await,
            None => {
                cluster::duplicate(&service.launcher, &service.pgdata(&instance.key), &target).await
            }
        }
    };
    finish(service, snapshot, result.await)
}

fn finish(service: &Service, key: &Key, result: Result<(), PgError>) -> Result<(), PgError> {
    service.store.change(|state| {
        if let Some(snapshot) = state.snapshots.get_mut(key) {
            let status = if result.is_ok() { AVAILABLE } else { "failed" };
            status.clone_into(&mut snapshot.status);
            snapshot.taken = Some(clock::now());
        }
    });
    result
}

pub(super) fn directory(service: &Service, key: &Key) -> PathBuf {
    // Not a place that an instance can have: identifiers of regions and instances hold no dots.
    service.config.data_dir.join(format!("{}.snapshots", key.region)).join(&key.id)
}

/// The snapshot's own directory, empty, and the place of the cluster in it.
async fn prepare(service: &Service, key: &Key) -> Result<PathBuf, PgError> {
    let path = directory(service, key);
    cluster::fresh(&path).await?;
    Ok(path.join("pgdata"))
}

/// `CopyDBSnapshot`: into the caller's region, from this one or (by ARN) another one.
pub(super) fn copy(call: &Call) -> Answer {
    let params = &call.params;
    let known = [
        "CopyTags",
        "KmsKeyId",
        "SourceDBSnapshotIdentifier",
        "Tags",
        "TargetDBSnapshotIdentifier",
    ];
    params.only(&known, &["PreSignedUrl", "SourceRegion"])?;
    let source_key =
        call.service.key(&call.region, "snapshot", params.need("SourceDBSnapshotIdentifier")?)?;
    let key = new_key(call, "TargetDBSnapshotIdentifier")?;
    let copy_tags = params.flag("CopyTags")?.unwrap_or(false);
    call.service.store.change(|state| {
        let source = available(state, &source_key)?.clone();
        let mut instance = source.instance;
        if let Some(kms_key) = params.get("KmsKeyId") {
            instance.kms_key = Some(kms_key.to_owned());
            instance.encrypted = true;
        }
        let mut tags = params.tags();
        if tags.is_empty() && copy_tags {
            tags = source.tags;
        }
        insert(state, &call.service, &key, instance, tags, Some(source_key.clone()))
    })?;
    let answer = snapshot_answer(call, "CopyDBSnapshotResult", &key);
    let (service, target) = (Arc::clone(&call.service), key.clone());
    // Work on a snapshot is queued under a name that no instance has.
    call.service.begin(
        &Key::new(&key.region, format!("snapshot:{}", key.id)),
        "copy",
        None,
        async move {
            let result = match prepare(&service, &target).await {
                Ok(to) => {
                    cluster::duplicate(
                        &service.launcher,
                        &directory(&service, &source_key).join("pgdata"),
                        &to,
                    )
                    .await
                }
                Err(error) => Err(error),
            };
            finish(&service, &target, result)
        },
    );
    answer
}

pub(super) fn not_found(id: &str) -> ApiError {
    ApiError::new("DBSnapshotNotFound", 404, format!("DBSnapshot {id} not found."))
}

pub(super) fn available<'a>(state: &'a State, key: &Key) -> Result<&'a Snapshot, ApiError> {
    let snapshot = state.snapshots.get(key).ok_or_else(|| not_found(&key.id))?;
    if snapshot.status == AVAILABLE {
        return Ok(snapshot);
    }
    Err(ApiError::new(
        "InvalidDBSnapshotState",
        400,
        format!("DBSnapshot {} is {}, not available.", key.id, snapshot.status),
    ))
}

/// `DescribeDBSnapshots`.
pub(super) fn describe(call: &Call) -> Answer {
    let params = &call.params;
    let filters = params.filters(&[
        "db-instance-id",
        "db-snapshot-id",
        "dbi-resource-id",
        "engine",
        "snapshot-type",
    ])?;
    let parse = |parameter, kind| {
        params.get(parameter).map(|text| call.service.key(&call.region, kind, text)).transpose()
    };
    let (only, of) =
        (parse("DBSnapshotIdentifier", "snapshot")?, parse("DBInstanceIdentifier", "db")?);
    let manual = params.get("SnapshotType").is_none_or(|kind| kind == "manual");
    let found: Vec<Snapshot> = call.service.store.read(|state| {
        if let Some(key) = only.as_ref().filter(|key| !state.snapshots.contains_key(*key)) {
            return Err(not_found(&key.id));
        }
        let here = state.snapshots.values().filter(|s| manual && s.key.region == call.region);
        let wanted = here
            .filter(|s| only.as_ref().is_none_or(|key| *key == s.key))
            .filter(|s| of.as_ref().is_none_or(|key| key.id == s.instance.key.id))
            .filter(|s| filters.iter().all(|filter| matches(s, filter)));
        Ok(wanted.cloned().collect())
    })?;
    let (found, marker) = page(params, found, |snapshot| snapshot.key.id.clone())?;
    let elements = found.iter().map(|snapshot| element(&call.service, snapshot));
    Ok(Some(
        Element::new("DescribeDBSnapshotsResult")
            .list("DBSnapshots", elements)
            .maybe("Marker", marker),
    ))
}

fn matches(snapshot: &Snapshot, filter: &Filter) -> bool {
    let named = |value: &String, id: &str| {
        value.rsplit(':').next().is_some_and(|name| name.eq_ignore_ascii_case(id))
    };
    filter.values.iter().any(|value| match filter.name.as_str() {
        "db-instance-id" => named(value, &snapshot.instance.key.id),
        "db-snapshot-id" => named(value, &snapshot.key.id),
        "dbi-resource-id" => *value == snapshot.instance.resource_id,
        "engine" => value == "postgres",
        _ => value == "manual",
    })
}

fn snapshot_answer(call: &Call, result: &str, key: &Key) -> Answer {
    let snapshot = call.service.store.read(|state| state.snapshots.get(key).cloned());
    let snapshot = snapshot.ok_or_else(|| not_found(&key.id))?;
    Ok(Some(Element::new(result).child(element(&call.service, &snapshot))))
}

fn element(service: &Service, snapshot: &Snapshot) -> Element {
    let (key, instance) = (&snapshot.key, &snapshot.instance);
    let progress = if snapshot.status == AVAILABLE { 100 } else { 0 };
    let from = snapshot.copied_from.as_ref();
    Element::new("DBSnapshot")
        .text("DBSnapshotIdentifier", &key.id)
        .text("DBSnapshotArn", service.arn("snapshot", key))
        .text("DBInstanceIdentifier", &instance.key.id)
        .text("DbiResourceId", &instance.resource_id)
        .text("Status", &snapshot.status)
        .text("PercentProgress", progress)
        .text("SnapshotType", "manual")
        .maybe("SnapshotCreateTime", snapshot.taken.map(clock::iso))
        .maybe("OriginalSnapshotCreateTime", snapshot.taken.map(clock::iso))
        .maybe("InstanceCreateTime", instance.created.map(clock::iso))
        .text("Engine", "postgres")
        .text("EngineVersion", &instance.engine_version)
        .text("LicenseModel", "postgresql-license")
        .text("AllocatedStorage", instance.storage)
        .text("StorageType", "gp3")
        .text("Port", POSTGRES_PORT)
        .text("AvailabilityZone", &instance.zone)
        .text("MasterUsername", &instance.master)
        .text("Encrypted", instance.encrypted)
        .maybe("KmsKeyId", instance.kms_key.as_deref())
        .maybe("SourceRegion", from.map(|key| &key.region))
        .maybe("SourceDBSnapshotIdentifier", from.map(|key| service.arn("snapshot", key)))
        .list("TagList", render::tags(&snapshot.tags))
}

/// `DeleteDBSnapshot`.
pub(super) fn delete(call: &Call) -> Answer {
    call.params.only(&["DBSnapshotIdentifier"], &[])?;
    let key =
        call.service.key(&call.region, "snapshot", call.params.need("DBSnapshotIdentifier")?)?;
    let mut snapshot = call.service.store.change(|state| {
        let snapshot = state.snapshots.get(&key).ok_or_else(|| not_found(&key.id))?;
        if snapshot.status == "creating" {
            return Err(ApiError::new(
                "InvalidDBSnapshotState",
                400,
                format!("DBSnapshot {} is being created.", key.id),
            ));
        }
        state.snapshots.remove(&key).ok_or_else(|| not_found(&key.id))
    })?;
    discard(&call.service, &key);
    "deleted".clone_into(&mut snapshot.status);
    Ok(Some(Element::new("DeleteDBSnapshotResult").child(element(&call.service, &snapshot))))
}

/// Removes the files in the background. They get another name first, so that a snapshot of the
/// same name can be made at once.
fn discard(service: &Service, key: &Key) {
    let path = directory(service, key);
    let removed =
        path.with_file_name(format!("{}.removed-{}", key.id, clock::now().as_millisecond()));
    if let Err(error) = std::fs::rename(&path, &removed) {
        tracing::error!(snapshot = key.id, %error, "remove the files of a snapshot");
        return;
    }
    tokio::spawn(async move {
        if let Err(error) = cluster::remove(&removed).await {
            tracing::error!(%error, "remove the files of a snapshot");
        }
    });
}
