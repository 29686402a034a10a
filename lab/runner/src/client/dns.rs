//! The app's name, looked up as an honest resolver of a client does: kept for its TTL, then asked
//! for again.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hickory_resolver::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use jiff::Timestamp;
use tokio::{net::UdpSocket, time::timeout};

use crate::clock::now;

/// How long one question may take. A lost packet is asked again, as resolvers do.
const TRY_WITHIN: Duration = Duration::from_millis(300);
/// How often a question is asked before the lookup has failed.
const TRIES: u32 = 3;
/// The largest answer over UDP without EDNS (RFC 1035, section 4.2.1).
const LARGEST_ANSWER: usize = 512;

/// An answer of DNS that differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerSeen {
    /// When the client had it.
    pub at: Timestamp,
    /// The addresses; none when the lookup failed.
    pub addresses: Vec<IpAddr>,
    /// For how long it may be used, in seconds.
    pub ttl_seconds: u32,
}

/// The addresses of one name.
#[derive(Debug)]
pub(super) struct Names {
    resolver: SocketAddr,
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    /// When the newest question that has an outcome was asked.
    newest: Option<Instant>,
    seen: Vec<AnswerSeen>,
}

#[derive(Debug)]
struct Kept {
    addresses: Vec<IpAddr>,
    expires: Instant,
}

/// What the DNS server said.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    addresses: Vec<IpAddr>,
    ttl_seconds: u32,
}

impl Names {
    pub(super) fn new(resolver: SocketAddr, name: String) -> Self {
        Self { resolver, name, state: Mutex::default() }
    }

    pub(super) fn seen(&self) -> Vec<AnswerSeen> {
        self.state().seen.clone()
    }

    /// An address for the `turn`-th connection: the kept one while its TTL lasts, else a new one.
    pub(super) async fn address(&self, turn: u64) -> Result<IpAddr, String> {
        let asked_at = Instant::now();
        if let Some(kept) = self.state().kept.as_ref().filter(|kept| asked_at < kept.expires) {
            return pick(&kept.addresses, turn);
        }
        let answer = self.look_up().await;
        self.keep(asked_at, answer.as_ref().ok());
        pick(&answer?.addresses, turn)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, asked_at: Instant, answer: Option<&Answer>) {
        let mut state = self.state();
        // Lookups overlap: an answer to an older question must not replace that to a newer one.
        if state.newest.is_some_and(|newest| newest > asked_at) {
            return;
        }
        state.newest = Some(asked_at);
        let (addresses, ttl_seconds) =
            answer.map_or((Vec::new(), 0), |answer| (answer.addresses.clone(), answer.ttl_seconds));
        if state.seen.last().is_none_or(|last| last.addresses != addresses) {
            state.seen.push(AnswerSeen { at: now(), addresses: addresses.clone(), ttl_seconds });
        }
        if answer.is_some() {
            let expires = Instant::now() + Duration::from_secs(ttl_seconds.into());
            state.kept = Some(Kept { addresses, expires });
        }
    }

    async fn look_up(&self) -> Result<Answer, String> {
        let mut failure = String::new();
        for _ in 0..TRIES {
            match timeout(TRY_WITHIN, ask(self.resolver, &self.name)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(reason)) => failure = format!("DNS: {reason}"),
                Err(_) => failure = format!("DNS: no answer within {} ms", TRY_WITHIN.as_millis()),
            }
        }
        Err(failure)
    }
}

fn pick(addresses: &[IpAddr], turn: u64) -> Result<IpAddr, String> {
    let count = u64::try_from(addresses.len()).unwrap_or(1).max(1);
    usize::try_from(turn % count)
        .ok()
        .and_then(|place| addresses.get(place))
        .copied()
        .ok_or_else(|| "DNS: the name has no address".to_owned())
}

async fn ask(resolver: SocketAddr, name: &str) -> Result<Answer, String> {
    let mut fully_qualified = Name::from_ascii(name).map_err(|error| error.to_string())?;
    fully_qualified.set_fqdn(true);
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(fully_qualified, RecordType::A));
    let packet = question.to_vec().map_err(|error| error.to_string())?;

    let from: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let words = |error: std::io::Error| error.kind().to_string();
    let socket = UdpSocket::bind((from, 0)).await.map_err(words)?;
    // Connected, so that only the resolver's packets arrive and its absence is an error at once.
    socket.connect(resolver).await.map_err(words)?;
    socket.send(&packet).await.map_err(words)?;
    let mut buffer = [0; LARGEST_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(words)?;
        match Message::from_vec(buffer.get(..length).unwrap_or_default()) {
            Ok(message) if message.metadata.id == question.metadata.id => return read(&message),
            // Not an answer to this question.
            Ok(_) | Err(_) => {}
        }
    }
}

fn read(message: &Message) -> Result<Answer, String> {
    let code = message.metadata.response_code;
    if code != ResponseCode::NoError {
        return Err(format!("it answers {code}"));
    }
    let mut addresses = Vec::new();
    let mut ttl_seconds = u32::MAX;
    for record in &message.answers {
        // An alias before the address may live shorter than the address itself.
        ttl_seconds = ttl_seconds.min(record.ttl);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the library lists every record type; only addresses count here"
        )]
        match &record.data {
            RData::A(address) => addresses.push(IpAddr::V4(address.0)),
            RData::AAAA(address) => addresses.push(IpAddr::V6(address.0)),
            _ => {}
        }
    }
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(Answer { addresses, ttl_seconds })
}
