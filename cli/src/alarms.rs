//! The alarms of a plan: pure data, set by `lifeboat plan apply`.

mod standing;

use lifeboat_core::{
    AppName, Region, SiteName,
    backup::{Kind, schedule::TICK_SECONDS},
    hold,
    plan_file::{AppPlan, Detection, Engine},
};
use serde::Serialize;

/// How many minutes of blindness page a person. Of silence it takes two more: CloudWatch looks
/// that much further back before it believes that data is missing.
const SILENT_PERIODS: i32 = 3;

/// How often the ages of backups are reported: the period of the schedule `lifeboat-verify`.
const REPORT_SECONDS: i32 = 3_600;
/// What a backup may take from its slot until it is copied and verified, in seconds. One that is
/// missed altogether is then noticed when the next one is due.
const VERIFY_SECONDS: u32 = 3_600;

/// Ticks of `lifeboat-backup`, which reports to which moments RDS can restore, that must agree: one may
/// come late.
const LATE_TICKS: i32 = 3;
/// How old the newest such moment may be, in seconds. RDS hands in its logs every five minutes
/// (user guide, "Restoring a DB instance to a specified time"), and copies into another region take
/// some minutes more.
const PITR_SECONDS: u32 = 1_800;

/// What to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Watch {
    /// A site is proven down: starts the recovery, through the rule on this name.
    SiteDown,
    /// The observer is blind or silent: pages a person, and is never a reason to fail over.
    ObserverUnwell,
    /// The newest verified backup of a kind in the alarm's own region is too old, or there is
    /// none: pages a person.
    BackupAge(Kind),
    /// The newest moment to which RDS can restore the active site's database in the alarm's own
    /// region is too old, or there is none: pages a person.
    PitrLag,
    /// The active site fails a check and is not down: pages a person.
    SiteDegraded,
    /// A standby gets nothing from its primary: pages a person.
    ReplicationBroken,
    /// A standby is further behind than the RPO: pages a person.
    ReplicaLag,
    /// A register does not confirm who may write: pages a person, before one more is lost.
    RegisterLost,
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Alarm {
    /// Its name; the recovery rule matches the prefix of [`Watch::SiteDown`].
    pub(crate) name: String,
    /// Its region: that of the observer.
    pub(crate) region: Region,
    /// The site that is watched, or whose region observes.
    pub(crate) site: SiteName,
    /// What it watches.
    pub(crate) watch: Watch,
    /// Seconds in a period.
    pub(crate) period_seconds: i32,
    /// N of the M of N.
    pub(crate) evaluation_periods: i32,
    /// M of the M of N.
    pub(crate) datapoints_to_alarm: i32,
    /// The threshold; the alarm goes off at or above it.
    pub(crate) threshold: u32,
    /// What a person is paged with, where that takes more than its name and numbers to tell.
    pub(crate) page: Option<String>,
}

/// Every alarm of a plan. Each site is watched from the other's region.
pub(crate) fn alarms(plan: &AppPlan) -> Vec<Alarm> {
    let app = &plan.app;
    let mut all = Vec::new();
    let held = hold::alarm(plan.hold_seconds());
    for (site, here) in &plan.sites {
        if let Some((_, observer)) = plan.other_than(site) {
            all.push(Alarm {
                name: name("lifeboat-site-down", app, site.as_str()),
                region: observer.region.clone(),
                site: site.clone(),
                watch: Watch::SiteDown,
                period_seconds: i32::try_from(Detection::ALARM_PERIOD_SECONDS).unwrap_or(10),
                // The M of N over rounds is taken inside a period (the threshold on their sum);
                // that over periods is what the verdict has to hold.
                evaluation_periods: periods(held.evaluated),
                datapoints_to_alarm: periods(held.datapoints),
                threshold: plan.detection.rounds_to_alarm,
                page: None,
            });
        }
        all.push(Alarm {
            name: name("lifeboat-observer-unwell", app, site.as_str()),
            region: here.region.clone(),
            site: site.clone(),
            watch: Watch::ObserverUnwell,
            period_seconds: 60,
            evaluation_periods: SILENT_PERIODS,
            datapoints_to_alarm: SILENT_PERIODS,
            threshold: 1,
            page: None,
        });
        all.extend(standing::alarms(plan, site, here));
        all.extend(backup_ages(plan, site, &here.region));
        if plan.database.engine == Engine::Rds && plan.backup.is_some() {
            all.push(Alarm {
                name: format!("lifeboat-pitr-lag-{app}"),
                region: here.region.clone(),
                site: site.clone(),
                watch: Watch::PitrLag,
                period_seconds: i32::try_from(TICK_SECONDS).unwrap_or(i32::MAX),
                evaluation_periods: LATE_TICKS,
                datapoints_to_alarm: LATE_TICKS,
                threshold: PITR_SECONDS,
                page: None,
            });
        }
    }
    all
}

/// The name of an alarm of an app, on a site or a kind of backups. Two hyphens in a row are in the name of
/// neither, so that no other app or site has the same alarm.
fn name(alarm: &str, app: &AppName, of: &str) -> String {
    format!("{alarm}-{app}--{of}")
}

