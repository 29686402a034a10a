//! What backup and restore ask of PostgreSQL.
//!
//! # The role
//! `database.user` of the plan takes backups. Beside the grants that `lifeboat-postgres` names it
//! needs, made on the primary:
//!
//! ```sql
//! GRANT pg_read_all_data TO lifeboat;                      -- database-dump
//! ALTER ROLE lifeboat REPLICATION;                         -- database-base and database-wal
//! ```
//!
//! and for the last two a `host replication lifeboat` line in `pg_hba.conf`. Tables with row-level
//! security need `ALTER ROLE lifeboat BYPASSRLS`: a dump without their rows would be none, so
//! `pg_dump` refuses.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use lifeboat_core::{Fault, backup::TableCount};
use lifeboat_postgres::{Session, Target, connect};
use tempfile::TempDir;

/// The artifact of a dump.
pub(crate) const DUMP: &str = "database.dump.zst";

/// For logging in.
const LOGIN: Duration = Duration::from_secs(10);
/// For a statement that reads no table.
pub(crate) const QUICK: Duration = Duration::from_secs(30);
/// For reading a whole table: longer than the document's own limit, which ends the work.
pub(crate) const LONG: Duration = Duration::from_secs(24 * 3600);

/// A session that waits for it, as a fault otherwise.
pub(crate) async fn login(target: &Target<'_>) -> Result<Session, Fault> {
    connect(target, LOGIN).await.map_err(|error| error.fault(&format!("log in to {target:?}")))
}

/// The rows of a statement's answer; `doing` says what for.
pub(crate) async fn ask(
    session: &Session,
    doing: &str,
    statement: &str,
    limit: Duration,
) -> Result<Vec<Vec<Option<String>>>, Fault> {
    session.rows(statement, limit).await.map_err(|error| error.fault(doing))
}

/// Text of a column, empty for null.
pub(crate) fn text(row: &[Option<String>], at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

/// An open transaction whose snapshot others can use.
#[derive(Debug)]
pub(crate) struct Snapshot {
    session: Session,
    /// The snapshot's name.
    pub(crate) name: String,
    /// The server's version.
    pub(crate) version: String,
    /// The first number of it.
    pub(crate) major: u32,
    /// The end of the WAL when the snapshot was taken: everything in it is before.
    pub(crate) lsn: String,
}

/// The settings by which a server or a role might end a long transaction. Row security is off so
/// that a table whose rows are hidden from the role is an error, not a wrong count.
const BEGIN: &str = "SET statement_timeout = 0; SET lock_timeout = '60s'; \
     SET idle_in_transaction_session_timeout = 0; SET row_security = off; \
     BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

const WHERE: &str = "SELECT pg_export_snapshot(), current_setting('server_version'), \
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END";

impl Snapshot {
    /// Begins the transaction.
    pub(crate) async fn open(target: &Target<'_>) -> Result<Self, Fault> {
        let doing = format!("take a snapshot of {target:?}");
        let session = login(target).await?;
        ask(&session, &doing, BEGIN, QUICK).await?;
        let rows = ask(&session, &doing, WHERE, QUICK).await?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        // "15.18 (Debian 15.18-0+deb12u1)"
        let version = text(row, 1).split_whitespace().next().unwrap_or_default().to_owned();
        let major = crate::program::major(&version)
            .ok_or_else(|| Fault::needs_human(format!("the server's version is {version:?}")))?;
        let (name, lsn) = (text(row, 0).to_owned(), text(row, 2).to_owned());
        Ok(Self { session, name, version, major, lsn })
    }

    /// Rows of every table, as this snapshot sees them.
    pub(crate) async fn count(&self) -> Result<Vec<TableCount>, Fault> {
        count(&self.session).await
    }
}

/// The tables whose rows a dump carries: ordinary ones (a partitioned table's rows are its
/// partitions'), without the system's, temporary ones, and an extension's own.
const TABLES: &str = "SELECT n.nspname, c.relname, c.oid, \
     format('SELECT count(*) FROM ONLY %I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
     AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
     ORDER BY 1, 2";

/// A server, as a physical backup needs to know it.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Its version.
    pub(crate) version: String,
    /// The first number of it.
    pub(crate) major: u32,
    /// The system identifier, which all copies of a cluster share.
    pub(crate) system: String,
    /// Bytes of a WAL segment.
    pub(crate) segment_bytes: u64,
    /// Folders outside of the data directory.
    pub(crate) tablespaces: u64,
    /// Whether every page has a checksum.
    pub(crate) checksums: bool,
}

