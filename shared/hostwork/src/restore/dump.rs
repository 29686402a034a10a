//! A dump into a scratch server, and what is then in it.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    process::Stdio,
    time::Duration,
};

use lifeboat_core::{
    Fault,
    backup::{
        Artifact, Manifest, TableCount,
        question::{self, Answer},
    },
    plan_file::SqlCheck,
};
use lifeboat_postgres::Session;

use rustix::process::Signal;

use super::{Seen, find, past_a_closed_pipe, server::Server};
use crate::{
    Host, artifact,
    database::{self, DUMP, QUICK, ask},
    download::blocking,
    program::{self, major},
    store::ObjectStore,
};

/// The scratch database.
const DATABASE: &str = "restored";
/// For one of the plan's questions.
const CHECK: Duration = Duration::from_secs(600);

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
    let mut server = Server::fresh(host, server_major(manifest)?).await?;
    let session = server.session("postgres", (host.clock)()).await?;
    let create = format!("CREATE DATABASE {DATABASE} TEMPLATE template0");
    ask(&session, "make the scratch database", &create, QUICK).await?;
    drop(session);

    let tool = host.client("pg_restore", server_major(manifest)?).await?;
    let target = server.target(DATABASE)?;
    let mut command = server.command(&tool.path);
    command.args(["--no-owner", "--no-acl", "--no-subscriptions", "--no-password"]);
    command
        .args(["--host", target.host, "--username", target.user])
        .args(["--dbname", target.database]);
    load(host, manifest, dump, command, &mut seen).await?;
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

/// Restores into the site's database, which must have no table.
pub(super) async fn place<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let target = host.database()?;
    let session = database::login(&target).await?;
    let state = session.state(QUICK).await.map_err(|e| e.fault("ask the site's database"))?;
    if !state.is_writable() {
        return Err(Fault::refused(format!("{target:?} is a replica or read-only")));
    }
    let there = database::tables(&session).await?;
    if let Some(table) = there.first() {
        return Err(Fault::refused(format!(
            "{target:?} has {} tables, {} first: a dump is restored only into an empty \
             database; move the old one aside (ALTER DATABASE ... RENAME TO ...) and create it anew",
            there.len(),
            table.name
        )));
    }
    let mut seen = Seen::default();
    let tool = host.client("pg_restore", server_major(manifest)?).await?;
    // Read once for its checksum alone: what lies behind the last byte that pg_restore needs would be
    // found too late to keep it from its commit.
    let (dump, at) = (find(manifest, DUMP)?, (&manifest.app, manifest.kind, &manifest.id));
    let read =
        artifact::with(&host.store, at, dump, |from| io::copy(from, &mut io::sink())).await?;
    seen.findings.extend(read.findings);
    if !seen.findings.is_empty() {
        return Ok(seen);
    }
    let password = database::PasswordFile::new(target.password)?;
    let mut command = tokio::process::Command::new(&tool.path);
    command
        .args(["--exit-on-error", "--single-transaction", "--no-password"])
        .arg(format!("--dbname={}", database::conninfo(&target, password.path())));
    load(host, manifest, dump, command, &mut seen).await?;
    if seen.findings.is_empty() {
        check(host, manifest, &session, &mut seen).await?;
    }
    Ok(seen)
}

/// The end of a dump that is held back until all of it is known to be whole. `pg_restore` needs the
/// last byte of a dump (the end of its last table's data, or of its table of contents), and comes to
/// its commit only behind it.
const HELD: usize = 64 << 10;

/// Streams the dump into `pg_restore`, which gets the end only of a dump that is whole: what is
/// damaged is never committed, wherever the damage is.
async fn load<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    dump: &Artifact,
    mut command: tokio::process::Command,
    seen: &mut Seen,
) -> Result<(), Fault> {
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut restoring = program::start(command)?;
    let mut input = restoring.input()?;
    let used = artifact::with(
        &host.store,
        (&manifest.app, manifest.kind, &manifest.id),
        dump,
        move |from| Ok((carry_but_the_end(from, &mut input)?, input)),
    )
    .await?;
    seen.findings.extend(used.findings);
    let carried = used
        .value
        .transpose()
        .map_err(|error| Fault::needs_human(format!("hand the dump to pg_restore: {error}")))?;
    // Bytes that are known to be wrong explain whatever the program says of them.
    let Some((end, mut input)) = carried.filter(|_| seen.findings.is_empty()) else {
        // Ended before its input is closed: an end of its input is none that it should think about.
        restoring.end_now(Signal::KILL);
        return Ok(());
    };
    let handed = blocking(move || past_a_closed_pipe(input.write_all(&end))).await?;
    handed.map_err(|error| Fault::needs_human(format!("hand the dump's end on: {error}")))?;
    let ended = restoring.end().await?;
    if !ended.success {
        judge(&ended, &dump.name, seen)?;
    }
    Ok(())
}

