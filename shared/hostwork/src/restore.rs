//! Restoring a backup, to prove it or to use it.

mod base;
mod cache;
mod dump;
mod files;
mod images;
mod server;

use std::io::{self, Read, Write};

use jiff::Timestamp;
use lifeboat_core::{
    Fault,
    backup::{Artifact, EvidenceFinding, Kind, Manifest, Outcome, PointId},
    contract::restore_backup::{RestoreResult, Target},
};

use crate::{Host, backup::manifest, store::ObjectStore, upload::stopped};

/// What a restore did and saw.
#[derive(Debug, Default)]
struct Seen {
    facts: Vec<String>,
    findings: Vec<EvidenceFinding>,
}

impl Seen {
    /// Notes something that is wrong with the backup.
    fn find(&mut self, file: &str, place: impl Into<String>, message: impl Into<String>) {
        let (place, message) = (place.into(), message.into());
        self.findings.push(EvidenceFinding { file: file.to_owned(), place, message });
    }
}

/// Restores a recovery point and says whether it is what its manifest says. Scratch is removed
/// whatever happens.
///
/// # Errors
/// `InvalidInput` when there is no such point; `Refused` when the place is not free; otherwise the
/// restore could not be carried out, which says nothing of the backup.
pub async fn restore<S: ObjectStore>(
    host: &Host<S>,
    kind: Kind,
    id: &PointId,
    target: Target,
) -> Result<RestoreResult, Fault> {
    let started_at = (host.clock)();
    let manifest = manifest(host, kind, id).await?.ok_or_else(|| {
        Fault::invalid(format!("{} has no {kind} backup {id} in {}", host.app(), host.region))
    })?;
    let work = async {
        match target {
            Target::Scratch => scratch(host, &manifest).await,
            Target::Place => place(host, &manifest).await,
        }
    };
    let seen = tokio::select! {
        seen = work => seen?,
        () = host.stop.asked() => return Err(stopped()),
    };
    Ok(result(started_at, (host.clock)(), seen))
}

fn result(started_at: Timestamp, ended_at: Timestamp, seen: Seen) -> RestoreResult {
    let Seen { facts, findings } = seen;
    let outcome = if findings.is_empty() { Outcome::Sound } else { Outcome::Damaged };
    RestoreResult { started_at, ended_at, outcome, facts, findings }
}

async fn scratch<S: ObjectStore>(host: &Host<S>, manifest: &Manifest) -> Result<Seen, Fault> {
    match manifest.kind {
        Kind::DatabaseDump => dump::scratch(host, manifest).await,
        Kind::DatabaseBase => base::scratch(host, manifest).await,
        Kind::Config | Kind::Code | Kind::Logs => files::scratch(host, manifest).await,
        Kind::Images => images::scratch(host, manifest).await,
        Kind::Cache => cache::scratch(host, manifest).await,
        Kind::DatabaseSnapshot | Kind::DatabaseWal => Err(not_here(manifest.kind)),
    }
}

async fn place<S: ObjectStore>(host: &Host<S>, manifest: &Manifest) -> Result<Seen, Fault> {
    match manifest.kind {
        Kind::DatabaseDump => dump::place(host, manifest).await,
        Kind::DatabaseBase => Err(Fault::refused(
            "a base backup is put into place by hand: unpack it into an empty data directory with \
             restore_command = 'lifeboat host wal fetch ... %f %p'",
        )),
        Kind::Config | Kind::Code | Kind::Logs => files::place(host, manifest).await,
        Kind::Images => images::place(host, manifest).await,
        Kind::Cache => {
            on_a_host(host)?;
            cache::place(host, manifest).await
        }
        Kind::DatabaseSnapshot | Kind::DatabaseWal => Err(not_here(manifest.kind)),
    }
}

/// Refuses what no host can put into place.
fn on_a_host<S>(host: &Host<S>) -> Result<(), Fault> {
    let site = host.plan.sites.get(&host.site);
    match site.and_then(|site| site.cache.as_ref()) {
        None => Ok(()),
        Some(cache) => Err(Fault::invalid(format!(
            "ElastiCache runs the cache ({}), and loads files only into a new replication group: \
             unpack the artifact into a bucket of your own and name it in SnapshotArns",
            cache.replication_group
        ))),
    }
}

fn not_here(kind: Kind) -> Fault {
    Fault::invalid(match kind {
        Kind::DatabaseWal => {
            "WAL is restored by the server that asks for it: use `lifeboat host \
                              wal fetch` as its restore_command"
        }
        Kind::DatabaseSnapshot
        | Kind::DatabaseDump
        | Kind::DatabaseBase
        | Kind::Config
        | Kind::Code
        | Kind::Logs
        | Kind::Images
        | Kind::Cache => "RDS restores its snapshots; no host does",
    })
}

/// The artifact whose name ends like this.
fn find<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a Artifact, Fault> {
    let found = manifest.artifacts.iter().find(|artifact| artifact.name.ends_with(name));
    found.ok_or_else(|| Fault::invalid(format!("the manifest of {} has no {name}", manifest.id)))
}

/// Copies all there is. A program that wants no more is not told; its exit code says why.
fn carry(from: &mut (dyn Read + Send), into: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        match into.write_all(buffer.get(..len).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}
