//! The ports on AWS: Parameter Store, the ledger, the backup bucket, Run Command; RDS is in
//! [`crate::rds`], ElastiCache in [`crate::elasticache`].

use std::{sync::Arc, time::Duration};

use backup_trigger::{
    CacheSnapshot, Caches, Database, Manifests, Meter, Plans, Ports, Sites, Snapshot, Snapshots,
    Window,
};
use jiff::Timestamp;
use lifeboat_catalogue::{Backups, Shared, Span};
use lifeboat_core::{
    AppName, Fault, Region, SiteName,
    backup::{Catalogue, Kind, Manifest, PointId, keys},
    plan_file::{AppPlan, HostTag},
};
use lifeboat_hosts::{FarLimits, Found, HostWork, Order, Progress, RunCommand, To};
use lifeboat_ledger::{Ledger, S3Store};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{
    aws, clock, env,
    metrics::{Metric, Unit, emf},
};

use crate::{elasticache::ElastiCache, rds::Rds};

/// Calls to another region: it may be dark, and the function has 30 s for all of a request.
pub(crate) const FAR: FarLimits =
    FarLimits { attempt: Duration::from_secs(3), total: Duration::from_secs(6) };

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
        backups: Backups::new(&config, bucket.clone(), region.clone()),
        bucket,
        hosts: RunCommand::new(config.clone(), region.clone(), FAR),
        elasticache: ElastiCache::new(&config, env::required("EXPORT_BUCKET")?, &region),
        rds: Rds::new(config, region.clone()),
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
    backups: Backups,
    bucket: String,
    hosts: RunCommand,
    rds: Rds,
    elasticache: ElastiCache,
    region: Region,
}

impl Plans for Outside {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.parameters.plan(app).await
    }
}

impl Sites for Outside {
    async fn active(&self, plan: &AppPlan) -> Result<SiteName, Fault> {
        // All registers are asked: that of a region that was dark may not know yet that it was left.
        let ledger = Ledger::of_plan(&self.ledger, &self.ledger_prefix, &self.region, plan);
        let registers = ledger.majority(&plan.app).await;
        registers
            .overview(clock::now())
            .map(|record| record.active_site)
            .ok_or_else(|| lifeboat_ledger::no_record(&plan.app))
    }
}

impl Manifests for Outside {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn catalogue(
        &self,
        app: &AppName,
        kind: Kind,
        since: Timestamp,
    ) -> Result<Catalogue, Fault> {
        let span = Span { from: Some(since), until: None };
        self.backups.catalogue_within(app, Some(kind), &span).await
    }

    async fn manifest(
        &self,
        app: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> Result<Option<Manifest>, Fault> {
        self.backups.manifest(app, kind, id).await
    }

    async fn put(&self, manifest: &Manifest) -> Result<(), Fault> {
        let key = keys::manifest(&manifest.app, manifest.kind, &manifest.id);
        let body = serde_json::to_vec(manifest)
            .map_err(|error| Fault::needs_human(format!("the manifest is not JSON: {error}")))?;
        // None when someone else has written it: the backup is there.
        self.backups.bucket().replace(&key, None, body).await.map(|_| ())
    }

    async fn hold(&self, app: &AppName) -> Result<Option<String>, Fault> {
        self.backups.hold(app).await
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

impl Snapshots for Outside {
    async fn find(&self, region: &Region, name: &str) -> Result<Option<Snapshot>, Fault> {
        self.rds.find(region, name).await
    }

    async fn create(
        &self,
        database: Database<'_>,
        name: &str,
        tags: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        self.rds.create(database.identifier, name, tags).await
    }

    async fn copy(
        &self,
        snapshot: &Snapshot,
        to: &Region,
        tags: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        self.rds.copy(snapshot, to, tags).await
    }

    async fn mark(&self, snapshot: &Snapshot, tag: &'static str, value: &str) -> Result<(), Fault> {
        self.rds.mark(&snapshot.arn, tag, value).await
    }

    async fn window(&self, database: Database<'_>, source: &Region) -> Result<Window, Fault> {
        self.rds.window(database.identifier, source).await
    }
}

impl Caches for Outside {
    fn exports(&self) -> &str {
        self.elasticache.exports()
    }

    async fn of_group(&self, group: &str) -> Result<Vec<CacheSnapshot>, Fault> {
        self.elasticache.of_group(group).await
    }

    async fn take(
        &self,
        group: &str,
        name: &str,
        tags: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        self.elasticache.take(group, name, tags).await
    }

    async fn export(&self, name: &str) -> Result<(), Fault> {
        self.elasticache.export(name).await
    }

    async fn is_exported(&self, object: &str) -> Result<bool, Fault> {
        self.elasticache.is_exported(object).await
    }

    async fn forget(&self, name: &str) -> Result<(), Fault> {
        self.elasticache.forget(name).await
    }
}

impl Meter for Outside {
    fn report(&self, app: &AppName, window: Window, now: Timestamp) {
        let dimensions = [("app", app.as_str()), ("region", self.rds.region().as_str())];
        let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| {
            from.zip(to).map_or(f64::NAN, |(from, to)| to.duration_since(from).as_secs_f64())
        };
        // What is not known is left out: missing data must not read as zero.
        let metrics = [
            Metric::new(
                "PitrWindowSeconds",
                seconds(window.earliest, window.latest),
                Unit::Seconds,
            ),
            Metric::new("PitrLagSeconds", seconds(window.latest, Some(now)), Unit::Seconds),
        ];
        emf(now, &dimensions, &metrics);
    }
}
