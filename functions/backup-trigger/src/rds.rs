//! RDS, here and in the other region.

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_rds::{
    Client,
    primitives::DateTime,
    types::{DbInstanceAutomatedBackup, DbSnapshot, Filter, Tag},
};
use backup_trigger::{ALONE_TAG, Snapshot, SnapshotStatus, Window};
use jiff::Timestamp;
use lifeboat_core::{Fault, Region, backup::rds::STARTED_TAG};
use lifeboat_runtime::{aws, clock};

use crate::{aws::FAR, presign};

/// The key that encrypts copies in every region, by the alias that the template gives it there.
const KEY: &str = "alias/lifeboat-backups";

/// RDS of this region and of others.
#[derive(Debug)]
pub(crate) struct Rds {
    config: SdkConfig,
    own: Region,
    near: Client,
}

impl Rds {
    pub(crate) fn new(config: SdkConfig, own: Region) -> Self {
        Self { near: Client::new(&config), own, config }
    }

    pub(crate) const fn region(&self) -> &Region {
        &self.own
    }

    fn in_region(&self, region: &Region) -> Client {
        if *region == self.own {
            return self.near.clone();
        }
        let config = aws::in_region(&self.config, region.as_str());
        Client::new(&aws::with_limits(&config, FAR.attempt, FAR.total, 2))
    }

    pub(crate) async fn find(
        &self,
        region: &Region,
        name: &str,
    ) -> Result<Option<Snapshot>, Fault> {
        let answer = self
            .in_region(region)
            .describe_db_snapshots()
            .db_snapshot_identifier(name)
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.db_snapshots().first().map(snapshot)),
            Err(error) if aws::is_rds(&error, "DBSnapshotNotFound") => Ok(None),
            Err(error) => Err(aws::fault(&format!("look for snapshot {name} in {region}"), error)),
        }
    }

    pub(crate) async fn create(
        &self,
        instance: &str,
        name: &str,
        with: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        let asked = self
            .near
            .create_db_snapshot()
            .db_instance_identifier(instance)
            .db_snapshot_identifier(name)
            .set_tags(Some(tags(with)))
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error) if aws::is_rds(&error, "DBSnapshotAlreadyExists") => Ok(()),
            Err(error) if aws::is_rds(&error, "InvalidDBInstanceState") => {
                Err(Fault::not_ready(format!("snapshot {instance}: RDS says that it is busy")))
            }
            Err(error) if aws::is_rds(&error, "DBInstanceNotFound") => {
                Err(Fault::needs_human(format!(
                    "there is no RDS instance {instance} in this region; correct \
                 sites.*.database.identifier of the plan"
                )))
            }
            Err(error) => Err(aws::fault(&format!("take snapshot {name} of {instance}"), error)),
        }
    }

    pub(crate) async fn copy(
        &self,
        snapshot: &Snapshot,
        to: &Region,
        with: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        let name = &snapshot.name;
        let request = presign::Copy {
            source_arn: &snapshot.arn,
            name,
            kms_key: KEY,
            from: self.own.as_str(),
            to: to.as_str(),
            endpoint: self.config.endpoint_url(),
        };
        let asked = self
            .in_region(to)
            .copy_db_snapshot()
            .source_db_snapshot_identifier(&snapshot.arn)
            .target_db_snapshot_identifier(name)
            .kms_key_id(KEY)
            .pre_signed_url(self.signed(&request).await?)
            .set_tags(Some(tags(with)))
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error) if aws::is_rds(&error, "DBSnapshotAlreadyExists") => Ok(()),
            Err(error) => Err(aws::fault(&format!("copy snapshot {name} into {to}"), error)),
        }
    }

    async fn signed(&self, copy: &presign::Copy<'_>) -> Result<String, Fault> {
        let provider = self.config.credentials_provider().ok_or_else(|| {
            Fault::needs_human("the function has no credentials; give it its role back")
        })?;
        let credentials = provider.provide_credentials().await.map_err(|error| {
            Fault::transient(format!("read the function's credentials: {error}"))
        })?;
        presign::url(copy, credentials, clock::now())
    }

    pub(crate) async fn mark(
        &self,
        arn: &str,
        tag: &'static str,
        value: &str,
    ) -> Result<(), Fault> {
        self.near
            .add_tags_to_resource()
            .resource_name(arn)
            .tags(Tag::builder().key(tag).value(value).build())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| aws::fault(&format!("tag {arn}"), error))
    }

    /// The restore window in this region of the instance of `source`: that of its own automated
    /// backups, or of those that are replicated here.
    pub(crate) async fn window(&self, instance: &str, source: &Region) -> Result<Window, Fault> {
        let doing = || format!("read the automated backups of {instance}");
        // By a filter: the parameter wants an instance that exists in this region (API reference,
        // `DescribeDBInstanceAutomatedBackups`).
        let named = Filter::builder().name("db-instance-id").values(instance).build();
        let asked = self.near.describe_db_instance_automated_backups().filters(named);
        let answer = asked.send().await.map_err(|error| aws::fault(&doing(), error))?;
        let mut window = restorable(answer.db_instance_automated_backups(), source);
        if *source == self.own {
            let described =
                self.near.describe_db_instances().db_instance_identifier(instance).send().await;
            let described = described.map_err(|error| aws::fault(&doing(), error))?;
            let latest = described.db_instances().first().and_then(|i| i.latest_restorable_time());
            window.latest = latest.and_then(moment).max(window.latest);
        }
        Ok(window)
    }
}

/// To where the backups of the instance in `source` restore. The other site's instance may have the
/// same name, and backups of its own.
fn restorable(backups: &[DbInstanceAutomatedBackup], source: &Region) -> Window {
    let of_it = backups
        .iter()
        .filter(|backup| backup.region().is_none_or(|region| region == source.as_str()));
    let spans = of_it.filter_map(DbInstanceAutomatedBackup::restore_window);
    spans.fold(Window::default(), |all, span| Window {
        earliest: span.earliest_time().and_then(moment).into_iter().chain(all.earliest).min(),
        latest: span.latest_time().and_then(moment).max(all.latest),
    })
}

fn snapshot(found: &DbSnapshot) -> Snapshot {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let tag = |key: &str| {
        let tag = found.tag_list().iter().find(|tag| tag.key() == Some(key))?;
        tag.value()?.parse().ok()
    };
    Snapshot {
        name: text(found.db_snapshot_identifier()),
        arn: text(found.db_snapshot_arn()),
        status: status(found.status().unwrap_or("in no state")),
        started_at: tag(STARTED_TAG),
        alone_since: tag(ALONE_TAG),
        instance: text(found.db_instance_identifier()),
        engine_version: text(found.engine_version()),
    }
}

/// RDS's words (user guide, "Viewing DB snapshot status"): whatever else it says goes on.
fn status(word: &str) -> SnapshotStatus {
    match word {
        "available" => SnapshotStatus::Available,
        "failed" | "deleting" | "deleted" => SnapshotStatus::Failed(word.to_owned()),
        other if other.starts_with("incompatible-") => SnapshotStatus::Failed(other.to_owned()),
        other => SnapshotStatus::Creating(other.to_owned()),
    }
}

fn tags(with: &[(&'static str, String)]) -> Vec<Tag> {
    with.iter().map(|(key, value)| Tag::builder().key(*key).value(value).build()).collect()
}

fn moment(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

#[cfg(test)]
mod tests;