const CLUSTER: &str = "SELECT current_setting('server_version'), \
     (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
     pg_size_bytes(current_setting('wal_segment_size')), \
     (SELECT count(*) FROM pg_catalog.pg_tablespace WHERE spcname !~ '^pg_'), \
     current_setting('data_checksums')";

/// Asks a server about itself.
pub(crate) async fn cluster(session: &Session) -> Result<Cluster, Fault> {
    let rows = ask(session, "ask the server about itself", CLUSTER, QUICK).await?;
    let row = rows.first().map(Vec::as_slice).unwrap_or_default();
    let version = text(row, 0).split_whitespace().next().unwrap_or_default().to_owned();
    let odd = || Fault::needs_human(format!("the server says of itself {row:?}"));
    Ok(Cluster {
        major: crate::program::major(&version).ok_or_else(odd)?,
        version,
        system: text(row, 1).to_owned(),
        segment_bytes: text(row, 2).parse().map_err(|_| odd())?,
        tablespaces: text(row, 3).parse().map_err(|_| odd())?,
        checksums: text(row, 4) == "on",
    })
}

/// A user table that holds rows of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Table {
    /// Schema and name, as in `public.tickets`.
    pub(crate) name: String,
    /// Its number, which one that was dropped and made anew under its name has not.
    oid: String,
}

impl Table {
    /// A table of this name and number.
    pub(crate) fn new(name: impl Into<String>, oid: impl Into<String>) -> Self {
        Self { name: name.into(), oid: oid.into() }
    }
}

/// All of them.
pub(crate) async fn tables(session: &Session) -> Result<Vec<Table>, Fault> {
    let rows = ask(session, "list the tables", TABLES, QUICK).await?;
    let table =
        |row: &Vec<_>| Table::new(format!("{}.{}", text(row, 0), text(row, 1)), text(row, 2));
    Ok(rows.iter().map(table).collect())
}

/// Rows of every user table.
pub(crate) async fn count(session: &Session) -> Result<Vec<TableCount>, Fault> {
    let mut counts = Vec::new();
    for row in ask(session, "list the tables", TABLES, QUICK).await? {
        let table = format!("{}.{}", text(&row, 0), text(&row, 1));
        let doing = format!("count the rows of {table}");
        let answer = ask(session, &doing, text(&row, 3), LONG).await?;
        let rows = answer.first().and_then(|row| text(row, 0).parse().ok());
        let rows = rows.ok_or_else(|| Fault::needs_human(format!("{doing}: no number came")))?;
        counts.push(TableCount { table, rows: Some(rows) });
    }
    Ok(counts)
}

/// A libpq connection string without a password.
pub(crate) fn conninfo(target: &Target<'_>, password_file: &Path) -> String {
    let quoted = |value: &str| format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
    format!(
        "host={} port={} dbname={} user={} passfile={} connect_timeout=10 application_name=lifeboat",
        quoted(target.host),
        target.port,
        quoted(target.database),
        quoted(target.user),
        quoted(&password_file.to_string_lossy()),
    )
}

/// A password where libpq reads it and nobody else can; removed when dropped.
#[derive(Debug)]
pub(crate) struct PasswordFile {
    path: PathBuf,
    _folder: TempDir,
}

impl PasswordFile {
    /// Writes the file, in a folder of its own that only this user can enter.
    pub(crate) fn new(password: &str) -> Result<Self, Fault> {
        if password.contains(['\n', '\r']) {
            return Err(Fault::invalid(
                "the database's password has a line break: libpq reads none",
            ));
        }
        let failed = |error| Fault::needs_human(format!("write a password file: {error}"));
        let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir().map_err(failed)?;
        let file = Self { path: folder.path().join("pgpass"), _folder: folder };
        let mut options = fs::OpenOptions::new();
        let mut written =
            options.write(true).create_new(true).mode(0o600).open(file.path()).map_err(failed)?;
        // `hostname:port:database:username:password` with backslashes before `:` and `\` (manual,
        // "The Password File").
        let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
        writeln!(written, "*:*:*:*:{escaped}").map_err(failed)?;
        Ok(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
