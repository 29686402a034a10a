//! The hosts of a site.

use super::{super::model::HostTag, Report};

/// The tag that the template's policy asks of a host before a command may be sent to it.
const HOST_TAG: &str = "lifeboat-site";

pub(super) fn check(name: &str, hosts: &HostTag, report: &mut Report) {
    if hosts.tag.is_empty() || hosts.value.is_empty() {
        report.add(
            &["sites", name, "hosts"],
            "an empty tag would select no host or every host; give the tag and its value".into(),
        );
    }
    if hosts.tag != HOST_TAG {
        report.add(
            &["sites", name, "hosts", "tag"],
            format!(
                "use \"{HOST_TAG}\": the functions may act on no hosts but those that carry it"
            ),
        );
    }
    if hosts.enough == Some(0) {
        report.add(
            &["sites", name, "hosts", "enough"],
            "use 1 or more: a site whose app runs on no host serves nobody; without `enough`, half \
             of the site's hosts are"
                .into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::plan_file::read;

    #[test]
    fn no_host_is_never_enough_and_some_number_may_be_left_to_us() {
        let good = include_str!("../../../../../events/plan/queue.toml");
        let with = |enough: &str| {
            let hosts = "value = \"queue-b\"\n";
            read(&good.replace(hosts, &format!("{hosts}{enough}\n")))
        };
        assert_eq!(with("").unwrap().sites["b"].hosts.as_ref().unwrap().enough, None);
        assert_eq!(with("enough = 3").unwrap().sites["b"].hosts.as_ref().unwrap().enough, Some(3));
        let problems = with("enough = 0").unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("sites.b.hosts.enough: use 1 or more"));
    }
}
