//! Metrics in CloudWatch's embedded metric format: a JSON line on stdout that CloudWatch Logs turns
//! into datapoints, so that a function needs no call and no permission to emit them.
//!
//! The shape is that of "Specification: Embedded metric format" in the CloudWatch user guide.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The namespace of every metric of this project.
pub const NAMESPACE: &str = "Lifeboat";

/// The unit of a metric, as CloudWatch spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count, or a 0/1 state.
    Count,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
        }
    }
}

/// One datapoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    name: &'static str,
    value: f64,
    unit: Unit,
    high_resolution: bool,
}

impl Metric {
    /// A datapoint at CloudWatch's standard resolution of one minute.
    #[must_use]
    pub const fn new(name: &'static str, value: f64, unit: Unit) -> Self {
        Self { name, value, unit, high_resolution: false }
    }

    /// The same at a resolution of one second, which an alarm with a period of 10 s needs.
    #[must_use]
    pub const fn high_resolution(self) -> Self {
        Self { high_resolution: true, ..self }
    }
}

/// Emits the datapoints of one moment under one set of dimensions.
///
/// A value that is not a number is left out, because missing data must stay missing; with no
/// datapoint left, nothing is written.
#[expect(clippy::print_stdout, reason = "the one place that prints: CloudWatch reads stdout")]
pub fn emf(now: Timestamp, dimensions: &[(&str, &str)], metrics: &[Metric]) {
    if let Some(line) = render(now, dimensions, metrics) {
        println!("{line}");
    }
}

fn render(now: Timestamp, dimensions: &[(&str, &str)], metrics: &[Metric]) -> Option<String> {
    let metrics: Vec<&Metric> = metrics.iter().filter(|metric| metric.value.is_finite()).collect();
    if metrics.is_empty() {
        return None;
    }
    let definitions: Vec<Value> = metrics
        .iter()
        .map(|metric| {
            let resolution = if metric.high_resolution { 1 } else { 60 };
            json!({
                "Name": metric.name,
                "Unit": metric.unit.as_str(),
                "StorageResolution": resolution,
            })
        })
        .collect();
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [names],
                "Metrics": definitions,
            }],
        }),
    );
    for (name, value) in dimensions {
        line.insert((*name).to_owned(), json!(value));
    }
    for metric in metrics {
        line.insert(metric.name.to_owned(), json!(metric.value));
    }
    Some(Value::Object(line).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_dimensions_and_carries_their_values() {
        let now = "2026-01-01T12:00:00.250Z".parse().unwrap();
        let down = Metric::new("SiteDown", 1.0, Unit::Count).high_resolution();
        let lag = Metric::new("ReplicaLagSeconds", 0.5, Unit::Seconds);
        let line = render(now, &[("app", "queue"), ("site", "a")], &[down, lag]).unwrap();
        assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_767_268_800_250_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Lifeboat",
                        "Dimensions": [["app", "site"]],
                        "Metrics": [
                            {"Name": "SiteDown", "Unit": "Count", "StorageResolution": 1},
                            {"Name": "ReplicaLagSeconds", "Unit": "Seconds", "StorageResolution": 60},
                        ],
                    }],
                },
                "app": "queue", "site": "a", "SiteDown": 1.0, "ReplicaLagSeconds": 0.5,
            })
        );
    }

    #[test]
    fn what_is_not_a_number_is_missing_data() {
        let now = Timestamp::UNIX_EPOCH;
        let unknown = Metric::new("ReplicaLagSeconds", f64::NAN, Unit::Seconds);
        assert_eq!(render(now, &[], &[unknown]), None);
        assert_eq!(render(now, &[], &[]), None);
    }
}
