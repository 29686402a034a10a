//! The judgement of health: from single probe results to the verdict that records obey.
//!
//! Pure: no clock and no I/O. The rules are those of
//! <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html>:
//! a checker changes its opinion after `FailureThreshold` consecutive results, an endpoint is
//! healthy when **more than 18 %** of the checkers say so, and a new check counts as healthy, or
//! as unhealthy when it is inverted, until there is enough data.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{CheckKind, HealthCheck, InsufficientData};

/// Checkers that this server models for each health check. Route 53 runs at least this many
/// unless fewer regions are chosen.
pub const CHECKERS: u32 = 8;

/// Share of checkers, in percent, that must be *exceeded* for an endpoint to be healthy.
pub const HEALTHY_ABOVE_PERCENT: u32 = 18;

/// What is known of an endpoint or an alarm, before inversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// Enough data, and it is good.
    Healthy,
    /// Enough data, and it is bad.
    Unhealthy,
    /// Not enough data: never the same as bad.
    #[default]
    Unknown,
}

/// What a health check tells the records that carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Records that carry the check may be answered.
    Healthy,
    /// Records that carry the check are passed over while another one is healthy.
    Unhealthy,
}

impl Verdict {
    fn of(healthy: bool) -> Self {
        if healthy { Self::Healthy } else { Self::Unhealthy }
    }
}

/// One checker's opinion of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opinion {
    held: Observed,
    /// The newest result, and how many in a row were like it.
    streak: Option<(bool, u32)>,
}

impl Opinion {
    /// The opinion after one more result: it changes (or forms) once `threshold` consecutive
    /// results agree, in both directions.
    pub(crate) fn after(self, passed: bool, threshold: u32) -> Self {
        let count = match self.streak {
            Some((last, count)) if last == passed => count.saturating_add(1),
            Some(_) | None => 1,
        };
        let held = if count >= threshold.max(1) {
            if passed { Observed::Healthy } else { Observed::Unhealthy }
        } else {
            self.held
        };
        Self { held, streak: Some((passed, count)) }
    }

    pub(crate) fn held(self) -> Observed {
        self.held
    }
}

/// What the checkers together say of an endpoint.
///
/// There is enough data as soon as the checkers with an opinion are themselves more than 18 % of
/// all: that is the smallest number whose agreement Route 53 would believe.
pub(crate) fn endpoint(opinions: impl Iterator<Item = Opinion>) -> Observed {
    let (mut healthy, mut reporting) = (0_u32, 0_u32);
    for opinion in opinions {
        match opinion.held() {
            Observed::Healthy => {
                healthy += 1;
                reporting += 1;
            }
            Observed::Unhealthy => reporting += 1,
            Observed::Unknown => {}
        }
    }
    if reporting * 100 <= HEALTHY_ABOVE_PERCENT * CHECKERS {
        Observed::Unknown
    } else if healthy * 100 > HEALTHY_ABOVE_PERCENT * reporting {
        Observed::Healthy
    } else {
        Observed::Unhealthy
    }
}

/// What a check on a CloudWatch alarm observes.
///
/// `state` is the alarm's `StateValue`, absent when it could not be read: that is no data, like
/// `INSUFFICIENT_DATA`, and answered as the check's `InsufficientDataHealthStatus` says.
pub(crate) fn alarm(
    state: Option<&str>,
    insufficient: InsufficientData,
    last_known: Observed,
) -> Observed {
    match state {
        Some("OK") => Observed::Healthy,
        Some("ALARM") => Observed::Unhealthy,
        Some(_) | None => match insufficient {
            InsufficientData::Healthy => Observed::Healthy,
            InsufficientData::Unhealthy => Observed::Unhealthy,
            InsufficientData::LastKnownStatus => last_known,
        },
    }
}

/// The verdicts of all checks, from what was observed of those that look at something themselves.
///
/// - Disabled counts as healthy whatever is observed, *before* inversion: an inverted disabled
///   check is unhealthy (`Disabled` in
///   <https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html>).
/// - Unknown counts as healthy before inversion, so a new inverted check is unhealthy.
/// - A calculated check counts its healthy children: threshold 0 is always healthy, a threshold
///   above the number of children never. A child that does not exist is not healthy, and neither
///   is a check that is, through its children, its own child.
pub(crate) fn verdicts(
    checks: &BTreeMap<String, HealthCheck>,
    observed: impl Fn(&str) -> Observed,
) -> BTreeMap<String, Verdict> {
    checks
        .keys()
        .map(|id| (id.clone(), Verdict::of(is_healthy(checks, &observed, id, &mut Vec::new()))))
        .collect()
}

