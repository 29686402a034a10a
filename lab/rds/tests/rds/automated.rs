//! Automated backups: instances come back as they were at a time, in another region too.

use std::time::Duration;

use jiff::Timestamp;
use lifeboat_lab_rds::{RdsConfig, RdsServer};
use serde_json::{Value, json};

use crate::support::{Boto, EAST, WEST, config, connect, count, create, servers_below, wait_until};

fn quick(dir: &std::path::Path, third: u8) -> RdsConfig {
    RdsConfig { archive_every: Duration::from_secs(1), ..config(dir, third) }
}

fn time(value: &Value) -> Timestamp {
    // boto3 prints times as Python does: `2026-11-24 14:00:00.123000+00:00`.
    value.as_str().unwrap().replace(' ', "T").parse().unwrap()
}

/// Waits until the instance can be restored to a time that is not before `wanted`.
async fn wait_restorable(aws: &mut Boto, region: &str, id: &str, wanted: Timestamp) {
    wait_until("the log is archived", async || {
        let latest = aws.instance(region, id)["LatestRestorableTime"].take();
        latest.is_string() && time(&latest) >= wanted
    })
    .await;
}

async fn server_time(client: &tokio_postgres::Client) -> Timestamp {
    let query =
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    client.query_one(query, &[]).await.unwrap().get::<_, String>(0).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_comes_back_as_it_was_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(quick(dir.path(), 120)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    let mut params = create("queue-a");
    params["BackupRetentionPeriod"] = json!(7);
    aws.ok(EAST, "create_db_instance", &params);
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY)").await.unwrap();
    wait_restorable(&mut aws, EAST, "queue-a", server_time(&on_a).await).await;
    on_a.batch_execute("INSERT INTO ticket SELECT generate_series(1, 10)").await.unwrap();
    let between = server_time(&on_a).await;
    on_a.batch_execute("INSERT INTO ticket SELECT generate_series(11, 30)").await.unwrap();
    let after = server_time(&on_a).await;
    let restore = |target: &str| json!({ "SourceDBInstanceIdentifier": "queue-a", "TargetDBInstanceIdentifier": target });

    // What cannot be asked for.
    let call = "restore_db_instance_to_point_in_time";
    let mut asked = restore("x");
    assert_eq!(aws.refused(EAST, call, &asked).0, "InvalidParameterCombination");
    asked["RestoreTime"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(aws.refused(EAST, call, &asked).0, "InvalidParameterValue");
    asked["RestoreTime"] = json!("2100-01-01T00:00:00Z");
    assert_eq!(aws.refused(EAST, call, &asked).0, "InvalidParameterValue");
    asked["UseLatestRestorableTime"] = json!(true);
    assert_eq!(aws.refused(EAST, call, &asked).0, "InvalidParameterCombination");
    let none = json!({ "SourceDBInstanceIdentifier": "none", "TargetDBInstanceIdentifier": "x", "UseLatestRestorableTime": true });
    assert_eq!(aws.refused(EAST, call, &none), ("DBInstanceNotFound".to_owned(), 404));

    wait_restorable(&mut aws, EAST, "queue-a", after).await;
    // The source is dead: a restore does not ask it.
    handle.kill_instance(EAST, "queue-a").await.unwrap();
    for (target, until, tickets) in
        [("before", Some(between), 10), ("later", Some(after), 30), ("latest", None, 30)]
    {
        let mut asked = restore(target);
        match until {
            Some(until) => asked["RestoreTime"] = json!(until.to_string()),
            None => asked["UseLatestRestorableTime"] = json!(true),
        }
        let creating = aws.ok(EAST, call, &asked)["DBInstance"].take();
        assert_eq!(creating["DBInstanceStatus"], "creating");
        let restored = aws.wait(EAST, target, &["creating"], "available").await;
        let client = connect(&restored, "not-a-secret").await.unwrap();
        assert_eq!(count(&client).await, tickets, "{target}");
        client.execute("INSERT INTO ticket VALUES (99)", &[]).await.unwrap();
        // It has backups of its own.
        wait_restorable(&mut aws, EAST, target, between).await;
    }
    assert_eq!(aws.refused(EAST, call, &json!({ "SourceDBInstanceIdentifier": "queue-a", "TargetDBInstanceIdentifier": "latest", "UseLatestRestorableTime": true })).0, "DBInstanceAlreadyExists");
    handle.stop().await;
    assert_eq!(servers_below(dir.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_another_region_outlives_the_instance() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(quick(dir.path(), 122)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    aws.ok(EAST, "create_db_instance", &create("queue-a"));
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket SELECT generate_series(1, 10)").await.unwrap();

    let source = json!({ "SourceDBInstanceArn": a["DBInstanceArn"], "BackupRetentionPeriod": 3, "SourceRegion": EAST });
    let start = "start_db_instance_automated_backups_replication";
    assert_eq!(aws.refused(EAST, start, &source).0, "InvalidParameterValue");
    let begun = aws.ok(WEST, start, &source)["DBInstanceAutomatedBackup"].take();
    assert_eq!((&begun["Status"], &begun["Region"]), (&json!("pending"), &json!(EAST)));
    assert_eq!(aws.refused(WEST, start, &source).0, "InvalidDBInstanceState");
    on_a.batch_execute("INSERT INTO ticket SELECT generate_series(11, 20)").await.unwrap();
    let written = server_time(&on_a).await;

    let describe = "describe_db_instance_automated_backups";
    let arn = json!({ "DBInstanceAutomatedBackupsArn": begun["DBInstanceAutomatedBackupsArn"] });
    let mut copy = Value::Null;
    wait_until("the copy has what was written", async || {
        copy = aws.ok(WEST, describe, &arn)["DBInstanceAutomatedBackups"][0].take();
        let latest = &copy["RestoreWindow"]["LatestTime"];
        copy["Status"] == "replicating" && latest.is_string() && time(latest) >= written
    })
    .await;
    assert_eq!(
        (&copy["DBInstanceIdentifier"], &copy["BackupRetentionPeriod"]),
        (&json!("queue-a"), &json!(3))
    );
    let own = aws.ok(EAST, describe, &json!({}))["DBInstanceAutomatedBackups"][0].take();
    assert_eq!((&own["Status"], &own["DbiResourceId"]), (&json!("active"), &copy["DbiResourceId"]));
    let none = json!({ "DBInstanceAutomatedBackupsArn": "arn:aws:rds:us-west-2:000000000000:auto-backup:ab-none" });
    assert_eq!(
        aws.refused(WEST, describe, &none),
        ("DBInstanceAutomatedBackupNotFound".to_owned(), 404)
    );

    // The region is lost, and the instance with all that was kept beside it.
    handle.kill_instance(EAST, "queue-a").await.unwrap();
    let restore = json!({
        "SourceDBInstanceAutomatedBackupsArn": begun["DBInstanceAutomatedBackupsArn"],
        "TargetDBInstanceIdentifier": "queue-c", "UseLatestRestorableTime": true,
    });
    let call = "restore_db_instance_to_point_in_time";
    assert_eq!(aws.refused(EAST, call, &restore).0, "DBInstanceAutomatedBackupNotFound");
    aws.ok(WEST, call, &restore);
    let c = aws.wait(WEST, "queue-c", &["creating"], "available").await;
    assert_eq!(c["AvailabilityZone"], "us-west-2a");
    let on_c = connect(&c, "not-a-secret").await.unwrap();
    assert_eq!(count(&on_c).await, 20);

    aws.ok(
        EAST,
        "delete_db_instance",
        &json!({ "DBInstanceIdentifier": "queue-a", "SkipFinalSnapshot": true }),
    );
    aws.wait_gone(EAST, "queue-a").await;
    assert_eq!(aws.ok(EAST, describe, &json!({}))["DBInstanceAutomatedBackups"], json!([]));
    wait_until("the copy is retained", async || {
        aws.ok(WEST, describe, &arn)["DBInstanceAutomatedBackups"][0]["Status"] == "retained"
    })
    .await;
    assert_eq!(
        aws.refused(
            WEST,
            "stop_db_instance_automated_backups_replication",
            &json!({ "SourceDBInstanceArn": a["DBInstanceArn"] })
        )
        .0,
        "InvalidDBInstanceState"
    );
    aws.ok(WEST, "delete_db_instance_automated_backup", &arn);
    assert_eq!(aws.refused(WEST, describe, &arn).0, "DBInstanceAutomatedBackupNotFound");
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retention_of_none_is_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(quick(dir.path(), 124)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    let mut params = create("queue-a");
    params["BackupRetentionPeriod"] = json!(0);
    aws.ok(EAST, "create_db_instance", &params);
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let restore = json!({ "SourceDBInstanceIdentifier": "queue-a", "TargetDBInstanceIdentifier": "x", "UseLatestRestorableTime": true });
    let call = "restore_db_instance_to_point_in_time";
    assert_eq!(aws.refused(EAST, call, &restore), ("PointInTimeRestoreNotEnabled".to_owned(), 400));
    let source = json!({ "SourceDBInstanceArn": a["DBInstanceArn"], "SourceRegion": EAST });
    assert_eq!(
        aws.refused(WEST, "start_db_instance_automated_backups_replication", &source).0,
        "InvalidDBInstanceState"
    );

    let modify = |days: u32| json!({ "DBInstanceIdentifier": "queue-a", "BackupRetentionPeriod": days, "ApplyImmediately": true });
    aws.ok(EAST, "modify_db_instance", &modify(1));
    wait_until("the first backup is taken", async || {
        aws.instance(EAST, "queue-a")["LatestRestorableTime"].is_string()
    })
    .await;
    aws.ok(EAST, "modify_db_instance", &modify(0));
    wait_until("the backups are gone", async || {
        let call = "describe_db_instance_automated_backups";
        aws.ok(EAST, call, &json!({}))["DBInstanceAutomatedBackups"] == json!([])
    })
    .await;
    handle.stop().await;
}
