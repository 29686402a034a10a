//! The lab's fixed addresses. All are loopback; Linux answers on all of 127.0.0.0/8.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The app under protection, as in `events/plan/queue.toml`.
pub const APP: &str = "queue";

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The emulator; only the lab's own parts call it.
pub(crate) const EMULATOR: SocketAddr = local(4566);
/// The gateway for callers outside any region: the operator and the AWS CLI.
pub(crate) const OPERATOR_GATEWAY: SocketAddr = local(4600);
/// The gateway's admin API.
pub(crate) const GATEWAY_ADMIN: SocketAddr = local(4609);
/// The links' admin API.
pub(crate) const LINKS_ADMIN: SocketAddr = local(4608);
/// The RDS API.
pub(crate) const RDS: SocketAddr = local(4631);
/// The SSM API (documents, Run Command).
pub(crate) const SSM: SocketAddr = local(4632);
/// The DNS server's status API.
pub(crate) const DNS_STATUS: SocketAddr = local(4633);
/// What people would receive.
pub(crate) const CAPTURE: SocketAddr = local(4640);
/// The DNS server, UDP and TCP.
pub const DNS: SocketAddr = local(5300);

/// One site of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteConfig {
    /// The site's name in the plan.
    pub name: &'static str,
    /// Its region.
    pub region: &'static str,
    /// The third octet of its addresses, and its digit in those of the links.
    pub number: u8,
    /// The gateway port of its region's callers.
    gateway_port: u16,
    /// The DB instance.
    pub instance: &'static str,
    /// The host that runs app, guard and Redis.
    pub host: &'static str,
    /// The other site's region.
    pub peer_region: &'static str,
}

impl SiteConfig {
    const fn at(&self, last: u8, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, self.number, last)), port)
    }

    /// The app.
    #[must_use]
    pub const fn app(&self) -> SocketAddr {
        self.at(10, 8080)
    }

    /// PostgreSQL.
    #[must_use]
    pub const fn postgres(&self) -> SocketAddr {
        self.at(20, 5432)
    }

    /// Redis.
    #[must_use]
    pub const fn redis(&self) -> SocketAddr {
        self.at(30, 6379)
    }

    /// The replication group that is this site's Redis, for an app whose plan names it.
    #[must_use]
    pub fn replication_group(&self) -> String {
        format!("cache-{}", self.name)
    }

    /// The gateway for callers in the site's region.
    #[must_use]
    pub const fn gateway(&self) -> SocketAddr {
        local(self.gateway_port)
    }

    /// The services that links lead to.
    pub fn services(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
        [("app", self.app()), ("postgres", self.postgres()), ("redis", self.redis())].into_iter()
    }
}

/// The site that is active first.
pub const ACTIVE: SiteConfig = SiteConfig {
    name: "a",
    region: "us-east-1",
    number: 1,
    gateway_port: 4610,
    instance: "queue-a",
    host: "i-0000000a",
    peer_region: "us-west-2",
};
/// The warm standby.
pub const STANDBY: SiteConfig = SiteConfig {
    name: "b",
    region: "us-west-2",
    number: 2,
    gateway_port: 4620,
    instance: "queue-b",
    host: "i-0000000b",
    peer_region: "us-east-1",
};
/// Both.
pub const SITES: [SiteConfig; 2] = [ACTIVE, STANDBY];

/// Every address that the lab listens on itself, with what for: checked before anything starts.
pub(crate) fn listeners() -> impl Iterator<Item = (&'static str, SocketAddr)> {
    [
        ("the emulator", EMULATOR),
        ("the gateway (operator)", OPERATOR_GATEWAY),
        ("the gateway's admin API", GATEWAY_ADMIN),
        ("the links' admin API", LINKS_ADMIN),
        ("RDS", RDS),
        ("SSM", SSM),
        ("the DNS status API", DNS_STATUS),
        ("the capture server", CAPTURE),
        ("DNS", DNS),
    ]
    .into_iter()
    .chain(SITES.iter().map(|site| ("the gateway", site.gateway())))
    .chain(SITES.iter().flat_map(SiteConfig::services))
}

/// The addresses of [`listeners`].
pub fn addresses() -> impl Iterator<Item = SocketAddr> {
    listeners().map(|(_, address)| address)
}

/// The last octet of a loopback address; 0 for IPv6, which the lab does not use.
pub(crate) const fn last_octet(address: SocketAddr) -> u8 {
    match address.ip() {
        IpAddr::V4(address) => {
            let [.., last] = address.octets();
            last
        }
        IpAddr::V6(_) => 0,
    }
}
