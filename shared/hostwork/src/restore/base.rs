//! A base backup under a scratch server: it recovers with the WAL that is in the backup, and every
//! table is read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::SignedDuration;
use lifeboat_archive::{UnpackError, UnpackOptions, unpack};
use lifeboat_core::{Fault, backup::Manifest};
use lifeboat_postgres::Session;

use super::{
    Seen,
    dump::{is_of_the_host, questions, server_major},
    find,
    server::{Folder, Server},
};
use crate::{
    Host, artifact,
    backup::base::BASE,
    database::{LONG, QUICK, ask, tables, text},
    download::blocking,
    program,
    store::ObjectStore,
};

/// The WAL of one backup is replayed within this time.
const RECOVERS: SignedDuration = SignedDuration::from_hours(1);

/// Unpacks, recovers, and reads everything.
pub(super) async fn scratch<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    if let Some(parent) = manifest.id.parent() {
        return Err(Fault::invalid(format!(
            "{} is incremental: combining it with {parent} (pg_combinebackup) is not done yet; \
             restore {parent}, and replay the archived WAL",
            manifest.id
        )));
    }
    let mut seen = Seen::default();
    let folder = Folder::new(&host.scratch)?;
    let data = folder.path().join("data");
    if !unpacked(host, manifest, &folder, &data, &mut seen).await? {
        return Ok(seen);
    }
    let major = server_major(manifest)?;
    let control = program::postgresql("pg_controldata", major).await?;
    let mut command = folder.command(&control.path);
    command.arg(&data);
    let said = program::output(command).await?;
    let system = said.lines().find_map(|line| line.strip_prefix("Database system identifier:"));
    let system = system.unwrap_or_default().trim();
    if let Some(wal) = &manifest.wal
        && wal.system != system
    {
        let message = format!("it is of cluster {system}, and the manifest of {}", wal.system);
        seen.find("", "", message);
        return Ok(seen);
    }
    let mut server = Server::start(folder, &data, major).await?;
    let until = (host.clock)() + RECOVERS;
    let user = &host.plan.database.user;
    let session = match server.session_as(user, "postgres", until).await {
        Ok(session) => session,
        // The files are those of the manifest, and this server cannot work with them.
        Err(fault)
            if seen.findings.is_empty()
                && fault.message.contains("server ended")
                && !is_of_the_host(&fault.message) =>
        {
            seen.find("", "", fault.message);
            return Ok(seen);
        }
        Err(fault) => return Err(fault),
    };
    seen.facts.push(format!(
        "a scratch server of PostgreSQL {} has recovered cluster {system}",
        server.tool.version
    ));
    let state = session.state(QUICK).await.map_err(|e| e.fault("ask the scratch server"))?;
    if state.in_recovery {
        seen.find("", "", "the restored server is still in recovery");
        return Ok(seen);
    }
    let superuser = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid";
    let superuser = first(&session, "find a superuser", superuser).await?;
    let superuser = superuser.unwrap_or_else(|| user.clone());
    drop(session);
    let session = server.session_as(&superuser, "postgres", until).await?;
    let databases = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname";
    for row in ask(&session, "list the databases", databases, QUICK).await? {
        let database = text(&row, 0);
        let session = server.session_as(&superuser, database, until).await?;
        read(database, &session, &mut seen).await?;
        if database == host.plan.database.name {
            let there = tables(&session).await?;
            for count in manifest.tables.iter().filter(|count| !there.contains(&count.table)) {
                seen.find("", format!("table {}", count.table), "it was not restored");
            }
            questions(host, &session, &mut seen).await?;
        }
    }
    Ok(seen)
}

async fn first(session: &Session, doing: &str, query: &str) -> Result<Option<String>, Fault> {
    let rows = ask(session, doing, query, QUICK).await?;
    Ok(rows.first().map(|row| text(row, 0).to_owned()))
}

/// Unpacks the cluster for the scratch server's user; false when it is damaged.
async fn unpacked<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    folder: &Folder,
    data: &Path,
    seen: &mut Seen,
) -> Result<bool, Fault> {
    let base = find(manifest, BASE)?;
    let failed =
        |error: io::Error| Fault::needs_human(format!("unpack into {}: {error}", data.display()));
    fs::create_dir(data).map_err(failed)?;
    let into = data.to_owned();
    let at = (&manifest.app, manifest.kind, &manifest.id);
    let used = artifact::with(&host.store, at, base, move |from| {
        let options = UnpackOptions { keep_owners: false, ..UnpackOptions::default() };
        Ok(unpack(from, &into, options))
    })
    .await?;
    seen.findings.extend(used.findings);
    match used.value.transpose().map_err(failed)? {
        Some(Ok(_)) if seen.findings.is_empty() => {}
        Some(Err(UnpackError::Write { path, cause })) => {
            return Err(Fault::needs_human(format!("{path} cannot be written: {cause}")));
        }
        Some(Err(error)) if seen.findings.is_empty() => {
            seen.find(&base.name, "", error.to_string());
            return Ok(false);
        }
        Some(_) | None => return Ok(false),
    }
    // A replica's backup would wait for its primary.
    for name in ["standby.signal", "recovery.signal"] {
        match fs::remove_file(data.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    fs::write(data.join("postgresql.auto.conf"), "").map_err(failed)?;
    let (root, user) = (data.to_owned(), folder.user);
    blocking(move || own(root, user)).await?.map_err(failed)?;
    folder.own(data).map_err(failed)?;
    Ok(true)
}

/// Gives everything to the server's user. Links stay: their targets are nobody's business.
fn own(root: PathBuf, user: Option<program::User>) -> io::Result<()> {
    let Some(program::User { uid, gid }) = user else { return Ok(()) };
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// Every table with rows of its own, the system's included.
const ALL: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 't', 'm') AND c.relpersistence = 'p' ORDER BY 1";

/// Reads every page of every table: without an index, so that the table itself is read, and with
/// its checksum where the cluster has them.
async fn read(database: &str, session: &Session, seen: &mut Seen) -> Result<(), Fault> {
    let settings = "SET statement_timeout = 0; SET enable_indexscan = off; \
         SET enable_indexonlyscan = off; SET enable_bitmapscan = off";
    ask(session, "set the reading up", settings, QUICK).await?;
    let (mut count, mut rows) = (0_u64, 0_u64);
    for row in ask(session, "list all tables", ALL, QUICK).await? {
        let table = text(&row, 0);
        match session.rows(&format!("SELECT count(*) FROM {table}"), LONG).await {
            Ok(answer) => {
                count += 1;
                rows += answer.first().and_then(|row| text(row, 0).parse().ok()).unwrap_or(0);
            }
            Err(lifeboat_postgres::SqlError::Failed { message, .. }) => {
                seen.find("", format!("database {database}, table {table}"), message);
            }
            Err(error) => return Err(error.fault(&format!("read {table}"))),
        }
    }
    seen.facts.push(format!("database {database}: {count} tables with {rows} rows are read"));
    Ok(())
}
