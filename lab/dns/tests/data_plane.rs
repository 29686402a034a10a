//! The server over real sockets: a control plane that can vanish, an S3 endpoint whose object
//! can appear, and questions asked with `dig` and over HTTP.

mod fixture;

use std::path::Path;
use std::time::Duration;

use fixture::{ControlPlane, Endpoint, check, dig, get, record, start};
use lifeboat_lab_aws_model::{Answer, Models, Wire};
use lifeboat_lab_dns::{DnsConfig, DnsError, DnsHandle, DnsServer, Observed, Verdict};

/// Two checkers must agree, and with an interval of 10 s the next two come within 2.5 s.
const SWITCH: Duration = Duration::from_secs(8);

fn queue(switch: Option<&str>) -> String {
    record("queue", "A", "127.0.1.10", Some(("a", "<Failover>PRIMARY</Failover>")), switch)
        + &record("queue", "A", "127.0.2.10", Some(("b", "<Failover>SECONDARY</Failover>")), None)
}

fn answer(dns: &DnsHandle, name: &str) -> Vec<String> {
    dns.answers(&format!("{name}.example.test")).into_iter().flat_map(|one| one.values).collect()
}

fn verdict(dns: &DnsHandle, id: &str) -> Option<Verdict> {
    dns.report().health_checks.into_iter().find(|check| check.id == id)?.status
}

fn observed(dns: &DnsHandle, id: &str) -> Option<Observed> {
    Some(dns.report().health_checks.into_iter().find(|check| check.id == id)?.observed)
}

