//! What is really in the buckets.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_core::backup::{Depth, Evidence, Kind, Manifest, Mark, Outcome, PointId, keys};

use crate::{
    lab::{Lab, LabError, SITES, backup_bucket},
    report::BackupResult,
};

/// A recovery point as one region's bucket shows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// How each check ended.
    pub(super) checks: BTreeMap<Depth, Outcome>,
}

/// The recovery points of one region, by app, kind and name.
pub(super) type Points = BTreeMap<(String, Kind, PointId), Seen>;

/// What a region has to prove: every byte read, and restored on a host of its own. A snapshot of
/// RDS has no bytes that anyone can read.
pub(super) fn owed(kind: Kind) -> &'static [Depth] {
    match kind {
        Kind::DatabaseSnapshot => &[Depth::Present, Depth::Restored],
        Kind::DatabaseWal => &[Depth::Read],
        Kind::DatabaseDump
        | Kind::DatabaseBase
        | Kind::Config
        | Kind::Code
        | Kind::Logs
        | Kind::Images
        | Kind::Cache => &Depth::ALL,
    }
}

impl Lab {
    /// What a region's bucket holds.
    pub(super) async fn points(&self, region: &str) -> Result<Points, LabError> {
        let bucket = backup_bucket(region);
        let mut points = Points::new();
        for key in self.aws.keys(region, &bucket, "manifests/").await? {
            if let Some((app, kind, id)) = keys::read_manifest(&key) {
                points.entry((app.to_string(), kind, id)).or_default();
            }
        }
        for key in self.aws.keys(region, &bucket, "evidence/").await? {
            if let Some((app, kind, id, depth, Mark::Ended(outcome))) = keys::read_evidence(&key)
                && let Some(seen) = points.get_mut(&(app.to_string(), kind, id))
            {
                let worst = seen.checks.get(&depth) == Some(&Outcome::Damaged);
                seen.checks.insert(depth, if worst { Outcome::Damaged } else { outcome });
            }
        }
        Ok(points)
    }

    /// A recovery point's manifest.
    pub(super) async fn manifest(
        &self,
        region: &str,
        app: &str,
        kind: Kind,
        id: &PointId,
    ) -> Result<Manifest, LabError> {
        let key = format!("manifests/{app}/{kind}/{id}.json");
        self.document(region, &key).await
    }

    /// The evidence of a check.
    pub(super) async fn evidence(
        &self,
        region: &str,
        at: &(String, Kind, PointId),
        depth: Depth,
        outcome: Outcome,
    ) -> Result<Evidence, LabError> {
        let (app, kind, id) = at;
        let key = format!("evidence/{app}/{kind}/{id}/{depth}-{outcome}.json");
        self.document(region, &key).await
    }

    async fn document<T: serde::de::DeserializeOwned>(
        &self,
        region: &str,
        key: &str,
    ) -> Result<T, LabError> {
        let bytes = self.aws.object(region, &backup_bucket(region), key).await?;
        serde_json::from_slice(&bytes).map_err(|error| LabError::from_error(key, &error))
    }

    /// What was proven of every backup of these kinds, in both regions.
    pub(super) async fn proven(
        &self,
        kinds: &[(&str, Kind)],
    ) -> Result<Vec<BackupResult>, LabError> {
        let mut regions = BTreeMap::new();
        for site in SITES {
            regions.insert(site.region, self.points(site.region).await?);
        }
        let wanted: BTreeSet<(String, Kind)> =
            kinds.iter().map(|(app, kind)| ((*app).to_owned(), *kind)).collect();
        let everywhere: BTreeSet<&(String, Kind, PointId)> = regions
            .values()
            .flat_map(BTreeMap::keys)
            .filter(|(app, kind, _)| wanted.contains(&(app.clone(), *kind)))
            .collect();
        let mut results = Vec::new();
        for at in everywhere {
            let (app, kind, id) = at;
            let mut proven = BTreeMap::new();
            let mut complete = true;
            for (region, points) in &regions {
                let (words, owes_nothing) = told(points.get(at), *kind);
                proven.insert((*region).to_owned(), words);
                complete &= owes_nothing;
            }
            let from = regions.iter().find(|(_, points)| points.contains_key(at));
            let size_bytes = match from {
                Some((region, _)) => self.manifest(region, app, *kind, id).await?.size_bytes(),
                None => 0,
            };
            results.push(BackupResult {
                app: app.clone(),
                kind: kind.to_string(),
                point: id.to_string(),
                size_bytes,
                proven,
                complete,
            });
        }
        Ok(results)
    }
}

/// What one region says of a point, in words, and whether it has proven all that it owes.
fn told(seen: Option<&Seen>, kind: Kind) -> (String, bool) {
    let Some(seen) = seen else { return ("not there".to_owned(), false) };
    let words: Vec<String> =
        seen.checks.iter().map(|(depth, outcome)| format!("{depth} {outcome}")).collect();
    let complete = owed(kind).iter().all(|depth| seen.checks.get(depth) == Some(&Outcome::Sound));
    let words = if words.is_empty() { "not checked".to_owned() } else { words.join(", ") };
    (words, complete)
}
