//! Each fault action, and which calls it meets.

use std::time::{Duration, Instant};

use lifeboat_lab_gateway::gateway::{FaultAction, FaultRule, GatewayHandle, Matching};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    HttpRequest, Lab, SILENCE, any_port, assert_reset, bounded, gateway_to, rds, s3_put, ssm, until,
};

fn rule(id: &str, matching: Matching, action: FaultAction) -> FaultRule {
    FaultRule { id: id.to_owned(), matching, action }
}

fn operation(name: &str) -> Matching {
    Matching { operation: Some(name.to_owned()), ..Matching::default() }
}

#[tokio::test]
async fn refuse_resets_and_forwards_nothing() {
    let lab = Lab::start().await;
    lab.gateway.faults().add(rule("r", operation("GetParameter"), FaultAction::Refuse)).unwrap();
    assert_reset(&lab.call("us-east-1", &ssm("us-east-1", "GetParameter", "{}")).await);
    assert_eq!(lab.emulator.seen().len(), 0);
    lab.call("us-east-1", &ssm("us-east-1", "PutParameter", "{}")).await.unwrap();
    let record = lab.records().remove(0);
    assert_eq!((record.status, record.fault.as_deref()), (None, Some("refuse:r")));
}

#[tokio::test]
async fn hang_ends_when_the_rule_is_removed() {
    let lab = Lab::start().await;
    lab.gateway.faults().add(rule("h", operation("PutObject"), FaultAction::Hang)).unwrap();
    let body = vec![7_u8; 300_000];
    let mut stream =
        s3_put("us-east-1", "/b/k", &body).start(lab.address("us-east-1")).await.unwrap();
    let silent = tokio::time::timeout(SILENCE, stream.read_u8()).await;
    assert!(silent.is_err(), "answered: {silent:?}");
    assert_eq!(lab.emulator.seen().len(), 0);
    assert!(lab.gateway.faults().remove("h"));
    let mut answer = String::new();
    bounded(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(lab.emulator.seen()[0].body == body);
    assert_eq!(lab.records()[0].fault.as_deref(), Some("hang:h"));
}

#[tokio::test]
async fn a_client_that_gives_up_a_hang_is_logged_and_nothing_is_forwarded() {
    let lab = Lab::start().await;
    lab.gateway.faults().add(rule("h", Matching::default(), FaultAction::Hang)).unwrap();
    for body in [Vec::new(), vec![1_u8; 3_000_000]] {
        let before = lab.records().len();
        let stream =
            s3_put("us-east-1", "/b/k", &body).start(lab.address("us-east-1")).await.unwrap();
        drop(stream);
        until("the held call is logged", || lab.records().len() > before).await;
        assert_eq!(lab.records()[before].status, None);
    }
    assert_eq!(lab.emulator.seen().len(), 0);
}

#[tokio::test]
async fn a_hang_may_turn_into_a_refusal() {
    let lab = Lab::start().await;
    lab.gateway.faults().add(rule("x", Matching::default(), FaultAction::Hang)).unwrap();
    let mut stream =
        ssm("us-east-1", "GetParameter", "{}").start(lab.address("us-east-1")).await.unwrap();
    until("the rule has met the call", || lab.gateway.faults().list()[0].applied == 1).await;
    lab.gateway.faults().add(rule("y", Matching::default(), FaultAction::Refuse)).unwrap();
    lab.gateway.faults().remove("x");
    assert_reset(&bounded(stream.read_u8()).await);
    assert_eq!(lab.emulator.seen().len(), 0);
}

#[tokio::test]
async fn a_call_whose_body_is_not_complete_is_held_and_refused_like_any_other() {
    let lab = Lab::start().await;
    lab.gateway.faults().add(rule("x", Matching::default(), FaultAction::Hang)).unwrap();
    let mut stream = TcpStream::connect(lab.address("us-east-1")).await.unwrap();
    stream
        .write_all(b"PUT /b/k HTTP/1.1\r\nHost: s3\r\nContent-Length: 10\r\n\r\npart")
        .await
        .unwrap();
    until("the rule has met the call", || lab.gateway.faults().list()[0].applied == 1).await;
    lab.gateway.faults().add(rule("y", Matching::default(), FaultAction::Refuse)).unwrap();
    lab.gateway.faults().remove("x");
    assert_reset(&bounded(stream.read_u8()).await);
    assert_eq!(lab.emulator.seen().len(), 0);
}

#[tokio::test]
async fn delay_delays_and_ends_with_its_rule() {
    let lab = Lab::start().await;
    lab.gateway
        .faults()
        .add(rule("d", Matching::default(), FaultAction::Delay { ms: 120 }))
        .unwrap();
    let started = Instant::now();
    lab.call("us-east-1", &ssm("us-east-1", "GetParameter", "{}")).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(120));
    assert!(lab.records()[0].duration_ms >= 120.0);
    assert_eq!(lab.records()[0].fault.as_deref(), Some("delay:d"));

    lab.gateway
        .faults()
        .add(rule("d", Matching::default(), FaultAction::Delay { ms: 3_600_000 }))
        .unwrap();
    let mut stream =
        ssm("us-east-1", "GetParameter", "{}").start(lab.address("us-east-1")).await.unwrap();
    until("the delay began", || lab.gateway.faults().list()[0].applied == 1).await;
    lab.gateway.faults().remove("d");
    let mut answer = String::new();
    bounded(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn throttling_speaks_each_protocol() {
    let lab = Lab::start().await;
    lab.gateway.faults().add(rule("t", Matching::default(), FaultAction::Throttle)).unwrap();
    let answer = lab.call("us-east-1", &ssm("us-east-1", "GetParameter", "{}")).await.unwrap();
    assert_eq!(
        (answer.status, answer.json()["__type"].as_str()),
        (400, Some("ThrottlingException"))
    );
    let answer = lab
        .call("us-east-1", &rds("us-east-1", "test", "Action=DescribeDBInstances"))
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("<Code>Throttling</Code>"));
    // The body is taken before the answer, or the client could miss the answer for a reset.
    let answer =
        lab.call("us-east-1", &s3_put("us-east-1", "/b/k", &vec![0; 5_000_000])).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("<Code>SlowDown</Code>"));
    let lambda = HttpRequest::new("POST", "/2015-03-31/functions/f/invocations").signed(
        "test",
        "us-east-1",
        "lambda",
    );
    assert_eq!(lab.call("us-east-1", &lambda).await.unwrap().status, 429);
    assert_eq!(lab.emulator.seen().len() + lab.rds.seen().len(), 0);
}

