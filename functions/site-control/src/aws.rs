//! The ports on AWS: Parameter Store, the registers, Run Command.

use std::{sync::Arc, time::Duration};

use lifeboat_core::{
    AppName, Fault, Region, SiteName,
    contract::Authority,
    ledger,
    plan_file::{AppPlan, HostTag},
    round_trip::RoundTrip,
};
use lifeboat_hosts::{FarLimits, RunCommand, To};
use lifeboat_ledger::{Ledger, S3Store};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock, env};
use site_control::{Answers, Authorizer, DOCUMENT, Hosts, Order, Plans, Ports};

/// Seconds within which a host must take the command: the shortest that Systems Manager accepts
/// (API reference, `SendCommand`, `TimeoutSeconds`).
const DELIVERY_SECONDS: i32 = 30;
/// The longest that a call to another region may ever take; a fence's own limit is within it.
const FAR: Duration = RoundTrip::from_ms(RoundTrip::LONGEST_MS).cold_call();

/// The ports of this deployment.
pub(crate) async fn ports() -> Result<Ports<PlanStore, Registers, SiteHosts>, Fault> {
    let region = Region::new(env::required("AWS_REGION")?)
        .map_err(|error| Fault::needs_human(error.to_string()))?;
    let config = aws::config().await;
    let prefix = env::required("LEDGER_BUCKET_PREFIX")?;
    Ok(Ports {
        plans: PlanStore(Parameters::new(&config)),
        authorizer: Registers {
            store: Arc::new(S3Store::new(&config, region.clone())),
            prefix,
            own: region.clone(),
        },
        hosts: SiteHosts::new(config, region.clone()),
        region,
    })
}

/// Plans in Parameter Store.
pub(crate) struct PlanStore(Parameters);

impl Plans for PlanStore {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.0.plan(app).await
    }
}

/// The registers of every app.
pub(crate) struct Registers {
    store: Arc<S3Store>,
    prefix: String,
    own: Region,
}

impl Registers {
    fn of(&self, plan: &AppPlan) -> Ledger {
        Ledger::of_plan(&self.store, &self.prefix, &self.own, plan)
    }
}

impl Authorizer for Registers {
    async fn authorize(&self, authority: &Authority, plan: &AppPlan) -> Result<(), Fault> {
        self.of(plan).may_act(authority).await.map(|_| ())
    }

    async fn first(&self, plan: &AppPlan, site: &SiteName) -> Result<(), Fault> {
        let registers = self.of(plan).registers(&plan.app).await;
        ledger::first_activation(&plan.app, &registers, site, clock::now())
    }
}

/// Run Command, in this region and in others.
pub(crate) struct SiteHosts(RunCommand);

impl SiteHosts {
    pub(crate) fn new(config: aws_config::SdkConfig, own: Region) -> Self {
        let far = FarLimits { attempt: FAR, total: FAR };
        Self(RunCommand::new(config, own, far))
    }
}

impl Hosts for SiteHosts {
    async fn send(&self, region: &Region, hosts: &HostTag, order: &Order) -> Result<String, Fault> {
        let order = lifeboat_hosts::Order {
            document: DOCUMENT,
            parameters: order.parameters(),
            comment: format!("{} {} epoch {}", order.action.as_str(), order.app, order.epoch),
            delivery_seconds: DELIVERY_SECONDS,
        };
        self.0.send(region, To::Tagged(hosts), &order).await
    }

    async fn answers(&self, region: &Region, command: &str) -> Result<Option<Answers>, Fault> {
        self.0.answers(region, command).await
    }
}

#[cfg(test)]
mod tests;
