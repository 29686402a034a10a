//! Tables of requests.

use lifeboat_lab_aws_model::{Wire, refusal};
use minicbor::Encoder;

use crate::support::{MODELS, brief, named, rest, sorted};

#[track_caller]
fn form(service: &str, operation: &str, body: &str, expected: &[&str]) {
    let checked = MODELS.request(&named(service, Wire::Query, operation, body.as_bytes()));
    assert_eq!(brief(&checked.violations), sorted(expected.to_vec()), "{operation} {body}");
}

#[test]
fn query() {
    form("rds", "DescribeDBInstances", "DBInstanceIdentifier=a&Action=x&Version=y", &[]);
    form(
        "rds",
        "DescribeDBInstances",
        "Filters.Filter.1.Name=engine&Filters.Filter.1.Values.Value.1=postgres",
        &[],
    );
    form("rds", "DescribeDBInstance", "", &[": unknown operation"]);
    form("rds", "CreateDBSnapshot", "DBSnapshotIdentifier=s", &["DBInstanceIdentifier: required"]);
    form("rds", "DescribeDBInstances", "MaxRecords=many", &["MaxRecords: type"]);
    form("rds", "DescribeDBInstances", "Instance=a", &["Instance: unknown member"]);
    form("rds", "DescribeDBInstances", "Filters.member.1.Name=engine", &["Filters: malformed"]);
    form(
        "rds",
        "DescribeDBInstances",
        "Filters.Filter.1.Name=engine",
        &["Filters[0].Values: required"],
    );
    form("rds", "StopDBInstance", "DBInstanceIdentifier.x=a", &["DBInstanceIdentifier: type"]);
    form(
        "rds",
        "RestoreDBInstanceToPointInTime",
        "TargetDBInstanceIdentifier=t&RestoreTime=yesterday&UseLatestRestorableTime=True",
        &["RestoreTime: type", "UseLatestRestorableTime: type"],
    );
    form("sns", "Publish", "Message=hello&TopicArn=arn", &[]);
    form(
        "sns",
        "Publish",
        "MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=String",
        &["Message: required"],
    );
    form(
        "sns",
        "CreateTopic",
        "Name=t&Attributes.entry.1.key=KmsMasterKeyId&Attributes.entry.1.value=k",
        &[],
    );
    form(
        "sts",
        "AssumeRole",
        "RoleArn=short&RoleSessionName=a%20b",
        &["RoleArn: length", "RoleSessionName: pattern"],
    );
    form("iam", "CreateRole", "RoleName=r", &["AssumeRolePolicyDocument: required"]);
    form(
        "cloudformation",
        "CreateChangeSet",
        "StackName=s&ChangeSetName=c&ChangeSetType=REPLACE&Capabilities.member.1=CAPABILITY_IAM",
        &["ChangeSetType: enum"],
    );
    form(
        "elasticache",
        "CreateSnapshot",
        "ReplicationGroupId=cache-a",
        &["SnapshotName: required"],
    );
}

#[track_caller]
fn json(service: &str, operation: &str, body: &str, expected: &[&str]) {
    let checked = MODELS.request(&named(service, Wire::Json, operation, body.as_bytes()));
    assert_eq!(brief(&checked.violations), sorted(expected.to_vec()), "{operation} {body}");
}

