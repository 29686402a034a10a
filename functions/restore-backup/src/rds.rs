//! Instances in RDS, and what they are restored from.

use aws_sdk_rds::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime,
    types::{DbInstance, DbInstanceAutomatedBackup, Filter, Tag},
};
use jiff::Timestamp;
use lifeboat_core::{
    Fault, Region,
    backup::{Automated, Window, rds as names},
    plan_file::{AppPlan, Site},
};
use lifeboat_runtime::aws;
use restore_backup::{Instance, InstanceState, NewInstance, Restoring, Source};

/// RDS of this region.
#[derive(Debug)]
pub(crate) struct Rds {
    client: Client,
    own: Region,
}

impl Rds {
    pub(crate) fn new(config: &aws_config::SdkConfig, own: Region) -> Self {
        Self { client: Client::new(config), own }
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

    /// The automated backups that lie here, of each site's instance.
    pub(crate) async fn windows(&self, plan: &AppPlan) -> Result<Vec<Window>, Fault> {
        let mut windows = Vec::new();
        for (name, site) in &plan.sites {
            let instance = site.database.identifier.as_str();
            let found = self.automated(instance).await?;
            // Instances of both regions may have the same name.
            let of_site = found.iter().filter(|backup| {
                backup.region().is_none_or(|region| region == site.region.as_str())
            });
            for backup in of_site {
                let Some(source) = self.source(backup, site) else { continue };
                let Some((earliest, mut latest)) = span(backup) else { continue };
                if site.region == self.own {
                    // The window itself may be told some minutes behind. One that was deleted may
                    // have had the same name.
                    let here = self.describe(instance).await?;
                    let here = here.filter(|i| i.dbi_resource_id() == backup.dbi_resource_id());
                    let restorable = here.and_then(|i| moment(i.latest_restorable_time.as_ref()?));
                    latest = restorable.max(Some(latest)).unwrap_or(latest);
                }
                let (site, instance) = (name.clone(), instance.to_owned());
                windows.push(Window { backups: source, site, instance, earliest, latest });
            }
        }
        Ok(windows)
    }

    async fn automated(&self, instance: &str) -> Result<Vec<DbInstanceAutomatedBackup>, Fault> {
        // By a filter: the parameter wants an instance that exists, and this may be of a lost region
        // (API reference, `DescribeDBInstanceAutomatedBackups`).
        let filter = Filter::builder().name("db-instance-id").values(instance).build();
        let request = self.client.describe_db_instance_automated_backups().filters(filter);
        let answer = request.send().await.map_err(|error| {
            aws::fault(&format!("read the automated backups of {instance}"), error)
        })?;
        Ok(answer.db_instance_automated_backups.unwrap_or_default())
    }

    fn source(&self, backup: &DbInstanceAutomatedBackup, site: &Site) -> Option<Automated> {
        Some(if site.region == self.own {
            Automated::Own { resource_id: backup.dbi_resource_id()?.to_owned() }
        } else {
            Automated::Replicated { arn: backup.db_instance_automated_backups_arn()?.to_owned() }
        })
    }

    pub(crate) async fn restore(
        &self,
        source: &Source,
        into: NewInstance<'_>,
    ) -> Result<Restoring, Fault> {
        // In the site's own network, where the function reaches databases; a site whose instance is
        // gone restores into RDS's default one.
        let like = Like::of(self.describe(into.like).await?, &into);
        let tags =
            into.tags.iter().map(|(key, value)| Tag::builder().key(*key).value(value).build());
        let (name, tags) = (into.name, Some(tags.collect::<Vec<_>>()));
        let asked = match source {
            Source::Snapshot(snapshot) => {
                let request = self
                    .client
                    .restore_db_instance_from_db_snapshot()
                    .db_instance_identifier(name)
                    .db_snapshot_identifier(snapshot)
                    .set_db_instance_class(like.class)
                    .set_db_subnet_group_name(like.subnets)
                    .set_vpc_security_group_ids(like.groups)
                    .set_db_parameter_group_name(like.parameters)
                    .multi_az(like.multi_az)
                    .publicly_accessible(false)
                    .deletion_protection(like.protected)
                    .set_tags(tags);
                request.send().await.map(|_| ()).map_err(|error| {
                    let what = format!("restore snapshot {snapshot} into {name}");
                    (Refusal::of(&error), aws::fault(&what, error))
                })
            }
            Source::Moment(backups, to) => {
                let request = self
                    .client
                    .restore_db_instance_to_point_in_time()
                    .target_db_instance_identifier(name)
                    .restore_time(DateTime::from_secs(to.as_second()))
                    .set_db_instance_class(like.class)
                    .set_db_subnet_group_name(like.subnets)
                    .set_vpc_security_group_ids(like.groups)
                    .set_db_parameter_group_name(like.parameters)
                    .multi_az(like.multi_az)
                    .publicly_accessible(false)
                    .deletion_protection(like.protected)
                    .set_tags(tags);
                let request = match backups {
                    Automated::Own { resource_id } => request.source_dbi_resource_id(resource_id),
                    Automated::Replicated { arn } => {
                        request.source_db_instance_automated_backups_arn(arn)
                    }
                };
                request.send().await.map(|_| ()).map_err(|error| {
                    let what = format!("restore {to:.0} into {name}");
                    (Refusal::of(&error), aws::fault(&what, error))
                })
            }
        };
        match asked {
            Ok(()) | Err((Refusal::Exists, _)) => Ok(Restoring::Begun),
            Err((Refusal::NoSnapshot, _)) => Ok(Restoring::NoSnapshot),
            Err((Refusal::NotYet, fault)) => Err(Fault::not_ready(fault.message)),
            Err((Refusal::Other, fault)) => Err(fault),
        }
    }

    /// Gives the master user a new password, which RDS applies at once and asynchronously (API
    /// reference, `ModifyDBInstance`, `MasterUserPassword`). The role may do so to scratch instances
    /// alone.
    pub(crate) async fn set_master_password(
        &self,
        name: &str,
        password: &str,
    ) -> Result<(), Fault> {
        let request = self.client.modify_db_instance().db_instance_identifier(name);
        match request.master_user_password(password).send().await {
            Ok(_) => Ok(()),
            // An earlier request is being applied, or it is on its way out: the next look tells.
            Err(error) if aws::is_rds(&error, "InvalidDBInstanceState") => Ok(()),
            Err(error) => {
                Err(aws::fault(&format!("set the password of scratch instance {name}"), error))
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

/// Why RDS does not begin to restore.
enum Refusal {
    /// An instance of the name is there.
    Exists,
    NoSnapshot,
    /// The snapshot is on its way.
    NotYet,
    Other,
}

impl Refusal {
    fn of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Self {
        if aws::is_rds(error, "DBInstanceAlreadyExists") {
            Self::Exists
        } else if aws::is_rds(error, "DBSnapshotNotFound") {
            Self::NoSnapshot
        } else if aws::is_rds(error, "InvalidDBSnapshotState") {
            Self::NotYet
        } else {
            Self::Other
        }
    }
}

/// What a new instance has of the site's own.
#[derive(Default)]
struct Like {
    class: Option<String>,
    subnets: Option<String>,
    groups: Option<Vec<String>>,
    parameters: Option<String>,
    multi_az: bool,
    protected: bool,
}

impl Like {
    fn of(own: Option<DbInstance>, into: &NewInstance<'_>) -> Self {
        let Some(own) = own else { return Self::default() };
        let groups: Vec<String> = own
            .vpc_security_groups()
            .iter()
            .filter_map(|group| group.vpc_security_group_id().map(str::to_owned))
            .collect();
        let parameters =
            own.db_parameter_groups().first().and_then(|g| g.db_parameter_group_name());
        Self {
            class: own.db_instance_class().map(str::to_owned),
            subnets: own
                .db_subnet_group()
                .and_then(|group| group.db_subnet_group_name().map(str::to_owned)),
            groups: Some(groups).filter(|groups| !groups.is_empty()),
            parameters: parameters.filter(|_| into.keep).map(str::to_owned),
            multi_az: into.keep && own.multi_az().unwrap_or(false),
            protected: into.keep && own.deletion_protection().unwrap_or(false),
        }
    }
}

/// The restore window; none while the first backup is being made.
fn span(backup: &DbInstanceAutomatedBackup) -> Option<(Timestamp, Timestamp)> {
    let window = backup.restore_window()?;
    moment(window.earliest_time()?).zip(moment(window.latest_time()?))
}

fn moment(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

fn read(found: &DbInstance) -> Instance {
    let tag = |key: &str| {
        found.tag_list().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value())
    };
    Instance {
        state: state(found),
        scratch_of: tag(names::SCRATCH_TAG).map(str::to_owned),
        restored_from: tag(names::RESTORED_TAG).map(str::to_owned),
        started_at: tag(names::STARTED_TAG).and_then(|text| text.parse::<Timestamp>().ok()),
        master: found.master_username().unwrap_or_default().to_owned(),
    }
}

/// RDS's words (user guide, "Viewing DB instance status"): whatever else it says goes on.
fn state(found: &DbInstance) -> InstanceState {
    let endpoint = found.endpoint();
    let word = found.db_instance_status().unwrap_or("in no state");
    // Until a new password is applied it is among what is pending, whatever the status says.
    let pending = found.pending_modified_values().and_then(|all| all.master_user_password());
    if pending.is_some() && word == "available" {
        return InstanceState::Busy("resetting-master-credentials".to_owned());
    }
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
    use aws_sdk_rds::types::{DbParameterGroupStatus, Endpoint, PendingModifiedValues};

    use super::*;

    #[test]
    fn only_what_is_kept_gets_the_standby_and_the_protection_of_the_sites_own() {
        let own = || {
            let group = DbParameterGroupStatus::builder().db_parameter_group_name("pg15").build();
            let own = DbInstance::builder().db_instance_class("db.r6g.large").multi_az(true);
            Some(own.deletion_protection(true).db_parameter_groups(group).build())
        };
        let into = |keep| NewInstance { name: "n", like: "l", keep, tags: Vec::new() };
        let (kept, scratch) = (Like::of(own(), &into(true)), Like::of(own(), &into(false)));
        assert_eq!(kept.class, scratch.class);
        assert_eq!((kept.multi_az, kept.protected), (true, true));
        assert_eq!((scratch.multi_az, scratch.protected), (false, false));
        assert_eq!((kept.parameters.as_deref(), scratch.parameters), (Some("pg15"), None));
        assert_eq!(Like::of(None, &into(true)).class, None);
    }

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
        let pending = PendingModifiedValues::builder().master_user_password("****").build();
        let resetting = DbInstance::builder().db_instance_status("available").endpoint(endpoint());
        let resetting = resetting.pending_modified_values(pending).build();
        assert_eq!(state(&resetting), InstanceState::Busy("resetting-master-credentials".into()));
        assert_eq!(read(&found("available")).scratch_of, None);
        let ours = DbInstance::builder().tag_list(tag(names::SCRATCH_TAG, "p")).build();
        assert_eq!(read(&ours).scratch_of.as_deref(), Some("p"));
    }
}
