//! Operation and resource of a request, per protocol.
//!
//! REST services name no operation in the request: it follows from method and path. Only what the lab
//! uses is told apart; anything else is logged as `METHOD /path`, which a fault rule can match too.

use hyper::http::request::Parts;

/// The service that an unsigned REST path belongs to; S3 when nothing else is recognised.
pub(crate) fn service_of_path(path: &str) -> &'static str {
    if path.starts_with("/2013-04-01/") {
        "route53"
    } else if path.starts_with("/2015-03-31/") {
        "lambda"
    } else {
        "s3"
    }
}

/// Operation and resource of a REST request.
pub(crate) fn rest(service: &str, parts: &Parts, host: &str) -> (String, Option<String>) {
    let method = parts.method.as_str();
    let path = parts.uri.path();
    let segments: Vec<String> =
        path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, false)).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let known = match service {
        "s3" | "s3express" => return super::s3_operation::identify(parts, host),
        "route53" => route53(method, &segments),
        "lambda" => lambda(method, &segments),
        "scheduler" => scheduler(method, &segments),
        _ => None,
    };
    match known {
        Some((name, resource)) => (name.to_owned(), resource.map(str::to_owned)),
        None => (format!("{method} {path}"), None),
    }
}

fn route53<'a>(method: &str, segments: &[&'a str]) -> Option<(&'static str, Option<&'a str>)> {
    let (_version, rest) = segments.split_first()?;
    Some(match (method, rest) {
        ("POST", ["hostedzone", id, "rrset"]) => ("ChangeResourceRecordSets", Some(*id)),
        ("GET", ["hostedzone", id, "rrset"]) => ("ListResourceRecordSets", Some(*id)),
        ("GET", ["change", id]) => ("GetChange", Some(*id)),
        ("GET", ["healthcheck", id, "status"]) => ("GetHealthCheckStatus", Some(*id)),
        ("GET", ["healthcheck", id, "lastfailurereason"]) => {
            ("GetHealthCheckLastFailureReason", Some(*id))
        }
        ("GET", ["healthcheck", id]) => ("GetHealthCheck", Some(*id)),
        ("POST", ["healthcheck", id]) => ("UpdateHealthCheck", Some(*id)),
        ("DELETE", ["healthcheck", id]) => ("DeleteHealthCheck", Some(*id)),
        ("GET", ["healthcheck"]) => ("ListHealthChecks", None),
        ("POST", ["healthcheck"]) => ("CreateHealthCheck", None),
        ("GET", ["healthcheckcount"]) => ("GetHealthCheckCount", None),
        ("GET", ["hostedzone"]) => ("ListHostedZones", None),
        ("POST", ["hostedzone"]) => ("CreateHostedZone", None),
        ("GET", ["hostedzone", id]) => ("GetHostedZone", Some(*id)),
        ("DELETE", ["hostedzone", id]) => ("DeleteHostedZone", Some(*id)),
        ("GET", ["hostedzonesbyname"]) => ("ListHostedZonesByName", None),
        ("GET", ["hostedzonecount"]) => ("GetHostedZoneCount", None),
        ("GET", ["testdnsanswer"]) => ("TestDNSAnswer", None),
        ("GET", ["tags", _, id]) => ("ListTagsForResource", Some(*id)),
        ("POST", ["tags", _, id]) => ("ChangeTagsForResource", Some(*id)),
        _ => return None,
    })
}

fn lambda<'a>(method: &str, segments: &[&'a str]) -> Option<(&'static str, Option<&'a str>)> {
    let (_version, rest) = segments.split_first()?;
    Some(match (method, rest) {
        ("GET", ["functions"]) => ("ListFunctions", None),
        ("POST", ["functions"]) => ("CreateFunction", None),
        ("GET", ["functions", name]) => ("GetFunction", Some(*name)),
        ("DELETE", ["functions", name]) => ("DeleteFunction", Some(*name)),
        ("POST", ["functions", name, "invocations"]) => ("Invoke", Some(*name)),
        ("GET", ["functions", name, "configuration"]) => ("GetFunctionConfiguration", Some(*name)),
        ("PUT", ["functions", name, "configuration"]) => {
            ("UpdateFunctionConfiguration", Some(*name))
        }
        ("PUT", ["functions", name, "code"]) => ("UpdateFunctionCode", Some(*name)),
        ("POST", ["functions", name, "versions"]) => ("PublishVersion", Some(*name)),
        ("GET", ["functions", name, "versions"]) => ("ListVersionsByFunction", Some(*name)),
        ("POST", ["functions", name, "aliases"]) => ("CreateAlias", Some(*name)),
        ("GET", ["functions", name, "aliases"]) => ("ListAliases", Some(*name)),
        ("GET", ["functions", name, "aliases", _]) => ("GetAlias", Some(*name)),
        ("PUT", ["functions", name, "aliases", _]) => ("UpdateAlias", Some(*name)),
        ("DELETE", ["functions", name, "aliases", _]) => ("DeleteAlias", Some(*name)),
        ("PUT", ["functions", name, "concurrency"]) => ("PutFunctionConcurrency", Some(*name)),
        ("GET", ["functions", name, "concurrency"]) => ("GetFunctionConcurrency", Some(*name)),
        ("DELETE", ["functions", name, "concurrency"]) => {
            ("DeleteFunctionConcurrency", Some(*name))
        }
        ("POST", ["functions", name, "policy"]) => ("AddPermission", Some(*name)),
        ("GET", ["functions", name, "policy"]) => ("GetPolicy", Some(*name)),
        ("PUT", ["functions", name, "event-invoke-config"]) => {
            ("PutFunctionEventInvokeConfig", Some(*name))
        }
        _ => return None,
    })
}

