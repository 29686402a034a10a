//! The models of botocore, and requests that are short to write.

use std::path::Path;
use std::sync::LazyLock;

use lifeboat_lab_aws_model::{Models, Request, Violation, Wire};

pub(crate) static MODELS: LazyLock<Models> = LazyLock::new(|| {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/venv");
    Models::of_venv(&venv).unwrap_or_else(|error| panic!("{error}"))
});

/// `Member: rule`, for each violation, in the order of the alphabet.
pub(crate) fn brief(violations: &[Violation]) -> Vec<String> {
    let brief = |found: &Violation| format!("{}: {}", found.member, found.rule.name());
    sorted(violations.iter().map(brief).collect())
}

/// The items in the order of the alphabet.
pub(crate) fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// A request that names its operation.
pub(crate) fn named<'a>(
    service: &'a str,
    wire: Wire,
    operation: &'a str,
    body: &'a [u8],
) -> Request<'a> {
    Request {
        service,
        wire,
        operation,
        target_prefix: None,
        method: "POST",
        path: "/",
        query: "",
        headers: &[],
        body: Some(body),
    }
}

/// A request of a REST service: `PUT /bucket/key?acl`.
pub(crate) fn rest<'a>(
    service: &'a str,
    wire: Wire,
    line: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
) -> Request<'a> {
    let (method, uri) = line.split_once(' ').unwrap();
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    Request {
        service,
        wire,
        operation: "",
        target_prefix: None,
        method,
        path,
        query,
        headers,
        body: Some(body.as_bytes()),
    }
}
