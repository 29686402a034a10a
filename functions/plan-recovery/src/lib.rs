//! `plan-recovery`: from a situation to an explicit plan.
//!
//! All judgement is [`lifeboat_core::recovery_plan`]'s. This function checks that the caller holds
//! the ledger, reads the app's plan, holds the result against the linter, and tells the recovery
//! log, which a plan waits for no longer than [`LOG_DEADLINE`] and never fails for.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region,
    contract::plan_recovery::{Request, Response},
    plan_file::AppPlan,
    recovery_log::{EntryKind, Fact},
    recovery_plan::{RecoveryPlan, lint, plan},
    situation::Situation,
};
use lifeboat_ledger::{Ledger, Store};

/// How long a plan waits for the log: ten writes in the own region.
pub const LOG_DEADLINE: Duration = Duration::from_millis(800);

/// Where the plans are.
pub trait Plans {
    /// An app's plan.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// What the handler needs of the world.
#[derive(Debug)]
pub struct Ports<P, S> {
    /// The plans.
    pub plans: P,
    /// The object store that holds the ledger.
    pub store: Arc<S>,
    /// What the names of the ledger's buckets begin with.
    pub prefix: String,
    /// The region that this function runs in.
    pub region: Region,
}

/// The plan for this situation. The same request gives the same plan, and one entry in the log.
///
/// # Errors
/// `StaleEpoch` when the caller does not hold the ledger, `InvalidInput` when the app has no plan
/// in this region or a site of the request is none of the plan's, `NeedsHuman` when the plan breaks
/// a rule of the linter, which is a defect.
pub async fn handle<P: Plans, S: Store>(
    request: Request,
    ports: &Ports<P, S>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Ports { plans, store, prefix, region } = ports;
    let app = match plans.plan(&request.authority.app).await {
        Ok(app) => app,
        // Whoever is stale has to stop, and not to mend a plan.
        Err(fault) => {
            Ledger::over(Arc::clone(store), prefix.clone(), region.clone(), Vec::new())
                .authorize(&request.authority)
                .await?;
            return Err(fault);
        }
    };
    let ledger = Ledger::of_plan(store, prefix, region, &app);
    let (registers, holder) = ledger.held_by(&request.authority).await?;
    check_sites(&request, &app)?;

    let Request { authority, scenario, trigger, active_site, observation, looks, approval } =
        request;
    // The newest of a majority: one that no majority holds has moved nobody, and the old site is left by none.
    let agreed = registers.agreed();
    let situation = Situation {
        scenario,
        trigger,
        target: authority.site.clone(),
        active: active_site,
        epoch: authority.epoch,
        // A claim that no majority holds changed nothing, and excuses nothing.
        continues: holder.agreed_at.is_some()
            || agreed.as_ref().is_some_and(|claim| claim.site == authority.site),
        left_at: holder.left_at(agreed.as_ref()),
        no_majority: registers.too_few().then(|| registers.words()),
        observation,
        looks,
        approval,
    };
    let decided = plan(&situation, &app);
    check_plan(&decided)?;
    let fact = Fact {
        app: authority.app,
        incident: authority.incident,
        epoch: authority.epoch,
        kind: EntryKind::Planned,
        body: serde_json::to_value(&decided).unwrap_or_default(),
    };
    tell(&ledger, fact, now).await;
    Ok(decided)
}

/// That the request speaks of the plan's sites: an observation of others would read as unknown.
fn check_sites(request: &Request, app: &AppPlan) -> Result<(), Fault> {
    let named = [&request.authority.site, &request.active_site];
    match named
        .into_iter()
        .chain(request.observation.sites.keys())
        .find(|site| !app.sites.contains_key(*site))
    {
        Some(unknown) => Err(Fault::invalid(format!(
            "the plan of app {} has no site {unknown}; apply the plan again or mend the request",
            app.app
        ))),
        None => Ok(()),
    }
}

fn check_plan(decided: &RecoveryPlan) -> Result<(), Fault> {
    let wrong = lint(decided);
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Fault::needs_human(format!(
            "the plan breaks the rules that every plan follows, so it is not run: {}",
            wrong.join("; ")
        )))
    }
}

async fn tell<S: Store>(ledger: &Ledger<S>, fact: Fact, now: Timestamp) {
    let reason = match tokio::time::timeout(LOG_DEADLINE, ledger.append(fact, now)).await {
        Ok(Ok(_)) => return,
        Ok(Err(fault)) => fault.message,
        Err(_) => "the log did not answer in time".to_owned(),
    };
    tracing::warn!(reason, "the recovery log lacks the plan");
}

#[cfg(test)]
mod tests;
