//! `health-probe`: how the sites look from this region.
//!
//! Three questions share one round of checks ([`round`]): [`observe`] asks it again and again and
//! keeps the answers as metrics, [`assess`] asks it once and adds what the metrics remember, and
//! [`verify`] asks whether one site can serve.
//!
//! The invariant: what could not be asked is `unknown`, in the votes as in the metrics. A failing
//! metric API takes knowledge away from an assessment; it never fails one, and never reads as a
//! healthy or as a lost site.

mod assess;
mod lag;
pub mod network;
mod observe;
mod ports;
mod round;
mod verify;

use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region,
    contract::health_probe::{Request, Response},
    plan_file::AppPlan,
};

pub use assess::Memory;
pub use observe::RoundMetrics;
pub use ports::{Answer, Clock, Databases, Metrics, Network, Plans, Probe, Unread, World};

/// Answers a request from `region`. `deadline` is the end of the invocation.
///
/// # Errors
/// `NotReady` when [`Request::Verify`] finds something missing; `InvalidInput` for a plan without
/// the site or without one in this region; what reading the plan gives.
pub async fn handle<W: World>(
    request: Request,
    world: &Arc<W>,
    region: &Region,
    deadline: Timestamp,
) -> Result<Response, Fault> {
    match request {
        Request::Observe { app } => {
            let view = View::of(world.as_ref(), &app, region).await?;
            Box::pin(observe::observe(world, &view, deadline)).await
        }
        Request::Assess { app } => {
            let view = View::of(world.as_ref(), &app, region).await?;
            Box::pin(assess::assess(world, &view)).await
        }
        Request::Verify { app, site, epoch } => {
            let view = View::of(world.as_ref(), &app, region).await?;
            Box::pin(verify::verify(world, &view, &site, epoch)).await
        }
    }
}

/// A plan as this region sees it.
#[derive(Debug)]
struct View {
    plan: Arc<AppPlan>,
    region: Region,
}

impl View {
    async fn of(world: &impl Plans, app: &AppName, region: &Region) -> Result<Self, Fault> {
        let plan = Arc::new(world.plan(app).await?);
        if plan.site_in(region.as_str()).is_none() {
            return Err(Fault::invalid(format!(
                "app {app} has no site in {region}, so nothing next door shows whether this probe \
                 can see; run health-probe in a region of a site"
            )));
        }
        Ok(Self { plan, region: region.clone() })
    }
}

#[cfg(test)]
mod tests;
