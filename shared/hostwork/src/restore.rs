//! Restoring a backup, to prove it or to use it.

mod dump;
mod server;

use jiff::Timestamp;
use lifeboat_core::{
    Fault,
    backup::{EvidenceFinding, Kind, Manifest, Outcome, PointId},
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
        Kind::DatabaseSnapshot => Err(Fault::invalid("RDS restores its snapshots; no host does")),
        Kind::DatabaseWal
        | Kind::DatabaseBase
        | Kind::Config
        | Kind::Code
        | Kind::Logs
        | Kind::Images
        | Kind::Cache => Err(Fault::invalid(format!("{} cannot be restored yet", manifest.kind))),
    }
}

async fn place<S: ObjectStore>(_: &Host<S>, manifest: &Manifest) -> Result<Seen, Fault> {
    Err(Fault::invalid(format!("{} cannot be restored into place yet", manifest.kind)))
}
