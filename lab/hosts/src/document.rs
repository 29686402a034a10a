//! A Command document, parsed and checked as Systems Manager does when it is created.
//!
//! Schema 2.2 only: it is the one that AWS recommends and the one with `interpolationType`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

use crate::error::ApiError;
use crate::interpolation::references;
use crate::parameters::ParameterSpec;

/// The largest content that AWS accepts, in bytes (API reference, `MaxDocumentSizeExceeded`).
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// The content of a document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) schema_version: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, ParameterSpec>,
    pub(crate) main_steps: Vec<Step>,
}

/// One step of a document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) action: String,
    pub(crate) name: String,
    pub(crate) inputs: Map<String, Value>,
    #[serde(default)]
    pub(crate) precondition: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) on_failure: Option<String>,
    #[serde(default)]
    pub(crate) on_success: Option<String>,
    #[serde(default)]
    pub(crate) finally_step: bool,
}

impl Step {
    /// Whether the step is for hosts of this kind: the lab's hosts are Linux.
    pub(crate) fn is_for_linux(&self) -> bool {
        self.precondition.iter().all(|(operator, operands)| {
            operator != "StringEquals"
                || !operands.iter().any(|operand| operand == "platformType")
                || operands.iter().any(|operand| operand == "Linux")
        })
    }
}

/// Parses the text of a document, JSON or YAML.
///
/// # Errors
/// `InvalidDocumentContent` with the place of the fault.
pub(crate) fn parse_value(content: &str, format: &str) -> Result<Value, ApiError> {
    let invalid = |message: String| ApiError::new("InvalidDocumentContent", message);
    match format {
        "JSON" => serde_json::from_str(content)
            .map_err(|error| invalid(format!("the JSON is not well formed: {error}"))),
        "YAML" => {
            let documents = YamlLoader::load_from_str(content)
                .map_err(|error| invalid(format!("the YAML is not well formed: {error}")))?;
            match documents.as_slice() {
                [one] => to_json(one).map_err(invalid),
                several => {
                    Err(invalid(format!("the YAML holds {} documents: give one", several.len())))
                }
            }
        }
        other => Err(ApiError::new(
            "ValidationException",
            format!(
                "DocumentFormat {other} is not one of JSON, YAML (the lab has no TEXT documents)"
            ),
        )),
    }
}

/// Parses and checks a Command document.
///
/// # Errors
/// `InvalidDocumentContent`, `InvalidDocumentSchemaVersion` or `MaxDocumentSizeExceeded`, as AWS names them.
pub(crate) fn parse(content: &str, format: &str) -> Result<Document, ApiError> {
    if content.len() > MAX_DOCUMENT_BYTES {
        return Err(ApiError::new(
            "MaxDocumentSizeExceeded",
            format!("the content has {} bytes; the limit is {MAX_DOCUMENT_BYTES}", content.len()),
        ));
    }
    let value = parse_value(content, format)?;
    match value.get("schemaVersion").and_then(Value::as_str) {
        Some("2.2") => {}
        Some(other) => {
            return Err(ApiError::new(
                "InvalidDocumentSchemaVersion",
                format!("schemaVersion {other} is not supported: use '2.2'"),
            ));
        }
        None => {
            return Err(ApiError::new(
                "InvalidDocumentContent",
                "schemaVersion is missing, or not a string: use '2.2'",
            ));
        }
    }
    let document: Document = serde_json::from_value(value).map_err(|error| {
        ApiError::new(
            "InvalidDocumentContent",
            format!("the document does not match schema 2.2: {error}"),
        )
    })?;
    check(&document).map_err(|message| ApiError::new("InvalidDocumentContent", message))?;
    Ok(document)
}

