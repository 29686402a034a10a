//! From a question to the answer of an authoritative server, over the mirrored zones. Pure.

use std::collections::BTreeMap;

use crate::{
    health::Verdict,
    model::{Content, RecordSet, Zone},
    select,
};

/// Hops that a chain of CNAMEs or aliases may take before it counts as a loop.
const HOPS: usize = 8;

/// What the server says to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The response code.
    pub code: ReplyCode,
    /// Records that answer the question, CNAMEs first.
    pub answers: Vec<ReplyRecord>,
    /// The SOA when there is no answer, or the NS records of a delegation.
    pub authority: Vec<ReplyRecord>,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyCode {
    /// The name exists; with no answers, it has none of the type.
    NoError,
    /// The name does not exist in our zone.
    NxDomain,
    /// The name is in none of our zones.
    Refused,
    /// The name is below a delegation: ask the servers in the authority section.
    Referral,
}

/// One record of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyRecord {
    /// Owner name, without the trailing dot.
    pub name: String,
    /// `A`, `TXT`, ...
    pub kind: String,
    /// Time to live, seconds.
    pub ttl: u32,
    /// The value, in zone-file form.
    pub value: String,
}

/// The zones with the verdicts that decide between their records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) zones: &'a [Zone],
    pub(crate) verdicts: &'a BTreeMap<String, Verdict>,
}

impl<'a> View<'a> {
    /// The reply to `name` / `kind`; `draw` is the chance for weighted and multivalue records.
    pub(crate) fn reply(&self, name: &str, kind: &str, draw: u64) -> Reply {
        let mut reply =
            Reply { code: ReplyCode::NoError, answers: Vec::new(), authority: Vec::new() };
        let mut name = name.to_owned();
        for hop in 0..HOPS {
            let Some(zone) = self.zone_of(&name) else {
                // A CNAME that leaves our zones is the resolver's to follow.
                if hop == 0 {
                    reply.code = ReplyCode::Refused;
                }
                return reply;
            };
            if let Some(delegation) = self.delegation(zone, &name) {
                reply.authority = delegation;
                if hop == 0 {
                    reply.code = ReplyCode::Referral;
                }
                return reply;
            }
            let owner = match owner(zone, &name) {
                Owner::Missing => {
                    reply.code = ReplyCode::NxDomain;
                    reply.authority = soa(zone);
                    return reply;
                }
                Owner::EmptyNonTerminal => {
                    reply.authority = soa(zone);
                    return reply;
                }
                Owner::Named(owner) => owner,
            };
            let found = self.records(zone, &owner, kind, draw, HOPS);
            if !found.is_empty() {
                reply.answers.extend(found.into_iter().map(|record| record.under(&name)));
                return reply;
            }
            let cname = self.records(zone, &owner, "CNAME", draw, HOPS).into_iter().next();
            let Some(cname) = cname else {
                reply.authority = soa(zone);
                return reply;
            };
            let target = crate::model::normal_name(&cname.value);
            reply.answers.push(cname.under(&name));
            name = target;
        }
        reply
    }

    /// The values that `name` / `kind` may answer with now, without chance and without following CNAMEs.
    pub(crate) fn values(&self, zone: &Zone, name: &str, kind: &str) -> Vec<String> {
        let mut values: Vec<String> = self
            .chosen(zone, name, kind)
            .into_iter()
            .flat_map(|set| self.content(zone, set, 0, HOPS))
            .map(|record| record.value)
            .collect();
        values.sort();
        values.dedup();
        values
    }

    /// Whether `set` counts as healthy: its own check, and its alias target where that is asked for.
    pub(crate) fn is_healthy(&self, zone: &Zone, set: &RecordSet) -> bool {
        self.is_healthy_within(zone, set, HOPS)
    }

    fn is_healthy_within(&self, zone: &Zone, set: &RecordSet, hops: usize) -> bool {
        // A check that does not exist (any more) cannot take a record out of service.
        let own = set.health_check.as_ref().and_then(|id| self.verdicts.get(id));
        if own == Some(&Verdict::Unhealthy) {
            return false;
        }
        let Content::Alias { zone_id, target, evaluate_target_health: true } = &set.content else {
            return true;
        };
        let Some(zone) = self.alias_zone(zone, zone_id) else { return true };
        let group = group(zone, target, &set.kind);
        hops > 0
            && (group.is_empty()
                || group.iter().any(|member| self.is_healthy_within(zone, member, hops - 1)))
    }

