//! `promote-replica`: make the standby's database writable.
//!
//! The invariant: nothing is promoted before a majority of the registers and the guard have said yes
//! in this very call, and before the last permit of the old site has ended; and every call can be made again: it looks first, acts only on what is still a replica,
//! and answers `NotReady` instead of waiting. Only the database of the site being activated is
//! asked; the lost region is never contacted.

pub mod rds;

use std::future::Future;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, IncidentId, Region, SiteName,
    contract::{
        Authority, DatabaseAddress,
        promote_replica::{Outcome, Request, Response},
    },
    guard,
    ledger::Holder,
    permit,
    plan_file::{AppPlan, Engine, Site},
    situation::Loss,
};

/// The plans of this region.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// The registers.
pub trait Authorizer {
    /// That a majority of the plan's registers confirms this recovery's claim of this site.
    fn authorize(
        &self,
        authority: &Authority,
        plan: &AppPlan,
    ) -> impl Future<Output = Result<Holder, Fault>> + Send;
}

/// The database to promote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Who runs it.
    pub engine: Engine,
    /// RDS's identifier; a name for messages with `postgres`.
    pub identifier: String,
    /// Host name or address, as this region reaches it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database's name inside the server.
    pub name: String,
    /// The role to log in as.
    pub user: String,
    /// The app, whose secrets hold the password.
    pub app: AppName,
    /// The password's name.
    pub password_secret: String,
}

/// What the database is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A replica that can be promoted.
    Replica,
    /// On its way, in words; ask again.
    Changing(String),
    /// A primary that takes writes, and the recovery that left its mark on it, if one did.
    Primary {
        /// The recovery.
        promoted_by: Option<IncidentId>,
    },
    /// Nothing that a promotion can mend, in words.
    Broken(String),
}

/// The servers of this region.
pub trait Replica {
    /// What the database is now.
    fn state(&self, database: &Database) -> impl Future<Output = Result<State, Fault>> + Send;

    /// Starts to promote it for a recovery, and may return before it is a primary. Promoting again
    /// is harmless.
    fn promote(
        &self,
        database: &Database,
        incident: &IncidentId,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Promotes the database of `authority.site`, which is in `region`.
///
/// # Errors
/// `StaleEpoch` when someone newer acts; `Refused` when more than the RPO may be lost and nobody
/// approved it; `NotReady` while a permit of the old site may be good, and while the database is on its
/// way (ask again); `InvalidInput` when
/// the plan has no such site here or no objectives for the scenario; `NeedsHuman` when the database
/// is missing or broken; `Transient` when an answer was lost.
pub async fn handle(
    request: Request,
    plans: &impl Plans,
    authorizer: &impl Authorizer,
    replica: &impl Replica,
    region: &Region,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Request { authority, scenario, estimated_loss_seconds, loss_since, approval } = request;
    let plan = plans.plan(&authority.app).await?;
    let holder = authorizer.authorize(&authority, &plan).await?;
    let site = site_here(&plan, &authority.site, region)?;
    let policy = plan.objectives(scenario)?;
    permit::ended(&holder, now)?;
    // Measured where it counts: the claim may have taken longer than the plan reckoned with.
    let planned = Loss { seconds: estimated_loss_seconds, since: loss_since };
    let loss = holder.left_at(None).map_or(planned, |left_at| planned.claimed_at(left_at));
    guard::may_promote(loss, policy.rpo_seconds, approval.as_ref(), now)?;

    let database = database(&plan, site, region);
    let mut promoted_now = false;
    let mut state = replica.state(&database).await?;
    if state == State::Replica {
        replica.promote(&database, &authority.incident).await?;
        promoted_now = true;
        state = replica.state(&database).await?;
    }
    let name = &database.identifier;
    match state {
        State::Primary { promoted_by } => {
            let ours = promoted_now || promoted_by.as_ref() == Some(&authority.incident);
            Ok(Response {
                outcome: if ours { Outcome::Promoted } else { Outcome::AlreadyPrimary },
                database: DatabaseAddress {
                    host: site.database.host.clone(),
                    port: site.database.port,
                    name: plan.database.name.clone(),
                },
            })
        }
        State::Replica => Err(Fault::not_ready(format!("{name} was told to become a primary"))),
        State::Changing(how) => Err(Fault::not_ready(format!("{name} is on its way: {how}"))),
        State::Broken(how) => Err(Fault::needs_human(format!("{name} cannot be promoted: {how}"))),
    }
}

fn site_here<'a>(plan: &'a AppPlan, name: &SiteName, region: &Region) -> Result<&'a Site, Fault> {
    let site = plan.sites.get(name).ok_or_else(|| {
        Fault::invalid(format!("the plan of {} has no site {name}; name one that it has", plan.app))
    })?;
    if site.region == *region {
        Ok(site)
    } else {
        Err(Fault::invalid(format!(
            "site {name} is in {}, and this is {region}: run the recovery in the region that it \
             activates",
            site.region
        )))
    }
}

fn database(plan: &AppPlan, site: &Site, region: &Region) -> Database {
    let seen = site.health.from_region(region.as_str()).postgres;
    let seen = seen.as_deref().and_then(|endpoint| endpoint.rsplit_once(':'));
    let seen = seen.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = seen.unwrap_or((site.database.host.as_str(), site.database.port));
    Database {
        engine: plan.database.engine,
        identifier: site.database.identifier.clone(),
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        name: plan.database.name.clone(),
        user: plan.database.user.clone(),
        app: plan.app.clone(),
        password_secret: plan.database.password_secret.clone(),
    }
}

#[cfg(test)]
mod tests;
