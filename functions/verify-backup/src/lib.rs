//! `verify-backup`: prove recovery points where their copies are, and say how old the newest proven
//! ones are.
//!
//! What a check finds wrong with a backup is its answer, written down as evidence. That the backup
//! could not be obtained (the bucket did not answer, the time of the invocation ran out) is an
//! error and leaves no verdict, because *could not tell* must never read as *damaged*, nor as
//! *sound*; the caller has it counted ([`undecided`]), so that a person is told once and not each
//! hour. A point that is too large to be read here is said to be so, and its restore proves it. That an object which a manifest names is not there is damage, unless the manifest was
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
mod undecided;
mod wal;

#[cfg(test)]
mod tests;

use std::future::Future;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalogue::{Backups, Content, LegalHolds, Objects, Shared, proof};
use lifeboat_core::{
    AppName, Fault,
    backup::{Depth, Evidence, Kind, Manifest, Outcome, PointId, verification},
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

/// Carries out a request; `deadline` is when the function will be stopped.
///
/// # Errors
/// [`lifeboat_core::ErrorName::Refused`] when there is no such recovery point any more; `NotReady`
/// while a part of it may be on its way into this region; `InvalidInput` when the request asks for a
/// depth that is not this function's; otherwise what the ports report. That a point is too large to
/// be read in the time of an invocation is an answer.
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
            match check(&point, depth, ports, deadline - RESERVE).await? {
                Ok(evidence) => settle(&point, evidence, ports).await,
                Err(why) => undecided::skip(&point, depth, why, ports).await,
            }
        }
        Request::Undecided { app, kind, id, depth, run, why } => {
            undecided::attempt(&Point { app, kind, id }, depth, run, why, ports).await
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
        let point = (&self.app, self.kind, &self.id);
        proof::begin(point, ports.backups.region(), depth, manifest, (ports.clock)())
    }
}

/// Checks a copy; without a verdict when the point is too large for it, with the reason.
async fn check<P, B, S, M>(
    point: &Point,
    depth: Depth,
    ports: &Ports<P, B, S, M>,
    until: Timestamp,
) -> Result<Result<Evidence, String>, Fault>
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
            let verify = ports.plans.plan(&point.app).await?.backup.unwrap_or_default().verify;
            let until = read::Until { at: until, clock: ports.clock };
            let read =
                read::artifacts(&manifest, &verify, &ports.backups, until, &mut evidence).await?;
            if let Err(why) = read {
                return Ok(Err(why));
            }
        }
        Depth::Read | Depth::Restored => {
            return Err(Fault::invalid(format!(
                "this function checks no {} at depth {depth}; restore it into a scratch place and \
                 record the result",
                point.kind
            )));
        }
    }
    Ok(Ok(proof::end(evidence, (ports.clock)())))
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
