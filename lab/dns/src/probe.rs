//! Makes one health check, as one checker does.
//!
//! Deadlines from
//! <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html>:
//! connect within 4 s for HTTP and 10 s for TCP, a status 2xx or 3xx within 2 s of connecting,
//! and for string matching the text within the first 5,120 bytes of a body that arrives within 2 s more.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::{
    http::{self, Limits},
    model::{Probe, Protocol},
    target::Target,
};

const HTTP_LIMITS: Limits = Limits {
    connect: Duration::from_secs(4),
    status: Duration::from_secs(2),
    body: Duration::from_secs(2),
    body_bytes: 5120,
};
const TCP_CONNECT: Duration = Duration::from_secs(10);

/// How one check went, in the words of `GetHealthCheckStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: bool,
    pub(crate) report: String,
}

impl Outcome {
    pub(crate) fn failure(reason: impl std::fmt::Display) -> Self {
        Self { passed: false, report: format!("Failure: {reason}") }
    }

    fn success(what: impl std::fmt::Display) -> Self {
        Self { passed: true, report: format!("Success: {what}") }
    }
}

/// Asks `target` what `probe` wants to know, for the health check `id`.
pub(crate) async fn make(id: &str, probe: &Probe, target: &Target) -> Outcome {
    if probe.protocol == Protocol::Tcp {
        return match http::connect(target.address, TCP_CONNECT).await {
            Ok(_) => Outcome::success("TCP connection established"),
            Err(error) => Outcome::failure(error),
        };
    }
    let request = Request::get(&probe.path)
        .header("host", &target.host)
        .header("user-agent", user_agent(id))
        .header("accept", "*/*")
        .header("connection", "close")
        .body(Full::new(Bytes::new()));
    let request = match request {
        Ok(request) => request,
        Err(error) => return Outcome::failure(error),
    };
    // Without a search string the body does not matter, and is not waited for.
    let body_bytes = if probe.search.is_some() { HTTP_LIMITS.body_bytes } else { 0 };
    let limits = Limits { body_bytes, ..HTTP_LIMITS };
    let answer = match http::exchange(target.address, request, limits).await {
        Ok(answer) => answer,
        Err(error) => return Outcome::failure(error),
    };
    let status = format!(
        "HTTP Status Code {}, {}",
        answer.status.as_u16(),
        answer.status.canonical_reason().unwrap_or("unknown")
    );
    if !(answer.status.is_success() || answer.status.is_redirection()) {
        return Outcome::failure(status);
    }
    match &probe.search {
        Some(search) if !contains(&answer.body, search.as_bytes()) => Outcome::failure(format!(
            "{status}; the search string is not in the first {} bytes of the body",
            HTTP_LIMITS.body_bytes
        )),
        Some(_) | None => Outcome::success(status),
    }
}

/// Route 53's `User-Agent`: it names the health check, so that an access log can tell who asks.
fn user_agent(id: &str) -> String {
    format!("Amazon-Route53-Health-Check-Service (ref {id}; report http://amzn.to/1vsZADi)")
}

fn contains(body: &[u8], search: &[u8]) -> bool {
    search.is_empty() || body.windows(search.len()).any(|window| window == search)
}
