//! The report, by a drill as it could have been.

mod geometry;
mod sample;

use std::{collections::BTreeSet, path::Path};

use jiff::SignedDuration;
use serde_json::Value;

use super::*;
use sample::{at, sample};

/// Where a person can look at the sample's page.
fn sample_dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/report-sample")
}

/// The keys that programs may rely on, in their order, and those that say more.
const KEYS: [&str; 23] = [
    "scenario",
    "started_at",
    "struck_at",
    "detected_at",
    "served_at",
    "rto_target_seconds",
    "achieved_rto_seconds",
    "rpo_target_seconds",
    "achieved_rpo_seconds",
    "writes_acknowledged",
    "writes_lost",
    "writes_after_recovery",
    "stale_writes_accepted",
    "dual_writer_seconds",
    "loss_shown_seconds",
    "epoch_before",
    "epoch_after",
    "steps",
    "notifications",
    "invariants",
    "verdict",
    "leftover_resources",
    "mode",
];
const MORE_KEYS: [&str; 3] = ["reason", "parts", "writes_lost_ids"];

#[test]
fn both_files_are_written_and_end_with_a_newline() {
    let written = write(&sample_dir(), &sample()).unwrap();
    let json = std::fs::read_to_string(&written.json).unwrap();
    assert!(json.ends_with("}\n"));
    let html = std::fs::read_to_string(&written.html).unwrap();
    assert!(html.ends_with("</html>\n"));
    let read: DrillReport = serde_json::from_str(&json).unwrap();
    assert_eq!(read, sample().report);
}

#[test]
fn a_scenario_that_is_a_path_is_refused() {
    let mut evidence = sample();
    evidence.report.scenario = "../elsewhere".into();
    let refused = write(&sample_dir(), &evidence).unwrap_err();
    assert!(matches!(refused, ReportError::Name(_)), "{refused}");
}

#[test]
fn the_json_has_exactly_the_agreed_keys() {
    let value = serde_json::to_value(sample().report).unwrap();
    let keys: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, KEYS.into_iter().chain(MORE_KEYS).collect());
    let of = |list: &str| -> Vec<&str> {
        value[list][0].as_object().unwrap().keys().map(String::as_str).collect()
    };
    let sorted = |mut keys: Vec<&'static str>| {
        keys.sort_unstable();
        keys
    };
    assert_eq!(sorted(vec!["name", "started_at", "ended_at", "outcome"]), {
        let mut keys = of("steps");
        keys.sort_unstable();
        keys
    });
    assert_eq!(of("notifications").len(), 3);
    assert_eq!(of("invariants").len(), 3);
    assert_eq!(value["verdict"], "pass");
    assert!(value["leftover_resources"].is_u64());
}

#[test]
fn a_key_is_there_when_its_value_is_not() {
    let mut report = sample().report;
    report.served_at = None;
    report.achieved_rto_seconds = None;
    report.steps[0].ended_at = None;
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["served_at"], Value::Null);
    assert_eq!(value["achieved_rto_seconds"], Value::Null);
    assert_eq!(value["steps"][0]["ended_at"], Value::Null);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<DrillReport>(&text).unwrap(), report);
}

#[test]
fn times_have_milliseconds_even_when_they_are_zero() {
    let mut report = sample().report;
    report.struck_at = at(-250);
    let value = serde_json::to_value(report).unwrap();
    assert_eq!(value["struck_at"], "2026-02-24T10:46:40.000Z");
    assert_eq!(value["detected_at"], "2026-02-24T10:46:56.662Z");
}

