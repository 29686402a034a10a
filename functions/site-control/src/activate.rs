//! Activating a site: it must succeed, on enough of its hosts.

use lifeboat_core::{
    Fault,
    contract::{Authority, DatabaseAddress, site_control::Response},
    hosts::{Activation, activation},
    plan_file::{AppPlan, HostTag},
};

use crate::{Authorizer, Hosts, Order, Plans, Ports, answers_of, opened, site, stale};

pub(crate) async fn activate<P, A, H>(
    authority: &Authority,
    database: &DatabaseAddress,
    commands: Vec<String>,
    ports: &Ports<P, A, H>,
) -> Result<Response, Fault>
where
    P: Plans,
    A: Authorizer,
    H: Hosts,
{
    let plan = opened(authority, ports).await?;
    on_hosts(authority, database, commands, &plan, ports).await
}

/// The same for a caller that knows that it may, and has the plan.
pub(crate) async fn on_hosts<P, A, H: Hosts>(
    authority: &Authority,
    database: &DatabaseAddress,
    commands: Vec<String>,
    plan: &AppPlan,
    ports: &Ports<P, A, H>,
) -> Result<Response, Fault> {
    let target = site(plan, &authority.site)?;
    // A recovery runs in the region that it activates: a request for another one was routed wrongly.
    if target.region != ports.region {
        return Err(Fault::invalid(format!(
            "site {} is in {}, and this function runs in {}; start the recovery in the region \
             that is to be activated",
            authority.site, target.region, ports.region
        )));
    }
    let Some(tag) = &target.hosts else { return Ok(Response::done(0)) };
    let commands = if commands.is_empty() {
        let order = Order::activate(authority, database).on(tag);
        vec![ports.hosts.send(&ports.region, tag, &order).await?]
    } else {
        commands
    };
    let answers = answers_of(&ports.hosts, &ports.region, &commands).await?;
    let Some(answers) = answers else { return Ok(Response::InProgress { commands }) };
    match activation(&answers, tag.enough) {
        Activation::NotYet => Ok(Response::InProgress { commands }),
        Activation::Done { hosts, without } => {
            let without = without.lines();
            if !without.is_empty() {
                tracing::warn!(event = "hosts_missing", site = %authority.site, ?without);
            }
            Ok(Response::Done { hosts, without })
        }
        Activation::NoHosts => Err(no_hosts(authority, tag)),
        Activation::NotEnough { enough, without } => Err(Fault::needs_human(format!(
            "site {} is not activated: {enough} hosts are enough and {without}; mend or replace \
             the hosts, then start the recovery again",
            authority.site
        ))),
        Activation::Stale(failure) => Err(stale(&failure, authority)),
    }
}

fn no_hosts(authority: &Authority, tag: &HostTag) -> Fault {
    Fault::needs_human(format!(
        "no host has tag {}={}, so nothing can start the app in site {}; tag the hosts or correct \
         the plan's sites.{}.hosts, and see that their Systems Manager agent runs",
        tag.tag, tag.value, authority.site, authority.site
    ))
}
