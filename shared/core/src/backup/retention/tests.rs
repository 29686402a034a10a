//! The cases of `events/retention`: each a catalogue, a policy, and what is to be decided.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;

use super::*;

/// What a case expects.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    now: Timestamp,
    recovery: Option<IncidentId>,
    hold: Option<String>,
    /// `ACTION KIND POINT: REASON`, of each point.
    decisions: Vec<String>,
    /// `KIND POINT`, in the order in which they go.
    deletions: Vec<String>,
    notes: Vec<String>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/retention")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_case_is_decided_as_it_says() {
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let Some(case) = name.strip_suffix(".expected.json") else { continue };
        let catalogue: Catalogue = serde_json::from_str(&read(&format!("{case}.json"))).unwrap();
        let retention: Retention = toml::from_str(&read(&format!("{case}.toml"))).unwrap();
        let expected: Expected = serde_json::from_str(&read(&name)).unwrap();
        assert_eq!(check(&retention), [], "{case}");
        let circumstances = Circumstances {
            now: expected.now,
            recovery: expected.recovery.map_or(Seen::Absent, Seen::Present),
            hold: expected.hold.map_or(Seen::Absent, Seen::Present),
        };
        let plan = plan(&catalogue, &retention, &circumstances);
        let decisions: Vec<String> = plan
            .decisions
            .iter()
            .map(|Decision { point, verdict }| {
                let action = if verdict.is_delete() { "delete" } else { "keep" };
                format!("{action} {} {}: {verdict}", point.kind, point.id)
            })
            .collect();
        assert_eq!(decisions, expected.decisions, "{case}");
        let deletions: Vec<String> =
            plan.deletions.iter().map(|point| format!("{} {}", point.kind, point.id)).collect();
        assert_eq!(deletions, expected.deletions, "{case}");
        let notes: Vec<String> = plan.summary.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes, expected.notes, "{case}");
        seen.insert(case.to_owned());
    }
    assert!(seen.contains("newest-corrupt") && seen.len() >= 12, "{seen:?}");
}

#[test]
fn an_empty_catalogue_has_an_empty_plan() {
    let catalogue = Catalogue { complete: true, points: Vec::new() };
    let circumstances = Circumstances {
        now: "2026-11-24T12:00:00Z".parse().unwrap(),
        recovery: Seen::Absent,
        hold: Seen::Absent,
    };
    let plan = plan(&catalogue, &Retention::default(), &circumstances);
    assert_eq!(plan.decisions, []);
    assert_eq!(plan.summary, Summary::default());
}

#[test]
fn points_that_need_each_other_stay() {
    let mut catalogue: Catalogue = serde_json::from_str(&read("hold.json")).unwrap();
    let names: Vec<PointId> = catalogue.points.iter().map(|point| point.id.clone()).collect();
    let old = catalogue.points[0].taken_at;
    for (point, other) in catalogue.points.iter_mut().zip(names.iter().rev()) {
        point.taken_at = old;
        point.depends_on = vec![other.clone()];
    }
    let sound = RecoveryPoint {
        id: PointId::full(old),
        depends_on: Vec::new(),
        ..catalogue.points[1].clone()
    };
    let sound = RecoveryPoint {
        id: PointId::new("20261123T000000Z-full").unwrap(),
        taken_at: "2026-11-23T00:00:00Z".parse().unwrap(),
        ..sound
    };
    catalogue.points.push(sound);
    let circumstances = Circumstances {
        now: "2026-11-24T12:00:00Z".parse().unwrap(),
        recovery: Seen::Absent,
        hold: Seen::Absent,
    };
    let plan = plan(&catalogue, &Retention::default(), &circumstances);
    let codes: Vec<&str> = plan.decisions.iter().map(|of| of.verdict.code()).collect();
    assert_eq!(codes, ["cycle", "newest-verified", "cycle"]);
}

#[test]
fn wal_stays_while_what_needs_it_is_not_known() {
    let mut catalogue: Catalogue = serde_json::from_str(&read("window.json")).unwrap();
    catalogue.points[3].wal = None;
    let circumstances = Circumstances {
        now: "2026-11-24T12:00:00Z".parse().unwrap(),
        recovery: Seen::Absent,
        hold: Seen::Absent,
    };
    let retention = Retention::default();
    let plan = plan(&catalogue, &retention, &circumstances);
    assert!(plan.deletions.iter().all(|point| point.kind != Kind::DatabaseWal));
    let unknown = plan.decisions.iter().filter(|of| of.verdict.code() == "needs-unknown").count();
    assert!(unknown > 0, "{:?}", plan.summary);
}

#[test]
fn mistakes_in_a_policy_are_found_where_they_are() {
    let found = |text: &str| {
        let retention: Retention = toml::from_str(text).unwrap();
        check(&retention).into_iter().map(|problem| problem.path.join(".")).collect::<Vec<_>>()
    };
    assert!(found("").is_empty());
    assert_eq!(found("minimum = 0"), ["minimum"]);
    assert_eq!(found("[keep_days]\nlogs = 0"), ["keep_days.logs"]);
    assert_eq!(found("[keep_days]\nlogs = 99999"), ["keep_days.logs"]);
    assert_eq!(found("[keep_days]\ndatabase-wal = 8"), ["keep_days.database-wal"]);
    assert_eq!(found("[keep_days]\ndatabase-base = 2"), ["keep_days.database-base"]);
    assert_eq!(found("[limit]\ndeletions = 0\nbytes = 0"), ["limit.deletions", "limit.bytes"]);
    assert_eq!(found("[tiers]\nweekly = 4000000"), ["tiers.weekly"]);
    assert!(toml::from_str::<Retention>("[keep_days]\ntapes = 3").is_err());
    assert!(toml::from_str::<Retention>("minimun = 3").is_err());
}

#[test]
fn a_policy_is_written_as_it_is_read() {
    let text = "minimum = 3\nkeep_days = { logs = 14 }\ntiers = { weekly = 4 }\n\
                limit = { deletions = 10, bytes = 1000 }";
    let retention: Retention = toml::from_str(text).unwrap();
    let json = serde_json::to_string(&retention).unwrap();
    assert_eq!(serde_json::from_str::<Retention>(&json).unwrap(), retention);
    assert_eq!(toml::from_str::<Retention>(&toml::to_string(&retention).unwrap()), Ok(retention));
}
