//! `recovery-log`: the ledger and the log of a recovery.
//!
//! The ledger decides who may act, so a request fails when the ledger cannot be read or written.
//! The log tells what was done, so a request that changes the ledger never fails, and never waits
//! longer than [`LOG_DEADLINE`], for the log's sake; only `record`, which does nothing else, does.
//! Peers are told last and never waited for longer than the ledger's peer deadline.

mod close;
mod open;

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region, SiteName,
    contract::{
        Authority,
        recovery_log::{Request, Response},
    },
    ledger::{self, ControlRecord},
    plan_file::AppPlan,
    recovery_log::{Entry, EntryKind, Fact},
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
    /// The ledger of the plan's sites, seen from this region.
    fn ledger(&self, plan: &AppPlan) -> Ledger<S> {
        let regions = plan.sites.values().map(|site| site.region.clone()).collect();
        Ledger::over(Arc::clone(&self.store), self.prefix.clone(), self.region.clone(), regions)
            .over_a_round_trip(plan.round_trip())
    }
}

/// Does what the request asks. Each request may be made again: it is done once.
///
/// # Errors
/// `StaleEpoch` when another recovery holds the ledger, `InvalidInput` when the app has no plan or
/// no control record in this region, `Transient` when the ledger could not be read or written, or
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
        Request::Claim { authority, peers_answer } => {
            let plan = ports.plans.plan(&authority.app).await?;
            claim(authority, peers_answer, &ports.ledger(&plan), now).await
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

/// Makes the site the active one: in this region's ledger, which is what counts, then in the log
/// and the peers' at the same time.
async fn claim<S: Store>(
    authority: Authority,
    peers_answer: bool,
    ledger: &Ledger<S>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let (record, etag) = ledger.held(&authority).await?;
    // A peer that cannot be read must not be written either: a write that hangs may yet arrive, and
    // then nobody could say whether the peer knows. It is written down first that it will be told.
    let peers_answer = peers_answer && ledger.peers_answer(&authority.app).await;
    let (incident, epoch) = (&authority.incident, authority.epoch);
    let claimed = ledger::claim(&record, incident, epoch, peers_answer, now)?;
    if claimed != record {
        ledger.write(&claimed, Some(&etag)).await?;
    }
    let body = json!({"site": authority.site, "epoch": authority.epoch});
    let fact = fact(&authority, EntryKind::Claimed, body);
    tokio::join!(publish(ledger, &claimed), tell(ledger, fact, now));
    Ok(Response::Claimed { epoch: authority.epoch })
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

/// Tells the peers, if they could be reached when the epoch was claimed. One that was not told
/// learns of the record when it reads its peers itself.
async fn publish<S: Store>(ledger: &Ledger<S>, record: &ControlRecord) {
    if !record.known_elsewhere {
        return;
    }
    for (region, result) in ledger.publish(record).await {
        if let Err(reason) = result {
            tracing::warn!(region = region.as_str(), reason, "the peer was not told");
        }
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
