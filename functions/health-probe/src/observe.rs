//! Round after round, kept as metrics.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Fault, SiteName,
    contract::health_probe::Response,
    situation::{Following, Observation, seconds_between},
    vote::{Sight, site_degraded_metric, site_down_metric},
};
use tokio::task::JoinSet;

use crate::{View, lag::Lag, ports::World, round};

/// How long after its start an invocation begins rounds. The schedule ticks each minute, the finest
/// that EventBridge Scheduler has, so the next invocation's first round is one interval (at
/// most one interval and a second) after this one's last.
const BEGIN_ROUNDS_FOR: SignedDuration = SignedDuration::from_secs(59);

/// What is kept of the invocation's time after the last round has ended: to hand in its metrics.
const RESERVE: SignedDuration = SignedDuration::from_secs(2);

/// What handing in one round's metrics may take. A round that is handed in later than that is of no
/// use to an alarm with periods of ten seconds.
const PUT_LIMIT: Duration = Duration::from_millis(1500);

/// One round as the metrics keep it. All of them carry the dimensions `app` and `site`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundMetrics {
    /// The app.
    pub app: AppName,
    /// When the round began: the time of every datapoint.
    pub at: Timestamp,
    /// `SiteDown` of each site that something is known of: 1 down, 0 not down.
    pub site_down: Vec<(SiteName, f64)>,
    /// The site of this region, under which the next two are kept.
    pub own_site: SiteName,
    /// `SightBlind`: 1 when nothing was seen, not even next door.
    pub blind: f64,
    /// `ReplicaLagSeconds`, when this region's database is a replica of known lag.
    pub lag_seconds: Option<f64>,
    /// `ReplicaBehindSeconds`: that, or where it is not known, what it is at the least. For people: a
    /// recovery must not take it for the lag.
    pub behind_seconds: Option<f64>,
    /// `ReplicationBroken` of this region's database: 1 when it gets nothing of its primary's.
    pub broken: Option<f64>,
    /// `SiteDegraded` of the active site, which is the one whose database is the primary.
    pub degraded: Option<(SiteName, f64)>,
}

impl RoundMetrics {
    fn of(view: &View, own_site: &SiteName, seen: &Observation) -> Self {
        let replica = &seen.replica;
        Self {
            app: view.plan.app.clone(),
            at: seen.observed_at,
            site_down: seen
                .sites
                .iter()
                .filter_map(|(name, site)| Some((name.clone(), site_down_metric(site.verdict)?)))
                .collect(),
            own_site: own_site.clone(),
            blind: if seen.sight == Sight::Blind { 1.0 } else { 0.0 },
            // A replica caught up later than the round began lags by nothing.
            lag_seconds: replica
                .caught_up_at
                .filter(|_| replica.in_recovery == Some(true))
                .map(|at| seconds_between(at, seen.observed_at).max(0.0)),
            behind_seconds: replica
                .behind_since
                .filter(|_| {
                    replica.in_recovery == Some(true) && replica.following != Following::Unknown
                })
                .map(|at| seconds_between(at, seen.observed_at).max(0.0)),
            broken: match (seen.sight, replica.following) {
                (Sight::Blind, _) | (_, Following::Unknown) => None,
                (Sight::Clear, Following::Follows) => Some(0.0),
                (Sight::Clear, Following::Broken) => Some(1.0),
            },
            degraded: replica.primary.as_ref().and_then(|site| {
                let verdict = seen.sites.get(site)?.verdict;
                Some((site.clone(), site_degraded_metric(verdict)?))
            }),
        }
    }
}

/// Rounds on a fixed cadence until the next invocation takes over.
pub(crate) async fn observe<W: World>(
    world: &Arc<W>,
    view: &View,
    deadline: Timestamp,
) -> Result<Response, Fault> {
    let (own_site, _) = view
        .plan
        .site_in(view.region.as_str())
        .ok_or_else(|| Fault::invalid(format!("there is no site in {}", view.region)))?;
    let cadence = Cadence::new(view, world.now(), deadline);
    let mut lag = Lag::default();
    let mut puts = Puts::default();
    let mut rounds = 1;
    let mut slot = 0;
    let mut last = round::look(world, view, &mut lag).await;
    loop {
        puts.begin(world, RoundMetrics::of(view, own_site, &last));
        let Some((next, at)) = cadence.after(slot, world.now()) else { break };
        world.pause_until(at).await;
        slot = next;
        last = round::look(world, view, &mut lag).await;
        rounds += 1;
    }
    puts.end().await;
    Ok(Response::Observe { rounds, last })
}

/// When rounds begin.
#[derive(Debug, Clone, Copy)]
struct Cadence {
    start: Timestamp,
    interval: SignedDuration,
    /// No round begins at this moment or later.
    until: Timestamp,
}

impl Cadence {
    fn new(view: &View, start: Timestamp, deadline: Timestamp) -> Self {
        let detection = view.plan.detection;
        let round = SignedDuration::from_millis(i64::from(detection.deadline_ms));
        Self {
            start,
            interval: SignedDuration::from_secs(i64::from(detection.interval_seconds.max(1))),
            until: (start + BEGIN_ROUNDS_FOR).min(deadline - RESERVE - round),
        }
    }

    /// The slot after `slot` and when it begins. Slots that passed while a round was held up are
    /// left out, except the one that is under way, so that rounds never come in a burst.
    fn after(&self, slot: i64, now: Timestamp) -> Option<(i64, Timestamp)> {
        let under_way = now.duration_since(self.start).as_secs() / self.interval.as_secs().max(1);
        let next = under_way.max(slot + 1);
        let at = self.start + SignedDuration::from_secs(self.interval.as_secs() * next);
        (at < self.until && now < self.until).then_some((next, at))
    }
}

/// The metrics being handed in, beside the rounds and never in their way.
#[derive(Debug, Default)]
struct Puts {
    under_way: JoinSet<Result<(), Fault>>,
    failed: u32,
}

impl Puts {
    fn begin<W: World>(&mut self, world: &Arc<W>, metrics: RoundMetrics) {
        let world = Arc::clone(world);
        self.under_way.spawn(async move {
            tokio::time::timeout(PUT_LIMIT, world.put(&metrics)).await.unwrap_or_else(|_| {
                Err(Fault::transient(format!("no answer within {} ms", PUT_LIMIT.as_millis())))
            })
        });
        while let Some(ended) = self.under_way.try_join_next() {
            self.count(ended);
        }
    }

    async fn end(mut self) {
        while let Some(ended) = self.under_way.join_next().await {
            self.count(ended);
        }
        if self.failed > 1 {
            tracing::warn!(rounds = self.failed, "rounds are missing from the metrics");
        }
    }

    /// Says once in an invocation, and so once a minute, that metrics cannot be kept.
    fn count(&mut self, ended: Result<Result<(), Fault>, tokio::task::JoinError>) {
        let error = match ended {
            Ok(Ok(())) => return,
            Ok(Err(fault)) => fault.to_string(),
            Err(died) => died.to_string(),
        };
        self.failed += 1;
        if self.failed == 1 {
            tracing::warn!(error, "a round's metrics could not be kept; rounds go on");
        }
    }
}
