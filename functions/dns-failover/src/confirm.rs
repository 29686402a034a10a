//! Seeing that clients get the new answer: traffic has moved when resolvers say so.

use std::net::{IpAddr, SocketAddr};

use lifeboat_core::{
    Fault,
    contract::{Authority, dns_failover::Response},
    plan_file::{AppPlan, Switch},
};

use crate::{mark::change_key, ports::Ports, site};

pub(crate) async fn confirm<P: Ports>(
    authority: &Authority,
    plan: &AppPlan,
    ports: &P,
) -> Result<Response, Fault> {
    let wanted = IpAddr::V4(site(plan, &authority.site)?.address);
    if plan.dns.switch == Switch::Record {
        in_sync(authority, ports).await?;
    }
    let name = &plan.dns.name;
    let resolvers: Vec<Option<SocketAddr>> = if plan.dns.resolvers.is_empty() {
        vec![None]
    } else {
        plan.dns.resolvers.iter().copied().map(Some).collect()
    };
    let mut answers = Vec::new();
    let mut wrong = Vec::new();
    for resolver in resolvers {
        let who = resolver.map_or_else(|| "the system's resolver".into(), |at| at.to_string());
        match ports.ask(resolver, name).await {
            Ok(given) if !given.is_empty() && given.iter().all(|answer| *answer == wanted) => {
                answers.extend(given);
            }
            Ok(given) if given.is_empty() => wrong.push(format!("{who} gives no address")),
            Ok(given) => {
                let given: Vec<String> = given.iter().map(ToString::to_string).collect();
                wrong.push(format!("{who} gives {}", given.join(", ")));
            }
            Err(reason) => wrong.push(format!("{who}: {reason}")),
        }
    }
    if wrong.is_empty() {
        Ok(Response::Confirm { answers })
    } else {
        Err(Fault::not_ready(format!("{name} is not {wanted} yet: {}", wrong.join("; "))))
    }
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
