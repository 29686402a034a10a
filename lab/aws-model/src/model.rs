//! A service's model, as it is held in memory: shapes by number, without their documentation.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::pattern::Pattern;
use crate::rest::Route;

/// The number of a shape in its model.
pub(crate) type ShapeId = usize;

/// A service's model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) target_prefix: Option<String>,
    /// The protocols that the service speaks, by the models' names.
    pub(crate) protocols: Vec<String>,
    pub(crate) operations: HashMap<String, Operation>,
    shapes: Vec<Shape>,
}

/// An operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) route: Route,
    /// S3 asks for `Content-MD5` or another checksum.
    pub(crate) checksum_required: bool,
    /// A newer operation has the same method and path.
    pub(crate) deprecated: bool,
    pub(crate) input: Option<ShapeId>,
    /// The root element of an XML request without a payload member.
    pub(crate) input_root: Option<String>,
    pub(crate) output: Option<ShapeId>,
    /// The element around the output in an answer of the query protocol.
    pub(crate) result_wrapper: Option<String>,
    /// The codes of the errors that the model gives the operation.
    pub(crate) errors: Vec<String>,
}

/// A shape: its type, and what is asked of it.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) values: Vec<String>,
    pub(crate) timestamp_format: Option<TimeFormat>,
    pub(crate) flattened: bool,
}

/// The type of a shape.
#[derive(Debug)]
pub(crate) enum Kind {
    Structure(Structure),
    List(Member),
    Map { key: Member, value: Member },
    String,
    Integer { least: i64, most: i64 },
    Float,
    Boolean,
    Blob,
    Timestamp,
}

/// A structure.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    pub(crate) members: Vec<Member>,
    pub(crate) required: Vec<String>,
    /// The member that is the body by itself.
    pub(crate) payload: Option<String>,
    pub(crate) union: bool,
    /// Any JSON.
    pub(crate) document: bool,
}

/// A member of a structure, or what a list or map holds.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name in the model; empty for what a list or map holds.
    pub(crate) name: String,
    /// The name on the wire, where it is another one.
    pub(crate) location_name: Option<String>,
    pub(crate) location: Location,
    pub(crate) shape: ShapeId,
    pub(crate) flattened: bool,
    pub(crate) timestamp_format: Option<TimeFormat>,
    pub(crate) xml_attribute: bool,
    /// Sent as it is produced; never read here.
    pub(crate) streaming: bool,
    /// A header that holds JSON in Base64.
    pub(crate) json_value: bool,
}

impl Member {
    /// The name on the wire.
    pub(crate) fn wire_name(&self) -> &str {
        self.location_name.as_deref().unwrap_or(&self.name)
    }
}

/// Where a member is in a request of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Body,
    Header,
    /// All headers with a prefix.
    Headers,
    Query,
    Uri,
    StatusCode,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    /// RFC 3339.
    Iso8601,
    /// HTTP's date.
    Rfc822,
    /// Seconds since 1970.
    Unix,
}

impl Model {
    pub(crate) fn shape(&self, id: ShapeId) -> Option<&Shape> {
        self.shapes.get(id)
    }

    /// The structure of a shape, if it is one.
    pub(crate) fn structure(&self, id: ShapeId) -> Option<&Structure> {
        match self.shape(id).map(|shape| &shape.kind) {
            Some(Kind::Structure(structure)) => Some(structure),
            _ => None,
        }
    }

    /// Reads a model as botocore keeps it.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_slice(json)?;
        let names: HashMap<&str, ShapeId> =
            file.shapes.keys().enumerate().map(|(id, name)| (name.as_str(), id)).collect();
        let id = |name: &str| names.get(name).copied().unwrap_or(usize::MAX);
        let shapes = file.shapes.iter().map(|(name, shape)| shape.compile(name, &id)).collect();
        let code = |name: &String| {
            let error = file.shapes.get(name).and_then(|shape| shape.error.as_ref());
            error.and_then(|error| error.code.clone()).unwrap_or_else(|| name.clone())
        };
        let operations = file.operations.iter().map(|(name, operation)| {
            let compiled = Operation {
                name: name.clone(),
                method: operation.http.method.clone(),
                route: Route::parse(&operation.http.uri),
                checksum_required: operation.checksum.required,
                deprecated: operation.deprecated,
                input: operation.input.as_ref().map(|input| id(&input.shape)),
                input_root: operation.input.as_ref().and_then(|input| input.location_name.clone()),
                output: operation.output.as_ref().map(|output| id(&output.shape)),
                result_wrapper: operation.output.as_ref().and_then(|o| o.result_wrapper.clone()),
                errors: operation.errors.iter().map(|error| code(&error.shape)).collect(),
            };
            (name.clone(), compiled)
        });
        let operations = operations.collect();
        let mut protocols = file.metadata.protocols;
        protocols.push(file.metadata.protocol);
        Ok(Self { target_prefix: file.metadata.target_prefix, protocols, operations, shapes })
    }
}

