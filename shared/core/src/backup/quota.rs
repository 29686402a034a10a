//! Whether the snapshots that plans keep fit into what RDS allows.
//!
//! RDS holds 100 manual DB snapshots a region unless it is asked for more (RDS user guide, "Quotas and
//! constraints", "Manual DB instance snapshots"); beyond that each backup fails. A region holds the
//! snapshots of the sites in it and the copies of the others', so each plan keeps the same number in
//! each of its regions.

use std::collections::BTreeMap;

use super::Kind;
use crate::{
    ids::{AppName, Region},
    plan_file::{AppPlan, Engine},
};

/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;

/// The most snapshots that a plan keeps in one region at any time.
///
/// Those of the days that they are kept for, the one that begins, and those of the day until the next
/// sweep; then one for each period of a tier that reaches beyond those days. None when the database is
/// not RDS's or no snapshot is scheduled.
#[must_use]
pub fn kept(plan: &AppPlan) -> u64 {
    let Some(backup) = plan.backup.as_ref().filter(|_| plan.database.engine == Engine::Rds) else {
        return 0;
    };
    let Some(slots) = backup.schedule.get(&Kind::DatabaseSnapshot) else { return 0 };
    let days = u64::from(backup.retention.days(Kind::DatabaseSnapshot));
    let taken = ((days + 1) * DAY_SECONDS).div_ceil(u64::from(slots.every.seconds()).max(1)) + 1;
    let tiers = &backup.retention.tiers;
    // As many days as a period has at least.
    let beyond = [(tiers.daily, 1), (tiers.weekly, 7), (tiers.monthly, 28), (tiers.yearly, 365)]
        .into_iter()
        .map(|(periods, length)| u64::from(periods).saturating_sub(days / length))
        .fold(0, u64::saturating_add);
    taken.saturating_add(beyond).max(u64::from(backup.retention.minimum))
}

/// What there is of manual snapshots in a region, and what may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshots {
    /// How many RDS allows.
    pub allowed: u64,
    /// How many there are, of everybody.
    pub there: u64,
    /// How many of them are Lifeboat's.
    pub ours: u64,
    /// What the stored plans of the region keep, by app; without the plan in question.
    pub others: BTreeMap<AppName, u64>,
}

/// Whether a plan's snapshots fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// They do.
    Fits,
    /// They do, and little is left; the arithmetic, for people.
    Tight(String),
    /// They do not; the arithmetic and what to do, for people.
    TooMany(String),
}

/// Percent of what is allowed above which people are warned: what a few backups by hand, or an app
/// more, would use up.
const TIGHT_PERCENT: u64 = 80;

