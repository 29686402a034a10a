//! Every file in `events/` is an event that its function understands.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use lifeboat_core::{contract, plan_file};
use lifeboat_tests::{files, json, root};
use serde::de::DeserializeOwned;

mod common {
    use serde_json::Value;

    /// A check that a file parses into its contract.
    pub(crate) type Parse = fn(Value) -> Result<(), String>;
}

fn parses<T: DeserializeOwned>(value: serde_json::Value) -> Result<(), String> {
    serde_json::from_value::<T>(value).map(|_| ()).map_err(|error| error.to_string())
}

/// The machines, whose events are what they are started with.
const MACHINES: [&str; 7] = ["backup", "init", "overdue", "recover", "restore", "sweep", "verify"];
/// Those that no schedule starts.
const BY_HAND: [&str; 4] = ["init", "overdue", "recover", "restore"];

/// What `lifeboat backup` starts the machine `lifeboat-backup` with.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct ByHand {
    app: lifeboat_core::AppName,
    due: Vec<contract::backup_trigger::Due>,
}

/// The functions, each with its contract.
const FUNCTIONS: [(&str, common::Parse); 11] = [
    ("backup-trigger", parses::<contract::backup_trigger::Request>),
    ("dns-failover", parses::<contract::dns_failover::Request>),
    ("health-probe", parses::<contract::health_probe::Request>),
    ("notify", parses::<contract::notify::Order>),
    ("plan-recovery", parses::<contract::plan_recovery::Request>),
    ("promote-replica", parses::<contract::promote_replica::Request>),
    ("recovery-log", parses::<contract::recovery_log::Request>),
    ("restore-backup", parses::<contract::restore_backup::Request>),
    ("retention-sweep", parses::<contract::retention_sweep::Request>),
    ("site-control", parses::<contract::site_control::Request>),
    ("verify-backup", parses::<contract::verify_backup::Request>),
];

#[test]
fn every_event_parses_into_its_contract() {
    for (function, parse) in FUNCTIONS {
        let found = files(&format!("events/{function}"), ".json").unwrap();
        assert!(!found.is_empty(), "{function} has no events");
        for path in found {
            let value = json(&path).unwrap();
            if let Err(error) = parse(value) {
                panic!("{}: {error}", path.display());
            }
        }
    }
}

#[test]
fn every_example_of_a_plan_is_good_and_leaves_nothing_to_note() {
    let found = files("events/plan", ".toml").unwrap();
    assert!(found.len() >= 2, "{found:?}");
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display();
        let plan = plan_file::read(&text).unwrap_or_else(|found| panic!("{name}: {found:#?}"));
        assert_eq!(plan_file::notes(&plan), [], "{name}");
        // A standard parameter of Parameter Store holds 4 KB.
        assert!(serde_json::to_vec(&plan).unwrap().len() < 4096, "{name}");
    }
}

#[test]
fn the_example_for_postgresql_has_every_option_of_backups_with_a_word_about_it() {
    let path = root().join("events/plan/postgres.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let plan = plan_file::read(&text).unwrap();
    // Options that are their default, and those that are not set, are left out here.
    let given = serde_json::to_value(plan.backup.unwrap()).unwrap();
    for option in ["base", "checks", "files", "images", "retention", "schedule", "verify"] {
        assert!(given.get(option).is_some(), "{option} is not shown");
    }
    assert_eq!(given.as_object().unwrap().len(), 7, "an option is new: {given}");
    let base = &given["schedule"]["database-base"];
    assert!(["every", "at", "full_every"].iter().all(|key| base.get(key).is_some()), "{base}");
    for kind in ["config", "code", "logs"] {
        assert!(given["files"].get(kind).is_some(), "{kind}");
    }
    assert!(!given["files"]["code"]["exclude"].as_array().unwrap().is_empty());
    let tiers = given["retention"]["tiers"].as_object().unwrap();
    assert!(tiers.len() == 4 && tiers.values().all(|count| count.as_u64() > Some(0)), "{tiers:?}");
    assert!(given["retention"]["limit"].get("bytes").is_some());
    let comments: String = text.lines().filter(|line| line.starts_with('#')).collect();
    for word in
        ["every", "at ", "full_every", "exclude", "{image}", "keep_days", "tiers", "minimum"]
    {
        assert!(comments.contains(word), "no comment speaks of {word}");
    }
}

#[test]
fn every_function_has_events_and_every_folder_of_events_a_reader() {
    let mut functions: Vec<String> = std::fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    functions.sort();
    let known: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(functions, known);
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            known.contains(&name.as_str())
                || MACHINES.contains(&name.as_str())
                || ["plan", "retention"].contains(&name.as_str()),
            "events/{name} belongs to nothing"
        );
    }
}

#[test]
fn an_unknown_field_in_an_event_is_refused() {
    for (function, parse) in FUNCTIONS {
        for path in files(&format!("events/{function}"), ".json").unwrap() {
            let mut value = json(&path).unwrap();
            value["unheard_of"] = true.into();
            assert!(parse(value).is_err(), "{} takes anything", path.display());
        }
    }
}

