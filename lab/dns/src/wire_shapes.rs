//! The elements of Route 53's and CloudWatch's XML that are read, named as on the wire.
//!
//! Booleans are read in any case: emulators have been seen to write `True`.

use serde::{Deserialize, Deserializer};

fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)?.eq_ignore_ascii_case("true"))
}

#[derive(Deserialize)]
pub(super) struct ZoneListing {
    #[serde(rename = "HostedZones", default)]
    pub(super) zones: ZoneItems,
    #[serde(rename = "IsTruncated", default, deserialize_with = "boolean")]
    pub(super) truncated: bool,
    #[serde(rename = "NextMarker")]
    pub(super) next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct ZoneItems {
    #[serde(rename = "HostedZone", default)]
    pub(super) items: Vec<WireZone>,
}

#[derive(Deserialize)]
pub(super) struct WireZone {
    #[serde(rename = "Id")]
    pub(super) id: String,
    #[serde(rename = "Name")]
    pub(super) name: String,
    #[serde(rename = "Config", default)]
    pub(super) config: WireZoneConfig,
}

#[derive(Default, Deserialize)]
pub(super) struct WireZoneConfig {
    #[serde(rename = "PrivateZone", default, deserialize_with = "boolean")]
    pub(super) private: bool,
}

#[derive(Deserialize)]
pub(super) struct RecordListing {
    #[serde(rename = "ResourceRecordSets", default)]
    pub(super) sets: RecordSetItems,
    #[serde(rename = "IsTruncated", default, deserialize_with = "boolean")]
    pub(super) truncated: bool,
    #[serde(rename = "NextRecordName")]
    pub(super) next_name: Option<String>,
    #[serde(rename = "NextRecordType")]
    pub(super) next_type: Option<String>,
    #[serde(rename = "NextRecordIdentifier")]
    pub(super) next_identifier: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct RecordSetItems {
    #[serde(rename = "ResourceRecordSet", default)]
    pub(super) items: Vec<WireRecordSet>,
}

#[derive(Deserialize)]
pub(super) struct WireRecordSet {
    #[serde(rename = "Name")]
    pub(super) name: String,
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(rename = "SetIdentifier")]
    pub(super) set_identifier: Option<String>,
    #[serde(rename = "Weight")]
    pub(super) weight: Option<u64>,
    #[serde(rename = "Failover")]
    pub(super) failover: Option<String>,
    #[serde(rename = "MultiValueAnswer", default, deserialize_with = "boolean")]
    pub(super) multivalue: bool,
    #[serde(rename = "TTL")]
    pub(super) ttl: Option<u32>,
    #[serde(rename = "AliasTarget")]
    pub(super) alias: Option<WireAlias>,
    #[serde(rename = "ResourceRecords", default)]
    pub(super) records: RecordItems,
    #[serde(rename = "HealthCheckId")]
    pub(super) health_check: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireAlias {
    #[serde(rename = "HostedZoneId", default)]
    pub(super) zone_id: String,
    #[serde(rename = "DNSName")]
    pub(super) target: String,
    #[serde(rename = "EvaluateTargetHealth", default, deserialize_with = "boolean")]
    pub(super) evaluate_target_health: bool,
}

#[derive(Default, Deserialize)]
pub(super) struct RecordItems {
    #[serde(rename = "ResourceRecord", default)]
    pub(super) items: Vec<WireRecord>,
}

#[derive(Deserialize)]
pub(super) struct WireRecord {
    #[serde(rename = "Value")]
    pub(super) value: String,
}

#[derive(Deserialize)]
pub(super) struct CheckListing {
    #[serde(rename = "HealthChecks", default)]
    pub(super) checks: CheckItems,
    #[serde(rename = "IsTruncated", default, deserialize_with = "boolean")]
    pub(super) truncated: bool,
    #[serde(rename = "NextMarker")]
    pub(super) next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct CheckItems {
    #[serde(rename = "HealthCheck", default)]
    pub(super) items: Vec<WireCheck>,
}

#[derive(Deserialize)]
pub(super) struct WireCheck {
    #[serde(rename = "Id")]
    pub(super) id: String,
    #[serde(rename = "HealthCheckConfig")]
    pub(super) config: WireCheckConfig,
}

#[derive(Deserialize)]
pub(super) struct WireCheckConfig {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(rename = "IPAddress")]
    pub(super) ip: Option<String>,
    #[serde(rename = "Port")]
    pub(super) port: Option<u16>,
    #[serde(rename = "FullyQualifiedDomainName")]
    pub(super) host: Option<String>,
    #[serde(rename = "ResourcePath")]
    pub(super) path: Option<String>,
    #[serde(rename = "SearchString")]
    pub(super) search: Option<String>,
    #[serde(rename = "RequestInterval")]
    pub(super) interval: Option<u32>,
    #[serde(rename = "FailureThreshold")]
    pub(super) threshold: Option<u32>,
    #[serde(rename = "Inverted", default, deserialize_with = "boolean")]
    pub(super) inverted: bool,
    #[serde(rename = "Disabled", default, deserialize_with = "boolean")]
    pub(super) disabled: bool,
    #[serde(rename = "HealthThreshold")]
    pub(super) health_threshold: Option<usize>,
    #[serde(rename = "ChildHealthChecks", default)]
    pub(super) children: ChildItems,
    #[serde(rename = "AlarmIdentifier")]
    pub(super) alarm: Option<WireAlarm>,
    #[serde(rename = "InsufficientDataHealthStatus")]
    pub(super) insufficient: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct ChildItems {
    #[serde(rename = "ChildHealthCheck", default)]
    pub(super) items: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct WireAlarm {
    #[serde(rename = "Name")]
    pub(super) name: String,
    #[serde(rename = "Region")]
    pub(super) region: String,
}

#[derive(Deserialize)]
pub(super) struct AlarmListing {
    #[serde(rename = "DescribeAlarmsResult")]
    pub(super) result: AlarmResult,
}

#[derive(Deserialize)]
pub(super) struct AlarmResult {
    #[serde(rename = "MetricAlarms", default)]
    pub(super) metric: AlarmItems,
    #[serde(rename = "CompositeAlarms", default)]
    pub(super) composite: AlarmItems,
}

#[derive(Default, Deserialize)]
pub(super) struct AlarmItems {
    #[serde(rename = "member", default)]
    pub(super) members: Vec<WireAlarmState>,
}

#[derive(Deserialize)]
pub(super) struct WireAlarmState {
    #[serde(rename = "StateValue")]
    pub(super) state: String,
}