#[derive(Deserialize)]
struct File {
    metadata: Metadata,
    operations: HashMap<String, FileOperation>,
    shapes: HashMap<String, FileShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    protocol: String,
    #[serde(default)]
    protocols: Vec<String>,
    target_prefix: Option<String>,
}

#[derive(Deserialize)]
struct FileOperation {
    http: Http,
    input: Option<FileMember>,
    output: Option<FileMember>,
    #[serde(default)]
    errors: Vec<FileMember>,
    #[serde(default, rename = "httpChecksum")]
    checksum: Checksum,
    #[serde(default)]
    deprecated: bool,
}

#[derive(Default, Deserialize)]
struct Checksum {
    #[serde(default, rename = "requestChecksumRequired")]
    required: bool,
}

#[derive(Deserialize)]
struct Http {
    method: String,
    #[serde(rename = "requestUri")]
    uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileShape {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    members: HashMap<String, FileMember>,
    #[serde(default)]
    required: Vec<String>,
    payload: Option<String>,
    #[serde(default)]
    union: bool,
    #[serde(default)]
    document: bool,
    member: Option<FileMember>,
    key: Option<FileMember>,
    value: Option<FileMember>,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<String>,
    #[serde(default, rename = "enum")]
    values: Vec<String>,
    timestamp_format: Option<String>,
    #[serde(default)]
    flattened: bool,
    error: Option<FileError>,
}

#[derive(Deserialize)]
struct FileError {
    code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileMember {
    shape: String,
    location: Option<String>,
    location_name: Option<String>,
    result_wrapper: Option<String>,
    #[serde(default)]
    flattened: bool,
    timestamp_format: Option<String>,
    #[serde(default)]
    xml_attribute: bool,
    #[serde(default)]
    streaming: bool,
    #[serde(default)]
    jsonvalue: bool,
}

impl FileShape {
    fn compile(&self, name: &str, id: &impl Fn(&str) -> ShapeId) -> Shape {
        let held = |member: &Option<FileMember>| {
            member.as_ref().map_or_else(Member::nothing, |member| member.compile("", id))
        };
        let kind = match self.kind.as_str() {
            "structure" => Kind::Structure(Structure {
                members: self
                    .members
                    .iter()
                    .map(|(name, member)| member.compile(name, id))
                    .collect(),
                required: self.required.clone(),
                payload: self.payload.clone(),
                union: self.union,
                document: self.document,
            }),
            "list" => Kind::List(held(&self.member)),
            "map" => Kind::Map { key: held(&self.key), value: held(&self.value) },
            "byte" => Kind::Integer { least: i8::MIN.into(), most: i8::MAX.into() },
            "short" => Kind::Integer { least: i16::MIN.into(), most: i16::MAX.into() },
            "integer" => Kind::Integer { least: i32::MIN.into(), most: i32::MAX.into() },
            "long" | "biginteger" => Kind::Integer { least: i64::MIN, most: i64::MAX },
            "float" | "double" | "bigdecimal" => Kind::Float,
            "boolean" => Kind::Boolean,
            "blob" => Kind::Blob,
            "timestamp" => Kind::Timestamp,
            // `string` and `character`.
            _ => Kind::String,
        };
        Shape {
            name: name.to_owned(),
            kind,
            min: self.min,
            max: self.max,
            pattern: self
                .pattern
                .as_ref()
                .map(|text| Pattern { text: text.clone(), compiled: OnceLock::new() }),
            values: self.values.clone(),
            timestamp_format: time_format(self.timestamp_format.as_deref()),
            flattened: self.flattened,
        }
    }
}

impl Member {
    /// For a list or map whose file says nothing; no shape has this number.
    fn nothing() -> Self {
        Self {
            name: String::new(),
            location_name: None,
            location: Location::Body,
            shape: usize::MAX,
            flattened: false,
            timestamp_format: None,
            xml_attribute: false,
            streaming: false,
            json_value: false,
        }
    }
}

impl FileMember {
    fn compile(&self, name: &str, id: &impl Fn(&str) -> ShapeId) -> Member {
        Member {
            name: name.to_owned(),
            location_name: self.location_name.clone(),
            location: match self.location.as_deref() {
                Some("header") => Location::Header,
                Some("headers") => Location::Headers,
                Some("querystring") => Location::Query,
                Some("uri") => Location::Uri,
                Some("statusCode") => Location::StatusCode,
                _ => Location::Body,
            },
            shape: id(&self.shape),
            flattened: self.flattened,
            timestamp_format: time_format(self.timestamp_format.as_deref()),
            xml_attribute: self.xml_attribute,
            streaming: self.streaming,
            json_value: self.jsonvalue,
        }
    }
}

fn time_format(name: Option<&str>) -> Option<TimeFormat> {
    match name? {
        "iso8601" => Some(TimeFormat::Iso8601),
        "rfc822" => Some(TimeFormat::Rfc822),
        "unixTimestamp" => Some(TimeFormat::Unix),
        _ => None,
    }
}
