//! A request, held against its model.

use std::io::Read as _;
use std::sync::Arc;

use crate::check::{Checker, cut};
use crate::load::Models;
use crate::model::{Kind, Location, Model, Operation, Structure};
use crate::query::Form;
use crate::rest::{self, Routed};
use crate::tree::{self, Notation, Tree};
use crate::violation::{Rule, Violation};
use crate::xml::{self, Element};
use crate::{Wire, cbor};

/// The largest body that is inflated, in bytes: CloudWatch takes 1 MB.
const INFLATED: u64 = 4 << 20;

/// A request as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The service's signing name.
    pub service: &'a str,
    /// How it is written.
    pub wire: Wire,
    /// The operation that the request names; REST services name none.
    pub operation: &'a str,
    /// What precedes the operation in `X-Amz-Target`.
    pub target_prefix: Option<&'a str>,
    /// The HTTP method.
    pub method: &'a str,
    /// The path, with the bucket in it for S3.
    pub path: &'a str,
    /// The query string.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; `None` when it was not kept.
    pub body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// What was found of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The operation as the model calls it, or what was asked for instead.
    pub operation: String,
    /// Everything that does not fit.
    pub violations: Vec<Violation>,
}

impl Models {
    /// Holds a request against its service's model.
    #[must_use]
    pub fn request(&self, request: &Request<'_>) -> Checked {
        let named = match request.wire {
            Wire::RestJson | Wire::RestXml => format!("{} {}", request.method, request.path),
            Wire::Query | Wire::Json | Wire::Cbor => request.operation.to_owned(),
        };
        let alone = |rule: Rule| Checked {
            operation: named.clone(),
            violations: vec![Violation {
                service: request.service.to_owned(),
                operation: named.clone(),
                member: String::new(),
                rule,
            }],
        };
        let model: Arc<Model> = match self.model(request.service) {
            Ok(model) => model,
            Err(why) => return alone(Rule::NotCovered(why)),
        };
        if !model.protocols.iter().any(|protocol| protocol == request.wire.protocol()) {
            let why = format!("the service does not speak {}", request.wire.protocol());
            return alone(Rule::NotCovered(why));
        }
        let routed = match request.wire {
            Wire::RestJson | Wire::RestXml => rest::route(&model, request),
            Wire::Query | Wire::Json | Wire::Cbor => None,
        };
        let operation = match &routed {
            Some(routed) => Some(routed.operation),
            None => model.operations.get(request.operation).filter(|_| {
                let prefix = request.target_prefix.zip(model.target_prefix.as_deref());
                prefix.is_none_or(|(found, wanted)| found == wanted)
            }),
        };
        let Some(operation) = operation else { return alone(Rule::UnknownOperation) };
        let mut checker = Checker::request(&model, request.service, &operation.name);
        check(&mut checker, operation, routed.as_ref(), request);
        Checked { operation: operation.name.clone(), violations: checker.finish() }
    }

    /// Whether the body of a request is needed to hold it against its model: false for objects and for
    /// the payloads of functions, which have no shape.
    #[must_use]
    pub fn needs_body(&self, request: &Request<'_>) -> bool {
        let Ok(model) = self.model(request.service) else { return false };
        match request.wire {
            Wire::Query | Wire::Json | Wire::Cbor => true,
            Wire::RestJson | Wire::RestXml => rest::route(&model, request).is_some_and(|routed| {
                let input = routed.operation.input.and_then(|input| model.structure(input));
                input.is_some_and(|input| has_body(&model, input))
            }),
        }
    }
}

/// Whether an input has members in a body that can be read.
fn has_body(model: &Model, input: &Structure) -> bool {
    match &input.payload {
        None => input.members.iter().any(|member| member.location == Location::Body),
        Some(payload) => input.members.iter().any(|member| {
            let kind = model.shape(member.shape).map(|shape| &shape.kind);
            member.name == *payload && !member.streaming && !matches!(kind, Some(Kind::Blob))
        }),
    }
}