/// Copies all but the last [`HELD`] bytes, and gives those.
fn carry_but_the_end(from: &mut (dyn Read + Send), into: &mut impl Write) -> io::Result<Vec<u8>> {
    let mut held = Vec::with_capacity(2 * HELD);
    let mut buffer = vec![0; HELD];
    loop {
        let len = match from.read(&mut buffer) {
            Ok(0) => return Ok(held),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        held.extend_from_slice(buffer.get(..len).unwrap_or_default());
        let passed = held.len().saturating_sub(HELD);
        past_a_closed_pipe(into.write_all(held.get(..passed).unwrap_or_default()))?;
        held.drain(..passed);
    }
}

/// What the server says of objects that the scratch host lacks and the dump refers to: it says
/// something of this host and nothing of the dump.
const LACKING: [&str; 8] = [
    "extension \"",
    "could not open extension control file",
    "could not access file",
    "No space left on device",
    "tablespace \"",
    "collation \"",
    "out of memory",
    "Cannot allocate memory",
];

/// Whether a server's words are about the host that it runs on.
pub(super) fn is_of_the_host(words: &str) -> bool {
    LACKING.iter().any(|lacking| words.contains(lacking))
}

/// Reads `pg_restore`'s errors about bytes that are known to be whole.
fn judge(ended: &program::Ended, file: &str, seen: &mut Seen) -> Result<(), Fault> {
    let is_error = |line: &&String| line.contains("error: ") || line.contains("ERROR: ");
    let errors: Vec<&String> = ended.errors.iter().filter(is_error).collect();
    if errors.is_empty() || errors.iter().any(|e| is_of_the_host(e)) {
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
    questions(host, session, seen).await
}

/// Puts the plan's questions.
pub(super) async fn questions<S: ObjectStore>(
    host: &Host<S>,
    session: &Session,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let checks = host.plan.backup.as_ref().map_or(&[][..], |backup| &backup.checks);
    for (place, check) in checks.iter().enumerate() {
        put(session, place, check, seen).await?;
    }
    Ok(())
}

/// Compares row counts, table by table.
fn compare(expected: &[TableCount], counted: &[TableCount], seen: &mut Seen) {
    let there: BTreeMap<&str, Option<u64>> =
        counted.iter().map(|c| (c.table.as_str(), c.rows)).collect();
    let mut same = 0_u64;
    let mut rows = 0_u64;
    for TableCount { table, rows: wanted } in expected {
        let place = format!("table {table}");
        match there.get(table.as_str()) {
            Some(found) => match (found, wanted) {
                (Some(found), Some(wanted)) if found != wanted => {
                    seen.find("", place, format!("{found} rows were restored of {wanted}"));
                }
                (found, _) => {
                    same += 1;
                    rows += found.unwrap_or_default();
                }
            },
            None => {
                let had = wanted.map(|rows| format!("; it had {rows} rows")).unwrap_or_default();
                seen.find("", place, format!("it was not restored{had}"));
            }
        }
    }
    seen.facts.push(format!("{same} tables with {rows} rows are as the manifest says"));
}

/// Puts one of the plan's questions.
async fn put(
    session: &Session,
    place: usize,
    check: &SqlCheck,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let begin = format!(
        "BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = '{}s'",
        CHECK.as_secs()
    );
    ask(session, "begin a check", &begin, QUICK).await?;
    let SqlCheck { name, query } = check;
    let answer = session.question(query, CHECK + QUICK).await;
    let answer = answer.map_err(|error| error.fault(&format!("ask check {name}")))?;
    ask(session, "end a check", "ROLLBACK", QUICK).await?;
    match answer {
        Answer::Holds => seen.facts.push(format!("check `{name}`: true")),
        Answer::Fails(why) if !is_of_the_host(&why) => {
            seen.find("", format!("check {name}"), why);
        }
        Answer::Fails(why) | Answer::Unasked(why) => {
            seen.unasked.push(question::unasked(place, name, &why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_held_back_and_nothing_is_lost() {
        for len in [0, 1, HELD - 1, HELD, HELD + 1, 5 * HELD + 77] {
            let whole: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            let mut passed = Vec::new();
            let held = carry_but_the_end(&mut &whole[..], &mut passed).unwrap();
            assert_eq!(held.len(), len.min(HELD), "{len}");
            assert_eq!([passed, held].concat(), whole, "{len}");
        }
    }

    #[test]
    fn what_the_host_lacks_is_told_from_what_is_wrong_with_the_data() {
        assert!(is_of_the_host(
            "FATAL: could not map anonymous shared memory: Cannot allocate memory"
        ));
        assert!(!is_of_the_host("PANIC: could not locate a valid checkpoint record"));
    }

    #[test]
    fn a_table_without_a_count_must_be_there_and_no_more() {
        let table = |name: &str, rows| TableCount { table: name.to_owned(), rows };
        let mut seen = Seen::default();
        let there = [table("public.a", Some(7)), table("public.b", Some(7))];
        let expected =
            [table("public.a", None), table("public.b", Some(8)), table("public.c", None)];
        compare(&expected, &there, &mut seen);
        let places: Vec<&str> = seen.findings.iter().map(|f| f.place.as_str()).collect();
        assert_eq!(places, ["table public.b", "table public.c"]);
    }
}
