//! Every file in `events/` is an event that its function understands.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use lifeboat_core::contract;
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

/// The functions, each with its contract.
const FUNCTIONS: [(&str, common::Parse); 9] = [
    ("dns-failover", parses::<contract::dns_failover::Request>),
    ("health-probe", parses::<contract::health_probe::Request>),
    ("notify", parses::<contract::notify::Request>),
    ("plan-recovery", parses::<contract::plan_recovery::Request>),
    ("promote-replica", parses::<contract::promote_replica::Request>),
    ("recovery-log", parses::<contract::recovery_log::Request>),
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
            known.contains(&name.as_str()) || ["plan", "recover"].contains(&name.as_str()),
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
