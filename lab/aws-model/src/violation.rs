//! What does not fit a model.

use std::fmt;

/// A part of a request or an answer that does not fit its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The service's signing name.
    pub service: String,
    /// The operation, or what was called instead of one.
    pub operation: String,
    /// Where: `Filters[0].Name`; empty for the call as a whole.
    pub member: String,
    /// What is wrong there.
    pub rule: Rule,
}

/// What a member breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The service has no such operation.
    UnknownOperation,
    /// The body is not of the protocol.
    Malformed(String),
    /// The model has no such member.
    UnknownMember,
    /// A required member is absent.
    Missing,
    /// The value has another type than the model's.
    Type {
        /// The model's type.
        expected: &'static str,
        /// The value, cut.
        found: String,
    },
    /// The value is none of the enumeration.
    Enum {
        /// The value.
        found: String,
        /// What the model has.
        allowed: Vec<String>,
    },
    /// The text does not match the pattern as a whole.
    Pattern {
        /// The text, cut.
        found: String,
        /// The model's pattern.
        pattern: String,
    },
    /// Too short or too long: characters of a text, bytes of a blob, items of a list or map.
    Length {
        /// How long it is.
        found: u64,
        /// The bound that is broken.
        bound: Bound,
    },
    /// The number is too small or too large.
    Range {
        /// The number.
        found: String,
        /// The bound that is broken.
        bound: Bound,
    },
    /// A union has none of its members, or several.
    Union,
    /// The error's code is none that the operation, or every operation of the service, has.
    UnknownError {
        /// The code.
        code: String,
    },
    /// This cannot be held against a model, and why.
    NotCovered(String),
}

/// A bound of a length or a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At least this.
    Least(f64),
    /// At most this.
    Most(f64),
}

impl Eq for Bound {}

impl Rule {
    /// The rule's name, for records: stable, without values.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownOperation => "unknown operation",
            Self::Malformed(_) => "malformed",
            Self::UnknownMember => "unknown member",
            Self::Missing => "required",
            Self::Type { .. } => "type",
            Self::Enum { .. } => "enum",
            Self::Pattern { .. } => "pattern",
            Self::Length { .. } => "length",
            Self::Range { .. } => "range",
            Self::Union => "union",
            Self::UnknownError { .. } => "unknown error",
            Self::NotCovered(_) => "not covered",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOperation => write!(f, "the service has no such operation"),
            Self::Malformed(why) => write!(f, "cannot be read: {why}"),
            Self::UnknownMember => write!(f, "the model has no such member"),
            Self::Missing => write!(f, "required, and absent"),
            Self::Type { expected, found } => write!(f, "not of type {expected}: {found}"),
            Self::Enum { found, allowed } => {
                write!(f, "{found} is none of [{}]", allowed.join(", "))
            }
            Self::Pattern { found, pattern } => write!(f, "{found} does not match {pattern}"),
            Self::Length { found, bound: Bound::Least(least) } => {
                write!(f, "length {found}, at least {least}")
            }
            Self::Length { found, bound: Bound::Most(most) } => {
                write!(f, "length {found}, at most {most}")
            }
            Self::Range { found, bound: Bound::Least(least) } => {
                write!(f, "{found}, at least {least}")
            }
            Self::Range { found, bound: Bound::Most(most) } => write!(f, "{found}, at most {most}"),
            Self::Union => write!(f, "a union has exactly one of its members"),
            Self::UnknownError { code } => write!(f, "the operation has no error {code}"),
            Self::NotCovered(why) => write!(f, "not held against a model: {why}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, operation, member, rule } = self;
        if member.is_empty() {
            write!(f, "{service}:{operation}: {rule}")
        } else {
            write!(f, "{service}:{operation} {member}: {rule}")
        }
    }
}
