//! What the regional stack promises beyond what a deployment checks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::collections::BTreeSet;

use lifeboat_tests::root;

/// The functions that a recovery calls, and so may not be starved; health-probe has a number of its own.
const OF_A_RECOVERY: [&str; 6] =
    ["DnsFailover", "Notify", "PlanRecovery", "PromoteReplica", "RecoveryLog", "SiteControl"];

fn template() -> String {
    std::fs::read_to_string(root().join("infra/template.yaml")).unwrap()
}

/// A section of the template, and each of its entries with its name.
fn entries<'a>(template: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
    let (_, text) = template.split_once(&format!("\n{section}:\n")).unwrap();
    let end = text.find("\n\n").filter(|_| section != "Resources");
    let text = match end {
        Some(end) => &text[..end],
        None => text.split("\nOutputs:\n").next().unwrap(),
    };
    let mut starts: Vec<usize> = text
        .match_indices("\n  ")
        .map(|(at, _)| at + 1)
        .filter(|at| text[at + 2..].starts_with(char::is_alphabetic))
        .collect();
    starts.insert(0, 0);
    starts.push(text.len());
    starts
        .windows(2)
        .filter_map(|pair| text[pair[0]..pair[1]].trim_start().split_once(':'))
        .filter(|(name, _)| name.chars().all(char::is_alphanumeric))
        .collect()
}

fn functions(template: &str) -> Vec<(&str, &str)> {
    let mut found = entries(template, "Resources");
    found.retain(|(_, body)| body.contains("Type: AWS::Serverless::Function\n"));
    assert_eq!(found.len(), 11);
    found
}

/// `Retain` keeps what a creation made that was rolled back, and its fixed name fails the next one
/// (CloudFormation user guide, "`DeletionPolicy` attribute").
#[test]
fn what_is_kept_is_not_kept_of_a_creation_that_fails() {
    let template = template();
    let mut kept = BTreeSet::new();
    for (name, body) in entries(&template, "Resources") {
        if let Some((_, rest)) = body.split_once("\n    DeletionPolicy: ") {
            assert_eq!(rest.lines().next().unwrap(), "RetainExceptOnCreate", "{name}");
            assert!(body.contains("\n    UpdateReplacePolicy: Retain\n"), "{name}");
            kept.insert(name);
        }
    }
    assert!(kept.is_superset(&BTreeSet::from(["BackupBucket", "BackupKey", "LedgerBucket"])));
}

/// An account that blocks public access refuses the policy, and the stack with it.
#[test]
fn nothing_is_public_unless_it_is_asked_for() {
    let template = template();
    let parameters = entries(&template, "Parameters");
    let (_, switch) = parameters.iter().find(|(name, _)| *name == "HealthCheckSwitch").unwrap();
    assert!(switch.contains("Default: DISABLED\n"), "{switch}");
    let mut public = 0;
    for (name, body) in entries(&template, "Resources") {
        let opens = body.contains("BlockPublicPolicy: false")
            || (body.contains("Principal: \"*\"") && body.contains("Effect: Allow"));
        if opens && name.starts_with("Switch") {
            assert!(body.contains("\n    Condition: HasSwitch\n"), "{name}");
            public += 1;
        }
        assert!(!body.contains("BlockPublicPolicy: false") || name == "SwitchBucket", "{name}");
    }
    assert_eq!(public, 2);
}

#[test]
fn every_function_keeps_to_a_log_group_of_the_stack() {
    let template = template();
    for (name, body) in functions(&template) {
        let group = format!("{}Logs", name.strip_suffix("Function").unwrap());
        assert!(body.contains(&format!("LoggingConfig: {{ LogGroup: !Ref {group} }}\n")), "{name}");
        assert!(body.contains("        - !Ref NoNewLogGroups\n"), "{name}");
        let made = entries(&template, "Resources").iter().any(|(other, _)| *other == group);
        assert!(made, "{group}");
    }
}

#[test]
fn what_a_recovery_calls_can_keep_invocations_free() {
    let template = template();
    for (name, body) in functions(&template) {
        let name = name.strip_suffix("Function").unwrap();
        let keeps = |number: &str| {
            body.contains("ReservedConcurrentExecutions: ")
                && body.contains(&format!("!Ref {number}, "))
        };
        assert_eq!(keeps("RecoveryConcurrency"), OF_A_RECOVERY.contains(&name), "{name}");
        assert_eq!(keeps("ObserveConcurrency"), name == "HealthProbe", "{name}");
    }
    // A new account's quota is below what Lambda leaves to all other functions.
    for (name, body) in entries(&template, "Parameters") {
        assert!(!name.ends_with("Concurrency") || body.contains("Default: 0\n"), "{name}");
    }
    let script = std::fs::read_to_string(root().join("infra/deploy.sh")).unwrap();
    assert!(script.contains(&format!("RECOVERY_FUNCTIONS={}\n", OF_A_RECOVERY.len())));
}
