//! `verify-backup`: prove recovery points where their copies are, and say how old the newest proven
//! ones are.
//!
//! What a check finds wrong with a backup is its answer, written down as evidence. That the backup
//! could not be obtained (the bucket did not answer, the time of the invocation ran out) is an
//! error and leaves no evidence, because *could not tell* must never read as *damaged*, nor as
//! *sound*. That an object which a manifest names is not there is damage, unless the manifest was
//! copied from another region a short while ago: copies arrive in any order.
//!
//! After a check, the objects of the newest point that counts get a legal hold, and only then those
//! of the one before lose theirs ([`holds`]): whoever may delete backups still cannot delete that
//! one.

mod due;
mod freshness;
pub mod holds;
mod present;
mod read;
mod wal;

#[cfg(test)]
mod tests;

use std::future::Future;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalogue::{Backups, Content, LegalHolds, Objects, Shared};
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Depth, Evidence, EvidenceFinding, Kind, Manifest, Outcome, PointId, verification},
    contract::verify_backup::{KindFreshness, Request, Response},
    plan_file::AppPlan,
};

/// Where plans are read.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;

    /// The versions of an app's plan as they were stored, with their times, the oldest first.
    fn history(
        &self,
        app: &AppName,
    ) -> impl Future<Output = Result<Vec<(Timestamp, String)>, Fault>> + Send;
}

/// A snapshot as RDS describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// It can be restored from.
    Available {
        /// Allocated storage in bytes.
        size_bytes: u64,
    },
    /// It is being made or copied.
    Pending(String),
    /// It is there and cannot be used, for this reason.
    Broken(String),
    /// There is none.
    Missing,
}

/// The snapshots that RDS keeps in this region.
pub trait Snapshots {
    /// The snapshot of a recovery point.
    fn snapshot(
        &self,
        app: &AppName,
        id: &PointId,
    ) -> impl Future<Output = Result<Snapshot, Fault>> + Send;
}

/// Where metrics go.
pub trait Metrics {
    /// Emits how fresh a kind is. An age that is not known is left out, so that it stays missing.
    fn emit(&self, app: &AppName, kind: &KindFreshness, now: Timestamp);
}

/// What the function needs of the world.
#[derive(Debug)]
pub struct Ports<P, B, S, M> {
    /// The plans.
    pub plans: P,
    /// The backups of the region that it runs in.
    pub backups: Backups<B>,
    /// RDS.
    pub snapshots: S,
    /// The metrics.
    pub metrics: M,
    /// The time now: a check says when it began and when it ended.
    pub clock: fn() -> Timestamp,
}

/// A bucket as this function uses it.
pub trait Bucket: Objects + Content + LegalHolds + Shared {}

impl<B: Objects + Content + LegalHolds + Shared> Bucket for B {}

/// How long before the end of its time a check gives up, so that the caller is told why: recording
/// evidence and moving a hold takes a few calls.
const RESERVE: SignedDuration = SignedDuration::from_secs(5);

/// How long after a backup its objects may be under way into another region, its manifest before
/// them. S3 copies most objects within minutes and promises no time for the rest (user guide,
/// "Replicating objects within and across Regions"); the alarm on the age of the newest verified
/// backup does not wait for this.
const COPIED_WITHIN: SignedDuration = SignedDuration::from_hours(6);

/// Carries out a request; `deadline` is when the function will be stopped.
///
/// # Errors
/// [`lifeboat_core::ErrorName::Refused`] when there is no such recovery point any more, or when it
/// is too large to be read in the time of an invocation; `NotReady` while a part of it may be on its
/// way into this region; `InvalidInput` when the request asks for a depth that is not this
/// function's; otherwise what the ports report.
pub async fn handle<P, B, S, M>(
    request: Request,
    ports: &Ports<P, B, S, M>,
    deadline: Timestamp,
) -> Result<Response, Fault>
where
    P: Plans + Sync,
    B: Bucket,
    S: Snapshots + Sync,
    M: Metrics + Sync,
{
    match request {
        Request::Due { app } => due::due(&app, ports).await,
        Request::Check { app, kind: Kind::DatabaseWal, id, depth: Depth::Read } => {
            let until = deadline - RESERVE;
            let evidence = wal::check(&app, &id, &ports.backups, ports.clock, until).await?;
            Ok(Response::Checked { evidence: Box::new(evidence) })
        }
        Request::Check { app, kind, id, depth } => {
            let point = Point { app, kind, id };
            let evidence = check(&point, depth, ports, deadline - RESERVE).await?;
            settle(&point, evidence, ports).await
        }
        Request::Record { app, kind, id, result } => {
            let point = Point { app, kind, id };
            let manifest = point.manifest(&ports.backups).await?;
            let mut evidence = point.evidence(Depth::Restored, &manifest, ports);
            evidence.started_at = result.started_at;
            evidence.ended_at = result.ended_at;
            evidence.facts = result.facts;
            evidence.findings.extend(result.findings);
            // A finding outweighs the word beside it.
            evidence.outcome =
                if evidence.findings.is_empty() { result.outcome } else { Outcome::Damaged };
            settle(&point, evidence, ports).await
        }
        Request::Freshness { app } => freshness::freshness(&app, ports).await,
    }
}

