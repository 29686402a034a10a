//! What the gateway listens on and where it forwards to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Tags by the instance id of the host that has them.
pub type HostTags = BTreeMap<String, BTreeMap<String, String>>;

/// The gateway's configuration. Every address may have port 0 (a free port), which tests use.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// One listener per caller region.
    pub callers: Vec<CallerListener>,
    /// Where the admin API (faults, dark regions, call log) listens.
    pub admin: SocketAddr,
    /// The servers that calls are forwarded to.
    pub upstreams: Upstreams,
    /// The region of an unsigned call whose host names none.
    #[serde(default = "default_region")]
    pub default_region: String,
    /// The account in the resource names that are authorised. The emulator's own is `000000000000`.
    #[serde(default = "default_account")]
    pub account_id: String,
    /// Whether calls to the lab's own services are authorised by the emulator's IAM first.
    #[serde(default = "yes")]
    pub authorize: bool,
    /// Access keys that may do everything, as the emulator treats them.
    #[serde(default = "default_root_keys")]
    pub root_access_keys: Vec<String>,
    /// The tags of the lab's hosts by instance id, which policies on `ssm:SendCommand` ask for as
    /// `ssm:resourceTag/KEY`.
    #[serde(default)]
    pub host_tags: HostTags,
    /// The file to which each call is appended as a JSON line.
    #[serde(default)]
    pub call_log: Option<PathBuf>,
    /// How many calls `GET /calls` remembers.
    #[serde(default = "default_capacity")]
    pub call_capacity: usize,
    /// The virtual environment of Python whose botocore has the services' models, against which every
    /// request is held. Without it nothing is.
    #[serde(default)]
    pub models: Option<PathBuf>,
}

/// A port, and the region that everything arriving there is taken to come from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallerListener {
    /// A region such as `us-east-1`, or `operator` for a caller outside any region.
    pub caller: String,
    /// Where this caller's clients connect.
    pub listen: SocketAddr,
}

/// The servers behind the gateway.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Upstreams {
    /// The emulator, for everything that the lab does not serve itself.
    pub emulator: SocketAddr,
    /// The lab's RDS API: service `rds`.
    pub rds: SocketAddr,
    /// The lab's Run Command: the document and command operations of service `ssm`.
    pub ssm: SocketAddr,
    /// The DNS server's status API: Route 53 `GetHealthCheckStatus`.
    pub dns_status: SocketAddr,
}

impl GatewayConfig {
    /// A configuration with the defaults of everything but listeners and upstreams.
    #[must_use]
    pub fn new(callers: Vec<CallerListener>, admin: SocketAddr, upstreams: Upstreams) -> Self {
        Self {
            callers,
            admin,
            upstreams,
            default_region: default_region(),
            account_id: default_account(),
            authorize: true,
            root_access_keys: default_root_keys(),
            host_tags: HostTags::new(),
            call_log: None,
            call_capacity: default_capacity(),
            models: None,
        }
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_account() -> String {
    "000000000000".to_owned()
}

fn default_root_keys() -> Vec<String> {
    vec!["test".to_owned()]
}

fn default_capacity() -> usize {
    // A drill makes a few thousand calls; this keeps several drills at about 300 bytes a call.
    20_000
}

fn yes() -> bool {
    true
}
