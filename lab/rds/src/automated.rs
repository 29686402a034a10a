//! Automated backups: base backups and the archived log after them, and copies in another region.
//!
//! A server archives its own log (`archive_command`) while its directory for segments exists. Bases,
//! copies and the removal of what is too old are looked after here, once a second. A copy has files of
//! its own (hard links), so it outlives its source and the source's region.
//!
//! What differs from RDS: copies do not take the lab's links between regions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use jiff::{SignedDuration, Timestamp};

use crate::clock;
use crate::model::{Automated, BackupStatus, Base, Instance, Key, Status};
use crate::postgres::cluster::{self, Copy};
use crate::postgres::{PgError, REPLICATOR};
use crate::service::{Service, random_hex};

/// The directory of the archived segments.
pub(crate) const SEGMENTS: &str = "segments";
const BASES: &str = "bases";
/// A base that failed is tried again after this.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Where the automated backup of an instance is, in this region.
pub(crate) fn directory(service: &Service, region: &str, resource_id: &str) -> PathBuf {
    service.config.data_dir.join(format!("{region}.automated")).join(resource_id)
}

/// Where a backup's files are.
pub(crate) fn place(service: &Service, backup: &Automated) -> PathBuf {
    directory(service, &backup.key.region, &backup.instance.resource_id)
}

/// Where a base's cluster is.
pub(crate) fn base_directory(service: &Service, backup: &Automated, base: &Base) -> PathBuf {
    place(service, backup).join(BASES).join(&base.name)
}

/// Begins, continues and ends what is due.
pub(crate) async fn tend(service: &Arc<Service>, now: Timestamp) {
    let (instances, backups): (Vec<Instance>, Vec<Automated>) = service.store.read(|state| {
        (state.instances.values().cloned().collect(), state.automated.values().cloned().collect())
    });
    for instance in instances.iter().filter(|instance| instance.source.is_none()) {
        let result = match (instance.retention, instance.status) {
            (0, _) => release(service, instance, true),
            (_, Status::Available) => keep(service, instance, now),
            _ => Ok(()),
        };
        if let Err(error) = result {
            tracing::error!(instance = instance.key.id, %error, "keep the automated backup");
        }
    }
    for backup in backups.iter().filter(|backup| backup.status.follows()) {
        if let Err(error) = follow(service, backup, now).await {
            tracing::error!(backup = backup.key.id, %error, "copy the automated backup");
        }
    }
}

/// Writes something small, so that the archive reaches the present on an idle server too. RDS does so
/// as well.
pub(crate) async fn beat(service: &Service, key: &Key, within: Duration) -> Result<(), PgError> {
    let session = service.session(key, within).await?;
    session
        .run("SET synchronous_commit = local; SELECT pg_logical_emit_message(true, 'lab', 'beat')")
        .await
}

/// Looks after an instance's own backup.
fn keep(service: &Arc<Service>, instance: &Instance, now: Timestamp) -> Result<(), PgError> {
    let place = directory(service, &instance.key.region, &instance.resource_id);
    make(&place)?;
    let latest = newest(&place.join(SEGMENTS))?;
    let known = service.store.read(|state| state.automated_of(instance).cloned());
    let Some(backup) = known else { return begin(service, instance) };
    let every = SignedDuration::try_from(service.config.base_every).unwrap_or(SignedDuration::MAX);
    let fresh = backup.bases.last().is_some_and(|base| now.duration_since(base.finished) < every);
    let waits = backup.tried.is_some_and(|tried| now.duration_since(tried) < AGAIN);
    let due = !fresh && !waits && !backup.busy;
    service.store.observe(|state| {
        if let Some(backup) = state.automated.get_mut(&backup.key) {
            backup.instance.clone_from(instance);
            backup.retention = instance.retention;
            backup.latest = latest;
            if due {
                (backup.busy, backup.tried) = (true, Some(now));
            }
        }
    });
    if due {
        let (worker, key, of) = (Arc::clone(service), backup.key.clone(), instance.key.clone());
        let queue = Key::new(&key.region, format!("automated:{}", key.id));
        service.begin(&queue, "automated backup", None, async move {
            let taken = take_base(&worker, &key, &of).await;
            worker.store.observe(|state| {
                if let Some(backup) = state.automated.get_mut(&key) {
                    backup.busy = false;
                }
            });
            // An instance that is deleted meanwhile leaves nothing to back up, and nothing went wrong.
            let there = worker.store.read(|state| {
                state.instances.get(&of).is_some_and(|found| found.status != Status::Deleting)
            });
            if there { taken } else { Ok(()) }
        });
    }
    Ok(())
}

