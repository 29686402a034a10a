//! Route 53's XML, as far as this server reads it, into the model.

#[path = "wire_shapes.rs"]
mod shapes;

use self::shapes::{
    AlarmListing, CheckListing, RecordListing, WireCheck, WireRecordSet, ZoneListing,
};
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
            zone_id: alias.zone_id.trim_start_matches("/hostedzone/").to_owned(),
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

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
