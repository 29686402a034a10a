//! Seeing that clients get the new answer: traffic has moved when resolvers say so.

use std::net::{IpAddr, SocketAddr};

use lifeboat_core::{
    Fault,
    contract::{Authority, dns_failover::Response},
    plan_file::{AppPlan, Destination, RecordKind, Switch, leads_to},
};

use crate::{mark::change_key, ports::Ports, site};

pub(crate) async fn confirm<P: Ports>(
    authority: &Authority,
    plan: &AppPlan,
    ports: &P,
) -> Result<Response, Fault> {
    let records = site(plan, &authority.site)?.records();
    if plan.dns.switch == Switch::Record {
        in_sync(authority, ports).await?;
    }
    let other = plan.other_than(&authority.site).map(|(_, site)| site.records());
    let resolvers: Vec<Option<SocketAddr>> = if plan.dns.resolvers.is_empty() {
        vec![None]
    } else {
        plan.dns.resolvers.iter().copied().map(Some).collect()
    };
    let mut answers = Vec::new();
    let mut wrong = Vec::new();
    for resolver in resolvers {
        for (kind, wanted) in &records {
            let other = other.as_ref().and_then(|records| records.get(kind));
            match ask(plan, resolver, *kind, (wanted, other), ports).await {
                Ok(given) => answers.extend(given),
                Err(reason) => wrong.push(reason),
            }
        }
    }
    if wrong.is_empty() && !answers.is_empty() {
        return Ok(Response::Confirm { answers });
    }
    let wanted = site(plan, &authority.site)?.reached_at();
    let why = wrong.join("; ");
    Err(Fault::not_ready(format!("{} is not {wanted} yet: {why}", plan.dns.name)))
}

/// The answers of one resolver for one kind of record, if they lead to the site.
async fn ask<P: Ports>(
    plan: &AppPlan,
    resolver: Option<SocketAddr>,
    kind: RecordKind,
    (wanted, other): (&Destination, Option<&Destination>),
    ports: &P,
) -> Result<Vec<IpAddr>, String> {
    let who = resolver.map_or_else(|| "the system's resolver".into(), |at| at.to_string());
    let given = ports
        .ask(resolver, &plan.dns.name, kind)
        .await
        .map_err(|reason| format!("{who}: {reason}"))?;
    if given.is_empty() {
        return Err(format!("{who} gives no address"));
    }
    // A load balancer's addresses change: what its name has is asked of the same resolver, now.
    let behind = async |to: Option<&Destination>| match to {
        Some(Destination::Alias { dns_name, .. }) => ports.ask(resolver, dns_name, kind).await,
        Some(Destination::Address(address)) => Ok(vec![*address]),
        None => Ok(Vec::new()),
    };
    let own = behind(Some(wanted)).await.map_err(|reason| format!("{who}, {wanted}: {reason}"))?;
    // The other site's name may be lost with its region: then nothing can be mistaken for it.
    let others = behind(other).await.unwrap_or_default();
    if leads_to(wanted, &given, &own, &others) {
        return Ok(given);
    }
    let given: Vec<String> = given.iter().map(ToString::to_string).collect();
    Err(format!("{who} gives {}", given.join(", ")))
}

/// That every name server of Route 53 has the change that this recovery made.
async fn in_sync<P: Ports>(authority: &Authority, ports: &P) -> Result<(), Fault> {
    let note = ports.read(&change_key(&authority.app)).await?;
    let change = note
        .filter(|note| note.epoch == authority.epoch)
        .and_then(|note| note.change)
        .ok_or_else(|| {
            Fault::invalid(format!(
                "recovery {} has not changed the records of {} yet; switch before confirming",
                authority.incident, authority.app
            ))
        })?;
    if ports.in_sync(&change).await? {
        Ok(())
    } else {
        Err(Fault::not_ready(format!("Route 53 is still distributing change {change}")))
    }
}
