//! Base backups of a real server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lifeboat_core::{
    ErrorName,
    backup::{Kind, Outcome, PointId, TableCount},
    contract::restore_backup::Target,
    plan_file::Engine,
};
use lifeboat_hostwork::{backup, restore};

use crate::support::{Server, host, noon, plan, scratch};

#[tokio::test]
async fn a_base_backup_is_taken_and_recovers_in_scratch() {
    let server = Server::start();
    server.sql(
        "queue",
        "CREATE TABLE tickets (id bigint PRIMARY KEY, body text); \
         INSERT INTO tickets SELECT n, repeat('x', 100) FROM generate_series(1, 10000) n; \
         CREATE MATERIALIZED VIEW unfilled AS SELECT * FROM tickets WITH NO DATA",
    );
    let mut plan = plan(server.port);
    plan.database.engine = Engine::Postgres;
    let scratch = scratch();
    let (host, _stopper) = host(plan, scratch.path());
    let manifest = backup(&host, Kind::DatabaseBase, &noon()).await.unwrap();
    let names: Vec<&str> = manifest.artifacts.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["a/base.tar.zst", "a/backup_manifest.zst"]);
    // It has no rows to compare: the moment that it restores to is none that anybody has seen.
    assert_eq!(manifest.tables, [TableCount { table: "public.tickets".into(), rows: None }]);
    let wal = manifest.wal.unwrap();
    assert!(wal.first <= wal.last, "{wal:?}");
    assert_eq!(
        wal.system,
        server.sql("queue", "SELECT system_identifier FROM pg_control_system()")
    );

    let result = restore(&host, Kind::DatabaseBase, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    let facts = result.facts.join("\n");
    assert!(facts.contains("database queue") && facts.contains("recovered cluster"), "{facts}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

    let child = PointId::incremental("2026-11-24T16:00:00Z".parse().unwrap(), &noon());
    let refused = backup(&host, Kind::DatabaseBase, &child).await.unwrap_err();
    assert_eq!(refused.name, ErrorName::Refused);
    assert!(refused.message.contains("makes no incremental backups"), "{refused}");
}

#[tokio::test]
async fn tables_that_come_and_go_during_a_backup_are_no_damage() {
    let server = Arc::new(Server::start());
    server.sql("queue", "CREATE TABLE kept (id int); CREATE TABLE goes (id int)");
    let mut plan = plan(server.port);
    plan.database.engine = Engine::Postgres;
    let scratch = scratch();
    let (host, _stopper) = host(plan, scratch.path());
    let ended = Arc::new(AtomicBool::new(false));
    let churn = std::thread::spawn({
        let (server, ended) = (Arc::clone(&server), Arc::clone(&ended));
        move || {
            // The backup was begun when the first of its own processes is there.
            let begun =
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'walsender'";
            while server.sql("queue", begun) != "t" {}
            server.sql("queue", "DROP TABLE goes");
            let mut made = 0;
            while !ended.load(Ordering::SeqCst) {
                made += 1;
                server.sql("queue", &format!("CREATE TABLE made_{made} (id int)"));
            }
            made
        }
    });
    let manifest = backup(&host, Kind::DatabaseBase, &noon()).await.unwrap();
    ended.store(true, Ordering::SeqCst);
    assert!(churn.join().unwrap() > 0);
    assert_eq!(manifest.tables, [TableCount { table: "public.kept".into(), rows: None }]);
    let result = restore(&host, Kind::DatabaseBase, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
}

#[tokio::test]
async fn a_server_with_tablespaces_of_its_own_is_refused_with_what_to_do() {
    let server = Server::start_of(None, &["allow_in_place_tablespaces=on"]);
    server.sql("queue", "CREATE TABLESPACE fast LOCATION ''");
    let mut plan = plan(server.port);
    plan.database.engine = Engine::Postgres;
    let scratch = scratch();
    let (host, _stopper) = host(plan, scratch.path());
    let refused = backup(&host, Kind::DatabaseBase, &noon()).await.unwrap_err();
    assert_eq!(refused.name, ErrorName::Refused);
    assert!(refused.message.contains("move their tables to pg_default"), "{refused}");
    assert!(host.store.keys().is_empty());
}
