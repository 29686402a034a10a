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
    backup::{Artifact, EvidenceFinding, Kind, Manifest, Outcome, PointId, question},
    contract::restore_backup::{RestoreResult, Target},
};

use crate::{Host, backup::manifest, store::ObjectStore, upload::stopped};

/// What a restore did and saw.
#[derive(Debug, Default)]
struct Seen {
    facts: Vec<String>,
    findings: Vec<EvidenceFinding>,
    /// Questions of the plan that could not be put, in sentences: no word about the backup.
    unasked: Vec<String>,
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
/// A base backup is recovered to the moment `to`, with the archived WAL of this region; no
/// transaction that ended later is in it then.
///
/// # Errors
/// `InvalidInput` when there is no such point, it cannot be recovered to that moment, or a question of
/// the plan cannot be put to what is in scratch, so that it cannot be told whether it is sound;
/// `Refused` when the place is not free; otherwise the restore could not be carried out, which says
/// nothing of the backup.
pub async fn restore<S: ObjectStore>(
    host: &Host<S>,
    kind: Kind,
    id: &PointId,
    target: Target,
    to: Option<Timestamp>,
) -> Result<RestoreResult, Fault> {
    if let Some(to) = to.filter(|_| kind != Kind::DatabaseBase) {
        return Err(Fault::invalid(format!(
            "a {kind} backup is one moment and cannot be recovered to {to}: only database-base can, \
             with the archived WAL"
        )));
    }
    let started_at = (host.clock)();
    let manifest = manifest(host, kind, id).await?.ok_or_else(|| {
        Fault::invalid(format!("{} has no {kind} backup {id} in {}", host.app(), host.region))
    })?;
    let work = async {
        match target {
            Target::Scratch => scratch(host, &manifest, to).await,
            Target::Place => place(host, &manifest, to).await,
        }
    };
    let seen = tokio::select! {
        seen = work => seen?,
        () = host.stop.asked() => return Err(stopped()),
    };
    // What is in place is there whatever could be asked of it.
    if target == Target::Scratch && seen.findings.is_empty() && !seen.unasked.is_empty() {
        return Err(Fault::invalid(question::undecided(&seen.unasked)));
    }
    Ok(result(started_at, (host.clock)(), seen))
}

fn result(started_at: Timestamp, ended_at: Timestamp, seen: Seen) -> RestoreResult {
    let Seen { mut facts, findings, unasked } = seen;
    facts.extend(unasked);
    let outcome = if findings.is_empty() { Outcome::Sound } else { Outcome::Damaged };
    RestoreResult { started_at, ended_at, outcome, facts, findings }
}

async fn scratch<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    to: Option<Timestamp>,
) -> Result<Seen, Fault> {
    match manifest.kind {
        Kind::DatabaseDump => dump::scratch(host, manifest).await,
        Kind::DatabaseBase => base::scratch(host, manifest, to).await,
        Kind::Config | Kind::Code | Kind::Logs => files::scratch(host, manifest).await,
        Kind::Images => images::scratch(host, manifest).await,
        Kind::Cache => cache::scratch(host, manifest).await,
        Kind::DatabaseSnapshot | Kind::DatabaseWal => Err(not_here(manifest.kind)),
    }
}

async fn place<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    to: Option<Timestamp>,
) -> Result<Seen, Fault> {
    match manifest.kind {
        Kind::DatabaseDump => dump::place(host, manifest).await,
        Kind::DatabaseBase => base::place(host, manifest, to).await,
        Kind::Config | Kind::Code | Kind::Logs => files::place(host, manifest).await,
        Kind::Images => images::place(host, manifest).await,
        Kind::Cache => cache::place(host, manifest).await,
        Kind::DatabaseSnapshot | Kind::DatabaseWal => Err(not_here(manifest.kind)),
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

/// Copies all there is.
fn carry(from: &mut (dyn Read + Send), into: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        past_a_closed_pipe(into.write_all(buffer.get(..len).unwrap_or_default()))?;
    }
}

/// A program that wants no more is not told; its exit code says why.
fn past_a_closed_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
