//! Moving clients by changing records, for planned work.
//!
//! The order: the batch first, then a note of its change id. If the note is lost, the records and
//! the guard are ours already and the next call sends the same batch again, for the sake of an id
//! that [`crate::confirm`] can ask about.

use std::collections::BTreeMap;

use lifeboat_core::{
    Fault,
    contract::{Authority, dns_failover::Response},
    plan_file::{AppPlan, Destination, RecordKind, Switch},
};
use serde_json::{Value, json};

use crate::{
    mark::{Mark, change_key},
    ports::{Guard, Ports, RecordChange, guard_name},
    zone,
};

pub(crate) async fn by_record<P: Ports>(
    authority: &Authority,
    plan: &AppPlan,
    records: BTreeMap<RecordKind, Destination>,
    ports: &P,
) -> Result<Response, Fault> {
    let dns = &plan.dns;
    let zone = zone(dns)?;
    let standing = ports.standing(zone, &dns.name).await?;
    if let Some(guard) = &standing.guard {
        admits(guard, authority, &dns.name)?;
    }
    nothing_is_left_behind(&standing.records, &records, &dns.name)?;
    let key = change_key(&authority.app);
    let noted = ports.read(&key).await?;
    let ours = standing.guard.as_ref().and_then(Guard::epoch) == Some(authority.epoch)
        && records.iter().all(|(kind, to)| {
            standing.records.get(kind).is_some_and(|found| found.as_slice() == [to.clone()])
        });
    let known = noted.as_ref().is_some_and(|note| note.epoch == authority.epoch);
    if !(ours && known) {
        let change = RecordChange {
            zone: zone.to_owned(),
            name: dns.name.clone(),
            records,
            ttl_seconds: dns.ttl_seconds,
            old_guard: standing.guard,
            new_guard: Guard::of(authority.epoch, dns.ttl_seconds),
            comment: format!("{} to site {}", authority.incident, authority.site),
        };
        let id = ports.change(&change).await?;
        ports.write(&key, &Mark::of(authority, Some(id)), noted.as_ref()).await?;
    }
    Ok(Response::Switch {
        switch: Switch::Record,
        changed: !ours,
        undo: undo(authority, plan, zone),
    })
}

/// That no record of the name would go on leading elsewhere.
fn nothing_is_left_behind(
    standing: &BTreeMap<RecordKind, Vec<Destination>>,
    records: &BTreeMap<RecordKind, Destination>,
    name: &str,
) -> Result<(), Fault> {
    match standing.keys().find(|kind| !records.contains_key(kind)) {
        None => Ok(()),
        Some(kind) => Err(Fault::invalid(format!(
            "{name} has {} records, and the plan does not say where they lead: give both sites \
             `ipv6` in their target, or delete those records",
            kind.as_str()
        ))),
    }
}

/// That the records may be changed under this epoch.
fn admits(guard: &Guard, authority: &Authority, name: &str) -> Result<(), Fault> {
    match guard.epoch() {
        Some(epoch) if epoch > authority.epoch => Err(Fault::stale(format!(
            "the records of {name} were changed under epoch {epoch}; recovery {} acts under epoch \
             {}",
            authority.incident, authority.epoch
        ))),
        Some(_) => Ok(()),
        None => Err(Fault::needs_human(format!(
            "the TXT record {} says {}, which is not ours; delete it if nothing else needs it",
            guard_name(name),
            guard.values.join(" ")
        ))),
    }
}

/// The command that points the name back at the other site.
fn undo(authority: &Authority, plan: &AppPlan, zone: &str) -> String {
    let Some((_, other)) = plan.other_than(&authority.site) else {
        return "the plan names no other site".to_owned();
    };
    let changes: Vec<Value> = other
        .records()
        .iter()
        .map(|(kind, to)| {
            let set = match to {
                Destination::Address(address) => json!({
                    "Name": plan.dns.name,
                    "Type": kind.as_str(),
                    "TTL": plan.dns.ttl_seconds,
                    "ResourceRecords": [{ "Value": address }],
                }),
                Destination::Alias { dns_name, zone_id } => json!({
                    "Name": plan.dns.name,
                    "Type": kind.as_str(),
                    "AliasTarget": {
                        "DNSName": dns_name,
                        "HostedZoneId": zone_id,
                        "EvaluateTargetHealth": false,
                    },
                }),
            };
            json!({ "Action": "UPSERT", "ResourceRecordSet": set })
        })
        .collect();
    let batch = json!({ "Changes": changes });
    format!(
        "aws route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch '{batch}'"
    )
}
