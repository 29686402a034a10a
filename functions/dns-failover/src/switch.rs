//! Moving clients: the checks that come first, and the way that needs only S3.

use std::time::Duration;

use lifeboat_core::{
    Fault,
    contract::{Authority, dns_failover::Response},
    guard::may_receive_traffic,
    plan_file::{AppPlan, Site, Switch},
    vote::Checks,
};

use crate::{
    Place,
    mark::{Mark, active_key},
    ports::Ports,
    site, switch_record,
};

/// Looks at a site before it is refused: one lost packet must not end a recovery.
const LOOKS: u32 = 2;

pub(crate) async fn switch<P: Ports>(
    authority: &Authority,
    plan: &AppPlan,
    place: &Place,
    ports: &P,
) -> Result<Response, Fault> {
    let target = site(plan, &authority.site)?;
    if target.region != place.region {
        return Err(Fault::invalid(format!(
            "site {} is in {}, and this function runs in {}; start the recovery in the region \
             that is to be activated",
            authority.site, target.region, place.region
        )));
    }
    serves(target, plan, place, ports).await?;
    match plan.dns.switch {
        Switch::HealthCheck => by_health_check(authority, plan, place, ports).await,
        Switch::Record => switch_record::by_record(authority, plan, target.records(), ports).await,
    }
}

/// That the site answers, as seen from this region, now.
async fn serves<P: Ports>(
    target: &Site,
    plan: &AppPlan,
    place: &Place,
    ports: &P,
) -> Result<(), Fault> {
    let endpoints = target.health.from_region(place.region.as_str());
    let deadline = Duration::from_millis(u64::from(plan.detection.deadline_ms));
    let mut verdict = Ok(());
    for _ in 0..LOOKS {
        let mut checks = Checks::new();
        for (kind, endpoint) in endpoints.by_kind() {
            checks.insert(kind, ports.check(kind, endpoint, deadline).await);
        }
        verdict = may_receive_traffic(&checks);
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}

async fn by_health_check<P: Ports>(
    authority: &Authority,
    plan: &AppPlan,
    place: &Place,
    ports: &P,
) -> Result<Response, Fault> {
    let bucket = place.switch_bucket()?;
    reachable_by_object(authority, plan, place, bucket)?;
    let key = active_key(&authority.app, &authority.site);
    let held = ports.read(&key).await?;
    if let Some(held) = &held
        && held.epoch > authority.epoch
    {
        return Err(Fault::stale(format!(
            "clients were sent to site {} under epoch {}; recovery {} acts under epoch {}",
            authority.site, held.epoch, authority.incident, authority.epoch
        )));
    }
    let changed = held.as_ref().is_none_or(|held| held.epoch < authority.epoch);
    if changed {
        ports.write(&key, &Mark::of(authority, None), held.as_ref()).await?;
    }
    let region = &place.region;
    Ok(Response::Switch {
        switch: Switch::HealthCheck,
        changed,
        undo: format!("aws s3 rm s3://{bucket}/{key} --region {region}"),
    })
}

/// The PRIMARY of the failover records is the site that was active first: an object cannot send
/// clients there, only the deletion of the other site's object can.
fn reachable_by_object(
    authority: &Authority,
    plan: &AppPlan,
    place: &Place,
    bucket: &str,
) -> Result<(), Fault> {
    if authority.site != plan.initially_active {
        return Ok(());
    }
    let how = plan.other_than(&authority.site).map_or_else(String::new, |(name, other)| {
        // Every region's bucket has the same name but for the region at its end.
        let prefix = bucket.trim_end_matches(place.region.as_str());
        format!(
            "; once site {name} has stopped serving: aws s3 rm s3://{prefix}{region}/{key} \
             --region {region}",
            region = other.region,
            key = active_key(&authority.app, name),
        )
    });
    Err(Fault::refused(format!(
        "site {} is the PRIMARY of the failover records: clients return to it when the other \
         site's object goes{how}",
        authority.site
    )))
}
