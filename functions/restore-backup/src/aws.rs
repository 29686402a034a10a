//! The ports on AWS: Parameter Store, the backup bucket, Run Command; RDS is in [`crate::rds`], SQL
//! in [`crate::sql`].

use std::time::Duration;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Catalogue, Kind, Manifest, PointId},
    plan_file::{AppPlan, HostTag},
};
use lifeboat_hosts::{FarLimits, Found, HostWork, Order, Progress, RunCommand, To};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, env};
use restore_backup::{Backups, Instance, Outputs, Plans, Ports, Restoring, Scratch, Seen, Sql};

use crate::{rds::Rds, sql};

/// Never used: a restore stays in its region.
const FAR: FarLimits = FarLimits { attempt: Duration::from_secs(2), total: Duration::from_secs(2) };

/// The ports of this deployment.
pub(crate) async fn ports() -> Result<Ports<Outside>, Fault> {
    let region = Region::new(env::required("AWS_REGION")?)
        .map_err(|error| Fault::needs_human(error.to_string()))?;
    let config = aws::config().await;
    let bucket = env::required("BACKUP_BUCKET")?;
    let world = Outside {
        parameters: Parameters::new(&config),
        backups: lifeboat_catalogue::Backups::new(&config, bucket.clone(), region.clone()),
        bucket,
        rds: Rds::new(&config),
        hosts: RunCommand::new(config, region.clone(), FAR),
        region: region.clone(),
    };
    Ok(Ports { region, world })
}

/// Everything outside, as it really is.
#[derive(Debug)]
pub(crate) struct Outside {
    parameters: Parameters,
    backups: lifeboat_catalogue::Backups,
    bucket: String,
    rds: Rds,
    hosts: RunCommand,
    region: Region,
}

impl Plans for Outside {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.parameters.plan(app).await
    }
}

impl Backups for Outside {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn catalogue(&self, app: &AppName, kind: Kind) -> Result<Catalogue, Fault> {
        self.backups.catalogue(app, Some(kind)).await
    }

    async fn manifest(
        &self,
        app: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> Result<Option<Manifest>, Fault> {
        self.backups.manifest(app, kind, id).await
    }
}

impl HostWork for Outside {
    async fn recent(&self, document: &'static str, since: Timestamp) -> Result<Vec<Found>, Fault> {
        self.hosts.recent(&self.region, document, since).await
    }

    async fn pick(&self, tag: &HostTag) -> Result<Option<String>, Fault> {
        self.hosts.pick(&self.region, tag).await
    }

    async fn send(&self, host: &str, order: &Order) -> Result<String, Fault> {
        self.hosts.send(&self.region, To::Host(host), order).await
    }

    async fn progress(&self, command: &str) -> Result<Progress, Fault> {
        self.hosts.progress(&self.region, command).await
    }
}

impl Outputs for Outside {
    async fn output(&self, command: &str) -> Result<String, Fault> {
        let outputs = self.hosts.outputs(&self.region, command).await?;
        Ok(outputs.into_iter().map(|(_, text)| text).next().unwrap_or_default())
    }
}

impl Scratch for Outside {
    async fn instance(&self, name: &str) -> Result<Option<Instance>, Fault> {
        self.rds.instance(name).await
    }

    async fn restore(
        &self,
        snapshot: &str,
        name: &str,
        like: &str,
        tags: &[(&'static str, String)],
    ) -> Result<Restoring, Fault> {
        self.rds.restore(snapshot, name, like, tags).await
    }

    async fn delete(&self, name: &str) -> Result<(), Fault> {
        self.rds.delete(name).await
    }
}

impl Sql for Outside {
    async fn look(&self, plan: &AppPlan, host: &str, port: u16) -> Result<Seen, Fault> {
        sql::look(&self.parameters, plan, host, port).await
    }
}
