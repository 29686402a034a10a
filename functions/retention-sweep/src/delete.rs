//! Carrying out the plan.
//!
//! The order, each step in batches of what one call can delete:
//!
//! 1. Manifests, in rounds: a point is in a later round than all that depends on it. A point whose
//!    manifest is kept by a lock stays whole, and so does all that it depends on.
//! 2. Artifacts of points without a manifest, and snapshots of such points.
//! 3. Segments of WAL.
//! 4. Evidence of points of which nothing is left.
//!
//! A batch is answered before the next one is sent.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_catalogue::{Backups, DELETE_BATCH, Undeleted, Version, Versions};
use lifeboat_core::{
    AppName, Fault,
    backup::{
        Kind, PointId, RecoveryPoint, WalSpan, keys,
        retention::{Limit, SweepPlan},
    },
    contract::retention_sweep::Deletion,
};

use crate::{Snapshots, survey::Survey};

/// What became of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// It is deleted, or was not there.
    Gone,
    /// It stays, for this reason.
    Kept(String),
}

/// A recovery point's name; of WAL with its cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) kind: Kind,
    pub(crate) system: Option<String>,
    pub(crate) id: PointId,
}

pub(crate) fn name(point: &RecoveryPoint) -> Named {
    let system = point.wal.as_ref().filter(|_| point.kind == Kind::DatabaseWal);
    let system = system.map(|wal| wal.system.clone());
    Named { kind: point.kind, system, id: point.id.clone() }
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) deleted: Vec<Named>,
    pub(crate) retained: Vec<Deletion>,
    /// Whether the limit on bytes ended it.
    pub(crate) cut: bool,
}

/// The versions of what a point is made of.
#[derive(Debug, Default)]
struct Parts {
    manifests: Vec<Version>,
    artifacts: Vec<Version>,
    evidence: Vec<Version>,
}

