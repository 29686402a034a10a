//! Tables of answers.

use lifeboat_lab_aws_model::{Answer, Wire};

use crate::support::{MODELS, brief, sorted};

#[track_caller]
fn check(wire: Wire, call: &str, status: u16, body: &str, expected: &[&str]) {
    let (service, operation) = call.split_once(':').unwrap();
    let answer = Answer { service, operation, wire, status, body: body.as_bytes() };
    assert_eq!(brief(&MODELS.answer(&answer)), sorted(expected.to_vec()), "{call} {body}");
}

#[test]
fn query_answers() {
    let answer = |instance: &str| {
        format!(
            "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>{instance}</DBInstance></DBInstances></DescribeDBInstancesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DescribeDBInstancesResponse>"
        )
    };
    let call = "rds:DescribeDBInstances";
    let sound = "<DBInstanceIdentifier>a</DBInstanceIdentifier><MultiAZ>false</MultiAZ><InstanceCreateTime>2026-11-23T10:00:00Z</InstanceCreateTime>";
    check(Wire::Query, call, 200, &answer(sound), &[]);
    check(
        Wire::Query,
        call,
        200,
        &answer(
            "<MultiAZ>False</MultiAZ><Role>primary</Role><InstanceCreateTime>now</InstanceCreateTime>",
        ),
        &[
            "DBInstances[0].MultiAZ: type",
            "DBInstances[0].Role: unknown member",
            "DBInstances[0].InstanceCreateTime: type",
        ],
    );
    check(Wire::Query, call, 200, "<Other/>", &[": malformed"]);
    let error =
        |code: &str| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
    check(Wire::Query, call, 404, &error("DBInstanceNotFound"), &[]);
    check(Wire::Query, call, 403, &error("AccessDenied"), &[]);
    check(Wire::Query, call, 404, &error("NoSuchInstance"), &[": unknown error"]);
}

#[test]
fn json_answers() {
    let call = "ssm:GetCommandInvocation";
    check(Wire::Json, call, 200, r#"{"Status":"Success","ResponseCode":0}"#, &[]);
    check(
        Wire::Json,
        call,
        200,
        r#"{"Status":"Fine","ResponseCode":"0","Host":"h"}"#,
        &["Status: enum", "ResponseCode: type", "Host: unknown member"],
    );
    // As in AWS's own example: bounds are for requests.
    let empty =
        r#"{"ExecutionEndDateTime":"","CloudWatchOutputConfig":{"CloudWatchLogGroupName":""}}"#;
    check(Wire::Json, call, 200, empty, &[]);
    check(Wire::Json, call, 400, r#"{"__type":"InvocationDoesNotExist"}"#, &[]);
    check(Wire::Json, call, 400, r#"{"__type":"com.amazon#NoInvocation"}"#, &[": unknown error"]);
    check(
        Wire::Json,
        "ssm:DescribeInstanceInformation",
        200,
        r#"{"InstanceInformationList":[{"InstanceId":"i-1","LastPingDateTime":"today"}]}"#,
        &["InstanceInformationList[0].LastPingDateTime: type"],
    );
}

#[test]
fn xml_answers() {
    let call = "route53:GetHealthCheckStatus";
    let answer = |inner: &str| {
        format!("<GetHealthCheckStatusResponse>{inner}</GetHealthCheckStatusResponse>")
    };
    let observation = "<HealthCheckObservations><HealthCheckObservation><Region>us-east-1</Region><IPAddress>127.0.0.1</IPAddress><StatusReport><Status>Success</Status><CheckedTime>2026-11-23T10:00:00.000Z</CheckedTime></StatusReport></HealthCheckObservation></HealthCheckObservations>";
    check(Wire::RestXml, call, 200, &answer(observation), &[]);
    check(Wire::RestXml, call, 200, &answer(""), &["HealthCheckObservations: required"]);
    check(
        Wire::RestXml,
        call,
        200,
        &answer(&observation.replace("us-east-1", "mars")),
        &["HealthCheckObservations[0].Region: enum"],
    );
}
