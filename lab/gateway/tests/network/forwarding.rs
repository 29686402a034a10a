//! What passes through the gateway is what was sent; where it goes is decided by service and operation.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    HttpRequest, Lab, any_port, bounded, closed_port, gateway_to, rds, s3_put, ssm,
};
use lifeboat_lab_gateway::gateway::{self, CallerListener, GatewayConfig, Upstreams};

#[tokio::test]
async fn each_service_goes_to_its_upstream() {
    let lab = Lab::start().await;
    let route53 = |path: &str| HttpRequest::new("GET", path).signed("test", "us-east-1", "route53");
    for (request, upstream) in [
        (rds("us-west-2", "test", "Action=DescribeDBInstances"), "rds"),
        (ssm("us-west-2", "SendCommand", r#"{"DocumentName":"d"}"#), "ssm"),
        (ssm("us-west-2", "UpdateDocumentDefaultVersion", "{}"), "ssm"),
        (ssm("us-west-2", "DescribeInstanceInformation", "{}"), "ssm"),
        (ssm("us-west-2", "GetParameter", r#"{"Name":"/a"}"#), "emulator"),
        (route53("/2013-04-01/healthcheck/h/status"), "dns"),
        (route53("/2013-04-01/healthcheck/h"), "emulator"),
        (s3_put("us-east-1", "/b/k", b"x"), "emulator"),
    ] {
        let answer = lab.call("operator", &request).await.unwrap();
        assert!(answer.text().starts_with(upstream), "{request:?} went to {}", answer.text());
        assert!(answer.head.to_lowercase().contains(&format!("x-upstream: {upstream}")));
    }
    assert_eq!(lab.rds.seen().len(), 1);
    assert_eq!(lab.ssm.seen().len(), 3);
    assert_eq!(lab.dns.seen().len(), 1);
}

#[tokio::test]
async fn head_and_large_body_pass_unchanged() {
    let lab = Lab::start().await;
    let body: Vec<u8> = (0..5_000_003_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let path = "/echo/a%2Fb%20c/~x+y?versionId=a%2Bb&empty=&flag";
    let request = s3_put("us-east-1", path, &body)
        .header("x-amz-meta-note", "two  spaces, and a comma")
        .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let answer = lab.call("us-east-1", &request).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "the echoed body differs");
    let seen = lab.emulator.seen().remove(0);
    assert_eq!(seen.uri, path);
    assert!(seen.body == body, "the forwarded body differs");
    assert_eq!(seen.header("host"), Some("aws.example:4610"));
    assert_eq!(seen.header("x-amz-meta-note"), Some("two  spaces, and a comma"));
    assert_eq!(seen.header("content-length"), Some("5000003"));
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("connection"), None);
}

#[tokio::test]
async fn chunked_bodies_stay_chunked() {
    let lab = Lab::start().await;
    let mut stream = TcpStream::connect(lab.address("us-east-1")).await.unwrap();
    let head = "PUT /echo/k HTTP/1.1\r\nHost: b.s3.us-west-2.amazonaws.com\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in ["5\r\nhello\r\n", "1\r\n \r\n", "5\r\nworld\r\n", "0\r\n\r\n"] {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    bounded(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("hello world"), "{answer}");
    let seen = lab.emulator.seen().remove(0);
    assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
    assert_eq!(&seen.body[..], b"hello world");
    let record = lab.records().remove(0);
    assert_eq!(
        (record.region.as_str(), record.resource.as_deref()),
        ("us-west-2", Some("b/echo/k"))
    );
}

/// The upstream here is a bare socket: the request's own bytes are looked at.
#[tokio::test]
async fn header_names_keep_their_case() {
    let upstream = TcpListener::bind(any_port()).await.unwrap();
    let address = upstream.local_addr().unwrap();
    let gateway = gateway_to(address).await;

    let request =
        HttpRequest::new("GET", "/b/k").header("X-Amz-MixedCase", "Value").header("x-lower", "v");
    let mut client = request.start(gateway.address("operator").unwrap()).await.unwrap();
    let (mut server, _) = bounded(upstream.accept()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(bounded(server.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["GET /b/k HTTP/1.1", "Host: aws.example:4610", "X-Amz-MixedCase: Value", "x-lower: v"]
    );

    server
        .write_all(b"HTTP/1.1 200 OK\r\nX-Request-ID: R\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    let mut answer = String::new();
    bounded(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("X-Request-ID: R\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn answers_stream_before_they_are_complete() {
    let upstream = TcpListener::bind(any_port()).await.unwrap();
    let address = upstream.local_addr().unwrap();
    let gateway = gateway_to(address).await;
    let mut client =
        HttpRequest::new("GET", "/b/k").start(gateway.address("operator").unwrap()).await.unwrap();
    let (mut server, _) = bounded(upstream.accept()).await.unwrap();
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"first") {
        head.push(bounded(client.read_u8()).await.unwrap());
    }
    server.write_all(b"later").await.unwrap();
    let mut rest = String::new();
    bounded(client.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "later");
}

#[tokio::test]
async fn upstream_connections_are_used_again() {
    let lab = Lab::start().await;
    for _ in 0..20 {
        lab.call("us-east-1", &ssm("us-east-1", "GetParameter", "{}")).await.unwrap();
    }
    assert_eq!(lab.emulator.seen().len(), 20);
    // The pool takes a connection back a moment after the answer, so now and then a second one opens.
    assert!(
        lab.emulator.connections() <= 5,
        "{} connections for 20 calls",
        lab.emulator.connections()
    );
}

#[tokio::test]
async fn an_upstream_that_is_down_is_named() {
    let (_reserved, down) = closed_port();
    let gateway = gateway_to(down).await;
    let answer = ssm("us-east-1", "GetParameter", "{}")
        .send(gateway.address("operator").unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains(&format!("the emulator at {down}")), "{}", answer.text());
    let record = gateway.calls().since(0).remove(0);
    assert_eq!((record.status, record.fault), (Some(502), None));
    assert!(record.error.unwrap().contains("check that it runs"));
}

#[tokio::test]
async fn calls_are_logged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.jsonl");
    let file = path.clone();
    let lab = Lab::start_with(move |config| config.call_log = Some(file)).await;
    lab.call("us-west-2", &ssm("us-east-1", "GetParameter", r#"{"Name":"/a"}"#)).await.unwrap();
    lab.call(
        "operator",
        &rds("us-west-2", "test", "Action=DescribeDBInstances&DBInstanceIdentifier=queue-b"),
    )
    .await
    .unwrap();
    let records = lab.records();
    let first = &records[0];
    assert_eq!(
        (
            first.source.as_str(),
            first.region.as_str(),
            first.service.as_str(),
            first.operation.as_str()
        ),
        ("us-west-2", "us-east-1", "ssm", "GetParameter")
    );
    assert_eq!(
        (first.resource.as_deref(), first.role.as_deref(), first.status),
        (Some("/a"), Some("test"), Some(200))
    );
    assert!(first.duration_ms > 0.0 && first.fault.is_none());
    assert!(
        first.time.ends_with('Z') && first.time.len() == "2026-11-23T18:00:00.000Z".len(),
        "{}",
        first.time
    );
    assert_eq!(records[1].resource.as_deref(), Some("queue-b"));

    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<gateway::CallRecord> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, records);

    let newer = lab.admin("GET", "/calls?since=1", "").await.json();
    assert_eq!(
        (newer.as_array().unwrap().len(), &newer[0]["operation"]),
        (1, &"DescribeDBInstances".into())
    );
    assert_eq!(lab.admin("POST", "/reset", "").await.status, 204);
    assert_eq!(lab.records(), []);
    assert_eq!(lab.admin("GET", "/health", "").await.json()["last_seq"], 2);
}

#[tokio::test]
async fn stopping_frees_every_port() {
    let lab = Lab::start().await;
    let addresses = [lab.address("operator"), lab.gateway.admin_address()];
    let held = HttpRequest::new("GET", "/slow").start(addresses[0]).await.unwrap();
    bounded(lab.gateway.stop()).await;
    for address in addresses {
        TcpListener::bind(address).await.unwrap();
    }
    drop(held);
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let lab = Lab::start().await;
    let taken = lab.address("operator");
    let callers = vec![CallerListener { caller: "operator".into(), listen: taken }];
    let address = lab.emulator.address;
    let upstreams =
        Upstreams { emulator: address, rds: address, ssm: address, dns_status: address };
    let error =
        gateway::start(GatewayConfig::new(callers, any_port(), upstreams)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("{taken}: the address is in use")), "{error}");
}
