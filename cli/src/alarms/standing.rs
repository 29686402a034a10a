//! The alarms on what is not an outage and needs a person: a site that is degraded, a replication that is
//! broken, a replica that lags, a register that does not confirm. Nothing repairs these by itself, so each page ends in a command.

use lifeboat_core::{
    SiteName,
    plan_file::{AppPlan, Engine, Site},
};

use super::{Alarm, Watch};

/// Minutes in a row after which a person is paged: a restart of the app or of a database is over by then.
const MINUTES: i32 = 3;

/// The longest that the probe can say a replica is behind, in seconds, whatever it is: it remembers the
/// primary's positions for the minute of one invocation.
const BEHIND_AT_MOST: u32 = 50;

/// The alarms of one site, in its own region: it sees the site whatever becomes of the path to others.
pub(super) fn alarms(plan: &AppPlan, name: &SiteName, site: &Site) -> Vec<Alarm> {
    let rpo = plan.scenarios.values().map(|policy| policy.rpo_seconds).min().unwrap_or(0);
    let behind = rpo.clamp(1, BEHIND_AT_MOST);
    let app = &plan.app;
    let one = |alarm: &str, watch, threshold, page| Alarm {
        name: super::name(alarm, app, name.as_str()),
        region: site.region.clone(),
        site: name.clone(),
        watch,
        period_seconds: 60,
        evaluation_periods: MINUTES,
        datapoints_to_alarm: MINUTES,
        threshold,
        page: Some(page),
    };
    vec![
        one("lifeboat-site-degraded", Watch::SiteDegraded, 1, degraded(plan, name, site)),
        one("lifeboat-replication-broken", Watch::ReplicationBroken, 1, broken(plan, name, site)),
        one(
            "lifeboat-replica-lag",
            Watch::ReplicaLag,
            behind,
            lagging(plan, name, site, behind, rpo),
        ),
        one("lifeboat-register-lost", Watch::RegisterLost, 1, unconfirmed(plan, site)),
    ]
}

fn degraded(plan: &AppPlan, name: &SiteName, site: &Site) -> String {
    let (app, region) = (&plan.app, &site.region);
    let command = match &site.hosts {
        Some(hosts) => format!(
            "aws ssm send-command --region {region} --document-name lifeboat-site-control --targets \
             Key=tag:{},Values={} --parameters Action=restart,App={app},Site={name},Epoch=$(lifeboat plan \
             show --app {app} --region {region} | sed -n 's/^register *epoch \\([0-9]*\\),.*/\\1/p')",
            hosts.tag, hosts.value
        ),
        None => format!("lifeboat plan show --app {app} --region {region}"),
    };
    format!(
        "Site {name} of {app} is degraded for {MINUTES} minutes, as seen in {region}: a check fails \
         (the app, most often) while others pass, so it is not lost and nothing fails over. Restart it by \
         hand: {command}"
    )
}

fn broken(plan: &AppPlan, name: &SiteName, site: &Site) -> String {
    format!(
        "The database of site {name} of {} in {} gets nothing from its primary for {MINUTES} minutes: it \
         does not answer, its WAL receiver has stopped, or it is a primary itself. A failover would be \
         blocked or lose data. Look: {}",
        plan.app,
        site.region,
        look(plan, site)
    )
}

fn lagging(plan: &AppPlan, name: &SiteName, site: &Site, behind: u32, rpo: u32) -> String {
    format!(
        "The replica of {} at site {name} in {} is {behind} s behind or more for {MINUTES} minutes (the RPO \
         is {rpo} s): a failover now would ask a person first. Look: {}",
        plan.app,
        site.region,
        look(plan, site)
    )
}

fn unconfirmed(plan: &AppPlan, site: &Site) -> String {
    let (app, region) = (&plan.app, &site.region);
    format!(
        "As seen in {region}, not every register of {app} has confirmed for {MINUTES} minutes who may write: a \
         region does not answer, or its register holds another claim. While that is so, the loss of one \
         more region ends all writes. Look: lifeboat ledger show --app {app} --region {region}"
    )
}

/// The command that shows what a standby's database does.
fn look(plan: &AppPlan, site: &Site) -> String {
    let database = &site.database;
    match plan.database.engine {
        Engine::Rds => format!(
            "aws rds describe-db-instances --region {} --db-instance-identifier {} --query \
             'DBInstances[0].[DBInstanceStatus,ReadReplicaSourceDBInstanceIdentifier,StatusInfos]'",
            site.region, database.identifier
        ),
        Engine::Postgres => format!(
            "psql -h {} -p {} -U {} -d {} -c 'SELECT pg_is_in_recovery(), r.* FROM (SELECT 1) one LEFT \
             JOIN pg_stat_wal_receiver r ON true'",
            database.host, database.port, plan.database.user, plan.database.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::alarms;
    use super::*;

    fn pages(plan: &AppPlan) -> Vec<Alarm> {
        alarms(plan).into_iter().filter(|alarm| alarm.page.is_some()).collect()
    }

    #[test]
    fn what_nobody_repairs_pages_in_the_sites_own_region_with_a_command() {
        let text = include_str!("../../../events/plan/queue.toml");
        let mut plan = lifeboat_core::plan_file::read(text).unwrap();
        let found = pages(&plan);
        let names: Vec<(&str, &str, u32)> = found
            .iter()
            .map(|alarm| (alarm.name.as_str(), alarm.region.as_str(), alarm.threshold))
            .collect();
        assert_eq!(
            names,
            [
                ("lifeboat-site-degraded-queue--a", "us-east-1", 1),
                ("lifeboat-replication-broken-queue--a", "us-east-1", 1),
                ("lifeboat-replica-lag-queue--a", "us-east-1", 30),
                ("lifeboat-register-lost-queue--a", "us-east-1", 1),
                ("lifeboat-site-degraded-queue--b", "us-west-2", 1),
                ("lifeboat-replication-broken-queue--b", "us-west-2", 1),
                ("lifeboat-replica-lag-queue--b", "us-west-2", 30),
                ("lifeboat-register-lost-queue--b", "us-west-2", 1),
            ]
        );
        for alarm in &found {
            let page = alarm.page.clone().unwrap();
            // CloudWatch takes 1024 characters (API reference, `PutMetricAlarm`, `AlarmDescription`).
            assert!(page.len() <= 1024, "{}: {}", alarm.name, page.len());
            assert!(page.contains(alarm.region.as_str()), "{page}");
            assert!(page.contains(": aws ") || page.contains(": lifeboat "), "{page}");
        }
        plan.database.engine = Engine::Postgres;
        for policy in plan.scenarios.values_mut() {
            policy.rpo_seconds = 300;
        }
        let found = pages(&plan);
        assert!(found[1].page.clone().unwrap().contains("psql -h 127.0.1.20 -p 5432"));
        assert_eq!(found[2].threshold, 50, "what the probe can tell");
        assert!(found[2].page.clone().unwrap().contains("RPO is 300 s"));
    }
}
