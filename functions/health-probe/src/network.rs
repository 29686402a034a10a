//! The checks themselves, over a new connection each: a connection that was good a round ago says
//! nothing of this one.

mod http;
mod postgres;
mod redis;

use std::{
    fmt,
    time::{Duration, Instant},
};

use lifeboat_core::vote::{CheckKind, CheckResult, Vote};
use tokio::net::TcpStream;

use crate::ports::{Answer, Probe};

/// Makes checks over TCP.
#[derive(Debug, Clone)]
pub struct Checker {
    http: reqwest::Client,
}

/// What one check saw, in words.
struct Seen {
    detail: String,
    body: Option<String>,
}

impl Seen {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), body: None }
    }
}

impl Checker {
    /// A checker that follows no redirects, uses no proxy and keeps no connection.
    ///
    /// # Errors
    /// The TLS stack's, when it cannot be set up; nothing can be checked then.
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()?;
        Ok(Self { http })
    }

    /// Makes one check and ends it at `limit`: no answer by then votes `down`.
    pub async fn check(&self, probe: &Probe, limit: Duration) -> Answer {
        let begun = Instant::now();
        let work = async {
            match probe.kind {
                CheckKind::Http => http::check(&self.http, &probe.endpoint).await,
                CheckKind::Postgres => postgres::check(probe).await,
                CheckKind::Redis => redis::check(&probe.endpoint).await,
            }
        };
        let seen = tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} ms", limit.as_millis())));
        let (vote, detail, body) = match seen {
            Ok(seen) => (Vote::Up, seen.detail, seen.body),
            Err(detail) => (Vote::Down, detail, None),
        };
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Answer { check: CheckResult { vote, detail, elapsed_ms }, body }
    }
}

async fn connect(endpoint: &str) -> Result<TcpStream, String> {
    TcpStream::connect(endpoint).await.map_err(innermost)
}

/// The last error of a chain, which names the cause: `Connection refused` rather than `error
/// sending request`.
fn innermost(error: impl std::error::Error) -> String {
    let mut source: &dyn std::error::Error = &error;
    while let Some(next) = source.source() {
        source = next;
    }
    source.to_string()
}

/// Bytes from a server as one short line of text.
fn one_line(bytes: &[u8]) -> impl fmt::Display {
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests;
