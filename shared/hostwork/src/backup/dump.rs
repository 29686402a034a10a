//! `database-dump`: `pg_dump` in a snapshot whose rows are counted.

use std::{collections::BTreeMap, io, process::Stdio};

use lifeboat_core::Fault;

use super::{Content, Run};
use crate::{
    database::{self, PasswordFile, Snapshot, conninfo},
    program,
    store::ObjectStore,
    upload::Compression,
};

/// How long `pg_dump` waits for a table that somebody has locked exclusively.
const LOCK_WAIT: &str = "--lock-wait-timeout=60s";

/// Dumps the database. The rows are counted in the very snapshot that is dumped, at the same time.
pub(super) async fn take<S: ObjectStore>(run: &mut Run<'_, S>) -> Result<Content, Fault> {
    let target = run.host.database()?;
    let snapshot = Snapshot::open(&target).await?;
    let tool = run.host.client("pg_dump", snapshot.major).await?;
    let password = PasswordFile::new(target.password)?;
    let mut command = tokio::process::Command::new(&tool.path);
    command
        .args(["--format=custom", "--compress=0", "--no-password", LOCK_WAIT])
        .arg(format!("--snapshot={}", snapshot.name))
        .arg(format!("--dbname={}", conninfo(&target, password.path())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut dump = program::start(command)?;
    let mut output = dump.output()?;
    let counted = snapshot.count();
    let stored = run.artifact(
        database::DUMP,
        Compression::Zstd,
        move |into| {
            io::copy(&mut output, into)
                .map(|_| ())
                .map_err(|error| Fault::transient(format!("carry the dump: {error}")))
        },
        async { dump.end().await?.check() },
    );
    let (tables, ()) = tokio::try_join!(counted, stored)?;
    Ok(Content {
        source: format!(
            "database {} of {}:{}, PostgreSQL {}",
            target.database, target.host, target.port, snapshot.version
        ),
        versions: BTreeMap::from([
            ("pg_dump".to_owned(), tool.version),
            ("server".to_owned(), snapshot.version.clone()),
        ]),
        lsn: Some(snapshot.lsn.clone()),
        tables,
        ..Content::default()
    })
}
