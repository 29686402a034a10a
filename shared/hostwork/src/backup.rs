//! Taking a backup.

pub(crate) mod base;
pub(crate) mod cache;
mod dump;
mod files;
pub(crate) mod images;

use std::{collections::BTreeMap, io::Write};

use bytes::Bytes;
use jiff::Timestamp;
use lifeboat_core::{
    Fault,
    backup::{Artifact, Kind, Manifest, PointId, TableCount, WalSpan, keys},
};

use crate::{
    Host,
    store::{ObjectStore, Put},
    upload::{self, Compression},
};

/// What a kind's work found out; the rest of the manifest is the same for all.
#[derive(Debug, Default)]
struct Content {
    source: String,
    /// What was written before this moment is in it, where that is not the moment when the run began.
    as_of: Option<Timestamp>,
    versions: BTreeMap<String, String>,
    lsn: Option<String>,
    wal: Option<WalSpan>,
    tables: Vec<TableCount>,
    keys: BTreeMap<String, u64>,
    entries: Option<u64>,
}

/// One run: where its artifacts go.
struct Run<'a, S> {
    host: &'a Host<S>,
    kind: Kind,
    id: &'a PointId,
    /// What the run's objects are recognised by.
    name: String,
    /// Before each artifact's name: the site's folder, or the run's own within it.
    folder: String,
    artifacts: Vec<Artifact>,
}

impl<S: ObjectStore> Run<'_, S> {
    /// Stores what `produce` writes as an artifact, when `confirm` agrees.
    async fn artifact<T: Send + 'static>(
        &mut self,
        name: &str,
        compression: Compression,
        produce: impl FnOnce(&mut dyn Write) -> Result<T, Fault> + Send + 'static,
        confirm: impl Future<Output = Result<(), Fault>>,
    ) -> Result<T, Fault> {
        let name = format!("{}{name}", self.folder);
        let key = keys::artifact(self.host.app(), self.kind, self.id, &name);
        let target = upload::Target {
            store: &self.host.store,
            key: &key,
            run: &self.name,
            stop: &self.host.stop,
        };
        let (stored, value) = upload::store(&target, compression, produce, confirm).await?;
        let upload::Stored { size_bytes, sha256 } = stored;
        self.artifacts.push(Artifact { name, size_bytes, sha256 });
        Ok(value)
    }
}

/// Takes a backup, or finds that it is taken, and gives its manifest.
///
/// # Errors
/// `InvalidInput` when the plan names nothing to back up; `Transient` when it was asked to stop or
/// the bucket cannot be reached; `NeedsHuman` when a program or a server does not do its part.
/// Nothing that looks like a backup is left then.
pub async fn backup<S: ObjectStore>(
    host: &Host<S>,
    kind: Kind,
    id: &PointId,
) -> Result<Manifest, Fault> {
    if let Some(manifest) = manifest(host, kind, id).await? {
        return Ok(manifest);
    }
    let started_at = (host.clock)();
    // A slot that a failover falls into is the same one on both sites: what the other site left
    // half done may still be on its way here.
    let site = format!("{}/", host.site);
    let beside = host.store.any_below(&keys::artifact(host.app(), kind, id, &site)).await?;
    let name = format!("{}-{}", started_at.as_nanosecond(), std::process::id());
    let folder = if beside { format!("{site}run-{name}/") } else { site };
    let mut run = Run { host, kind, id, name, folder, artifacts: Vec::new() };
    let taken = match kind {
        Kind::DatabaseDump => dump::take(&mut run).await,
        Kind::DatabaseSnapshot => {
            Err(Fault::invalid("RDS takes its snapshots itself; no host does"))
        }
        Kind::DatabaseWal => Err(Fault::invalid(
            "WAL is archived continuously: run `lifeboat host wal receive` as a service",
        )),
        Kind::Config | Kind::Code | Kind::Logs => files::take(&mut run).await,
        Kind::Images => images::take(&mut run).await,
        Kind::DatabaseBase => base::take(&mut run).await,
        Kind::Cache => cache::take(&mut run).await,
    };
    match taken {
        Ok(content) => finish(&run, started_at, content).await,
        // Another run may have been faster; then the backup is there, which is what was asked for.
        Err(fault) => manifest(host, kind, id).await.ok().flatten().ok_or(fault),
    }
}

/// Writes the manifest, last.
async fn finish<S: ObjectStore>(
    run: &Run<'_, S>,
    started_at: Timestamp,
    content: Content,
) -> Result<Manifest, Fault> {
    let Content { source, as_of, versions, lsn, wal, tables, keys: counted, entries } = content;
    let manifest = Manifest {
        app: run.host.app().clone(),
        kind: run.kind,
        id: run.id.clone(),
        site: run.host.site.clone(),
        region: run.host.region.clone(),
        source,
        versions,
        started_at: as_of.unwrap_or(started_at),
        ended_at: (run.host.clock)(),
        lsn,
        wal,
        tables,
        keys: counted,
        entries,
        artifacts: run.artifacts.clone(),
    };
    let json = serde_json::to_vec(&manifest)
        .map_err(|error| Fault::needs_human(format!("the manifest cannot be written: {error}")))?;
    let key = keys::manifest(run.host.app(), run.kind, run.id);
    match run.host.store.put(&key, Bytes::from(json), &run.name).await? {
        Put::Written => Ok(manifest),
        Put::Exists => self::manifest(run.host, run.kind, run.id).await?.ok_or_else(|| {
            Fault::transient("the manifest was there and is gone: something deletes backups")
        }),
    }
}

/// The manifest of a point; none when there is no such backup.
pub(crate) async fn manifest<S: ObjectStore>(
    host: &Host<S>,
    kind: Kind,
    id: &PointId,
) -> Result<Option<Manifest>, Fault> {
    let key = keys::manifest(host.app(), kind, id);
    let Some(json) = host.store.get(&key, None).await? else { return Ok(None) };
    let manifest: Manifest = serde_json::from_slice(&json).map_err(|error| {
        Fault::needs_human(format!("the manifest {key} cannot be read by this version: {error}"))
    })?;
    if manifest.app == *host.app() && manifest.kind == kind && manifest.id == *id {
        Ok(Some(manifest))
    } else {
        Err(Fault::needs_human(format!("the manifest {key} is that of another backup")))
    }
}
