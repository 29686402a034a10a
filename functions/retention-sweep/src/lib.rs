//! `retention-sweep`: delete what the policy no longer keeps, in this region.
//!
//! What goes is decided by [`lifeboat_core::backup::retention`]; this function sees what there is
//! ([`survey`]) and carries the decision out ([`delete`]). The order of its steps keeps the
//! promises: everything is listed, then the guards are asked (a hold, an open recovery, in any
//! region), and only then is anything deleted. Manifests go first, and of a chain the dependents
//! before what they depend on, so that a sweep that is cut off anywhere leaves every point that is
//! still listed restorable; what it left of the others has no manifest any more, is no backup, and
//! is removed by the next sweep.
//!
//! Object lock and legal holds are not fought: what they keep stays whole, with all that it
//! depends on, and is reported.

mod delete;
mod survey;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, future::Future};

use jiff::Timestamp;
use lifeboat_catalogue::{Backups, Objects, Versions};
use lifeboat_core::{
    AppName, Fault, IncidentId, Region,
    backup::{
        Kind, PointId,
        retention::{self, Circumstances, KeepReason, Seen, SweepPlan, Verdict},
    },
    contract::retention_sweep::{Deletion, Request, Response},
    plan_file::AppPlan,
};

pub use delete::Gone;

/// Where plans are read.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// Who knows of recoveries.
pub trait Recoveries {
    /// The recovery that is open in any of these regions; [`Seen::Unknown`] when one does not
    /// answer. One that failed is open until a person, or another recovery, has ended it.
    fn open(
        &self,
        app: &AppName,
        regions: Vec<Region>,
    ) -> impl Future<Output = Seen<IncidentId>> + Send;
}

/// The snapshots that RDS keeps in this region for us.
pub trait Snapshots {
    /// The recovery points that it has a snapshot of.
    fn list(&self, app: &AppName) -> impl Future<Output = Result<Vec<PointId>, Fault>> + Send;

    /// Deletes one. That it is not there is a success.
    fn delete(
        &self,
        app: &AppName,
        id: &PointId,
    ) -> impl Future<Output = Result<Gone, Fault>> + Send;
}

/// What the function needs of the world.
#[derive(Debug)]
pub struct Ports<P, R, B, S> {
    /// The plans.
    pub plans: P,
    /// The ledger.
    pub recoveries: R,
    /// The backups of the region that it runs in.
    pub backups: Backups<B>,
    /// RDS.
    pub snapshots: S,
}

/// Deletions that an answer shows.
const SHOWN: usize = 100;

/// Carries out a sweep, or shows what it would do.
///
/// # Errors
/// What the ports report; `Transient` when it cannot be told whether a recovery is open or the backups
/// are held, of which nothing is deleted. A sweep that failed has deleted a part of what it may, and the
/// same request goes on where it stopped.
pub async fn handle<P, R, B, S>(
    request: Request,
    ports: &Ports<P, R, B, S>,
    now: Timestamp,
) -> Result<Response, Fault>
where
    P: Plans + Sync,
    R: Recoveries + Sync,
    B: Objects + Versions,
    S: Snapshots + Sync,
{
    let Request { app, execute } = request;
    let plan = ports.plans.plan(&app).await?;
    let regions = plan.sites.into_values().map(|site| site.region).collect();
    let retention = plan.backup.unwrap_or_default().retention;
    let survey = survey::survey(&ports.backups, &app, &retention, now).await?;
    let versions = if execute { survey.versions(&ports.backups, &app).await? } else { Vec::new() };
    // Asked last, so that nothing lies between the answer and the first deletion.
    let circumstances = Circumstances {
        now,
        recovery: ports.recoveries.open(&app, regions).await,
        hold: match ports.backups.hold(&app).await {
            Ok(None) => Seen::Absent,
            Ok(Some(reason)) => Seen::Present(reason),
            Err(fault) => Seen::Unknown(format!("whether it is held is not known: {fault}")),
        },
    };
    let plan = retention::plan(&survey.catalogue, &retention, &circumstances);
    let stopped = match stopped(&circumstances, survey.catalogue.complete) {
        // One slow answer must not cost a day: the machine asks again, and then tells people.
        Some(Stop::CouldNotTell(why)) if execute => return Err(Fault::transient(why)),
        Some(Stop::Rule(why) | Stop::CouldNotTell(why)) => Some(why),
        None => None,
    };
    let mut response = Response {
        executed: execute && stopped.is_none(),
        considered: count(survey.catalogue.points.len()),
        kept: plan.summary.kept.points,
        deleted: Vec::new(),
        deleted_total: 0,
        retained: Vec::new(),
        more: is_cut(&plan),
        stopped,
    };
    let reasons = reasons(&plan);
    let named = |point: &delete::Named| Deletion {
        kind: point.kind,
        id: point.id.clone(),
        reason: reasons.get(point).cloned().unwrap_or_default(),
    };
    if !response.executed {
        let points: Vec<delete::Named> = plan.deletions.iter().map(|p| delete::name(p)).collect();
        response.deleted_total = count(points.len());
        response.deleted = points.iter().take(SHOWN).map(named).collect();
        return Ok(response);
    }
    let sweep = delete::Sweep::new(&survey, &plan, versions, retention.limit);
    let swept = sweep.run(&ports.backups, &ports.snapshots, &app).await?;
    response.more |= swept.cut;
    response.kept = response.considered.saturating_sub(count(swept.deleted.len()));
    response.deleted_total = count(swept.deleted.len());
    response.deleted = swept.deleted.iter().take(SHOWN).map(named).collect();
    response.retained = swept.retained.into_iter().take(SHOWN).collect();
    Ok(response)
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Whether the limit of one run keeps something that may go.
fn is_cut(plan: &SweepPlan<'_>) -> bool {
    plan.summary.kept_by.contains_key(KeepReason::LimitReached.code())
}

/// Why each point goes.
fn reasons(plan: &SweepPlan<'_>) -> BTreeMap<delete::Named, String> {
    plan.decisions
        .iter()
        .filter_map(|decision| match decision.verdict {
            Verdict::Delete(reason) => Some((delete::name(decision.point), reason.to_string())),
            Verdict::Keep(_) => None,
        })
        .collect()
}

/// Why nothing at all may be deleted.
enum Stop {
    /// A rule says so, and will until somebody changes something.
    Rule(String),
    /// It is not known whether one does.
    CouldNotTell(String),
}

fn stopped(circumstances: &Circumstances, complete: bool) -> Option<Stop> {
    match (&circumstances.recovery, &circumstances.hold) {
        (Seen::Present(incident), _) => Some(Stop::Rule(format!("recovery {incident} is open"))),
        (_, Seen::Present(reason)) => Some(Stop::Rule(reason.clone())),
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => Some(Stop::CouldNotTell(why.clone())),
        (Seen::Absent, Seen::Absent) if complete => None,
        (Seen::Absent, Seen::Absent) => Some(Stop::Rule(
            "an object's name is not understood by this version, so the listing is incomplete: \
             deploy the newest version, or move the object away"
                .to_owned(),
        )),
    }
}

/// Kinds in the order in which they are looked at; WAL is looked at by clusters.
fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| *kind != Kind::DatabaseWal)
}
