//! What a plan must satisfy beyond its shape.
//!
//! Every rule that can be broken by a plan that parses is here, each with the reason it exists;
//! [`check`] reports all of them at once, because an operator mends a file once.

mod backup;
mod cache;
mod detection;
mod hooks;
mod hosts;
mod place;
mod target;
mod text;

use super::model::{AppPlan, Engine, Replication, Site, Switch};
pub use hooks::HOOK_SECONDS;

/// A mistake in a plan: where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead to it, such as `["sites", "b", "region"]`.
    pub path: Vec<String>,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// Everything that is wrong with this plan; empty when it may be applied.
#[must_use]
pub fn check(plan: &AppPlan) -> Vec<Problem> {
    let mut report = Report::default();
    sites(plan, &mut report);
    for (name, site) in &plan.sites {
        one_site(plan, name.as_str(), site, &mut report);
    }
    apart(plan, &mut report);
    database(plan, &mut report);
    detection::check(plan, &mut report);
    dns(plan, &mut report);
    target::check(plan, &mut report);
    scenarios(plan, &mut report);
    secrets(plan, &mut report);
    backup::check(plan, &mut report);
    place::check(plan, &mut report);
    text::check(plan, &mut report);
    report.problems
}

/// What may be applied, but does less than whoever wrote it may think; [`check`] is for what is
/// wrong.
#[must_use]
pub fn notes(plan: &AppPlan) -> Vec<Problem> {
    let mut report = Report::default();
    backup::notes(plan, &mut report);
    detection::notes(plan, &mut report);
    place::notes(plan, &mut report);
    text::notes(plan, &mut report);
    target::notes(plan, &mut report);
    report.problems
}

#[derive(Default)]
struct Report {
    problems: Vec<Problem>,
}

impl Report {
    fn add(&mut self, path: &[&str], message: String) {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        self.problems.push(Problem { path, message });
    }
}

fn sites(plan: &AppPlan, report: &mut Report) {
    if plan.sites.len() != 2 {
        report.add(
            &["sites"],
            format!(
                "name exactly two sites, an active and a standby one; found {}",
                plan.sites.len()
            ),
        );
    }
    let mut seen = std::collections::BTreeMap::new();
    for (name, site) in &plan.sites {
        if let Some(other) = seen.insert(&site.region, name) {
            report.add(
                &["sites", name.as_str(), "region"],
                format!(
                    "sites `{other}` and `{name}` are both in {}: one outage would take both; \
                     give each a region of its own",
                    site.region
                ),
            );
        }
    }
    if let Some((name, _)) = plan.site_in(plan.witness.region.as_str()) {
        report.add(
            &["witness", "region"],
            format!(
                "{} is the region of site `{name}`, and one outage would take two of the three \
                 registers; name a third region (the stack of `infra/witness.yaml` goes there)",
                plan.witness.region
            ),
        );
    }
    if !plan.sites.contains_key(&plan.initially_active) {
        let known: Vec<&str> = plan.sites.keys().map(crate::ids::SiteName::as_str).collect();
        report.add(
            &["initially_active"],
            format!(
                "there is no site `{}`; name one of {}",
                plan.initially_active,
                known.join(", ")
            ),
        );
    }
}

fn one_site(plan: &AppPlan, name: &str, site: &Site, report: &mut Report) {
    let endpoints = [(None, site.health.from_region(""))].into_iter().chain(
        site.health
            .seen_from
            .keys()
            .map(|region| (Some(region.as_str()), site.health.from_region(region.as_str()))),
    );
    for (region, endpoints) in endpoints {
        let mut base = vec!["sites", name, "health"];
        base.extend(region.into_iter().flat_map(|region| ["seen_from", region]));
        if let Some(url) = endpoints.http.as_deref()
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            base.push("http");
            report.add(&base, format!("`{url}` is not a URL; begin it with http:// or https://"));
            base.pop();
        }
        for (key, endpoint) in [("postgres", &endpoints.postgres), ("redis", &endpoints.redis)] {
            if let Some(endpoint) = endpoint.as_deref()
                && !is_host_and_port(endpoint)
            {
                base.push(key);
                report.add(&base, format!("`{endpoint}` is not host:port, such as 10.0.1.20:5432"));
                base.pop();
            }
        }
    }
    let checks = site.health.from_region("").by_kind().len();
    let quorum = usize::try_from(plan.detection.quorum).unwrap_or(usize::MAX);
    if checks < quorum {
        report.add(
            &["sites", name, "health"],
            format!(
                "{checks} checks can never give the {quorum} `down` votes that detection.quorum \
                 asks for; add checks or lower the quorum"
            ),
        );
    }
    if let Some(tag) = &site.hosts {
        hosts::check(name, tag, report);
    }
    if !is_word(&site.database.identifier, "-") {
        report.add(
            &["sites", name, "database", "identifier"],
            "use letters, digits and - only, as RDS does".into(),
        );
    }
    hooks::check(name, site, report);
    if let Some(cache) = &site.cache {
        cache::managed(plan, name, site, cache, report);
    }
    for region in site.health.seen_from.keys() {
        if !plan.sites.values().any(|site| site.region == *region) {
            report.add(
                &["sites", name, "health", "seen_from", region.as_str()],
                "no site is in this region, so nothing is ever seen from there".into(),
            );
        }
    }
    if site.database.port == 0 {
        report.add(&["sites", name, "database", "port"], "use 1 to 65535".into());
    }
    if site.database.host.is_empty() || site.database.host.contains(char::is_whitespace) {
        report.add(
            &["sites", name, "database", "host"],
            "give the host name or address at which the app reaches the database".into(),
        );
    }
}

