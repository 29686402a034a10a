use super::*;
use crate::model::Routing;

fn set(name: &str, kind: &str, value: &str) -> RecordSet {
    RecordSet {
        name: name.to_owned(),
        kind: kind.to_owned(),
        set_identifier: None,
        routing: Routing::Simple,
        health_check: None,
        content: Content::Values { ttl: 60, values: vec![value.to_owned()] },
    }
}

fn failover(name: &str, routing: Routing, check: Option<&str>, content: Content) -> RecordSet {
    RecordSet {
        routing,
        set_identifier: Some(format!("{routing:?}")),
        health_check: check.map(str::to_owned),
        content,
        ..set(name, "A", "")
    }
}

fn values(value: &str) -> Content {
    Content::Values { ttl: 10, values: vec![value.to_owned()] }
}

fn alias(target: &str, evaluate_target_health: bool) -> Content {
    let zone_id = "Z1".to_owned();
    Content::Alias { zone_id, target: target.to_owned(), evaluate_target_health }
}

fn zones() -> Vec<Zone> {
    let soa = "ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";
    let mut example = vec![
        set("example.test", "SOA", soa),
        set("example.test", "NS", "ns-1.awsdns-01.org."),
        set("www.example.test", "CNAME", "queue.example.test."),
        set("far.example.test", "CNAME", "elsewhere.test."),
        set("loop.example.test", "CNAME", "loop.example.test."),
        set("deep.below.example.test", "A", "10.0.0.9"),
        set("*.wild.example.test", "A", "10.0.0.7"),
        set("child.example.test", "NS", "ns.child.example.test."),
        failover("queue.example.test", Routing::Primary, Some("switch"), values("10.0.0.1")),
        failover("queue.example.test", Routing::Secondary, None, values("10.0.0.2")),
        failover("front.example.test", Routing::Primary, None, alias("site-a.example.test", true)),
        failover("front.example.test", Routing::Secondary, None, values("10.0.0.2")),
        failover("blind.example.test", Routing::Primary, None, alias("site-a.example.test", false)),
        failover("blind.example.test", Routing::Secondary, None, values("10.0.0.2")),
    ];
    let site = failover("site-a.example.test", Routing::Simple, Some("switch"), values("10.0.0.1"));
    example.push(site);
    let sub = vec![set("sub.example.test", "SOA", soa), set("x.sub.example.test", "A", "10.0.0.5")];
    vec![
        Zone { id: "Z1".to_owned(), name: "example.test".to_owned(), sets: example },
        Zone { id: "Z2".to_owned(), name: "sub.example.test".to_owned(), sets: sub },
    ]
}

/// One line for a reply: code, answers, and the type of what is in the authority section.
fn ask(question: &str, switch: Verdict) -> String {
    let zones = zones();
    let verdicts = BTreeMap::from([("switch".to_owned(), switch)]);
    let (name, kind) = question.split_once(' ').unwrap();
    let reply = View { zones: &zones, verdicts: &verdicts }.reply(name, kind, 0);
    let mut line = format!("{:?}", reply.code);
    for record in reply.answers {
        line += &format!(" {}={}/{}", record.name, record.value, record.ttl);
    }
    for record in reply.authority {
        line += &format!(" [{} {}/{}]", record.name, record.kind, record.ttl);
    }
    line
}

fn check(question: &str, expected: &str) {
    assert_eq!(ask(question, Verdict::Healthy), expected, "{question}");
}

#[test]
fn names_types_and_their_absence() {
    check("queue.example.test A", "NoError queue.example.test=10.0.0.1/10");
    check("queue.example.test AAAA", "NoError [example.test SOA/60]");
    check("none.example.test A", "NxDomain [example.test SOA/60]");
    check("below.example.test A", "NoError [example.test SOA/60]"); // an empty non-terminal
    check("example.org A", "Refused");
    check("notexample.test A", "Refused");
    check("x.sub.example.test A", "NoError x.sub.example.test=10.0.0.5/60"); // the longest zone
    check("y.sub.example.test A", "NxDomain [sub.example.test SOA/60]");
    check("example.test NS", "NoError example.test=ns-1.awsdns-01.org./60");
    check("a.child.example.test A", "Referral [child.example.test NS/60]");
}

#[test]
fn cnames_are_followed_inside_our_zones() {
    check(
        "www.example.test A",
        "NoError www.example.test=queue.example.test./60 queue.example.test=10.0.0.1/10",
    );
    check("www.example.test CNAME", "NoError www.example.test=queue.example.test./60");
    check("far.example.test A", "NoError far.example.test=elsewhere.test./60");
    assert!(ask("loop.example.test A", Verdict::Healthy).len() < 500);
}

#[test]
fn wildcards_answer_for_what_does_not_exist() {
    check("a.wild.example.test A", "NoError a.wild.example.test=10.0.0.7/60");
    check("a.b.wild.example.test A", "NoError a.b.wild.example.test=10.0.0.7/60");
    check("a.wild.example.test TXT", "NoError [example.test SOA/60]");
}

#[test]
fn failover_moves_with_its_check() {
    let down = |question| ask(question, Verdict::Unhealthy);
    assert_eq!(down("queue.example.test A"), "NoError queue.example.test=10.0.0.2/10");
    // An alias answers under its own name, and hands its target's health on only when asked to.
    check("front.example.test A", "NoError front.example.test=10.0.0.1/10");
    assert_eq!(down("front.example.test A"), "NoError front.example.test=10.0.0.2/10");
    assert_eq!(down("blind.example.test A"), "NoError blind.example.test=10.0.0.1/10");
}
