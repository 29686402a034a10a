//! A base backup under a scratch server: it recovers, with the WAL that is in the backup or with the
//! archived one to a moment, and every table is read.

mod archive;
mod chain;
mod place;

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    Fault,
    backup::{Manifest, question},
};
use lifeboat_postgres::{Session, SqlError};

pub(super) use self::place::place;
use super::{
    Seen,
    dump::{is_of_the_host, questions, server_major},
    server::{Folder, Server},
};
use crate::{
    Host,
    database::{LONG, QUICK, ask, tables, text},
    program::{self, User, unprivileged},
    store::ObjectStore,
};

/// The WAL of one backup is replayed within this time.
const RECOVERS: SignedDuration = SignedDuration::from_hours(1);
/// Archived WAL is replayed within this time: shorter than the document may run.
const REPLAYS: SignedDuration = SignedDuration::from_hours(5);

/// Unpacks, recovers, and reads everything.
pub(super) async fn scratch<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    to: Option<Timestamp>,
) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    let system = archive::span(manifest)?.system.clone();
    let major = server_major(manifest)?;
    equipped(host, major).await?;
    let Some(members) = chain::members(host, manifest, &mut seen).await? else { return Ok(seen) };
    if let Some(to) = to {
        archive::judge(host, manifest, major, to).await?;
    }
    let folder = Folder::new(&host.scratch)?;
    let data = folder.path().join("data");
    let failed = |error| Fault::needs_human(format!("prepare {}: {error}", data.display()));
    fs::create_dir(&data).and_then(|()| folder.own(&data)).map_err(failed)?;
    if !chain::make(host, &members, major, &data, folder.user, &mut seen).await?
        || !is_of(host, &data, folder.user, &system, major, &mut seen).await?
    {
        return Ok(seen);
    }
    // Its own settings may ask for what this host has not, and the server is started with ours.
    fs::write(data.join("postgresql.auto.conf"), "").map_err(failed)?;
    let mut settings = Vec::new();
    if to.is_some() {
        let signal = data.join("recovery.signal");
        fs::write(&signal, "").and_then(|()| folder.own(&signal)).map_err(failed)?;
        settings
            .extend(archive::settings(host, &system, to).iter().map(|(k, v)| format!("{k}={v}")));
        // Otherwise it must have as many connections and processes as the site's server.
        settings.push("hot_standby=off".to_owned());
    }
    let tool = host.server("postgres", major).await?;
    let mut server = Server::start(folder, &data, tool, &settings)?;
    let until = (host.clock)() + if to.is_some() { REPLAYS } else { RECOVERS };
    let user = &host.plan.database.user;
    let session = match (server.session_as(user, "postgres", until).await, to) {
        (Ok(session), _) => session,
        (Err(fault), Some(to)) if fault.message.contains("server ended") => {
            // What is in the archive, or whether it can be had, says nothing of the backup.
            return Err(Fault::needs_human(format!(
                "{} cannot be recovered to {to} with the archived WAL: {}",
                manifest.id, fault.message
            )));
        }
        // The files are those of the manifest, and this server cannot work with them.
        (Err(fault), None)
            if seen.findings.is_empty()
                && fault.message.contains("server ended")
                && !is_of_the_host(&fault.message) =>
        {
            seen.find("", "", fault.message);
            return Ok(seen);
        }
        (Err(fault), _) => return Err(fault),
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
    if let Some(reached) = first(&session, "ask how far it has recovered", REACHED).await? {
        seen.facts.push(reached);
    }
    let databases = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname";
    for row in ask(&session, "list the databases", databases, QUICK).await? {
        let database = text(&row, 0);
        let session = server.session_as(&superuser, database, until).await?;
        read(database, &session, &mut seen).await?;
        if database == host.plan.database.name {
            // At a later moment there may be other tables.
            if to.is_none() {
                let there: Vec<String> =
                    tables(&session).await?.into_iter().map(|table| table.name).collect();
                for count in manifest.tables.iter().filter(|count| !there.contains(&count.table)) {
                    seen.find("", format!("table {}", count.table), "it was not restored");
                }
                seen.facts.push(format!(
                    "{} tables of the manifest are looked for in {database}",
                    manifest.tables.len()
                ));
            }
            questions(host, &session, &mut seen).await?;
        }
    }
    Ok(seen)
}

/// How far a server has recovered, in a sentence.
const REACHED: &str = "SELECT format('recovered to LSN %s on timeline %s; its last transaction \
     ended at %s', pg_last_wal_replay_lsn(), (SELECT timeline_id FROM pg_control_checkpoint()), \
     coalesce(to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', \
     'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), 'no known time: none was replayed'))";

async fn first(session: &Session, doing: &str, query: &str) -> Result<Option<String>, Fault> {
    let rows = ask(session, doing, query, QUICK).await?;
    Ok(rows.first().map(|row| text(row, 0).to_owned()))
}

/// That this host has the programs of a cluster's version: a missing one is told before hours of
/// unpacking.
async fn equipped<S>(host: &Host<S>, major: u32) -> Result<(), Fault> {
    for program in ["postgres", "pg_controldata"] {
        host.server(program, major).await?;
    }
    Ok(())
}

/// Whether the cluster in `data` is the manifest's; a finding when it is not.
async fn is_of<S>(
    host: &Host<S>,
    data: &Path,
    user: Option<User>,
    system: &str,
    major: u32,
    seen: &mut Seen,
) -> Result<bool, Fault> {
    let tool = host.server("pg_controldata", major).await?;
    let mut command = unprivileged(&tool.path, user);
    command.arg(data).current_dir("/").env("LC_ALL", "C");
    let said = program::output(command).await?;
    let found = said.lines().find_map(|line| line.strip_prefix("Database system identifier:"));
    let found = found.unwrap_or_default().trim();
    if found != system {
        seen.find("", "", format!("it is of cluster {found}, and the manifest of {system}"));
    }
    Ok(found == system)
}

/// Every table with rows of its own, the system's included. A materialized view that was never filled
/// cannot be read, and holds nothing.
const ALL: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 't', 'm') AND c.relpersistence = 'p' AND c.relispopulated ORDER BY 1";

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
            Err(SqlError::Failed { code, message })
                if question::is_of_the_data(&code) && !is_of_the_host(&message) =>
            {
                seen.find("", format!("database {database}, table {table}"), message);
            }
            Err(error) => return Err(error.fault(&format!("read {table}"))),
        }
    }
    seen.facts.push(format!("database {database}: {count} tables with {rows} rows are read"));
    Ok(())
}
