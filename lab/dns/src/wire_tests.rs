use super::*;

const NS: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

#[test]
fn public_zones_are_read_and_paged() {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListHostedZonesResponse xmlns=\"{NS}\"><HostedZones>\
         <HostedZone><Id>/hostedzone/Z1</Id><Name>Example.test.</Name><CallerReference>r</CallerReference>\
         <Config><Comment /><PrivateZone>false</PrivateZone></Config>\
         <ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>\
         <HostedZone><Id>/hostedzone/Z2</Id><Name>inside.test.</Name>\
         <Config><PrivateZone>True</PrivateZone></Config></HostedZone></HostedZones>\
         <IsTruncated>true</IsTruncated><Marker></Marker><MaxItems>2</MaxItems>\
         <NextMarker>Z2</NextMarker></ListHostedZonesResponse>"
    );
    let page = zones(&xml).unwrap();
    let expected = ListedZone { id: "Z1".to_owned(), name: "example.test".to_owned() };
    assert_eq!(page.items, [expected]);
    assert_eq!(page.next.as_deref(), Some("marker=Z2"));
    let empty = format!("<R xmlns=\"{NS}\"><HostedZones /><IsTruncated>false</IsTruncated></R>");
    assert!(zones(&empty).unwrap().items.is_empty());
}

#[test]
fn record_sets_of_every_policy_are_read() {
    let xml = format!(
        "<ListResourceRecordSetsResponse xmlns=\"{NS}\"><ResourceRecordSets>\
         <ResourceRecordSet><Name>\\052.example.test.</Name><Type>TXT</Type><TTL>60</TTL><ResourceRecords>\
         <ResourceRecord><Value>\"a &amp; b\"</Value></ResourceRecord>\
         <ResourceRecord><Value>\"c\"</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>\
         <ResourceRecordSet><Name>q.example.test.</Name><Type>A</Type><SetIdentifier>a</SetIdentifier>\
         <Failover>PRIMARY</Failover><AliasTarget><HostedZoneId>Z1</HostedZoneId>\
         <DNSName>Site-a.example.test.</DNSName><EvaluateTargetHealth>True</EvaluateTargetHealth>\
         </AliasTarget><HealthCheckId>h1</HealthCheckId></ResourceRecordSet>\
         <ResourceRecordSet><Name>w.example.test.</Name><Type>A</Type><SetIdentifier>a</SetIdentifier>\
         <Weight>7</Weight><TTL>5</TTL></ResourceRecordSet>\
         <ResourceRecordSet><Name>m.example.test.</Name><Type>A</Type><SetIdentifier>a</SetIdentifier>\
         <MultiValueAnswer>true</MultiValueAnswer><TTL>5</TTL></ResourceRecordSet>\
         <ResourceRecordSet><Name>l.example.test.</Name><Type>A</Type><SetIdentifier>a</SetIdentifier>\
         <Region>us-east-1</Region><TTL>5</TTL></ResourceRecordSet>\
         </ResourceRecordSets><IsTruncated>true</IsTruncated><NextRecordName>x y.example.test.</NextRecordName>\
         <NextRecordType>A</NextRecordType><NextRecordIdentifier>b</NextRecordIdentifier>\
         </ListResourceRecordSetsResponse>"
    );
    let page = record_sets(&xml).unwrap();
    assert_eq!(page.next.as_deref(), Some("name=x%20y.example.test.&type=A&identifier=b"));
    let [text, failover, weighted, multivalue, latency] = page.items.as_slice() else { panic!() };
    assert_eq!(text.name, "*.example.test");
    let values = ["\"a & b\"", "\"c\""].map(str::to_owned).to_vec();
    assert_eq!(text.content, Content::Values { ttl: 60, values });
    let target = "site-a.example.test".to_owned();
    assert_eq!(
        failover.content,
        Content::Alias { zone_id: "Z1".to_owned(), target, evaluate_target_health: true }
    );
    assert_eq!(failover.health_check.as_deref(), Some("h1"));
    let routing = [text, failover, weighted, multivalue, latency].map(|set| set.routing);
    let expected = [
        Routing::Simple,
        Routing::Primary,
        Routing::Weighted(7),
        Routing::Multivalue,
        Routing::ByOrigin,
    ];
    assert_eq!(routing, expected);
}

