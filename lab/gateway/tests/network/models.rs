//! Requests and answers are held against AWS's models, and quotas are kept.

use std::path::Path;

use lifeboat_lab_gateway::gateway::Side;
use serde_json::json;

use crate::support::{HttpRequest, Lab, rds, s3_put, ssm};

async fn strict_lab() -> Lab {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/venv");
    Lab::start_with(|config| config.models = Some(venv)).await
}

/// `service:operation member rule` of what nobody made on purpose.
fn found(lab: &Lab, side: Side) -> Vec<String> {
    let records = lab.gateway.violations().undeclared(side);
    let brief = records.iter().map(|found| {
        format!("{}:{} {} {}", found.service, found.operation, found.member, found.rule)
    });
    brief.collect()
}

#[tokio::test]
async fn what_aws_refuses_is_refused_recorded_and_goes_no_further() {
    let lab = strict_lab().await;
    let answer = lab.call("us-east-1", &ssm("us-east-1", "GetParameter", "{}")).await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["__type"], "ValidationException");
    assert!(answer.text().contains("Value 'null' at 'Name'"), "{}", answer.text());
    let form = rds("us-east-1", "test", "Action=CreateDBSnapshot&Version=2014-10-31");
    let answer = lab.call("us-east-1", &form).await.unwrap();
    assert!(answer.text().contains("<Code>MissingParameter</Code>"), "{}", answer.text());
    let answer =
        lab.call("us-east-1", &s3_put("us-east-1", "/b?lifecycle", b"<x/>")).await.unwrap();
    assert!(answer.text().contains("<Code>InvalidRequest</Code>"), "{}", answer.text());

    assert_eq!(lab.emulator.seen().len() + lab.rds.seen().len(), 0);
    assert_eq!(
        found(&lab, Side::Request),
        [
            "ssm:GetParameter Name required",
            "rds:CreateDBSnapshot DBInstanceIdentifier required",
            "rds:CreateDBSnapshot DBSnapshotIdentifier required",
            "s3:PutBucketLifecycleConfiguration  malformed",
            "s3:PutBucketLifecycleConfiguration Content-MD5 required",
        ]
    );
    let record = lab.records().remove(0);
    assert_eq!(record.violations, ["ssm:GetParameter Name: required, and absent"]);
}

#[tokio::test]
async fn what_aws_may_take_passes_and_is_recorded_all_the_same() {
    let lab = strict_lab().await;
    let call = ssm("us-east-1", "GetParameter", r#"{"Name":"/a","Decrypt":true}"#);
    for _ in 0..2 {
        assert_eq!(lab.call("us-east-1", &call).await.unwrap().status, 200);
    }
    let unknown = HttpRequest::new("GET", "/restapis").signed("test", "us-east-1", "nosuch");
    assert_eq!(lab.call("us-east-1", &unknown).await.unwrap().status, 200);
    assert_eq!(
        found(&lab, Side::Request),
        ["ssm:GetParameter Decrypt unknown member", "nosuch:GET /restapis  not covered"]
    );
    let answer = lab.admin("GET", "/violations", "").await.json();
    assert_eq!(answer["held"]["requests"]["ssm:GetParameter"], 2);
    let first = &answer["found"].as_array().unwrap()[1];
    assert_eq!((&first["count"], &first["by"]), (&json!(2), &json!("test")));
}

#[tokio::test]
async fn a_sound_request_passes_byte_for_byte() {
    let lab = strict_lab().await;
    let body = vec![7; 3 << 20];
    let put = s3_put("us-west-2", "/bucket/a/key", &body);
    assert_eq!(lab.call("operator", &put).await.unwrap().status, 200);
    let rules = r#"<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Prefix>wal/</Prefix></Filter></Rule></LifecycleConfiguration>"#;
    let put = s3_put("us-west-2", "/bucket?lifecycle", rules.as_bytes()).header("Content-MD5", "x");
    assert_eq!(lab.call("operator", &put).await.unwrap().status, 200);
    assert_eq!(found(&lab, Side::Request), [""; 0]);
    let seen = lab.emulator.seen();
    assert_eq!((&seen[0].body[..], &seen[1].body[..]), (&body[..], rules.as_bytes()));
}

#[tokio::test]
async fn what_a_test_declares_is_wrong_on_purpose() {
    let lab = strict_lab().await;
    let declared = json!({"service": "ssm", "operation": "GetParameter", "member": "Name", "reason": "asked without a name"});
    assert_eq!(lab.admin("POST", "/violations/declared", &declared.to_string()).await.status, 204);
    lab.call("us-east-1", &ssm("us-east-1", "GetParameter", "{}")).await.unwrap();
    lab.call("us-east-1", &ssm("us-east-1", "GetParameters", "{}")).await.unwrap();
    assert_eq!(found(&lab, Side::Request), ["ssm:GetParameters Names required"]);
    let all = lab.gateway.violations().all();
    assert_eq!(all[0].declared.as_deref(), Some("asked without a name"));
}

#[tokio::test]
async fn answers_of_the_labs_own_services_are_checked_and_others_are_not() {
    let lab = strict_lab().await;
    // The fake upstreams answer with a line of text.
    let form = rds("us-east-1", "test", "Action=DescribeDBInstances&Version=2014-10-31");
    assert_eq!(lab.call("us-east-1", &form).await.unwrap().status, 200);
    let send = ssm("us-east-1", "SendCommand", r#"{"DocumentName":"lifeboat-backup"}"#);
    assert_eq!(lab.call("us-east-1", &send).await.unwrap().status, 200);
    let get = ssm("us-east-1", "GetParameter", r#"{"Name":"/a"}"#);
    assert_eq!(lab.call("us-east-1", &get).await.unwrap().status, 200);
    assert_eq!(
        found(&lab, Side::Answer),
        ["rds:DescribeDBInstances  malformed", "ssm:SendCommand  malformed"]
    );
    let held = lab.gateway.violations().held();
    assert_eq!(held.answers.len(), 2);
}

/// Route 53 throttles the account, whoever calls from wherever.
#[tokio::test]
async fn route53_throttles_the_account() {
    let lab = Lab::start().await;
    let status = HttpRequest::new("GET", "/2013-04-01/healthcheck/h-1/status");
    let status = status.signed("test", "us-east-1", "route53");
    let mut answers = Vec::new();
    for caller in ["us-east-1", "us-west-2"].into_iter().cycle().take(12) {
        answers.push(lab.call(caller, &status).await.unwrap());
    }
    let throttled: Vec<_> = answers.iter().filter(|answer| answer.status == 400).collect();
    // Four at once, and one more for each second that the calls took.
    assert!((1..=8).contains(&throttled.len()), "{}", throttled.len());
    let text = throttled[0].text();
    assert!(text.contains("<Code>Throttling</Code><Message>Rate exceeded</Message>"), "{text}");
    assert_eq!(lab.dns.seen().len(), 12 - throttled.len());
    let other = ssm("us-east-1", "GetParameter", r#"{"Name":"/a"}"#);
    assert_eq!(lab.call("us-east-1", &other).await.unwrap().status, 200);
}