/// What of an answer to `GetHealthCheckStatus` does not fit the model of Route 53.
fn misfits(status: u16, body: &str) -> Vec<String> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/venv");
    let (service, operation) = ("route53", "GetHealthCheckStatus");
    let answer = Answer { service, operation, wire: Wire::RestXml, status, body: body.as_bytes() };
    match Models::of_venv(&venv) {
        Ok(models) => models.answer(&answer).iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_the_standby_bucket_moves_traffic_while_the_control_plane_is_dark() {
    let control = ControlPlane::start().await;
    let s3 = Endpoint::start().await;
    control.set_records(&queue(Some("switch")));
    control.set_checks(&check(
        "switch",
        "<Type>HTTPS</Type><FullyQualifiedDomainName>standby.s3.us-west-2.amazonaws.com\
         </FullyQualifiedDomainName><ResourcePath>/queue/open.json</ResourcePath>\
         <RequestInterval>10</RequestInterval><FailureThreshold>1</FailureThreshold>\
         <Inverted>True</Inverted>",
    ));
    let dns = start(&control, &[("us-west-2", s3.address())]).await;

    // The object is absent, so the inverted check settles as healthy, and site a answers.
    let settled =
        dns.wait_until(SWITCH, |dns| observed(dns, "switch") == Some(Observed::Unhealthy));
    assert!(settled.await, "{:?}", dns.report());
    assert_eq!(verdict(&dns, "switch"), Some(Verdict::Healthy));
    let before = dig(&dns, &["queue.example.test", "A"]).await;
    assert!(before.contains("flags: qr aa rd;"), "{before}");
    assert!(before.contains("queue.example.test.\t10\tIN\tA\t127.0.1.10"), "{before}");

    control.go_dark();
    let dark = dns.wait_until(SWITCH, |dns| dns.report().mirror.last_error.is_some());
    assert!(dark.await, "the mirror notices that the control plane is dark");
    s3.serve("/queue/open.json", 200, "{}");
    let moved = dns.wait_until(SWITCH, |dns| answer(dns, "queue") == ["127.0.2.10"]);
    assert!(moved.await, "{:?}", dns.report());
    let after = dig(&dns, &["+short", "queue.example.test"]).await;
    assert_eq!(after.trim(), "127.0.2.10");

    let change = dns.changes().pop().unwrap();
    assert_eq!((change.from, change.to), (vec!["127.0.1.10".into()], vec!["127.0.2.10".into()]));
    assert_eq!((change.name.as_str(), change.cause), ("queue.example.test", "health"));
    // The requests name the bucket and their maker.
    let request = s3.requests().pop().unwrap();
    assert!(request.contains("host: standby.s3.us-west-2.amazonaws.com\r\n"), "{request}");
    assert!(request.contains("user-agent: Amazon-Route53-Health-Check-Service (ref switch; "));

    // And back, when the object is removed: the failback.
    s3.remove("/queue/open.json");
    let back = dns.wait_until(SWITCH, |dns| answer(dns, "queue") == ["127.0.1.10"]);
    assert!(back.await, "{:?}", dns.report());
    dns.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_check_is_made() {
    let control = ControlPlane::start().await;
    let site = Endpoint::start().await;
    site.serve("/health", 200, "all is well here");
    site.serve("/moved", 302, "");
    site.serve("/broken", 503, "all is well here");
    site.alarm("ALARM");
    let at = |path: &str, kind: &str, more: &str| {
        let address = site.address();
        format!(
            "<Type>{kind}</Type><IPAddress>{}</IPAddress><Port>{}</Port>\
             <ResourcePath>{path}</ResourcePath><RequestInterval>10</RequestInterval>\
             <FailureThreshold>1</FailureThreshold>{more}",
            address.ip(),
            address.port()
        )
    };
    let closed = fixture::closed_port().await;
    let refused = format!(
        "<Type>TCP</Type><IPAddress>127.0.0.1</IPAddress><Port>{closed}</Port>\
         <RequestInterval>10</RequestInterval><FailureThreshold>1</FailureThreshold>"
    );
    // Connections to a listener that never accepts succeed, and are then met with silence.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!(
        "<Type>HTTP</Type><IPAddress>127.0.0.1</IPAddress><Port>{}</Port>\
         <RequestInterval>10</RequestInterval><FailureThreshold>1</FailureThreshold>",
        listener.local_addr().unwrap().port()
    );
    let alarm = |region: &str, without_data: &str| {
        format!(
            "<Type>CLOUDWATCH_METRIC</Type><AlarmIdentifier><Name>age &amp; lag</Name><Region>{region}\
             </Region></AlarmIdentifier><InsufficientDataHealthStatus>{without_data}\
             </InsufficientDataHealthStatus>"
        )
    };
    let sum = |threshold: u8| {
        format!(
            "<Type>CALCULATED</Type><HealthThreshold>{threshold}</HealthThreshold><ChildHealthChecks>\
             <ChildHealthCheck>http</ChildHealthCheck><ChildHealthCheck>http-broken</ChildHealthCheck>\
             </ChildHealthChecks>"
        )
    };
    let search = "<SearchString>is well</SearchString>";
    let checks = [
        ("http", at("/health", "HTTP", ""), true),
        ("https", at("health", "HTTPS", ""), true),
        ("http-redirect", at("/moved", "HTTP", ""), true),
        ("http-broken", at("/broken", "HTTP", ""), false),
        ("http-inverted", at("/broken", "HTTP", "<Inverted>true</Inverted>"), true),
        ("http-disabled", at("/broken", "HTTP", "<Disabled>true</Disabled>"), true),
        ("text", at("/health", "HTTP_STR_MATCH", search), true),
        ("text-absent", at("/moved", "HTTP_STR_MATCH", search), false),
        ("tcp", at("", "TCP", ""), true),
        ("tcp-refused", refused, false),
        ("hang", silent, false),
        ("alarm", alarm("us-east-1", "Healthy"), false),
        ("alarm-dark", alarm("us-west-2", "Unhealthy"), false),
        ("alarm-dark-healthy", alarm("us-west-2", "Healthy"), true),
        ("one-child", sum(1), true),
        ("two-children", sum(2), false),
    ];
    control.set_checks(&checks.iter().map(|(id, config, _)| check(id, config)).collect::<String>());
    let dark = format!("127.0.0.1:{closed}").parse().unwrap();
    let dns = start(&control, &[("us-east-1", site.address()), ("us-west-2", dark)]).await;

    let settled = dns.wait_until(SWITCH, |dns| {
        let observing =
            dns.report().health_checks.into_iter().filter(|c| !c.calculated && !c.disabled);
        observing.into_iter().all(|check| check.observed != Observed::Unknown)
    });
    assert!(settled.await, "{:?}", dns.report());
    for (id, _, healthy) in &checks {
        let expected = if *healthy { Verdict::Healthy } else { Verdict::Unhealthy };
        assert_eq!(verdict(&dns, id), Some(expected), "{id}");
    }
    assert!(
        site.requests()
            .iter()
            .any(|request| request.contains("AlarmNames.member.1=age%20%26%20lag"))
    );

    // AWS's own way to ask for it, and its refusals.
    let path = "/2013-04-01/healthcheck/http-broken/status";
    let (code, status) = get(dns.api_address(), path).await;
    assert_eq!(code, 200);
    assert_eq!(misfits(code, &status), [""; 0]);
    assert!(status.contains("<Region>us-east-1</Region>"), "{status}");
    assert!(
        status.contains("<Status>Failure: HTTP Status Code 503, Service Unavailable</Status>"),
        "{status}"
    );
    for (id, expected) in
        [("one-child", (400, "InvalidInput")), ("nobody", (404, "NoSuchHealthCheck"))]
    {
        let path = format!("/2013-04-01/healthcheck/{id}/status");
        let (code, body) = get(dns.api_address(), &path).await;
        assert_eq!(code, expected.0);
        assert_eq!(misfits(code, &body), [""; 0]);
        assert!(body.contains(&format!("<Code>{}</Code>", expected.1)), "{body}");
    }
    dns.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_sees_what_an_authoritative_server_shows() {
    let control = ControlPlane::start().await;
    let text = record("queue", "TXT", "\"epoch 7\" \"second &amp; last\"", None, None);
    let many: String = (0..60)
        .map(|n| {
            record(
                "many",
                "A",
                &format!("10.0.0.{n}"),
                Some((&n.to_string(), "<Weight>1</Weight>")),
                None,
            )
        })
        .collect();
    let long = format!("\"{}\"", "x".repeat(250));
    let long = record("long", "TXT", &[long.as_str(); 8].join(" "), None, None);
    let cname = record("www", "CNAME", "queue.example.test", None, None);
    let wild = record("*.wild", "AAAA", "::7", None, None);
    control.set_records(&(queue(None) + &text + &many + &long + &cname + &wild));
    let dns = start(&control, &[]).await;

    let zone = dig(&dns, &["example.test", "SOA"]).await;
    assert!(
        zone.contains("ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"),
        "{zone}"
    );
    let none = dig(&dns, &["nobody.example.test"]).await;
    assert!(none.contains("status: NXDOMAIN") && none.contains("\tSOA\t"), "{none}");
    assert!(none.contains("flags: qr aa rd;"), "{none}");
    let nodata = dig(&dns, &["queue.example.test", "AAAA"]).await;
    assert!(
        nodata.contains("status: NOERROR") && nodata.contains("ANSWER: 0, AUTHORITY: 1"),
        "{nodata}"
    );
    let other = dig(&dns, &["example.org"]).await;
    assert!(other.contains("status: REFUSED") && other.contains("flags: qr rd;"), "{other}");
    let www = dig(&dns, &["www.example.test"]).await;
    assert!(
        www.contains("\tCNAME\tqueue.example.test.") && www.contains("\tA\t127.0.1.10"),
        "{www}"
    );
    assert_eq!(dig(&dns, &["+short", "a.wild.example.test", "AAAA"]).await.trim(), "::7");
    assert_eq!(dig(&dns, &["+tcp", "+short", "QUEUE.example.test"]).await.trim(), "127.0.1.10");
    let text = dig(&dns, &["+short", "queue.example.test", "TXT"]).await;
    assert_eq!(text.trim(), "\"epoch 7\" \"second & last\"");
    assert_eq!(dig(&dns, &["+short", "many.example.test"]).await.lines().count(), 1);
    // Too long for UDP: truncated there, whole over TCP, which dig then takes by itself.
    let cut = dig(&dns, &["+ignore", "+noedns", "long.example.test", "TXT"]).await;
    assert!(cut.contains("flags: qr aa tc rd;"), "{cut}");
    assert!(dig(&dns, &["+short", "long.example.test", "TXT"]).await.len() > 2000);
    assert!(dig(&dns, &["-t", "ANY", "+tcp", "example.test"]).await.contains("status: NOTIMP"));

    let (code, records) = get(dns.api_address(), "/records").await;
    let records: serde_json::Value = serde_json::from_str(&records).unwrap();
    let queue = records["records"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "queue.example.test");
    assert_eq!((code, &queue.unwrap()["values"]), (200, &serde_json::json!(["127.0.1.10"])));
    let (_, changes) = get(dns.api_address(), "/changes").await;
    let changes: serde_json::Value = serde_json::from_str(&changes).unwrap();
    let first =
        changes.as_array().unwrap().iter().find(|one| one["name"] == "queue.example.test").unwrap();
    assert_eq!((&first["type"], &first["to"]), (&"A".into(), &serde_json::json!(["127.0.1.10"])));
    assert!(first["at"].is_string() && first["from"].as_array().unwrap().is_empty());
    dns.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_arrive_whole_and_removed_records_leave() {
    let control = ControlPlane::start().await;
    control.page_size(1);
    control.set_records(&queue(None));
    let dns = start(&control, &[]).await;
    assert_eq!(answer(&dns, "queue"), ["127.0.1.10"]);
    control.set_records(&record("queue", "A", "127.0.2.10", None, None));
    assert!(dns.wait_until(SWITCH, |dns| answer(dns, "queue") == ["127.0.2.10"]).await);
    control.set_records("");
    assert!(dns.wait_until(SWITCH, |dns| answer(dns, "queue").is_empty()).await);
    assert!(dig(&dns, &["queue.example.test"]).await.contains("status: NXDOMAIN"));
    let causes: Vec<_> = dns.changes().into_iter().map(|change| change.cause).collect();
    assert!(causes.iter().all(|cause| *cause == "records"));
    dns.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn editing_a_check_keeps_what_its_checkers_know() {
    let control = ControlPlane::start().await;
    let site = Endpoint::start().await;
    site.serve("/health", 200, "");
    control.set_records(&queue(Some("site")));
    let edit = |more: &str| {
        let at = site.address();
        control.set_checks(&check(
            "site",
            &format!(
                "<Type>HTTP</Type><IPAddress>{}</IPAddress><Port>{}</Port>\
                 <ResourcePath>/health</ResourcePath><RequestInterval>30</RequestInterval>\
                 <FailureThreshold>1</FailureThreshold>{more}",
                at.ip(),
                at.port()
            ),
        ));
    };
    edit("");
    let dns = start(&control, &[]).await;
    let settled = dns.wait_until(SWITCH, |dns| observed(dns, "site") == Some(Observed::Healthy));
    assert!(settled.await, "{:?}", dns.report());
    // The next results are up to 30 s away: each of these takes effect with what is known.
    for (more, expected) in [
        ("<Inverted>true</Inverted>", "127.0.2.10"),
        ("<Inverted>true</Inverted><Disabled>true</Disabled>", "127.0.2.10"),
        ("<Disabled>true</Disabled>", "127.0.1.10"),
        ("<Inverted>true</Inverted>", "127.0.2.10"),
        ("", "127.0.1.10"),
    ] {
        edit(more);
        let moved = dns.wait_until(SWITCH, |dns| answer(dns, "queue") == [expected]);
        assert!(moved.await, "{more}: {:?}", dns.report());
    }
    dns.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_read_a_zone_says_so() {
    let control = ControlPlane::start().await;
    control.go_dark();
    let dns = DnsServer::start(fixture::config(&control, &[])).await.unwrap();
    assert!(dig(&dns, &["queue.example.test"]).await.contains("status: SERVFAIL"));
    assert_eq!(get(dns.api_address(), "/health").await.0, 503);
    dns.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_named_and_is_free_after_stop() {
    let control = ControlPlane::start().await;
    let dns = start(&control, &[]).await;
    let taken = DnsConfig { listen: dns.dns_address(), ..fixture::config(&control, &[]) };
    let error = DnsServer::start(taken.clone()).await.unwrap_err();
    assert!(
        matches!(error, DnsError::AddressInUse { address, .. } if address == dns.dns_address())
    );
    assert!(error.to_string().contains(&dns.dns_address().to_string()));
    let api_taken = DnsConfig { api: dns.api_address(), ..fixture::config(&control, &[]) };
    let error = DnsServer::start(api_taken).await.unwrap_err();
    assert!(error.to_string().contains(&dns.api_address().to_string()), "{error}");
    dns.stop().await;
    DnsServer::start(taken).await.unwrap().stop().await;
}
