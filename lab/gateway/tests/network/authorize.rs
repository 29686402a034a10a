//! Calls to the lab's own services are let through only when the emulator's IAM allows them.

use serde_json::json;

use crate::support::{HttpRequest, Lab, rds, ssm};

const PROMOTE: &str = "Action=PromoteReadReplica&DBInstanceIdentifier=queue-b&Version=2014-10-31";

#[tokio::test]
async fn an_allowed_call_passes_and_iam_is_asked_exactly() {
    let lab = Lab::start().await;
    let answer = lab.call("us-west-2", &rds("us-west-2", "ASIAROLE", PROMOTE)).await.unwrap();
    assert!(answer.text().starts_with("rds"));
    let asked = lab.emulator.authorize_questions();
    assert_eq!(
        asked.last(),
        Some(&json!({
            "access_key_id": "ASIAROLE",
            "action": "rds:PromoteReadReplica",
            "resource": "arn:aws:rds:us-west-2:000000000000:db:queue-b",
            "region": "us-west-2",
        }))
    );
    assert_eq!(&lab.rds.seen()[0].body[..], PROMOTE.as_bytes());
}

#[tokio::test]
async fn a_denied_call_is_answered_as_the_service_would() {
    let lab = Lab::start().await;
    lab.emulator.set_authorize(r#"{"allowed":false,"message":"User: r is not authorized <here>"}"#);
    let answer = lab.call("us-west-2", &rds("us-west-2", "ASIAROLE", PROMOTE)).await.unwrap();
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("<Code>AccessDenied</Code>"), "{}", answer.text());
    assert!(answer.text().contains("not authorized &lt;here&gt;"), "{}", answer.text());

    let send = HttpRequest::new("POST", "/")
        .signed("ASIAROLE", "us-west-2", "ssm")
        .header("X-Amz-Target", "AmazonSSM.SendCommand")
        .header("Content-Type", "application/x-amz-json-1.1")
        .with_body(br#"{"DocumentName":"lifeboat-fence"}"#);
    let answer = lab.call("us-west-2", &send).await.unwrap();
    assert_eq!(
        (answer.status, answer.json()["__type"].as_str()),
        (400, Some("AccessDeniedException"))
    );
    let asked = lab.emulator.authorize_questions();
    assert_eq!(
        asked.last().unwrap()["resource"],
        "arn:aws:ssm:us-west-2:000000000000:document/lifeboat-fence"
    );
    assert_eq!(lab.rds.seen().len() + lab.ssm.seen().len(), 0);
}

#[tokio::test]
async fn root_and_the_emulators_own_services_are_not_asked_about() {
    let lab = Lab::start().await;
    lab.emulator.set_authorize(r#"{"allowed":false,"message":"no"}"#);
    assert_eq!(lab.call("operator", &rds("us-west-2", "test", PROMOTE)).await.unwrap().status, 200);
    assert_eq!(
        lab.call("operator", &ssm("us-west-2", "GetParameter", "{}")).await.unwrap().status,
        200
    );
    assert_eq!(lab.emulator.authorize_questions().len(), 0);
}

#[tokio::test]
async fn an_unsigned_call_is_denied() {
    let lab = Lab::start().await;
    let send = HttpRequest::new("POST", "/")
        .header("X-Amz-Target", "AmazonSSM.SendCommand")
        .header("Content-Type", "application/x-amz-json-1.1")
        .with_body(b"{}");
    assert_eq!(
        lab.call("us-west-2", &send).await.unwrap().json()["__type"],
        "AccessDeniedException"
    );
}

#[tokio::test]
async fn a_call_that_cannot_be_authorized_does_not_pass() {
    let lab = Lab::start().await;
    lab.emulator.set_authorize("not JSON");
    let answer = lab.call("us-west-2", &rds("us-west-2", "ASIAROLE", PROMOTE)).await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(lab.rds.seen().len(), 0);
    assert!(lab.records()[0].error.as_deref().unwrap().contains("cannot authorize"));
}

#[tokio::test]
async fn authorization_can_be_off() {
    let lab = Lab::start_with(|config| config.authorize = false).await;
    lab.emulator.set_authorize(r#"{"allowed":false,"message":"no"}"#);
    assert_eq!(
        lab.call("us-west-2", &rds("us-west-2", "ASIAROLE", PROMOTE)).await.unwrap().status,
        200
    );
    assert_eq!(lab.emulator.authorize_questions().len(), 0);
}

#[tokio::test]
async fn a_command_must_be_allowed_on_each_host_by_its_tags() {
    let tags = [("lifeboat-site".to_owned(), "queue-a".to_owned())].into();
    let lab =
        Lab::start_with(|config| config.host_tags = [("i-0000000a".to_owned(), tags)].into()).await;
    let send = HttpRequest::new("POST", "/")
        .signed("ASIAROLE", "us-west-2", "ssm")
        .header("X-Amz-Target", "AmazonSSM.SendCommand")
        .header("Content-Type", "application/x-amz-json-1.1")
        .with_body(br#"{"DocumentName":"lifeboat-backup","InstanceIds":["i-0000000a"]}"#);
    assert_eq!(lab.call("us-west-2", &send).await.unwrap().status, 200);
    let asked = lab.emulator.authorize_questions();
    assert_eq!(
        asked.last(),
        Some(&json!({
            "access_key_id": "ASIAROLE",
            "action": "ssm:SendCommand",
            "resource": "arn:aws:ec2:us-west-2:000000000000:instance/i-0000000a",
            "region": "us-west-2",
            "context": { "ssm:resourceTag/lifeboat-site": "queue-a" },
        }))
    );
}
