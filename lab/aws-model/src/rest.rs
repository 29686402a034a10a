//! The REST protocols: which operation a method and a path are, and what is outside of the body.

use std::collections::HashMap;

use crate::check::Checker;
use crate::model::{Kind, Location, Member, Model, Operation, Structure, TimeFormat};
use crate::request::Request;
use crate::scalar;
use crate::violation::Rule;

/// An operation's path and query, as `/{Bucket}/{Key+}?acl`.
#[derive(Debug, Default)]
pub(crate) struct Route {
    parts: Vec<Part>,
    query: Vec<(String, Option<String>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Label(String),
    /// The rest of the path.
    Greedy(String),
}

impl Route {
    pub(crate) fn parse(uri: &str) -> Self {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let part = |text: &str| match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            None => Part::Literal(text.to_owned()),
            Some(label) => match label.strip_suffix('+') {
                Some(label) => Part::Greedy(label.to_owned()),
                None => Part::Label(label.to_owned()),
            },
        };
        let parts = path.split('/').filter(|text| !text.is_empty()).map(part).collect();
        let query = query.split('&').filter(|text| !text.is_empty());
        let query = query.map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        });
        Self { parts, query: query.collect() }
    }

    /// The labels' values when the path is of this route.
    fn labels(&self, path: &str) -> Option<HashMap<&str, String>> {
        let mut rest = path.trim_start_matches('/');
        let mut labels = HashMap::new();
        for part in &self.parts {
            if rest.is_empty() {
                return None;
            }
            let (text, after) = match part {
                Part::Greedy(_) => (rest, ""),
                Part::Literal(_) | Part::Label(_) => rest.split_once('/').unwrap_or((rest, "")),
            };
            match part {
                Part::Literal(literal) if literal == text => {}
                Part::Literal(_) => return None,
                Part::Label(label) | Part::Greedy(label) => {
                    labels.insert(label.as_str(), decode(text));
                }
            }
            rest = after;
        }
        rest.is_empty().then_some(labels)
    }
}

/// A request's operation, and what its path says.
pub(crate) struct Routed<'m> {
    pub(crate) operation: &'m Operation,
    labels: HashMap<&'m str, String>,
    query: Vec<(String, String)>,
}

/// The operation of a request: of those whose path and fixed parameters fit, the one of which most is
/// there. S3 tells some apart by a required parameter or header alone (`UploadPart`, `CopyObject`).
pub(crate) fn route<'m>(model: &'m Model, request: &Request<'_>) -> Option<Routed<'m>> {
    let query: Vec<(String, String)> =
        form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let named = value("x-id").map(String::as_str);
    let mut best: Option<(Rank<'_>, Routed<'m>)> = None;
    for operation in model.operations.values() {
        if operation.method != request.method {
            continue;
        }
        let Some(labels) = operation.route.labels(request.path) else { continue };
        let fixed = operation.route.query.iter().filter(|(name, _)| name != "x-id");
        let mut literals =
            operation.route.parts.iter().filter(|p| matches!(p, Part::Literal(_))).count();
        let mut fits = true;
        for (name, wanted) in fixed {
            literals += 1;
            fits &= value(name).is_some_and(|found| wanted.as_ref().is_none_or(|w| w == found));
        }
        if !fits {
            continue;
        }
        let structure = operation.input.and_then(|input| model.structure(input));
        let (mut there, mut lacking) = (0, 0);
        for member in structure.map(required).into_iter().flatten() {
            let found = match member.location {
                Location::Query => value(member.wire_name()).is_some(),
                Location::Header => request.header(member.wire_name()).is_some(),
                _ => continue,
            };
            if found { there += 1 } else { lacking += 1 }
        }
        let rank = Rank {
            named: named == Some(operation.name.as_str()),
            literals,
            complete: lacking == 0,
            there,
            current: !operation.deprecated,
            // Of equals the first by name: `ListBuckets` before `ListDirectoryBuckets`.
            name: std::cmp::Reverse(operation.name.as_str()),
        };
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            best = Some((rank, Routed { operation, labels, query: Vec::new() }));
        }
    }
    let (_, mut routed) = best?;
    routed.query = query;
    Some(routed)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    literals: usize,
    named: bool,
    complete: bool,
    there: usize,
    current: bool,
    name: std::cmp::Reverse<&'a str>,
}

