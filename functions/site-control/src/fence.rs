//! Fencing a site: an attempt with a short limit, whose failure is an answer.

use std::{future::Future, time::Duration};

use lifeboat_core::{
    ErrorName, Fault, SiteName,
    contract::{Authority, site_control::Response},
    hosts::{Fencing, fencing},
};
use tokio::time::{Instant, timeout_at};

use crate::{Authorizer, Hosts, Order, Plans, Ports, answers_of, opened, stale};

/// How long reading the register and the plan in the own region may take.
const OWN_LIMIT: Duration = Duration::from_millis(1500);

pub(crate) async fn fence<P, A, H>(
    authority: &Authority,
    old_site: &SiteName,
    commands: Vec<String>,
    ports: &Ports<P, A, H>,
) -> Result<Response, Fault>
where
    P: Plans,
    A: Authorizer,
    H: Hosts,
{
    if *old_site == authority.site {
        return Err(Fault::invalid(format!(
            "site {old_site} is the site to activate; it cannot be the one to fence"
        )));
    }
    let response = match attempt(authority, old_site, commands, ports).await {
        Ok(response) => response,
        Err(fault) if stops_the_recovery(&fault) => return Err(fault),
        Err(fault) => Response::Unfenced { reason: fault.message },
    };
    if let Response::Unfenced { reason } = &response {
        tracing::info!(event = "site_unfenced", site = %old_site, reason);
    }
    Ok(response)
}

/// Whether a failure says that the recovery itself is wrong, rather than that the site is gone.
fn stops_the_recovery(fault: &Fault) -> bool {
    match fault.name {
        ErrorName::StaleEpoch | ErrorName::InvalidInput => true,
        ErrorName::Transient | ErrorName::NotReady | ErrorName::Refused | ErrorName::NeedsHuman => {
            false
        }
    }
}

async fn attempt<P, A, H>(
    authority: &Authority,
    old_site: &SiteName,
    commands: Vec<String>,
    ports: &Ports<P, A, H>,
) -> Result<Response, Fault>
where
    P: Plans,
    A: Authorizer,
    H: Hosts,
{
    let until = Instant::now() + OWN_LIMIT;
    let opening = opened(authority, ports);
    let plan = within(until, "reading the plan and the registers", opening).await?;
    let old = crate::site(&plan, old_site)?;
    let region = &old.region;
    let Some(tag) = &old.hosts else {
        return Ok(Response::Unfenced {
            reason: format!("the plan names no hosts for site {old_site}"),
        });
    };
    // The old region is probably dark, and every second spent on it is one in which nobody is served:
    // each call has what a region that works needs, connecting included, and no more.
    let far = plan.round_trip().cold_call();
    let sent_before = !commands.is_empty();
    let commands = if sent_before {
        commands
    } else {
        let order = Order::fence(authority, old_site).on(tag);
        let sending = reaching(ports.hosts.send(region, tag, &order));
        let until = Instant::now() + far;
        vec![within(until, &format!("sending the command to {region}"), sending).await?]
    };
    let asking = reaching(answers_of(&ports.hosts, region, &commands));
    let until = Instant::now() + far;
    let answers = within(until, &format!("asking {region} about the command"), asking).await;
    match answers {
        Ok(None) => Ok(Response::InProgress { commands }),
        Ok(Some(answers)) => match fencing(&answers) {
            Fencing::NotYet => Ok(Response::InProgress { commands }),
            Fencing::Done { hosts } => Ok(Response::done(hosts)),
            Fencing::NoHosts => Ok(Response::Unfenced {
                reason: format!("no host in {region} has tag {}={}", tag.tag, tag.value),
            }),
            Fencing::Unconfirmed(without) => Ok(Response::Unfenced { reason: without.to_string() }),
            Fencing::Stale(failure) => Err(stale(&failure, authority)),
        },
        // The command has just left: it is worth one more question.
        Err(_) if !sent_before => Ok(Response::InProgress { commands }),
        Err(fault) => Err(fault),
    }
}

/// What Run Command of the old region says of a request is never the recovery's own fault: a
/// document that is missing there, for example, leaves the site unfenced.
async fn reaching<T>(call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    call.await.map_err(|fault| Fault::transient(fault.message))
}

async fn within<T>(
    until: Instant,
    doing: &str,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let limit = until.saturating_duration_since(Instant::now());
    match timeout_at(until, call).await {
        Ok(result) => result,
        Err(_) => {
            Err(Fault::transient(format!("{doing}: no answer within {} ms", limit.as_millis())))
        }
    }
}
