//! Route 53's XML, as far as this server reads it, into the model.
//!
//! Booleans are read in any case: emulators have been seen to write `True`.

use serde::{Deserialize, Deserializer};

use crate::model::{
    CheckKind, Content, HealthCheck, InsufficientData, Probe, Protocol, RecordSet, Routing,
    normal_name,
};

/// One page of a listing, and the query string that asks for the next one, if there is more.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

/// A hosted zone as listed: its id without the `/hostedzone/` prefix, and its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListedZone {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// The public zones of a `ListHostedZones` answer. Private zones are not answered to the public.
pub(crate) fn zones(xml: &str) -> Result<Page<ListedZone>, quick_xml::DeError> {
    let listing: ZoneListing = quick_xml::de::from_str(xml)?;
    let public = listing.zones.items.into_iter().filter(|zone| !zone.config.private);
    Ok(Page {
        items: public
            .map(|zone| ListedZone {
                id: zone.id.trim_start_matches("/hostedzone/").to_owned(),
                name: normal_name(&zone.name),
            })
            .collect(),
        next: next_marker(listing.truncated, listing.next_marker),
    })
}

/// The record sets of a `ListResourceRecordSets` answer.
pub(crate) fn record_sets(xml: &str) -> Result<Page<RecordSet>, quick_xml::DeError> {
    let listing: RecordListing = quick_xml::de::from_str(xml)?;
    let next = listing.next_name.filter(|_| listing.truncated).map(|name| {
        let mut next = format!("name={}", percent(&name));
        if let Some(kind) = listing.next_type {
            next += &format!("&type={}", percent(&kind));
        }
        if let Some(identifier) = listing.next_identifier {
            next += &format!("&identifier={}", percent(&identifier));
        }
        next
    });
    Ok(Page { items: listing.sets.items.into_iter().map(record_set).collect(), next })
}

/// The health checks of a `ListHealthChecks` answer.
pub(crate) fn health_checks(xml: &str) -> Result<Page<HealthCheck>, quick_xml::DeError> {
    let listing: CheckListing = quick_xml::de::from_str(xml)?;
    Ok(Page {
        items: listing.checks.items.into_iter().map(health_check).collect(),
        next: next_marker(listing.truncated, listing.next_marker),
    })
}

/// The `StateValue` of the first alarm in a `DescribeAlarms` answer.
pub(crate) fn alarm_state(xml: &str) -> Result<Option<String>, quick_xml::DeError> {
    let listing: AlarmListing = quick_xml::de::from_str(xml)?;
    let result = listing.result;
    let mut alarms = result.metric.members.into_iter().chain(result.composite.members);
    Ok(alarms.next().map(|alarm| alarm.state))
}

/// `text` with everything percent-encoded that has a meaning in a query string.
pub(crate) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

fn next_marker(truncated: bool, marker: Option<String>) -> Option<String> {
    marker.filter(|_| truncated).map(|marker| format!("marker={}", percent(&marker)))
}

fn record_set(set: WireRecordSet) -> RecordSet {
    let routing = if let Some(weight) = set.weight {
        Routing::Weighted(weight)
    } else if let Some(failover) = &set.failover {
        if failover == "PRIMARY" { Routing::Primary } else { Routing::Secondary }
    } else if set.multivalue {
        Routing::Multivalue
    } else if set.set_identifier.is_some() {
        Routing::ByOrigin
    } else {
        Routing::Simple
    };
    let content = match set.alias {
        Some(alias) => Content::Alias {
            target: normal_name(&alias.target),
            evaluate_target_health: alias.evaluate_target_health,
        },
        None => Content::Values {
            ttl: set.ttl.unwrap_or(0),
            values: set.records.items.into_iter().map(|record| record.value).collect(),
        },
    };
    RecordSet {
        name: normal_name(&set.name),
        kind: set.kind,
        set_identifier: set.set_identifier,
        routing,
        health_check: set.health_check,
        content,
    }
}

fn health_check(check: WireCheck) -> HealthCheck {
    let config = check.config;
    let protocol = match config.kind.as_str() {
        "HTTP" | "HTTP_STR_MATCH" => Some(Protocol::Http),
        "HTTPS" | "HTTPS_STR_MATCH" => Some(Protocol::Https),
        "TCP" => Some(Protocol::Tcp),
        _ => None,
    };
    let kind = if let Some(protocol) = protocol {
        CheckKind::Endpoint {
            probe: Probe {
                protocol,
                ip: config.ip.and_then(|ip| ip.parse().ok()),
                host: config.host.filter(|host| !host.is_empty()),
                port: config.port.unwrap_or(match protocol {
                    Protocol::Https => 443,
                    Protocol::Http | Protocol::Tcp => 80,
                }),
                path: path(config.path.as_deref().unwrap_or_default()),
                search: config.search.filter(|_| config.kind.ends_with("_STR_MATCH")),
                interval_seconds: config.interval.unwrap_or(30).max(1),
            },
            failure_threshold: config.threshold.unwrap_or(3),
        }
    } else if config.kind == "CALCULATED" {
        let children = config.children.items.into_iter().filter(|id| !id.is_empty());
        CheckKind::Calculated {
            children: children.collect(),
            threshold: config.health_threshold.unwrap_or(0),
        }
    } else if let Some(alarm) = config.alarm {
        CheckKind::Alarm {
            region: alarm.region,
            name: alarm.name,
            insufficient: match config.insufficient.as_deref() {
                Some("Healthy") => InsufficientData::Healthy,
                Some("Unhealthy") => InsufficientData::Unhealthy,
                Some(_) | None => InsufficientData::LastKnownStatus,
            },
        }
    } else {
        CheckKind::NotObserved { kind: config.kind }
    };
    HealthCheck { id: check.id, kind, inverted: config.inverted, disabled: config.disabled }
}

