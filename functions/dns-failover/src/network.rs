//! What is asked of the network itself: the site's endpoints and the resolvers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use dns_failover::{Health, Resolvers};
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use lifeboat_core::{
    Fault,
    plan_file::RecordKind,
    vote::{CheckKind, CheckResult, Vote},
};
use tokio::{
    net::{TcpStream, UdpSocket, lookup_host},
    time::{Instant, timeout},
};

use crate::aws::Aws;

/// How long a resolver may take to answer.
const RESOLVER_DEADLINE: Duration = Duration::from_secs(1);
/// The largest answer over UDP without EDNS (RFC 1035, section 4.2.1).
const LARGEST_ANSWER: usize = 512;

/// The client for health checks: no proxy and no redirects, because the answer has to be the
/// endpoint's own.
pub(crate) fn http() -> Result<reqwest::Client, Fault> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Fault::needs_human(format!("the HTTP client cannot start: {error}")))
}

impl Health for Aws {
    async fn check(&self, kind: CheckKind, endpoint: &str, deadline: Duration) -> CheckResult {
        let begun = Instant::now();
        let looked = async {
            match kind {
                CheckKind::Http => get(&self.http, endpoint).await,
                // The deep checks of the database and the cache are made when the site is verified;
                // here it counts that they are still there.
                CheckKind::Postgres | CheckKind::Redis => {
                    match TcpStream::connect(endpoint).await {
                        Ok(_) => Ok("accepts connections".to_owned()),
                        Err(error) => Err(error.to_string()),
                    }
                }
            }
        };
        let (vote, detail) = match timeout(deadline, looked).await {
            Ok(Ok(detail)) => (Vote::Up, detail),
            Ok(Err(detail)) => (Vote::Down, detail),
            Err(_) => (Vote::Down, format!("no answer within {} ms", deadline.as_millis())),
        };
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        CheckResult { vote, detail, elapsed_ms }
    }
}

async fn get(client: &reqwest::Client, url: &str) -> Result<String, String> {
    match client.get(url).send().await {
        Ok(answer) if answer.status().as_u16() == 200 => Ok("HTTP 200".to_owned()),
        Ok(answer) => Err(format!("HTTP {}", answer.status().as_u16())),
        Err(error) if error.is_connect() => Err("no connection".to_owned()),
        Err(error) => Err(error.without_url().to_string()),
    }
}

impl Resolvers for Aws {
    async fn ask(
        &self,
        resolver: Option<SocketAddr>,
        name: &str,
        kind: RecordKind,
    ) -> Result<Vec<IpAddr>, String> {
        let asked = async {
            match resolver {
                Some(resolver) => query(resolver, name, kind).await,
                None => system(name, kind).await,
            }
        };
        timeout(RESOLVER_DEADLINE, asked).await.unwrap_or_else(|_| {
            Err(format!("no answer within {} ms", RESOLVER_DEADLINE.as_millis()))
        })
    }
}

const fn is_of(address: IpAddr, kind: RecordKind) -> bool {
    matches!((address, kind), (IpAddr::V4(_), RecordKind::A) | (IpAddr::V6(_), RecordKind::Aaaa))
}

async fn system(name: &str, kind: RecordKind) -> Result<Vec<IpAddr>, String> {
    let found = lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> =
        found.map(|address| address.ip()).filter(|ip| is_of(*ip, kind)).collect();
    addresses.dedup();
    Ok(addresses)
}

/// One question over UDP, one answer: nothing between the resolver and us remembers anything.
async fn query(resolver: SocketAddr, name: &str, kind: RecordKind) -> Result<Vec<IpAddr>, String> {
    let mut fully_qualified = Name::from_ascii(name).map_err(|error| error.to_string())?;
    fully_qualified.set_fqdn(true);
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(
        fully_qualified,
        match kind {
            RecordKind::A => RecordType::A,
            RecordKind::Aaaa => RecordType::AAAA,
        },
    ));
    let packet = question.to_vec().map_err(|error| error.to_string())?;

    let from: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let words = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind((from, 0)).await.map_err(words)?;
    // A connected socket takes packets from the resolver alone.
    socket.connect(resolver).await.map_err(words)?;
    socket.send(&packet).await.map_err(words)?;
    let mut buffer = [0; LARGEST_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(words)?;
        let Ok(answer) = Message::from_vec(buffer.get(..length).unwrap_or_default()) else {
            continue;
        };
        if answer.metadata.id == question.metadata.id {
            return addresses(&answer);
        }
    }
}

fn addresses(answer: &Message) -> Result<Vec<IpAddr>, String> {
    if answer.metadata.response_code != ResponseCode::NoError {
        return Err(format!("it answers {}", answer.metadata.response_code));
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's enum lists every record type; only addresses count here"
    )]
    let addresses = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect();
    Ok(addresses)
}

#[cfg(test)]
mod tests;