/// A sweep that is ready to be carried out.
#[derive(Debug)]
pub(crate) struct Sweep<'a> {
    /// What goes, in the planned order.
    points: Vec<&'a RecoveryPoint>,
    survey: &'a Survey,
    parts: BTreeMap<(Kind, PointId), Parts>,
    cut: bool,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(
        survey: &'a Survey,
        plan: &SweepPlan<'a>,
        versions: Vec<Version>,
        limit: Limit,
    ) -> Self {
        let mut parts: BTreeMap<(Kind, PointId), Parts> = BTreeMap::new();
        for version in versions {
            let Some((area, kind, id)) = read_key(&version.key) else { continue };
            let parts = parts.entry((kind, id)).or_default();
            match area {
                Area::Manifest => parts.manifests.push(version),
                Area::Artifact => parts.artifacts.push(version),
                Area::Evidence => parts.evidence.push(version),
            }
        }
        let mut sweep = Self { points: plan.deletions.clone(), survey, parts, cut: false };
        sweep.limit(limit);
        sweep
    }

    /// Ends the list before the point that exceeds the limit on bytes: only now are sizes known, and
    /// every prefix of the list is safe.
    fn limit(&mut self, limit: Limit) {
        let Some(most) = limit.bytes else { return };
        let mut bytes = 0_u64;
        let within = |point: &&&RecoveryPoint| {
            let stored = self.parts.get(&(point.kind, point.id.clone())).map_or(0, |parts| {
                parts.artifacts.iter().map(|version| version.size_bytes).sum::<u64>()
            });
            bytes = bytes.saturating_add(stored.max(point.size_bytes));
            bytes <= most
        };
        let keep = self.points.iter().take_while(within).count();
        self.cut = keep < self.points.len();
        self.points.truncate(keep);
    }

    pub(crate) async fn run<B: Versions, S: Snapshots>(
        mut self,
        backups: &Backups<B>,
        snapshots: &S,
        app: &AppName,
    ) -> Result<Swept, Fault> {
        let mut swept = Swept { cut: self.cut, ..Swept::default() };
        let kept = self.manifests(backups, &mut swept).await?;
        let leftovers = self.leftovers(&kept);
        let held = self.artifacts(backups, &leftovers, &mut swept).await?;
        self.snapshots(snapshots, app, &mut swept).await?;
        self.wal(backups, app, &kept, &mut swept).await?;
        let mut evidence: Vec<Version> = Vec::new();
        for point in leftovers.iter().filter(|point| !held.contains(*point)) {
            let parts = self.parts.get_mut(point);
            evidence
                .extend(parts.map(|parts| std::mem::take(&mut parts.evidence)).unwrap_or_default());
        }
        // Locked evidence of what is gone says nothing wrong: it goes when its lock ends.
        delete(backups, &evidence).await?;
        Ok(swept)
    }

    /// Deletes the manifests; the points that keep theirs, and what those depend on.
    async fn manifests<B: Versions>(
        &mut self,
        backups: &Backups<B>,
        swept: &mut Swept,
    ) -> Result<BTreeSet<(Kind, PointId)>, Fault> {
        let mut kept: BTreeSet<(Kind, PointId)> = BTreeSet::new();
        for round in rounds(&self.points) {
            let mut batch: Vec<Version> = Vec::new();
            let mut going: Vec<(Kind, PointId)> = Vec::new();
            for point in round {
                let name = (point.kind, point.id.clone());
                if kept.contains(&name) {
                    let reason = "a point that is kept by a lock is restored on top of it".into();
                    let Named { kind, id, .. } = self::name(point);
                    swept.retained.push(Deletion { kind, id, reason });
                    continue;
                }
                let parts = self.parts.get_mut(&name);
                batch.extend(
                    parts.map(|parts| std::mem::take(&mut parts.manifests)).unwrap_or_default(),
                );
                going.push(name);
            }
            let mut left: BTreeMap<(Kind, PointId), String> = BTreeMap::new();
            for undeleted in delete(backups, &batch).await? {
                if let Some((_, kind, id)) = read_key(&undeleted.key) {
                    left.insert((kind, id), reason(&undeleted));
                }
            }
            for (kind, id) in going {
                let Some(reason) = left.remove(&(kind, id.clone())) else {
                    swept.deleted.push(Named { kind, system: None, id });
                    continue;
                };
                let mut next = Some(id.clone());
                while let Some(below) = next {
                    next = below.parent();
                    kept.insert((kind, below));
                }
                swept.retained.push(Deletion { kind, id, reason });
            }
        }
        Ok(kept)
    }

    /// The old points that have objects and no manifest, not even a version of one that somebody
    /// deleted and may want back: what this sweep, or one before, took the manifest of.
    fn leftovers(&self, kept: &BTreeSet<(Kind, PointId)>) -> Vec<(Kind, PointId)> {
        let stays = |name: &(Kind, PointId), parts: &Parts| {
            kept.contains(name) || !parts.manifests.is_empty()
        };
        // A point that was listed and is not among the deleted stays, even if its versions were not
        // listed with it.
        let deleted: BTreeSet<(Kind, &PointId)> =
            self.points.iter().map(|point| (point.kind, &point.id)).collect();
        let listed: BTreeSet<(Kind, &PointId)> = self
            .survey
            .catalogue
            .points
            .iter()
            .map(|point| (point.kind, &point.id))
            .filter(|name| !deleted.contains(name))
            .collect();
        self.parts
            .iter()
            .filter(|(name, parts)| !stays(name, parts) && !listed.contains(&(name.0, &name.1)))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Deletes the artifacts of leftovers; those that are not gone whole.
    async fn artifacts<B: Versions>(
        &mut self,
        backups: &Backups<B>,
        leftovers: &[(Kind, PointId)],
        swept: &mut Swept,
    ) -> Result<BTreeSet<(Kind, PointId)>, Fault> {
        let mut batch: Vec<Version> = Vec::new();
        for point in leftovers {
            let parts = self.parts.get_mut(point);
            batch.extend(
                parts.map(|parts| std::mem::take(&mut parts.artifacts)).unwrap_or_default(),
            );
        }
        let mut held = BTreeSet::new();
        for undeleted in delete(backups, &batch).await? {
            let Some((_, kind, id)) = read_key(&undeleted.key) else { continue };
            if held.insert((kind, id.clone())) {
                let reason =
                    format!("its manifest is gone, and an object stays: {}", reason(&undeleted));
                swept.retained.push(Deletion { kind, id, reason });
            }
        }
        Ok(held)
    }

    /// Deletes the old snapshots that no manifest names any more.
    async fn snapshots<S: Snapshots>(
        &self,
        snapshots: &S,
        app: &AppName,
        swept: &mut Swept,
    ) -> Result<(), Fault> {
        let kind = Kind::DatabaseSnapshot;
        let Some((_, before)) = self.survey.old.iter().find(|(here, _)| *here == kind) else {
            return Ok(());
        };
        let going: BTreeSet<&PointId> =
            self.points.iter().filter(|point| point.kind == kind).map(|point| &point.id).collect();
        let retained: BTreeSet<PointId> = swept
            .retained
            .iter()
            .filter(|one| one.kind == kind)
            .map(|one| one.id.clone())
            .collect();
        let points = self.survey.catalogue.points.iter().filter(|point| point.kind == kind);
        let listed: BTreeSet<&PointId> = points.map(|point| &point.id).collect();
        for id in snapshots.list(app).await? {
            let is_old = id.time().is_some_and(|at| at < *before);
            let soft = self.parts.get(&(kind, id.clone())).is_some_and(|p| !p.manifests.is_empty());
            let stays = listed.contains(&id) && !going.contains(&id);
            if !is_old || soft || stays || retained.contains(&id) {
                continue;
            }
            if let Gone::Kept(reason) = snapshots.delete(app, &id).await? {
                swept.retained.push(Deletion { kind, id, reason });
            }
        }
        Ok(())
    }

    /// Deletes segments, but none that a point needs that a lock has kept.
    async fn wal<B: Versions>(
        &self,
        backups: &Backups<B>,
        app: &AppName,
        kept: &BTreeSet<(Kind, PointId)>,
        swept: &mut Swept,
    ) -> Result<(), Fault> {
        let is_kept = |point: &&RecoveryPoint| kept.contains(&(point.kind, point.id.clone()));
        let needed: Vec<&WalSpan> = self
            .survey
            .catalogue
            .points
            .iter()
            .filter(is_kept)
            .filter_map(|point| point.wal.as_ref())
            .collect();
        // A base that is kept and whose needs are not known may need any.
        let unknown = self.survey.catalogue.points.iter().any(|point| {
            point.kind == Kind::DatabaseBase && point.wal.is_none() && is_kept(&point)
        });
        let wal = self.points.iter().filter(|point| point.kind == Kind::DatabaseWal);
        let mut going: BTreeMap<String, Named> = BTreeMap::new();
        for point in wal {
            let Some(span) = &point.wal else { continue };
            let needs = |needed: &&WalSpan| {
                needed.system == span.system && needed.first <= point.id && point.id <= needed.last
            };
            if unknown || needed.iter().any(needs) {
                let reason = "a base backup that is kept by a lock needs it".to_owned();
                swept.retained.push(Deletion { kind: point.kind, id: point.id.clone(), reason });
            } else {
                going.insert(keys::wal(app, &span.system, point.id.as_str()), name(point));
            }
        }
        let mut systems: BTreeSet<&str> = BTreeSet::new();
        systems.extend(going.values().filter_map(|named| named.system.as_deref()));
        let mut versions = Vec::new();
        for system in systems {
            let prefix = keys::wal_prefix(app, system);
            let last = going.keys().rfind(|key| key.starts_with(&prefix));
            let until = last.map(|last| format!("{last}~"));
            let listed = backups.versions(&prefix, None, until.as_deref()).await?;
            versions.extend(listed.into_iter().filter(|version| going.contains_key(&version.key)));
        }
        for undeleted in delete(backups, &versions).await? {
            if let Some(Named { kind, id, .. }) = going.remove(&undeleted.key) {
                swept.retained.push(Deletion { kind, id, reason: reason(&undeleted) });
            }
        }
        swept.deleted.extend(going.into_values());
        Ok(())
    }
}

