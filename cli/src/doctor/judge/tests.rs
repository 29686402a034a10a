use lifeboat_core::plan_file;

use super::*;

fn plan() -> AppPlan {
    plan_file::read(include_str!("../../../../events/plan/queue.toml")).unwrap()
}

fn region() -> Region {
    "us-west-2".parse().unwrap()
}

#[test]
fn a_replica_of_something_else_or_of_nothing_is_a_fault() {
    let plan = plan();
    let mut sites = plan.sites.values();
    let (a, b) = (sites.next().unwrap(), sites.next().unwrap());
    let of = |source: Option<&str>, replication: Option<&str>, active| {
        let found = Instance {
            status: "available".into(),
            source: source.map(str::to_owned),
            replication: replication.map(str::to_owned),
        };
        instance(&region(), b, a, active, Some(&found)).health
    };
    let arn = "arn:aws:rds:us-east-1:000000000000:db:queue-a";
    assert_eq!(of(Some(arn), Some("replicating"), false), Health::Ok);
    assert_eq!(of(Some(arn), None, false), Health::Ok);
    assert_eq!(of(Some(arn), Some("error"), false), Health::Fault);
    let other = "arn:aws:rds:us-east-1:0:db:other-queue-a";
    assert_eq!(of(Some(other), None, false), Health::Fault);
    assert_eq!(of(None, None, false), Health::Fault);
    assert_eq!(of(None, None, true), Health::Ok);
    assert_eq!(of(Some(arn), None, true), Health::Fault);
    assert_eq!(instance(&region(), b, a, true, None).health, Health::Fault);
}

#[test]
fn lag_beyond_the_rpo_is_a_fault_and_none_is_not_known() {
    let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    for (seconds, health) in
        [(Some(1.0), Health::Ok), (Some(6.0), Health::Fault), (None, Health::Unknown)]
    {
        let last = seconds.map(|seconds| (now, seconds));
        assert_eq!(lag(&region(), Some(5), last, now).health, health);
    }
}

#[test]
fn somebody_must_be_told_and_hosts_must_answer() {
    let tag = plan().sites.into_values().find_map(|site| site.hosts).unwrap();
    for (well, health) in [
        (&[][..], Health::Fault),
        (&[false], Health::Fault),
        (&[true, false], Health::Warning),
        (&[true], Health::Ok),
    ] {
        assert_eq!(subscriptions(&region(), "arn", well).health, health);
        let all: Vec<Host> =
            well.iter().map(|online| Host { id: "mi-1".into(), online: *online }).collect();
        assert_eq!(hosts(&region(), &tag, &all).health, health);
    }
}

#[test]
fn a_name_that_cannot_move_is_a_fault() {
    let record = |failover: &str, has_health_check, ttl| Record {
        failover: Some(failover.into()),
        has_health_check,
        ttl: Some(ttl),
    };
    let of = |found: Option<&[Record]>| name(&plan(), found).health;
    let second = || record("SECONDARY", false, 5);
    assert_eq!(of(Some(&[record("PRIMARY", true, 5), second()])), Health::Ok);
    assert_eq!(of(Some(&[record("PRIMARY", true, 60), second()])), Health::Warning);
    assert_eq!(of(Some(&[record("PRIMARY", false, 5), second()])), Health::Fault);
    assert_eq!(of(Some(&[second()])), Health::Fault);
    assert_eq!(of(None), Health::Unknown);
}

#[test]
fn what_may_not_be_asked_is_unknown_and_an_open_bucket_is_a_fault() {
    let fault = Fault::needs_human("list the hosts failed: AccessDeniedException: no");
    let finding = Finding::unasked("hosts", Some(&region()), &fault);
    assert_eq!(finding.health, Health::Unknown);
    assert!(finding.next.unwrap().contains("AuditorPolicyArn"));
    for (said, action) in [
        (
            "User: arn:aws:sts::123456789012:assumed-role/Ops/ada is not authorized to perform: \
             rds:DescribeDBInstances on resource: arn:aws:rds:us-east-1:123456789012:db:* because no \
             identity-based policy allows the rds:DescribeDBInstances action",
            Some("rds:DescribeDBInstances"),
        ),
        (
            "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: route53:ListHostedZones",
            Some("route53:ListHostedZones"),
        ),
        ("Access Denied", None),
    ] {
        assert_eq!(missing_action(said), action);
    }
    let of = |found| policy(&region(), "b", found).health;
    let open = r#"{"Statement":[{"Effect":"Allow","Action":"s3:DeleteObject"}]}"#;
    assert_eq!(of(Some(open)), Health::Fault);
    let shut = r#"{"Statement":[{"Effect":"Deny","Action":["s3:DeleteObject"]}]}"#;
    assert_eq!(of(Some(shut)), Health::Ok);
    assert_eq!(of(None), Health::Fault);
}
