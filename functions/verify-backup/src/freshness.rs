//! How old the newest verified point of each kind is here.

use lifeboat_catalogue::Objects;
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, freshness},
    contract::verify_backup::{KindFreshness, Response},
};

use crate::{Metrics, Plans, Ports};

/// Says it of every kind that the plan schedules, and of WAL, as metrics and as the answer. A kind that has no
/// verified point is as old as its schedule; when that is not known its metric stays missing, which its
/// alarm takes for a breach.
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
    let found = freshness::freshness(&catalogue, app, ports.backups.region(), &kinds, now);
    let history = match found.iter().all(|fresh| fresh.age_seconds.is_some()) {
        true => Vec::new(),
        false => ports.plans.history(app).await.unwrap_or_else(|fault| {
            tracing::warn!(%fault, "since when kinds are scheduled is not known");
            Vec::new()
        }),
    };
    let unproven = |kind| {
        freshness::scheduled_since(&history, kind)
            .map(|since| now.duration_since(since).as_secs_f64().max(0.0))
    };
    let kinds: Vec<KindFreshness> = found
        .into_iter()
        .map(|fresh| KindFreshness {
            kind: fresh.kind,
            region: fresh.region,
            newest_verified: fresh.newest_verified,
            taken_at: fresh.taken_at,
            age_seconds: fresh.age_seconds.or_else(|| unproven(fresh.kind)),
            unverified: count(fresh.unverified),
            damaged: count(fresh.damaged),
        })
        .collect();
    for kind in &kinds {
        ports.metrics.emit(app, kind, now);
    }
    Ok(Response::Fresh { kinds })
}
