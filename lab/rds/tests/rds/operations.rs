//! Each operation with boto3: states in between, refusals, effects on the real server.

use crate::support::{Boto, EAST, WEST, config, connect, count, create, wait_count, wait_until};
use std::time::{Duration, Instant};

use lifeboat_lab_rds::RdsServer;
use serde_json::{Value, json};

fn code(code: &str, status: u64) -> (String, u64) {
    (code.to_owned(), status)
}

fn named(id: &str) -> Value {
    json!({ "DBInstanceIdentifier": id })
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_codes_of_the_rds_model() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(config(dir.path(), 92)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    let with = |name: &str, value: Value| {
        let mut params = create("queue-a");
        params[name] = value;
        params
    };

    for call in [
        "describe_db_instances",
        "delete_db_instance",
        "promote_read_replica",
        "stop_db_instance",
        "modify_db_instance",
    ] {
        let params = if call == "delete_db_instance" {
            json!({ "DBInstanceIdentifier": "nobody", "SkipFinalSnapshot": true })
        } else {
            named("nobody")
        };
        assert_eq!(aws.refused(EAST, call, &params), code("DBInstanceNotFound", 404), "{call}");
    }
    let replica = json!({ "DBInstanceIdentifier": "b", "SourceDBInstanceIdentifier": "nobody" });
    assert_eq!(
        aws.refused(EAST, "create_db_instance_read_replica", &replica),
        code("DBInstanceNotFound", 404)
    );
    assert_eq!(aws.refused(EAST, "describe_db_clusters", &json!({})), code("InvalidAction", 400));
    for (name, value) in [
        ("DBInstanceIdentifier", "-queue"),
        ("DBInstanceIdentifier", "queue--a"),
        ("Engine", "mysql"),
        ("MasterUsername", "rdsadmin"),
        ("MasterUserPassword", "short"),
        ("DBInstanceClass", "large"),
        ("DBName", "no-hyphens"),
    ] {
        let refused = aws.refused(EAST, "create_db_instance", &with(name, json!(value)));
        assert_eq!(refused, code("InvalidParameterValue", 400), "{name} {value}");
    }
    for (name, value) in [("BackupRetentionPeriod", 36), ("AllocatedStorage", 1), ("Port", 5433)] {
        let refused = aws.refused(EAST, "create_db_instance", &with(name, json!(value)));
        assert_eq!(refused, code("InvalidParameterValue", 400), "{name} {value}");
    }
    for (name, value) in [("EngineVersion", json!("9.6")), ("DBClusterIdentifier", json!("c"))] {
        let refused = aws.refused(EAST, "create_db_instance", &with(name, value));
        assert_eq!(refused, code("InvalidParameterCombination", 400), "{name}");
    }
    let refused =
        aws.refused(EAST, "create_db_instance", &with("DBParameterGroupName", json!("none")));
    assert_eq!(refused, code("DBParameterGroupNotFound", 404));
    assert_eq!(
        aws.refused("eu-west-1", "create_db_instance", &create("a")),
        code("InvalidParameterValue", 400)
    );

    aws.ok(EAST, "create_db_instance", &with("DeletionProtection", json!(true)));
    assert_eq!(
        aws.refused(EAST, "create_db_instance", &create("Queue-A")),
        code("DBInstanceAlreadyExists", 400)
    );
    assert_eq!(
        aws.refused(EAST, "stop_db_instance", &named("queue-a")),
        code("InvalidDBInstanceState", 400)
    );
    aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let delete = json!({ "DBInstanceIdentifier": "queue-a", "SkipFinalSnapshot": true });
    assert_eq!(
        aws.refused(EAST, "delete_db_instance", &delete),
        code("InvalidParameterCombination", 400)
    );
    assert_eq!(
        aws.refused(EAST, "delete_db_instance", &named("queue-a")),
        code("InvalidParameterCombination", 400)
    );
    assert_eq!(
        aws.refused(EAST, "start_db_instance", &named("queue-a")),
        code("InvalidDBInstanceState", 400)
    );
    let off = json!({ "DBInstanceIdentifier": "queue-a", "DeletionProtection": false, "BackupRetentionPeriod": 0 });
    aws.ok(EAST, "modify_db_instance", &off);
    let replica = json!({ "DBInstanceIdentifier": "b", "SourceDBInstanceIdentifier": "queue-a" });
    assert_eq!(
        aws.refused(EAST, "create_db_instance_read_replica", &replica),
        code("InvalidDBInstanceState", 400)
    );
    aws.ok(EAST, "delete_db_instance", &delete);
    aws.wait_gone(EAST, "queue-a").await;
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_modified_stopped_started_and_described() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(config(dir.path(), 94)).await.unwrap();
    let endpoint = format!("http://{}", handle.address());
    let mut aws = Boto::new(&endpoint);

    let group = json!({ "DBParameterGroupName": "lab", "DBParameterGroupFamily": "postgres15", "Description": "d" });
    aws.ok(EAST, "create_db_parameter_group", &group);
    assert_eq!(
        aws.refused(EAST, "create_db_parameter_group", &group),
        code("DBParameterGroupAlreadyExists", 400)
    );
    let mut params = create("queue-a");
    params["DBParameterGroupName"] = json!("lab");
    params["Tags"] = json!([{ "Key": "app", "Value": "queue" }]);
    aws.ok(EAST, "create_db_instance", &params);
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    assert_eq!(a["DBParameterGroups"][0]["DBParameterGroupName"], "lab");
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    let show = async |name: &str| -> String {
        on_a.query_one(&format!("SHOW {name}"), &[]).await.unwrap().get(0)
    };

    // The master user is no superuser, but can create roles and databases.
    let row = on_a
        .query_one(
            "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'postgres'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (false, true, true));
    assert_eq!(show("data_checksums").await, "on");
    assert!(on_a.batch_execute("COPY (SELECT 1) TO PROGRAM 'true'").await.is_err());
    assert!(
        on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY); CREATE ROLE app LOGIN")
            .await
            .is_ok()
    );

    // Parameters.
    let set = |name: &str, value: &str, method: &str| {
        let parameter =
            json!({ "ParameterName": name, "ParameterValue": value, "ApplyMethod": method });
        json!({ "DBParameterGroupName": "lab", "Parameters": [parameter] })
    };
    aws.ok(
        EAST,
        "modify_db_parameter_group",
        &set("wal_retrieve_retry_interval", "250", "immediate"),
    );
    wait_until("the parameter is in force", async || {
        show("wal_retrieve_retry_interval").await == "250ms"
    })
    .await;
    aws.ok(EAST, "modify_db_parameter_group", &set("max_connections", "50", "pending-reboot"));
    let status =
        |instance: &Value| instance["DBParameterGroups"][0]["ParameterApplyStatus"].clone();
    assert_eq!(status(&aws.instance(EAST, "queue-a")), "pending-reboot");
    let refused =
        aws.refused(EAST, "modify_db_parameter_group", &set("max_connections", "60", "immediate"));
    assert_eq!(refused, code("InvalidParameterCombination", 400));
    for (name, value) in [("no_such_parameter", "1"), ("listen_addresses", "*"), ("work_mem", "0")]
    {
        let refused =
            aws.refused(EAST, "modify_db_parameter_group", &set(name, value, "immediate"));
        assert_eq!(refused, code("InvalidParameterValue", 400), "{name}");
    }
    let user = json!({ "DBParameterGroupName": "lab", "Source": "user" });
    let parameters = aws.ok(EAST, "describe_db_parameters", &user)["Parameters"].take();
    assert_eq!(parameters.as_array().unwrap().len(), 2, "{parameters}");

    // A reboot puts the waiting parameter into force.
    let answered = aws.ok(EAST, "reboot_db_instance", &named("queue-a"));
    assert_eq!(answered["DBInstance"]["DBInstanceStatus"], "rebooting");
    let a = aws.wait(EAST, "queue-a", &["rebooting"], "available").await;
    assert_eq!(status(&a), "in-sync");
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    let row = on_a.query_one("SHOW max_connections", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "50");

    // The master password.
    let password = json!({ "DBInstanceIdentifier": "queue-a", "MasterUserPassword": "another-one", "ApplyImmediately": true });
    let answered = aws.ok(EAST, "modify_db_instance", &password);
    assert_eq!(answered["DBInstance"]["DBInstanceStatus"], "resetting-master-credentials");
    aws.wait(EAST, "queue-a", &["resetting-master-credentials"], "available").await;
    assert!(connect(&a, "not-a-secret").await.is_err());
    assert!(connect(&a, "another-one").await.is_ok());
    let log = std::fs::read_to_string(dir.path().join("us-east-1/queue-a/postgres.log")).unwrap();
    assert!(!log.contains("another-one") && !log.contains("not-a-secret"));

    // Class and size wait for a reboot unless told otherwise.
    aws.ok(
        EAST,
        "modify_db_instance",
        &json!({ "DBInstanceIdentifier": "queue-a", "DBInstanceClass": "db.m7g.large" }),
    );
    let a = aws.instance(EAST, "queue-a");
    assert_eq!(
        (&a["DBInstanceClass"], &a["PendingModifiedValues"]["DBInstanceClass"]),
        (&json!("db.t4g.micro"), &json!("db.m7g.large"))
    );
    let smaller = json!({ "DBInstanceIdentifier": "queue-a", "AllocatedStorage": 10 });
    assert_eq!(
        aws.refused(EAST, "modify_db_instance", &smaller),
        code("InvalidParameterCombination", 400)
    );

    // Tags.
    let arn = &a["DBInstanceArn"];
    aws.ok(
        EAST,
        "add_tags_to_resource",
        &json!({ "ResourceName": arn, "Tags": [{ "Key": "tier", "Value": "1" }] }),
    );
    aws.ok(EAST, "remove_tags_from_resource", &json!({ "ResourceName": arn, "TagKeys": ["app"] }));
    let tags =
        aws.ok(EAST, "list_tags_for_resource", &json!({ "ResourceName": arn }))["TagList"].take();
    assert_eq!(tags, json!([{ "Key": "tier", "Value": "1" }]));

    // TLS that a client can verify.
    let authority = handle.ca_certificate().expect("openssl is installed").display().to_string();
    let conninfo = format!(
        "host=127.77.94.20 user=postgres dbname=queue sslmode=verify-full sslrootcert={authority}"
    );
    let output = std::process::Command::new("psql")
        .args([&conninfo, "-Atc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])
        .env("PGPASSWORD", "another-one")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "t", "{error}");

    // Stop and start.
    assert_eq!(
        aws.ok(EAST, "stop_db_instance", &named("queue-a"))["DBInstance"]["DBInstanceStatus"],
        "stopping"
    );
    aws.wait(EAST, "queue-a", &["stopping"], "stopped").await;
    assert!(connect(&a, "another-one").await.is_err() && handle.pids(EAST, "queue-a").is_err());
    assert_eq!(
        aws.ok(EAST, "start_db_instance", &named("queue-a"))["DBInstance"]["DBInstanceStatus"],
        "starting"
    );
    aws.wait(EAST, "queue-a", &["starting"], "available").await;
    let on_a = connect(&a, "another-one").await.unwrap();
    assert_eq!(count(&on_a).await, 0);

    // Filters, and the other region.
    let engine = json!({ "Filters": [{ "Name": "engine", "Values": ["postgres"] }] });
    assert_eq!(
        aws.ok(EAST, "describe_db_instances", &engine)["DBInstances"].as_array().unwrap().len(),
        1
    );
    let other = json!({ "Filters": [{ "Name": "db-instance-id", "Values": ["other"] }] });
    assert_eq!(aws.ok(EAST, "describe_db_instances", &other)["DBInstances"], json!([]));
    assert_eq!(aws.ok(WEST, "describe_db_instances", &json!({}))["DBInstances"], json!([]));

    // The AWS CLI understands the answers too.
    let output = std::process::Command::new(crate::support::tools().join("aws"))
        .args([
            "rds",
            "describe-db-instances",
            "--query",
            "DBInstances[0].DBInstanceStatus",
            "--output",
            "text",
        ])
        .args(["--endpoint-url", &endpoint, "--region", EAST])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "available",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_deleted_frees_its_replicas() {
    let dir = tempfile::tempdir().unwrap();
    let handle = RdsServer::start(config(dir.path(), 96)).await.unwrap();
    let mut aws = Boto::new(&format!("http://{}", handle.address()));
    aws.ok(EAST, "create_db_instance", &create("queue-a"));
    let a = aws.wait(EAST, "queue-a", &["creating"], "available").await;
    let on_a = connect(&a, "not-a-secret").await.unwrap();
    on_a.batch_execute("CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket VALUES (1)")
        .await
        .unwrap();
    let arn = &a["DBInstanceArn"];
    for (region, id) in [(EAST, "near"), (WEST, "far")] {
        let replica = json!({ "DBInstanceIdentifier": id, "SourceDBInstanceIdentifier": arn });
        aws.ok(region, "create_db_instance_read_replica", &replica);
    }
    let near = aws.wait(EAST, "near", &["creating"], "available").await;
    let far = aws.wait(WEST, "far", &["creating"], "available").await;
    assert_eq!(near["ReadReplicaSourceDBInstanceIdentifier"], "queue-a");
    assert_eq!(
        aws.refused(EAST, "stop_db_instance", &named("queue-a")),
        code("InvalidDBInstanceState", 400)
    );
    let (on_near, on_far) = (
        connect(&near, "not-a-secret").await.unwrap(),
        connect(&far, "not-a-secret").await.unwrap(),
    );
    wait_count(&on_near, 1).await;
    wait_count(&on_far, 1).await;

    aws.ok(
        EAST,
        "delete_db_instance",
        &json!({ "DBInstanceIdentifier": "queue-a", "SkipFinalSnapshot": true }),
    );
    aws.wait_gone(EAST, "queue-a").await;
    let near = aws.wait(EAST, "near", &["modifying"], "available").await;
    assert!(near["ReadReplicaSourceDBInstanceIdentifier"].is_null());
    on_near.execute("INSERT INTO ticket VALUES (2)", &[]).await.unwrap();
    let far = aws.instance(WEST, "far");
    assert_eq!(far["StatusInfos"][0]["Status"], "terminated");
    assert_eq!(far["StatusInfos"][0]["Normal"], false);
    // Its stream now runs into something that takes connections and never answers.
    let silent = tokio::net::TcpListener::bind(("127.77.96.20", 5432)).await.unwrap();
    let held =
        tokio::time::timeout(Duration::from_secs(10), silent.accept()).await.unwrap().unwrap();
    let begin = Instant::now();
    aws.ok(WEST, "promote_read_replica", &named("far"));
    aws.wait(WEST, "far", &["modifying"], "available").await;
    assert!(begin.elapsed() < Duration::from_secs(3), "promotion took {:?}", begin.elapsed());
    drop(held);
    on_far.execute("INSERT INTO ticket VALUES (3)", &[]).await.unwrap();
    handle.stop().await;
}
