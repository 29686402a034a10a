//! What the schemas of files say beyond the shape of the types.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The pattern of [`super::PointId`]; that the digits are a moment is checked besides.
pub(super) const POINT_ID: &str =
    "^([0-9]{8}T[0-9]{6}Z-(incr-[0-9]{8}T[0-9]{6}Z-)*full|[0-9A-F]{24})$";

/// A moment, in RFC 3339.
pub(super) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// A moment, in RFC 3339, or none.
pub(super) fn moment_or_none(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}