#[test]
fn health_checks_of_every_type_are_read() {
    let check = |id: &str, config: &str| {
        format!(
            "<HealthCheck><Id>{id}</Id><CallerReference>{id}</CallerReference>\
             <HealthCheckVersion>1</HealthCheckVersion><HealthCheckConfig>{config}\
             </HealthCheckConfig></HealthCheck>"
        )
    };
    let xml = format!(
        "<ListHealthChecksResponse xmlns=\"{NS}\"><HealthChecks>{}{}{}{}{}</HealthChecks>\
         <IsTruncated>false</IsTruncated></ListHealthChecksResponse>",
        check(
            "switch",
            "<Type>HTTPS</Type><FullyQualifiedDomainName>b.s3.us-west-2.amazonaws.com\
             </FullyQualifiedDomainName><ResourcePath>open.json</ResourcePath>\
             <RequestInterval>10</RequestInterval><FailureThreshold>1</FailureThreshold>\
             <Inverted>True</Inverted><Disabled>False</Disabled>",
        ),
        check(
            "text",
            "<Type>HTTP_STR_MATCH</Type><IPAddress>127.0.1.10</IPAddress><Port>8080</Port>\
             <SearchString>ok</SearchString>",
        ),
        check(
            "sum",
            "<Type>CALCULATED</Type><HealthThreshold>1</HealthThreshold><ChildHealthChecks>\
             <ChildHealthCheck>text</ChildHealthCheck><ChildHealthCheck></ChildHealthCheck>\
             </ChildHealthChecks>",
        ),
        check(
            "alarm",
            "<Type>CLOUDWATCH_METRIC</Type><InsufficientDataHealthStatus>Unhealthy\
             </InsufficientDataHealthStatus><AlarmIdentifier><Name>n</Name><Region>r</Region>\
             </AlarmIdentifier>",
        ),
        check("arc", "<Type>RECOVERY_CONTROL</Type><RoutingControlArn>arn</RoutingControlArn>"),
    );
    let checks = health_checks(&xml).unwrap().items;
    let [switch, text, sum, alarm, arc] = checks.as_slice() else { panic!() };
    assert!(switch.inverted && !switch.disabled);
    let CheckKind::Endpoint { probe, failure_threshold: 1 } = &switch.kind else { panic!() };
    assert_eq!((probe.path.as_str(), probe.port, probe.interval_seconds), ("/open.json", 443, 10));
    let CheckKind::Endpoint { probe, failure_threshold: 3 } = &text.kind else { panic!() };
    assert_eq!(
        (probe.search.as_deref(), probe.port, probe.interval_seconds),
        (Some("ok"), 8080, 30)
    );
    let children = vec!["text".to_owned()];
    assert_eq!(sum.kind, CheckKind::Calculated { children, threshold: 1 });
    let CheckKind::Alarm { insufficient: InsufficientData::Unhealthy, .. } = &alarm.kind else {
        panic!()
    };
    assert_eq!(arc.kind, CheckKind::NotObserved { kind: "RECOVERY_CONTROL".to_owned() });
}

#[test]
fn the_state_of_an_alarm_is_read() {
    let xml = "<DescribeAlarmsResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">\
               <DescribeAlarmsResult><MetricAlarms><member><AlarmName>n</AlarmName>\
               <StateValue>ALARM</StateValue></member></MetricAlarms><CompositeAlarms></CompositeAlarms>\
               </DescribeAlarmsResult></DescribeAlarmsResponse>";
    assert_eq!(alarm_state(xml).unwrap().as_deref(), Some("ALARM"));
    assert_eq!(
        alarm_state(&xml.replace("<member>", "<other>").replace("</member>", "</other>")).unwrap(),
        None
    );
}
