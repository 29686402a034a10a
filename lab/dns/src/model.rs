//! Hosted zones, record sets and health checks as this server keeps them.
//!
//! Names are lower case without the trailing dot, everywhere in this crate.

use std::net::IpAddr;

use serde::Serialize;

/// A public hosted zone and its record sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    /// Its id, without `/hostedzone/`.
    pub(crate) id: String,
    /// Name of the apex, for example `example.test`.
    pub(crate) name: String,
    pub(crate) sets: Vec<RecordSet>,
}

/// One record set: what Route 53 calls a "record", the unit that a routing policy chooses among.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordSet {
    pub(crate) name: String,
    /// `A`, `TXT`, ... as Route 53 writes it.
    pub(crate) kind: String,
    pub(crate) set_identifier: Option<String>,
    pub(crate) routing: Routing,
    pub(crate) health_check: Option<String>,
    pub(crate) content: Content,
}

/// The routing policy of a record set, with the part of it that this set plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// The only set of its name and type.
    Simple,
    /// The set that answers while it is healthy.
    Primary,
    /// The set that answers while the primary is not healthy.
    Secondary,
    /// A share of the answers: weight 0 to 255.
    Weighted(u64),
    /// One of up to eight healthy sets that are answered together.
    Multivalue,
    /// Latency, geolocation, geoproximity or CIDR routing: this server does not know where a
    /// resolver is, and answers with the first healthy set in the order of their identifiers.
    ByOrigin,
}

/// What a record set answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Values in zone-file form, and their time to live in seconds.
    Values { ttl: u32, values: Vec<String> },
    /// The values of another record set of the same type, in the zone with this id, answered under
    /// this set's name.
    Alias { zone_id: String, target: String, evaluate_target_health: bool },
}

/// A health check, as far as its verdict depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    pub(crate) id: String,
    pub(crate) kind: CheckKind,
    pub(crate) inverted: bool,
    pub(crate) disabled: bool,
}

/// What a health check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckKind {
    /// HTTP, HTTPS, HTTP(S) with string matching, TCP.
    Endpoint { probe: Probe, failure_threshold: u32 },
    /// Healthy while at least `threshold` of the children are.
    Calculated { children: Vec<String>, threshold: usize },
    /// Follows a CloudWatch alarm.
    Alarm { region: String, name: String, insufficient: InsufficientData },
    /// A type whose source of truth the lab does not have (an ARC routing control): no data, ever.
    NotObserved { kind: String },
}

/// What a checker asks of an endpoint, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) protocol: Protocol,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) host: Option<String>,
    pub(crate) port: u16,
    pub(crate) path: String,
    /// What the body must contain, for the string matching types.
    pub(crate) search: Option<String>,
    /// 10 or 30 in Route 53.
    pub(crate) interval_seconds: u32,
}

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    /// Spoken as plain HTTP: the lab's endpoints have no certificates, and Route 53 validates none.
    Https,
    Tcp,
}

/// `InsufficientDataHealthStatus`: what no data about an alarm means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InsufficientData {
    Healthy,
    Unhealthy,
    LastKnownStatus,
}

/// `name` as this crate compares it: lower case, no trailing dot, Route 53's `\052` read as `*`.
pub(crate) fn normal_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase().replace("\\052", "*")
}
