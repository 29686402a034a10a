//! Snapshots are taken, copied, restored and deleted.

use lifeboat_lab_rds::{RdsConfig, RdsServer};
use serde_json::{Value, json};

use crate::support::{Boto, EAST, WEST, config, connect, count, create, wait_until};

async fn wait_snapshot(aws: &mut Boto, region: &str, id: &str) -> Value {
    let mut found = Value::Null;
    wait_until("the snapshot is available", async || {
        let answer =
            aws.ok(region, "describe_db_snapshots", &json!({ "DBSnapshotIdentifier": id }));
        found = answer["DBSnapshots"][0].clone();
        let status = found["Status"].as_str().unwrap();
        assert!(matches!(status, "creating" | "available"), "{status}");
        status == "available"
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_restores_in_another_region_when_the_instance_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(config(dir.path(), 104)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    aws.ok(EAST, "create_db_instance", &create("queue-a"));
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket SELECT generate_series(1, 10)").await.unwrap();

    let snapshot = json!({ "DBInstanceIdentifier": "queue-a", "DBSnapshotIdentifier": "before", "Tags": [{ "Key": "app", "Value": "queue" }] });
    assert_eq!(aws.ok(EAST, "create_db_snapshot", &snapshot)["DBSnapshot"]["Status"], "creating");
    aws.wait(EAST, "queue-a", &["backing-up"], "available").await;
    let before = wait_snapshot(&mut aws, EAST, "before").await;
    assert_eq!(before["PercentProgress"], 100);
    assert_eq!(
        aws.refused(EAST, "create_db_snapshot", &snapshot),
        ("DBSnapshotAlreadyExists".to_owned(), 400)
    );
    on_a.batch_execute("INSERT INTO ticket SELECT generate_series(11, 30)").await.unwrap();
    let none = json!({ "DBSnapshotIdentifier": "none" });
    assert_eq!(
        aws.refused(EAST, "describe_db_snapshots", &none),
        ("DBSnapshotNotFound".to_owned(), 404)
    );

    // A copy elsewhere outlives the region it comes from.
    let copy = json!({
        "SourceDBSnapshotIdentifier": before["DBSnapshotArn"], "TargetDBSnapshotIdentifier": "before-copy",
        "CopyTags": true, "SourceRegion": EAST,
    });
    aws.ok(WEST, "copy_db_snapshot", &copy);
    let copied = wait_snapshot(&mut aws, WEST, "before-copy").await;
    assert_eq!(
        (&copied["SourceRegion"], &copied["TagList"][0]["Key"]),
        (&json!(EAST), &json!("app"))
    );

    let delete = json!({ "DBInstanceIdentifier": "queue-a", "FinalDBSnapshotIdentifier": "last" });
    aws.ok(EAST, "delete_db_instance", &delete);
    aws.wait_gone(EAST, "queue-a").await;
    wait_snapshot(&mut aws, EAST, "last").await;

    for (region, snapshot, tickets) in [(EAST, "last", 30), (WEST, "before-copy", 10)] {
        let restore =
            json!({ "DBInstanceIdentifier": "restored", "DBSnapshotIdentifier": snapshot });
        aws.ok(region, "restore_db_instance_from_db_snapshot", &restore);
        let restored = aws.wait(region, "restored", &["creating"], "available").await;
        let client = connect(&restored, "not-a-secret").await.unwrap();
        assert_eq!(count(&client).await, tickets);
        client.execute("INSERT INTO ticket VALUES (99)", &[]).await.unwrap();
    }
    let gone = json!({ "DBSnapshotIdentifier": "before" });
    assert_eq!(aws.ok(EAST, "delete_db_snapshot", &gone)["DBSnapshot"]["Status"], "deleted");
    assert_eq!(
        aws.refused(EAST, "delete_db_snapshot", &gone),
        ("DBSnapshotNotFound".to_owned(), 404)
    );
    let left = aws.ok(EAST, "describe_db_snapshots", &json!({}))["DBSnapshots"].take();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_of_manual_snapshots_counts_those_of_its_region() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(config(dir.path(), 140)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    let quota = |aws: &mut Boto, region: &str| {
        let answer = aws.ok(region, "describe_account_attributes", &json!({}));
        let quotas = answer["AccountQuotas"].as_array().unwrap().clone();
        let found = quotas.iter().find(|quota| quota["AccountQuotaName"] == "ManualSnapshots");
        (found.unwrap()["Used"].as_u64().unwrap(), found.unwrap()["Max"].as_u64().unwrap())
    };
    assert_eq!(quota(&mut aws, EAST), (0, 100));
    aws.ok(EAST, "create_db_instance", &create("queue-a"));
    aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let snapshot = json!({ "DBInstanceIdentifier": "queue-a", "DBSnapshotIdentifier": "one" });
    aws.ok(EAST, "create_db_snapshot", &snapshot);
    assert_eq!(quota(&mut aws, EAST), (1, 100));
    assert_eq!(quota(&mut aws, WEST), (0, 100));
    aws.wait(EAST, "queue-a", &["backing-up"], "available").await;
    handle.stop().await;
}

/// RDS holds 100 manual snapshots in a region. Copies into it count, and so does a final snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_takes_no_more_manual_snapshots_than_its_quota() {
    let dir = tempfile::tempdir().unwrap();
    let usual = config(dir.path(), 122);
    assert_eq!(usual.manual_snapshots, 100);
    let handle = RdsServer::start(RdsConfig { manual_snapshots: 2, ..usual }).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    aws.ok(EAST, "create_db_instance", &create("queue-a"));
    aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let snapshot =
        |id: &str| json!({ "DBInstanceIdentifier": "queue-a", "DBSnapshotIdentifier": id });
    for id in ["one", "two"] {
        aws.ok(EAST, "create_db_snapshot", &snapshot(id));
        aws.wait(EAST, "queue-a", &["backing-up"], "available").await;
        wait_snapshot(&mut aws, EAST, id).await;
    }
    let full = ("SnapshotQuotaExceeded".to_owned(), 400);
    assert_eq!(aws.refused(EAST, "create_db_snapshot", &snapshot("three")), full);
    let copy =
        json!({ "SourceDBSnapshotIdentifier": "one", "TargetDBSnapshotIdentifier": "three" });
    assert_eq!(aws.refused(EAST, "copy_db_snapshot", &copy), full);
    let last = json!({ "DBInstanceIdentifier": "queue-a", "FinalDBSnapshotIdentifier": "last" });
    assert_eq!(aws.refused(EAST, "delete_db_instance", &last), full);
    assert_eq!(aws.instance(EAST, "queue-a")["DBInstanceStatus"], "available");

    // Each region has its own.
    let source = wait_snapshot(&mut aws, EAST, "one").await;
    let copy = json!({
        "SourceDBSnapshotIdentifier": source["DBSnapshotArn"], "TargetDBSnapshotIdentifier": "one",
        "SourceRegion": EAST,
    });
    aws.ok(WEST, "copy_db_snapshot", &copy);
    wait_snapshot(&mut aws, WEST, "one").await;
    aws.ok(EAST, "delete_db_snapshot", &json!({ "DBSnapshotIdentifier": "one" }));
    aws.ok(EAST, "create_db_snapshot", &snapshot("three"));
    handle.stop().await;
}
