//! The user who measures: finds the app by its DNS name, writes tickets all the time, and keeps
//! every acknowledgement.
//!
//! Invariants:
//! - The cadence never waits: each write is a task of its own, so a site that hangs costs the
//!   writes sent to it and no others.
//! - An address is used as long as its TTL says and not a moment longer; when it cannot be looked
//!   up again, the write has failed.
//! - A write counts as acknowledged only when the answer carries its own id back.

mod dns;
mod http;
#[cfg(test)]
mod tests;
mod traffic;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::clock::now;
use dns::Names;

pub use dns::AnswerSeen;
pub use http::missing_at;
pub use traffic::{Traffic, samples};

/// Successes in a row that show that service is back to stay: one second of them at the drill's
/// rate of 20 writes a second.
pub const SUSTAINED: usize = 20;

/// Why the client cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP client does not start.
    #[error("start the drill's HTTP client: {0}")]
    Start(String),
    /// There is nothing to do at zero writes a second.
    #[error("the drill's client needs at least one write a second")]
    NoRate,
    /// The site does not say which writes exist.
    #[error("ask {address} which writes exist: {reason}; is its app serving?")]
    Ask {
        /// The site's app.
        address: SocketAddr,
        /// What went wrong.
        reason: String,
    },
}

/// What the client does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The app's DNS name.
    pub name: String,
    /// The address that is used whatever the name leads to: somebody whose resolver never moves, or who
    /// is still connected. None: the name decides.
    pub keeps_to: Option<IpAddr>,
    /// The DNS server that is asked for it.
    pub resolver: SocketAddr,
    /// The app's port.
    pub port: u16,
    /// Writes sent each second, whatever became of those before.
    pub writes_per_second: u32,
    /// How long a whole write may take: lookup, connection and answer.
    pub request_timeout: Duration,
}

/// One write: what was sent, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its place in the order of sending, from 0.
    pub number: u64,
    /// The ticket's id.
    pub id: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When the answer, or the failure, was there.
    pub ended_at: Timestamp,
    /// Whether the app acknowledged it.
    pub acknowledged: bool,
    /// Where it went; none when the name had no address.
    pub address: Option<IpAddr>,
    /// Why it was not acknowledged.
    pub failure: Option<String>,
}

/// The drill's client.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Starts to write, from within a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::NoRate`] and [`ClientError::Start`]: nothing was started.
    pub fn start(config: ClientConfig) -> Result<ClientHandle, ClientError> {
        let period = Duration::from_secs(1)
            .checked_div(config.writes_per_second)
            .ok_or(ClientError::NoRate)?;
        let http = http::client().map_err(ClientError::Start)?;
        let names = Names::new(config.resolver, config.name.clone());
        let (ended, _) = watch::channel(0);
        let shared = Arc::new(Shared { config, http, names, writes: Mutex::default(), ended });
        let (stop, stopped) = watch::channel(false);
        let cadence = tokio::spawn(keep_writing(Arc::clone(&shared), period, stopped));
        Ok(ClientHandle { shared, stop, cadence: Some(cadence) })
    }
}

/// What all writes share.
#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    http: reqwest::Client,
    names: Names,
    /// The writes that ended, by number.
    writes: Mutex<Vec<Write>>,
    /// How many ended.
    ended: watch::Sender<usize>,
}

/// A client that is at work. Dropping it ends it.
#[derive(Debug)]
pub struct ClientHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    cadence: Option<JoinHandle<()>>,
}

impl ClientHandle {
    /// The writes that ended so far, in the order in which they were sent. Those still under way
    /// are not among them, so that the newest few may be filled in later.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Write> {
        self.shared.writes().clone()
    }

    /// The answers of DNS so far: the first one and each that differs from the one before.
    #[must_use]
    pub fn answers(&self) -> Vec<AnswerSeen> {
        self.shared.names.seen()
    }

    /// Whether the writes that ended satisfied `enough` within `limit`.
    pub async fn wait_for(&self, limit: Duration, enough: impl Fn(&[Write]) -> bool) -> bool {
        let mut ended = self.shared.ended.subscribe();
        let waiting = async {
            loop {
                ended.borrow_and_update();
                if enough(&self.shared.writes()) {
                    return;
                }
                // The sender lives as long as this handle.
                if ended.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(limit, waiting).await.is_ok()
    }

    /// Sends nothing more, lets the writes under way end (each has its deadline), and returns what
    /// happened.
    pub async fn stop(mut self) -> Traffic {
        self.stop.send_replace(true);
        if let Some(cadence) = self.cadence.take() {
            // A write that panicked has no record; the others count all the same.
            let _ = cadence.await;
        }
        Traffic { writes: self.snapshot(), answers: self.answers() }
    }
}

impl Drop for ClientHandle {
    fn drop(&mut self) {
        if let Some(cadence) = &self.cadence {
            cadence.abort();
        }
    }
}

impl Shared {
    fn writes(&self) -> std::sync::MutexGuard<'_, Vec<Write>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, write: Write) {
        let count = {
            let mut writes = self.writes();
            let place = writes.partition_point(|other| other.number < write.number);
            writes.insert(place, write);
            writes.len()
        };
        self.ended.send_replace(count);
    }

    async fn write(&self, number: u64, id: String) {
        let began = Instant::now();
        let sent_at = now();
        let mut address = None;
        let limit = self.config.request_timeout;
        let attempt = async {
            let found = match self.config.keeps_to {
                Some(address) => address,
                None => self.names.address(number).await?,
            };
            address = Some(found);
            let at = SocketAddr::new(found, self.config.port);
            http::issue(&self.http, at, &self.config.name, &id).await
        };
        let failure = match timeout(limit, attempt).await {
            Ok(answer) => answer.err(),
            Err(_) => Some(format!("no answer within {} ms", limit.as_millis())),
        };
        // One clock for the start and a steady one for the length: no step of the clock in between
        // makes a write end before it began.
        let ended_at = jiff::SignedDuration::try_from(began.elapsed())
            .ok()
            .and_then(|taken| sent_at.checked_add(taken).ok())
            .unwrap_or(sent_at);
        let acknowledged = failure.is_none();
        self.keep(Write { number, id, sent_at, ended_at, acknowledged, address, failure });
    }
}

async fn keep_writing(shared: Arc<Shared>, period: Duration, mut stopped: watch::Receiver<bool>) {
    // Ids of different runs must not meet: a second drill may find the tickets of the first.
    let run = now().as_microsecond();
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut writes = JoinSet::new();
    for number in 0.. {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = ticks.tick() => {}
        }
        while writes.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        let id = format!("drill-{run:x}-{number:06}");
        writes.spawn(async move { shared.write(number, id).await });
    }
    while writes.join_next().await.is_some() {}
}
