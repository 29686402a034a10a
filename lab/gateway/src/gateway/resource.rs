//! The ARNs that a call to one of the lab's own services is authorised for.
//!
//! Types and formats: Service Authorization Reference, "Amazon RDS", "AWS Systems Manager" and
//! "Amazon Route 53". Best effort: option groups, parameter groups and the like are left out.

use std::collections::BTreeMap;

use super::call::Call;
use super::config::HostTags;
use super::operation::{field, form_fields};

/// A host that a command is sent to: its ARN, and the condition keys of its tags.
pub(super) type Host = (String, BTreeMap<String, String>);

/// The hosts of a `SendCommand`, which must be allowed on each of them beside the document. Hosts that
/// `Targets` select are known by their tags; one that is named may be unknown, and has none then.
pub(super) fn hosts(call: &Call, account: &str, body: &[u8], tags: &HostTags) -> Vec<Host> {
    if call.service != "ssm" || call.operation != "SendCommand" {
        return Vec::new();
    }
    let input: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let texts = |value: Option<&serde_json::Value>| -> Vec<String> {
        let items = value.and_then(serde_json::Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str()).map(str::to_owned).collect()
    };
    let mut ids = texts(input.get("InstanceIds"));
    let targets = input.get("Targets").and_then(serde_json::Value::as_array);
    for target in targets.into_iter().flatten() {
        let key = target.get("Key").and_then(serde_json::Value::as_str).unwrap_or_default();
        let values = texts(target.get("Values"));
        match key.strip_prefix("tag:") {
            Some(tag) => ids.extend(
                tags.iter()
                    .filter(|(_, tags)| tags.get(tag).is_some_and(|value| values.contains(value)))
                    .map(|(id, _)| id.clone()),
            ),
            None => ids.extend(values),
        }
    }
    ids.into_iter()
        .map(|id| {
            let tags = tags.get(&id).into_iter().flatten();
            let context = tags
                .map(|(key, value)| (format!("ssm:resourceTag/{key}"), value.clone()))
                .collect();
            (format!("arn:aws:ec2:{}:{account}:instance/{id}", call.region), context)
        })
        .collect()
}

/// The ARNs of a call; `*` alone when the operation is for no particular resource.
pub(super) fn arns(call: &Call, account: &str, body: &[u8]) -> Vec<String> {
    let found = match call.service.as_str() {
        "rds" => rds(call, account, body),
        "ssm" => ssm(call, account, body),
        "route53" => {
            call.resource.iter().map(|id| format!("arn:aws:route53:::healthcheck/{id}")).collect()
        }
        _ => Vec::new(),
    };
    if found.is_empty() { vec!["*".to_owned()] } else { found }
}

fn rds(call: &Call, account: &str, body: &[u8]) -> Vec<String> {
    const FIELDS: [(&str, &str); 12] = [
        ("DBInstanceIdentifier", "db"),
        ("TargetDBInstanceIdentifier", "db"),
        ("SourceDBInstanceIdentifier", "db"),
        ("SourceDBInstanceArn", "db"),
        ("DBSnapshotIdentifier", "snapshot"),
        ("SourceDBSnapshotIdentifier", "snapshot"),
        ("TargetDBSnapshotIdentifier", "snapshot"),
        ("SourceDBInstanceAutomatedBackupsArn", "auto-backup"),
        ("DBInstanceAutomatedBackupsArn", "auto-backup"),
        ("DBClusterIdentifier", "cluster"),
        ("DBParameterGroupName", "pg"),
        ("ResourceName", ""),
    ];
    let fields = form_fields(body);
    let arn = |kind: &str, id: &str| format!("arn:aws:rds:{}:{account}:{kind}:{id}", call.region);
    let mut found: Vec<String> = FIELDS
        .iter()
        .filter_map(|(name, kind)| {
            let value = field(&fields, name).filter(|value| !value.is_empty())?;
            // Every identifier of RDS may be given as an ARN, which then says its own region.
            Some(if value.starts_with("arn:") { value.to_owned() } else { arn(kind, value) })
        })
        .collect();
    // Listing without a filter is for all resources of the kind, which a policy grants with `db:*`.
    if found.is_empty() {
        match call.operation.as_str() {
            "DescribeDBInstances" => found.push(arn("db", "*")),
            "DescribeDBSnapshots" => found.push(arn("snapshot", "*")),
            "DescribeDBInstanceAutomatedBackups" => found.push(arn("auto-backup", "*")),
            _ => {}
        }
    }
    found
}