/// Route 53 takes a path with or without its first slash.
fn path(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)?.eq_ignore_ascii_case("true"))
}

#[derive(Deserialize)]
struct ZoneListing {
    #[serde(rename = "HostedZones", default)]
    zones: ZoneItems,
    #[serde(rename = "IsTruncated", default, deserialize_with = "boolean")]
    truncated: bool,
    #[serde(rename = "NextMarker")]
    next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
struct ZoneItems {
    #[serde(rename = "HostedZone", default)]
    items: Vec<WireZone>,
}

#[derive(Deserialize)]
struct WireZone {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config", default)]
    config: WireZoneConfig,
}

#[derive(Default, Deserialize)]
struct WireZoneConfig {
    #[serde(rename = "PrivateZone", default, deserialize_with = "boolean")]
    private: bool,
}

#[derive(Deserialize)]
struct RecordListing {
    #[serde(rename = "ResourceRecordSets", default)]
    sets: RecordSetItems,
    #[serde(rename = "IsTruncated", default, deserialize_with = "boolean")]
    truncated: bool,
    #[serde(rename = "NextRecordName")]
    next_name: Option<String>,
    #[serde(rename = "NextRecordType")]
    next_type: Option<String>,
    #[serde(rename = "NextRecordIdentifier")]
    next_identifier: Option<String>,
}

#[derive(Default, Deserialize)]
struct RecordSetItems {
    #[serde(rename = "ResourceRecordSet", default)]
    items: Vec<WireRecordSet>,
}

#[derive(Deserialize)]
struct WireRecordSet {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "SetIdentifier")]
    set_identifier: Option<String>,
    #[serde(rename = "Weight")]
    weight: Option<u64>,
    #[serde(rename = "Failover")]
    failover: Option<String>,
    #[serde(rename = "MultiValueAnswer", default, deserialize_with = "boolean")]
    multivalue: bool,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    #[serde(rename = "AliasTarget")]
    alias: Option<WireAlias>,
    #[serde(rename = "ResourceRecords", default)]
    records: RecordItems,
    #[serde(rename = "HealthCheckId")]
    health_check: Option<String>,
}

#[derive(Deserialize)]
struct WireAlias {
    #[serde(rename = "DNSName")]
    target: String,
    #[serde(rename = "EvaluateTargetHealth", default, deserialize_with = "boolean")]
    evaluate_target_health: bool,
}

#[derive(Default, Deserialize)]
struct RecordItems {
    #[serde(rename = "ResourceRecord", default)]
    items: Vec<WireRecord>,
}

#[derive(Deserialize)]
struct WireRecord {
    #[serde(rename = "Value")]
    value: String,
}

#[derive(Deserialize)]
struct CheckListing {
    #[serde(rename = "HealthChecks", default)]
    checks: CheckItems,
    #[serde(rename = "IsTruncated", default, deserialize_with = "boolean")]
    truncated: bool,
    #[serde(rename = "NextMarker")]
    next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
struct CheckItems {
    #[serde(rename = "HealthCheck", default)]
    items: Vec<WireCheck>,
}

#[derive(Deserialize)]
struct WireCheck {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "HealthCheckConfig")]
    config: WireCheckConfig,
}

#[derive(Deserialize)]
struct WireCheckConfig {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "IPAddress")]
    ip: Option<String>,
    #[serde(rename = "Port")]
    port: Option<u16>,
    #[serde(rename = "FullyQualifiedDomainName")]
    host: Option<String>,
    #[serde(rename = "ResourcePath")]
    path: Option<String>,
    #[serde(rename = "SearchString")]
    search: Option<String>,
    #[serde(rename = "RequestInterval")]
    interval: Option<u32>,
    #[serde(rename = "FailureThreshold")]
    threshold: Option<u32>,
    #[serde(rename = "Inverted", default, deserialize_with = "boolean")]
    inverted: bool,
    #[serde(rename = "Disabled", default, deserialize_with = "boolean")]
    disabled: bool,
    #[serde(rename = "HealthThreshold")]
    health_threshold: Option<usize>,
    #[serde(rename = "ChildHealthChecks", default)]
    children: ChildItems,
    #[serde(rename = "AlarmIdentifier")]
    alarm: Option<WireAlarm>,
    #[serde(rename = "InsufficientDataHealthStatus")]
    insufficient: Option<String>,
}

#[derive(Default, Deserialize)]
struct ChildItems {
    #[serde(rename = "ChildHealthCheck", default)]
    items: Vec<String>,
}

#[derive(Deserialize)]
struct WireAlarm {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Region")]
    region: String,
}

#[derive(Deserialize)]
struct AlarmListing {
    #[serde(rename = "DescribeAlarmsResult")]
    result: AlarmResult,
}

#[derive(Deserialize)]
struct AlarmResult {
    #[serde(rename = "MetricAlarms", default)]
    metric: AlarmItems,
    #[serde(rename = "CompositeAlarms", default)]
    composite: AlarmItems,
}

#[derive(Default, Deserialize)]
struct AlarmItems {
    #[serde(rename = "member", default)]
    members: Vec<WireAlarmState>,
}

#[derive(Deserialize)]
struct WireAlarmState {
    #[serde(rename = "StateValue")]
    state: String,
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
