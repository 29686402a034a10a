//! What happens when servers hang, when the lab's process dies, and when it cannot start.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    Boto, EAST, WEST, config, connect, create, servers_below, wait_count, wait_until,
};
use lifeboat_lab_rds::{RdsConfig, RdsServer, StartError};
use serde_json::json;

const DIRECTORY: &str = "LIFEBOAT_RDS_TEST_DIRECTORY";

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_promoted_while_its_source_hangs_and_all_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(config(dir.path(), 98)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    aws.ok(EAST, "create_db_instance", &create("queue-a"));
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket VALUES (1)")
        .await
        .unwrap();
    let replica = json!({ "DBInstanceIdentifier": "queue-b", "SourceDBInstanceIdentifier": a["DBInstanceArn"] });
    aws.ok(WEST, "create_db_instance_read_replica", &replica);
    let b = aws.wait(WEST, "queue-b", &["creating"], "available").await;
    let on_b = connect(&b, "not-a-secret").await.unwrap();
    wait_count(&on_b, 1).await;

    handle.freeze_instance(EAST, "queue-a").await.unwrap();
    handle.freeze_instance(EAST, "queue-a").await.unwrap();
    // The statement is on its way when the client gives up waiting.
    let insert = on_a.batch_execute("INSERT INTO ticket VALUES (2)");
    assert!(
        tokio::time::timeout(Duration::from_millis(300), insert).await.is_err(),
        "a frozen server hangs"
    );
    let begin = Instant::now();
    aws.ok(WEST, "promote_read_replica", &json!({ "DBInstanceIdentifier": "queue-b" }));
    aws.wait(WEST, "queue-b", &["modifying"], "available").await;
    assert!(begin.elapsed() < Duration::from_secs(3), "promotion took {:?}", begin.elapsed());
    on_b.execute("INSERT INTO ticket VALUES (3)", &[]).await.unwrap();

    // When it goes on, the old primary has the write that hung; the new one has not.
    handle.thaw_instance(EAST, "queue-a").unwrap();
    wait_count(&on_a, 2).await;
    wait_until("the slot is dropped", async || {
        let slots = on_a.query_one("SELECT count(*) FROM pg_replication_slots", &[]).await.unwrap();
        slots.get::<_, i64>(0) == 0
    })
    .await;

    // Stopped with an instance frozen, and started again: all is as it was.
    handle.freeze_instance(WEST, "queue-b").await.unwrap();
    let begin = Instant::now();
    handle.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(5), "stop took {:?}", begin.elapsed());
    assert_eq!(servers_below(dir.path()), Vec::<String>::new());
    let handle = RdsServer::start(config(dir.path(), 98)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    let b = aws.wait(WEST, "queue-b", &["starting"], "available").await;
    wait_count(&connect(&b, "not-a-secret").await.unwrap(), 2).await;
    aws.wait(EAST, "queue-a", &["starting"], "available").await;
    handle.stop().await;
}

/// Not a test of its own: the process that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn serve_until_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let handle = RdsServer::start(config(Path::new(&dir), 100)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    for id in ["queue-a", "queue-z"] {
        aws.ok(EAST, "create_db_instance", &create(id));
        aws.wait(EAST, id, &["creating"], "available").await;
    }
    handle.freeze_instance(EAST, "queue-z").await.unwrap();
    std::fs::write(Path::new(&dir).join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

/// A process that does not outlive its test.
struct Lab(Child);

impl Drop for Lab {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_outlives_a_killed_lab() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Command::new(std::env::current_exe().unwrap())
        .args(["faults::serve_until_killed", "--exact"])
        .env(DIRECTORY, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lab = Lab(lab);
    wait_until("the lab serves", async || dir.path().join("ready").exists()).await;
    assert!(servers_below(&dir.path().join("us-east-1/queue-a")).len() > 4);
    match RdsServer::start(config(dir.path(), 110)).await {
        Err(StartError::InUse { .. }) => {}
        other => panic!("a second server in the directory: {other:?}"),
    }
    drop(lab);
    wait_until("the servers die with the lab", async || {
        servers_below(&dir.path().join("us-east-1/queue-a")).is_empty()
    })
    .await;

    // The frozen one's children are ended by the next start, which brings both back.
    let handle = RdsServer::start(config(dir.path(), 100)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    for id in ["queue-a", "queue-z"] {
        let instance = aws.wait(EAST, id, &["starting"], "available").await;
        connect(&instance, "not-a-secret").await.unwrap();
    }
    let pids = handle.pids(EAST, "queue-a").unwrap();
    drop(handle);
    wait_until("a dropped handle leaves nothing", async || servers_below(dir.path()).is_empty())
        .await;
    assert!(pids.len() > 4);
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let started = async |change: &dyn Fn(&mut RdsConfig)| {
        let mut config = config(dir.path(), 102);
        change(&mut config);
        RdsServer::start(config).await.unwrap_err().to_string()
    };
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let text = started(&|config| config.listen = address).await;
    assert!(
        text.starts_with(&format!("cannot listen on {address}")) && !text.contains('\n'),
        "{text}"
    );
    let _database = TcpListener::bind("127.77.103.20:5432").unwrap();
    let text = started(&|_| {}).await;
    assert!(
        text.contains("127.77.103.20:5432 for a database of us-west-2") && !text.contains('\n'),
        "{text}"
    );
    let text = started(&|config| config.min_free_bytes = u64::MAX).await;
    assert!(text.contains("make room") && !text.contains('\n'), "{text}");
    let text = started(&|config| config.postgres_bin = Some(dir.path().to_owned())).await;
    assert!(text.contains("no PostgreSQL 15") && !text.contains('\n'), "{text}");
    std::fs::write(dir.path().join("plain"), "").unwrap();
    let text = started(&|config| config.data_dir = dir.path().join("plain")).await;
    assert!(text.contains("cannot use the data directory") && !text.contains('\n'), "{text}");
}
