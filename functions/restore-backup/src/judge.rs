//! Whether a restored database is what its manifest says; of a moment between backups, whether it
//! is sane.

use std::collections::BTreeMap;

use lifeboat_core::backup::{EvidenceFinding, Manifest};

/// What was found in a restored database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Whether the server still replays WAL, so that it is no primary.
    pub in_recovery: bool,
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
    /// The plan's checks by name, with the answer: whether it held, or why it could not be asked.
    pub checks: Vec<(String, Result<bool, String>)>,
    /// What could not be read at all, with the server's words; empty when all could.
    pub unreadable: Vec<String>,
}

/// What it comes to: facts for people, and what is wrong (nothing: it is sound). A moment between
/// backups has no manifest.
#[must_use]
pub fn judge(manifest: Option<&Manifest>, seen: &Seen) -> (Vec<String>, Vec<EvidenceFinding>) {
    let mut findings = Vec::new();
    let mut add = |place: String, message: String| {
        findings.push(EvidenceFinding { file: String::new(), place, message });
    };
    if seen.in_recovery {
        add(String::new(), "the restored server is still in recovery".into());
    }
    for message in &seen.unreadable {
        add(String::new(), message.clone());
    }
    if seen.tables.is_empty() && seen.unreadable.is_empty() {
        add(String::new(), "the restored database holds no table".into());
    }
    let counts = manifest.map(|manifest| manifest.tables.as_slice());
    for expected in counts.unwrap_or_default() {
        let place = || format!("table {}", expected.table);
        match seen.tables.get(&expected.table) {
            None => add(place(), "it is missing".into()),
            Some(rows) if *rows == expected.rows => {}
            Some(rows) => add(place(), format!("{rows} rows instead of {}", expected.rows)),
        }
    }
    for (name, answer) in &seen.checks {
        match answer {
            Ok(true) => {}
            Ok(false) => add(format!("check {name}"), "it does not hold".into()),
            Err(why) => add(format!("check {name}"), format!("it cannot be asked: {why}")),
        }
    }
    let rows: u64 = seen.tables.values().sum();
    let mut facts = vec![format!("{} tables with {rows} rows were read", seen.tables.len())];
    facts.push(match counts {
        None => "a moment between backups has no counts to hold them against".into(),
        Some([]) => "the manifest has no counts to hold them against".into(),
        Some(counts) => format!("the manifest counts {} tables", counts.len()),
    });
    if !seen.checks.is_empty() {
        let held = seen.checks.iter().filter(|(_, answer)| *answer == Ok(true)).count();
        facts.push(format!("{held} of {} checks of the plan hold", seen.checks.len()));
    }
    (facts, findings)
}
