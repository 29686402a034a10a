//! `dns-failover`: send clients to a site, and see that they get there.
//!
//! `dns.switch = "health-check"` moves them with one S3 PUT in the region being activated: the
//! object `<app>/site-<site>-active` in that region's switch bucket. **The object's presence in the
//! standby's region means that clients go to the standby**; its absence, that they stay with the
//! PRIMARY of the pre-created failover records, whose health check looks for the object and is
//! inverted. Nothing else is needed: neither the lost region nor Route 53's control plane.
//!
//! `dns.switch = "record"` changes the records themselves, in one batch that also replaces the
//! version guard `_lifeboat.<name>` (a TXT record, `epoch=N`). The batch deletes the guard that was
//! read, so Route 53 refuses it as a whole when anyone changed the guard meanwhile: two recoveries
//! cannot overwrite each other unseen.
//!
//! In both ways the invariant is the same: nobody is sent to a site that fails its checks at that
//! moment, nor under an epoch older than the one that moved them last.

mod confirm;
mod mark;
mod ports;
mod switch;
mod switch_record;

#[cfg(test)]
mod tests;

use lifeboat_core::{
    Fault, Region, SiteName,
    contract::{
        Authority,
        dns_failover::{Request, Response},
    },
    plan_file::{AppPlan, Dns, Site},
};

pub use mark::{Held, Mark, active_key, change_key, is_note};
pub use ports::{
    Authorizer, Guard, Health, Marks, Plans, Ports, RecordChange, Records, Resolvers, Standing,
    guard_name,
};

/// Where the function runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The region, which is the one being activated.
    pub region: Region,
    /// Its bucket of switch objects; none when the stack was deployed without.
    pub bucket: Option<String>,
}

/// Carries out a request.
///
/// # Errors
/// [`lifeboat_core::ErrorName::Refused`] when the site fails its checks or the plan's way of
/// switching cannot lead to it, [`lifeboat_core::ErrorName::StaleEpoch`] when a newer epoch has
/// moved clients already, [`lifeboat_core::ErrorName::NotReady`] while a resolver answers with
/// something else, [`lifeboat_core::ErrorName::InvalidInput`] when the request does not fit the
/// plan, and what the ports report.
pub async fn handle<P: Ports>(
    request: Request,
    place: &Place,
    ports: &P,
) -> Result<Response, Fault> {
    match request {
        Request::Switch { authority } => {
            let plan = authorized_plan(&authority, ports).await?;
            let response = switch::switch(&authority, &plan, place, ports).await?;
            tracing::info!(event = "traffic_switched", site = %authority.site, ?response);
            Ok(response)
        }
        Request::Confirm { authority } => {
            let plan = authorized_plan(&authority, ports).await?;
            confirm::confirm(&authority, &plan, ports).await
        }
    }
}

async fn authorized_plan<P: Ports>(authority: &Authority, ports: &P) -> Result<AppPlan, Fault> {
    let plan = ports.plan(&authority.app).await?;
    ports.authorize(authority, &plan).await?;
    Ok(plan)
}

impl Place {
    /// The bucket of switch objects.
    ///
    /// # Errors
    /// [`lifeboat_core::ErrorName::NeedsHuman`] when there is none.
    pub fn switch_bucket(&self) -> Result<&str, Fault> {
        self.bucket.as_deref().ok_or_else(|| {
            Fault::needs_human(format!(
                "the stack in {} has no switch bucket, which dns.switch = \"health-check\" needs; \
                 deploy it with HealthCheckSwitch=ENABLED, or move clients by hand",
                self.region
            ))
        })
    }
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

/// The hosted zone, which only record changes need.
fn zone(dns: &Dns) -> Result<&str, Fault> {
    dns.hosted_zone_id.as_deref().ok_or_else(|| {
        Fault::invalid(
            "dns.switch is \"record\" and dns.hosted_zone_id is missing; add it and apply the plan",
        )
    })
}