/// The points but WAL in rounds: each is in a later one than all that depends on it.
fn rounds<'a>(points: &[&'a RecoveryPoint]) -> Vec<Vec<&'a RecoveryPoint>> {
    let mut round: BTreeMap<(Kind, &PointId), usize> = BTreeMap::new();
    let mut rounds: Vec<Vec<&RecoveryPoint>> = Vec::new();
    for point in points.iter().filter(|point| point.kind != Kind::DatabaseWal) {
        // The plan has dependents first, so that this one's round is known.
        let own = round.get(&(point.kind, &point.id)).copied().unwrap_or(0);
        for parent in &point.depends_on {
            let of_parent = round.entry((point.kind, parent)).or_default();
            *of_parent = (*of_parent).max(own + 1);
        }
        while rounds.len() <= own {
            rounds.push(Vec::new());
        }
        if let Some(round) = rounds.get_mut(own) {
            round.push(point);
        }
    }
    rounds
}

/// Deletes versions for good, batch by batch; those that are still there.
async fn delete<B: Versions>(
    backups: &Backups<B>,
    versions: &[Version],
) -> Result<Vec<Undeleted>, Fault> {
    let mut left = Vec::new();
    for batch in versions.chunks(DELETE_BATCH) {
        left.extend(backups.bucket().delete(batch).await?);
    }
    Ok(left)
}

fn reason(undeleted: &Undeleted) -> String {
    use lifeboat_catalogue::Obstacle::{Locked, Other};
    match undeleted.obstacle {
        Locked => format!("locked or held: {}", undeleted.message),
        Other => format!("S3 did not delete it: {}", undeleted.message),
    }
}

/// Which part of a point a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    Manifest,
    Artifact,
    Evidence,
}

fn read_key(key: &str) -> Option<(Area, Kind, PointId)> {
    if let Some((_, kind, id)) = keys::read_manifest(key) {
        return Some((Area::Manifest, kind, id));
    }
    if let Some((_, kind, id, ..)) = keys::read_evidence(key) {
        return Some((Area::Evidence, kind, id));
    }
    let (_, kind, id, _) = keys::read_artifact(key)?;
    Some((Area::Artifact, kind, id))
}
