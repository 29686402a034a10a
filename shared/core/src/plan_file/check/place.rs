//! Regions that are none, and sites that were mixed up.

use super::Report;
use crate::{plan_file::AppPlan, regions};

/// A database that is the other site's: its host is where the other site's server is asked.
pub(super) fn check(plan: &AppPlan, report: &mut Report) {
    for (name, site) in &plan.sites {
        let Some((other, there)) = plan.other_than(name) else { continue };
        let asked = |postgres: &Option<String>| {
            postgres
                .as_deref()
                .and_then(|text| text.rsplit_once(':'))
                .map(|(host, _)| host.to_owned())
        };
        let (own, others) = (asked(&site.health.postgres), asked(&there.health.postgres));
        let host = Some(&site.database.host);
        if own.as_ref() != host && others.as_ref() == host {
            report.add(
                &["sites", name.as_str(), "database", "host"],
                format!(
                    "`{}` is where site `{other}` has its server (sites.{other}.health.postgres): \
                     were the two mixed up?",
                    site.database.host
                ),
            );
        }
    }
}

/// What looks wrong, and may be meant.
pub(super) fn notes(plan: &AppPlan, report: &mut Report) {
    if let Some(doubt) = regions::doubt(&plan.witness.region) {
        report.add(&["witness", "region"], doubt);
    }
    for (name, site) in &plan.sites {
        if let Some(doubt) = regions::doubt(&site.region) {
            report.add(&["sites", name.as_str(), "region"], doubt);
        }
        let Some((other, there)) = plan.other_than(name) else { continue };
        let of = |identifier: &str, site: &str| identifier.ends_with(&format!("-{site}"));
        let (own, others) = (&site.database.identifier, &there.database.identifier);
        let mixed_up = of(own, other.as_str()) && of(others, name.as_str());
        // Said of one of the two.
        if mixed_up && name < other {
            report.add(
                &["sites", name.as_str(), "database", "identifier"],
                format!(
                    "`{own}` reads as that of site `{other}`, and `{others}` as that of site `{name}`: \
                     were the two mixed up?"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plan_file::{self, Problem, read};

    const GOOD: &str = include_str!("../../../../../events/plan/queue.toml");

    #[test]
    fn a_region_that_is_none_is_noted_with_the_one_that_may_be_meant() {
        let plan = read(&GOOD.replace("us-west-2", "us-wets-2")).unwrap();
        let found: Vec<Problem> = plan_file::notes(&plan);
        let [one] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(one.path, ["sites", "b", "region"]);
        assert!(one.message.ends_with("did you mean `us-west-2`?"), "{one:?}");
    }

    #[test]
    fn sites_that_were_mixed_up_are_told() {
        let swap =
            |text: &str, a: &str, b: &str| text.replace(a, "\0").replace(b, a).replace('\0', b);
        let identifiers = swap(GOOD, "identifier = \"queue-a\"", "identifier = \"queue-b\"");
        let found = plan_file::notes(&read(&identifiers).unwrap());
        let [one] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(one.path.join("."), "sites.a.database.identifier");
        let hosts = swap(GOOD, "host = \"127.0.1.20\"", "host = \"127.0.2.20\"");
        let found: Vec<_> = read(&hosts).unwrap_err().into_iter().map(|m| m.path).collect();
        assert_eq!(found, ["sites.a.database.host", "sites.b.database.host"]);
    }
}
