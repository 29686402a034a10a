//! What the regions of a plan hold now.

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::MetricAlarm;
use lifeboat_core::{Fault, Region, ledger::ControlRecord, plan_file::AppPlan};
use lifeboat_ledger::{Ledger, Seen};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use tokio::task::JoinSet;

use crate::cloud::{self, Machine, recover_machine};

/// What one region holds of an app.
pub(crate) struct There {
    /// The region's configuration.
    pub(crate) config: SdkConfig,
    /// The recover machine, whose account is the stack's.
    pub(crate) machine: Machine,
    /// The stored plan, as it is stored.
    pub(crate) stored: Option<String>,
    /// The registers, as this region sees them.
    pub(crate) ledger: Ledger,
    /// The registers.
    pub(crate) seen: Seen,
    /// What they say together; none when there is none.
    pub(crate) overview: Option<ControlRecord>,
    /// The app's alarms.
    pub(crate) alarms: Vec<MetricAlarm>,
}

/// Asks every region of the plan at the same time; a region that does not answer costs the time limit
/// of a few calls, once.
pub(crate) async fn look(
    config: &SdkConfig,
    plan: &AppPlan,
) -> Vec<(Region, Result<There, Fault>)> {
    let mut looks = JoinSet::new();
    for (place, site) in plan.sites.values().enumerate() {
        let config = aws::in_region(config, site.region.as_str());
        let (plan, region) = (plan.clone(), site.region.clone());
        looks.spawn(async move {
            let there = look_at(config, &plan, &region).await;
            (place, region, there)
        });
    }
    let mut found = Vec::new();
    while let Some(look) = looks.join_next().await {
        found.extend(look.ok());
    }
    found.sort_by_key(|(place, ..)| *place);
    found.into_iter().map(|(_, region, there)| (region, there)).collect()
}

async fn look_at(config: SdkConfig, plan: &AppPlan, region: &Region) -> Result<There, Fault> {
    let machine = recover_machine(&config, region.as_str()).await?;
    let ledger = cloud::ledger(&config, &machine, plan, region);
    let parameters = Parameters::new(&config);
    let (stored, seen, alarms) = tokio::join!(
        parameters.stored_plan(&plan.app),
        ledger.look(&plan.app),
        cloud::alarms_of(&config, &plan.app),
    );
    let (stored, seen, alarms) = (stored?, seen?, alarms?);
    let overview = seen.registers.overview(clock::now());
    Ok(There { config, machine, stored, ledger, seen, overview, alarms })
}
