//! A dump into a scratch server, and what is then in it.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    process::Stdio,
    time::Duration,
};

use lifeboat_core::{
    Fault,
    backup::{Artifact, Manifest, TableCount},
    plan_file::SqlCheck,
};
use lifeboat_postgres::{Session, Target};

use super::{Seen, server::Server};
use crate::{
    Host, artifact,
    database::{self, DUMP, QUICK, ask, text},
    program::{self, major},
    store::ObjectStore,
};

/// The scratch database.
const DATABASE: &str = "restored";
/// For one of the plan's questions.
const CHECK: Duration = Duration::from_secs(600);

/// The artifact whose name ends like this.
pub(super) fn find<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a Artifact, Fault> {
    let found = manifest.artifacts.iter().find(|artifact| artifact.name.ends_with(name));
    found.ok_or_else(|| Fault::invalid(format!("the manifest of {} has no {name}", manifest.id)))
}

/// The server's major version, as the manifest has it.
pub(super) fn server_major(manifest: &Manifest) -> Result<u32, Fault> {
    let version = manifest.versions.get("server").map_or("", String::as_str);
    major(version).ok_or_else(|| {
        Fault::invalid(format!("the manifest of {} has no server version", manifest.id))
    })
}

/// Restores and checks.
pub(super) async fn scratch<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    let dump = find(manifest, DUMP)?;
    let server = Server::fresh(&host.scratch, server_major(manifest)?);
    let mut server = server.await?;
    let session = server.session("postgres", (host.clock)()).await?;
    let create = format!("CREATE DATABASE {DATABASE} TEMPLATE template0");
    ask(&session, "make the scratch database", &create, QUICK).await?;
    drop(session);

    let tool = program::postgresql("pg_restore", server_major(manifest)?).await?;
    let target = server.target(DATABASE)?;
    let mut command = server.command(&tool.path);
    command.args(["--no-owner", "--no-acl", "--no-subscriptions", "--no-password"]);
    load(host, manifest, dump, command, &target, &mut seen).await?;
    if !seen.findings.is_empty() {
        return Ok(seen);
    }
    seen.facts.push(format!(
        "restored by pg_restore {} into a scratch server of PostgreSQL {}",
        tool.version, server.tool.version
    ));
    let session = server.session(DATABASE, (host.clock)()).await?;
    check(host, manifest, &session, &mut seen).await?;
    Ok(seen)
}

/// Streams the dump into `pg_restore`.
async fn load<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    dump: &Artifact,
    mut command: tokio::process::Command,
    target: &Target<'_>,
    seen: &mut Seen,
) -> Result<(), Fault> {
    command
        .args(["--host", target.host, "--username", target.user])
        .args(["--dbname", target.database])
        .env_remove("PGOPTIONS")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut restoring = program::start(command)?;
    let mut input = restoring.input()?;
    let used = artifact::with(
        &host.store,
        (&manifest.app, manifest.kind, &manifest.id),
        dump,
        move |from| carry(from, &mut input),
    )
    .await?;
    seen.findings.extend(used.findings);
    let ended = restoring.end().await?;
    // Bytes that are known to be wrong explain whatever the program says of them.
    if !seen.findings.is_empty() || used.value.is_none() {
        return Ok(());
    }
    if !ended.success {
        judge(&ended, &dump.name, seen)?;
    }
    Ok(())
}

/// Copies all there is. A program that wants no more is not told; its exit code says why.
fn carry(from: &mut dyn Read, into: &mut impl Write) -> io::Result<()> {
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

/// What the server says of objects that the scratch host lacks and the dump refers to: it says
/// something of this host and nothing of the dump.
const LACKING: [&str; 7] = [
    "extension \"",
    "could not open extension control file",
    "could not access file",
    "No space left on device",
    "tablespace \"",
    "collation \"",
    "out of memory",
];

/// Reads `pg_restore`'s errors about bytes that are known to be whole.
fn judge(ended: &program::Ended, file: &str, seen: &mut Seen) -> Result<(), Fault> {
    let is_error = |line: &&String| line.contains("error: ") || line.contains("ERROR: ");
    let errors: Vec<&String> = ended.errors.iter().filter(is_error).collect();
    if errors.is_empty() || errors.iter().any(|e| LACKING.iter().any(|words| e.contains(words))) {
        return Err(ended.fault());
    }
    for error in errors {
        // Roles are the server's, not the database's: a dump refers to them and does not hold them.
        if error.contains("role \"") && error.contains("does not exist") {
            seen.facts.push(format!("passed over, as scratch has no such role: {error}"));
        } else {
            seen.find(file, "", format!("pg_restore: {error}"));
        }
    }
    Ok(())
}

/// Holds what is in the database against the manifest and the plan.
pub(super) async fn check<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    session: &Session,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let state = session.state(QUICK).await.map_err(|e| e.fault("ask the scratch server"))?;
    if state.in_recovery {
        seen.find("", "", "the restored server is still in recovery");
    } else {
        seen.facts.push("the database is out of recovery".to_owned());
    }
    let counted = database::count(session).await?;
    compare(&manifest.tables, &counted, seen);
    let checks = host.plan.backup.as_ref().map_or(&[][..], |backup| &backup.checks);
    for question in checks {
        put(session, question, seen).await?;
    }
    Ok(())
}

/// Compares row counts, table by table.
fn compare(expected: &[TableCount], counted: &[TableCount], seen: &mut Seen) {
    let there: BTreeMap<&str, u64> = counted.iter().map(|c| (c.table.as_str(), c.rows)).collect();
    let mut same = 0_u64;
    let mut rows = 0_u64;
    for TableCount { table, rows: wanted } in expected {
        let place = format!("table {table}");
        match there.get(table.as_str()) {
            Some(found) if found == wanted => {
                same += 1;
                rows += found;
            }
            Some(found) => {
                seen.find("", place, format!("{found} rows were restored of {wanted}"));
            }
            None => seen.find("", place, format!("it was not restored; it had {wanted} rows")),
        }
    }
    seen.facts.push(format!("{same} tables with {rows} rows are as the manifest says"));
}

/// Puts one of the plan's questions.
async fn put(session: &Session, check: &SqlCheck, seen: &mut Seen) -> Result<(), Fault> {
    let begin = format!(
        "BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = '{}s'",
        CHECK.as_secs()
    );
    ask(session, "begin a check", &begin, QUICK).await?;
    let answer = session.rows(&check.query, CHECK + QUICK).await;
    ask(session, "end a check", "ROLLBACK", QUICK).await?;
    let SqlCheck { name, query: _ } = check;
    match answer {
        Ok(rows) => match (rows.as_slice(), rows.first().map(Vec::as_slice)) {
            ([_], Some([Some(value)])) if value == "t" => {
                seen.facts.push(format!("check `{name}`: true"));
            }
            ([row], _) => {
                seen.find("", format!("check {name}"), format!("answered {}", text(row, 0)));
            }
            (rows, _) => {
                seen.find("", format!("check {name}"), format!("answered {} rows", rows.len()));
            }
        },
        Err(error) => {
            seen.find("", format!("check {name}"), format!("cannot be answered: {error}"));
        }
    }
    Ok(())
}
