//! What people are paged with: that it can arrive, and that the runbook knows it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::collections::BTreeSet;

use lifeboat_tests::{files, json, root};
use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The section of docs/operating.md for whoever is paged.
fn runbook() -> String {
    let text = read("docs/operating.md");
    let (_, section) = text.split_once("\n## When you are paged\n").unwrap();
    section.split("\n## ").next().unwrap().to_owned()
}

/// The resources of the template, each with its name.
fn resources(template: &str) -> Vec<(&str, &str)> {
    let (_, text) = template.split_once("\nResources:\n").unwrap();
    let text = text.split("\nOutputs:\n").next().unwrap();
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut at = 0;
    let starts: Vec<usize> = text
        .lines()
        .filter_map(|line| {
            let start = at;
            at += line.len() + 1;
            let name = line.strip_prefix("  ")?;
            (name.starts_with(char::is_alphabetic) && name.ends_with(':')).then_some(start)
        })
        .collect();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(text.len());
        let (name, body) = text[*start..end].split_once(":\n").unwrap();
        found.push((name.trim(), body));
    }
    found
}

fn resource<'a>(template: &'a str, name: &str) -> &'a str {
    resources(template).into_iter().find(|(found, _)| *found == name).unwrap().1
}

/// The statements of a policy, each from its `Sid` or its `Effect` on.
fn statements(body: &str) -> Vec<&str> {
    body.split("- Sid: ").skip(1).collect()
}

/// EventBridge's guide documents no condition for its rules in the policy of a topic, and none in that
/// of its key: whoever lets them in lets in those of every account.
#[test]
fn no_rule_publishes_and_alarms_only_from_here() {
    let template = read("infra/template.yaml");
    for policy in ["NotificationsKey", "NotificationsTopicPolicy"] {
        let body = resource(&template, policy);
        assert!(!body.contains("events.amazonaws.com"), "{policy}");
        let alarms: Vec<&str> = statements(body)
            .into_iter()
            .filter(|one| one.contains("cloudwatch.amazonaws.com"))
            .collect();
        assert!(alarms.len() == 1 && alarms[0].contains("Condition:"), "{policy}");
    }
    let of = |kind: &str| {
        let kind = format!("Type: {kind}\n");
        resources(&template).into_iter().filter(move |(_, body)| body.contains(&kind))
    };
    for (rule, body) in of("AWS::Events::Rule") {
        assert!(!body.contains("Arn: !Ref NotificationsTopic"), "{rule}");
        if body.contains("Arn: !GetAtt NotifyFunction.Arn") {
            let source = format!("SourceArn: !GetAtt {rule}.Arn");
            let let_in = of("AWS::Lambda::Permission").any(|(_, body)| body.contains(&source));
            assert!(let_in, "{rule} may not ask notify");
        }
    }
    for (permission, body) in of("AWS::Lambda::Permission") {
        assert!(body.contains("SourceArn: "), "{permission} lets in every account's rules");
    }
}

