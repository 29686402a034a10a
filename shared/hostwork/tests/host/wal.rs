//! WAL of a real server, archived and fetched.

use lifeboat_core::plan_file::Engine;
use lifeboat_hostwork::{
    testing::Failure,
    wal::{self, WalEvent},
};

use crate::support::{Server, host, plan, scratch};

#[tokio::test]
async fn segments_are_archived_once_and_fetched_again() {
    let server = Server::start();
    let mut plan = plan(server.port);
    plan.database.engine = Engine::Postgres;
    let folder = scratch();
    let (host, stopper) = host(plan, folder.path());
    let received = folder.path().join("wal");
    // The bucket is away at first.
    host.store.fail(0, Failure::Before);
    let mut events = Vec::new();
    let mut archived = 0;
    let receiving = wal::receive(&host, &received, |event| {
        events.push(event.clone());
        if matches!(event, WalEvent::Archived { .. }) {
            archived += 1;
            match archived {
                3 => stopper.stop(),
                _ => drop(server.sql(
                    "queue",
                    "CREATE TABLE IF NOT EXISTS t (); DROP TABLE t; SELECT pg_switch_wal()",
                )),
            }
        }
    });
    let switching = async {
        // The slot is there as soon as it receives.
        while server.sql("queue", "SELECT count(*) FROM pg_replication_slots WHERE active") != "1" {
            tokio::task::yield_now().await;
        }
        server.sql("queue", "CREATE TABLE first (); SELECT pg_switch_wal()");
    };
    let (received_well, ()) = tokio::join!(receiving, switching);
    received_well.unwrap();
    assert!(matches!(events.first(), Some(WalEvent::Waiting { .. })), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, WalEvent::Gap { .. })), "{events:?}");

    let system = server.sql("queue", "SELECT system_identifier FROM pg_control_system()");
    let keys = host.store.keys();
    assert!(keys.len() >= 3, "{keys:?}");
    let prefix = format!("wal/queue/{system}/");
    let file = keys[0].strip_prefix(&prefix).unwrap().strip_suffix(".zst").unwrap();
    let into = folder.path().join("RECOVERYXLOG");
    let app = &host.plan.app;
    assert!(wal::fetch(&*host.store, app, &system, file, &into).await.unwrap());
    assert_eq!(std::fs::metadata(&into).unwrap().len(), 16 << 20);
    let absent = "0000000100000000000000FF";
    assert!(!wal::fetch(&*host.store, app, &system, absent, &into).await.unwrap());
    wal::fetch(&*host.store, app, &system, "../secret", &into).await.unwrap_err();
    // Only the newest is kept, to begin behind.
    let left = std::fs::read_dir(&received).unwrap().filter(|entry| {
        !entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".partial")
    });
    assert_eq!(left.count(), 1);
}