#[tokio::test]
async fn status_answers_with_that_status() {
    let lab = Lab::start().await;
    lab.gateway
        .faults()
        .add(rule("s", operation("GetObject"), FaultAction::Status { code: 503 }))
        .unwrap();
    let get = HttpRequest::new("GET", "/b/k").signed("test", "us-east-1", "s3");
    let answer = lab.call("us-east-1", &get).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("<Code>ServiceUnavailable</Code>"));
    assert_eq!(lab.records()[0].fault.as_deref(), Some("status:s"));
    let wrong =
        lab.gateway.faults().add(rule("s", Matching::default(), FaultAction::Status { code: 200 }));
    assert!(wrong.unwrap_err().to_string().contains("give a code from 400 to 599"));
}

#[tokio::test]
async fn a_lost_answer_took_effect() {
    let lab = Lab::start().await;
    lab.gateway.faults().add(rule("l", operation("PutObject"), FaultAction::AnswerLost)).unwrap();
    assert_reset(&lab.call("us-east-1", &s3_put("us-east-1", "/b/k", b"payload")).await);
    let seen = lab.emulator.seen();
    assert_eq!((seen.len(), &seen[0].body[..]), (1, b"payload".as_slice()));
    let record = lab.records().remove(0);
    assert_eq!((record.status, record.fault.as_deref()), (None, Some("answer_lost:l")));
}

