//! How long a site must be proven down before anything irreversible, and what that takes.
//!
//! An engine that repairs itself needs time, and a promotion in another region throws away what the
//! repair would have brought back. So a verdict has to *hold*: for the alarm in as many periods in a
//! row ([`alarm`]), and again, to the second, in the votes that were published
//! ([`held_since`]), before a recovery proceeds that nobody attends. The alarm alone is not enough: it
//! counts rounds within a period, so a site that comes and goes keeps it on, and with datapoints
//! missing CloudWatch may judge by fewer.

use jiff::{SignedDuration, Timestamp};

use crate::plan_file::{AppPlan, Detection};

/// The longest that a plan may ask a verdict to hold, in seconds. Beyond a quarter of an hour a person
/// can be there: `approval = "required"` says so.
pub const LONGEST_SECONDS: u32 = 900;

/// Published votes further apart than this, in seconds, show nothing of the time between them: two
/// alarm periods, because one invocation of the probe may begin late.
pub const GAP_SECONDS: i64 = 2 * Detection::ALARM_PERIOD_SECONDS as i64;

/// The M of N of an alarm over periods of [`Detection::ALARM_PERIOD_SECONDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmPeriods {
    /// M.
    pub datapoints: u32,
    /// N.
    pub evaluated: u32,
}

/// The periods in a row in which rounds must be down for the alarm, so that it goes off shortly before
/// the verdict has held for `hold_seconds`, or when it has.
///
/// Below two periods it is 1 of 2: two whole ones would take longer than the 20 s in which an outage
/// has to be detected, and the M of N over rounds is taken inside the period.
/// [`LONGEST_SECONDS`] makes 90 periods, 900 s; CloudWatch takes up to a day for periods below an hour
/// (API reference, `PutMetricAlarm`, `Period`).
#[must_use]
pub const fn alarm(hold_seconds: u32) -> AlarmPeriods {
    match hold_seconds / Detection::ALARM_PERIOD_SECONDS {
        0 | 1 => AlarmPeriods { datapoints: 1, evaluated: 2 },
        periods => AlarmPeriods { datapoints: periods, evaluated: periods },
    }
}

/// The longest from the moment at which a site is lost until a recovery that nobody attends may proceed,
/// in seconds.
///
/// An outage that begins too late in a period to be proven there is proven in the next ones, so the
/// alarm takes its periods and the rounds of the one that was missed; what is then left of the hold
/// is waited for.
#[must_use]
pub fn longest_detection_seconds(plan: &AppPlan) -> u32 {
    let hold = plan.hold_seconds();
    let missed = plan.detection.rounds_to_alarm.saturating_mul(plan.detection.interval_seconds);
    let periods = alarm(hold).datapoints.saturating_mul(Detection::ALARM_PERIOD_SECONDS);
    periods.saturating_add(missed).max(hold)
}

