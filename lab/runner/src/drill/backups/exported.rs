//! What became of the cache that ElastiCache runs.

use lifeboat_core::backup::{Kind, elasticache};

use super::{super::evidence::invariant, VAULT};
use crate::{
    lab::{ACTIVE, Lab, LabError, STANDBY},
    report::InvariantResult,
};

/// `ElastiCache`'s API.
const VERSION: &str = "2015-02-02";

impl Lab {
    /// The backups of the managed cache hold the keys of the Redis that is behind it, in the other
    /// region too, and ElastiCache keeps one snapshot, that of the newest of them.
    pub(super) async fn cache_is_exported(&self) -> Result<InvariantResult, LabError> {
        let points = self.points(STANDBY.region).await?;
        let newest =
            points.keys().rev().find(|(app, kind, _)| app == VAULT && *kind == Kind::Cache);
        let Some((_, _, id)) = newest else {
            return Err(LabError::new(format!("{} has no cache of {VAULT}", STANDBY.region)));
        };
        let manifest = self.manifest(STANDBY.region, VAULT, Kind::Cache, id).await?;
        let keys: u64 = manifest.keys.values().sum();
        let name = elasticache::snapshot(&manifest.app, id).unwrap_or_default();
        let group = ACTIVE.replication_group();
        let question = [("ReplicationGroupId", group.as_str())];
        let service = "elasticache";
        let answer =
            self.aws.query(ACTIVE.region, service, VERSION, "DescribeSnapshots", &question).await?;
        let kept: Vec<&str> = answer
            .split("<SnapshotName>")
            .skip(1)
            .filter_map(|rest| rest.split_once('<').map(|(name, _)| name))
            .collect();
        let held = manifest.source.contains(&name) && keys > 0 && kept == [name.as_str()];
        Ok(invariant(
            "6-managed-cache-is-exported",
            held,
            format!(
                "{}: {keys} keys, by a host from the export; ElastiCache keeps {}",
                manifest.source,
                kept.join(", ")
            ),
        ))
    }
}
