//! One round: every check of every site, and the replica, all at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    SiteName,
    plan_file::Site,
    situation::{Following, Observation, ReplicaObservation, Role, SiteObservation, following},
    vote::{self, CheckKind, CheckResult, Checks, Vote},
};
use lifeboat_postgres::State;
use tokio::task::JoinSet;

use crate::{
    View,
    lag::Lag,
    ports::{Answer, Probe, Unread, World},
};

/// A replica streams in milliseconds what its primary has written, but it is asked within the same
/// ones: it gets this many more chances in a round to be seen holding it all.
const REPLICA_LOOKS: u32 = 3;

/// The pause before each of those.
const REPLICA_PAUSE: SignedDuration = SignedDuration::from_millis(25);

/// Makes one round, which ends within the plan's deadline.
pub(crate) async fn look<W: World>(world: &Arc<W>, view: &View, lag: &mut Lag) -> Observation {
    let observed_at = world.now();
    let (answers, replica) = tokio::join!(
        ask(world, view, view.plan.sites.keys()),
        replica(world.as_ref(), view, lag, observed_at),
    );
    let checks: BTreeMap<SiteName, Checks> = answers
        .into_iter()
        .map(|(site, answers)| {
            (site, answers.into_iter().map(|(kind, answer)| (kind, answer.check)).collect())
        })
        .collect();
    let own = view.plan.site_in(view.region.as_str()).and_then(|(name, _)| checks.get(name));
    let sight = vote::sight(own.unwrap_or(&Checks::new()));
    let quorum = usize::try_from(view.plan.detection.quorum).unwrap_or(usize::MAX);
    let sites = checks
        .into_iter()
        .map(|(site, checks)| {
            let checks = vote::discount(checks, sight);
            let verdict = vote::judge(&checks, sight, quorum);
            (site, SiteObservation { verdict, checks, down_since: None, held_since: None })
        })
        .collect();
    Observation { observed_from: view.region.clone(), observed_at, sight, sites, replica }
}

/// Makes all the checks of these sites at once.
pub(crate) async fn ask<W: World>(
    world: &Arc<W>,
    view: &View,
    sites: impl Iterator<Item = &SiteName>,
) -> BTreeMap<SiteName, BTreeMap<CheckKind, Answer>> {
    let mut answers: BTreeMap<SiteName, BTreeMap<CheckKind, Answer>> = BTreeMap::new();
    let mut checks = JoinSet::new();
    let limit = limit(view);
    for name in sites {
        let Some(site) = view.plan.sites.get(name) else { continue };
        for (kind, endpoint) in site.health.from_region(view.region.as_str()).by_kind() {
            answers.entry(name.clone()).or_default().insert(kind, unasked());
            let probe = Probe {
                kind,
                endpoint: endpoint.to_owned(),
                user: view.plan.database.user.clone(),
                database: view.plan.database.name.clone(),
            };
            let (world, name) = (Arc::clone(world), name.clone());
            checks.spawn(async move { (name, kind, world.check(&probe, limit).await) });
        }
    }
    while let Some(ended) = checks.join_next().await {
        // A check that died keeps the `unknown` that it began with.
        if let Ok((name, kind, answer)) = ended {
            answers.entry(name).or_default().insert(kind, answer);
        }
    }
    answers
}

fn unasked() -> Answer {
    let detail = "the check ended without an answer".to_owned();
    Answer { check: CheckResult { vote: Vote::Unknown, detail, elapsed_ms: 0 }, body: None }
}

/// What each check of a round may take.
pub(crate) fn limit(view: &View) -> Duration {
    Duration::from_millis(u64::from(view.plan.detection.deadline_ms))
}

/// Where this region asks a site's database.
pub(crate) fn database_endpoint(view: &View, site: &Site) -> String {
    site.health
        .from_region(view.region.as_str())
        .postgres
        .unwrap_or_else(|| format!("{}:{}", site.database.host, site.database.port))
}

