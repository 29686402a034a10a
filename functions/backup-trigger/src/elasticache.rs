//! The port on ElastiCache.

use aws_config::SdkConfig;
use aws_sdk_elasticache::{
    Client,
    error::ProvideErrorMetadata,
    types::{Snapshot, Tag},
};
use backup_trigger::{CacheSnapshot, SnapshotStatus};
use lifeboat_catalogue::{Objects, S3Bucket};
use lifeboat_core::{Fault, Region};
use lifeboat_runtime::aws;

/// ElastiCache of this region, and the bucket that it exports into.
#[derive(Debug)]
pub(crate) struct ElastiCache {
    client: Client,
    exports: S3Bucket,
    bucket: String,
}

impl ElastiCache {
    pub(crate) fn new(config: &SdkConfig, bucket: String, region: &Region) -> Self {
        let exports = S3Bucket::new(config, bucket.clone(), region);
        Self { client: Client::new(config), exports, bucket }
    }

    pub(crate) fn exports(&self) -> &str {
        &self.bucket
    }

    pub(crate) async fn of_group(&self, group: &str) -> Result<Vec<CacheSnapshot>, Fault> {
        let mut pages = self
            .client
            .describe_snapshots()
            .replication_group_id(group)
            .snapshot_source("user")
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => found.extend(page.snapshots().iter().map(snapshot)),
                Err(error) => {
                    return Err(aws::fault(&format!("list the snapshots of {group}"), error));
                }
            }
        }
        Ok(found)
    }

    pub(crate) async fn take(
        &self,
        group: &str,
        name: &str,
        with: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        let tags = with.iter().map(|(key, value)| Tag::builder().key(*key).value(value).build());
        let asked = self
            .client
            .create_snapshot()
            .replication_group_id(group)
            .snapshot_name(name)
            .set_tags(Some(tags.collect()))
            .send()
            .await;
        let Err(error) = asked else { return Ok(()) };
        let known = error.as_service_error();
        if known.is_some_and(|error| error.is_snapshot_already_exists_fault()) {
            return Ok(());
        }
        let busy = known.is_some_and(|error| {
            error.is_invalid_replication_group_state_fault()
                || error.is_invalid_cache_cluster_state_fault()
        });
        if busy {
            return Err(Fault::not_ready(format!("ElastiCache says that {group} is busy")));
        }
        if known.is_some_and(|error| error.is_replication_group_not_found_fault()) {
            return Err(Fault::needs_human(format!(
                "there is no replication group {group} in this region; correct \
                 sites.*.cache.replication_group of the plan"
            )));
        }
        if known.is_some_and(|error| error.is_snapshot_feature_not_supported_fault()) {
            return Err(Fault::needs_human(format!(
                "ElastiCache takes no snapshots of {group} ({}); use nodes that have them, or take \
                 cache out of the schedule",
                error.message().unwrap_or("it gives no reason")
            )));
        }
        Err(aws::fault(&format!("take snapshot {name} of {group}"), error))
    }

    pub(crate) async fn export(&self, name: &str) -> Result<(), Fault> {
        let asked = self
            .client
            .copy_snapshot()
            .source_snapshot_name(name)
            .target_snapshot_name(name)
            .target_bucket(&self.bucket)
            .send()
            .await;
        let Err(error) = asked else { return Ok(()) };
        // It is being exported, or was between the listing and now: the API gives the second no code
        // of its own (API reference, CopySnapshot, "already contains an object with key").
        let under_way = error.as_service_error().is_some_and(|known| {
            known.is_invalid_snapshot_state_fault()
                || known.is_snapshot_already_exists_fault()
                || known.is_invalid_parameter_value_exception()
                    && known.message().is_some_and(|text| text.contains("already contains"))
        });
        if under_way {
            return Ok(());
        }
        Err(aws::fault(&format!("export snapshot {name} to s3://{}", self.bucket), error))
    }

    pub(crate) async fn is_exported(&self, object: &str) -> Result<bool, Fault> {
        let page = self.exports.list(object, None).await?;
        Ok(page.objects.iter().any(|found| found.key == object))
    }

    pub(crate) async fn forget(&self, name: &str) -> Result<(), Fault> {
        let Err(error) = self.client.delete_snapshot().snapshot_name(name).send().await else {
            return Ok(());
        };
        let known = error.as_service_error();
        if known.is_some_and(|error| error.is_snapshot_not_found_fault()) {
            return Ok(());
        }
        if known.is_some_and(|error| error.is_invalid_snapshot_state_fault()) {
            return Err(Fault::not_ready(format!("snapshot {name} is in use")));
        }
        Err(aws::fault(&format!("delete snapshot {name}"), error))
    }
}

fn snapshot(found: &Snapshot) -> CacheSnapshot {
    let groups = found.num_node_groups().and_then(|groups| usize::try_from(groups).ok());
    CacheSnapshot {
        name: found.snapshot_name().unwrap_or_default().to_owned(),
        status: status(found.snapshot_status().unwrap_or("in no state")),
        // Absent where the cluster mode is off, which is one node group.
        node_groups: groups.unwrap_or_default().max(1),
    }
}

/// `ElastiCache`'s words (API reference, Snapshot: creating, available, restoring, copying, deleting):
/// whatever else it says goes on.
fn status(word: &str) -> SnapshotStatus {
    match word {
        "available" => SnapshotStatus::Available,
        "failed" | "deleting" => SnapshotStatus::Failed(word.to_owned()),
        other => SnapshotStatus::Creating(other.to_owned()),
    }
}

#[cfg(test)]
mod tests;