fn is_healthy<'a>(
    checks: &'a BTreeMap<String, HealthCheck>,
    observed: &impl Fn(&str) -> Observed,
    id: &'a str,
    above: &mut Vec<&'a str>,
) -> bool {
    let Some(check) = checks.get(id) else { return false };
    if above.contains(&id) {
        return false;
    }
    let plain = check.disabled
        || match &check.kind {
            CheckKind::Calculated { children, threshold } => {
                above.push(id);
                let healthy = children
                    .iter()
                    .filter(|child| is_healthy(checks, observed, child, above))
                    .count();
                above.pop();
                healthy >= *threshold
            }
            CheckKind::Endpoint { .. }
            | CheckKind::Alarm { .. }
            | CheckKind::NotObserved { .. } => observed(id) != Observed::Unhealthy,
        };
    plain != check.inverted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(held: Observed) -> Opinion {
        Opinion { held, streak: None }
    }

    fn fleet(healthy: usize, unhealthy: usize) -> Observed {
        endpoint(
            std::iter::repeat_n(opinion(Observed::Healthy), healthy)
                .chain(std::iter::repeat_n(opinion(Observed::Unhealthy), unhealthy)),
        )
    }

    fn check(id: &str, kind: CheckKind, inverted: bool, disabled: bool) -> (String, HealthCheck) {
        (id.to_owned(), HealthCheck { id: id.to_owned(), kind, inverted, disabled })
    }

    fn watched() -> CheckKind {
        CheckKind::NotObserved { kind: "RECOVERY_CONTROL".to_owned() }
    }

    #[test]
    fn an_opinion_changes_after_consecutive_results_only() {
        let mut held = Opinion::default();
        for (passed, expected) in [
            (true, Observed::Unknown),
            (true, Observed::Unknown),
            (true, Observed::Healthy),
            (false, Observed::Healthy),
            (false, Observed::Healthy),
            (true, Observed::Healthy), // the streak of failures is broken, and starts again
            (false, Observed::Healthy),
            (false, Observed::Healthy),
            (false, Observed::Unhealthy),
            (true, Observed::Unhealthy), // recovery takes as many
            (true, Observed::Unhealthy),
            (true, Observed::Healthy),
        ] {
            held = held.after(passed, 3);
            assert_eq!(held.held(), expected);
        }
    }

    #[test]
    fn a_threshold_of_one_believes_each_result() {
        let held = Opinion::default().after(true, 1);
        assert_eq!(held.held(), Observed::Healthy);
        assert_eq!(held.after(false, 1).held(), Observed::Unhealthy);
        // Zero is not a threshold that Route 53 accepts; it must not mean "never".
        assert_eq!(Opinion::default().after(true, 0).held(), Observed::Healthy);
    }

    #[test]
    fn more_than_eighteen_percent_must_be_healthy() {
        assert_eq!(fleet(0, 8), Observed::Unhealthy);
        assert_eq!(fleet(1, 7), Observed::Unhealthy); // 12.5 %
        assert_eq!(fleet(2, 6), Observed::Healthy); // 25 %
        assert_eq!(fleet(8, 0), Observed::Healthy);
    }

    #[test]
    fn health_is_monotone_in_the_checkers_that_say_healthy() {
        let rank = |observed| usize::from(observed == Observed::Healthy);
        for healthy in 1..=8 {
            assert!(rank(fleet(healthy, 8 - healthy)) >= rank(fleet(healthy - 1, 9 - healthy)));
        }
    }

    #[test]
    fn too_few_opinions_are_no_data() {
        assert_eq!(fleet(0, 0), Observed::Unknown);
        assert_eq!(fleet(1, 0), Observed::Unknown);
        assert_eq!(fleet(0, 1), Observed::Unknown);
        assert_eq!(fleet(0, 2), Observed::Unhealthy);
        assert_eq!(fleet(1, 1), Observed::Healthy);
    }

    #[test]
    fn an_alarm_without_data_is_what_the_check_says() {
        use InsufficientData::{Healthy, LastKnownStatus, Unhealthy};
        assert_eq!(alarm(Some("OK"), Unhealthy, Observed::Unknown), Observed::Healthy);
        assert_eq!(alarm(Some("ALARM"), Healthy, Observed::Unknown), Observed::Unhealthy);
        for none in [Some("INSUFFICIENT_DATA"), None] {
            assert_eq!(alarm(none, Healthy, Observed::Unhealthy), Observed::Healthy);
            assert_eq!(alarm(none, Unhealthy, Observed::Healthy), Observed::Unhealthy);
            assert_eq!(alarm(none, LastKnownStatus, Observed::Unhealthy), Observed::Unhealthy);
            assert_eq!(alarm(none, LastKnownStatus, Observed::Unknown), Observed::Unknown);
        }
    }

    #[test]
    fn unknown_and_disabled_count_as_healthy_before_inversion() {
        let checks = BTreeMap::from([
            check("new", watched(), false, false),
            check("new-inverted", watched(), true, false),
            check("down", watched(), false, false),
            check("down-inverted", watched(), true, false),
            check("down-disabled", watched(), false, true),
            check("down-disabled-inverted", watched(), true, true),
        ]);
        let verdicts = verdicts(&checks, |id| {
            if id.starts_with("down") { Observed::Unhealthy } else { Observed::Unknown }
        });
        assert_eq!(verdicts["new"], Verdict::Healthy);
        assert_eq!(verdicts["new-inverted"], Verdict::Unhealthy);
        assert_eq!(verdicts["down"], Verdict::Unhealthy);
        assert_eq!(verdicts["down-inverted"], Verdict::Healthy);
        assert_eq!(verdicts["down-disabled"], Verdict::Healthy);
        assert_eq!(verdicts["down-disabled-inverted"], Verdict::Unhealthy);
    }

    #[test]
    fn a_calculated_check_counts_its_children() {
        let of = |threshold| CheckKind::Calculated {
            children: ["up", "down", "gone"].map(str::to_owned).to_vec(),
            threshold,
        };
        let itself = CheckKind::Calculated { children: vec!["loop".to_owned()], threshold: 1 };
        let checks = BTreeMap::from([
            check("up", watched(), false, false),
            check("down", watched(), false, false),
            check("none", of(0), false, false),
            check("one", of(1), false, false),
            check("two", of(2), false, false),
            check("not-two", of(2), true, false),
            check("too-many", of(4), false, false),
            check("loop", itself, false, false),
        ]);
        let verdicts =
            verdicts(
                &checks,
                |id| {
                    if id == "up" { Observed::Healthy } else { Observed::Unhealthy }
                },
            );
        let healthy = ["none", "one", "not-two", "up"];
        for (id, verdict) in verdicts {
            assert_eq!(verdict, Verdict::of(healthy.contains(&id.as_str())), "{id}");
        }
    }
}