fn ssm(call: &Call, account: &str, body: &[u8]) -> Vec<String> {
    let name = match call.operation.as_str() {
        "SendCommand" => "DocumentName",
        operation if operation.contains("Document") => "Name",
        _ => return Vec::new(),
    };
    let document: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let name = document.as_ref().and_then(|document| document.get(name)?.as_str());
    let arn = |name: &str| {
        // Amazon's own documents belong to no account.
        let owner = if name.starts_with("AWS-") { "" } else { account };
        format!("arn:aws:ssm:{}:{owner}:document/{name}", call.region)
    };
    name.map(|name| if name.starts_with("arn:") { name.to_owned() } else { arn(name) })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::call::Wire;
    use super::*;

    #[track_caller]
    fn check(service: &str, operation: &str, body: &str, expected: &[&str]) {
        let call = Call {
            caller: "us-east-1".into(),
            region: "us-west-2".into(),
            service: service.into(),
            operation: operation.into(),
            access_key: None,
            role: None,
            resource: Some("h-1".into()),
            expected_bucket_owner: None,
            agent: None,
            wire: Wire::Query,
        };
        assert_eq!(arns(&call, "000000000000", body.as_bytes()), expected);
    }

    #[test]
    fn rds_identifiers() {
        let db = "arn:aws:rds:us-west-2:000000000000:db:queue-b";
        check("rds", "PromoteReadReplica", "Action=P&DBInstanceIdentifier=queue-b", &[db]);
        check(
            "rds",
            "CreateDBInstanceReadReplica",
            "DBInstanceIdentifier=queue-b&SourceDBInstanceIdentifier=arn%3Aaws%3Ards%3Aus-east-1%3A000000000000%3Adb%3Aqueue-a",
            &[db, "arn:aws:rds:us-east-1:000000000000:db:queue-a"],
        );
        check(
            "rds",
            "CreateDBSnapshot",
            "DBSnapshotIdentifier=s&DBInstanceIdentifier=queue-b",
            &[db, "arn:aws:rds:us-west-2:000000000000:snapshot:s"],
        );
        check("rds", "DescribeDBInstances", "", &["arn:aws:rds:us-west-2:000000000000:db:*"]);
        check("rds", "DescribeEvents", "", &["*"]);
    }

    #[test]
    fn backups_across_regions() {
        check(
            "rds",
            "CopyDBSnapshot",
            "SourceDBSnapshotIdentifier=arn%3Aaws%3Ards%3Aus-east-1%3A000000000000%3Asnapshot%3As&TargetDBSnapshotIdentifier=s&SourceRegion=us-east-1&PreSignedUrl=https%3A%2F%2Frds.us-east-1.amazonaws.com",
            &[
                "arn:aws:rds:us-east-1:000000000000:snapshot:s",
                "arn:aws:rds:us-west-2:000000000000:snapshot:s",
            ],
        );
        check(
            "rds",
            "RestoreDBInstanceToPointInTime",
            "TargetDBInstanceIdentifier=t&SourceDBInstanceAutomatedBackupsArn=arn%3Aaws%3Ards%3Aus-west-2%3A000000000000%3Aauto-backup%3Aab-1",
            &[
                "arn:aws:rds:us-west-2:000000000000:db:t",
                "arn:aws:rds:us-west-2:000000000000:auto-backup:ab-1",
            ],
        );
        check(
            "rds",
            "StartDBInstanceAutomatedBackupsReplication",
            "SourceDBInstanceArn=arn%3Aaws%3Ards%3Aus-east-1%3A000000000000%3Adb%3Aqueue-a",
            &["arn:aws:rds:us-east-1:000000000000:db:queue-a"],
        );
    }

    #[test]
    fn commands_are_for_hosts_with_tags() {
        let tags = |value: &str| BTreeMap::from([("lifeboat-site".to_owned(), value.to_owned())]);
        let known = HostTags::from([("i-1".into(), tags("a")), ("i-2".into(), tags("b"))]);
        let call = Call {
            caller: "us-east-1".into(),
            region: "us-west-2".into(),
            service: "ssm".into(),
            operation: "SendCommand".into(),
            access_key: None,
            role: None,
            resource: None,
            expected_bucket_owner: None,
            agent: None,
            wire: Wire::Query,
        };
        let named = |body: &str| hosts(&call, "1", body.as_bytes(), &known);
        let arn = |id: &str| format!("arn:aws:ec2:us-west-2:1:instance/{id}");
        let context =
            |value: &str| BTreeMap::from([("ssm:resourceTag/lifeboat-site".into(), value.into())]);
        assert_eq!(
            named(r#"{"InstanceIds":["i-1","i-9"]}"#),
            [(arn("i-1"), context("a")), (arn("i-9"), BTreeMap::new())]
        );
        assert_eq!(
            named(r#"{"Targets":[{"Key":"tag:lifeboat-site","Values":["b"]}]}"#),
            [(arn("i-2"), context("b"))]
        );
    }

    #[test]
    fn documents_and_health_checks() {
        check(
            "ssm",
            "SendCommand",
            r#"{"DocumentName":"d"}"#,
            &["arn:aws:ssm:us-west-2:000000000000:document/d"],
        );
        check(
            "ssm",
            "GetDocument",
            r#"{"Name":"AWS-RunShellScript"}"#,
            &["arn:aws:ssm:us-west-2::document/AWS-RunShellScript"],
        );
        check("ssm", "GetCommandInvocation", r#"{"CommandId":"c"}"#, &["*"]);
        check("route53", "GetHealthCheckStatus", "", &["arn:aws:route53:::healthcheck/h-1"]);
    }
}
