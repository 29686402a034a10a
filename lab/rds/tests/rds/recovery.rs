//! Drives the server with boto3, over real PostgreSQL.

use std::time::{Duration, Instant};

use crate::support::{Boto, EAST, WEST, config, connect, count, create, tick, wait_count};
use lifeboat_lab_rds::RdsServer;
use serde_json::json;

/// The main line of a recovery: a replica in another region takes over from a dead source.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_promoted_while_its_source_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(config(dir.path(), 90)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));

    let created = aws.ok(EAST, "create_db_instance", &create("queue-a"))["DBInstance"].take();
    assert_eq!(created["DBInstanceStatus"], "creating");
    assert!(created["Endpoint"].is_null());
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    assert_eq!(a["Endpoint"], json!({ "Address": "127.77.90.20", "Port": 5432 }));
    assert_eq!(a["DBInstanceArn"], "arn:aws:rds:us-east-1:000000000000:db:queue-a");
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket SELECT generate_series(1, 100)").await.unwrap();

    let source = a["DBInstanceArn"].as_str().unwrap();
    let replica = json!({ "DBInstanceIdentifier": "queue-b", "SourceDBInstanceIdentifier": source, "SourceRegion": EAST });
    let created = aws.ok(WEST, "create_db_instance_read_replica", &replica)["DBInstance"].take();
    assert_eq!(created["DBInstanceStatus"], "creating");
    let b = aws.wait(WEST, "queue-b", &["creating"], "available").await;
    assert_eq!(b["ReadReplicaSourceDBInstanceIdentifier"], source);
    assert_eq!(b["StatusInfos"][0]["StatusType"], "read replication");
    assert_eq!(b["StatusInfos"][0]["Normal"], true);
    let listed = aws.instance(EAST, "queue-a")["ReadReplicaDBInstanceIdentifiers"].take();
    assert_eq!(listed, json!(["arn:aws:rds:us-west-2:000000000000:db:queue-b"]));
    on_a.batch_execute("INSERT INTO ticket SELECT generate_series(101, 200)").await.unwrap();
    let on_b = connect(&b, "not-a-secret").await.unwrap();
    wait_count(&on_b, 200).await;
    assert!(
        on_b.execute("INSERT INTO ticket VALUES (201)", &[]).await.is_err(),
        "a replica takes no writes"
    );

    let promote = json!({ "DBInstanceIdentifier": "queue-a" });
    assert_eq!(
        aws.refused(EAST, "promote_read_replica", &promote),
        ("InvalidDBInstanceState".to_owned(), 400)
    );

    let pids = handle.pids(EAST, "queue-a").unwrap();
    assert!(pids.len() > 4, "{pids:?}");
    handle.kill_instance(EAST, "queue-a").await.unwrap();
    assert!(handle.pids(EAST, "queue-a").is_err());
    assert!(connect(&a, "not-a-secret").await.is_err());
    // Long enough for the standby to be in its wait for the next attempt to reach the source.
    tick(1500).await;

    let begin = Instant::now();
    let promote = json!({ "DBInstanceIdentifier": "queue-b", "BackupRetentionPeriod": 7 });
    let answered = aws.ok(WEST, "promote_read_replica", &promote)["DBInstance"].take();
    assert_eq!(answered["DBInstanceStatus"], "modifying");
    let b = aws.wait(WEST, "queue-b", &["modifying"], "available").await;
    assert!(begin.elapsed() < Duration::from_secs(3), "promotion took {:?}", begin.elapsed());
    assert!(b["ReadReplicaSourceDBInstanceIdentifier"].is_null());
    assert!(b["StatusInfos"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(b["BackupRetentionPeriod"], 7);
    assert_eq!(aws.instance(EAST, "queue-a")["ReadReplicaDBInstanceIdentifiers"], json!([]));
    on_b.execute("INSERT INTO ticket VALUES (201)", &[]).await.unwrap();
    assert_eq!(count(&on_b).await, 201);

    // The old primary returns as it was: fencing it is not the server's work.
    handle.start_instance_again(EAST, "queue-a").await.unwrap();
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    assert_eq!(count(&on_a).await, 200);
    on_a.execute("INSERT INTO ticket VALUES (999)", &[]).await.unwrap();

    let events = aws.ok(
        WEST,
        "describe_events",
        &json!({ "SourceType": "db-instance", "SourceIdentifier": "queue-b" }),
    );
    let messages = events["Events"].to_string();
    assert!(messages.contains("Promoted Read Replica"), "{messages}");

    let delete = json!({ "DBInstanceIdentifier": "queue-b", "SkipFinalSnapshot": true });
    assert_eq!(
        aws.ok(WEST, "delete_db_instance", &delete)["DBInstance"]["DBInstanceStatus"],
        "deleting"
    );
    aws.wait_gone(WEST, "queue-b").await;
    let pids = handle.pids(EAST, "queue-a").unwrap();
    handle.stop().await;
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}/cwd")).exists(), "{pid} is left");
    }
}