fn scheduler<'a>(method: &str, segments: &[&'a str]) -> Option<(&'static str, Option<&'a str>)> {
    Some(match (method, segments) {
        ("GET", ["schedules"]) => ("ListSchedules", None),
        ("GET", ["schedules", name]) => ("GetSchedule", Some(*name)),
        ("POST", ["schedules", name]) => ("CreateSchedule", Some(*name)),
        ("PUT", ["schedules", name]) => ("UpdateSchedule", Some(*name)),
        ("DELETE", ["schedules", name]) => ("DeleteSchedule", Some(*name)),
        ("GET", ["schedule-groups"]) => ("ListScheduleGroups", None),
        ("GET", ["schedule-groups", name]) => ("GetScheduleGroup", Some(*name)),
        ("POST", ["schedule-groups", name]) => ("CreateScheduleGroup", Some(*name)),
        ("DELETE", ["schedule-groups", name]) => ("DeleteScheduleGroup", Some(*name)),
        _ => return None,
    })
}

/// The fields of a form or query string, decoded, in order.
pub(crate) fn form_fields(text: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(text);
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}

/// The value of the field called `name`.
pub(crate) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// What a form call is about: the first identifier, name or ARN that we know.
pub(crate) fn form_resource(fields: &[(String, String)]) -> Option<String> {
    const NAMES: [&str; 12] = [
        "DBInstanceIdentifier",
        "TargetDBInstanceIdentifier",
        "DBSnapshotIdentifier",
        "TargetDBSnapshotIdentifier",
        "SourceDBInstanceArn",
        "ResourceName",
        "SourceIdentifier",
        "TopicArn",
        "StackName",
        "RoleArn",
        "RoleName",
        "QueueUrl",
    ];
    NAMES.iter().find_map(|name| field(fields, name)).map(str::to_owned)
}

/// What a JSON call is about: the first name or ARN at the top level that we know.
pub(crate) fn json_resource(body: &[u8]) -> Option<String> {
    const NAMES: [&str; 13] = [
        "DocumentName",
        "CommandId",
        "executionArn",
        "stateMachineArn",
        "Name",
        "name",
        "Path",
        "SecretId",
        "QueueUrl",
        "TableName",
        "logGroupName",
        "KeyId",
        "Rule",
    ];
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    NAMES.iter().find_map(|name| document.get(name)?.as_str()).map(str::to_owned)
}

/// Decodes percent escapes, and `+` when it stands for a space. Bytes that are not UTF-8 are replaced.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
                if let (Some(high), Some(low)) = digits {
                    out.push(high * 16 + low);
                    bytes = ahead;
                } else {
                    out.push(byte);
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(service: &str, request: &str, expected: &str) {
        let (method, uri) = request.split_once(' ').unwrap();
        let parts =
            hyper::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
        let (name, resource) = rest(service, &parts, "127.0.0.1");
        assert_eq!(format!("{name} {}", resource.unwrap_or_default()).trim_end(), expected);
    }

    #[test]
    fn rest_operations() {
        check("route53", "POST /2013-04-01/hostedzone/Z1/rrset", "ChangeResourceRecordSets Z1");
        check("route53", "POST /2013-04-01/hostedzone/Z1/rrset/", "ChangeResourceRecordSets Z1");
        check(
            "route53",
            "GET /2013-04-01/hostedzone/Z1/rrset?maxitems=1",
            "ListResourceRecordSets Z1",
        );
        check("route53", "GET /2013-04-01/change/C1", "GetChange C1");
        check("route53", "GET /2013-04-01/healthcheck/h-1", "GetHealthCheck h-1");
        check("route53", "GET /2013-04-01/healthcheck/h-1/status", "GetHealthCheckStatus h-1");
        check("lambda", "POST /2015-03-31/functions/notify/invocations", "Invoke notify");
        check(
            "lambda",
            "PUT /2017-10-31/functions/notify/concurrency",
            "PutFunctionConcurrency notify",
        );
        check("scheduler", "PUT /schedules/daily", "UpdateSchedule daily");
        check("apigateway", "GET /restapis", "GET /restapis");
    }

    #[test]
    fn escapes() {
        assert_eq!(decode("a%2Fb+c%", true), "a/b c%");
        assert_eq!(decode("a+b%zz%4", false), "a+b%zz%4");
    }
}
