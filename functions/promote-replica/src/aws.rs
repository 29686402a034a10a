//! RDS.

use aws_sdk_rds::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{DbInstance, Tag},
};
use lifeboat_core::{Fault, IncidentId};
use lifeboat_runtime::aws;
use promote_replica::{
    Database, State,
    rds::{PROMOTED_BY, Seen, read},
};

use crate::sql::Sql;

/// Days of automated backups for a promoted instance that had none: RDS's own default, because a
/// new primary without backups has nothing to return to.
const SHORTEST_RETENTION: i32 = 1;

/// RDS of this region, and the instances themselves.
#[derive(Debug)]
pub(crate) struct Rds {
    client: Client,
}

impl Rds {
    pub(crate) fn new(config: &aws_config::SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    pub(crate) async fn state(&self, database: &Database, sql: &Sql) -> Result<State, Fault> {
        let instance = self.describe(database).await?;
        let status = instance.db_instance_status().unwrap_or("in no state");
        let follows =
            instance.read_replica_source_db_instance_identifier().is_some_and(|id| !id.is_empty());
        match read(status, follows) {
            Seen::Settled(state) => Ok(state),
            Seen::SaysPrimary => Ok(match sql.state(database).await? {
                State::Primary { .. } => State::Primary { promoted_by: promoted_by(&instance) },
                State::Replica => State::Changing("it is still in recovery".to_owned()),
                other @ (State::Changing(_) | State::Broken(_)) => other,
            }),
        }
    }

    pub(crate) async fn promote(
        &self,
        database: &Database,
        incident: &IncidentId,
    ) -> Result<(), Fault> {
        let instance = self.describe(database).await?;
        self.mark(&instance, incident).await;
        let retention = instance.backup_retention_period().unwrap_or_default();
        let asked = self
            .client
            .promote_read_replica()
            .db_instance_identifier(&database.identifier)
            .backup_retention_period(retention.max(SHORTEST_RETENTION))
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            // An earlier call started it, or something else keeps the instance busy: the next look
            // at its state tells.
            Err(error) if aws::is_rds(&error, "InvalidDBInstanceState") => Ok(()),
            Err(error) => Err(failed("promote", database, error)),
        }
    }

    async fn describe(&self, database: &Database) -> Result<DbInstance, Fault> {
        let answer = self
            .client
            .describe_db_instances()
            .db_instance_identifier(&database.identifier)
            .send()
            .await
            .map_err(|error| failed("describe", database, error))?;
        answer.db_instances.unwrap_or_default().into_iter().next().ok_or_else(|| missing(database))
    }

    /// Leaves the recovery's mark, before the promotion so that no promotion of ours is without
    /// it. It only tells `promoted` from `already_primary` later, so failing to leave it stops
    /// nothing.
    async fn mark(&self, instance: &DbInstance, incident: &IncidentId) {
        let tag = Tag::builder().key(PROMOTED_BY).value(incident.as_str()).build();
        let marked = self
            .client
            .add_tags_to_resource()
            .set_resource_name(instance.db_instance_arn().map(ToOwned::to_owned))
            .tags(tag)
            .send()
            .await;
        if let Err(error) = marked {
            let fault = aws::fault("tag the instance with its recovery", error);
            tracing::warn!(error = %fault, "the promotion goes on without its mark");
        }
    }
}

fn promoted_by(instance: &DbInstance) -> Option<IncidentId> {
    let tag = instance.tag_list().iter().find(|tag| tag.key() == Some(PROMOTED_BY))?;
    IncidentId::new(tag.value()?).ok()
}

fn failed<E>(
    verb: &str,
    database: &Database,
    error: SdkError<E, aws_sdk_rds::config::http::HttpResponse>,
) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if aws::is_rds(&error, "DBInstanceNotFound") {
        missing(database)
    } else if aws::is_rds(&error, "InvalidDBInstanceState") {
        Fault::not_ready(format!("{verb} {}: RDS says that it is busy", database.identifier))
    } else {
        aws::fault(&format!("{verb} RDS instance {}", database.identifier), error)
    }
}

fn missing(database: &Database) -> Fault {
    Fault::needs_human(format!(
        "there is no RDS instance {} in this region; correct sites.*.database.identifier of the \
         plan, or restore the database",
        database.identifier
    ))
}

#[cfg(test)]
mod tests;