fn check(
    checker: &mut Checker<'_>,
    operation: &Operation,
    routed: Option<&Routed<'_>>,
    request: &Request<'_>,
) {
    let model = checker.model;
    let Some(input) = operation.input.and_then(|input| model.structure(input)) else { return };
    let mut present = Vec::new();
    if let Some(routed) = routed {
        rest::outside_body(checker, routed, input, request, &mut present);
        if operation.checksum_required && !has_checksum(request) {
            checker.at("Content-MD5", |check| check.report(Rule::Missing));
        }
        if !has_body(model, input) {
            if let Some(payload) = &input.payload {
                present.push(payload);
            }
            checker.complete(input, &present);
            return;
        }
    }
    let body = match body(request) {
        Ok(body) => body,
        Err(rule) => return checker.report(rule),
    };
    match request.wire {
        Wire::Query => {
            let form = if body.is_empty() {
                Form::read(request.query.as_bytes())
            } else {
                Form::read(&body)
            };
            crate::query::structure(checker, input, &form);
            return;
        }
        _ if body.is_empty() => {}
        Wire::Json | Wire::Cbor | Wire::RestJson | Wire::RestXml => {
            let read = match (&input.payload, request.wire) {
                (Some(payload), wire) => {
                    payload_body(checker, input, payload, wire, &body, &mut present)
                }
                (None, Wire::RestXml) => xml_body(checker, operation, input, &body, &mut present),
                (None, wire) => tree_body(checker, input, wire, &body, &mut present),
            };
            // Of what cannot be read, nobody knows what is missing.
            if let Err(why) = read {
                return checker.report(Rule::Malformed(why));
            }
        }
    }
    checker.complete(input, &present);
}

/// S3 takes any of its checksums for `Content-MD5` (S3, "Checking object integrity").
fn has_checksum(request: &Request<'_>) -> bool {
    request.header("content-md5").is_some()
        || request.headers.iter().any(|(name, _)| {
            let name = name.to_ascii_lowercase();
            name.starts_with("x-amz-checksum-") || name == "x-amz-trailer"
        })
}

/// The body as the protocol has it.
fn body<'a>(request: &Request<'a>) -> Result<std::borrow::Cow<'a, [u8]>, Rule> {
    let Some(body) = request.body else {
        return Err(Rule::NotCovered("the body is larger than what is kept".to_owned()));
    };
    match request.header("content-encoding") {
        None | Some("" | "identity") => Ok(body.into()),
        Some("gzip") => {
            let mut inflated = Vec::new();
            flate2::read::GzDecoder::new(body)
                .take(INFLATED)
                .read_to_end(&mut inflated)
                .map_err(|error| Rule::Malformed(format!("gzip: {error}")))?;
            Ok(inflated.into())
        }
        Some(other) => Err(Rule::NotCovered(format!("the body is encoded as {}", cut(other)))),
    }
}

fn tree_of(wire: Wire, body: &[u8]) -> Result<Tree, String> {
    if wire == Wire::Cbor {
        return cbor::read(body);
    }
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(value.into())
}

fn tree_body<'m>(
    checker: &mut Checker<'m>,
    input: &'m Structure,
    wire: Wire,
    body: &[u8],
    present: &mut Vec<&'m str>,
) -> Result<(), String> {
    let notation = if wire == Wire::Cbor { Notation::Cbor } else { Notation::Json };
    match tree_of(wire, body)? {
        Tree::Map(fields) => tree::members(checker, input, &fields, notation, present),
        _ => return Err("the body is no structure".to_owned()),
    }
    Ok(())
}

fn xml_body<'m>(
    checker: &mut Checker<'m>,
    operation: &Operation,
    input: &'m Structure,
    body: &[u8],
    present: &mut Vec<&'m str>,
) -> Result<(), String> {
    let root = Element::read(body)?;
    expect_root(&root, operation.input_root.as_deref())?;
    xml::members(checker, input, &root, present);
    Ok(())
}

fn payload_body<'m>(
    checker: &mut Checker<'m>,
    input: &'m Structure,
    payload: &'m str,
    wire: Wire,
    body: &[u8],
    present: &mut Vec<&'m str>,
) -> Result<(), String> {
    let Some(member) = input.members.iter().find(|member| member.name == payload) else {
        return Ok(());
    };
    let Some(shape) = checker.shape(member.shape) else { return Ok(()) };
    present.push(payload);
    match (&shape.kind, wire) {
        (Kind::String, _) => {
            let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
            checker.at(payload, |checker| checker.text(shape, text));
        }
        (_, Wire::RestXml) => {
            let root = Element::read(body)?;
            expect_root(&root, Some(member.wire_name()))?;
            checker.at(payload, |checker| xml::walk(checker, member.shape, &root, None));
        }
        (_, _) => {
            let value = tree_of(wire, body)?;
            checker.at(payload, |checker| {
                tree::walk(checker, member.shape, &value, None, Notation::Json);
            });
        }
    }
    Ok(())
}

fn expect_root(root: &Element, wanted: Option<&str>) -> Result<(), String> {
    match wanted {
        Some(wanted) if root.name != wanted => {
            Err(format!("the root is {}, not {wanted}", cut(&root.name)))
        }
        Some(_) | None => Ok(()),
    }
}
