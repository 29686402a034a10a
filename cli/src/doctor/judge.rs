//! What the answers mean: plain functions from facts to findings.

use jiff::Timestamp;
use lifeboat_core::{
    Fault, Region, SiteName,
    plan_file::{AppPlan, HostTag, Site, Switch},
};
use serde::Serialize;

use super::registers;
use crate::plan::{There, has_begun, is_changed};

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// As it has to be.
    Ok,
    /// It does less than it should, and a recovery is possible.
    Warning,
    /// A recovery may fail, or nobody would learn of it.
    Fault,
    /// It could not be told.
    Unknown,
}

impl Health {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "FAULT",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How it is.
    pub(crate) health: Health,
    /// What was looked at.
    pub(crate) check: &'static str,
    /// The region that it is in; none of what is in none.
    pub(crate) region: Option<Region>,
    /// What was found.
    pub(crate) said: String,
    /// What to do, where something is to be done.
    pub(crate) next: Option<String>,
}

impl Finding {
    pub(super) fn new(
        health: Health,
        check: &'static str,
        region: &Region,
        said: impl Into<String>,
    ) -> Self {
        Self { health, check, region: Some(region.clone()), said: said.into(), next: None }
    }

    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// Whether nothing is to be done.
    pub(crate) fn is_ok(&self) -> bool {
        self.health == Health::Ok
    }

    /// It could not be asked.
    pub(super) fn unasked(check: &'static str, region: Option<&Region>, fault: &Fault) -> Self {
        let forbidden = ["AccessDenied", "AuthorizationError", "not authorized"];
        let next = match missing_action(&fault.message) {
            Some(action) => {
                format!("give this role {action} (infra/operators.yaml has what it needs)")
            }
            None if forbidden.iter().any(|word| fault.message.contains(word)) => {
                "give this role the policy AuditorPolicyArn of infra/operators.yaml".to_owned()
            }
            None => "give the same command again".to_owned(),
        };
        Self {
            health: Health::Unknown,
            check,
            region: region.cloned(),
            said: fault.message.clone(),
            next: Some(next),
        }
    }
}

/// The action that a refusal names (IAM user guide, "Troubleshooting access denied error messages"):
/// `... is not authorized to perform: rds:DescribeDBInstances on resource: ...`.
fn missing_action(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == ':' || c == '-'));
    let action = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches(':');
    action.contains(':').then_some(action)
}

/// The stored plans, the registers and the alarms of the regions that answered.
pub(super) fn records(
    plan: &AppPlan,
    file: &str,
    there: &[(Region, Result<There, Fault>)],
) -> Vec<Finding> {
    let answered: Vec<(&Region, &There)> =
        there.iter().filter_map(|(region, there)| Some((region, there.as_ref().ok()?))).collect();
    let begun = has_begun(
        answered.iter().filter_map(|(_, there)| there.overview.as_ref()),
        answered.iter().any(|(_, there)| !there.alarms.is_empty()),
    );
    let mut found = Vec::new();
    if let Some((_, there)) = answered.first() {
        found.push(registers::judge(plan, file, &plan.witness.region, &there.seen.registers));
    }
    for (region, there) in answered {
        found.push(stored(plan, file, region, there.stored.as_deref()));
        found.push(registers::judge(plan, file, region, &there.seen.registers));
        let names: Vec<&str> = there.alarms.iter().filter_map(|alarm| alarm.alarm_name()).collect();
        found.push(alarms(plan, file, region, &names, begun));
    }
    found
}

fn stored(plan: &AppPlan, file: &str, region: &Region, stored: Option<&str>) -> Finding {
    let of = |health, said| Finding::new(health, "plan", region, said);
    match stored {
        None => of(Health::Fault, "no plan is stored").next(format!("lifeboat plan apply {file}")),
        Some(text) if is_changed(plan, Some(text), region) => {
            of(Health::Warning, "another plan is stored than this one")
                .next(format!("lifeboat plan apply --dry-run {file}"))
        }
        Some(_) => of(Health::Ok, "the stored plan is this one"),
    }
}

fn alarms(plan: &AppPlan, file: &str, region: &Region, names: &[&str], begun: bool) -> Finding {
    let of = |health, said: String| Finding::new(health, "alarms", region, said);
    if !begun {
        return of(Health::Warning, "none is set before the first site serves".into())
            .next(format!("lifeboat init {file}"));
    }
    let wanted = crate::alarms::alarms(plan);
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|alarm| alarm.region == *region && !names.contains(&alarm.name.as_str()))
        .map(|alarm| alarm.name.as_str())
        .collect();
    if missing.is_empty() {
        return of(Health::Ok, format!("{} are set", names.len()));
    }
    of(Health::Fault, format!("not set: {}", missing.join(", ")))
        .next(format!("lifeboat plan apply {file}"))
}

