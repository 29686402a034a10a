//! JSON and CBOR: values that carry their own types.

use serde_json::Value;

use crate::blob;
use crate::check::Checker;
use crate::model::{Kind, Location, Member, ShapeId, Structure, TimeFormat};
use crate::scalar::is_time;

/// A value of JSON or CBOR.
#[derive(Debug)]
pub(crate) enum Tree {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// Bytes, by their number.
    Bytes(usize),
    /// CBOR's tag 1.
    Time,
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// The two notations, as far as they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    Json,
    Cbor,
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(value),
            Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Integer(number),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Map(fields.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
        }
    }
}

impl Tree {
    fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => format!("\"{text}\""),
            Self::Bytes(length) => format!("{length} bytes"),
            Self::Time => "a time".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

/// Checks the members of a structure that are in the body, and adds their names to `present`.
pub(crate) fn members<'m>(
    checker: &mut Checker<'m>,
    structure: &'m Structure,
    fields: &[(String, Tree)],
    notation: Notation,
    present: &mut Vec<&'m str>,
) {
    for (key, value) in fields {
        let is_it = |member: &&Member| {
            let name = if notation == Notation::Cbor { &member.name } else { member.wire_name() };
            name == key && member.location == Location::Body
        };
        match structure.members.iter().find(is_it) {
            // A type's name beside the members (Smithy, AWS JSON protocols).
            None if key == "__type" => {}
            None => checker.at(key, |check| check.report(crate::Rule::UnknownMember)),
            // A member that is null is absent.
            Some(_) if matches!(value, Tree::Null) => {}
            Some(member) => {
                present.push(&member.name);
                checker.at(&member.name, |check| {
                    walk(check, member.shape, value, member.timestamp_format, notation);
                });
            }
        }
    }
}

/// Checks a value of a shape.
pub(crate) fn walk(
    checker: &mut Checker<'_>,
    id: ShapeId,
    value: &Tree,
    format: Option<TimeFormat>,
    notation: Notation,
) {
    let Some(shape) = checker.shape(id) else { return };
    match (&shape.kind, value) {
        (Kind::Structure(structure), _) if structure.document => {}
        (Kind::Structure(structure), Tree::Map(fields)) => {
            let mut present = Vec::new();
            members(checker, structure, fields, notation, &mut present);
            checker.complete(structure, &present);
        }
        (Kind::List(item), Tree::List(items)) => {
            checker.items(shape, items.len());
            for (index, value) in items.iter().enumerate() {
                checker.at_item(index, |check| {
                    walk(check, item.shape, value, item.timestamp_format, notation);
                });
            }
        }
        (Kind::Map { key, value: held }, Tree::Map(fields)) => {
            checker.length(shape, fields.len());
            for (name, value) in fields {
                checker.at_key(name, |check| {
                    if let Some(shape) = check.shape(key.shape) {
                        check.text(shape, name);
                    }
                    walk(check, held.shape, value, held.timestamp_format, notation);
                });
            }
        }
        (Kind::String, Tree::Text(text)) => checker.text(shape, text),
        (Kind::Integer { .. }, Tree::Integer(number)) => checker.integer(shape, *number),
        (Kind::Float, Tree::Integer(number)) => checker.integer(shape, *number),
        (Kind::Float, Tree::Float(number)) => checker.number(shape, *number),
        // JSON has no numbers that are none.
        (Kind::Float, Tree::Text(text))
            if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {}
        (Kind::Boolean, Tree::Boolean(_)) => {}
        (Kind::Blob, Tree::Bytes(length)) => checker.length(shape, *length),
        (Kind::Blob, Tree::Text(text)) if notation == Notation::Json => {
            match blob::decoded_length(text) {
                Some(length) => {
                    checker.length(shape, usize::try_from(length).unwrap_or(usize::MAX));
                }
                None => checker.wrong_type("blob", &value.shown()),
            }
        }
        (Kind::Timestamp, Tree::Time) if notation == Notation::Cbor => {}
        (Kind::Timestamp, Tree::Integer(_) | Tree::Float(_) | Tree::Text(_))
            if notation == Notation::Json =>
        {
            let format = format.or(shape.timestamp_format).unwrap_or(TimeFormat::Unix);
            let fits = match (format, value) {
                (TimeFormat::Unix, Tree::Integer(_) | Tree::Float(_)) => true,
                (TimeFormat::Unix, _) => false,
                (_, Tree::Text(text)) => is_time(text, format),
                (_, _) => false,
            };
            if !fits {
                checker.wrong_type("timestamp", &value.shown());
            }
        }
        (kind, value) => checker.wrong_type(name_of(kind), &value.shown()),
    }
}

/// The name of a type.
pub(crate) fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Structure(_) => "structure",
        Kind::List(_) => "list",
        Kind::Map { .. } => "map",
        Kind::String => "string",
        Kind::Integer { .. } => "integer",
        Kind::Float => "float",
        Kind::Boolean => "boolean",
        Kind::Blob => "blob",
        Kind::Timestamp => "timestamp",
    }
}
