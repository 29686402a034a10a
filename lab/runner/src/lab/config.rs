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
    /// The host that clients reach: app, guard, Redis, and what is backed up. Its id is the lowest.
    pub host: &'static str,
    /// The site's further hosts.
    pub more: &'static [MoreHost],
    /// The other site's region.
    pub peer_region: &'static str,
}

/// A host of a site beside the one that clients reach. There is no load balancer in the lab: what
/// stands behind one here is the first host alone, and the others run the app at addresses of their
/// own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoreHost {
    /// The host.
    pub id: &'static str,
    /// What it does.
    pub kind: MoreKind,
    /// The last octet of the address of its app.
    last: u8,
}

/// What a further host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoreKind {
    /// It runs from the start.
    Running,
    /// It is off, and stays so: its agent answers nobody.
    Stopped,
    /// It boots after its site was activated, as one that Auto Scaling launches.
    Late,
}

impl SiteConfig {
    /// The regions of the other registers, as the commands on a host take them.
    #[must_use]
    pub fn peers(&self) -> String {
        format!("{},{WITNESS_REGION}", self.peer_region)
    }

    /// The address of the app on a further host.
    #[must_use]
    pub const fn app_of(&self, host: &MoreHost) -> SocketAddr {
        self.at(host.last, 8080)
    }

    /// The further hosts of this kind.
    pub fn hosts_that(&self, kind: MoreKind) -> impl Iterator<Item = &'static MoreHost> + use<> {
        self.more.iter().filter(move |host| host.kind == kind)
    }

    /// Every host that is on when the site is: the one that clients reach, and those beside it.
    pub fn running(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.host].into_iter().chain(self.hosts_that(MoreKind::Running).map(|host| host.id))
    }

    const fn at(&self, last: u8, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, self.number, last)), port)
    }

    /// The app.
    #[must_use]
    pub const fn app(&self) -> SocketAddr {
        self.at(10, 8080)
    }

    /// The app on every host of the site, the one that clients reach first.
    pub fn apps(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let site = *self;
        [site.app()].into_iter().chain(site.more.iter().map(move |host| site.app_of(host)))
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
    more: &[MoreHost { id: "i-000000a1", kind: MoreKind::Running, last: 11 }],
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
    more: &[
        MoreHost { id: "i-000000b1", kind: MoreKind::Running, last: 11 },
        MoreHost { id: "i-000000b2", kind: MoreKind::Stopped, last: 12 },
        MoreHost { id: "i-000000b3", kind: MoreKind::Late, last: 13 },
    ],
    peer_region: "us-east-1",
};
/// The region of the third register, in which there is nothing else.
pub const WITNESS_REGION: &str = "us-east-2";
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
    .chain(
        SITES
            .iter()
            .flat_map(|site| site.apps().skip(1).map(|app| ("the app of a further host", app))),
    )
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