#[test]
fn the_machines_inputs_name_an_app() {
    for path in files("events/recover", ".json").unwrap() {
        let value = json(&path).unwrap();
        let alarm = &value["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"];
        let app = value["app"].as_str().or_else(|| alarm["dimensions"]["app"].as_str());
        assert!(app.is_some_and(|app| app.parse::<lifeboat_core::AppName>().is_ok()));
        if let Some(trigger) = value.get("trigger") {
            parses::<lifeboat_core::situation::Trigger>(trigger.clone()).unwrap();
        }
    }
}

#[test]
fn the_init_machine_reads_what_it_is_started_with_and_begins_with_the_first_epoch() {
    let machine = json(&root().join("infra/statemachines/init.asl.json")).unwrap();
    let states = &machine["States"];
    let found = files("events/init", ".json").unwrap();
    assert!(!found.is_empty());
    for path in found {
        for (field, _) in json(&path).unwrap().as_object().unwrap() {
            let read = states["ReadRequest"]["Assign"][field].as_str().unwrap_or_default();
            assert!(read.contains(&format!("$states.input.{field}")), "{field} is not read");
        }
    }
    let verified = &states["VerifySite"]["Arguments"]["Payload"]["epoch"];
    assert_eq!(*verified, lifeboat_core::ledger::FIRST_EPOCH.0);
}

#[test]
fn the_overdue_machine_reads_what_a_recovery_starts_it_with() {
    let machine = json(&root().join("infra/statemachines/overdue.asl.json")).unwrap();
    let recover = json(&root().join("infra/statemachines/recover.asl.json")).unwrap();
    let given = recover["States"]["WatchTheClock"]["Arguments"]["Input"].as_object().unwrap();
    let fields: Vec<&String> = given.keys().collect();
    for field in &fields {
        let read = machine["States"]["ReadRequest"]["Assign"][*field].as_str().unwrap_or_default();
        assert!(read.contains(&format!("$states.input.{field}")), "{field} is not read");
    }
    for path in files("events/overdue", ".json").unwrap() {
        let example = json(&path).unwrap();
        let mut named: Vec<&String> = example.as_object().unwrap().keys().collect();
        named.sort_by_key(|name| fields.iter().position(|field| field == name));
        assert_eq!(named, fields, "{}", path.display());
    }
}

#[test]
fn the_restore_machine_takes_orders_and_reads_all_of_them() {
    let machine = json(&root().join("infra/statemachines/restore.asl.json")).unwrap();
    let read = machine["States"]["ReadOrder"]["Assign"].as_object().unwrap();
    let found = files("events/restore", ".json").unwrap();
    assert!(!found.is_empty());
    for path in found {
        let mut value = json(&path).unwrap();
        for (field, _) in value.as_object().unwrap() {
            let assigned = read.get(field).and_then(|text| text.as_str()).unwrap_or_default();
            assert!(assigned.contains(&format!("$states.input.{field}")), "{field} is not read");
        }
        parses::<contract::restore_backup::Order>(value.clone()).unwrap();
        value["unheard_of"] = true.into();
        assert!(parses::<contract::restore_backup::Order>(value).is_err());
    }
}

#[test]
fn the_scheduled_machines_take_what_their_schedules_send() {
    let template = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    for machine in MACHINES.iter().filter(|machine| !BY_HAND.contains(machine)) {
        let name = format!("Name: lifeboat-{machine}\n");
        let schedule = template.split(&name).find(|part| part.contains("ScheduleExpression:"));
        assert!(schedule.unwrap().contains("Input: \"{}\""), "{machine}");
        let found = files(&format!("events/{machine}"), ".json").unwrap();
        assert!(!found.is_empty(), "{machine}");
        assert!(found.iter().any(|path| json(path).unwrap() == serde_json::json!({})), "{machine}");
        for path in found {
            let value = json(&path).unwrap();
            // What an operator names goes to the backup machine alone.
            if value != serde_json::json!({}) {
                assert_eq!(*machine, "backup", "{}", path.display());
                parses::<ByHand>(value).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            }
        }
    }
}

#[test]
fn every_kind_that_a_host_or_rds_makes_has_events() {
    for kind in lifeboat_core::backup::Kind::ALL {
        for case in [
            format!("backup-trigger/start-{kind}"),
            format!("restore-backup/start-{kind}-into-scratch"),
            format!("restore-backup/start-{kind}-into-place"),
            format!("verify-backup/present-{kind}"),
        ] {
            let path = root().join(format!("events/{case}.json"));
            // WAL is archived continuously, and restored with the base backup that needs it.
            let alone = kind != lifeboat_core::backup::Kind::DatabaseWal;
            assert_eq!(path.exists(), alone, "{}", path.display());
        }
    }
}
