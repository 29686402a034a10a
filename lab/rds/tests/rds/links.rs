//! The stream between regions takes its link, and a cut of the link is seen.

use std::net::SocketAddr;
use std::time::Duration;

use lifeboat_lab_rds::{LinkPrefix, RdsServer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Boto, EAST, WEST, config, connect, create, wait_count, wait_until};

/// Forwards connections to `to`; aborting it cuts them all.
async fn forward(at: SocketAddr, to: SocketAddr) -> JoinHandle<()> {
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut far = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_standby_holds_writes_back_while_its_link_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), 106);
    config.replication_links.insert((WEST.to_owned(), EAST.to_owned()), LinkPrefix([127, 77, 206]));
    let handle = RdsServer::start(config).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    let (at, to) = ("127.77.206.20:5432".parse().unwrap(), "127.77.106.20:5432".parse().unwrap());
    let link = forward(at, to).await;

    aws.ok(EAST, "create_db_parameter_group", &json!({ "DBParameterGroupName": "sync", "DBParameterGroupFamily": "postgres15", "Description": "d" }));
    let mut params = create("queue-a");
    params["DBParameterGroupName"] = json!("sync");
    aws.ok(EAST, "create_db_instance", &params);
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let replica = json!({ "DBInstanceIdentifier": "queue-b", "SourceDBInstanceIdentifier": a["DBInstanceArn"] });
    aws.ok(WEST, "create_db_instance_read_replica", &replica);
    let b = aws.wait(WEST, "queue-b", &["creating"], "available").await;
    let names = json!({ "ParameterName": "synchronous_standby_names", "ParameterValue": "\"queue-b\"", "ApplyMethod": "immediate" });
    let retry = json!({ "ParameterName": "wal_retrieve_retry_interval", "ParameterValue": "200ms", "ApplyMethod": "immediate" });
    aws.ok(
        EAST,
        "modify_db_parameter_group",
        &json!({ "DBParameterGroupName": "sync", "Parameters": [names, retry] }),
    );

    let on_a = connect(&a, "not-a-secret").await.unwrap();
    let on_b = connect(&b, "not-a-secret").await.unwrap();
    wait_until("the standby is synchronous", async || {
        let rows = on_a
            .query(
                "SELECT sync_state FROM pg_stat_replication WHERE application_name = 'queue-b'",
                &[],
            )
            .await
            .unwrap();
        rows.first().is_some_and(|row| row.get::<_, String>(0) == "sync")
    })
    .await;
    on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket VALUES (1)")
        .await
        .unwrap();
    wait_count(&on_b, 1).await;

    link.abort();
    let insert = on_a.batch_execute("INSERT INTO ticket VALUES (2)");
    tokio::pin!(insert);
    assert!(
        tokio::time::timeout(Duration::from_millis(500), &mut insert).await.is_err(),
        "acknowledged without the standby"
    );
    wait_until("the replica is in error", async || {
        aws.instance(WEST, "queue-b")["StatusInfos"][0]["Status"] == "error"
    })
    .await;

    let _link = forward(at, to).await;
    tokio::time::timeout(Duration::from_secs(15), insert).await.unwrap().unwrap();
    wait_count(&on_b, 2).await;
    wait_until("the replica replicates", async || {
        aws.instance(WEST, "queue-b")["StatusInfos"][0]["Status"] == "replicating"
    })
    .await;
    handle.stop().await;
}
