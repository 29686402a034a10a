//! `lifeboat verify --record`: the same reading as the function's each hour, and the same evidence, so
//! that a point that was found sound by hand can be restored at once.

use std::num::NonZero;

use jiff::Timestamp;
use lifeboat_catalogue::{Backups, Content, Objects, proof};
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Choice, Depth, Evidence, Kind, Outcome, PointId, keys, verification},
};
use lifeboat_runtime::clock;
use serde_json::json;

use super::DAMAGED;
use crate::output::{Failure, say, say_json};

/// A recovery point of a region's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    app: AppName,
    kind: Kind,
    id: PointId,
}

/// The point that an object stands for.
///
/// # Errors
/// It is none, or none of this region: evidence of anything else would be evidence of nothing.
pub(super) fn point(bucket: &str, key: &str, region: &Region) -> Result<Point, Failure> {
    let Some((app, kind, id)) = keys::read_manifest(key) else {
        return Err(Failure::input(format!(
            "s3://{bucket}/{key} is no recovery point, so there is nothing to record about it; give \
             its manifest, s3://BUCKET/manifests/APP/KIND/POINT.json (`lifeboat backups` lists them)"
        )));
    };
    let of_region =
        bucket.starts_with("lifeboat-backups-") && bucket.ends_with(&format!("-{region}"));
    if !of_region {
        return Err(Failure::input(format!(
            "s3://{bucket} is not the backup bucket of {region}, whose copies evidence is about; \
             give s3://lifeboat-backups-ACCOUNT-REGION/{key} and --region REGION"
        )));
    }
    if !verification::has_artifacts(kind) {
        return Err(Failure::input(format!(
            "a {kind} has no bytes in the bucket that could be read; its restore into scratch \
             proves it, and lifeboat-verify makes that"
        )));
    }
    Ok(Point { app, kind, id })
}

/// What was written down, and what a restore says to the point now.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) evidence: Evidence,
    pub(super) choice: Choice,
}

/// Reads the point whole and writes down what was found.
///
/// # Errors
/// What kept it from being read, or from being written down. Nothing is recorded then, because that
/// says nothing of the point.
pub(super) async fn record<B: Objects + Content>(
    point: &Point,
    backups: &Backups<B>,
    threads: NonZero<usize>,
    clock: fn() -> Timestamp,
) -> Result<Recorded, Fault> {
    let Point { app, kind, id } = point;
    let manifest = backups.manifest(app, *kind, id).await?.ok_or_else(|| {
        Fault::invalid(format!("there is no {kind} {id} of {app} in {}", backups.region()))
    })?;
    let of = (app, *kind, id);
    let mut evidence = proof::begin(of, backups.region(), Depth::Read, &manifest, clock());
    proof::read(backups, &manifest, threads, clock(), &mut evidence).await?;
    let version = env!("CARGO_PKG_VERSION");
    evidence.facts.push(format!("read by hand with lifeboat verify {version}"));
    let evidence = proof::end(evidence, clock());
    backups.record(&evidence).await?;
    let choice = backups.choose(app, *kind, Some(id), None).await?;
    Ok(Recorded { evidence, choice })
}

/// Reads, records, and says what came of it.
pub(super) async fn run<B: Objects + Content>(
    (url, point): (&str, Point),
    backups: &Backups<B>,
    threads: NonZero<usize>,
    as_json: bool,
) -> Result<(), Failure> {
    let recorded = record(&point, backups, threads, clock::now).await;
    let Recorded { evidence, choice } =
        recorded.map_err(|fault| super::bucket::unknown(url, &fault))?;
    let Evidence { app, kind, id, depth, outcome, .. } = &evidence;
    let key = keys::evidence(app, *kind, id, *depth, *outcome);
    let (restorable, reason) = match &choice {
        Choice::Reliable { reason, .. } => (true, reason),
        Choice::Unreliable { reason, .. } => (false, reason),
    };
    if as_json {
        say_json(&json!({
            "artifact": url, "verdict": outcome, "recorded": key, "evidence": evidence,
            "restorable": restorable, "reason": reason,
        }));
    } else {
        evidence.facts.iter().for_each(|fact| say(&format!("  {fact}")));
        for finding in &evidence.findings {
            let places = [&finding.file, &finding.place].map(String::as_str);
            let mut parts: Vec<&str> = places.into_iter().filter(|part| !part.is_empty()).collect();
            parts.push(&finding.message);
            say(&format!("  ✗ {}", parts.join(": ")));
        }
        say(&format!("{url}: {outcome}, recorded as {key}"));
        if restorable {
            say(&format!(
                "it can be restored: lifeboat restore --app {app} --kind {kind} --point {id}"
            ));
        } else if *outcome == Outcome::Sound {
            say(&format!("it cannot be restored yet: {reason}"));
        }
    }
    if *outcome == Outcome::Damaged {
        let line = format!("{url} is damaged: {} findings", evidence.findings.len());
        return Err(Failure { lines: vec![line], code: DAMAGED });
    }
    Ok(())
}