    /// The sets of `name` / `kind` that may be answered now.
    pub(crate) fn chosen<'z>(&self, zone: &'z Zone, name: &str, kind: &str) -> Vec<&'z RecordSet> {
        select::candidates(&group(zone, name, kind), |set| self.is_healthy(zone, set))
    }

    fn records(
        &self,
        zone: &Zone,
        name: &str,
        kind: &str,
        draw: u64,
        hops: usize,
    ) -> Vec<ReplyRecord> {
        let chosen = select::pick(&self.chosen(zone, name, kind), draw);
        chosen.into_iter().flat_map(|set| self.content(zone, set, draw, hops)).collect()
    }

    fn content(&self, zone: &Zone, set: &RecordSet, draw: u64, hops: usize) -> Vec<ReplyRecord> {
        match &set.content {
            Content::Values { ttl, values } => values
                .iter()
                .map(|value| ReplyRecord {
                    name: set.name.clone(),
                    kind: set.kind.clone(),
                    ttl: *ttl,
                    value: value.clone(),
                })
                .collect(),
            // Route 53 answers an alias with the target's records, as if they were its own.
            Content::Alias { zone_id, target, .. } if hops > 0 => self
                .alias_zone(zone, zone_id)
                .map(|zone| self.records(zone, target, &set.kind, draw, hops - 1))
                .into_iter()
                .flatten()
                .map(|record| record.under(&set.name))
                .collect(),
            Content::Alias { .. } => Vec::new(),
        }
    }

    /// The zone that an alias leads into: its own, or one that stands for AWS's, as a load balancer's
    /// does. In any other zone Route 53 finds nothing.
    fn alias_zone<'z>(&self, own: &'z Zone, id: &str) -> Option<&'z Zone>
    where
        'a: 'z,
    {
        if own.id == id { Some(own) } else { self.zones.iter().find(|zone| zone.id == id) }
    }

    fn zone_of(&self, name: &str) -> Option<&'a Zone> {
        let holds = |zone: &&Zone| is_at_or_below(name, &zone.name);
        self.zones.iter().filter(holds).max_by_key(|zone| zone.name.len())
    }

    fn delegation(&self, zone: &Zone, name: &str) -> Option<Vec<ReplyRecord>> {
        let mut at = name;
        while at.len() > zone.name.len() {
            let servers = self.records(zone, at, "NS", 0, HOPS);
            if !servers.is_empty() {
                return Some(servers);
            }
            at = at.split_once('.')?.1;
        }
        None
    }
}

impl ReplyRecord {
    fn under(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

enum Owner {
    Named(String),
    EmptyNonTerminal,
    Missing,
}

/// The name whose records answer for `name`: itself, or the wildcard of its closest encloser.
fn owner(zone: &Zone, name: &str) -> Owner {
    let exists = |name: &str| zone.sets.iter().any(|set| is_at_or_below(&set.name, name));
    if zone.sets.iter().any(|set| set.name == name) {
        return Owner::Named(name.to_owned());
    }
    if exists(name) {
        return Owner::EmptyNonTerminal;
    }
    let mut at = name;
    while let Some((_, encloser)) = at.split_once('.') {
        let wildcard = format!("*.{encloser}");
        if zone.sets.iter().any(|set| set.name == wildcard) {
            return Owner::Named(wildcard);
        }
        if exists(encloser) {
            break;
        }
        at = encloser;
    }
    Owner::Missing
}

fn group<'z>(zone: &'z Zone, name: &str, kind: &str) -> Vec<&'z RecordSet> {
    zone.sets.iter().filter(|set| set.name == name && set.kind == kind).collect()
}

fn is_at_or_below(name: &str, ancestor: &str) -> bool {
    name.strip_suffix(ancestor).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The zone's SOA for a negative answer: its TTL is the smaller of its own and of its minimum
/// field (RFC 2308, section 3).
fn soa(zone: &Zone) -> Vec<ReplyRecord> {
    let sets = group(zone, &zone.name, "SOA");
    let Some(Content::Values { ttl, values }) = sets.first().map(|set| &set.content) else {
        return Vec::new();
    };
    let records = values.iter().map(|value| {
        let minimum = value.split_whitespace().last().and_then(|field| field.parse().ok());
        ReplyRecord {
            name: zone.name.clone(),
            kind: "SOA".to_owned(),
            ttl: minimum.map_or(*ttl, |minimum: u32| minimum.min(*ttl)),
            value: value.clone(),
        }
    });
    records.collect()
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
