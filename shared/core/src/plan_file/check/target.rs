//! What the records that lead clients to the sites ask of a plan.

use std::collections::BTreeSet;

use super::{Report, is_word};
use crate::plan_file::{
    model::{AppPlan, Site, Switch},
    target::{ALIAS_TTL_SECONDS, Destination, RecordKind, Target},
};

pub(super) fn check(plan: &AppPlan, report: &mut Report) {
    for (name, site) in &plan.sites {
        one_site(name.as_str(), site, report);
    }
    let kinds = |site: &Site| site.records().into_keys().collect::<BTreeSet<RecordKind>>();
    let mut sites = plan.sites.iter();
    if let (Some((_, first)), Some((name, second))) = (sites.next(), sites.next())
        && !kinds(first).is_empty()
        && !kinds(second).is_empty()
        && kinds(first) != kinds(second)
    {
        report.add(
            &["sites", name.as_str(), "target"],
            "one site has IPv6 and the other does not: clients that prefer it would stay where they \
             are; give `ipv6` for both, or for none"
                .into(),
        );
    }
    if plan.dns.ttl_seconds == 0 {
        report.add(
            &["dns", "ttl_seconds"],
            "with 0 each connection of each client asks Route 53 anew, and many resolvers raise it by \
             themselves; use 1 or more, such as 5"
                .into(),
        );
    }
}

pub(super) fn notes(plan: &AppPlan, report: &mut Report) {
    if plan.dns.switch == Switch::HealthCheck && plan.dns.hosted_zone_id.is_some() {
        report.add(
            &["dns", "hosted_zone_id"],
            "is not used: switch = \"health-check\" changes no record; the zone of the failover pair is a \
             parameter of infra/dns.yaml"
                .into(),
        );
    }
    let kept = plan.answers_kept_seconds();
    if kept > plan.dns.ttl_seconds {
        report.add(
            &["dns", "ttl_seconds"],
            format!(
                "is not what clients keep an answer for: an alias has its target's, which is \
                 {ALIAS_TTL_SECONDS} s for a load balancer"
            ),
        );
    }
}

fn one_site(name: &str, site: &Site, report: &mut Report) {
    let path = ["sites", name, "target"];
    let (target, short) = (&site.target, site.address);
    let Some(Target { address, ipv6, alias }) = target else {
        if short.is_none() {
            report.add(
                &["sites", name],
                "say where clients reach it: target = { address = \"192.0.2.10\" }, or target = { alias \
                 = { dns_name = \"...elb.amazonaws.com\", zone_id = \"Z...\" } } for a load balancer"
                    .into(),
            );
        }
        return;
    };
    if short.is_some() {
        report.add(
            &["sites", name, "address"],
            "is short for target = { address = ... }, which is there too: leave one out".into(),
        );
    }
    match (address, ipv6, alias) {
        (Some(_), _, None) | (None, None, Some(_)) => {}
        (None, _, None) => {
            report.add(&path, "give `address` (IPv4), or `alias` for a load balancer".into());
        }
        (_, _, Some(_)) => report.add(
            &path,
            "a load balancer's alias has no address of its own: give `alias` alone (ipv6 = true \
             in it for AAAA records), or `address` and `ipv6`"
                .into(),
        ),
    }
    let Some(alias) = alias else { return };
    let (dns_name, zone_id) = (&alias.dns_name, &alias.zone_id);
    if !dns_name.contains('.') || dns_name.ends_with('.') || !is_word(dns_name, "-._") {
        report.add(
            &["sites", name, "target", "alias", "dns_name"],
            format!("`{dns_name}` is not the DNS name of a load balancer (no final dot)"),
        );
    }
    // Route 53 API reference, `AliasTarget`, `HostedZoneId`: at most 32 characters.
    let fits = zone_id.len() <= 32 && zone_id.starts_with('Z') && is_word(zone_id, "");
    if !fits {
        report.add(
            &["sites", name, "target", "alias", "zone_id"],
            format!(
                "`{zone_id}` is not the id of a hosted zone, such as Z35SXDOTRQ7X7K: it is the load \
                 balancer's CanonicalHostedZoneId (aws elbv2 describe-load-balancers)"
            ),
        );
    }
}

