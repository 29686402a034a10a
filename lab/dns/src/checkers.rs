//! Runs the health checkers and the mirror, and keeps them in step with each other.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    CHECKERS, DnsConfig, clock, mirror,
    model::{CheckKind, HealthCheck, Probe},
    probe::{self, Outcome},
    state::State,
    target,
};

/// How often an alarm is looked at.
const ALARM_PERIOD: Duration = Duration::from_secs(1);

/// Reads the control plane for ever, and starts and stops checkers as health checks come and go.
/// Dropping the future stops all of them.
pub(crate) async fn run(state: Arc<State>, config: Arc<DnsConfig>) {
    let mut running: BTreeMap<String, (CheckKind, JoinSet<()>)> = BTreeMap::new();
    let mut period = tokio::time::interval(config.poll_period);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        match mirror::read(config.control_plane).await {
            Ok(snapshot) => {
                if state.adopt(snapshot, clock::now()) {
                    reconcile(&mut running, &state, &config);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "control plane not read, the last copy stays");
                state.mirror_failed(error.to_string());
            }
        }
    }
}

fn reconcile(
    running: &mut BTreeMap<String, (CheckKind, JoinSet<()>)>,
    state: &Arc<State>,
    config: &Arc<DnsConfig>,
) {
    // Route 53 sends no requests for a disabled check.
    let wanted: BTreeMap<String, HealthCheck> = state
        .checks()
        .into_iter()
        .filter(|check| !check.disabled)
        .map(|check| (check.id.clone(), check))
        .collect();
    running
        .retain(|id, (kind, _)| wanted.get(id).is_some_and(|check| looks_same(&check.kind, kind)));
    for (id, check) in wanted {
        running.entry(id).or_insert_with(|| {
            let tasks = start(&check, state, config);
            (check.kind, tasks)
        });
    }
}

/// Whether checkers of `a` need not be restarted for `b`: the failure threshold and the meaning of
/// missing data are read anew for each result.
fn looks_same(a: &CheckKind, b: &CheckKind) -> bool {
    match (a, b) {
        (CheckKind::Endpoint { probe: a, .. }, CheckKind::Endpoint { probe: b, .. }) => a == b,
        (
            CheckKind::Alarm { region: region_a, name: a, .. },
            CheckKind::Alarm { region: region_b, name: b, .. },
        ) => region_a == region_b && a == b,
        _ => a == b,
    }
}

fn start(check: &HealthCheck, state: &Arc<State>, config: &Arc<DnsConfig>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    match &check.kind {
        CheckKind::Endpoint { probe, .. } => {
            for index in 0..CHECKERS {
                tasks.spawn(check_endpoint(
                    state.clone(),
                    config.clone(),
                    check.id.clone(),
                    probe.clone(),
                    index,
                ));
            }
        }
        CheckKind::Alarm { region, name, .. } => {
            tasks.spawn(follow_alarm(
                state.clone(),
                config.clone(),
                check.id.clone(),
                region.clone(),
                name.clone(),
            ));
        }
        CheckKind::Calculated { .. } => {}
        CheckKind::NotObserved { kind } => {
            tracing::warn!(check = %check.id, %kind, "this type is not observed: it has no data");
        }
    }
    tasks
}

/// One checker: the n-th of all starts n eighths of the interval late, so that their requests
/// are spread evenly over it.
async fn check_endpoint(
    state: Arc<State>,
    config: Arc<DnsConfig>,
    id: String,
    probe: Probe,
    index: u32,
) {
    let interval = Duration::from_secs(u64::from(probe.interval_seconds));
    let mut ticks = interval_at(Instant::now() + interval * index / CHECKERS, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let resolve = |name: &str| address_of(&state, name);
        let outcome = match target::target(&probe, &config.regions, resolve) {
            Ok(target) => probe::make(&id, &probe, &target).await,
            Err(unresolved) => Outcome::failure(unresolved),
        };
        state.observe(&id, usize::try_from(index).unwrap_or(0), outcome, clock::now());
    }
}

/// The address that our own zones give for `name`: Route 53 checks names over IPv4.
fn address_of(state: &State, name: &str) -> Option<IpAddr> {
    let reply = state.reply(name, "A", 0)?;
    reply.answers.iter().find(|record| record.kind == "A")?.value.parse().ok()
}

async fn follow_alarm(
    state: Arc<State>,
    config: Arc<DnsConfig>,
    id: String,
    region: String,
    name: String,
) {
    let address = config.regions.get(&region).copied().unwrap_or(config.control_plane);
    let mut ticks = tokio::time::interval(ALARM_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let alarm = mirror::alarm_state(address, &region, &name).await.unwrap_or_else(|error| {
            tracing::debug!(%error, %name, "alarm not read: no data");
            None
        });
        state.observe_alarm(&id, alarm.as_deref(), clock::now());
    }
}
