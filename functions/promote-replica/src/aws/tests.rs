//! The adapter against an RDS that says one thing to each operation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_sdk_rds::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use lifeboat_core::{ErrorName, plan_file::Engine};
use lifeboat_parameters::Parameters;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Status and body for each operation.
type Answers = BTreeMap<&'static str, (u16, String)>;

struct Service {
    rds: Rds,
    sql: Sql,
    /// The bodies of the requests, in their order.
    requests: Arc<Mutex<Vec<String>>>,
}

async fn service(answers: Answers) -> Service {
    let listener = TcpListener::bind("127.0.94.2:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let (answers, seen) = (Arc::new(answers), Arc::clone(&requests));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&seen)));
        }
    });
    let key = Credentials::new("key", "secret", None, None, "test");
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(key))
        .endpoint_url(endpoint)
        .build();
    Service { rds: Rds::new(&config), sql: Sql { parameters: Parameters::new(&config) }, requests }
}

async fn serve(stream: TcpStream, answers: Arc<Answers>, seen: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut operation) = (0, String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if lower.starts_with("x-amz-target:") {
                operation = line.trim().rsplit('.').next().unwrap().to_owned();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let body = String::from_utf8(body).unwrap();
        if let Some(action) = body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
            operation = action.to_owned();
        }
        seen.lock().unwrap().push(body);
        let (status, body) = &answers[operation.as_str()];
        let answer = format!("HTTP/1.1 {status} .\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn described(members: &str) -> (u16, String) {
    let instance = format!(
        "<DBInstanceIdentifier>queue-b</DBInstanceIdentifier>\
         <DBInstanceArn>arn:aws:rds:us-west-2:000000000000:db:queue-b</DBInstanceArn>{members}"
    );
    let result = format!("<DBInstances><DBInstance>{instance}</DBInstance></DBInstances>");
    answered("DescribeDBInstances", &result)
}

fn replica(status: &str) -> (u16, String) {
    described(&format!(
        "<DBInstanceStatus>{status}</DBInstanceStatus>\
         <ReadReplicaSourceDBInstanceIdentifier>arn:aws:rds:us-east-1:000000000000:db:queue-a\
         </ReadReplicaSourceDBInstanceIdentifier><BackupRetentionPeriod>7</BackupRetentionPeriod>"
    ))
}

fn answered(operation: &str, result: &str) -> (u16, String) {
    let body = format!(
        "<{operation}Response xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">\
         <{operation}Result>{result}</{operation}Result></{operation}Response>"
    );
    (200, body)
}

fn refused(status: u16, code: &str) -> (u16, String) {
    let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>no</Message>");
    (status, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
}

fn database(port: u16) -> Database {
    Database {
        engine: Engine::Rds,
        identifier: "queue-b".into(),
        host: "127.0.94.2".into(),
        port,
        name: "queue".into(),
        user: "lifeboat".into(),
        app: "queue".parse().unwrap(),
        password_secret: "database".into(),
    }
}

async fn promoted(answers: Answers) -> (Result<(), Fault>, Vec<String>) {
    let service = service(answers).await;
    let incident = "queue-e2".parse().unwrap();
    let outcome = service.rds.promote(&database(1), &incident).await;
    let requests = service.requests.lock().unwrap().clone();
    (outcome, requests)
}

fn promotable() -> Answers {
    [
        ("DescribeDBInstances", replica("available")),
        ("AddTagsToResource", answered("AddTagsToResource", "")),
        ("PromoteReadReplica", answered("PromoteReadReplica", "")),
    ]
    .into()
}

#[tokio::test]
async fn a_promotion_is_marked_first_and_keeps_the_backup_retention() {
    let (outcome, requests) = promoted(promotable()).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(requests.len(), 3);
    assert!(requests[1].contains("Action=AddTagsToResource"), "{}", requests[1]);
    assert!(requests[1].contains("Key=lifeboat-promoted-by") && requests[1].contains("queue-e2"));
    assert!(requests[2].contains("Action=PromoteReadReplica"), "{}", requests[2]);
    assert!(requests[2].contains("BackupRetentionPeriod=7"), "{}", requests[2]);

    let mut answers = promotable();
    answers.insert("DescribeDBInstances", described(""));
    let (_, requests) = promoted(answers).await;
    assert!(requests[2].contains("BackupRetentionPeriod=1"), "{}", requests[2]);
}

#[tokio::test]
async fn a_promotion_goes_on_without_its_mark() {
    let mut answers = promotable();
    answers.insert("AddTagsToResource", refused(403, "AccessDenied"));
    assert_eq!(promoted(answers).await.0, Ok(()));
}

#[tokio::test]
async fn a_promotion_that_is_under_way_is_left_to_the_next_look() {
    let mut answers = promotable();
    answers.insert("PromoteReadReplica", refused(400, "InvalidDBInstanceState"));
    assert_eq!(promoted(answers).await.0, Ok(()));
}

#[tokio::test]
async fn refusals_are_named_by_what_to_do() {
    for (status, code, name) in [
        (404, "DBInstanceNotFound", ErrorName::NeedsHuman),
        (403, "AccessDenied", ErrorName::NeedsHuman),
        (400, "InvalidDBInstanceState", ErrorName::NotReady),
        (400, "Throttling", ErrorName::Transient),
        (503, "ServiceUnavailable", ErrorName::Transient),
    ] {
        let service = service([("DescribeDBInstances", refused(status, code))].into()).await;
        let fault = service.rds.state(&database(1), &service.sql).await.unwrap_err();
        assert_eq!(fault.name, name, "{code}: {fault}");
        assert!(fault.message.contains("queue-b"), "{fault}");
    }
}

#[tokio::test]
async fn a_replica_is_what_rds_names_a_source_of() {
    for (status, expected) in
        [("available", State::Replica), ("modifying", State::Changing("RDS says modifying".into()))]
    {
        let service = service([("DescribeDBInstances", replica(status))].into()).await;
        let state = service.rds.state(&database(1), &service.sql).await.unwrap();
        assert_eq!(state, expected);
        assert_eq!(service.requests.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_primary_is_believed_only_when_it_answers_sql() {
    let closed = TcpListener::bind("127.0.94.2:0").await.unwrap().local_addr().unwrap().port();
    let primary = described("<DBInstanceStatus>available</DBInstanceStatus>");
    let secret = (200, r#"{"Parameter":{"Name":"x","Value":"hunter2"}}"#.to_owned());
    let answers = [("DescribeDBInstances", primary), ("GetParameter", secret)];
    let service = service(answers.into()).await;
    let state = service.rds.state(&database(closed), &service.sql).await.unwrap();
    let State::Changing(how) = state else { panic!("{state:?}") };
    assert!(how.contains("does not answer SQL yet") && !how.contains("hunter2"), "{how}");
}

#[test]
fn the_mark_tells_who_promoted() {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let instance = |tags| DbInstance::builder().set_tag_list(Some(tags)).build();
    let marked = instance(vec![tag("team", "queue"), tag(PROMOTED_BY, "queue-e2")]);
    assert_eq!(promoted_by(&marked), "queue-e2".parse().ok());
    assert_eq!(promoted_by(&instance(vec![tag("team", "queue")])), None);
    assert_eq!(promoted_by(&instance(vec![tag(PROMOTED_BY, "not an id")])), None);
}
