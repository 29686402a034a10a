//! Scratch instances in RDS.

use aws_sdk_rds::{
    Client,
    types::{DbInstance, Tag},
};
use jiff::Timestamp;
use lifeboat_core::{Fault, backup::rds as names};
use lifeboat_runtime::aws;
use restore_backup::{Instance, InstanceState, Restoring};

/// RDS of this region.
#[derive(Debug)]
pub(crate) struct Rds {
    client: Client,
}

impl Rds {
    pub(crate) fn new(config: &aws_config::SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    pub(crate) async fn instance(&self, name: &str) -> Result<Option<Instance>, Fault> {
        Ok(self.describe(name).await?.as_ref().map(read))
    }

    async fn describe(&self, name: &str) -> Result<Option<DbInstance>, Fault> {
        let answer = self.client.describe_db_instances().db_instance_identifier(name).send().await;
        match answer {
            Ok(answer) => Ok(answer.db_instances.unwrap_or_default().into_iter().next()),
            Err(error) if aws::is_rds(&error, "DBInstanceNotFound") => Ok(None),
            Err(error) => Err(aws::fault(&format!("describe RDS instance {name}"), error)),
        }
    }

    pub(crate) async fn restore(
        &self,
        snapshot: &str,
        name: &str,
        like: &str,
        tags: &[(&'static str, String)],
    ) -> Result<Restoring, Fault> {
        // In the site's own network, where the function reaches databases; a site whose instance is
        // gone restores into RDS's default one.
        let like = self.describe(like).await?;
        let like = like.as_ref();
        let groups = like.map(|like| {
            like.vpc_security_groups()
                .iter()
                .filter_map(|group| group.vpc_security_group_id().map(str::to_owned))
                .collect::<Vec<_>>()
        });
        let subnets = like.and_then(|like| like.db_subnet_group()?.db_subnet_group_name());
        let class = like.and_then(DbInstance::db_instance_class);
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(value).build());
        let asked = self
            .client
            .restore_db_instance_from_db_snapshot()
            .db_instance_identifier(name)
            .db_snapshot_identifier(snapshot)
            .set_db_instance_class(class.map(str::to_owned))
            .set_db_subnet_group_name(subnets.map(str::to_owned))
            .set_vpc_security_group_ids(groups.filter(|groups| !groups.is_empty()))
            .multi_az(false)
            .publicly_accessible(false)
            .deletion_protection(false)
            .set_tags(Some(tags.collect()))
            .send()
            .await;
        match asked {
            Ok(_) => Ok(Restoring::Begun),
            Err(error) if aws::is_rds(&error, "DBInstanceAlreadyExists") => Ok(Restoring::Begun),
            Err(error) if aws::is_rds(&error, "DBSnapshotNotFound") => Ok(Restoring::NoSnapshot),
            Err(error) if aws::is_rds(&error, "InvalidDBSnapshotState") => {
                Err(Fault::not_ready(format!("snapshot {snapshot} is not available yet")))
            }
            Err(error) => {
                Err(aws::fault(&format!("restore snapshot {snapshot} into {name}"), error))
            }
        }
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), Fault> {
        let asked = self
            .client
            .delete_db_instance()
            .db_instance_identifier(name)
            .skip_final_snapshot(true)
            .delete_automated_backups(true)
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error) if aws::is_rds(&error, "DBInstanceNotFound") => Ok(()),
            // It is being deleted, or busy: whoever waits for it to be gone asks again.
            Err(error) if aws::is_rds(&error, "InvalidDBInstanceState") => Ok(()),
            Err(error) => Err(aws::fault(&format!("delete scratch instance {name}"), error)),
        }
    }
}

fn read(found: &DbInstance) -> Instance {
    let tag = |key: &str| {
        found.tag_list().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value())
    };
    Instance {
        state: state(found),
        scratch_of: tag(names::SCRATCH_TAG).map(str::to_owned),
        started_at: tag(names::STARTED_TAG).and_then(|text| text.parse::<Timestamp>().ok()),
    }
}

/// RDS's words (user guide, "Viewing DB instance status"): whatever else it says goes on.
fn state(found: &DbInstance) -> InstanceState {
    let endpoint = found.endpoint();
    let word = found.db_instance_status().unwrap_or("in no state");
    match (word, endpoint) {
        // The first backup of a new instance starts by itself, and reads go on beside it.
        ("available" | "backing-up" | "storage-optimization", Some(endpoint)) => {
            InstanceState::Available {
                host: endpoint.address().unwrap_or_default().to_owned(),
                port: endpoint.port().and_then(|port| u16::try_from(port).ok()).unwrap_or(5432),
            }
        }
        ("deleting", _) => InstanceState::Deleting,
        ("failed" | "restore-error" | "storage-full" | "stopped", _) => {
            InstanceState::Failed(word.to_owned())
        }
        (word, _) if word.starts_with("in") && word.contains("compatible-") => {
            InstanceState::Failed(word.to_owned())
        }
        (word, _) if word.starts_with("inaccessible-encryption-credentials") => {
            InstanceState::Failed(word.to_owned())
        }
        (word, _) => InstanceState::Busy(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::Endpoint;

    use super::*;

    #[test]
    fn an_instance_is_told_by_its_word_and_its_tag() {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let endpoint = || Endpoint::builder().address("10.0.0.1").port(5432).build();
        let found = |word: &str| {
            DbInstance::builder().db_instance_status(word).endpoint(endpoint()).build()
        };
        let host = "10.0.0.1".to_owned();
        assert_eq!(state(&found("available")), InstanceState::Available { host, port: 5432 });
        assert_eq!(state(&found("deleting")), InstanceState::Deleting);
        assert_eq!(state(&found("creating")), InstanceState::Busy("creating".into()));
        for word in ["failed", "incompatible-restore", "inaccessible-encryption-credentials"] {
            assert_eq!(state(&found(word)), InstanceState::Failed(word.into()));
        }
        assert_eq!(read(&found("available")).scratch_of, None);
        let ours = DbInstance::builder().tag_list(tag(names::SCRATCH_TAG, "p")).build();
        assert_eq!(read(&ours).scratch_of.as_deref(), Some("p"));
    }
}
