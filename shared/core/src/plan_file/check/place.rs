//! Regions that are none, and sites that were mixed up.

use super::Report;
use crate::plan_file::{AppPlan, shape::alike};

/// The regions of AWS's partitions, as botocore 1.40 lists them (`data/partitions.json`) without the
/// isolated ones. AWS adds some, so that one that is not here is a warning.
const REGIONS: [&str; 39] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

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
    for (name, site) in &plan.sites {
        let region = site.region.as_str();
        if !REGIONS.contains(&region) {
            let meant = alike(region, REGIONS.into_iter());
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            report.add(
                &["sites", name.as_str(), "region"],
                format!("`{region}` is no region that this version knows of{meant}"),
            );
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
    use super::*;
    use crate::plan_file::{self, Problem, read};

    const GOOD: &str = include_str!("../../../../../events/plan/queue.toml");

    #[test]
    fn a_region_that_is_none_is_noted_with_the_one_that_may_be_meant() {
        let plan = read(&GOOD.replace("us-west-2", "us-wets-2")).unwrap();
        let found: Vec<Problem> = plan_file::notes(&plan);
        let [one] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(one.path, ["sites", "b", "region"]);
        assert!(one.message.ends_with("did you mean `us-west-2`?"), "{one:?}");
        let mut sorted = REGIONS;
        sorted.sort_unstable();
        assert_eq!(sorted, REGIONS);
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
