//! `site-control`: point a site's app at its database and start it, or stop a site from writing.
//!
//! The work is done on the site's hosts by the Systems Manager document `lifeboat-site-control`,
//! which is safe to repeat and refuses an epoch older than the one that the host knows. So this
//! function may send an order again whenever it does not know what became of the last one, and
//! never has to remember anything: the caller carries the command ids.
//!
//! The two orders treat failure in opposite ways. Activating must succeed on enough hosts of the site
//! (the plan's `sites.X.hosts.enough`), so too few are a person's business. Fencing is an attempt on a
//! site that is probably gone: it has what a round trip to its region makes of each call, and whatever
//! keeps it from the hosts is the answer
//! [`Response::Unfenced`], because a site that nobody reached fences itself when it returns.

mod activate;
mod fence;
mod first;
mod order;

#[cfg(test)]
mod tests;

use std::future::Future;

use lifeboat_core::{
    AppName, ErrorName, Fault, Region, SiteName,
    contract::{
        Authority,
        site_control::{Request, Response},
    },
    plan_file::{AppPlan, HostTag, Site},
};

pub use lifeboat_core::hosts::{Answers, HostFailure};
pub use order::{Action, DOCUMENT, Order};

/// Where plans are read.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// Who says whether a recovery may act.
pub trait Authorizer {
    /// That a majority of the plan's registers confirms the recovery's claim of its site.
    ///
    /// # Errors
    /// [`ErrorName::StaleEpoch`] when someone newer acts; other names when it cannot be told.
    fn authorize(
        &self,
        authority: &Authority,
        plan: &AppPlan,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// That the app's first site is this one, and nothing has happened since.
    ///
    /// # Errors
    /// [`ErrorName::Refused`] when something has; other names when the registers cannot be read.
    fn first(
        &self,
        plan: &AppPlan,
        site: &SiteName,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The hosts of a site, reached through its region's Run Command.
pub trait Hosts {
    /// Sends an order to the hosts with this tag, and gives the command's id.
    fn send(
        &self,
        region: &Region,
        hosts: &HostTag,
        order: &Order,
    ) -> impl Future<Output = Result<String, Fault>> + Send;

    /// What each host has answered to a command; none while the command is so new that nobody knows
    /// of it.
    fn answers(
        &self,
        region: &Region,
        command: &str,
    ) -> impl Future<Output = Result<Option<Answers>, Fault>> + Send;
}

/// What the function needs of the world.
#[derive(Debug)]
pub struct Ports<P, A, H> {
    /// The region that it runs in.
    pub region: Region,
    /// The plans.
    pub plans: P,
    /// The ledger.
    pub authorizer: A,
    /// The hosts.
    pub hosts: H,
}

/// Carries out a request, as far as it goes without waiting.
///
/// # Errors
/// Activating: [`ErrorName::StaleEpoch`] when the ledger or a host knows a newer epoch,
/// [`ErrorName::NeedsHuman`] when too few hosts did it or none has the tag,
/// [`ErrorName::InvalidInput`] when the request does not fit the plan, [`ErrorName::Refused`] of a
/// first activation that is none, and what the ports report. Fencing: only
/// [`ErrorName::StaleEpoch`] and [`ErrorName::InvalidInput`].
pub async fn handle<P, A, H>(request: Request, ports: &Ports<P, A, H>) -> Result<Response, Fault>
where
    P: Plans + Sync,
    A: Authorizer + Sync,
    H: Hosts + Sync,
{
    match request {
        Request::Activate { authority, database, commands } => {
            activate::activate(&authority, &database, commands, ports).await
        }
        Request::ActivateFirst { app, site, commands } => {
            first::activate(app, site, commands, ports).await
        }
        Request::Fence { authority, old_site, commands } => {
            fence::fence(&authority, &old_site, commands, ports).await
        }
    }
}

/// The plan of an app, once it is known that the recovery may give the order.
async fn opened<P: Plans, A: Authorizer, H>(
    authority: &Authority,
    ports: &Ports<P, A, H>,
) -> Result<AppPlan, Fault> {
    let plan = ports.plans.plan(&authority.app).await?;
    ports.authorizer.authorize(authority, &plan).await?;
    Ok(plan)
}

/// A site of the plan.
fn site<'a>(plan: &'a AppPlan, name: &SiteName) -> Result<&'a Site, Fault> {
    plan.sites.get(name).ok_or_else(|| {
        Fault::invalid(format!(
            "the plan of {} has no site {name}; correct the request, or apply a plan that has it",
            plan.app
        ))
    })
}

/// What the hosts have answered to these commands, which are the same order; none while one of them
/// is not known yet.
async fn answers_of<H: Hosts>(
    hosts: &H,
    region: &Region,
    commands: &[String],
) -> Result<Option<Answers>, Fault> {
    let mut all: Option<Answers> = None;
    for command in commands {
        let Some(answers) = hosts.answers(region, command).await? else { return Ok(None) };
        all = Some(match all {
            Some(before) => before.and(answers),
            None => answers,
        });
    }
    Ok(all)
}

/// The fault of a recovery of which a host says that it knows a newer epoch.
fn stale(failure: &HostFailure, authority: &Authority) -> Fault {
    Fault::new(
        ErrorName::StaleEpoch,
        format!(
            "recovery {} acts under epoch {}, but {failure}",
            authority.incident, authority.epoch
        ),
    )
}
