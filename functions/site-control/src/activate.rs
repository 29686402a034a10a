//! Activating a site: it must succeed, on every host.

use lifeboat_core::{
    Fault,
    contract::{Authority, DatabaseAddress, site_control::Response},
    plan_file::{AppPlan, HostTag},
};

use crate::{Authorizer, Hosts, Order, Plans, Ports, Progress, progress_of, site, stale};
use lifeboat_hosts::joined;

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
    ports.authorizer.authorize(authority).await?;
    let plan = ports.plans.plan(&authority.app).await?;
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
    let Some(tag) = &target.hosts else { return Ok(Response::Done { hosts: 0 }) };
    let commands = if commands.is_empty() {
        let order = Order::activate(authority, database).on(tag);
        vec![ports.hosts.send(&ports.region, tag, &order).await?]
    } else {
        commands
    };
    match progress_of(&ports.hosts, &ports.region, &commands).await? {
        Progress::Pending => Ok(Response::InProgress { commands }),
        Progress::Succeeded { hosts } => Ok(Response::Done { hosts }),
        Progress::NoHosts => Err(no_hosts(authority, tag)),
        Progress::Failed(failures) => Err(stale(&failures, authority).unwrap_or_else(|| {
            Fault::needs_human(format!(
                "site {} is not activated ({}); mend the host, then start the recovery again",
                authority.site,
                joined(&failures)
            ))
        })),
    }
}

fn no_hosts(authority: &Authority, tag: &HostTag) -> Fault {
    Fault::needs_human(format!(
        "no host has tag {}={}, so nothing can start the app in site {}; tag the hosts or correct \
         the plan's sites.{}.hosts, and see that their Systems Manager agent runs",
        tag.tag, tag.value, authority.site, authority.site
    ))
}