#[test]
fn parts_keep_their_order() {
    let text = serde_json::to_string(&sample().report.parts).unwrap();
    assert!(text.starts_with(r#"{"detection":16.412,"decision":1.204"#), "{text}");
    assert_eq!(serde_json::from_str::<Parts>(&text).unwrap(), sample().report.parts);
}

#[test]
fn seconds_are_rounded_to_milliseconds() {
    let from = at(0);
    let until = from.checked_add(SignedDuration::from_micros(1_234_567)).unwrap();
    assert!((seconds_between(from, until) - 1.235).abs() < 1e-12);
    assert!((seconds_between(until, from) + 1.235).abs() < 1e-12);
}

#[test]
fn no_text_of_a_drill_becomes_markup() {
    let evil = "<script>alert(1)</script>\"'&\u{1b}";
    let mut evidence = sample();
    evidence.command = evil.into();
    let report = &mut evidence.report;
    report.scenario = evil.into();
    report.reason = evil.into();
    report.mode = evil.into();
    report.writes_lost_ids = vec![evil.into()];
    report.steps[3].name = evil.into();
    report.steps[3].outcome = evil.into();
    report.notifications[0].channel = evil.into();
    report.notifications[0].stage = evil.into();
    report.invariants[0].id = evil.into();
    report.invariants[0].evidence = evil.into();
    report.parts.push(evil, 1.0);
    evidence.writes[250].failure = Some(evil.into());
    evidence.observations[0].detail = evil.into();
    evidence.dns[0].answer = evil.into();
    evidence.marks[0].label = evil.into();
    let page = page::page(&evidence);
    assert!(!page.contains("<script"), "a text became an element");
    assert!(!page.contains('\u{1b}'));
    assert!(page.matches("&lt;script&gt;").count() >= 14);
}

#[test]
fn the_page_needs_nothing_else() {
    let page = page::page(&sample());
    for outside in ["http://", "https://", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("<desc").count(), 4);
    let ids: Vec<&str> =
        page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let distinct: BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}

#[test]
fn a_drill_without_outage_and_without_steps_has_a_page_too() {
    let mut evidence = sample();
    let report = &mut evidence.report;
    report.scenario = "standby-blind".into();
    report.detected_at = None;
    report.served_at = None;
    report.rto_target_seconds = None;
    report.achieved_rto_seconds = None;
    report.rpo_target_seconds = None;
    report.steps.clear();
    report.parts = Parts::default();
    evidence.dns.clear();
    let page = page::page(&evidence);
    assert!(page.contains("Standby blind: as it should be"));
    assert!(page.contains("no recovery was started"));
    assert!(!page.contains("NaN") && !page.contains("inf"));
    evidence.writes.clear();
    evidence.observations.clear();
    assert!(page::page(&evidence).contains("the alarm did not fire"));
}

#[test]
fn a_missed_target_is_told_without_colour() {
    let mut evidence = sample();
    evidence.report.rto_target_seconds = Some(20.0);
    evidence.report.verdict = Verdict::Fail;
    let page = page::page(&evidence);
    assert!(page.contains("✗ missed"));
    assert!(page.contains("and the drill failed"));
    let text = summary(Palette::Plain, &evidence.report);
    assert!(text.contains("RTO                       20.000 s    31.009 s  ✗"), "{text}");
    assert!(text.contains("FAIL"));
}

#[test]
fn a_live_line_is_aligned_and_plain_without_a_terminal() {
    let line = live_line(
        Palette::Plain,
        SignedDuration::from_millis(12_345),
        "PromoteReplica",
        "promoted",
        Some(SignedDuration::from_millis(812)),
    );
    assert_eq!(line, "   +12.345 s  PromoteReplica      promoted (0.8 s)");
    let coloured =
        live_line(Palette::Colour, SignedDuration::ZERO, "FencePrimary", "failed: no", None);
    assert!(coloured.contains("\u{1b}[1;31mfailed: no\u{1b}[0m"), "{coloured:?}");
}

#[test]
fn a_drill_of_backups_knows_no_disaster() {
    let mut evidence = sample();
    let report = &mut evidence.report;
    report.scenario = "corrupt-backup".into();
    report.served_at = None;
    report.rto_target_seconds = None;
    report.achieved_rto_seconds = None;
    report.rpo_target_seconds = None;
    let backup = |complete, said: &str| BackupResult {
        app: "queue".into(),
        kind: "config".into(),
        point: "20261124T120000Z-full".into(),
        size_bytes: 526,
        proven: [("us-west-2".to_owned(), said.to_owned())].into(),
        complete,
    };
    report.backups = vec![
        backup(true, "read sound, restored sound"),
        backup(false, "present sound, read damaged"),
        backup(false, "present sound"),
    ];
    let page = page::page(&evidence);
    assert!(page.contains("1 backup is damaged, 1 is not proven, 1 is proven"));
    assert!(page.contains("✗ damaged") && page.contains("✗ not proven"));
    for wrong in ["disaster", "struck", "The recovery", "the probe in the other region"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
}

#[test]
fn the_summary_names_every_invariant_and_message() {
    let report = sample().report;
    let text = summary(Palette::Plain, &report);
    for invariant in &report.invariants {
        assert!(text.contains(&format!("✓ {}", invariant.id)), "{text}");
        assert!(text.contains(&invariant.evidence));
    }
    assert!(text.contains("slack     recovered"));
    assert!(text.contains("PASS  RTO and RPO are within"));
    assert!(!text.contains('\u{1b}'));
    assert!(text.lines().all(|line| line == line.trim_end()));
}

#[test]
fn lengths_are_for_people() {
    let said: Vec<String> =
        [0.0, 0.0004, 0.05, 0.9996, 31.109, 99.96, 725.0, -0.2].map(text::length).into();
    assert_eq!(
        said,
        ["0 s", "0 ms", "50 ms", "1.0 s", "31.1 s", "1 min 39 s", "12 min 5 s", "-200 ms"]
    );
    let said: Vec<String> = [0.0, 5.0, 60.0, 900.0, 0.5].map(text::target).into();
    assert_eq!(said, ["0 s", "5 s", "60 s", "15 min", "500 ms"]);
    assert_eq!(text::title("dns_switch"), "DNS switch");
    assert_eq!(text::title("region-outage"), "Region outage");
    assert_eq!(text::breakable("PromoteReplica"), "Promote<wbr>Replica");
}