fn check(document: &Document) -> Result<(), String> {
    for (name, spec) in &document.parameters {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("the parameter name {name:?} may hold letters, digits and _ only"));
        }
        spec.check(name)?;
    }
    if document.main_steps.is_empty() {
        return Err("mainSteps is empty: give at least one step".to_owned());
    }
    let mut names = std::collections::BTreeSet::new();
    for step in &document.main_steps {
        if !names.insert(step.name.as_str()) {
            return Err(format!("two steps have the name {}", step.name));
        }
        if step.action != "aws:runShellScript" {
            return Err(format!(
                "step {}: the lab runs aws:runShellScript, not {}",
                step.name, step.action
            ));
        }
        if !step.inputs.contains_key("runCommand") {
            return Err(format!("step {}: inputs.runCommand is missing", step.name));
        }
        for key in step.inputs.keys() {
            if !["runCommand", "timeoutSeconds", "workingDirectory"].contains(&key.as_str()) {
                return Err(format!("step {}: unknown input {key}", step.name));
            }
        }
        for input in step.inputs.values() {
            if let Some(unknown) = references(input)
                .into_iter()
                .find(|name| !document.parameters.contains_key(name.as_str()))
            {
                return Err(format!(
                    "step {}: {{{{ {unknown} }}}} is not a parameter of the document",
                    step.name
                ));
            }
        }
    }
    Ok(())
}

/// The JSON of a YAML node. Keys must be strings, as in JSON.
fn to_json(node: &Yaml) -> Result<Value, String> {
    match node {
        Yaml::Real(text) => {
            let number: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
            Ok(Value::from(number))
        }
        Yaml::Integer(number) => Ok(Value::from(*number)),
        Yaml::String(text) => Ok(Value::from(text.as_str())),
        Yaml::Boolean(flag) => Ok(Value::from(*flag)),
        Yaml::Null => Ok(Value::Null),
        Yaml::Array(items) => {
            items.iter().map(to_json).collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        Yaml::Hash(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = key.as_str().ok_or_else(|| format!("the key {key:?} is not a string"))?;
                object.insert(key.to_owned(), to_json(value)?);
            }
            Ok(Value::from(object))
        }
        Yaml::Alias(_) => Err("YAML aliases are not supported".to_owned()),
        Yaml::BadValue => Err("a YAML value is malformed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
schemaVersion: '2.2'
description: greets
parameters:
  Who:
    type: String
    default: world
    allowedPattern: '^[a-z]+$'
mainSteps:
  - action: aws:runShellScript
    name: greet
    inputs:
      timeoutSeconds: '10'
      runCommand:
        - echo hello {{ Who }}
";

    #[track_caller]
    fn refused(content: &str, code: &str, part: &str) {
        let error = parse(content, "YAML").expect_err("the document must be refused");
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(part), "{error}");
    }

    #[test]
    fn yaml_and_json_are_the_same_document() {
        let yaml = parse(GOOD, "YAML").expect("the YAML is good");
        let json = serde_json::to_string(&parse_value(GOOD, "YAML").expect("it parses"))
            .expect("JSON prints");
        let json = parse(&json, "JSON").expect("the JSON is good");
        assert_eq!(yaml.description, json.description);
        assert_eq!(yaml.main_steps.len(), 1);
    }

    #[test]
    fn faults_are_named() {
        refused("a: [", "InvalidDocumentContent", "not well formed");
        refused("a: b", "InvalidDocumentContent", "schemaVersion");
        refused(&GOOD.replace("'2.2'", "'0.3'"), "InvalidDocumentSchemaVersion", "0.3");
        refused(&GOOD.replace("{{ Who }}", "{{ Whom }}"), "InvalidDocumentContent", "Whom");
        refused(
            &GOOD.replace("aws:runShellScript", "aws:softwareInventory"),
            "InvalidDocumentContent",
            "softwareInventory",
        );
        refused(&GOOD.replace("inputs:", "imputs:"), "InvalidDocumentContent", "imputs");
        refused(&GOOD.replace("^[a-z]+$", "^[a-z"), "InvalidDocumentContent", "allowedPattern");
        refused(
            &GOOD.replace("default: world", "default: World"),
            "InvalidDocumentContent",
            "default",
        );
        refused(
            &format!("{GOOD}# {}", "x".repeat(MAX_DOCUMENT_BYTES)),
            "MaxDocumentSizeExceeded",
            "65536",
        );
    }
}