fn begin(service: &Service, instance: &Instance) -> Result<(), PgError> {
    let backup = new(instance, &instance.key.region, BackupStatus::Creating)
        .map_err(|error| PgError::Sql(error.to_string()))?;
    service.store.change(|state| state.automated.insert(backup.key.clone(), backup));
    Ok(())
}

/// A backup without a base.
pub(crate) fn new(
    instance: &Instance,
    region: &str,
    status: BackupStatus,
) -> Result<Automated, crate::query::ApiError> {
    Ok(Automated {
        key: Key::new(region, format!("ab-{}", random_hex(13)?)),
        status,
        instance: instance.clone(),
        retention: instance.retention,
        kms_key: instance.kms_key.clone(),
        bases: Vec::new(),
        latest: None,
        busy: false,
        tried: None,
    })
}

async fn take_base(service: &Service, backup: &Key, of: &Key) -> Result<(), PgError> {
    let instance = service.instance(of)?;
    let name = clock::now().as_millisecond().to_string();
    let place = directory(service, &of.region, &instance.resource_id);
    let unfinished = place.join(BASES).join(format!(".{name}"));
    let copy = Copy {
        from: instance.address,
        role: REPLICATOR,
        password: &instance.secrets.replication,
        slot: None,
    };
    let copied = cluster::copy(&service.install, &service.launcher, &unfinished, &copy).await;
    if let Err(error) = copied {
        cluster::remove(&unfinished).await?;
        return Err(error);
    }
    let finished = place.join(BASES).join(&name);
    fs::rename(&unfinished, &finished).map_err(file(&finished))?;
    let base = Base { name, finished: clock::now(), first_segment: first_segment(&finished)? };
    let old = service.store.change(|state| {
        let backup = state.automated.get_mut(backup)?;
        backup.bases.push(base);
        backup.status = BackupStatus::Active;
        let old = outdated(backup, clock::now());
        Some((backup.clone(), old))
    });
    if let Some((backup, old)) = old {
        discard(service, &backup, &old).await?;
    }
    service.event(of, "backup", "Finished DB Instance backup");
    Ok(())
}

/// Takes out of the backup the bases that no time within the retention needs.
fn outdated(backup: &mut Automated, now: Timestamp) -> Vec<Base> {
    let kept = SignedDuration::from_hours(24 * i64::from(backup.retention));
    let needless = backup
        .bases
        .iter()
        .skip(1)
        .take_while(|next| now.duration_since(next.finished) >= kept)
        .count();
    backup.bases.drain(..needless).collect()
}

async fn discard(service: &Service, backup: &Automated, old: &[Base]) -> Result<(), PgError> {
    for base in old {
        cluster::remove(&base_directory(service, backup, base)).await?;
    }
    let Some(first) = backup.bases.first().filter(|_| !old.is_empty()) else { return Ok(()) };
    let segments = place(service, backup).join(SEGMENTS);
    for name in names(&segments)? {
        // Without the timeline: an older one's segments may lead to this base.
        if is_segment(&name) && name.get(8..) < first.first_segment.get(8..) {
            let path = segments.join(&name);
            fs::remove_file(&path).map_err(file(&path))?;
        }
    }
    Ok(())
}