/// Since when the published votes, and the round at `seen_down_at`, find a site down without a break:
/// no vote that says otherwise, and no gap in which nobody looked. `points` are the values of
/// `SiteDown`, in the order of time.
///
/// A gap starts the count anew, as a vote for `up` would: what was not seen is not proven.
#[must_use]
pub fn held_since(points: &[(Timestamp, f64)], seen_down_at: Timestamp) -> Timestamp {
    let gap = SignedDuration::from_secs(GAP_SECONDS);
    let mut since = seen_down_at;
    for (at, value) in points.iter().rev().filter(|(at, _)| *at <= seen_down_at) {
        if *value < 1.0 || since.duration_since(*at) > gap {
            break;
        }
        since = *at;
    }
    since
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_file;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_268_800 + second).unwrap()
    }

    /// Rounds each two seconds, down in these seconds.
    fn rounds(until: i64, down: impl Fn(i64) -> bool) -> Vec<(Timestamp, f64)> {
        let seconds = (0..until).step_by(2);
        seconds.map(|second| (at(second), if down(second) { 1.0 } else { 0.0 })).collect()
    }

    #[test]
    fn a_verdict_holds_since_the_first_round_of_the_run_that_found_it() {
        let points = rounds(40, |second| second >= 10);
        assert_eq!(held_since(&points, at(41)), at(10));
        // One round that saw it well starts the count anew.
        let points = rounds(40, |second| second >= 10 && second != 20);
        assert_eq!(held_since(&points, at(41)), at(22));
        // What is published only now is no older than this round.
        assert_eq!(held_since(&[], at(41)), at(41));
        assert_eq!(held_since(&rounds(40, |_| false), at(41)), at(41));
    }

    #[test]
    fn a_time_in_which_nobody_looked_proves_nothing() {
        let mut points = rounds(120, |_| true);
        points.retain(|(moment, _)| *moment < at(30) || *moment > at(52));
        assert_eq!(held_since(&points, at(120)), at(54));
        // A round or two that are missing are no such time.
        let mut points = rounds(120, |_| true);
        points.retain(|(moment, _)| *moment < at(30) || *moment >= at(48));
        assert_eq!(held_since(&points, at(120)), at(0));
        // Nor is what was seen long before this round.
        assert_eq!(held_since(&rounds(40, |_| true), at(70)), at(70));
    }

    #[test]
    fn the_alarm_takes_as_many_periods_as_the_hold_has() {
        let periods = |hold| (alarm(hold).datapoints, alarm(hold).evaluated);
        assert_eq!(periods(0), (1, 2));
        assert_eq!(periods(19), (1, 2));
        assert_eq!(periods(20), (2, 2));
        assert_eq!(periods(120), (12, 12));
        assert_eq!(periods(LONGEST_SECONDS), (90, 90));
    }

    #[test]
    fn detection_takes_the_alarms_periods_and_what_is_left_of_the_hold() {
        let mut plan = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
        let mut takes = |hold| {
            plan.detection.hold_seconds = Some(hold);
            longest_detection_seconds(&plan)
        };
        assert_eq!((takes(0), takes(10), takes(19)), (16, 16, 19));
        assert_eq!((takes(20), takes(120), takes(129)), (26, 126, 129));
    }

    /// CloudWatch's sum over each closed period of ten seconds, held against the alarm's rule.
    fn alarm_goes_off(points: &[(Timestamp, f64)], hold: u32, rounds_to_alarm: u32) -> bool {
        let AlarmPeriods { datapoints, evaluated } = alarm(hold);
        let start = at(0).as_second();
        let mut sums = vec![0.0; 60];
        for (moment, value) in points {
            let period = usize::try_from((moment.as_second() - start) / 10).unwrap();
            sums[period] += *value;
        }
        sums.windows(usize::try_from(evaluated).unwrap()).any(|window| {
            let breaching = window.iter().filter(|sum| **sum >= f64::from(rounds_to_alarm));
            u32::try_from(breaching.count()).unwrap() >= datapoints
        })
    }

    /// A forced failover of a Multi-AZ instance, as AWS documents it: 60 to 120 s.
    #[test]
    fn a_multi_az_failover_of_rds_is_waited_out() {
        let mut plan = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
        plan.detection.hold_seconds = None;
        let (hold, needed) = (plan.hold_seconds(), plan.detection.rounds_to_alarm);
        assert_eq!(hold, 120);
        for begins in 100..110 {
            let away =
                |lasts: i64| rounds(500, |second| (begins..begins + lasts).contains(&second));
            for lasts in [60, 90, 110] {
                assert!(!alarm_goes_off(&away(lasts), hold, needed), "{lasts} s from {begins}");
                // With what there was before, all of them were failed over.
                assert!(alarm_goes_off(&away(lasts), 0, needed), "{lasts} s from {begins}");
                let last = at(begins + lasts - 1);
                let seen: Vec<_> = away(lasts).into_iter().filter(|(at, _)| *at <= last).collect();
                let held = last.duration_since(held_since(&seen, last)).as_secs();
                assert!(held < i64::from(hold), "{lasts} s from {begins}: held {held} s");
            }
            // A region that is lost is not waited out.
            let (lost, until) = (away(400), i64::from(longest_detection_seconds(&plan)));
            let seen: Vec<_> =
                lost.into_iter().filter(|(m, _)| *m < at(begins + until + 10)).collect();
            assert!(alarm_goes_off(&seen, hold, needed), "from {begins}");
        }
    }
}