/// What two sites must not share: a shared endpoint makes one site look like the other.
fn apart(plan: &AppPlan, report: &mut Report) {
    let mut seen = std::collections::BTreeMap::new();
    for (name, site) in &plan.sites {
        let name = name.as_str();
        let database = format!("{}:{}", site.database.host, site.database.port);
        let hosts = site.hosts.as_ref().map(|hosts| format!("{}={}", hosts.tag, hosts.value));
        let health = site.health.from_region("");
        let reached = if site.target.is_some() { "target" } else { "address" };
        let things = [
            (vec![reached], target::identity(site)),
            (vec!["database", "host"], Some(database)),
            (vec!["database", "identifier"], Some(site.database.identifier.clone())),
            (vec!["hosts", "value"], hosts),
            (vec!["health", "http"], health.http),
            (vec!["health", "postgres"], health.postgres),
            (vec!["health", "redis"], health.redis),
        ];
        for (keys, value) in things {
            let Some(value) = value else { continue };
            if let Some(other) = seen.insert((keys.clone(), value.clone()), name) {
                let mut path = vec!["sites", name];
                path.extend(&keys);
                report
                    .add(&path, format!("`{value}` is also that of site `{other}`; they are two"));
            }
        }
    }
}

fn database(plan: &AppPlan, report: &mut Report) {
    if plan.database.engine == Engine::Rds && plan.database.replication == Replication::Synchronous
    {
        report.add(
            &["database", "replication"],
            "an RDS read replica in another region is always asynchronous; use \
             engine = \"postgres\", or replication = \"asynchronous\" and an RPO above zero"
                .into(),
        );
    }
    if !is_word(&plan.database.name, "_-") {
        report.add(&["database", "name"], "use letters, digits, _ and - only".into());
    }
    if !is_word(&plan.database.user, "_-") {
        report.add(&["database", "user"], "use letters, digits, _ and - only".into());
    }
}

fn dns(plan: &AppPlan, report: &mut Report) {
    let name = &plan.dns.name;
    if !name.contains('.') || name.ends_with('.') || !is_word(name, "-.") {
        report.add(
            &["dns", "name"],
            format!(
                "`{name}` is not a fully qualified name such as queue.example.com (no final dot)"
            ),
        );
    }
    if plan.dns.switch == Switch::Record && plan.dns.hosted_zone_id.is_none() {
        report.add(
            &["dns", "switch"],
            "switching by record needs dns.hosted_zone_id; add it, or use \
             switch = \"health-check\", which needs no control plane"
                .into(),
        );
    }
}

fn scenarios(plan: &AppPlan, report: &mut Report) {
    if plan.scenarios.is_empty() {
        report.add(&["scenarios"], "give at least the objectives of region-outage".into());
    }
    for (scenario, policy) in &plan.scenarios {
        let scenario = scenario.as_str();
        let kept = plan.answers_kept_seconds();
        if kept > policy.rto_seconds {
            report.add(
                &["dns", "ttl_seconds"],
                format!(
                    "clients keep an answer for {kept} s (an alias has the 60 s of its load balancer), \
                     longer than the RTO of {scenario} ({} s); lower the TTL, or raise the RTO",
                    policy.rto_seconds
                ),
            );
        }
        if policy.rpo_seconds < rpo_floor_seconds(plan) {
            report.add(
                &["scenarios", scenario, "rpo_seconds"],
                format!(
                    "{} s is less than asynchronous replication can hold: the loss is known no \
                     finer than one round of checks ({} s); raise it, or use a synchronous standby \
                     (engine = \"postgres\")",
                    policy.rpo_seconds,
                    rpo_floor_seconds(plan)
                ),
            );
        }
    }
}

/// The smallest RPO that the plan's replication can promise, in seconds. The loss of an
/// asynchronous link is estimated from the last moment at which the primary was seen alive, which
/// is one round of checks back.
fn rpo_floor_seconds(plan: &AppPlan) -> u32 {
    match plan.database.replication {
        Replication::Synchronous => 0,
        Replication::Asynchronous => plan.detection.interval_seconds,
    }
}

fn secrets(plan: &AppPlan, report: &mut Report) {
    let message = "this is the *name* of a secret (letters, digits, - and _), never the secret \
                   itself: store the value with `lifeboat secret FILE NAME`";
    if !is_word(&plan.database.password_secret, "_-") {
        report.add(&["database", "password_secret"], message.into());
    }
    if let Some(secret) = &plan.notifications.slack_webhook_secret
        && !is_word(secret, "_-")
    {
        report.add(&["notifications", "slack_webhook_secret"], message.into());
    }
}

/// A host and a port, without judging the host beyond its characters.
fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        is_word(host, "-.:[]") && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// Non-empty, of letters, digits and these others.
fn is_word(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}