#[tokio::test]
async fn the_nth_call_alone_or_all_from_it() {
    let lab = Lab::start().await;
    let mut second = operation("GetParameter");
    second.nth = Some(2);
    lab.gateway.faults().add(rule("n", second, FaultAction::Refuse)).unwrap();
    let call = ssm("us-east-1", "GetParameter", "{}");
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(lab.call("us-east-1", &call).await.is_ok());
        lab.call("us-east-1", &ssm("us-east-1", "PutParameter", "{}")).await.unwrap();
    }
    assert_eq!(outcomes, [true, false, true, true]);
    let status = lab.gateway.faults().list().remove(0);
    assert_eq!((status.matched, status.applied), (4, 1));

    let mut from_third = operation("GetParameter");
    from_third.from_nth = Some(3);
    lab.gateway.faults().clear();
    lab.gateway.faults().add(rule("n", from_third, FaultAction::Refuse)).unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(lab.call("us-east-1", &call).await.is_ok());
    }
    assert_eq!(outcomes, [true, true, false, false]);
}

#[tokio::test]
async fn a_refusal_breaks_off_a_call_in_flight_which_takes_effect() {
    let lab = Lab::start().await;
    let slow = HttpRequest::new("PUT", "/slow/k").signed("test", "us-east-1", "s3").with_body(b"x");
    let mut stream = slow.start(lab.address("us-east-1")).await.unwrap();
    until("the call is upstream", || lab.emulator.seen().len() == 1).await;
    lab.gateway.faults().add(rule("r", Matching::default(), FaultAction::Refuse)).unwrap();
    assert_reset(&bounded(stream.read_u8()).await);
    assert_eq!(lab.records()[0].fault.as_deref(), Some("refuse:r"));
    assert_eq!(lab.emulator.finished(), 0);
    lab.emulator.open_gate();
    until("the call took effect", || lab.emulator.finished() == 1).await;
}

#[tokio::test]
async fn a_call_that_went_out_takes_effect_although_the_client_left() {
    let lab = Lab::start().await;
    let slow = HttpRequest::new("PUT", "/slow/k").signed("test", "us-east-1", "s3").with_body(b"x");
    let stream = slow.start(lab.address("us-east-1")).await.unwrap();
    until("the call is upstream", || lab.emulator.seen().len() == 1).await;
    drop(stream);
    until("the client is gone", || lab.records().len() == 1).await;
    assert_eq!(lab.records()[0].status, None);
    lab.emulator.open_gate();
    until("the call took effect", || lab.emulator.finished() == 1).await;
}

/// A gateway in front of a bare socket, and an answer of which `first` has arrived and `later` is due.
async fn half_an_answer() -> (GatewayHandle, TcpStream, TcpStream) {
    let upstream = TcpListener::bind(any_port()).await.unwrap();
    let gateway = gateway_to(upstream.local_addr().unwrap()).await;
    let get = HttpRequest::new("GET", "/b/k").signed("test", "us-east-1", "s3");
    let mut client = get.start(gateway.address("operator").unwrap()).await.unwrap();
    let (mut server, _) = bounded(upstream.accept()).await.unwrap();
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
    let mut begun = Vec::new();
    while !begun.ends_with(b"first") {
        begun.push(bounded(client.read_u8()).await.unwrap());
    }
    (gateway, client, server)
}

#[tokio::test]
async fn a_hang_freezes_an_answer_that_has_begun() {
    let (gateway, mut client, mut server) = half_an_answer().await;
    gateway.faults().add(rule("h", Matching::default(), FaultAction::Hang)).unwrap();
    server.write_all(b"later").await.unwrap();
    assert!(tokio::time::timeout(SILENCE, client.read_u8()).await.is_err());
    gateway.faults().clear();
    let mut rest = String::new();
    bounded(client.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "later");
}

#[tokio::test]
async fn a_refusal_breaks_off_an_answer_that_has_begun() {
    let (gateway, mut client, _server) = half_an_answer().await;
    gateway.faults().add(rule("r", Matching::default(), FaultAction::Refuse)).unwrap();
    assert_reset(&bounded(client.read_u8()).await);
}

