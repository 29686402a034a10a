//! Connections to the servers behind the gateway, pooled.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use tokio::sync::oneshot;

use super::body::HeldBody;
use super::config;
use super::route::Upstream;
use crate::tasks::Tasks;

/// A connection idle for longer than this is not used again. The emulator's server closes idle
/// connections after 5 s (hypercorn's `keep_alive_timeout`); staying below avoids the race in which a
/// call is written to a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(3);

/// An upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    /// No connection, or the connection broke.
    #[error("gateway gets no answer from {name} at {address} ({detail}); check that it runs")]
    Unreachable {
        name: &'static str,
        address: SocketAddr,
        /// The innermost cause, such as "connection refused".
        detail: String,
    },
    /// The gateway is being stopped.
    #[error("the gateway is being stopped")]
    Stopped,
}

/// The upstream servers and the connections to them.
#[derive(Clone, Debug)]
pub(super) struct Upstreams {
    addresses: config::Upstreams,
    client: Client<HttpConnector, HeldBody>,
    tasks: Tasks,
}

impl Upstreams {
    pub(super) fn new(addresses: config::Upstreams, tasks: Tasks) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // Every upstream is on this machine.
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(tasks.clone())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http1_preserve_header_case(true)
            .set_host(false)
            .build(connector);
        Self { addresses, client, tasks }
    }

    fn address(&self, upstream: Upstream) -> SocketAddr {
        match upstream {
            Upstream::Emulator => self.addresses.emulator,
            Upstream::Rds => self.addresses.rds,
            Upstream::Ssm => self.addresses.ssm,
            Upstream::DnsStatus => self.addresses.dns_status,
        }
    }

    /// Forwards a request unchanged, but for headers that speak of the connection itself.
    ///
    /// The exchange runs as a task of its own: once a request has gone out it takes effect, whether or
    /// not the caller stays for the answer, as on AWS.
    pub(super) async fn forward(
        &self,
        upstream: Upstream,
        mut parts: Parts,
        body: HeldBody,
    ) -> Result<Response<Incoming>, ForwardError> {
        let address = self.address(upstream);
        let unreachable =
            |detail: String| ForwardError::Unreachable { name: upstream.name(), address, detail };
        let path =
            parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let authority = Authority::try_from(address.to_string())
            .map_err(|error| unreachable(error.to_string()))?;
        parts.uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        parts.version = Version::HTTP_11;
        strip_connection_headers(&mut parts.headers);

        let exchange = self.client.request(Request::from_parts(parts, body));
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn(async move {
            // The caller may be gone; the effect is what the task is for.
            drop(answer.send(exchange.await));
        });
        let mut response = match answered.await {
            Ok(result) => result.map_err(|error| unreachable(innermost(&error)))?,
            Err(_) => return Err(ForwardError::Stopped),
        };
        strip_connection_headers(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        Ok(response)
    }
}

/// Removes what is said about one connection only and must not reach the next (RFC 9110, 7.6.1).
fn strip_connection_headers(headers: &mut hyper::HeaderMap) {
    headers.remove(CONNECTION);
    headers.remove(HeaderName::from_static("keep-alive"));
    headers.remove(HeaderName::from_static("proxy-connection"));
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
