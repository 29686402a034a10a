//! The parameters that the installed PostgreSQL knows.

use std::collections::BTreeMap;
use std::process::Stdio;

use super::{Install, PgError};
use crate::launcher::Launcher;

/// What the server says about one parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// In force only after a restart.
    pub(crate) is_static: bool,
    /// `boolean`, `integer`, `real`, `string` or `enum`.
    pub(crate) data_type: String,
    /// The smallest and the greatest value, in the parameter's own unit.
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) description: String,
}

impl Known {
    /// Says why the server would not take this value. Values with a unit and words of an enum are
    /// left to the server.
    pub(crate) fn refusal(&self, value: &str) -> Option<String> {
        match self.data_type.as_str() {
            "boolean" => {
                let words = ["on", "off", "true", "false", "yes", "no", "1", "0"];
                let fits = words.contains(&value.to_ascii_lowercase().as_str());
                (!fits).then(|| "it must be on or off".to_owned())
            }
            "integer" | "real" => {
                let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let Ok(number) = digits.trim().parse::<f64>() else {
                    return Some("it must be a number".to_owned());
                };
                let (low, high) = self.range.filter(|_| digits.len() == value.len())?;
                (number < low || number > high)
                    .then(|| format!("it must be between {low} and {high}"))
            }
            _ => None,
        }
    }
}

/// All parameters by name.
pub(crate) type Catalogue = BTreeMap<String, Known>;

/// Asks the installed server (50 ms; no cluster is needed).
pub(crate) async fn load(install: &Install, launcher: &Launcher) -> Result<Catalogue, PgError> {
    let program = "postgres --describe-config";
    let failed = |reason| PgError::Run { program, reason };
    let mut command = launcher.command(install.bin.join("postgres"));
    command
        .arg("--describe-config")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output =
        launcher.spawn(command).await.map_err(failed)?.wait_with_output().await.map_err(failed)?;
    let catalogue = parse(&String::from_utf8_lossy(&output.stdout));
    if output.status.success() && !catalogue.is_empty() {
        return Ok(catalogue);
    }
    let output = super::cluster::last_lines(&String::from_utf8_lossy(&output.stderr));
    Err(PgError::Program { program, output })
}

/// One parameter a line: name, context, group, type, default, smallest, greatest, description.
fn parse(text: &str) -> Catalogue {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(String, Known)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, context, _group, data_type, _default, low, high, description, ..] =
        fields.as_slice()
    else {
        return None;
    };
    let known = Known {
        is_static: *context == "postmaster",
        data_type: data_type.to_ascii_lowercase(),
        range: low.parse().ok().zip(high.parse().ok()),
        description: (*description).to_owned(),
    };
    Some(((*name).to_owned(), known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_of_what_the_server_takes_are_refused() {
        let text = "max_connections\tpostmaster\tG\tINTEGER\t0\t1\t262143\tSets it.\t\njit\tuser\tG\tBOOLEAN\tTRUE\t\t\tAllow JIT.\t\n";
        let catalogue = parse(text);
        let connections = &catalogue["max_connections"];
        assert!(connections.is_static && connections.refusal("100").is_none());
        assert!(connections.refusal("0").is_some() && connections.refusal("many").is_some());
        let jit = &catalogue["jit"];
        assert!(!jit.is_static && jit.refusal("off").is_none() && jit.refusal("maybe").is_some());
        let memory = Known { range: Some((64.0, 100.0)), ..connections.clone() };
        assert!(memory.refusal("4MB").is_none(), "a unit is the server's to judge");
    }
}