/// S3's guide, "Setting up permissions for live replication", documents no condition on who assumes
/// the role: with one that S3 does not set, nothing is copied, and nothing says so.
#[test]
fn services_assume_roles_under_documented_conditions_alone() {
    let template = read("infra/template.yaml");
    let documented = [
        ("s3.amazonaws.com", ""),
        ("scheduler.amazonaws.com", "aws:SourceAccount"),
        ("events.amazonaws.com", "aws:SourceAccount"),
    ];
    let mut seen = 0;
    for (role, body) in resources(&template) {
        if !body.contains("Type: AWS::IAM::Role\n") {
            continue;
        }
        let (_, trust) = body.split_once("AssumeRolePolicyDocument:").unwrap();
        let trust = trust.split("      Policies:").next().unwrap();
        let (_, service) = trust.split_once("Principal: { Service: ").unwrap();
        let service = service.split(" }").next().unwrap();
        let (_, wanted) = documented.iter().find(|(known, _)| *known == service).unwrap();
        let keys: Vec<&str> = trust.split('"').filter(|word| word.starts_with("aws:")).collect();
        let wanted: Vec<&str> = wanted.split_whitespace().collect();
        assert_eq!(keys, wanted, "{role}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn what_a_rule_cannot_deliver_sets_off_an_alarm_that_may_publish() {
    let template = read("infra/template.yaml");
    let of = |kind: &str| -> Vec<(&str, &str)> {
        let kind = format!("Type: {kind}\n");
        resources(&template).into_iter().filter(|(_, body)| body.contains(&kind)).collect()
    };
    let (rules, alarms) = (of("AWS::Events::Rule"), of("AWS::CloudWatch::Alarm"));
    assert!(!rules.is_empty());
    for (rule, _) in &rules {
        let watched = format!("Dimensions: [{{ Name: RuleName, Value: !Ref {rule} }}]");
        let alarm = alarms.iter().find(|(_, body)| body.contains(&watched));
        let (_, alarm) = alarm.unwrap_or_else(|| panic!("nobody watches {rule}"));
        for property in [
            "AlarmName: lifeboat-",
            "Namespace: AWS/Events\n",
            "MetricName: FailedInvocations\n",
            "AlarmActions: [!Ref NotificationsTopic]",
            "TreatMissingData: notBreaching",
        ] {
            assert!(alarm.contains(property), "{rule}: {property}");
        }
        // The rule that starts recoveries matches this prefix.
        assert!(!alarm.contains("AlarmName: lifeboat-site-down-"), "{rule}");
    }
}

/// What every task that publishes says: (file, subject, message).
fn pages() -> Vec<(String, String, String)> {
    fn gather(file: &str, node: &Value, found: &mut Vec<(String, String, String)>) {
        if let Some(fields) = node.as_object() {
            if let (Some(subject), Some(message)) = (fields.get("Subject"), fields.get("Message")) {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                found.push((file.to_owned(), text(subject), text(message)));
            }
            fields.values().for_each(|value| gather(file, value, found));
        }
        node.as_array().into_iter().flatten().for_each(|value| gather(file, value, found));
    }
    let mut found = Vec::new();
    for path in files("infra/statemachines", ".asl.json").unwrap() {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        gather(&file, &json(&path).unwrap(), &mut found);
    }
    assert!(!found.is_empty());
    found
}

/// A subject as the runbook writes it: `$kind` is KIND; what is added under a condition is left out.
fn in_the_runbook(subject: &str) -> String {
    let Some(expression) = subject.strip_prefix("{%").and_then(|text| text.strip_suffix("%}"))
    else {
        return subject.to_owned();
    };
    let (_, expression) = expression.split_once('(').unwrap();
    let expression = expression.rsplit_once(", 0, ").unwrap().0;
    let expression = expression.split(" & (").next().unwrap();
    let parts = expression.split(" & ").map(|part| match part.strip_prefix('$') {
        Some(variable) => variable.trim_end_matches("_name").to_uppercase(),
        None => part.trim_matches('\'').to_owned(),
    });
    parts.collect()
}

#[test]
fn every_page_is_in_the_runbook() {
    let runbook = runbook();
    for (file, subject, _) in pages() {
        let entry = format!("| `{}` |", in_the_runbook(&subject));
        assert!(runbook.contains(&entry), "{file}: docs/operating.md has no {entry}");
    }
    // Those of the rules begin with these words.
    let template = read("infra/template.yaml");
    for line in template.lines().filter(|line| line.trim().starts_with("InputTemplate:")) {
        let words = line.split('"').nth(3).unwrap().split('.').next().unwrap();
        let words = words.replace("<execution>", "ARN").replace("<status>", "STATUS");
        assert!(runbook.contains(&format!("| `{words} ...` |")), "{words}");
    }
}

#[test]
fn every_page_about_backups_names_its_region_and_what_to_do() {
    for (file, subject, message) in pages() {
        // A restore that is done asks for nothing.
        if subject.contains("was restored into") {
            continue;
        }
        assert!(
            message.contains("$split($states.context.Execution.Id, ':')[3]"),
            "{file}: {subject}"
        );
        assert!(message.contains(": lifeboat "), "{file}: {subject}: no command");
        assert!(message.contains("Execution: "), "{file}: {subject}");
    }
}

#[test]
fn every_alarm_is_in_the_runbook() {
    let runbook = runbook();
    let template = read("infra/template.yaml");
    let fixed = template.lines().filter_map(|line| line.trim().strip_prefix("AlarmName: "));
    let mut names: BTreeSet<String> = fixed.map(|name| format!("| `{name}` |")).collect();
    // `lifeboat plan apply` makes the others.
    let source = read("cli/src/alarms.rs");
    let code = source.split("#[cfg(test)]").next().unwrap();
    let standing = read("cli/src/alarms/standing.rs");
    let standing = standing.split("#[cfg(test)]").next().unwrap();
    names.extend(
        standing
            .split("\"lifeboat-")
            .skip(1)
            .map(|rest| format!("| `lifeboat-{}-APP--SITE` |", rest.split('"').next().unwrap())),
    );
    names.extend(code.split("\"lifeboat-").skip(1).map(|rest| {
        let (name, rest) = rest.split_once('"').unwrap();
        // `name("lifeboat-backup-age", &plan.app, kind.as_str())`, or a format of the app alone.
        let call = rest.split(')').next().unwrap();
        let of = ["site", "kind"].into_iter().find(|of| call.contains(&format!("{of}.as_str(")));
        let name = match of {
            Some(of) => format!("{name}-APP--{}", of.to_uppercase()),
            None => name.replace("{app}", "APP"),
        };
        format!("| `lifeboat-{name}` |")
    }));
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        assert!(runbook.contains(&name), "docs/operating.md has no {name}");
    }
}
