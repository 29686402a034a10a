//! What detection asks of a plan: rounds that fit, limits that a healthy region can keep, and an RTO
//! that leaves the time.

use super::Report;
use crate::{
    hold,
    permit::{MARGIN_MS, PERMIT_SECONDS},
    plan_file::model::{AppPlan, Approval, Detection, Replication},
    round_trip::{RoundTrip, SERVICE_MS},
    situation::CLAIM_SECONDS,
};

pub(super) fn check(plan: &AppPlan, report: &mut Report) {
    rounds(plan, report);
    holds(plan, report);
    reaches(plan, report);
    leaves_time(plan, report);
}

/// That an asynchronous replica's loss is known no finer than what passes until the old site has stopped.
pub(super) fn notes(plan: &AppPlan, report: &mut Report) {
    if plan.database.replication == Replication::Synchronous {
        return;
    }
    let (takes, interval) =
        (hold::longest_detection_seconds(plan), plan.detection.interval_seconds);
    let permit_ms = PERMIT_SECONDS * 1000 + MARGIN_MS;
    let floor_ms = i64::from(takes + interval) * 1000 + CLAIM_SECONDS * 1000 + permit_ms;
    for (scenario, policy) in &plan.scenarios {
        if policy.approval == Approval::Required || i64::from(policy.rpo_seconds) * 1000 >= floor_ms
        {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of some minutes")]
        let seconds = |ms: i64| ms as f64 / 1000.0;
        report.add(
            &["scenarios", scenario.as_str(), "rpo_seconds"],
            format!(
                "an asynchronous replica can lack more than {} s, so a recovery may have to ask a person: \
                 one round of {interval} s since it was seen to have everything, {takes} s to detect, \
                 {CLAIM_SECONDS} s to claim, and {} s until the old site's last permit has ended, are {} s; \
                 raise the RPO, or use a synchronous standby (engine = \"postgres\")",
                policy.rpo_seconds,
                seconds(permit_ms),
                seconds(floor_ms),
            ),
        );
    }
}

fn rounds(plan: &AppPlan, report: &mut Report) {
    let detection = plan.detection;
    if !(1..=Detection::ALARM_PERIOD_SECONDS).contains(&detection.interval_seconds) {
        report.add(
            &["detection", "interval_seconds"],
            format!(
                "use 1 to {} seconds: an alarm period has {0} and needs at least one round in it",
                Detection::ALARM_PERIOD_SECONDS
            ),
        );
        return;
    }
    if detection.deadline_ms == 0 || detection.deadline_ms >= detection.interval_seconds * 1000 {
        report.add(
            &["detection", "deadline_ms"],
            format!(
                "use 1 to {} ms: a round must end before the next one begins",
                detection.interval_seconds * 1000 - 1
            ),
        );
    }
    if detection.quorum == 0 {
        report.add(&["detection", "quorum"], "use at least 1 vote".into());
    }
    if !(1..=detection.rounds_per_period()).contains(&detection.rounds_to_alarm) {
        report.add(
            &["detection", "rounds_to_alarm"],
            format!(
                "use 1 to {}: that many rounds begin in one alarm period of {} s",
                detection.rounds_per_period(),
                Detection::ALARM_PERIOD_SECONDS
            ),
        );
    }
}

fn holds(plan: &AppPlan, report: &mut Report) {
    if plan.hold_seconds() > hold::LONGEST_SECONDS {
        report.add(
            &["detection", "hold_seconds"],
            format!(
                "use 0 to {} s; where a person can be there by then, set approval = \"required\"",
                hold::LONGEST_SECONDS
            ),
        );
    }
}

/// That a region which is well can answer in time.
fn reaches(plan: &AppPlan, report: &mut Report) {
    let detection = plan.detection;
    if !(1..=RoundTrip::LONGEST_MS).contains(&detection.round_trip_ms) {
        report.add(
            &["detection", "round_trip_ms"],
            format!(
                "use 1 to {} ms: a guard has to read the other region's register twice while a permit \
                 lasts",
                RoundTrip::LONGEST_MS
            ),
        );
        return;
    }
    let needed = plan.round_trip().cold_call().as_millis();
    if u128::from(detection.deadline_ms) < needed {
        report.add(
            &["detection", "deadline_ms"],
            format!(
                "{} ms is less than a check of a healthy site takes over a round trip of {} ms: 4 of \
                 them to connect over TLS and ask, and {SERVICE_MS} ms to answer, are {needed} ms; raise \
                 it, or lower detection.round_trip_ms to what you measure between the regions",
                detection.deadline_ms, detection.round_trip_ms
            ),
        );
    }
}

/// That an RTO is not over before anything may be done.
fn leaves_time(plan: &AppPlan, report: &mut Report) {
    let detection = plan.detection;
    let (hold, takes) = (plan.hold_seconds(), hold::longest_detection_seconds(plan));
    for (scenario, policy) in &plan.scenarios {
        if policy.rto_seconds > takes {
            continue;
        }
        let periods = hold::alarm(hold).datapoints;
        let source = match detection.hold_seconds {
            Some(_) => "detection.hold_seconds",
            None => "the default of its engine",
        };
        report.add(
            &["scenarios", scenario.as_str(), "rto_seconds"],
            format!(
                "{} s are over before a recovery may begin, {takes} s after an outage at the latest: \
                 {} rounds of {} s that the first alarm period may miss, {periods} x {} s of alarm \
                 periods, and the {hold} s for which the verdict must hold ({source}); raise the RTO, or \
                 set a shorter detection.hold_seconds where nothing repairs the database in that time \
                 (an RDS instance without Multi-AZ)",
                policy.rto_seconds,
                detection.rounds_to_alarm,
                detection.interval_seconds,
                Detection::ALARM_PERIOD_SECONDS,
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::plan_file::{self, AppPlan};

    fn plan() -> AppPlan {
        plan_file::read(include_str!("../../../../../events/plan/queue.toml")).unwrap()
    }

    fn mistakes(plan: &AppPlan) -> Vec<(String, String)> {
        check(plan).into_iter().map(|found| (found.path.join("."), found.message)).collect()
    }

    #[test]
    fn an_rto_that_detection_alone_uses_up_is_refused_with_the_arithmetic() {
        let mut plan = plan();
        plan.detection.hold_seconds = None;
        let found = mistakes(&plan);
        let [(place, message)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(place, "scenarios.region-outage.rto_seconds");
        for words in
            ["126 s after an outage", "12 x 10 s", "the 120 s", "the default of its engine"]
        {
            assert!(message.contains(words), "{words}: {message}");
        }
        for policy in plan.scenarios.values_mut() {
            policy.rto_seconds = 127;
        }
        assert_eq!(mistakes(&plan), []);
        plan.detection.hold_seconds = Some(901);
        assert_eq!(mistakes(&plan)[0].0, "detection.hold_seconds");
    }

    #[test]
    fn a_deadline_below_what_the_round_trip_needs_is_refused_with_the_arithmetic() {
        let mut plan = plan();
        plan.detection.round_trip_ms = 250;
        plan.detection.deadline_ms = 1200;
        assert_eq!(mistakes(&plan), []);
        plan.detection.deadline_ms = 1199;
        let found = mistakes(&plan);
        let [(place, message)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(place, "detection.deadline_ms");
        assert!(message.contains("1200 ms"), "{message}");
        for wrong in [0, 301] {
            plan.detection.round_trip_ms = wrong;
            assert_eq!(mistakes(&plan)[0].0, "detection.round_trip_ms");
        }
    }
}
