//! Depth `present`: what the manifest names is there, as large as it says.

use jiff::Timestamp;
use lifeboat_catalogue::{
    Backups, Content,
    proof::{absent, in_file, whole},
};
use lifeboat_core::{
    Fault,
    backup::{Artifact, Evidence, Manifest, keys},
};

use crate::{Point, Snapshot, Snapshots};

pub(crate) async fn objects<B: Content>(
    point: &Point,
    manifest: &Manifest,
    backups: &Backups<B>,
    clock: fn() -> Timestamp,
    evidence: &mut Evidence,
) -> Result<(), Fault> {
    if manifest.artifacts.is_empty() {
        evidence.findings.push(whole("its manifest names no objects".into()));
    }
    let mut sums = 0_usize;
    for Artifact { name, size_bytes, sha256 } in &manifest.artifacts {
        let key = keys::artifact(&point.app, point.kind, &point.id, name);
        let Some(head) = backups.bucket().head(&key).await? else {
            evidence.findings.push(absent(manifest, name, backups.region(), clock())?);
            continue;
        };
        if head.size_bytes != *size_bytes {
            let message =
                format!("the object has {} bytes, {size_bytes} in the manifest", head.size_bytes);
            evidence.findings.push(in_file(name, message));
        }
        if let Some(stored) = head.sha256 {
            sums += 1;
            if stored != *sha256 {
                let message = format!("S3 keeps the SHA-256 {stored}, the manifest {sha256}");
                evidence.findings.push(in_file(name, message));
            }
        }
    }
    evidence.facts.push(format!(
        "{} objects and {} bytes are named by the manifest; the store keeps the SHA-256 of {sums}",
        manifest.artifacts.len(),
        manifest.size_bytes()
    ));
    Ok(())
}

pub(crate) async fn snapshot<S: Snapshots>(
    point: &Point,
    snapshots: &S,
    evidence: &mut Evidence,
) -> Result<(), Fault> {
    match snapshots.snapshot(&point.app, &point.id).await? {
        Snapshot::Available { size_bytes } => {
            evidence
                .facts
                .push(format!("RDS says that the snapshot of {size_bytes} bytes is available"));
        }
        Snapshot::Pending(status) => {
            return Err(Fault::not_ready(format!(
                "RDS says that the snapshot of {} is {status}",
                point.id
            )));
        }
        Snapshot::Broken(status) => {
            evidence.findings.push(whole(format!("RDS says that the snapshot is {status}")));
        }
        Snapshot::Missing => {
            evidence.findings.push(whole("RDS has no such snapshot in this region".into()));
        }
    }
    Ok(())
}