/// Compares the database next door with the one it follows.
async fn replica<W: World>(
    world: &W,
    view: &View,
    lag: &mut Lag,
    begun: Timestamp,
) -> ReplicaObservation {
    let plan = view.plan.as_ref();
    let limit = limit(view);
    let Some((name, site)) = plan.site_in(view.region.as_str()) else {
        return unread(Unread { vote: Vote::Unknown, detail: "no site here".into() }, lag);
    };
    let own = database_endpoint(view, site);
    let other = plan.other_than(name);
    let followed = other.map(|(_, site)| database_endpoint(view, site));
    let (first, followed) = tokio::join!(world.state(plan, &own, limit), async {
        match &followed {
            Some(endpoint) => world.state(plan, endpoint, limit).await.ok(),
            None => None,
        }
    });
    let roles = (role(first.as_ref()), role(followed.as_ref().ok_or(&UNTOLD)));
    let following = following(roles.0, roles.1);
    let writes = match roles {
        (Role::Primary, Role::Primary) => None,
        (Role::Primary, _) => Some(name.clone()),
        (_, Role::Primary) => other.map(|(other, _)| other.clone()),
        _ => None,
    };
    let mut state = match first {
        Ok(state) => state,
        Err(why) => {
            let unread = unread(why, lag);
            return ReplicaObservation { following, primary: writes, ..unread };
        }
    };
    let primary = followed.filter(|followed| !followed.in_recovery);
    if let Some(position) = primary.and_then(|primary| primary.position) {
        lag.primary_was_at(begun, position);
    }
    note(lag, state);
    let mut looks = if primary.is_some() && state.in_recovery { REPLICA_LOOKS } else { 0 };
    while looks > 0 && lag.is_behind() {
        looks -= 1;
        world.pause_until(world.now() + REPLICA_PAUSE).await;
        let spent = world.now().duration_since(begun).unsigned_abs();
        let Some(rest) = limit.checked_sub(spent).filter(|rest| !rest.is_zero()) else { break };
        let Ok(again) = world.state(plan, &own, rest).await else { break };
        state = again;
        note(lag, state);
    }
    let detail = match (state.in_recovery, primary.is_some(), lag.is_behind()) {
        (false, _, _) => "it is a primary",
        (true, true, false) => "it holds everything that its primary has written",
        (true, true, true) => "it is behind its primary",
        (true, false, _) => "its primary does not answer SQL",
    };
    ReplicaObservation {
        vote: Vote::Up,
        detail: detail.to_owned(),
        in_recovery: Some(state.in_recovery),
        received_lsn: state
            .position
            .filter(|_| state.in_recovery)
            .map(|position| position.to_string()),
        caught_up_at: lag.caught_up_at(),
        behind_since: lag.behind_since(),
        following,
        primary: writes,
    }
}

/// What is not asked, or does not answer for a reason that is not known here.
const UNTOLD: Unread = Unread { vote: Vote::Unknown, detail: String::new() };

const fn role(state: Result<&State, &Unread>) -> Role {
    match state {
        Ok(State { in_recovery: false, .. }) => Role::Primary,
        Ok(State { receives: true, .. }) => Role::Receiving,
        Ok(_) => Role::Cut,
        Err(Unread { vote: Vote::Down, .. }) => Role::Silent,
        Err(_) => Role::Unknown,
    }
}

fn note(lag: &mut Lag, state: State) {
    if let Some(position) = state.position.filter(|_| state.in_recovery) {
        lag.replica_holds(position);
    }
}

fn unread(why: Unread, lag: &Lag) -> ReplicaObservation {
    ReplicaObservation {
        vote: why.vote,
        detail: why.detail,
        in_recovery: None,
        received_lsn: None,
        caught_up_at: lag.caught_up_at(),
        behind_since: lag.behind_since(),
        following: Following::Unknown,
        primary: None,
    }
}
