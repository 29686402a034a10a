//! `database-base`: `pg_basebackup` as one stream, with the WAL that it needs in it.
//!
//! To standard output `pg_basebackup` writes the tar of one tablespace, without the server's
//! compression (it puts the manifest into the tar itself), so it is compressed here, on all
//! processors. The manifest and the label are taken out of the stream as it passes: the manifest is
//! stored beside it once more, because an incremental backup begins with its parent's.

mod tap;

use std::{collections::BTreeMap, fs::File, io, process::Stdio};

use lifeboat_archive::{BaseManifest, SegmentName};
use lifeboat_core::{
    Fault,
    backup::{PointId, TableCount, WalSpan},
    plan_file::Engine,
};
use lifeboat_postgres::Lsn;

use self::tap::Tap;
use super::{Content, Run};
use crate::{
    artifact,
    database::{self, Cluster, PasswordFile, Table, conninfo},
    program,
    store::ObjectStore,
    upload::Compression,
};

/// The artifact of the backup.
pub(crate) const BASE: &str = "base.tar.zst";
/// The artifact of its manifest.
pub(crate) const MANIFEST: &str = "backup_manifest.zst";
/// The first server that makes incremental backups (its release notes).
const INCREMENTAL: u32 = 17;

/// Takes a base backup of the whole server, or what changed since the point's parent.
pub(super) async fn take<S: ObjectStore>(run: &mut Run<'_, S>) -> Result<Content, Fault> {
    if run.host.plan.database.engine != Engine::Postgres {
        return Err(Fault::invalid("RDS gives no base backups: schedule database-snapshot"));
    }
    let target = run.host.database()?;
    let session = database::login(&target).await?;
    let cluster = database::cluster(&session).await?;
    let before = database::tables(&session).await?;
    drop(session);
    if cluster.tablespaces > 0 {
        return Err(Fault::refused(format!(
            "the server has {} tablespaces of its own, and a base backup of several tablespaces is \
             no single stream: move their tables to pg_default, or schedule database-dump",
            cluster.tablespaces
        )));
    }
    let tool = run.host.client("pg_basebackup", cluster.major).await?;
    let password = PasswordFile::new(target.password)?;
    let mut command = tokio::process::Command::new(&tool.path);
    command
        .args(["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast"])
        .args(["--no-password", "--label"])
        .arg(format!("lifeboat {}", run.id))
        .arg(format!("--dbname={}", conninfo(&target, password.path())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // Kept until the program has ended.
    let folder = parent(run, &cluster, &mut command).await?;
    let mut backup = program::start(command)?;
    let mut output = backup.output()?;
    let tap = run
        .artifact(
            BASE,
            Compression::Zstd,
            move |into| {
                let mut tap = Tap::new(into);
                let copied = io::copy(&mut output, &mut tap);
                copied.map_err(|error| Fault::transient(format!("carry the backup: {error}")))?;
                Ok(tap.taken())
            },
            async { backup.end().await?.check() },
        )
        .await?;
    drop(folder);
    let json = tap.manifest.ok_or_else(|| lacks("backup_manifest"))?;
    let (wal, lsn) = span(&json, &cluster)?;
    run.artifact(
        MANIFEST,
        Compression::Zstd,
        move |into| {
            into.write_all(&json).map_err(|error| Fault::transient(format!("carry: {error}")))
        },
        async { Ok(()) },
    )
    .await?;
    let session = database::login(&target).await?;
    let tables = throughout(&before, &database::tables(&session).await?);
    let checksums = if cluster.checksums { "with" } else { "without" };
    Ok(Content {
        source: format!(
            "server {}:{}, PostgreSQL {}, {checksums} page checksums",
            target.host, target.port, cluster.version
        ),
        versions: BTreeMap::from([
            ("pg_basebackup".to_owned(), tool.version),
            ("server".to_owned(), cluster.version),
        ]),
        lsn: Some(lsn.to_string()),
        wal: Some(wal),
        tables,
        ..Content::default()
    })
}

/// The tables that are certainly in the backup: those that were there, under their names, from before
/// it began until after it ended. It restores to a moment in between, at which one that was made or
/// dropped meanwhile is there or not.
fn throughout(before: &[Table], after: &[Table]) -> Vec<TableCount> {
    let both = before.iter().filter(|table| after.contains(table));
    both.map(|table| TableCount { table: table.name.clone(), rows: None }).collect()
}

fn lacks(what: &str) -> Fault {
    Fault::needs_human(format!("the stream of pg_basebackup has no {what}"))
}

/// For a point that has a parent: gives `pg_basebackup` the parent's manifest, in a folder to keep.
async fn parent<S: ObjectStore>(
    run: &Run<'_, S>,
    cluster: &Cluster,
    command: &mut tokio::process::Command,
) -> Result<Option<tempfile::TempDir>, Fault> {
    let Some(parent) = run.id.parent() else { return Ok(None) };
    if cluster.major < INCREMENTAL {
        return Err(Fault::refused(format!(
            "the server is PostgreSQL {} and makes no incremental backups; servers do from {INCREMENTAL} \
             on (with summarize_wal = on): take full ones",
            cluster.version
        )));
    }
    let manifest = super::manifest(run.host, run.kind, &parent).await?.ok_or_else(|| {
        Fault::invalid(format!("there is no backup {parent}, which {} builds on", run.id))
    })?;
    let found = manifest.artifacts.iter().find(|artifact| artifact.name.ends_with(MANIFEST));
    let found = found.ok_or_else(|| Fault::invalid(format!("{parent} has no {MANIFEST}")))?;
    let failed = |error: io::Error| Fault::needs_human(format!("keep a manifest: {error}"));
    let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir().map_err(failed)?;
    let path = folder.path().join("backup_manifest");
    command.arg(format!("--incremental={}", path.display()));
    let at = (run.host.app(), run.kind, &parent);
    let used = artifact::with(&run.host.store, at, found, move |from| {
        io::copy(from, &mut File::create_new(path)?)
    })
    .await?;
    if let Some(finding) = used.findings.first() {
        return Err(Fault::needs_human(format!(
            "the manifest of {parent} is damaged ({}): take a full backup",
            finding.message
        )));
    }
    used.value.transpose().map_err(failed)?;
    Ok(Some(folder))
}

/// The WAL that the backup needs, and where it is consistent.
fn span(json: &[u8], cluster: &Cluster) -> Result<(WalSpan, Lsn), Fault> {
    let odd = |why: String| Fault::needs_human(format!("the backup's manifest: {why}"));
    let manifest = BaseManifest::read(json).map_err(|error| odd(error.to_string()))?;
    let ranges = manifest.wal_ranges();
    let (first, last) = ranges.first().zip(ranges.last()).ok_or_else(|| lacks("WAL range"))?;
    let segment = |timeline, lsn| {
        let name = SegmentName::of(timeline, lsn, cluster.segment_bytes).to_string();
        PointId::new(name).map_err(|error| odd(error.to_string()))
    };
    // The end is the first byte that is not needed.
    let wal = WalSpan {
        system: cluster.system.clone(),
        first: segment(first.timeline, first.start)?,
        last: segment(last.timeline, last.end.saturating_sub(1))?,
    };
    Ok((wal, Lsn(last.end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_that_were_there_all_the_time_are_certain() {
        let of = |all: &[(&str, u32)]| -> Vec<Table> {
            all.iter().map(|(name, oid)| Table::new(*name, oid.to_string())).collect()
        };
        let before = of(&[("public.kept", 1), ("public.dropped", 2), ("public.anew", 3)]);
        let after = of(&[("public.anew", 5), ("public.kept", 1), ("public.made", 4)]);
        let kept = TableCount { table: "public.kept".to_owned(), rows: None };
        assert_eq!(throughout(&before, &after), [kept]);
    }
}