/// A recovery point's name.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) app: AppName,
    pub(crate) kind: Kind,
    pub(crate) id: PointId,
}

impl Point {
    /// Its manifest. None is no finding: a sweep may have been faster than the check.
    async fn manifest<B: Objects>(&self, backups: &Backups<B>) -> Result<Manifest, Fault> {
        let Self { app, kind, id } = self;
        backups.manifest(app, *kind, id).await?.ok_or_else(|| {
            Fault::refused(format!(
                "there is no {kind} {id} of {app} in {}; it was swept, or has not been copied yet",
                backups.region()
            ))
        })
    }

    /// Evidence that nothing is wrong, to begin with.
    fn evidence<P, B, S, M>(
        &self,
        depth: Depth,
        manifest: &Manifest,
        ports: &Ports<P, B, S, M>,
    ) -> Evidence {
        let now = (ports.clock)();
        let mut findings = Vec::new();
        if (&manifest.app, manifest.kind, &manifest.id) != (&self.app, self.kind, &self.id) {
            findings.push(whole(format!(
                "its manifest is that of {} {} of {}",
                manifest.kind, manifest.id, manifest.app
            )));
        }
        Evidence {
            app: self.app.clone(),
            kind: self.kind,
            id: self.id.clone(),
            // One in whose name another one's manifest stands is damaged already.
            outcome: if findings.is_empty() { Outcome::Sound } else { Outcome::Damaged },
            region: ports.backups.region().clone(),
            depth,
            started_at: now,
            ended_at: now,
            facts: Vec::new(),
            findings,
        }
    }
}

/// A finding about the point as a whole.
pub(crate) fn whole(message: String) -> EvidenceFinding {
    EvidenceFinding { file: String::new(), place: String::new(), message }
}

/// A finding about one of its files.
pub(crate) fn in_file(file: &str, message: String) -> EvidenceFinding {
    EvidenceFinding { file: file.to_owned(), place: String::new(), message }
}

/// What it means that an object of a manifest is not there: damage, or that it is waited for.
pub(crate) fn absent(
    point: &Point,
    manifest: &Manifest,
    (name, region): (&str, &Region),
    now: Timestamp,
) -> Result<EvidenceFinding, Fault> {
    if manifest.region != *region && now.duration_since(manifest.ended_at) < COPIED_WITHIN {
        return Err(Fault::not_ready(format!(
            "{name} of {} {} of {} is not in {region} yet; copies from {} may be under way",
            point.kind, point.id, point.app, manifest.region
        )));
    }
    Ok(in_file(name, "the object is not there".into()))
}

async fn check<P, B, S, M>(
    point: &Point,
    depth: Depth,
    ports: &Ports<P, B, S, M>,
    until: Timestamp,
) -> Result<Evidence, Fault>
where
    P: Plans + Sync,
    B: Bucket,
    S: Snapshots + Sync,
    M: Metrics + Sync,
{
    let manifest = point.manifest(&ports.backups).await?;
    let mut evidence = point.evidence(depth, &manifest, ports);
    match depth {
        Depth::Present if verification::has_artifacts(point.kind) => {
            present::objects(point, &manifest, &ports.backups, ports.clock, &mut evidence).await?;
        }
        Depth::Present => present::snapshot(point, &ports.snapshots, &mut evidence).await?,
        Depth::Read if verification::has_artifacts(point.kind) => {
            let until = read::Until { at: until, clock: ports.clock };
            read::artifacts(point, &manifest, &ports.backups, until, &mut evidence).await?;
        }
        Depth::Read | Depth::Restored => {
            return Err(Fault::invalid(format!(
                "this function checks no {} at depth {depth}; restore it into a scratch place and \
                 record the result",
                point.kind
            )));
        }
    }
    evidence.ended_at = (ports.clock)();
    if !evidence.findings.is_empty() {
        evidence.outcome = Outcome::Damaged;
    }
    Ok(evidence)
}

/// Writes the evidence down, and moves the hold to the newest point that counts now.
async fn settle<P, B: Bucket, S, M>(
    point: &Point,
    evidence: Evidence,
    ports: &Ports<P, B, S, M>,
) -> Result<Response, Fault> {
    ports.backups.record(&evidence).await?;
    holds::move_to_newest(&ports.backups, &point.app, point.kind, (ports.clock)()).await?;
    Ok(Response::Checked { evidence: Box::new(evidence) })
}
