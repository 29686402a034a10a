//! Route 53's data plane for the lab: an authoritative DNS server that answers from the hosted
//! zones of the emulated control plane, and decides between their records by health checks that it
//! really makes.
//!
//! Invariants:
//! - Answers do not depend on the control plane: once it was read, the last good copy keeps
//!   answering and the health checks keep running, whatever becomes of it.
//! - Judgement is pure (replies, routing policies, checker opinions, verdicts): it takes the zones
//!   and the observations as they are, and reads neither clock nor network.
//! - No data is never "down": see [`Observed::Unknown`].
//!
//! Order of a change: the mirror reads, or a checker reports -> the state settles verdicts and
//! answers under one lock and logs what moved -> from then on questions get the new answer.

mod api;
mod checkers;
mod clock;
mod health;
mod http;
mod lookup;
mod mirror;
mod model;
mod probe;
mod report;
mod select;
mod server;
mod state;
mod target;
mod wire;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

pub use crate::{
    health::{CHECKERS, HEALTHY_ABOVE_PERCENT, Observed, Verdict},
    lookup::{Reply, ReplyCode, ReplyRecord},
    model::Routing,
    report::{
        AnswerChange, CheckerReport, HealthCheckReport, MirrorReport, RecordReport, Records,
        SetReport,
    },
};

/// A TCP client that sends nothing for this long is disconnected (RFC 7766 asks for seconds).
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers that may wait for a slow TCP client.
const TCP_ANSWERS: usize = 16;
/// Tries to find one port that is free for UDP as well as TCP, when any port will do.
const PORT_TRIES: usize = 20;

/// Where the server listens and what it looks at.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// UDP and TCP address of the DNS server; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Address of the status API; port 0 takes any free one.
    pub api: SocketAddr,
    /// The Route 53 API that is mirrored.
    pub control_plane: SocketAddr,
    /// How often it is read.
    pub poll_period: Duration,
    /// The endpoint of each region, for health checks on S3 names and for CloudWatch alarms.
    pub regions: BTreeMap<String, SocketAddr>,
}

impl Default for DnsConfig {
    /// The lab's own addresses.
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(5300),
            api: local(4633),
            control_plane: local(4566),
            poll_period: Duration::from_millis(250),
            regions: BTreeMap::from([
                ("us-east-1".to_owned(), local(4610)),
                ("us-west-2".to_owned(), local(4620)),
            ]),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum DnsError {
    /// Something else listens there already.
    #[error("{what} address {address} is in use: stop what listens there, or choose another one")]
    AddressInUse {
        /// `DNS (UDP)`, `DNS (TCP)` or `status API`.
        what: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("listen on {what} address {address}")]
    Listen {
        /// `DNS (UDP)`, `DNS (TCP)` or `status API`.
        what: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The server, before it runs.
#[derive(Clone, Copy, Debug)]
pub struct DnsServer;

impl DnsServer {
    /// Starts the DNS server, the mirror, the health checkers and the status API.
    ///
    /// Returns as soon as the sockets are bound; await [`DnsHandle::wait_until`] for the first copy
    /// of the control plane. Until then questions get SERVFAIL.
    ///
    /// # Errors
    /// [`DnsError`], naming the address that could not be had. Nothing runs then.
    pub async fn start(config: DnsConfig) -> Result<DnsHandle, DnsError> {
        let (udp, tcp) = dns_sockets(config.listen).await?;
        let api = TcpListener::bind(config.api)
            .await
            .map_err(|source| listen_error("status API", config.api, source))?;
        let bound = |address: std::io::Result<SocketAddr>, what, wanted| {
            address.map_err(|source| DnsError::Listen { what, address: wanted, source })
        };
        let dns_address = bound(udp.local_addr(), "DNS (UDP)", config.listen)?;
        let api_address = bound(api.local_addr(), "status API", config.api)?;

        let state = Arc::new(state::State::new());
        let mut server = hickory_server::Server::new(server::Handler { state: Arc::clone(&state) });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Dropping the server, when this task is aborted, ends all of its own.
            if let Err(error) = server.block_until_done().await {
                tracing::error!(%error, "DNS server ended");
            }
        });
        tasks.spawn(checkers::run(Arc::clone(&state), Arc::new(config)));
        let router = api::router(Arc::clone(&state));
        tasks.spawn(async move {
            if let Err(error) = axum::serve(api, router).await {
                tracing::error!(%error, "DNS status API ended");
            }
        });
        Ok(DnsHandle { state, dns_address, api_address, tasks })
    }
}

/// A running server. Dropping it stops everything.
#[derive(Debug)]
pub struct DnsHandle {
    state: Arc<state::State>,
    dns_address: SocketAddr,
    api_address: SocketAddr,
    tasks: JoinSet<()>,
}

impl DnsHandle {
    /// The UDP and TCP address in use.
    #[must_use]
    pub fn dns_address(&self) -> SocketAddr {
        self.dns_address
    }

    /// The status API's address in use.
    #[must_use]
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Every record of `name`, one for each type, with what is answered now.
    #[must_use]
    pub fn answers(&self, name: &str) -> Vec<RecordReport> {
        let name = model::normal_name(name);
        self.state.report().records.into_iter().filter(|record| record.name == name).collect()
    }

    /// The reply that a resolver would get to `name` and `kind` (`A`, `TXT`, ...); none until the
    /// control plane was first read. Weighted records answer as for the draw 0.
    #[must_use]
    pub fn resolve(&self, name: &str, kind: &str) -> Option<Reply> {
        self.state.reply(name, kind, 0)
    }

    /// Every change of an answer since the start, oldest first.
    #[must_use]
    pub fn changes(&self) -> Vec<AnswerChange> {
        self.state.changes()
    }

    /// Everything at once: what `GET /records` shows.
    #[must_use]
    pub fn report(&self) -> Records {
        self.state.report()
    }

    /// Waits until `reached` is true of this server, at most `limit`; returns whether it is.
    pub async fn wait_until(&self, limit: Duration, reached: impl Fn(&Self) -> bool) -> bool {
        let mut revisions = self.state.watch();
        let waiting = async {
            while !reached(self) {
                if revisions.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok() || reached(self)
    }

    /// Stops the server; on return its addresses are free.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// A UDP and a TCP socket on the same port.
async fn dns_sockets(listen: SocketAddr) -> Result<(UdpSocket, TcpListener), DnsError> {
    let mut tries = if listen.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = TcpListener::bind(listen)
            .await
            .map_err(|source| listen_error("DNS (TCP)", listen, source))?;
        let address =
            tcp.local_addr().map_err(|source| listen_error("DNS (TCP)", listen, source))?;
        match UdpSocket::bind(address).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(source) if tries == 0 => return Err(listen_error("DNS (UDP)", address, source)),
            Err(_) => {}
        }
    }
}

fn listen_error(what: &'static str, address: SocketAddr, source: std::io::Error) -> DnsError {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        DnsError::AddressInUse { what, address }
    } else {
        DnsError::Listen { what, address, source }
    }
}