/// Holds what a plan would keep in a region against what is allowed there; `stored` is the plan as it
/// is stored, if it is.
///
/// A plan that keeps no more than the stored one does is never refused: it makes nothing worse, and
/// may be what somebody needs now.
#[must_use]
pub fn fit(plan: &AppPlan, stored: Option<&AppPlan>, region: &Region, seen: &Snapshots) -> Fit {
    let own = kept(plan);
    if own == 0 {
        return Fit::Fits;
    }
    let Snapshots { allowed, there, ours, others } = seen;
    let foreign = there.saturating_sub(*ours);
    let plans = others.values().copied().fold(own, u64::saturating_add);
    let total = plans.saturating_add(foreign);
    let mut parts = vec![format!("{} {own}", plan.app)];
    parts.extend(others.iter().filter(|(_, kept)| **kept > 0).map(|(app, n)| format!("{app} {n}")));
    let sum = format!(
        "RDS allows {allowed} manual snapshots in {region} (quota ManualSnapshots) and has {there}; \
         the plans there keep up to {} = {plans}, and {foreign} are not Lifeboat's: {total} in all",
        parts.join(" + ")
    );
    let worse = stored.is_none_or(|stored| own > kept(stored));
    let what_to_do = "ask AWS for a higher quota (Service Quotas, Amazon RDS, \"Manual DB instance \
                      snapshots\"), or keep fewer \
                      (backup.retention.keep_days.database-snapshot)";
    if total > *allowed {
        let text = format!("{sum}, {} too many; {what_to_do}", total - allowed);
        return if worse { Fit::TooMany(text) } else { Fit::Tight(text) };
    }
    if total.saturating_mul(100) > allowed.saturating_mul(TIGHT_PERCENT) {
        return Fit::Tight(format!("{sum}, {} are left", allowed - total));
    }
    Fit::Fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_file;

    fn plan(change: impl FnOnce(&mut plan_file::Backup)) -> AppPlan {
        let text = include_str!("../../../../events/plan/queue.toml");
        let mut plan = plan_file::read(text).unwrap();
        change(plan.backup.as_mut().unwrap());
        plan
    }

    fn seen(there: u64, ours: u64, others: &[(&str, u64)]) -> Snapshots {
        let others = others.iter().map(|(app, kept)| (app.parse().unwrap(), *kept)).collect();
        Snapshots { allowed: 100, there, ours, others }
    }

    #[test]
    fn a_plan_keeps_its_days_a_day_until_the_sweep_and_its_tiers() {
        assert_eq!(kept(&plan(|_| {})), 32, "30 days of one a day");
        let every = |text: &str| {
            plan(|backup| {
                let slots = backup.schedule.get_mut(&Kind::DatabaseSnapshot).unwrap();
                slots.every = text.parse().unwrap();
            })
        };
        assert_eq!(kept(&every("4h")), 187);
        assert_eq!(kept(&every("7d")), 6);
        let tiers = plan(|backup| {
            backup.retention.keep_days.insert(Kind::DatabaseSnapshot, 7);
            backup.retention.tiers.daily = 7;
            backup.retention.tiers.weekly = 5;
            backup.retention.tiers.monthly = 12;
        });
        assert_eq!(kept(&tiers), 9 + 4 + 12);
        assert_eq!(kept(&plan(|backup| backup.retention.minimum = 50)), 50);
        assert_eq!(kept(&plan(|backup| backup.schedule.clear())), 0);
        let mut own = plan(|_| {});
        own.database.engine = Engine::Postgres;
        assert_eq!(kept(&own), 0);
    }

    #[test]
    fn the_app_that_is_too_many_is_refused_with_the_arithmetic() {
        let (plan, region) = (plan(|_| {}), "us-east-1".parse().unwrap());
        let fit = |seen| fit(&plan, None, &region, &seen);
        assert_eq!(fit(seen(3, 0, &[])), Fit::Fits);
        let three = [("shop", 32), ("tickets", 32)];
        let Fit::Tight(text) = fit(seen(61, 60, &three)) else { panic!() };
        assert!(text.ends_with("queue 32 + shop 32 + tickets 32 = 96, and 1 are not Lifeboat's: 97 in all, 3 are left"), "{text}");
        let Fit::TooMany(text) = fit(seen(65, 60, &three)) else { panic!() };
        for said in [
            "RDS allows 100 manual snapshots in us-east-1",
            "5 are not Lifeboat's: 101 in all, 1 too many",
            "Service Quotas",
            "backup.retention.keep_days.database-snapshot",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn what_makes_nothing_worse_is_not_refused() {
        let (stored, region) = (plan(|_| {}), "us-east-1".parse().unwrap());
        let full = seen(100, 20, &[("shop", 32)]);
        assert!(matches!(fit(&stored, Some(&stored), &region, &full), Fit::Tight(_)));
        let more = plan(|backup| {
            backup.retention.keep_days.insert(Kind::DatabaseSnapshot, 31);
        });
        assert!(matches!(fit(&more, Some(&stored), &region, &full), Fit::TooMany(_)));
        let none = plan(|backup| backup.schedule.clear());
        assert_eq!(fit(&none, Some(&stored), &region, &full), Fit::Fits);
    }
}