fn required(structure: &Structure) -> impl Iterator<Item = &Member> {
    structure.members.iter().filter(|member| structure.required.contains(&member.name))
}

/// Parameters that every service takes: the SDK's name of the operation, and a presigned signature.
fn is_protocol_parameter(name: &str) -> bool {
    name == "x-id" || name.to_ascii_lowercase().starts_with("x-amz-")
}

/// Headers of signing, checksums and tracing, which no operation's input has.
fn is_protocol_header(name: &str) -> bool {
    const KNOWN: [&str; 8] = [
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-user-agent",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "x-amz-api-version",
        "x-amz-te",
    ];
    // The SDKs send a checksum with each operation that takes one, whether or not it is a member.
    KNOWN.contains(&name) || name.starts_with("x-amz-checksum-")
}

/// Checks what a request has in its path, its parameters and its headers.
pub(crate) fn outside_body<'m>(
    checker: &mut Checker<'m>,
    routed: &Routed<'_>,
    structure: &'m Structure,
    request: &Request<'_>,
    present: &mut Vec<&'m str>,
) {
    for member in &structure.members {
        let name = member.wire_name();
        let values: Vec<&str> = match member.location {
            Location::Uri => routed.labels.get(name).map(String::as_str).into_iter().collect(),
            Location::Query => {
                let of_name = routed.query.iter().filter(|(key, _)| key == name);
                of_name.map(|(_, value)| value.as_str()).collect()
            }
            Location::Header => request.header(name).into_iter().collect(),
            Location::Headers | Location::Body | Location::StatusCode => continue,
        };
        if !values.is_empty() {
            present.push(&member.name);
            checker.at(&member.name, |check| outside(check, member, &values));
        }
    }
    let is_literal =
        |name: &str| routed.operation.route.query.iter().any(|(literal, _)| literal == name);
    for (name, _) in &routed.query {
        let known = structure
            .members
            .iter()
            .any(|member| member.location == Location::Query && member.wire_name() == name);
        if !known && !is_literal(name) && !is_protocol_parameter(name) {
            checker.at(&format!("?{name}"), |check| check.report(Rule::UnknownMember));
        }
    }
    for (name, _) in request.headers {
        let name = name.to_ascii_lowercase();
        let known = structure.members.iter().any(|member| match member.location {
            Location::Header => member.wire_name().eq_ignore_ascii_case(&name),
            Location::Headers => name.starts_with(&member.wire_name().to_ascii_lowercase()),
            _ => false,
        });
        if name.starts_with("x-amz-") && !known && !is_protocol_header(&name) {
            checker.at(&name, |check| check.report(Rule::UnknownMember));
        }
    }
}

fn outside(checker: &mut Checker<'_>, member: &Member, values: &[&str]) {
    if member.json_value {
        return;
    }
    let Some(shape) = checker.shape(member.shape) else { return };
    let format = match (member.timestamp_format, member.location) {
        (Some(format), _) => format,
        (None, Location::Header) => TimeFormat::Rfc822,
        (None, _) => TimeFormat::Iso8601,
    };
    match &shape.kind {
        Kind::List(item) => {
            // A header holds a list with commas; a parameter is there several times.
            let items: Vec<&str> = match member.location {
                Location::Header => {
                    values.iter().flat_map(|v| v.split(',')).map(str::trim).collect()
                }
                _ => values.to_vec(),
            };
            checker.items(shape, items.len());
            for (index, text) in items.into_iter().enumerate() {
                checker.at_item(index, |check| {
                    if let Some(shape) = check.shape(item.shape) {
                        scalar::check(check, shape, text, format);
                    }
                });
            }
        }
        _ => {
            for text in values {
                scalar::check(checker, shape, text, format);
            }
        }
    }
}

/// Takes percent escapes off a part of a path.
fn decode(text: &str) -> String {
    // Pluses are literal in a path, and a form's decoder would make spaces of them.
    let kept = text.replace('+', "%2B");
    form_urlencoded::parse(kept.as_bytes())
        .map(
            |(name, value)| {
                if value.is_empty() { name.into_owned() } else { format!("{name}={value}") }
            },
        )
        .collect::<Vec<_>>()
        .join("&")
}
