//! A dark region: no call leaves it, no call reaches it, and Route 53 is another matter.

use lifeboat_lab_gateway::gateway::{DarkMode, DarkRegion};
use tokio::io::AsyncReadExt;

use crate::support::{HttpRequest, Lab, SILENCE, assert_reset, bounded, s3_put, ssm, until};

#[tokio::test]
async fn refused_in_both_directions() {
    let lab = Lab::start().await;
    let dark = lab.admin("POST", "/dark", r#"{"region":"us-east-1","mode":"refuse"}"#).await;
    assert_eq!(dark.status, 204);
    let route53 = HttpRequest::new("GET", "/2013-04-01/hostedzone/Z/rrset").signed(
        "test",
        "us-east-1",
        "route53",
    );

    assert_reset(&lab.call("us-east-1", &ssm("us-west-2", "GetParameter", "{}")).await);
    assert_reset(&lab.call("us-east-1", &route53).await);
    assert_reset(&lab.call("us-west-2", &ssm("us-east-1", "GetParameter", "{}")).await);
    assert_reset(&lab.call("operator", &s3_put("us-east-1", "/b/k", b"x")).await);
    assert!(lab.call("us-west-2", &ssm("us-west-2", "GetParameter", "{}")).await.is_ok());
    assert!(
        lab.call("us-west-2", &route53).await.is_ok(),
        "Route 53 signs for us-east-1 but is global"
    );
    assert_eq!(lab.emulator.seen().len(), 2);
    assert_eq!(lab.records()[2].fault.as_deref(), Some("refuse:dark:us-east-1:to"));

    let listed = lab.admin("GET", "/dark", "").await.json();
    assert_eq!(listed, serde_json::json!([{"region": "us-east-1", "mode": "refuse"}]));
    assert_eq!(lab.admin("DELETE", "/dark/us-east-1", "").await.status, 204);
    assert_eq!(lab.admin("DELETE", "/dark/us-east-1", "").await.status, 404);
    assert!(lab.call("us-east-1", &ssm("us-west-2", "GetParameter", "{}")).await.is_ok());
}

#[tokio::test]
async fn hung_in_both_directions_until_it_is_light() {
    let lab = Lab::start().await;
    let region = "us-east-1".to_owned();
    lab.gateway.faults().darken(&DarkRegion { region: region.clone(), mode: DarkMode::Hang });
    let mut from =
        ssm("us-west-2", "GetParameter", "{}").start(lab.address("us-east-1")).await.unwrap();
    let mut to =
        ssm("us-east-1", "GetParameter", "{}").start(lab.address("us-west-2")).await.unwrap();
    let applied = || lab.gateway.faults().list().iter().map(|status| status.applied).sum::<u64>();
    until("both calls are held", || applied() == 2).await;
    assert!(tokio::time::timeout(SILENCE, from.read_u8()).await.is_err());
    assert!(tokio::time::timeout(SILENCE, to.read_u8()).await.is_err());
    assert_eq!(lab.emulator.seen().len(), 0);
    assert!(lab.gateway.faults().lighten(&region));
    for stream in [&mut from, &mut to] {
        let mut answer = String::new();
        bounded(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn a_call_in_flight_is_cut_off_when_its_region_goes_dark() {
    let lab = Lab::start().await;
    let slow = HttpRequest::new("GET", "/slow/k").signed("test", "us-east-1", "s3");
    let mut stream = slow.start(lab.address("us-west-2")).await.unwrap();
    until("the call is upstream", || lab.emulator.seen().len() == 1).await;
    lab.gateway.faults().darken(&DarkRegion { region: "us-east-1".into(), mode: DarkMode::Refuse });
    assert_reset(&bounded(stream.read_u8()).await);
    lab.emulator.open_gate();
}
