//! `health-probe`: wiring.

mod aws;
mod databases;

use std::{sync::Arc, time::Duration};

use health_probe::{
    Answer, Clock, Databases, Memory, Metrics, Network, Plans, Probe, RoundMetrics, Unread,
    network::Checker,
};
use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region, SiteName, contract::health_probe::Request, plan_file::AppPlan,
};
use lifeboat_parameters::Parameters;
use lifeboat_postgres::State;
use lifeboat_runtime::{Error, clock, env};

use crate::{aws::CloudWatch, databases::SqlDatabases};

/// Everything outside, as it really is.
#[derive(Debug)]
struct Outside {
    parameters: Parameters,
    checker: Checker,
    databases: SqlDatabases,
    metrics: CloudWatch,
}

impl Plans for Outside {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.parameters.plan(app).await
    }
}

impl Network for Outside {
    async fn check(&self, probe: &Probe, limit: Duration) -> Answer {
        self.checker.check(probe, limit).await
    }
}

impl Databases for Outside {
    async fn state(
        &self,
        plan: &AppPlan,
        endpoint: &str,
        limit: Duration,
    ) -> Result<State, Unread> {
        self.databases.state(plan, endpoint, limit).await
    }
}

impl Metrics for Outside {
    async fn put(&self, round: &RoundMetrics) -> Result<(), Fault> {
        self.metrics.put(round).await
    }

    async fn recall(
        &self,
        app: &AppName,
        sites: &[SiteName],
        own: &SiteName,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Memory, Fault> {
        self.metrics.recall(app, sites, own, from, now).await
    }
}

impl Clock for Outside {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    async fn pause_until(&self, at: Timestamp) {
        clock::pause_until(at).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let region = env::required("AWS_REGION").and_then(|region| {
        Region::new(region).map_err(|error| Fault::invalid(format!("AWS_REGION: {error}")))
    })?;
    let config = lifeboat_runtime::aws::config().await;
    let outside = Arc::new(Outside {
        parameters: Parameters::new(&config),
        checker: Checker::new()?,
        databases: SqlDatabases::new(Parameters::new(&config)),
        metrics: CloudWatch::new(&config),
    });
    lifeboat_runtime::serve("health-probe", move |request: Request, invocation| {
        let (outside, region) = (Arc::clone(&outside), region.clone());
        Box::pin(async move {
            health_probe::handle(request, &outside, &region, invocation.deadline).await
        })
    })
    .await
}
