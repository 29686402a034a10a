//! A plan in a few lines: what was understood of it.

use lifeboat_core::{
    backup::Kind,
    plan_file::{AppPlan, Approval, Backup, Switch},
};

use crate::output::say;

/// What a switch by health check needs.
const PUBLIC_OBJECT: &str =
    "an object that everyone may read: the account must allow it, see S3 Block Public Access";

/// What the plan needs of the account, in words for machines too.
pub(super) fn needs(plan: &AppPlan) -> Vec<&'static str> {
    match plan.dns.switch {
        Switch::HealthCheck => vec![PUBLIC_OBJECT],
        Switch::Record => Vec::new(),
    }
}

/// Says it.
pub(super) fn describe(plan: &AppPlan) {
    lines(plan).iter().for_each(|line| say(line));
}

fn lines(plan: &AppPlan) -> Vec<String> {
    let mut lines = vec![format!("app        {}", plan.app)];
    for (name, site) in &plan.sites {
        let role = if *name == plan.initially_active { "active at first" } else { "standby" };
        lines.push(format!(
            "site {name:<6}{}  {}  database {}  ({role})",
            site.region,
            site.reached_at(),
            site.database.identifier
        ));
    }
    lines.push(format!("witness    {}", plan.witness.region));
    lines.push(format!(
        "dns        {}  ttl {} s  switched by {}",
        plan.dns.name,
        plan.dns.ttl_seconds,
        match plan.dns.switch {
            Switch::HealthCheck => format!("health check ({PUBLIC_OBJECT})"),
            Switch::Record => "record".to_owned(),
        }
    ));
    for (scenario, policy) in &plan.scenarios {
        lines.push(format!(
            "objective  {}  RTO {} s  RPO {} s  approval {}",
            scenario.as_str(),
            policy.rto_seconds,
            policy.rpo_seconds,
            match policy.approval {
                Approval::Automatic => "only beyond the RPO",
                Approval::Required => "always",
            }
        ));
    }
    match plan.backup.as_ref().filter(|backup| !backup.schedule.is_empty()) {
        Some(backup) => backups(plan, backup, &mut lines),
        None => lines.push("backup     nothing is backed up".to_owned()),
    }
    lines
}

/// One line for each kind that is taken, and one each for what keeps and what proves them.
fn backups(plan: &AppPlan, backup: &Backup, lines: &mut Vec<String>) {
    let retention = &backup.retention;
    for (kind, slots) in &backup.schedule {
        let at = slots.at.unwrap_or_default();
        let full = slots.full_every.map(|every| format!(", full every {every}"));
        lines.push(format!(
            "backup     {kind:<17}  every {} from {at} UTC{}  kept {}{}",
            slots.every,
            full.unwrap_or_default(),
            days(retention.days(*kind)),
            what(plan, backup, *kind).map(|what| format!("  {what}")).unwrap_or_default(),
        ));
    }
    let tiers = retention.tiers;
    let tiers = [
        ("daily", tiers.daily),
        ("weekly", tiers.weekly),
        ("monthly", tiers.monthly),
        ("yearly", tiers.yearly),
    ];
    let tiers = tiers.iter().filter(|(_, count)| *count > 0);
    let mut kept: Vec<String> = tiers.map(|(name, count)| format!("{count} {name}")).collect();
    kept.push(format!("at least {} verified", retention.minimum));
    if backup.schedule.contains_key(&Kind::DatabaseBase) {
        kept.push(format!("WAL {}", days(retention.days(Kind::DatabaseWal))));
    }
    let bytes = retention.limit.bytes.map(|bytes| format!(" or {bytes} bytes"));
    lines.push(format!(
        "retention  {}; a sweep deletes at most {} points{}",
        kept.join(", "),
        retention.limit.deletions,
        bytes.unwrap_or_default()
    ));
    lines.push(format!(
        "verify     read every {} h, restored every {} h, {}",
        backup.verify.read_every_hours,
        backup.verify.restore_every_hours,
        match backup.checks.len() {
            1 => "1 SQL check".to_owned(),
            many => format!("{many} SQL checks"),
        }
    ));
}

/// What is in a kind, where the plan says so.
fn what(plan: &AppPlan, backup: &Backup, kind: Kind) -> Option<String> {
    match kind {
        Kind::Config | Kind::Code | Kind::Logs => {
            let files = backup.files.get(&kind)?;
            let left_out = match files.exclude.as_slice() {
                [] => String::new(),
                exclude => format!(" without {}", exclude.join(", ")),
            };
            Some(format!("{}{left_out}", files.paths.join(", ")))
        }
        Kind::Images => Some(backup.images.as_ref()?.names.join(", ")),
        Kind::Cache => {
            let of = plan.sites.values().map(|site| match &site.cache {
                Some(cache) => Some(format!("ElastiCache {}", cache.replication_group)),
                None => site.health.redis.clone(),
            });
            Some(of.flatten().collect::<Vec<_>>().join(", "))
        }
        Kind::DatabaseSnapshot | Kind::DatabaseDump | Kind::DatabaseBase | Kind::DatabaseWal => {
            None
        }
    }
}

fn days(days: u32) -> String {
    format!("{days} d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_understood_of_backups_is_a_line_for_each() {
        let text = include_str!("../../../events/plan/postgres.toml");
        let plan = lifeboat_core::plan_file::read(text).unwrap();
        let all = lines(&plan);
        let of = |word: &str| all.iter().filter(|line| line.starts_with(word)).collect::<Vec<_>>();
        assert_eq!(of("backup  ").len(), 7);
        for line in [
            "backup     database-dump      every 24h from 02:30 UTC  kept 30 d",
            "backup     database-base      every 4h from 01:00 UTC, full every 24h  kept 14 d",
            "backup     logs               every 4h from 00:00 UTC  kept 90 d  /var/log/shop",
            "retention  7 daily, 4 weekly, 12 monthly, 3 yearly, at least 3 verified, WAL 7 d; a \
             sweep deletes at most 1000 points or 2000000000000 bytes",
            "verify     read every 24 h, restored every 168 h, 1 SQL check",
        ] {
            assert!(all.iter().any(|known| known == line), "{line:?} is not in {all:#?}");
        }
        let nothing = AppPlan { backup: None, ..plan };
        assert!(lines(&nothing).contains(&"backup     nothing is backed up".to_owned()));
    }
}