/// The secrets that the plan names: those that are not stored.
pub(super) fn secrets(file: &str, region: &Region, missing: &[&str]) -> Finding {
    match missing.first() {
        None => Finding::new(Health::Ok, "secrets", region, "every secret of the plan is stored"),
        Some(name) => Finding::new(
            Health::Fault,
            "secrets",
            region,
            format!("not stored: {}", missing.join(", ")),
        )
        .next(format!("lifeboat secret {file} {name}")),
    }
}

/// Whether the manual snapshots that the plan keeps fit into RDS's quota.
pub(super) fn quota(
    region: &Region,
    problems: &[String],
    warnings: &[String],
    unchecked: &[String],
) -> Finding {
    let of = |health, said: &[String]| Finding::new(health, "quota", region, said.join("; "));
    let more = "ask for more of RDS's manual snapshots (Service Quotas), or keep fewer days";
    match (problems, warnings, unchecked) {
        ([], [], []) => Finding::new(Health::Ok, "quota", region, "the snapshots of the plan fit"),
        ([], [], unchecked) => of(Health::Unknown, unchecked).next("give the same command again"),
        ([], warnings, _) => of(Health::Warning, warnings).next(more),
        (problems, _, _) => of(Health::Fault, problems).next(more),
    }
}

/// A host as Systems Manager knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) id: String,
    pub(super) online: bool,
}

/// The hosts with the site's tag.
pub(super) fn hosts(region: &Region, tag: &HostTag, hosts: &[Host]) -> Finding {
    let online = hosts.iter().filter(|host| host.online).count();
    let tag = format!("{}={}", tag.tag, tag.value);
    let of = |health, said| Finding::new(health, "hosts", region, said);
    let look = format!(
        "see that the agent runs on them: aws ssm describe-instance-information --region {region}"
    );
    match (online, hosts.len()) {
        (0, 0) => of(Health::Fault, format!("no host has the tag {tag}"))
            .next("tag the hosts, and see that their Systems Manager agent runs"),
        (0, all) => {
            of(Health::Fault, format!("none of {all} hosts with {tag} is online")).next(look)
        }
        (online, all) if online < all => {
            let off: Vec<&str> =
                hosts.iter().filter(|host| !host.online).map(|host| host.id.as_str()).collect();
            of(Health::Warning, format!("{online} of {all} are online; not: {}", off.join(", ")))
                .next(look)
        }
        (online, _) => of(Health::Ok, format!("{online} with {tag} online")),
    }
}

/// A DB instance as RDS knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) status: String,
    /// The instance that it replicates from: an ARN when it is in another region.
    pub(super) source: Option<String>,
    /// How its replication is, as RDS says: `replicating`, `error`.
    pub(super) replication: Option<String>,
}

/// The relation of a site's instance to the other one's; `active` when the site is the active one.
pub(super) fn instance(
    region: &Region,
    site: &Site,
    other: &Site,
    active: bool,
    found: Option<&Instance>,
) -> Finding {
    let id = &site.database.identifier;
    let of = |health, said| Finding::new(health, "database", region, said);
    let look =
        format!("aws rds describe-db-instances --region {region} --db-instance-identifier {id}");
    let Some(found) = found else {
        return of(Health::Fault, format!("there is no DB instance {id}"))
            .next("create it, or correct the identifier in the plan");
    };
    // RDS user guide, "Viewing Amazon RDS DB instance status".
    if found.status != "available" {
        return of(Health::Warning, format!("{id} is {}", found.status)).next(look);
    }
    let source = match (active, &found.source) {
        (true, None) => return of(Health::Ok, format!("{id} is available, and a primary")),
        (true, Some(source)) => {
            let said = format!("{id} is the active site's, and a replica of {source}");
            return of(Health::Fault, said).next(look);
        }
        (false, None) => {
            return of(Health::Fault, format!("{id} is no replica: nothing follows"))
                .next("create a read replica of the active site's instance here");
        }
        (false, Some(source)) => source,
    };
    let wanted = &other.database.identifier;
    if source != wanted && !source.ends_with(&format!(":db:{wanted}")) {
        return of(Health::Fault, format!("{id} is a replica of {source}, and not of {wanted}"))
            .next("create a read replica of the active site's instance, or correct the plan");
    }
    match found.replication.as_deref() {
        Some(status) if status != "replicating" => {
            of(Health::Fault, format!("the replication of {id} is {status}")).next(look)
        }
        Some(_) | None => of(Health::Ok, format!("{id} is a replica of {wanted}")),
    }
}

/// How far the standby's database is behind, as its region's observer reported last.
pub(super) fn lag(
    region: &Region,
    rpo_seconds: Option<u32>,
    last: Option<(Timestamp, f64)>,
    now: Timestamp,
) -> Finding {
    let of = |health, said| Finding::new(health, "replica lag", region, said);
    let Some((at, seconds)) = last else {
        return of(Health::Unknown, "none was reported in the last ten minutes".to_owned()).next(
            format!(
                "look at the executions of lifeboat-observe in {region}, and at the database's role"
            ),
        );
    };
    let said = format!("{seconds:.1} s, in the minute of {at}");
    let rpo = rpo_seconds.filter(|rpo| seconds > f64::from(*rpo) && at <= now);
    match rpo {
        Some(rpo) => of(Health::Fault, format!("{said}: more than the RPO of {rpo} s"))
            .next("see what holds the replica back; a recovery would ask for approval"),
        None => of(Health::Ok, said),
    }
}

