//! How old the newest verified point of each kind is here.

use lifeboat_catalogue::Objects;
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, freshness},
    contract::verify_backup::{KindFreshness, Response},
};

use crate::{Metrics, Plans, Ports};

/// Says it of every kind that the plan schedules, and of WAL, as metrics and as the answer. A kind that has no
/// verified point has no age: its metric stays missing, which its alarm takes for a breach.
pub(crate) async fn freshness<P: Plans, B: Objects, S, M: Metrics>(
    app: &AppName,
    ports: &Ports<P, B, S, M>,
) -> Result<Response, Fault> {
    let plan = ports.plans.plan(app).await?;
    let mut kinds: Vec<Kind> =
        plan.backup.map(|backup| backup.schedule.into_keys().collect()).unwrap_or_default();
    let mut catalogue = ports.backups.catalogue(app, None).await?;
    // WAL is archived continuously, by no schedule: it is watched where base backups are taken, and
    // wherever there is some.
    let wal = ports.backups.wal_end(app).await?;
    if kinds.contains(&Kind::DatabaseBase) || !wal.is_empty() {
        kinds.push(Kind::DatabaseWal);
        catalogue.points.extend(wal);
    }
    let now = (ports.clock)();
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let kinds: Vec<KindFreshness> =
        freshness::freshness(&catalogue, app, ports.backups.region(), &kinds, now)
            .into_iter()
            .map(|fresh| KindFreshness {
                kind: fresh.kind,
                region: fresh.region,
                newest_verified: fresh.newest_verified,
                taken_at: fresh.taken_at,
                age_seconds: fresh.age_seconds,
                unverified: count(fresh.unverified),
                damaged: count(fresh.damaged),
            })
            .collect();
    for kind in &kinds {
        ports.metrics.emit(app, kind, now);
    }
    Ok(Response::Fresh { kinds })
}