/// Brings what the source has and the copy lacks.
async fn follow(service: &Service, copy: &Automated, now: Timestamp) -> Result<(), PgError> {
    let source = service.store.read(|state| state.automated_of(&copy.instance).cloned());
    let Some(source) = source.filter(|source| source.status != BackupStatus::Retained) else {
        service.store.change(|state| {
            if let Some(copy) = state.automated.get_mut(&copy.key) {
                copy.status = BackupStatus::Retained;
            }
        });
        return Ok(());
    };
    let (from, to) = (place(service, &source), place(service, copy));
    make(&to)?;
    let there: BTreeSet<String> = names(&to.join(SEGMENTS))?.into_iter().collect();
    let oldest = copy.bases.first().or(source.bases.first());
    let mut new: Vec<String> = names(&from.join(SEGMENTS))?;
    new.retain(|name| {
        let needed = oldest.is_none_or(|base| name.get(8..) >= base.first_segment.get(8..));
        !name.starts_with('.') && !there.contains(name) && (needed || !is_segment(name))
    });
    // In order: what is there has no gap at any moment.
    new.sort();
    for name in new {
        let path = to.join(SEGMENTS).join(&name);
        fs::hard_link(from.join(SEGMENTS).join(&name), &path).map_err(file(&path))?;
    }
    let newest_here = copy.bases.last().map(|base| base.finished);
    let mut bases: Vec<Base> = Vec::new();
    for base in source.bases.iter().filter(|base| Some(base.finished) > newest_here) {
        let path = to.join(BASES).join(&base.name);
        cluster::remove(&path).await?;
        cluster::link(&service.launcher, &from.join(BASES).join(&base.name), &path).await?;
        bases.push(base.clone());
    }
    let latest = newest(&to.join(SEGMENTS))?;
    if bases.is_empty() {
        service.store.observe(|state| {
            if let Some(copy) = state.automated.get_mut(&copy.key) {
                copy.latest = latest;
                copy.instance.clone_from(&source.instance);
            }
        });
        return Ok(());
    }
    let old = service.store.change(|state| {
        let copy = state.automated.get_mut(&copy.key)?;
        copy.latest = latest;
        copy.bases.extend(bases);
        if copy.status == BackupStatus::Pending {
            copy.status = BackupStatus::Replicating;
        }
        let old = outdated(copy, now);
        Some((copy.clone(), old))
    });
    match old {
        Some((copy, old)) => discard(service, &copy, &old).await,
        None => Ok(()),
    }
}

/// Ends the instance's own backup: it is removed, or retained.
pub(crate) fn release(
    service: &Arc<Service>,
    instance: &Instance,
    remove: bool,
) -> Result<(), PgError> {
    let Some(backup) = service.store.read(|state| state.automated_of(instance).cloned()) else {
        return Ok(());
    };
    if remove {
        return delete(service, &backup);
    }
    service.store.change(|state| {
        if let Some(backup) = state.automated.get_mut(&backup.key) {
            backup.status = BackupStatus::Retained;
        }
    });
    Ok(())
}

/// Removes a backup. Its files get another name at once and go in the background.
pub(crate) fn delete(service: &Arc<Service>, backup: &Automated) -> Result<(), PgError> {
    service.store.change(|state| state.automated.remove(&backup.key));
    let path = place(service, backup);
    let removed = path.with_extension(format!("removed-{}", clock::now().as_millisecond()));
    match fs::rename(&path, &removed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(file(&path))?,
    }
    tokio::spawn(async move {
        if let Err(error) = cluster::remove(&removed).await {
            tracing::error!(%error, "remove the files of an automated backup");
        }
    });
    Ok(())
}

fn make(place: &Path) -> Result<(), PgError> {
    for part in [BASES, SEGMENTS] {
        let path = place.join(part);
        fs::create_dir_all(&path).map_err(file(&path))?;
    }
    Ok(())
}

/// The segment that a base backup begins in. Its label says, in its first line,
/// `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)`.
fn first_segment(base: &Path) -> Result<String, PgError> {
    let path = base.join("backup_label");
    let text = fs::read_to_string(&path).map_err(file(&path))?;
    text.split_once("(file ")
        .and_then(|(_, rest)| rest.get(..24))
        .filter(|name| is_segment(name))
        .map(str::to_owned)
        .ok_or_else(|| file(&path)(io::Error::other("it names no segment")))
}

/// The time of the last write to any archived segment.
fn newest(segments: &Path) -> Result<Option<Timestamp>, PgError> {
    let mut newest = None;
    for name in names(segments)?.iter().filter(|name| is_segment(name)) {
        // A segment that is removed meanwhile is an old one.
        let Ok(metadata) = fs::metadata(segments.join(name)) else { continue };
        let written = metadata.modified().map_err(file(segments))?;
        newest = newest.max(Timestamp::try_from(written).ok());
    }
    Ok(newest)
}

fn names(directory: &Path) -> Result<Vec<String>, PgError> {
    let read = || -> io::Result<Vec<String>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    read().map_err(file(directory))
}

fn is_segment(name: &str) -> bool {
    name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn file(path: &Path) -> impl Fn(io::Error) -> PgError {
    let path = path.to_owned();
    move |reason| PgError::File { path: path.clone(), reason }
}
