//! What a request asks for: who calls, which region and service, which operation, on what.

use hyper::http::request::Parts;

use super::operation;

/// One AWS call, as read from a request's head and (for small form and JSON requests) its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The region of the port the call came in by, or `operator`.
    pub(crate) caller: String,
    /// The region the call goes to.
    pub(crate) region: String,
    /// The service's signing name: `states`, `monitoring`, `s3`, ...
    pub(crate) service: String,
    /// The operation's name as in AWS's API reference, or `METHOD /path` when it is not known.
    pub(crate) operation: String,
    /// The access key id that signed the call.
    pub(crate) access_key: Option<String>,
    /// The session's principal when known, else the access key id.
    pub(crate) role: Option<String>,
    /// What the call is about, when that is cheap to tell.
    pub(crate) resource: Option<String>,
    /// The owner that the call expects its bucket to have.
    pub(crate) expected_bucket_owner: Option<String>,
    /// The program that calls, as its SDK names itself.
    pub(crate) agent: Option<String>,
    /// How the service writes its errors.
    pub(crate) wire: Wire,
}

/// The protocols of AWS's services, as far as their error answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Form-encoded request, XML answer (RDS, SNS, STS, IAM, CloudFormation).
    Query,
    /// `X-Amz-Target` with JSON 1.0 (Step Functions, SQS).
    Json10,
    /// `X-Amz-Target` with JSON 1.1 (SSM, EventBridge, Logs).
    Json11,
    /// Smithy RPC v2 with CBOR (CloudWatch in newer SDKs).
    Cbor,
    /// Methods and paths with JSON (Lambda, Scheduler).
    RestJson,
    /// Route 53's XML.
    Route53,
    /// S3's XML, without the envelope that other services have.
    S3,
}

/// Who signed a request and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    access_key: Option<String>,
    region: Option<String>,
    service: Option<String>,
}

/// Reads a call from a request's head. `body` is the body when it was cheap to read, else empty.
pub(crate) fn identify(caller: &str, parts: &Parts, body: &[u8], default_region: &str) -> Call {
    let target = header(parts, "x-amz-target").and_then(|target| target.rsplit_once('.'));
    let rpc = rpc_path(parts.uri.path());
    let form = if is_form(parts) { operation::form_fields(body) } else { Vec::new() };
    let action = operation::field(&form, "Action")
        .map(str::to_owned)
        .or_else(|| query_value(parts, "Action"));
    let scope = scope(parts);

    let service = scope.service.unwrap_or_else(|| {
        if let Some((prefix, _)) = target {
            service_of_target(prefix)
        } else if let Some((service, _)) = &rpc {
            service_of_target(service)
        } else if action.is_some() {
            "sts".to_owned()
        } else {
            operation::service_of_path(parts.uri.path()).to_owned()
        }
    });
    let region = scope
        .region
        .or_else(|| region_of_host(&host(parts)))
        .unwrap_or_else(|| default_region.to_owned());

    let (wire, operation, resource) = if let Some((_, name)) = target {
        let wire = match header(parts, "content-type") {
            Some(kind) if kind.contains("json-1.0") => Wire::Json10,
            _ => Wire::Json11,
        };
        (wire, name.to_owned(), operation::json_resource(body))
    } else if let Some((_, name)) = rpc {
        (Wire::Cbor, name, None)
    } else if let Some(action) = action {
        (Wire::Query, action, operation::form_resource(&form))
    } else {
        let wire = match service.as_str() {
            "s3" | "s3express" => Wire::S3,
            "route53" => Wire::Route53,
            _ => Wire::RestJson,
        };
        let (name, resource) = operation::rest(&service, parts, &host(parts));
        (wire, name, resource)
    };
    let role = scope.access_key.clone();
    Call {
        caller: caller.to_owned(),
        region,
        service,
        operation,
        access_key: scope.access_key,
        role,
        resource,
        expected_bucket_owner: header(parts, "x-amz-expected-bucket-owner").map(str::to_owned),
        agent: header(parts, "user-agent")
            .and_then(|agent| agent.split_whitespace().next())
            .map(str::to_owned),
        wire,
    }
}

/// Whether the body is needed to tell the operation or the resource.
pub(crate) fn wants_body(parts: &Parts) -> bool {
    parts.method == hyper::Method::POST
        && (is_form(parts) || parts.headers.contains_key("x-amz-target"))
}

