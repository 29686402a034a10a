mod assess;
mod fake;
mod observe;
mod verify;

use std::sync::Arc;

use fake::{Fake, Mood};
use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    ErrorName, Fault,
    contract::health_probe::{Request, Response},
};

use crate::handle;

fn at(seconds: f64) -> Timestamp {
    let start: Timestamp = fake::START.parse().unwrap();
    start + SignedDuration::from_secs_f64(seconds)
}

async fn ask(world: &Arc<Fake>, request: &str) -> Result<Response, Fault> {
    ask_from(world, request, "us-west-2").await
}

async fn ask_from(world: &Arc<Fake>, request: &str, region: &str) -> Result<Response, Fault> {
    let request: Request = serde_json::from_str(request).unwrap();
    handle(request, world, &region.parse().unwrap(), at(90.0)).await
}

const OBSERVE: &str = include_str!("../../../events/health-probe/observe.json");
const ASSESS: &str = include_str!("../../../events/health-probe/assess.json");
const VERIFY: &str = include_str!("../../../events/health-probe/verify.json");

#[tokio::test(start_paused = true)]
async fn without_a_plan_nothing_is_observed() {
    for event in [OBSERVE, ASSESS, VERIFY] {
        let mut world = Fake::warm_standby();
        world.plans = Mood::Fails;
        let world = world.shared();
        assert_eq!(ask(&world, event).await.unwrap_err().name, ErrorName::Transient);
        assert!(world.kept().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_without_a_site_cannot_observe() {
    let world = Fake::warm_standby().shared();
    let fault = ask_from(&world, ASSESS, "eu-central-1").await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
    assert!(fault.message.contains("eu-central-1"), "{fault}");
}