#[test]
fn json_1_0_and_1_1() {
    json("ssm", "GetParameter", r#"{"Name":"/a/b","WithDecryption":true}"#, &[]);
    json("ssm", "GetParameter", r#"{"Name":"/a","WithDecryption":null}"#, &[]);
    json("ssm", "GetParameter", "{}", &["Name: required"]);
    json("ssm", "GetParameter", r#"{"Name":3}"#, &["Name: type"]);
    json(
        "ssm",
        "GetParameter",
        r#"{"Name":"a","WithDecryption":"yes"}"#,
        &["WithDecryption: type"],
    );
    json("ssm", "GetParameter", r#"{"Name":"a","Decrypt":true}"#, &["Decrypt: unknown member"]);
    json("ssm", "GetParameter", r#"["Name"]"#, &[": malformed"]);
    json("ssm", "GetParameter", "{", &[": malformed"]);
    json("ssm", "GetParameters", r#"{"Names":[]}"#, &["Names: length"]);
    json("ssm", "GetParametersByPath", r#"{"Path":"/","MaxResults":50}"#, &["MaxResults: range"]);
    json("ssm", "PutParameter", r#"{"Name":"a","Value":"v","Tier":"Big"}"#, &["Tier: enum"]);
    json("ssm", "SendCommand", r#"{"DocumentName":"a b"}"#, &["DocumentName: pattern"]);
    let ids: Vec<String> = (0..51).map(|n| format!("\"i-{n:08x}\"")).collect();
    let many = format!(r#"{{"DocumentName":"document","InstanceIds":[{}]}}"#, ids.join(","));
    json("ssm", "SendCommand", &many, &["InstanceIds: length"]);
    json("states", "StartExecution", r#"{"stateMachineArn":"arn:x","name":"n","input":"{}"}"#, &[]);
    json(
        "states",
        "StartExecution",
        &format!(r#"{{"stateMachineArn":"arn:x","name":"{}"}}"#, "n".repeat(81)),
        &["name: length"],
    );
    json("states", "SendTaskSuccess", r#"{"taskToken":"t"}"#, &["output: required"]);
    json(
        "events",
        "PutEvents",
        r#"{"Entries":[{"Source":"s","DetailType":"d","Detail":"{}","Time":"now"}]}"#,
        &["Entries[0].Time: type"],
    );
    json("events", "PutRule", r#"{"Name":"r r","State":"ON"}"#, &["Name: pattern", "State: enum"]);
    json(
        "logs",
        "FilterLogEvents",
        r#"{"logGroupName":"/aws/lambda/f","startTime":1.5}"#,
        &["startTime: type"],
    );
    json("sqs", "SendMessage", r#"{"QueueUrl":"q"}"#, &["MessageBody: required"]);
    let with_prefix = |prefix| lifeboat_lab_aws_model::Request {
        target_prefix: Some(prefix),
        ..named("ssm", Wire::Json, "GetParameter", br#"{"Name":"a"}"#)
    };
    assert_eq!(brief(&MODELS.request(&with_prefix("AmazonSSM")).violations), [""; 0]);
    let other = MODELS.request(&with_prefix("AmazonSQS"));
    assert_eq!(brief(&other.violations), [": unknown operation"]);
}

#[test]
fn cbor() {
    let datum = |value: f64, time: bool, unit: &str| {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.map(2).unwrap();
        encoder.str("Namespace").unwrap().str("Lifeboat").unwrap();
        encoder.str("MetricData").unwrap().begin_array().unwrap();
        encoder.begin_map().unwrap().str("MetricName").unwrap().str("SiteDown").unwrap();
        encoder.str("Value").unwrap().f64(value).unwrap().str("Unit").unwrap().str(unit).unwrap();
        encoder.str("Timestamp").unwrap();
        if time {
            encoder.tag(minicbor::data::Tag::new(1)).unwrap().f64(1_795_428_000.5).unwrap();
        } else {
            encoder.str("now").unwrap();
        }
        encoder.end().unwrap().end().unwrap();
        out
    };
    let check = |body: &[u8], expected: &[&str]| {
        let checked = MODELS.request(&named("monitoring", Wire::Cbor, "PutMetricData", body));
        assert_eq!(brief(&checked.violations), sorted(expected.to_vec()));
    };
    check(&datum(1.0, true, "Count"), &[]);
    check(
        &datum(1.0, false, "Times"),
        &["MetricData[0].Unit: enum", "MetricData[0].Timestamp: type"],
    );
    check(&[0xa0], &["Namespace: required"]);
    check(&[0xbf], &[": malformed"]);
    check(&[0xa0, 0], &[": malformed"]);
    let text = b"\xa1\x69Namespace\x62:x";
    check(text, &["Namespace: pattern"]);
}

#[track_caller]
fn xml(line: &str, headers: &[(&str, &str)], body: &str, operation: &str, expected: &[&str]) {
    let service = if line.contains("/2013-04-01/") { "route53" } else { "s3" };
    let checked = MODELS.request(&rest(service, Wire::RestXml, line, headers, body));
    assert_eq!(checked.operation, operation, "{line}");
    assert_eq!(brief(&checked.violations), sorted(expected.to_vec()), "{line} {body}");
}

#[test]
fn s3() {
    let md5 = [("Content-MD5", "x")];
    xml("PUT /b/k", &[("x-amz-meta-a", "1"), ("if-none-match", "*")], "", "PutObject", &[]);
    xml("PUT /b/a/b%20c", &[("x-amz-copy-source", "b/k")], "", "CopyObject", &[]);
    xml("PUT /b/k?partNumber=1&uploadId=u&x-id=UploadPart", &[], "", "UploadPart", &[]);
    xml("PUT /b/k?partNumber=one&uploadId=u", &[], "", "UploadPart", &["PartNumber: type"]);
    xml("GET /b/k", &[("x-amz-expected-bucket-owner", "1")], "", "GetObject", &[]);
    xml("GET /b/k?uploadId=u&x-id=ListParts", &[], "", "ListParts", &[]);
    xml("GET /b?list-type=2&prefix=p&max-keys=5", &[], "", "ListObjectsV2", &[]);
    xml("GET /b?list-type=2&max-keys=all", &[], "", "ListObjectsV2", &["MaxKeys: type"]);
    xml("GET /b?prefx=p", &[], "", "ListObjects", &["?prefx: unknown member"]);
    xml("GET /", &[], "", "ListBuckets", &[]);
    xml(
        "HEAD /b",
        &[("x-amz-bucket-owner", "1")],
        "",
        "HeadBucket",
        &["x-amz-bucket-owner: unknown member"],
    );
    xml("GET /b?lifecycle", &[], "", "GetBucketLifecycleConfiguration", &[]);
    xml("PATCH /b/k", &[], "", "PATCH /b/k", &[": unknown operation"]);
    xml(
        "PUT /b/k?retention",
        &[],
        "<Retention><Mode>FOREVER</Mode><RetainUntilDate>soon</RetainUntilDate></Retention>",
        "PutObjectRetention",
        &["Content-MD5: required", "Retention.Mode: enum", "Retention.RetainUntilDate: type"],
    );
    xml(
        "PUT /b/k?legal-hold",
        &[("x-amz-checksum-crc32", "x")],
        r#"<LegalHold xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>ON</Status></LegalHold>"#,
        "PutObjectLegalHold",
        &[],
    );
    xml(
        "POST /b?delete",
        &md5,
        "<Delete><Object/></Delete>",
        "DeleteObjects",
        &["Delete.Objects[0].Key: required"],
    );
    xml("POST /b?delete", &md5, "<Delete><Object>", "DeleteObjects", &[": malformed"]);
    xml("POST /b?delete", &md5, "", "DeleteObjects", &["Delete: required"]);
    let place = |region: &str| {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        )
    };
    xml("PUT /b", &[], &place("us-west-2"), "CreateBucket", &[]);
    xml("PUT /b", &[], &place("xx-new-9"), "CreateBucket", &[]);
    let member = "CreateBucketConfiguration.LocationConstraint: enum";
    xml("PUT /b", &[], &place("us-east-1"), "CreateBucket", &[member]);
    xml("PUT /b", &[("x-amz-acl", "open")], "", "CreateBucket", &["ACL: enum"]);
    xml(
        "PUT /b/k",
        &[("x-amz-object-lock-retain-until-date", "2026-12-01T00:00:00Z")],
        "",
        "PutObject",
        &[],
    );
    xml(
        "PUT /b/k",
        &[("x-amz-object-lock-retain-until-date", "soon")],
        "",
        "PutObject",
        &["ObjectLockRetainUntilDate: type"],
    );
}

#[test]
fn route53() {
    let zone = "POST /2013-04-01/hostedzone/Z1/rrset/";
    let change = |action: &str, kind: &str, extra: &str| {
        format!(
            "<ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change><Action>{action}</Action><ResourceRecordSet><Name>a.test</Name><Type>{kind}</Type>{extra}</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
    };
    let operation = "ChangeResourceRecordSets";
    let set = "ChangeBatch.Changes[0].ResourceRecordSet";
    xml(zone, &[], &change("UPSERT", "A", "<TTL>5</TTL>"), operation, &[]);
    let action = "ChangeBatch.Changes[0].Action: enum";
    xml(zone, &[], &change("REPLACE", "A", ""), operation, &[action]);
    xml(zone, &[], &change("UPSERT", "AAA", ""), operation, &[&format!("{set}.Type: enum")]);
    xml(
        zone,
        &[],
        &change("UPSERT", "A", "<Ttl>5</Ttl>"),
        operation,
        &[&format!("{set}.Ttl: unknown member")],
    );
    xml(
        zone,
        &[],
        &change("UPSERT", "A", "<TTL>-1</TTL>"),
        operation,
        &[&format!("{set}.TTL: range")],
    );
    xml(zone, &[], "<Request/>", operation, &[": malformed"]);
    let long = format!("GET /2013-04-01/healthcheck/{}", "h".repeat(65));
    xml(&long, &[], "", "GetHealthCheck", &["HealthCheckId: length"]);
    xml("GET /2013-04-01/healthcheck/h/status", &[], "", "GetHealthCheckStatus", &[]);
    xml("GET /2013-04-01/health", &[], "", "GET /2013-04-01/health", &[": unknown operation"]);
}

#[test]
fn rest_json() {
    #[track_caller]
    fn check(service: &str, line: &str, body: &str, operation: &str, expected: &[&str]) {
        let checked = MODELS.request(&rest(service, Wire::RestJson, line, &[], body));
        assert_eq!(checked.operation, operation, "{line}");
        assert_eq!(brief(&checked.violations), sorted(expected.to_vec()), "{line} {body}");
    }
    check("lambda", "POST /2015-03-31/functions/notify/invocations", "any", "Invoke", &[]);
    check(
        "lambda",
        "POST /2015-03-31/functions/a%20b/invocations",
        "",
        "Invoke",
        &["FunctionName: pattern"],
    );
    check(
        "lambda",
        "PUT /2017-10-31/functions/f/concurrency",
        "{}",
        "PutFunctionConcurrency",
        &["ReservedConcurrentExecutions: required"],
    );
    check(
        "lambda",
        "GET /2015-03-31/functions/?MaxItems=0",
        "",
        "ListFunctions",
        &["MaxItems: range"],
    );
    check(
        "scheduler",
        "PUT /schedules/daily",
        r#"{"FlexibleTimeWindow":{"Mode":"NEVER"},"ScheduleExpression":"rate(1 day)","Target":{"Arn":"a"}}"#,
        "UpdateSchedule",
        &["FlexibleTimeWindow.Mode: enum", "Target.RoleArn: required"],
    );
    check("scheduler", "GET /schedule", "", "GET /schedule", &[": unknown operation"]);
}

/// Bounds of the API references that the models lack.
#[test]
fn documented_bounds() {
    form("rds", "DescribeDBSnapshots", "MaxRecords=10", &["MaxRecords: range"]);
    form("rds", "DescribeDBSnapshots", "MaxRecords=100", &[]);
    form("elasticache", "DescribeSnapshots", "MaxRecords=60", &["MaxRecords: range"]);
    let body = |bytes: usize| format!("StackName=s&TemplateBody={}", "x".repeat(bytes));
    form("cloudformation", "CreateStack", &body(51_200), &[]);
    form("cloudformation", "CreateStack", &body(51_201), &["TemplateBody: length"]);
    let message = format!("TopicArn=t&Message={}", "%C3%A9".repeat(131_073));
    form("sns", "Publish", &message, &["Message: length"]);
    let keys = |count: usize| {
        format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(count))
    };
    let md5 = [("Content-MD5", "x")];
    xml("POST /b?delete", &md5, &keys(1_000), "DeleteObjects", &[]);
    xml("POST /b?delete", &md5, &keys(1_001), "DeleteObjects", &["Delete.Objects: length"]);
}

/// What is not covered is named, and never passes as sound.
#[test]
fn what_is_not_covered_is_said() {
    let unknown = MODELS.request(&named("nosuchservice", Wire::Json, "Do", b"{}"));
    assert_eq!(brief(&unknown.violations), [": not covered"]);
    assert_eq!(
        unknown.violations[0].to_string(),
        "nosuchservice:Do: not held against a model: botocore has no model of the service nosuchservice"
    );
    let other_protocol = MODELS.request(&named("rds", Wire::Json, "DescribeDBInstances", b"{}"));
    assert_eq!(brief(&other_protocol.violations), [": not covered"]);
    let mut large = named("ssm", Wire::Json, "PutParameter", b"");
    large.body = None;
    let kept = MODELS.request(&large).violations;
    assert!(brief(&kept).contains(&": not covered".to_owned()), "{kept:?}");
    let headers = [("content-encoding", "br")];
    let coded = rest("s3", Wire::RestXml, "POST /b?delete", &headers, "x");
    assert!(brief(&MODELS.request(&coded).violations).contains(&": not covered".to_owned()));
}

/// Each protocol and service has its own name for a refusal.
#[test]
fn refusals_have_the_codes_of_their_service() {
    let code = |request| {
        let checked = MODELS.request(&request);
        refusal(request.wire, &checked.violations[0]).map(|found| (found.status, found.code))
    };
    let form = |service, operation, body: &'static str| {
        code(named(service, Wire::Query, operation, body.as_bytes()))
    };
    assert_eq!(
        form("rds", "CreateDBSnapshot", "DBInstanceIdentifier=a"),
        Some((400, "MissingParameter"))
    );
    assert_eq!(form("rds", "Describe", ""), Some((400, "InvalidAction")));
    assert_eq!(form("iam", "CreateRole", "RoleName=r"), Some((400, "ValidationError")));
    assert_eq!(form("rds", "DescribeDBInstances", "X=1"), None);
    let json = |body: &'static str| code(named("ssm", Wire::Json, "GetParameter", body.as_bytes()));
    assert_eq!(json("{}"), Some((400, "ValidationException")));
    assert_eq!(json(r#"{"Name":1}"#), Some((400, "SerializationException")));
    let s3 = |line, body| code(rest("s3", Wire::RestXml, line, &[], body));
    assert_eq!(s3("PATCH /b", ""), Some((405, "MethodNotAllowed")));
    assert_eq!(s3("POST /b?delete", ""), Some((400, "InvalidRequest")));
    assert_eq!(s3("GET /b?max-keys=x", ""), Some((400, "InvalidArgument")));
    let constraint = "<CreateBucketConfiguration><LocationConstraint>x</LocationConstraint></CreateBucketConfiguration>";
    assert_eq!(s3("PUT /b", constraint), Some((400, "InvalidLocationConstraint")));
    let route53 = rest("route53", Wire::RestXml, "POST /2013-04-01/hostedzone", &[], "");
    assert_eq!(code(route53), Some((400, "InvalidInput")));
    let checked = MODELS.request(&named("ssm", Wire::Json, "GetParameter", b"{}"));
    assert_eq!(
        refusal(Wire::Json, &checked.violations[0]).unwrap().message,
        "1 validation error detected: Value 'null' at 'Name' failed to satisfy constraint: Member must not be null"
    );
}
