//! An answer, held against its model.

use crate::check::Checker;
use crate::load::Models;
use crate::model::{Location, Model, Operation};
use crate::tree::{self, Notation, Tree};
use crate::violation::{Rule, Violation};
use crate::xml::{self, Element};
use crate::{Wire, cbor};

/// Errors that every operation may have: the "Common Errors" of the services' API references (RDS,
/// Systems Manager, Route 53), and the names that the JSON protocols have for them.
const COMMON: [&str; 32] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InternalFailure",
    "InternalServerError",
    "InvalidAction",
    "InvalidClientTokenId",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "InvalidQueryParameter",
    "MalformedInput",
    "MalformedQueryString",
    "MissingAction",
    "MissingAuthenticationToken",
    "MissingParameter",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "SerializationException",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "Throttling",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationError",
    "ValidationException",
    "InvalidDBInstanceState",
    "InvalidSignatureException",
    "RequestLimitExceeded",
];

/// An answer of a service.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The service's signing name.
    pub service: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// How it is written.
    pub wire: Wire,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Models {
    /// Holds an answer against the output of its operation, or an error against those that it has.
    #[must_use]
    pub fn answer(&self, answer: &Answer<'_>) -> Vec<Violation> {
        let alone = |rule: Rule| {
            vec![Violation {
                service: answer.service.to_owned(),
                operation: answer.operation.to_owned(),
                member: String::new(),
                rule,
            }]
        };
        let model = match self.model(answer.service) {
            Ok(model) => model,
            Err(why) => return alone(Rule::NotCovered(why)),
        };
        // What the service does not have was said of the request.
        let Some(operation) = model.operations.get(answer.operation) else { return Vec::new() };
        let mut checker = Checker::answer(&model, answer.service, &operation.name);
        let checked = if answer.status < 300 {
            check(&mut checker, operation, answer)
        } else {
            check_error(&mut checker, operation, answer)
        };
        if let Err(why) = checked {
            checker.report(Rule::Malformed(why));
        }
        checker.finish()
    }
}

fn check(
    checker: &mut Checker<'_>,
    operation: &Operation,
    answer: &Answer<'_>,
) -> Result<(), String> {
    let model: &Model = checker.model;
    let Some(output) = operation.output.and_then(|output| model.structure(output)) else {
        return Ok(());
    };
    // What is in headers was not kept; the servers that are held against models here use few of them.
    let mut present: Vec<&str> = output
        .members
        .iter()
        .filter(|member| member.location != Location::Body)
        .map(|member| member.name.as_str())
        .collect();
    if output.payload.is_some() {
        return Ok(());
    }
    match answer.wire {
        Wire::Json | Wire::Cbor | Wire::RestJson => {
            let (tree, notation) = if answer.wire == Wire::Cbor {
                (cbor::read(answer.body)?, Notation::Cbor)
            } else if answer.body.is_empty() {
                (Tree::Map(Vec::new()), Notation::Json)
            } else {
                let value: serde_json::Value =
                    serde_json::from_slice(answer.body).map_err(|error| error.to_string())?;
                (value.into(), Notation::Json)
            };
            let Tree::Map(fields) = tree else { return Err("the body is no structure".to_owned()) };
            tree::members(checker, output, &fields, notation, &mut present);
        }
        Wire::Query => {
            let root = Element::read(answer.body)?;
            let wanted = format!("{}Response", operation.name);
            if root.name != wanted {
                return Err(format!("the root is {}, not {wanted}", root.name));
            }
            if root.child("ResponseMetadata").is_none_or(|m| m.child("RequestId").is_none()) {
                return Err("there is no ResponseMetadata with a RequestId".to_owned());
            }
            match &operation.result_wrapper {
                None => {}
                Some(wrapper) => match root.child(wrapper) {
                    Some(result) => xml::members(checker, output, result, &mut present),
                    None => return Err(format!("there is no {wrapper}")),
                },
            }
        }
        Wire::RestXml => {
            let root = Element::read(answer.body)?;
            xml::members(checker, output, &root, &mut present);
        }
    }
    // A union's rule is of the body.
    checker.complete(output, &present);
    Ok(())
}

fn check_error(
    checker: &mut Checker<'_>,
    operation: &Operation,
    answer: &Answer<'_>,
) -> Result<(), String> {
    let code = match answer.wire {
        Wire::Query | Wire::RestXml => {
            let root = Element::read(answer.body)?;
            let error = root.child("Error").unwrap_or(&root);
            error.child("Code").map(|code| code.text().to_owned())
        }
        Wire::Json | Wire::RestJson => {
            let value: serde_json::Value =
                serde_json::from_slice(answer.body).map_err(|error| error.to_string())?;
            let code = value.get("__type").or_else(|| value.get("code"));
            code.and_then(|code| code.as_str()).map(str::to_owned)
        }
        Wire::Cbor => match cbor::read(answer.body)? {
            Tree::Map(fields) => fields.into_iter().find_map(|(key, value)| match value {
                Tree::Text(text) if key == "__type" => Some(text),
                _ => None,
            }),
            _ => None,
        },
    };
    let Some(code) = code else { return Err("an error without a code".to_owned()) };
    // A code may have the namespace of its service before it.
    let name = code.rsplit('#').next().unwrap_or(&code);
    if !COMMON.contains(&name) && !operation.errors.iter().any(|known| known == name) {
        checker.report(Rule::UnknownError { code: name.to_owned() });
    }
    Ok(())
}