fn is_form(parts: &Parts) -> bool {
    header(parts, "content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// A header's value as text; `None` when it is absent or not text.
pub(crate) fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// A query parameter's decoded value.
pub(crate) fn query_value(parts: &Parts, name: &str) -> Option<String> {
    let fields = operation::form_fields(parts.uri.query()?.as_bytes());
    operation::field(&fields, name).map(str::to_owned)
}

/// The host without its port, lower-case.
pub(crate) fn host(parts: &Parts) -> String {
    let host = header(parts, "host").unwrap_or_default();
    host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase()
}

/// The credential scope `key/date/region/service/aws4_request` of the header or of a presigned URL.
fn scope(parts: &Parts) -> Scope {
    let presigned;
    let credential =
        match header(parts, "authorization").and_then(|value| value.split_once("Credential=")) {
            Some((_, rest)) => rest.split([',', ' ']).next().unwrap_or_default(),
            None => {
                presigned = query_value(parts, "X-Amz-Credential").unwrap_or_default();
                presigned.as_str()
            }
        };
    // Counted from the end: an access key may hold a slash, the rest of the scope may not.
    let mut fields = credential.rsplitn(5, '/');
    let (Some("aws4_request"), Some(service), Some(region), Some(_), Some(key)) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Scope::default();
    };
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    Scope {
        access_key: text(key),
        region: text(region),
        service: text(&service.to_ascii_lowercase()),
    }
}

/// Service and operation of a Smithy RPC v2 path, `/service/X/operation/Y`.
fn rpc_path(path: &str) -> Option<(String, String)> {
    let (service, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
    Some((service.to_owned(), operation.trim_end_matches('/').to_owned()))
}

/// The signing name that belongs to the prefix of an `X-Amz-Target`.
fn service_of_target(prefix: &str) -> String {
    let name = prefix.split('_').next().unwrap_or(prefix);
    let known = [
        ("AmazonSSM", "ssm"),
        ("AWSStepFunctions", "states"),
        ("AWSEvents", "events"),
        ("AmazonSQS", "sqs"),
        ("Logs", "logs"),
        ("secretsmanager", "secretsmanager"),
        ("TrentService", "kms"),
        ("DynamoDB", "dynamodb"),
    ];
    if prefix.starts_with("GraniteServiceVersion") {
        return "monitoring".to_owned();
    }
    known
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or_else(|| name.to_ascii_lowercase(), |(_, service)| (*service).to_owned())
}

/// The region in a host name such as `bucket.s3.us-west-2.amazonaws.com`: the last label that looks like
/// one, for a bucket may be named like a region.
fn region_of_host(host: &str) -> Option<String> {
    host.split('.').rev().find(|label| is_region(label)).map(str::to_owned)
}

/// Whether a label has the form of a region: `us-west-2`, `us-gov-east-1`.
fn is_region(label: &str) -> bool {
    let fields: Vec<&str> = label.split('-').collect();
    let letters =
        |field: &&str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_lowercase());
    match fields.as_slice() {
        [area, middle @ .., number] => {
            area.len() == 2
                && letters(area)
                && !middle.is_empty()
                && middle.iter().all(letters)
                && number.len() == 1
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        [..] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = hyper::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIAKEY/20261123/us-west-2/{service}/aws4_request, SignedHeaders=host, Signature=00"
        )
    }

    #[track_caller]
    fn check(parts: &Parts, body: &str, expected: (&str, &str, &str, Option<&str>)) {
        let call = identify("operator", parts, body.as_bytes(), "us-east-1");
        let found = (
            call.region.as_str(),
            call.service.as_str(),
            call.operation.as_str(),
            call.resource.as_deref(),
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn signed_json_call() {
        let scope = signed("ssm");
        let head = parts(
            "POST",
            "/",
            &[
                ("authorization", &scope),
                ("x-amz-target", "AmazonSSM.GetParameter"),
                ("content-type", "application/x-amz-json-1.1"),
            ],
        );
        check(&head, r#"{"Name":"/a/b"}"#, ("us-west-2", "ssm", "GetParameter", Some("/a/b")));
        let call = identify("us-east-1", &head, b"", "us-east-1");
        assert_eq!(call.access_key.as_deref(), Some("AKIAKEY"));
        assert_eq!(call.wire, Wire::Json11);
        assert_eq!(call.caller, "us-east-1");
    }

    #[test]
    fn form_call_names_its_instance() {
        let scope = signed("rds");
        let head = parts(
            "POST",
            "/",
            &[
                ("authorization", &scope),
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ],
        );
        let body = "Action=PromoteReadReplica&DBInstanceIdentifier=queue%2Db&Version=2014-10-31";
        check(&head, body, ("us-west-2", "rds", "PromoteReadReplica", Some("queue-b")));
    }

    #[test]
    fn cbor_call_has_its_operation_in_the_path() {
        let scope = signed("monitoring");
        let uri = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
        let head = parts("POST", uri, &[("authorization", &scope)]);
        check(&head, "", ("us-west-2", "monitoring", "PutMetricData", None));
        check(&parts("POST", uri, &[]), "", ("us-east-1", "monitoring", "PutMetricData", None));
    }

    #[test]
    fn presigned_and_unsigned_s3() {
        let uri = "/b/k%20x?X-Amz-Credential=AK%2F20261123%2Feu-west-1%2Fs3%2Faws4_request";
        check(&parts("GET", uri, &[]), "", ("eu-west-1", "s3", "GetObject", Some("b/k x")));
        let head = parts("GET", "/k", &[("host", "bucket.s3.us-west-2.amazonaws.com:4566")]);
        check(&head, "", ("us-west-2", "s3", "GetObject", Some("bucket/k")));
        check(
            &parts("GET", "/", &[("host", "127.0.0.1:4610")]),
            "",
            ("us-east-1", "s3", "ListBuckets", None),
        );
    }

    #[test]
    fn region_labels() {
        for label in ["us-west-2", "us-gov-east-1", "ap-southeast-1"] {
            assert!(is_region(label), "{label}");
        }
        for label in ["s3", "us-west", "mine-bucket-1", "", "us-west-22", "1"] {
            assert!(!is_region(label), "{label}");
        }
        let host = "my-bucket-1.s3.eu-west-3.amazonaws.com";
        assert_eq!(region_of_host(host).as_deref(), Some("eu-west-3"));
    }
}
