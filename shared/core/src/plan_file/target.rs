//! Where the name that clients use leads: an address, or a load balancer by an alias.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::model::{AppPlan, Site};

/// Seconds for which resolvers keep the answer of an alias for a load balancer, whatever the record's own
/// time to live is (Route 53 API reference, `ResourceRecordSet`, `TTL`: an alias has that of its target,
/// which is 60 s for load balancers).
pub const ALIAS_TTL_SECONDS: u32 = 60;

/// Where clients reach a site: `address`, with `ipv6` where it has one, or `alias`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The IPv4 address, for an A record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The IPv6 address beside it, for an AAAA record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
    /// A load balancer, for alias records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Alias>,
}

/// The target of an alias record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The load balancer's DNS name, without the final dot.
    pub dns_name: String,
    /// The hosted zone that the name is in: the load balancer's `CanonicalHostedZoneId`, and not
    /// the zone of the app's name.
    pub zone_id: String,
    /// Whether it has IPv6 addresses too (`dualstack`): an AAAA record beside the A record.
    #[serde(default)]
    pub ipv6: bool,
}

/// A type of record that clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl RecordKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::Aaaa];

    /// As Route 53 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }
}

/// What a record answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// This address.
    Address(IpAddr),
    /// What this name, in this hosted zone of AWS, has.
    Alias {
        /// The name, without the final dot.
        dns_name: String,
        /// The zone that it is in.
        zone_id: String,
    },
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Alias { dns_name, .. } => dns_name.fmt(f),
        }
    }
}

impl Site {
    /// The records that lead to the site. Empty for a plan that was never checked.
    #[must_use]
    pub fn records(&self) -> BTreeMap<RecordKind, Destination> {
        let target = self.target.clone().unwrap_or_default();
        if let Some(alias) = target.alias {
            let to = Destination::Alias { dns_name: alias.dns_name, zone_id: alias.zone_id };
            let both = alias.ipv6.then(|| (RecordKind::Aaaa, to.clone()));
            return both.into_iter().chain([(RecordKind::A, to)]).collect();
        }
        let four = target.address.or(self.address).map(IpAddr::V4);
        let six = target.ipv6.map(IpAddr::V6);
        [(RecordKind::A, four), (RecordKind::Aaaa, six)]
            .into_iter()
            .filter_map(|(kind, address)| Some((kind, Destination::Address(address?))))
            .collect()
    }

    /// Where clients reach the site, in words.
    #[must_use]
    pub fn reached_at(&self) -> String {
        let mut all: Vec<String> = self.records().values().map(ToString::to_string).collect();
        all.dedup();
        all.join(" and ")
    }
}

impl AppPlan {
    /// Seconds for which a client may keep an answer that is no longer true.
    #[must_use]
    pub fn answers_kept_seconds(&self) -> u32 {
        let is_alias = |to: &Destination| matches!(to, Destination::Alias { .. });
        let alias = self.sites.values().any(|site| site.records().values().any(is_alias));
        if alias { self.dns.ttl_seconds.max(ALIAS_TTL_SECONDS) } else { self.dns.ttl_seconds }
    }
}

/// Whether a resolver's answers for the app's name lead to the site: all to it where it is one address;
/// for a load balancer, whose name answers with some of its addresses and not always the same, some
/// of those that its own name has now (`own`), and none that only the other site has (`other`).
#[must_use]
pub fn leads_to(to: &Destination, answers: &[IpAddr], own: &[IpAddr], other: &[IpAddr]) -> bool {
    !answers.is_empty()
        && match to {
            Destination::Address(address) => answers.iter().all(|answer| answer == address),
            Destination::Alias { .. } => {
                answers.iter().any(|answer| own.contains(answer))
                    && answers.iter().all(|answer| own.contains(answer) || !other.contains(answer))
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_alias_leads_where_its_name_leads_and_the_other_sites_does_not() {
        let to = Destination::Alias { dns_name: "lb".into(), zone_id: "Z".into() };
        let (own, other) = (ips(&["10.0.0.1", "10.0.0.2"]), ips(&["10.9.0.1"]));
        let leads = |answers: &[&str]| leads_to(&to, &ips(answers), &own, &other);
        assert!(leads(&["10.0.0.1"]) && leads(&["10.0.0.2", "10.0.0.1"]));
        // One that its name has had, or will have, beside one that it has.
        assert!(leads(&["10.0.0.1", "10.0.0.3"]));
        assert!(!leads(&["10.0.0.3"]), "nothing that its name has");
        assert!(!leads(&["10.0.0.1", "10.9.0.1"]), "half of the clients are elsewhere");
        assert!(!leads(&[]));
        // Before its own name can be told, nothing leads to it.
        assert!(!leads_to(&to, &ips(&["10.0.0.1"]), &[], &[]));
    }

    #[test]
    fn an_address_is_the_only_answer() {
        let to = Destination::Address("10.0.0.1".parse().unwrap());
        assert!(leads_to(&to, &ips(&["10.0.0.1"]), &[], &[]));
        assert!(!leads_to(&to, &ips(&["10.0.0.1", "10.0.0.2"]), &[], &[]));
        assert!(!leads_to(&to, &[], &[], &[]));
    }
}
