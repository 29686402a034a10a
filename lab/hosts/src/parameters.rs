//! The parameters of a document: what a document may say of them, and the check of what a caller gives.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::document::Document;
use crate::error::ApiError;

/// The types that AWS allows in Command documents and that the lab runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum ParameterType {
    String,
    StringList,
    Boolean,
    Integer,
}

/// How a value reaches the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Interpolation {
    /// As the environment variable `SSM_<name>`: the value is data, never code.
    #[serde(rename = "ENV_VAR")]
    Environment,
}

/// One parameter of a document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ParameterSpec {
    #[serde(rename = "type")]
    pub(crate) kind: ParameterType,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) default: Option<Value>,
    pub(crate) allowed_values: Option<Vec<Value>>,
    pub(crate) allowed_pattern: Option<String>,
    pub(crate) min_chars: Option<usize>,
    pub(crate) max_chars: Option<usize>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) interpolation_type: Option<Interpolation>,
    #[serde(rename = "displayType")]
    _display_type: Option<String>,
}

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A `String`, `Boolean` or `Integer`, as text.
    One(String),
    /// A `StringList`.
    Many(Vec<String>),
}

/// The text of a scalar in a document (a default or an allowed value).
fn scalar(value: &Value) -> Option<String> {
    value
        .as_str()
        .map(str::to_owned)
        .or_else(|| (value.is_number() || value.is_boolean()).then(|| value.to_string()))
}

impl ParameterSpec {
    /// Checks the declaration itself.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        if let Some(pattern) = &self.allowed_pattern {
            Regex::new(pattern)
                .map_err(|error| format!("parameter {name}: allowedPattern: {error}"))?;
        }
        if self.interpolation_type.is_some() && self.kind == ParameterType::StringList {
            return Err(format!(
                "parameter {name}: interpolationType ENV_VAR needs a parameter of type String"
            ));
        }
        if self.default.is_some() {
            let values = self.default_values(name)?;
            self.accept(name, &values).map_err(|message| format!("the default of {message}"))?;
        }
        Ok(())
    }

    fn default_values(&self, name: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("parameter {name}: the default does not have the parameter's type");
        match (&self.default, self.kind) {
            (
                None,
                ParameterType::String
                | ParameterType::StringList
                | ParameterType::Boolean
                | ParameterType::Integer,
            ) => Err(format!("parameter {name} has no default")),
            (Some(value), ParameterType::StringList) => value
                .as_array()
                .ok_or_else(wrong)?
                .iter()
                .map(|item| scalar(item).ok_or_else(wrong))
                .collect(),
            (
                Some(value),
                ParameterType::String | ParameterType::Boolean | ParameterType::Integer,
            ) => Ok(vec![scalar(value).ok_or_else(wrong)?]),
        }
    }

    /// Checks the values given for the parameter against its declaration.
    fn accept(&self, name: &str, values: &[String]) -> Result<Argument, String> {
        for value in values {
            self.accept_one(name, value)?;
        }
        if self.kind == ParameterType::StringList {
            if self.min_items.is_some_and(|least| values.len() < least)
                || self.max_items.is_some_and(|most| values.len() > most)
            {
                return Err(format!(
                    "parameter {name}: {} items are not within minItems and maxItems",
                    values.len()
                ));
            }
            return Ok(Argument::Many(values.to_vec()));
        }
        match values {
            [one] => Ok(Argument::One(one.clone())),
            several => Err(format!("parameter {name}: give one value, not {}", several.len())),
        }
    }

    fn accept_one(&self, name: &str, value: &str) -> Result<(), String> {
        let fits = match self.kind {
            ParameterType::Boolean => value == "true" || value == "false",
            ParameterType::Integer => value.parse::<i64>().is_ok(),
            ParameterType::String | ParameterType::StringList => true,
        };
        if !fits {
            return Err(format!(
                "parameter {name}: the value does not have the type {:?}",
                self.kind
            ));
        }
        let length = value.chars().count();
        if self.min_chars.is_some_and(|least| length < least)
            || self.max_chars.is_some_and(|most| length > most)
        {
            return Err(format!(
                "parameter {name}: {length} characters are not within minChars and maxChars"
            ));
        }
        if let Some(allowed) = &self.allowed_values
            && !allowed.iter().filter_map(scalar).any(|candidate| candidate == value)
        {
            let allowed: Vec<_> = allowed.iter().filter_map(scalar).collect();
            return Err(format!(
                "parameter {name}: the value is not one of {}",
                allowed.join(", ")
            ));
        }
        if let Some(pattern) = &self.allowed_pattern
            && !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(value))
        {
            return Err(format!("parameter {name}: the value does not match {pattern}"));
        }
        Ok(())
    }
}