/// The subscriptions of the topic: whether each is confirmed.
pub(super) fn subscriptions(region: &Region, topic: &str, confirmed: &[bool]) -> Finding {
    let count = confirmed.iter().filter(|confirmed| **confirmed).count();
    let pending = confirmed.len() - count;
    let of = |health, said| Finding::new(health, "subscriptions", region, said);
    let confirm = "open the message that each has got, and confirm";
    match (count, pending) {
        (0, 0) => of(Health::Fault, "nobody is subscribed to lifeboat-notifications".to_owned())
            .next(format!(
                "aws sns subscribe --region {region} --topic-arn {topic} --protocol email \
                 --notification-endpoint ADDRESS"
            )),
        (0, pending) => of(Health::Fault, format!("none of {pending} is confirmed")).next(confirm),
        (count, 0) => of(Health::Ok, format!("{count} confirmed")),
        (count, pending) => {
            of(Health::Warning, format!("{count} confirmed, {pending} not yet")).next(confirm)
        }
    }
}

/// A bucket whose policy protects what is in it.
pub(super) fn policy(region: &Region, bucket: &str, found: Option<&str>) -> Finding {
    let denies = found.is_some_and(|text| {
        let policy: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let statements = policy.get("Statement").and_then(serde_json::Value::as_array);
        statements.into_iter().flatten().any(|statement| {
            statement.get("Effect").and_then(serde_json::Value::as_str) == Some("Deny")
                && statement.to_string().contains("s3:DeleteObject")
        })
    });
    let of = |health, said| Finding::new(health, "bucket policy", region, said);
    if denies {
        return of(Health::Ok, format!("{bucket} denies deletions"));
    }
    of(Health::Fault, format!("the policy of {bucket} denies no deletions"))
        .next("deploy infra/template.yaml again")
}

/// Whether Route 53's health checkers can read the switch.
pub(super) fn switch(region: &Region, bucket: &str, is_public: bool) -> Finding {
    let of = |health, said| Finding::new(health, "switch", region, said);
    if is_public {
        return of(Health::Ok, format!("{bucket} can be read by health checkers"));
    }
    of(Health::Fault, format!("{bucket} is not public: health checkers see no switch")).next(
        "deploy the stack with HealthCheckSwitch=ENABLED, without which there is none; S3 Block Public \
         Access of the account or the organization may deny it: allow this bucket, or use dns.switch \
         = \"record\"",
    )
}

/// A record set of the app's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// `PRIMARY` or `SECONDARY`; none of a simple record.
    pub(super) failover: Option<String>,
    pub(super) has_health_check: bool,
    pub(super) ttl: Option<i64>,
}

/// The records of the app's name; none when no hosted zone of this account has it.
pub(super) fn name(plan: &AppPlan, found: Option<&[Record]>) -> Finding {
    let name = &plan.dns.name;
    let of = |health, said| Finding { health, check: "dns", region: None, said, next: None };
    let Some(found) = found else {
        return of(Health::Unknown, format!("no hosted zone of this account holds {name}"))
            .next("if another account has it, look there for the records of infra/dns.yaml");
    };
    let deploy = "deploy infra/dns.yaml";
    let side = |side: &str| found.iter().find(|record| record.failover.as_deref() == Some(side));
    let fine = match (plan.dns.switch, side("PRIMARY"), side("SECONDARY")) {
        (Switch::HealthCheck, Some(primary), Some(_)) if !primary.has_health_check => {
            let said = format!("the PRIMARY record of {name} has no health check: it never moves");
            return of(Health::Fault, said).next(deploy);
        }
        (Switch::HealthCheck, Some(_), Some(_)) => format!("{name} is a failover pair"),
        (Switch::HealthCheck, ..) => {
            let said = format!("{name} is no failover pair: it has {} records", found.len());
            return of(Health::Fault, said).next(deploy);
        }
        (Switch::Record, ..) if found.is_empty() => {
            return of(Health::Fault, format!("{name} has no record")).next(deploy);
        }
        (Switch::Record, ..) => format!("{name} has a record"),
    };
    let planned = i64::from(plan.dns.ttl_seconds);
    match found.iter().filter_map(|record| record.ttl).max().filter(|ttl| *ttl > planned) {
        Some(ttl) => of(
            Health::Warning,
            format!("{fine}, and clients keep it for {ttl} s: the plan says {planned} s"),
        )
        .next("lower the TTL of the records, or say the same in the plan"),
        None => of(Health::Ok, fine),
    }
}

/// The site that the newest record names; without any, the plan's.
pub(super) fn active<'a>(plan: &'a AppPlan, there: &'a There) -> &'a SiteName {
    there.overview.as_ref().map_or(&plan.initially_active, |record| &record.active_site)
}

#[cfg(test)]
mod tests;
