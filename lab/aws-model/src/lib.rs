//! Holds requests and answers of AWS's services against botocore's service models.
//!
//! A model says which operations a service has, and of each member its type, whether it is required,
//! and its enumeration, pattern, length and range. AWS refuses what does not fit; an emulator mostly
//! does not. [`Models`] reads a service's model when the service is first called, [`Models::request`]
//! and [`Models::answer`] give every [`Violation`], and [`refusal`] says how AWS would answer one.
//!
//! What cannot be held against a model is a violation too, with [`Rule::NotCovered`]: silence never
//! means that something fits.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a reader asks for the few types that fit; every other one is the same to it"
)]

mod answer;
mod blob;
mod cbor;
mod check;
mod documented;
mod load;
mod model;
mod open_enums;
mod pattern;
mod query;
mod refusal;
mod request;
mod rest;
mod scalar;
mod tree;
mod violation;
mod xml;

pub use answer::Answer;
pub use load::{Models, ModelsError};
pub use refusal::{Refusal, refusal};
pub use request::{Checked, Request};
pub use violation::{Rule, Violation};

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Form-encoded request, XML answer.
    Query,
    /// `X-Amz-Target` with JSON, 1.0 or 1.1.
    Json,
    /// Smithy RPC v2 with CBOR.
    Cbor,
    /// Methods and paths with JSON.
    RestJson,
    /// Methods and paths with XML.
    RestXml,
}

impl Wire {
    /// The protocol's name in the models.
    fn protocol(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Json => "json",
            Self::Cbor => "smithy-rpc-v2-cbor",
            Self::RestJson => "rest-json",
            Self::RestXml => "rest-xml",
        }
    }
}
