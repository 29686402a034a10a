//! The adapter against real PostgreSQL servers: a primary and its streaming replica.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail their test")]

mod server;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use lifeboat_core::ErrorName;
use lifeboat_postgres::{Lsn, Session, SqlError, connect};
use server::{HOST, LIMIT, Server};

/// The grants that the crate's documentation asks for.
const ROLE: &str = "CREATE ROLE lifeboat LOGIN PASSWORD 'of its own';
    GRANT pg_monitor TO lifeboat;
    GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO lifeboat;
    GRANT EXECUTE ON FUNCTION pg_reload_conf() TO lifeboat;
    GRANT ALTER SYSTEM ON PARAMETER wal_retrieve_retry_interval TO lifeboat;";

async fn pair(at: &Path) -> (Server, Server) {
    let primary = Server::primary(at);
    drop(primary.session().await);
    primary.sql(ROLE);
    primary.sql("CREATE TABLE ticket (id int)");
    let replica = Server::replica(at, &primary);
    drop(replica.session().await);
    (primary, replica)
}

async fn login(server: &Server) -> Result<Session, SqlError> {
    connect(&server.target("lifeboat", "of its own"), LIMIT).await
}

/// Asks until the server holds this much.
async fn until_it_holds(session: &Session, position: Lsn) {
    let begun = Instant::now();
    while session.state(LIMIT).await.unwrap().position < Some(position) {
        assert!(begun.elapsed() < LIMIT, "it never holds {position}");
    }
}

#[tokio::test]
async fn a_replica_follows_is_promoted_once_and_then_takes_writes() {
    let at = tempfile::tempdir().unwrap();
    let (primary, replica) = pair(at.path()).await;
    let (followed, follower) = (login(&primary).await.unwrap(), login(&replica).await.unwrap());

    primary.sql("INSERT INTO ticket SELECT generate_series(1, 1000)");
    let written = followed.state(LIMIT).await.unwrap();
    assert!(written.is_writable());
    until_it_holds(&follower, written.position.unwrap()).await;
    let state = follower.state(LIMIT).await.unwrap();
    assert!(state.in_recovery && state.read_only && !state.is_writable());

    // The whole primary is lost, as in an outage.
    drop(primary);
    assert!(matches!(followed.state(LIMIT).await, Err(SqlError::Unreachable(_))));

    let begun = Instant::now();
    assert!(follower.promote(Duration::from_secs(10)).await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(4), "promotion took {:?}", begun.elapsed());
    assert!(replica.settings().contains("wal_retrieve_retry_interval = '100ms'"));
    assert!(follower.state(LIMIT).await.unwrap().is_writable());
    replica.sql("INSERT INTO ticket VALUES (1001)");

    // The answer to the first call may have been lost.
    assert!(follower.promote(Duration::from_secs(10)).await.unwrap());
}

#[tokio::test]
async fn a_fenced_primary_is_no_replica_and_takes_no_writes() {
    let at = tempfile::tempdir().unwrap();
    let primary = Server::primary(at.path());
    drop(primary.session().await);
    primary.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    primary.sql("SELECT pg_reload_conf()");
    let begun = Instant::now();
    loop {
        let state = primary.session().await.state(LIMIT).await.unwrap();
        assert!(!state.in_recovery);
        if !state.is_writable() {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "the setting never takes effect");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_at_the_limit() {
    let at = tempfile::tempdir().unwrap();
    let primary = Server::primary(at.path());
    drop(primary.session().await);
    primary.signal("STOP");
    let limit = Duration::from_millis(200);
    let begun = Instant::now();
    let error = connect(&primary.target("admin", "x"), limit).await.unwrap_err();
    assert!(matches!(error, SqlError::Timeout(_)), "{error}");
    assert!(begun.elapsed() < limit * 3);
    assert_eq!(error.fault("ask it").name, ErrorName::Transient);
    assert_eq!(error.fault("ask it").message, "ask it: no answer within 200 ms");
}

#[tokio::test]
async fn a_server_that_insists_on_tls_is_spoken_to_in_tls() {
    let at = tempfile::tempdir().unwrap();
    let primary = Server::primary(at.path());
    drop(primary.session().await);
    let primary = primary.insist_on_tls();
    assert!(primary.session().await.state(LIMIT).await.unwrap().is_writable());
}

#[tokio::test]
async fn failures_are_named_by_what_to_do_and_carry_no_password() {
    let at = tempfile::tempdir().unwrap();
    let primary = Server::primary(at.path());
    drop(primary.session().await);
    let wrong = primary.target("admin", "hunter2");
    let error = connect(&wrong, LIMIT).await.unwrap_err();
    assert!(matches!(error, SqlError::Denied(_)), "{error}");
    let fault = error.fault(&format!("log in to {wrong:?}"));
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(!fault.message.contains("hunter2"), "{fault}");
    assert!(fault.message.contains(HOST), "{fault}");

    primary.sql("CREATE ROLE stranger LOGIN PASSWORD 'strange'");
    let stranger = connect(&primary.target("stranger", "strange"), LIMIT).await.unwrap();
    assert!(matches!(stranger.promote(LIMIT).await, Err(SqlError::Denied(_))));

    let place = (primary.target("admin", "x").port, HOST);
    drop(primary);
    let target = lifeboat_postgres::Target { port: place.0, ..wrong };
    let error = connect(&target, LIMIT).await.unwrap_err();
    assert!(matches!(&error, SqlError::Unreachable(why) if why.contains("refused")), "{error}");
}

#[tokio::test]
async fn tables_are_counted_or_sampled_and_a_statement_that_is_too_long_is_ended_by_the_server() {
    let at = tempfile::tempdir().unwrap();
    let primary = Server::primary(at.path());
    let session = primary.session().await;
    // A page holds 185 rows of four bytes or more (24 of header and 4 of a line pointer).
    primary.sql(
        "CREATE TABLE \"Big One\" AS SELECT generate_series(1, 100000) AS id;
         CREATE TABLE empty (id int)",
    );
    let tables = session.tables(LIMIT).await.unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["public.Big One", "public.empty"]);
    let (big, empty) = (&tables[0], &tables[1]);
    assert!(big.bytes > 400 * 8192 && empty.bytes == 0, "{tables:?}");
    assert_eq!(session.count(big, LIMIT).await.unwrap(), 100_000);
    assert_eq!(session.sample(empty, (500_000, 1), LIMIT).await.unwrap(), 0);
    let sampled = session.sample(big, (500_000, 1), LIMIT).await.unwrap();
    assert!((30_000..70_000).contains(&sampled), "{sampled} rows in a half");
    assert_eq!(session.sample(big, (500_000, 1), LIMIT).await.unwrap(), sampled, "the same pages");
    assert!(session.sample(big, (1, 1), LIMIT).await.unwrap() < 1_000);

    // Nobody has to wait for it, and none is left behind.
    session.end_statements_after(Duration::from_millis(50), LIMIT).await.unwrap();
    let begun = Instant::now();
    let slow = session.question("SELECT pg_sleep(60) IS NULL", LIMIT).await;
    assert!(matches!(slow, Err(SqlError::Timeout(_))), "{slow:?}");
    assert!(begun.elapsed() < LIMIT);
    assert_eq!(session.count(empty, LIMIT).await.unwrap(), 0, "the session goes on");
}
