//! Where a health check's request goes. Pure: the zones are asked through a function.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use thiserror::Error;

use crate::model::{Probe, Protocol};

/// An endpoint to connect to, and the name to ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The `Host` header, as Route 53 writes it: with the port unless it is the protocol's own.
    pub(crate) host: String,
}

/// Why a health check has nowhere to go.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Unresolved {
    #[error("the health check names neither an address nor a domain name")]
    NoTarget,
    #[error("no endpoint is configured for region {0}")]
    UnknownRegion(String),
    #[error("DNS resolution failed: {0} has no A record in the zones of this server")]
    NoAddress(String),
}

/// The target of `probe`.
///
/// An address is used as it is. A name of S3 in some region goes to that region's endpoint in
/// `regions`; any other name is looked up with `resolve`, which answers from our own zones.
///
/// # Errors
/// [`Unresolved`]: the checker reports a failed check.
pub(crate) fn target(
    probe: &Probe,
    regions: &BTreeMap<String, SocketAddr>,
    resolve: impl Fn(&str) -> Option<IpAddr>,
) -> Result<Target, Unresolved> {
    let name = probe.host.as_deref().map(crate::model::normal_name);
    let address = match (probe.ip, &name) {
        (Some(ip), _) => SocketAddr::new(ip, probe.port),
        (None, None) => return Err(Unresolved::NoTarget),
        (None, Some(name)) => match (s3_region(name), name.parse()) {
            (Some(region), _) => {
                *regions.get(region).ok_or_else(|| Unresolved::UnknownRegion(region.to_owned()))?
            }
            (None, Ok(literal)) => SocketAddr::new(literal, probe.port),
            (None, Err(_)) => {
                let ip = resolve(name).ok_or_else(|| Unresolved::NoAddress(name.clone()))?;
                SocketAddr::new(ip, probe.port)
            }
        },
    };
    let host = name.unwrap_or_else(|| match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    });
    let own_port = match probe.protocol {
        Protocol::Http => probe.port == 80,
        Protocol::Https => probe.port == 443,
        Protocol::Tcp => false,
    };
    let host = if own_port { host } else { format!("{host}:{}", probe.port) };
    Ok(Target { address, host })
}

/// The region of a regional S3 name: `s3.<region>.amazonaws.com` with or without a bucket before
/// it, the dual-stack form, and the website form. Bucket names may hold dots.
fn s3_region(name: &str) -> Option<&str> {
    let labels: Vec<&str> = name.strip_suffix(".amazonaws.com")?.split('.').collect();
    match labels.as_slice() {
        [.., "s3" | "s3-website", region] | [.., "s3", "dualstack", region] => Some(region),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(ip: Option<&str>, host: Option<&str>, protocol: Protocol, port: u16) -> Probe {
        Probe {
            protocol,
            ip: ip.map(|ip| ip.parse().unwrap()),
            host: host.map(str::to_owned),
            port,
            path: "/".to_owned(),
            search: None,
            interval_seconds: 10,
        }
    }

    #[track_caller]
    fn check(probe: &Probe, expected: Result<(&str, &str), Unresolved>) {
        let west = ("us-west-2".to_owned(), "127.0.0.1:4620".parse().unwrap());
        let resolve = |name: &str| {
            (name == "queue.example.test").then(|| "127.0.1.10".parse::<IpAddr>().unwrap())
        };
        let expected = expected.map(|(address, host)| Target {
            address: address.parse().unwrap(),
            host: host.to_owned(),
        });
        assert_eq!(target(probe, &BTreeMap::from([west]), resolve), expected);
    }

    #[test]
    fn s3_names_go_to_their_region() {
        for name in [
            "bucket.s3.us-west-2.amazonaws.com",
            "a.b.s3.us-west-2.amazonaws.com",
            "s3.us-west-2.amazonaws.com",
            "bucket.s3.dualstack.us-west-2.amazonaws.com",
            "bucket.s3-website.us-west-2.amazonaws.com",
        ] {
            let asked = probe(None, Some(name), Protocol::Https, 443);
            check(&asked, Ok(("127.0.0.1:4620", name)));
        }
        let east = probe(None, Some("b.s3.us-east-1.amazonaws.com"), Protocol::Https, 443);
        check(&east, Err(Unresolved::UnknownRegion("us-east-1".to_owned())));
    }

    #[test]
    fn other_names_are_ours_or_literal() {
        let ours = probe(None, Some("Queue.example.test."), Protocol::Http, 8080);
        check(&ours, Ok(("127.0.1.10:8080", "queue.example.test:8080")));
        let literal = probe(None, Some("127.0.1.20"), Protocol::Tcp, 5432);
        check(&literal, Ok(("127.0.1.20:5432", "127.0.1.20:5432")));
        let both = probe(Some("127.0.1.10"), Some("queue.example.test"), Protocol::Http, 80);
        check(&both, Ok(("127.0.1.10:80", "queue.example.test")));
        let bare = probe(Some("127.0.1.10"), None, Protocol::Http, 80);
        check(&bare, Ok(("127.0.1.10:80", "127.0.1.10")));
        let none = probe(None, Some("s3.amazonaws.com"), Protocol::Http, 80);
        check(&none, Err(Unresolved::NoAddress("s3.amazonaws.com".to_owned())));
        check(&probe(None, None, Protocol::Http, 80), Err(Unresolved::NoTarget));
    }
}
