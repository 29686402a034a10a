//! One round, and what the metrics remember of those before it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    Fault, SiteName, contract::health_probe::Response, hold::held_since, vote::SiteVerdict,
};

use crate::{View, lag::Lag, ports::World, round};

/// What reading the metrics may take. A recovery goes on without them, and asks a person.
const RECALL_LIMIT: Duration = Duration::from_millis(2500);

/// How far back the metrics are read beyond the time that a verdict has to hold: the alarm and the
/// start of a recovery take a minute at most, and what was before the outage must be seen.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(3);

/// Datapoints of the last minutes, each series in the order of time and at most one a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// `SiteDown` of each site; of two rounds in one second the healthier.
    pub site_down: BTreeMap<SiteName, Vec<(Timestamp, f64)>>,
    /// `ReplicaLagSeconds` of this region's site; of two in one second the larger.
    pub lag_seconds: Vec<(Timestamp, f64)>,
}

/// A round, with since when what is down has been down and until when the replica held everything.
pub(crate) async fn assess<W: World>(world: &Arc<W>, view: &View) -> Result<Response, Fault> {
    let (own_site, _) = view
        .plan
        .site_in(view.region.as_str())
        .ok_or_else(|| Fault::invalid(format!("there is no site in {}", view.region)))?;
    let mut lag = Lag::default();
    let sites: Vec<SiteName> = view.plan.sites.keys().cloned().collect();
    let now = world.now();
    let back = LOOK_BACK + SignedDuration::from_secs(i64::from(view.plan.hold_seconds()));
    let (mut observation, memory) = tokio::join!(
        round::look(world, view, &mut lag),
        tokio::time::timeout(
            RECALL_LIMIT,
            world.recall(&view.plan.app, &sites, own_site, now - back, now)
        ),
    );
    let memory = memory.unwrap_or_else(|_| {
        Err(Fault::transient(format!("no answer within {} ms", RECALL_LIMIT.as_millis())))
    });
    let memory = match memory {
        Ok(memory) => memory,
        Err(fault) => {
            tracing::warn!(error = %fault, "the metrics cannot be read; what they remember stays unknown");
            return Ok(Response::Assess { observation });
        }
    };
    let observed_at = observation.observed_at;
    for (name, site) in &mut observation.sites {
        if site.verdict == SiteVerdict::Down {
            let points = memory.site_down.get(name).map_or(&[][..], Vec::as_slice);
            // Not in the metrics yet: this round is the first to see it.
            site.down_since = Some(down_since(points).unwrap_or(observed_at));
            site.held_since = Some(held_since(points, observed_at));
        }
    }
    let replica = &mut observation.replica;
    replica.caught_up_at = replica.caught_up_at.max(caught_up_at(&memory.lag_seconds));
    Ok(Response::Assess { observation })
}

/// The first 1 of the run of ones that the series ends in; none when it does not end in one. Rounds
/// without a datapoint do not break a run: only a 0 says that the site was seen well.
fn down_since(points: &[(Timestamp, f64)]) -> Option<Timestamp> {
    points.iter().rev().take_while(|(_, value)| *value >= 1.0).last().map(|(at, _)| *at)
}

/// The moment that the newest datapoint of the lag points back to.
fn caught_up_at(points: &[(Timestamp, f64)]) -> Option<Timestamp> {
    let (at, seconds) = points.last()?;
    at.checked_sub(SignedDuration::try_from_secs_f64(*seconds).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_268_800 + second).unwrap()
    }

    fn series(values: &[f64]) -> Vec<(Timestamp, f64)> {
        values.iter().zip(0..).map(|(value, second)| (at(second), *value)).collect()
    }

    #[test]
    fn a_site_is_down_since_the_first_one_of_the_run_that_lasts() {
        assert_eq!(down_since(&series(&[0.0, 1.0, 0.0, 1.0, 1.0, 1.0])), Some(at(3)));
        assert_eq!(down_since(&series(&[1.0, 1.0])), Some(at(0)));
        assert_eq!(down_since(&series(&[1.0, 1.0, 0.0])), None);
        assert_eq!(down_since(&[]), None);
    }

    #[test]
    fn seconds_without_a_datapoint_do_not_break_a_run() {
        let points = [(at(0), 0.0), (at(2), 1.0), (at(40), 1.0)];
        assert_eq!(down_since(&points), Some(at(2)));
    }

    #[test]
    fn the_newest_lag_points_back_to_when_the_replica_held_everything() {
        assert_eq!(
            caught_up_at(&series(&[0.0, 9.0, 1.5])),
            Some(at(2) - SignedDuration::from_millis(1500))
        );
        assert_eq!(caught_up_at(&[]), None);
        assert_eq!(caught_up_at(&[(at(0), f64::NAN)]), None);
        assert_eq!(caught_up_at(&[(at(0), f64::MAX)]), None);
    }
}