#[tokio::test]
async fn rules_by_resource() {
    let lab = Lab::start().await;
    let matching = Matching { resource_contains: Some("b/ledger/".into()), ..Matching::default() };
    lab.gateway.faults().add(rule("k", matching, FaultAction::Refuse)).unwrap();
    assert_reset(&lab.call("operator", &s3_put("us-east-1", "/b/ledger/1", b"x")).await);
    lab.call("operator", &s3_put("us-east-1", "/b/archive/1", b"x")).await.unwrap();
}

#[tokio::test]
async fn a_hang_holds_back_the_answer_of_a_call_in_flight() {
    let lab = Lab::start().await;
    let slow = HttpRequest::new("GET", "/slow/k").signed("test", "us-east-1", "s3");
    let mut stream = slow.start(lab.address("us-east-1")).await.unwrap();
    until("the call is upstream", || lab.emulator.seen().len() == 1).await;
    lab.gateway.faults().add(rule("h", Matching::default(), FaultAction::Hang)).unwrap();
    lab.emulator.open_gate();
    assert!(tokio::time::timeout(SILENCE, stream.read_u8()).await.is_err());
    lab.gateway.faults().clear();
    let mut answer = String::new();
    bounded(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("/slow/k"), "{answer}");
}

#[tokio::test]
async fn rules_by_role_caller_region_and_service() {
    let lab = Lab::start().await;
    lab.emulator.set_authorize(
        r#"{"allowed":true,"message":"","principal":"arn:aws:sts::000000000000:assumed-role/promote/f"}"#,
    );
    let matching = Matching {
        caller: Some("us-west-2".into()),
        region: Some("us-east-1".into()),
        service: Some("s3".into()),
        role_contains: Some("assumed-role/promote".into()),
        ..Matching::default()
    };
    lab.gateway.faults().add(rule("all", matching, FaultAction::Refuse)).unwrap();
    let get = |key: &str, region: &str| HttpRequest::new("GET", "/b/k").signed(key, region, "s3");
    assert!(lab.call("us-west-2", &get("test", "us-east-1")).await.is_ok(), "another role");
    assert!(lab.call("us-east-1", &get("ASIA1", "us-east-1")).await.is_ok(), "another caller");
    assert!(lab.call("us-west-2", &get("ASIA1", "us-west-2")).await.is_ok(), "another region");
    assert_reset(&lab.call("us-west-2", &get("ASIA1", "us-east-1")).await);
    assert!(lab.records()[3].role.as_deref().unwrap().contains("promote"));
    assert_eq!(lab.emulator.authorize_questions().len(), 1, "a principal is asked for once");
}

#[tokio::test]
async fn the_admin_api_takes_the_same_rules() {
    let lab = Lab::start().await;
    let body = json!({"match": {"service": "ssm", "nth": 1}, "action": {"kind": "delay", "ms": 1}});
    let added = lab.admin("POST", "/faults", &body.to_string()).await;
    assert_eq!((added.status, added.json()["id"].as_str()), (201, Some("fault-1")));
    lab.call("us-east-1", &ssm("us-east-1", "GetParameter", "{}")).await.unwrap();
    let listed = lab.admin("GET", "/faults", "").await.json();
    assert_eq!(listed[0]["rule"]["match"], json!({"service": "ssm", "nth": 1}));
    assert_eq!(listed[0]["applied"], 1);
    assert_eq!(lab.admin("DELETE", "/faults/fault-1", "").await.status, 204);
    assert_eq!(lab.admin("DELETE", "/faults/fault-1", "").await.status, 404);
    let unknown = json!({"match": {"servise": "ssm"}, "action": {"kind": "refuse"}});
    let refused = lab.admin("POST", "/faults", &unknown.to_string()).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("servise"), "{}", refused.text());
    assert_eq!(lab.admin("DELETE", "/faults", "").await.status, 204);
}