/// Checks what the caller gives against the document and adds the defaults. The result has a value for each parameter.
///
/// # Errors
/// `InvalidParameters`, with the parameter and the rule it breaks.
pub(crate) fn resolve(
    document: &Document,
    given: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, Argument>, ApiError> {
    let invalid = |message: String| ApiError::new("InvalidParameters", message);
    if let Some(unknown) =
        given.keys().find(|name| !document.parameters.contains_key(name.as_str()))
    {
        return Err(invalid(format!("parameter {unknown} is not in the document")));
    }
    let mut resolved = BTreeMap::new();
    for (name, spec) in &document.parameters {
        let argument = match given.get(name) {
            Some(values) => spec.accept(name, values),
            None if spec.default.is_some() => {
                spec.default_values(name).and_then(|values| spec.accept(name, &values))
            }
            None => Err(format!("parameter {name} is required")),
        };
        resolved.insert(name.clone(), argument.map_err(invalid)?);
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        crate::document::parse(
            r#"{"schemaVersion": "2.2", "parameters": {
                "Action": {"type": "String", "allowedValues": ["start", "stop"]},
                "Name": {"type": "String", "default": "queue", "allowedPattern": "^[a-z]+$", "minChars": 2, "maxChars": 5},
                "Count": {"type": "Integer", "default": 3},
                "Force": {"type": "Boolean", "default": false},
                "Lines": {"type": "StringList", "default": ["a"], "maxItems": 2}},
              "mainSteps": [{"action": "aws:runShellScript", "name": "s", "inputs": {"runCommand": ["true"]}}]}"#,
            "JSON",
        )
        .expect("the document is good")
    }

    #[track_caller]
    fn check(given: &[(&str, &[&str])], expected: Result<(), &str>) {
        let given = given
            .iter()
            .map(|(name, values)| {
                ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect();
        match (resolve(&document(), &given), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => {
                assert_eq!(error.code, "InvalidParameters");
                assert!(error.message.contains(part), "{error}");
            }
            (got, expected) => panic!("{got:?} is not {expected:?}"),
        }
    }

    #[test]
    fn parameters_are_checked_against_the_document() {
        check(&[("Action", &["start"])], Ok(()));
        check(&[], Err("Action is required"));
        check(&[("Action", &["burn"])], Err("not one of start, stop"));
        check(&[("Action", &["start", "stop"])], Err("one value"));
        check(
            &[("Action", &["start"]), ("Colour", &["red"])],
            Err("Colour is not in the document"),
        );
        check(&[("Action", &["start"]), ("Name", &["q"])], Err("minChars"));
        check(&[("Action", &["start"]), ("Name", &["queues"])], Err("maxChars"));
        check(&[("Action", &["start"]), ("Name", &["a;b"])], Err("does not match"));
        check(&[("Action", &["start"]), ("Count", &["three"])], Err("Integer"));
        check(&[("Action", &["start"]), ("Force", &["yes"])], Err("Boolean"));
        check(&[("Action", &["start"]), ("Lines", &["a", "b", "c"])], Err("maxItems"));
    }

    #[test]
    fn defaults_are_added() {
        let given = BTreeMap::from([("Action".to_owned(), vec!["stop".to_owned()])]);
        let resolved = resolve(&document(), &given).expect("the parameters are good");
        assert_eq!(resolved.get("Name"), Some(&Argument::One("queue".to_owned())));
        assert_eq!(resolved.get("Count"), Some(&Argument::One("3".to_owned())));
        assert_eq!(resolved.get("Lines"), Some(&Argument::Many(vec!["a".to_owned()])));
    }
}