/// What two sites must not share.
pub(super) fn identity(site: &Site) -> Option<String> {
    site.records().remove(&RecordKind::A).map(|to: Destination| to.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{check, notes};
    use crate::plan_file::{self, Alias, AppPlan, Target};

    fn plan() -> AppPlan {
        plan_file::read(include_str!("../../../../../events/plan/queue.toml")).unwrap()
    }

    fn alias(name: &str, zone: &str, ipv6: bool) -> Target {
        let alias = Alias { dns_name: name.into(), zone_id: zone.into(), ipv6 };
        Target { alias: Some(alias), ..Target::default() }
    }

    /// A plan whose sites have these targets, and its mistakes.
    fn with(targets: [Target; 2]) -> (AppPlan, Vec<String>) {
        let mut plan = plan();
        // An alias alone keeps answers for a minute.
        for policy in plan.scenarios.values_mut() {
            policy.rto_seconds = 120;
        }
        for (site, target) in plan.sites.values_mut().zip(targets) {
            (site.address, site.target) = (None, Some(target));
        }
        let found = check(&plan).into_iter().map(|found| found.path.join(".")).collect();
        (plan, found)
    }

    #[test]
    fn a_target_is_an_address_or_an_alias_and_both_sites_have_the_same_kinds() {
        let lb = |site: &str| format!("shop-{site}-1.us-east-1.elb.amazonaws.com");
        let zone = "Z35SXDOTRQ7X7K";
        let address = |four: &str, six: Option<&str>| Target {
            address: Some(four.parse().unwrap()),
            ipv6: six.map(|six| six.parse().unwrap()),
            alias: None,
        };
        let none: [&str; 0] = [];
        assert_eq!(with([alias(&lb("a"), zone, true), alias(&lb("b"), zone, true)]).1, none);
        let six = |last: &str| format!("2001:db8::{last}");
        let (a, b) = (six("1"), six("2"));
        let both = [address("192.0.2.1", Some(&a)), address("192.0.2.2", Some(&b))];
        assert_eq!(with(both).1, none);
        // One is a load balancer, the other a host: both have A records.
        assert_eq!(with([alias(&lb("a"), zone, false), address("192.0.2.2", None)]).1, none);

        let uneven = with([alias(&lb("a"), zone, true), alias(&lb("b"), zone, false)]).1;
        assert_eq!(uneven, ["sites.b.target"]);
        let same = with([alias(&lb("a"), zone, false), alias(&lb("a"), zone, false)]).1;
        assert_eq!(same, ["sites.b.target"]);
        let wrong = with([alias("lb.", "/hostedzone/Z1", false), address("192.0.2.2", None)]).1;
        assert_eq!(wrong, ["sites.a.target.alias.dns_name", "sites.a.target.alias.zone_id"]);
        let mut mixed = alias(&lb("a"), zone, false);
        mixed.address = Some("192.0.2.1".parse().unwrap());
        assert_eq!(with([mixed, address("192.0.2.2", None)]).1, ["sites.a.target"]);
    }

    #[test]
    fn a_site_that_nobody_can_reach_is_refused_and_an_old_plan_is_not() {
        let mut plan = plan();
        for site in plan.sites.values_mut() {
            let old = site.target.take().and_then(|target| target.address);
            site.address = old;
        }
        assert_eq!(check(&plan), []);
        for site in plan.sites.values_mut() {
            site.address = None;
        }
        let found: Vec<String> = check(&plan).into_iter().map(|one| one.path.join(".")).collect();
        assert_eq!(found, ["sites.a", "sites.b"]);
    }

    #[test]
    fn what_is_ignored_is_said_and_a_time_to_live_of_nothing_is_refused() {
        let mut plan = plan();
        assert_eq!(notes(&plan), []);
        plan.dns.hosted_zone_id = Some("Z1".into());
        assert_eq!(notes(&plan)[0].path, ["dns", "hosted_zone_id"]);
        plan.dns.ttl_seconds = 0;
        assert_eq!(check(&plan)[0].path, ["dns", "ttl_seconds"]);
        let zone = "Z35SXDOTRQ7X7K";
        let (aliased, _) =
            with([alias("a.elb.test", zone, false), alias("b.elb.test", zone, false)]);
        assert!(notes(&aliased)[0].message.contains("60 s"));
        assert_eq!(aliased.answers_kept_seconds(), 60);
    }
}
