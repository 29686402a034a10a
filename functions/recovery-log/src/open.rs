//! Taking the own region's register.

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Epoch, Fault, IncidentId, Region, SiteName,
    contract::recovery_log::{HeldBy, Response, StandDownReason},
    ledger::{self, Claimant, ControlRecord, Holder, HolderState, Opening, StandDown},
    plan_file::{AppPlan, Scenario},
    recovery_log::{Entry, EntryKind, Fact},
    situation::Trigger,
};
use lifeboat_ledger::{Ledger, Seen, Store, no_record};
use serde::{Deserialize, Serialize};

use crate::{tell, told};

/// The request, apart from its action.
pub(crate) struct Open {
    pub(crate) app: AppName,
    pub(crate) incident: IncidentId,
    pub(crate) execution: String,
    pub(crate) scenario: Scenario,
    pub(crate) trigger: Trigger,
}

/// The body of the log's `opened` entry.
#[derive(Debug, Serialize, Deserialize)]
struct Opened {
    execution: String,
    scenario: Scenario,
    trigger: Trigger,
    site: SiteName,
    active_site: SiteName,
    active_epoch: Epoch,
    /// The regions whose register could not be read when the own one was taken.
    unreachable: Vec<Region>,
}

pub(crate) async fn open<S: Store>(
    request: Open,
    plan: &AppPlan,
    region: &Region,
    ledger: &Ledger<S>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Some((target, _)) = plan.site_in(region.as_str()) else {
        return Err(Fault::invalid(format!(
            "the plan of app {} has no site in {region}; start the recovery in the region to be \
             activated",
            request.app
        )));
    };
    let (seen, entries) =
        tokio::join!(ledger.look(&request.app), told(ledger, &request.app, &request.incident));
    let seen = seen?;
    let overview = seen.registers.overview(now).ok_or_else(|| no_record(&request.app))?;
    if let Some(epoch) = closed(&entries, &request.execution) {
        return Ok(ended(format!(
            "execution {} closed its recovery, which held epoch {epoch}; start another execution",
            request.execution
        )));
    }
    let claimant = Claimant { incident: &request.incident, execution: &request.execution, target };
    let epochs = plan.epochs_of(target).ok_or_else(|| {
        Fault::invalid(format!("the plan of app {} has no site {target}", request.app))
    })?;
    match ledger::open(region, &seen.registers, &claimant, epochs, now) {
        Opening::StandDown(why) => Ok(stand_down(&why, region)),
        Opening::AlreadyOurs(record) | Opening::Write(record) => {
            let found = Found { record, overview: &overview, seen: &seen, entries: &entries };
            take(request, found, plan, ledger, now).await
        }
    }
}

/// What was there when the register was taken.
struct Found<'a> {
    /// The own register, as it is to be.
    record: ControlRecord,
    /// All registers as one.
    overview: &'a ControlRecord,
    seen: &'a Seen,
    entries: &'a [Entry],
}

/// Writes the record where this region lacks it, and tells the log.
async fn take<S: Store>(
    request: Open,
    found: Found<'_>,
    plan: &AppPlan,
    ledger: &Ledger<S>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Some(holder) = found.record.recovery.clone() else {
        return Err(Fault::needs_human("the register was taken for nobody, which is a defect"));
    };
    if holder.state == HolderState::Failed {
        return Ok(ended(format!(
            "execution {} was marked as failed; start another execution",
            request.execution
        )));
    }
    let own = found.seen.own.as_ref();
    if own.is_none_or(|(own, _)| *own != found.record) {
        ledger.write(&found.record, own.map(|(_, etag)| etag)).await?;
    }
    let opened = match opened(found.entries, holder.epoch) {
        Some(opened) => opened,
        None => tell_opened(request, &found, &holder, plan, ledger, now).await,
    };
    Ok(Response::Opened {
        site: holder.target,
        epoch: holder.epoch,
        active_site: opened.active_site,
        active_epoch: opened.active_epoch,
    })
}

/// The site that the recovery leaves. One that goes on from a recovery that failed after its claim
/// finds its own target named as the active site, and leaves the other one all the same.
fn left_site(overview: &ControlRecord, holder: &Holder, plan: &AppPlan) -> SiteName {
    match plan.other_than(&holder.target) {
        Some((other, _)) if overview.active_site == holder.target => other.clone(),
        _ => overview.active_site.clone(),
    }
}

async fn tell_opened<S: Store>(
    request: Open,
    found: &Found<'_>,
    holder: &Holder,
    plan: &AppPlan,
    ledger: &Ledger<S>,
    now: Timestamp,
) -> Opened {
    let silent = found.seen.registers.silent();
    let opened = Opened {
        execution: request.execution,
        scenario: request.scenario,
        trigger: request.trigger,
        site: holder.target.clone(),
        active_site: left_site(found.overview, holder, plan),
        active_epoch: found.overview.epoch,
        unreachable: silent.map(|(region, _)| region.clone()).collect(),
    };
    let fact = Fact {
        app: request.app,
        incident: request.incident,
        epoch: holder.epoch,
        kind: EntryKind::Opened,
        body: serde_json::to_value(&opened).unwrap_or_default(),
    };
    tell(ledger, fact, now).await;
    opened
}

/// What the log says of the opening under this epoch. A call that is made again answers from it,
/// because by then the ledger may name another active site.
fn opened(entries: &[Entry], epoch: Epoch) -> Option<Opened> {
    all_opened(entries).find(|(at, _)| *at == epoch).map(|(_, opened)| opened)
}

/// The epoch under which this execution was closed. A late second call must not take the ledger
/// for an execution that has ended: nobody would release it.
fn closed(entries: &[Entry], execution: &str) -> Option<Epoch> {
    all_opened(entries)
        .filter(|(_, opened)| opened.execution == execution)
        .map(|(epoch, _)| epoch)
        .find(|epoch| entries.iter().any(|e| e.kind == EntryKind::Closed && e.epoch == *epoch))
}

fn all_opened(entries: &[Entry]) -> impl Iterator<Item = (Epoch, Opened)> {
    entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Opened)
        .filter_map(|entry| Some((entry.epoch, Opened::deserialize(&entry.body).ok()?)))
}

fn stand_down(why: &StandDown, own: &Region) -> Response {
    let reason = why.to_string();
    let (why, holder) = match why {
        StandDown::NothingKnown(_) => (StandDownReason::NothingKnown, None),
        StandDown::Active(_) => (StandDownReason::Active, None),
        // An execution of another region cannot be asked about here.
        StandDown::Held { region, .. } if region != own => (StandDownReason::Held, None),
        StandDown::Held { holder, .. } => {
            let Holder { incident, execution, epoch, .. } = holder.clone();
            (StandDownReason::Held, Some(HeldBy { incident, execution, epoch }))
        }
    };
    Response::StandDown { reason, why, holder }
}

/// Of an execution that has ended: it was redriven.
fn ended(reason: String) -> Response {
    Response::StandDown { reason, why: StandDownReason::Ended, holder: None }
}