fn periods(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The alarms on the age of what is proven in one region, for each kind that is scheduled. They are
/// set in both regions, because either may become the other one: what counts is a copy away from
/// the active site.
fn backup_ages(plan: &AppPlan, site: &SiteName, region: &Region) -> impl Iterator<Item = Alarm> {
    let schedule = plan.backup.iter().flat_map(|backup| &backup.schedule);
    // WAL is archived by no schedule, and is watched where base backups are taken. Each of those ends
    // a segment, so that one comes in that time however little is written.
    let ages = schedule.flat_map(|(kind, slots)| {
        let every = slots.every.seconds();
        let wal = (Kind::DatabaseWal, every.saturating_add(VERIFY_SECONDS));
        let wal = (*kind == Kind::DatabaseBase).then_some(wal);
        wal.into_iter().chain([(*kind, every.saturating_mul(2))])
    });
    ages.map(|(kind, seconds)| Alarm {
        name: name("lifeboat-backup-age", &plan.app, kind.as_str()),
        region: region.clone(),
        site: site.clone(),
        watch: Watch::BackupAge(kind),
        period_seconds: REPORT_SECONDS,
        // The first hour that is missed may be a tick that came late.
        evaluation_periods: 2,
        datapoints_to_alarm: 2,
        threshold: seconds.saturating_add(VERIFY_SECONDS),
        page: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_site_is_watched_from_the_other_region() {
        let plan = lifeboat_core::plan_file::read(include_str!("../../events/plan/queue.toml"));
        let alarms = alarms(&plan.unwrap());
        let down: Vec<_> = alarms
            .iter()
            .filter(|alarm| alarm.watch == Watch::SiteDown)
            .map(|alarm| (alarm.name.as_str(), alarm.region.as_str(), alarm.threshold))
            .collect();
        assert_eq!(
            down,
            [
                ("lifeboat-site-down-queue--a", "us-west-2", 3),
                ("lifeboat-site-down-queue--b", "us-east-1", 3)
            ]
        );
        let template = include_str!("../../infra/template.yaml");
        assert!(template.contains("ScheduleExpression: rate(1 hour)"), "the ages' period");
        assert!(template.contains("prefix: lifeboat-site-down-"), "the rule matches the name");
    }

    #[test]
    fn no_two_apps_have_an_alarm_of_the_same_name() {
        let text = include_str!("../../events/plan/queue.toml");
        let mut plan = lifeboat_core::plan_file::read(text).unwrap();
        let mut names = |app: &str, sites: [&str; 2]| {
            plan.app = app.parse().unwrap();
            let here = std::mem::take(&mut plan.sites).into_values();
            plan.sites = sites.iter().map(|site| site.parse().unwrap()).zip(here).collect();
            let mut names: Vec<String> =
                alarms(&plan).into_iter().map(|alarm| alarm.name).collect();
            names.sort();
            names.dedup();
            names
        };
        let (one, other) = (names("aa-b", ["c", "d"]), names("aa", ["b-c", "b-d"]));
        assert!(one.iter().all(|name| !other.contains(name)), "{one:?} and {other:?}");
        assert_eq!(one.len(), other.len());
    }

    #[test]
    fn a_verdict_has_to_hold_before_the_alarm_goes_off() {
        let text = include_str!("../../events/plan/queue.toml");
        let mut plan = lifeboat_core::plan_file::read(text).unwrap();
        let periods = |plan: &AppPlan| {
            let down = alarms(plan).into_iter().find(|alarm| alarm.watch == Watch::SiteDown);
            down.map(|alarm| (alarm.datapoints_to_alarm, alarm.evaluation_periods)).unwrap()
        };
        // A round or two of a lab without Multi-AZ, then what each engine asks for.
        assert_eq!(periods(&plan), (1, 2));
        plan.detection.hold_seconds = None;
        assert_eq!(periods(&plan), (12, 12));
        plan.database.engine = Engine::Postgres;
        assert_eq!(periods(&plan), (1, 2));
    }

    #[test]
    fn each_kind_of_backup_is_watched_in_both_regions() {
        let text = include_str!("../../events/plan/queue.toml");
        let mut plan = lifeboat_core::plan_file::read(text).unwrap();
        let slots = |every: &str| lifeboat_core::backup::schedule::Slots {
            every: every.parse().unwrap(),
            at: None,
            full_every: None,
        };
        let schedule = [
            (Kind::DatabaseDump, slots("1d")),
            (Kind::DatabaseBase, slots("4h")),
            (Kind::Config, slots("4h")),
        ];
        plan.backup = Some(lifeboat_core::plan_file::Backup {
            schedule: schedule.into(),
            ..Default::default()
        });
        let found: Vec<_> = alarms(&plan)
            .into_iter()
            .filter(|alarm| matches!(alarm.watch, Watch::BackupAge(_)))
            .map(|alarm| (alarm.name, alarm.region.to_string(), alarm.threshold))
            .collect();
        let of = |kind: &str, region: &str, hours: u32| {
            (format!("lifeboat-backup-age-queue--{kind}"), region.to_owned(), hours * 3_600)
        };
        let expected = ["us-east-1", "us-west-2"].map(|region| {
            [
                of("database-dump", region, 49),
                of("database-wal", region, 6),
                of("database-base", region, 9),
                of("config", region, 9),
            ]
        });
        assert_eq!(found, expected.concat());
    }

    #[test]
    fn what_rds_can_restore_is_watched_in_both_regions() {
        let text = include_str!("../../events/plan/queue.toml");
        let mut plan = lifeboat_core::plan_file::read(text).unwrap();
        let watched = |plan: &AppPlan| {
            let all = alarms(plan).into_iter().filter(|alarm| alarm.watch == Watch::PitrLag);
            all.map(|alarm| alarm.region.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(watched(&plan), ["us-east-1", "us-west-2"]);
        plan.database.engine = Engine::Postgres;
        assert!(watched(&plan).is_empty());
    }
}
