//! How AWS answers a request that does not fit.
//!
//! The codes are those of the services' "Common Errors" and "Error responses" pages; the words are
//! those of the services, as far as they are documented, for programs match on codes alone.

use crate::Wire;
use crate::violation::{Bound, Rule, Violation};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error's code.
    pub code: &'static str,
    /// The message.
    pub message: String,
}

/// How the service refuses a request with this violation; `None` where AWS lets it through, or where
/// nobody says what it does: members that it does not know are ignored by most services, and what is
/// not held against a model may be right.
#[must_use]
pub fn refusal(wire: Wire, violation: &Violation) -> Option<Refusal> {
    let Violation { service, operation, member, rule } = violation;
    let code = match rule {
        Rule::UnknownMember | Rule::NotCovered(_) | Rule::UnknownError { .. } => return None,
        Rule::UnknownOperation => match wire {
            // API references, "Common Errors".
            Wire::Query => "InvalidAction",
            // Smithy, "AWS JSON protocols".
            Wire::Json | Wire::Cbor | Wire::RestJson => "UnknownOperationException",
            Wire::RestXml if service == "s3" => "MethodNotAllowed",
            Wire::RestXml => "InvalidInput",
        },
        Rule::Malformed(_) | Rule::Type { .. } => match wire {
            Wire::Query => "MalformedInput",
            Wire::Json | Wire::Cbor | Wire::RestJson => "SerializationException",
            // S3, "Error responses": what is in the path and headers is an argument.
            Wire::RestXml if service == "s3" && member.is_empty() => "MalformedXML",
            Wire::RestXml if service == "s3" => "InvalidArgument",
            Wire::RestXml => "InvalidInput",
        },
        Rule::Missing if member == "Content-MD5" => "InvalidRequest",
        Rule::Missing if wire == Wire::Query && is_old_query(service) => "MissingParameter",
        Rule::Enum { .. } if service == "s3" && member.ends_with("LocationConstraint") => {
            "InvalidLocationConstraint"
        }
        Rule::Missing
        | Rule::Enum { .. }
        | Rule::Pattern { .. }
        | Rule::Length { .. }
        | Rule::Range { .. }
        | Rule::Union => match (wire, service.as_str()) {
            (Wire::Query, "sns") => "InvalidParameter",
            (Wire::Query, _) if is_old_query(service) => "InvalidParameterValue",
            // CloudFormation, IAM, STS.
            (Wire::Query, _) => "ValidationError",
            // A body that does not fit its schema; what is in the path and headers is an argument.
            (Wire::RestXml, "s3") if member.contains('.') => "MalformedXML",
            (Wire::RestXml, "s3") => "InvalidArgument",
            // Route 53, "Common Errors" of each operation.
            (Wire::RestXml, _) => "InvalidInput",
            (Wire::Json | Wire::Cbor | Wire::RestJson, _) => "ValidationException",
        },
    };
    let status = match code {
        "MethodNotAllowed" => 405,
        "UnknownOperationException" if wire == Wire::RestJson => 404,
        _ => 400,
    };
    let message = match rule {
        Rule::UnknownOperation => format!("Could not find operation {operation}"),
        Rule::Missing if code == "MissingParameter" => {
            format!("The request must contain the parameter {member}")
        }
        Rule::Missing if code == "InvalidRequest" => {
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*".to_owned()
        }
        _ => format!("1 validation error detected: {}", constraint(member, rule)),
    };
    Some(Refusal { status, code, message })
}

/// Services with the older set of codes.
fn is_old_query(service: &str) -> bool {
    matches!(service, "rds" | "elasticache")
}

/// The constraint in the services' own words.
fn constraint(member: &str, rule: &Rule) -> String {
    let failed = |found: &str, must: String| {
        format!("Value '{found}' at '{member}' failed to satisfy constraint: Member must {must}")
    };
    match rule {
        Rule::Missing => failed("null", "not be null".to_owned()),
        Rule::Enum { found, allowed } => {
            failed(found, format!("satisfy enum value set: [{}]", allowed.join(", ")))
        }
        Rule::Pattern { found, pattern } => {
            failed(found, format!("satisfy regular expression pattern: {pattern}"))
        }
        Rule::Length { found, bound: Bound::Least(least) } => failed(
            &format!("length {found}"),
            format!("have length greater than or equal to {least}"),
        ),
        Rule::Length { found, bound: Bound::Most(most) } => {
            failed(&format!("length {found}"), format!("have length less than or equal to {most}"))
        }
        Rule::Range { found, bound: Bound::Least(least) } => {
            failed(found, format!("have value greater than or equal to {least}"))
        }
        Rule::Range { found, bound: Bound::Most(most) } => {
            failed(found, format!("have value less than or equal to {most}"))
        }
        other => format!("'{member}': {other}"),
    }
}
