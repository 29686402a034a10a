//! `recovery-log`: the registers and the log of a recovery.
//!
//! The registers decide who may act, so a request fails when they cannot be read or written.
//! The log tells what was done, so a request that changes the ledger never fails, and never waits
//! longer than [`LOG_DEADLINE`], for the log's sake; only `record`, which does nothing else, does.
//! Other regions are never waited for longer than a healthy one may take.

mod close;
mod open;

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Epoch, Fault, IncidentId, Region, SiteName,
    contract::{
        Authority,
        recovery_log::{Request, Response},
    },
    guard,
    ledger::{self, Ending},
    plan_file::AppPlan,
    recovery_log::{Entry, EntryKind, Fact},
    registers::Registers,
    situation::Loss,
};
use lifeboat_ledger::{Ledger, Store};
use serde_json::{Value, json};

/// How long a change of the ledger waits for the log: as long as for a peer, at the same time.
pub const LOG_DEADLINE: Duration = Duration::from_millis(800);

/// Where the plans are.
pub trait Plans {
    /// An app's plan.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// Where the results go.
pub trait Meter {
    /// A recovery of `site` succeeded, `seconds` after the trouble was detected.
    fn recovered(&self, app: &AppName, site: &SiteName, seconds: f64, now: Timestamp);

    /// As seen from the region of `site`, so many registers do not confirm who may write.
    fn registers_missing(&self, app: &AppName, site: &SiteName, missing: usize, now: Timestamp);
}

/// What the handler needs of the world.
#[derive(Debug)]
pub struct Ports<P, S, M> {
    /// The plans.
    pub plans: P,
    /// The object store that holds the ledger.
    pub store: Arc<S>,
    /// The metrics.
    pub meter: M,
    /// What the names of the ledger's buckets begin with.
    pub prefix: String,
    /// The region that this function runs in.
    pub region: Region,
}

impl<P, S: Store, M> Ports<P, S, M> {
    /// The plan's registers, seen from this region.
    fn ledger(&self, plan: &AppPlan) -> Ledger<S> {
        Ledger::of_plan(&self.store, &self.prefix, &self.region, plan)
    }
}

/// Does what the request asks. Each request may be made again: it is done once.
///
/// # Errors
/// `StaleEpoch` when another recovery holds the ledger, `InvalidInput` when the app has no plan or
/// no register in this region, `Transient` when the ledger could not be read or written, or
/// another writer was faster.
pub async fn handle<P: Plans, S: Store, M: Meter>(
    request: Request,
    ports: &Ports<P, S, M>,
    now: Timestamp,
) -> Result<Response, Fault> {
    match request {
        Request::Open { app, incident, execution, scenario, trigger } => {
            let plan = ports.plans.plan(&app).await?;
            let request = open::Open { app, incident, execution, scenario, trigger };
            open::open(request, &plan, &ports.region, &ports.ledger(&plan), now).await
        }
        Request::Record { authority, kind, body } => {
            let plan = ports.plans.plan(&authority.app).await?;
            record(authority, kind, body, &ports.ledger(&plan), now).await
        }
        Request::Claim {
            authority,
            observed_at,
            scenario,
            estimated_loss_seconds,
            loss_since,
            approval,
        } => {
            let plan = ports.plans.plan(&authority.app).await?;
            let rpo_seconds = plan.objectives(scenario)?.rpo_seconds;
            // Before anything is changed: a claim that the promotion would have to refuse stops the old
            // site for nothing.
            let may = |left_at: Option<Timestamp>| {
                ledger::votes_count(observed_at, now)?;
                let loss = Loss { seconds: estimated_loss_seconds, since: loss_since };
                let loss = loss.claimed_at(left_at.unwrap_or(now));
                guard::may_promote(loss, rpo_seconds, approval.as_ref(), now)
            };
            claim(authority, may, &ports.ledger(&plan), now).await
        }
        Request::Release { app, incident, epoch, has_recovered } => {
            let plan = ports.plans.plan(&app).await?;
            let ending = if has_recovered { Ending::Recovered } else { Ending::Failed };
            release(&app, (&incident, epoch), ending, &ports.ledger(&plan), now).await
        }
        Request::Settle { app } => {
            let plan = ports.plans.plan(&app).await?;
            let ledger = ports.ledger(&plan);
            let registers = ledger.registers(&app).await;
            if let Some((site, _)) = plan.site_in(ports.region.as_str()) {
                ports.meter.registers_missing(&app, site, registers.missing(), now);
            }
            let behind = settle(&ledger, &app, &registers, now).await;
            Ok(Response::Settled { behind })
        }
        Request::Close {
            authority,
            ending,
            reason,
            detected_at,
            estimated_loss_seconds,
            steps,
        } => {
            let plan = ports.plans.plan(&authority.app).await?;
            let report = close::Report { reason, detected_at, estimated_loss_seconds, steps };
            let ledger = ports.ledger(&plan);
            close::close(authority, ending, report, &ledger, &ports.meter, now).await
        }
    }
}

async fn record<S: Store>(
    authority: Authority,
    kind: EntryKind,
    body: Value,
    ledger: &Ledger<S>,
    now: Timestamp,
) -> Result<Response, Fault> {
    match kind {
        EntryKind::Planned | EntryKind::Approval | EntryKind::Step => {}
        // What is answered to a call that is made again rests on these.
        EntryKind::Opened | EntryKind::Claimed | EntryKind::Closed => {
            return Err(Fault::invalid(format!(
                "an entry of kind {kind:?} is written by the action that it tells of; record \
                 planned, approval or step"
            )));
        }
    }
    ledger.authorize(&authority).await?;
    let entry = ledger.append(fact(&authority, kind, body), now).await?;
    Ok(Response::Recorded { sequence: entry.sequence })
}

/// Makes the site the active one, in a majority of the registers, then in the log.
async fn claim<S: Store>(
    authority: Authority,
    may: impl Fn(Option<Timestamp>) -> Result<(), Fault>,
    ledger: &Ledger<S>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let claimed = ledger.claim(&authority, may, now).await?;
    for (region, reason) in &claimed.behind {
        tracing::warn!(
            region = region.as_str(),
            reason,
            "the register does not hold the claim yet"
        );
    }
    let body = json!({
        "site": authority.site, "epoch": authority.epoch, "agreed_at": claimed.agreed_at,
    });
    tell(ledger, fact(&authority, EntryKind::Claimed, body), now).await;
    Ok(Response::Claimed {
        epoch: authority.epoch,
        agreed_at: claimed.agreed_at,
        behind: claimed.behind.into_iter().map(|(region, _)| region).collect(),
    })
}

/// Ends the recovery of an execution that has ended without doing so: as recovered when its last word was
/// that, else as failed, so that another may go on from there. One that does not hold the register any
/// more is left as it is.
async fn release<S: Store>(
    app: &AppName,
    (incident, epoch): (&IncidentId, Epoch),
    ending: Ending,
    ledger: &Ledger<S>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let (record, etag) = ledger.require(app).await?;
    let held = record.recovery.as_ref();
    let held = held.filter(|holder| holder.incident == *incident && holder.epoch == epoch);
    if let Some(holder) = held {
        // Whoever has claimed nothing has recovered nothing.
        let ending = if holder.agreed_at.is_some() { ending } else { Ending::Failed };
        let released = ledger::close(&record, incident, ending, now)?;
        if released.recovery != record.recovery {
            ledger.write(&released, Some(&etag)).await?;
        }
    }
    Ok(Response::Released {})
}

/// Moves registers up that lag behind what a majority holds; the regions where that failed.
async fn settle<S: Store>(
    ledger: &Ledger<S>,
    app: &AppName,
    registers: &Registers,
    now: Timestamp,
) -> Vec<Region> {
    let failed = ledger.settle(app, registers, now).await;
    for (region, reason) in &failed {
        tracing::warn!(region = region.as_str(), reason, "the register lags, and was not moved");
    }
    failed.into_iter().map(|(region, _)| region).collect()
}

fn fact(authority: &Authority, kind: EntryKind, body: Value) -> Fact {
    Fact {
        app: authority.app.clone(),
        incident: authority.incident.clone(),
        epoch: authority.epoch,
        kind,
        body,
    }
}

/// Appends to the log, for at most [`LOG_DEADLINE`]; none when that failed.
async fn tell<S: Store>(ledger: &Ledger<S>, fact: Fact, now: Timestamp) -> Option<Entry> {
    let kind = fact.kind;
    let reason = match tokio::time::timeout(LOG_DEADLINE, ledger.append(fact, now)).await {
        Ok(Ok(entry)) => return Some(entry),
        Ok(Err(fault)) => fault.message,
        Err(_) => "the log did not answer in time".to_owned(),
    };
    tracing::warn!(?kind, reason, "the recovery log lacks an entry");
    None
}

/// What the log tells so far; nothing when it does not answer within [`LOG_DEADLINE`].
async fn told<S: Store>(
    ledger: &Ledger<S>,
    app: &AppName,
    incident: &lifeboat_core::IncidentId,
) -> Vec<Entry> {
    let reason = match tokio::time::timeout(LOG_DEADLINE, ledger.entries(app, incident)).await {
        Ok(Ok(entries)) => return entries,
        Ok(Err(fault)) => fault.message,
        Err(_) => "the log did not answer in time".to_owned(),
    };
    tracing::warn!(reason, "the recovery log cannot be read");
    Vec::new()
}

#[cfg(test)]
mod tests;
