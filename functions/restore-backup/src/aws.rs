//! The ports on AWS: Parameter Store, the ledger, the backup bucket, Run Command; RDS is in
//! [`crate::rds`], SQL in [`crate::sql`].

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Choice, Kind, Manifest, PointId, Window},
    plan_file::{AppPlan, HostTag},
    registers::Registers,
};
use lifeboat_hosts::{FarLimits, Found, HostWork, Order, Progress, RunCommand, To};
use lifeboat_ledger::{Ledger, S3Store};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, env};
use restore_backup::{
    Backups, Instance, Instances, Ledgers, Looked, NewInstance, Outputs, Plans, Ports, Restoring,
    Source, Sql, Visit,
};

use crate::{password, rds::Rds, sql};

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
        ledger: Arc::new(S3Store::new(&config, region.clone())),
        ledger_prefix: env::required("LEDGER_BUCKET_PREFIX")?,
        backups: lifeboat_catalogue::Backups::new(&config, bucket.clone(), region.clone()),
        bucket,
        rds: Rds::new(&config, region.clone()),
        hosts: RunCommand::new(config, region.clone(), FAR),
        region: region.clone(),
    };
    Ok(Ports { region, world })
}

/// Everything outside, as it really is.
#[derive(Debug)]
pub(crate) struct Outside {
    parameters: Parameters,
    ledger: Arc<S3Store>,
    ledger_prefix: String,
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

impl Ledgers for Outside {
    async fn registers(&self, plan: &AppPlan) -> Result<Registers, Fault> {
        // All registers are asked: that of a region that was dark may not know yet that it was left,
        // and a recovery may be open in either.
        let ledger = Ledger::of_plan(&self.ledger, &self.ledger_prefix, &self.region, plan);
        Ok(ledger.look(&plan.app).await?.registers)
    }
}

impl Backups for Outside {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn choose(
        &self,
        app: &AppName,
        kind: Kind,
        asked: Option<&PointId>,
        to: Option<Timestamp>,
    ) -> Result<Choice, Fault> {
        self.backups.choose(app, kind, asked, to).await
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

impl Instances for Outside {
    async fn instance(&self, name: &str) -> Result<Option<Instance>, Fault> {
        self.rds.instance(name).await
    }

    async fn windows(&self, plan: &AppPlan) -> Result<Vec<Window>, Fault> {
        self.rds.windows(plan).await
    }

    async fn restore(&self, source: &Source, into: NewInstance<'_>) -> Result<Restoring, Fault> {
        self.rds.restore(source, into).await
    }

    async fn set_own_password(&self, plan: &AppPlan, name: &str) -> Result<(), Fault> {
        let secret = self.parameters.secret(&plan.app, &plan.database.password_secret).await?;
        self.rds.set_master_password(name, &password::of_scratch(secret.expose(), name)?).await
    }

    async fn delete(&self, name: &str) -> Result<(), Fault> {
        self.rds.delete(name).await
    }
}

impl Sql for Outside {
    async fn look(&self, plan: &AppPlan, visit: Visit<'_>) -> Result<Looked, Fault> {
        sql::look(&self.parameters, plan, visit).await
    }
}
