//! `{{ Name }}` in a document's inputs, and the environment variables of `interpolationType: ENV_VAR`.
//!
//! A parameter with `ENV_VAR` reaches the script as the environment variable `SSM_<name>` and is not put into
//! the script's text, so that a value can never become code. An agent older than 3.3.2746.0 knows nothing of
//! `interpolationType` and substitutes text (Systems Manager user guide, "Troubleshooting parameter handling
//! issues"); a host can be set up as such an agent, to test a document's fallback.

use std::collections::BTreeMap;

use regex_lite::{Captures, Regex};
use serde_json::{Map, Value};

use crate::document::Document;
use crate::parameters::Argument;

/// Where a parameter is named in a text. It is a constant expression; were it wrong, no text would be substituted.
fn pattern() -> Option<Regex> {
    Regex::new(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}").ok()
}

/// The parameters that a value names, in order.
pub(crate) fn references(value: &Value) -> Vec<String> {
    let Some(pattern) = pattern() else { return Vec::new() };
    let mut found = Vec::new();
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        if let Some(text) = value.as_str() {
            found.extend(
                pattern.captures_iter(text).filter_map(|c| c.get(1)).map(|m| m.as_str().to_owned()),
            );
        } else if let Some(items) = value.as_array() {
            rest.extend(items);
        } else if let Some(object) = value.as_object() {
            rest.extend(object.values());
        }
    }
    found
}

/// What a command's script gets: the inputs with their text substituted, and environment variables.
#[derive(Debug)]
pub(crate) struct Interpolated {
    /// The lines of `runCommand`.
    pub(crate) script: String,
    /// `workingDirectory`, when the document sets it.
    pub(crate) working_directory: Option<String>,
    /// `timeoutSeconds` of the step, when the document sets it.
    pub(crate) timeout_seconds: Option<u64>,
}

/// The variables of the parameters with `ENV_VAR`.
pub(crate) fn environment(
    document: &Document,
    arguments: &BTreeMap<String, Argument>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, argument) in arguments {
        let wanted =
            document.parameters.get(name).is_some_and(|spec| spec.interpolation_type.is_some());
        if let (true, Argument::One(value)) = (wanted, argument) {
            variables.insert(format!("SSM_{name}"), value.clone());
        }
    }
    variables
}

/// Substitutes the parameters in a step's inputs.
///
/// `keep_variables` is false for an agent that does not know `ENV_VAR`: it substitutes those as text too.
pub(crate) fn interpolate(
    document: &Document,
    inputs: &Map<String, Value>,
    arguments: &BTreeMap<String, Argument>,
    keep_variables: bool,
) -> Interpolated {
    let lines = |value: &Value| -> Vec<String> {
        let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        items.iter().flat_map(|item| expand(document, item, arguments, keep_variables)).collect()
    };
    let one = |key: &str| {
        inputs.get(key).map(|value| lines(value).concat()).filter(|text| !text.is_empty())
    };
    Interpolated {
        script: inputs.get("runCommand").map(lines).unwrap_or_default().join("\n"),
        working_directory: one("workingDirectory"),
        timeout_seconds: one("timeoutSeconds").and_then(|text| text.parse().ok()),
    }
}

/// The lines that one item of an input becomes: a `StringList` named alone becomes its items.
fn expand(
    document: &Document,
    item: &Value,
    arguments: &BTreeMap<String, Argument>,
    keep_variables: bool,
) -> Vec<String> {
    let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    let Some(pattern) = pattern() else { return vec![text] };
    let alone =
        pattern.captures(&text).filter(|c| c.get(0).is_some_and(|m| m.as_str() == text.trim()));
    let named = alone.and_then(|c| c.get(1).and_then(|m| arguments.get(m.as_str())).cloned());
    if let Some(Argument::Many(items)) = named {
        return items;
    }
    let substituted = pattern.replace_all(&text, |captures: &Captures<'_>| {
        let whole = captures.get(0).map_or("", |m| m.as_str());
        let name = captures.get(1).map_or("", |m| m.as_str());
        let is_variable =
            document.parameters.get(name).is_some_and(|spec| spec.interpolation_type.is_some());
        match arguments.get(name) {
            Some(_) if is_variable && keep_variables => format!("${{SSM_{name}}}"),
            Some(Argument::One(value)) => value.clone(),
            Some(Argument::Many(values)) => values.join(" "),
            None => whole.to_owned(),
        }
    });
    vec![substituted.into_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(keep_variables: bool) -> (Interpolated, BTreeMap<String, String>) {
        let document = crate::document::parse(
            r#"{"schemaVersion": "2.2", "parameters": {
                "Text": {"type": "String"}, "Variable": {"type": "String", "interpolationType": "ENV_VAR"},
                "Lines": {"type": "StringList"}, "Limit": {"type": "Integer"}},
              "mainSteps": [{"action": "aws:runShellScript", "name": "s", "inputs": {
                "timeoutSeconds": "{{ Limit }}",
                "runCommand": ["echo {{Text}} {{ Variable }}", "{{ Lines }}", "echo {{ Lines }} ${x}"]}}]}"#,
            "JSON",
        )
        .expect("the document is good");
        let arguments = BTreeMap::from([
            ("Text".to_owned(), Argument::One("hello".to_owned())),
            ("Variable".to_owned(), Argument::One("$(id)".to_owned())),
            ("Lines".to_owned(), Argument::Many(vec!["a".to_owned(), "b".to_owned()])),
            ("Limit".to_owned(), Argument::One("7".to_owned())),
        ]);
        let step = document.main_steps.first().expect("it has a step");
        (
            interpolate(&document, &step.inputs, &arguments, keep_variables),
            environment(&document, &arguments),
        )
    }

    #[test]
    fn text_is_substituted_and_variables_are_not() {
        let (step, variables) = run(true);
        assert_eq!(step.script, "echo hello ${SSM_Variable}\na\nb\necho a b ${x}");
        assert_eq!(step.timeout_seconds, Some(7));
        assert_eq!(variables, BTreeMap::from([("SSM_Variable".to_owned(), "$(id)".to_owned())]));
    }

    #[test]
    fn an_old_agent_substitutes_everything() {
        assert!(run(false).0.script.starts_with("echo hello $(id)\n"));
    }
}
