//! Whether a restored database is what its manifest says; of a moment between backups, whether it
//! is sane.

use std::collections::BTreeMap;

use lifeboat_core::backup::{
    EvidenceFinding, Manifest,
    question::{self, Answer},
};

/// The rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All of them.
    Counted(u64),
    /// Those of a sample of its pages.
    Sampled {
        /// Rows that were read.
        rows: u64,
        /// The part of its pages, in millionths.
        millionths: u32,
        /// Bytes of the whole table.
        bytes: u64,
    },
}

/// What was found in a restored database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Whether the server still replays WAL, so that it is no primary.
    pub in_recovery: bool,
    /// Rows by table.
    pub tables: BTreeMap<String, Rows>,
    /// The plan's checks by name, in the plan's order, with what came of each.
    pub checks: Vec<(String, Answer)>,
    /// What could not be read at all, with the server's words; empty when all could.
    pub unreadable: Vec<String>,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What was looked at, in sentences for people.
    pub facts: Vec<String>,
    /// What is wrong; empty when nothing is.
    pub findings: Vec<EvidenceFinding>,
    /// Checks of the plan that could not be asked, in sentences: no word about the backup, and
    /// without them it cannot be called sound.
    pub unasked: Vec<String>,
}

/// Holds it against the manifest, which a moment between backups has not.
#[must_use]
pub fn judge(manifest: Option<&Manifest>, seen: &Seen) -> Judgement {
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
            // What could not be read kept the others from being looked at.
            None if !seen.unreadable.is_empty() => {}
            None => add(place(), "it is missing".into()),
            Some(Rows::Counted(rows)) => {
                if let Some(wanted) = expected.rows.filter(|wanted| wanted != rows) {
                    add(place(), format!("{rows} rows instead of {wanted}"));
                }
            }
            // A sample tells no number to hold against another.
            Some(Rows::Sampled { .. }) => {}
        }
    }
    let mut unasked = Vec::new();
    for (place, (name, answer)) in seen.checks.iter().enumerate() {
        match answer {
            Answer::Holds => {}
            Answer::Fails(why) => add(format!("check {name}"), why.clone()),
            Answer::Unasked(why) => unasked.push(question::unasked(place, name, why)),
        }
    }
    let mut facts = read(seen);
    facts.push(match counts {
        None => "a moment between backups has no counts to hold them against".into(),
        Some([]) => "the manifest has no counts to hold them against".into(),
        Some(counts) => format!("the manifest counts {} tables", counts.len()),
    });
    if !seen.checks.is_empty() {
        let held = seen.checks.iter().filter(|(_, answer)| *answer == Answer::Holds).count();
        facts.push(format!("{held} of {} checks of the plan hold", seen.checks.len()));
    }
    Judgement { facts, findings, unasked }
}

/// Sampled tables that are named; the largest.
const NAMED: usize = 10;

/// How much was read, and of what only a sample was.
fn read(seen: &Seen) -> Vec<String> {
    let counted: Vec<u64> = seen
        .tables
        .values()
        .filter_map(|rows| match rows {
            Rows::Counted(rows) => Some(*rows),
            Rows::Sampled { .. } => None,
        })
        .collect();
    let (whole, rows) = (counted.len(), counted.iter().sum::<u64>());
    let mut sampled: Vec<(u64, String)> = seen
        .tables
        .iter()
        .filter_map(|(table, rows)| match rows {
            Rows::Counted(_) => None,
            Rows::Sampled { rows, millionths, bytes } => {
                let percent = f64::from(*millionths) / 10_000.0;
                Some((*bytes, format!("{table} ({rows} rows in {percent} % of {bytes} bytes)")))
            }
        })
        .collect();
    if sampled.is_empty() {
        return vec![format!("{whole} tables with {rows} rows were read")];
    }
    sampled.sort_by(|a, b| b.cmp(a));
    let (count, more) = (sampled.len(), sampled.len().saturating_sub(NAMED));
    let names: Vec<String> = sampled.into_iter().take(NAMED).map(|(_, name)| name).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    vec![
        format!("{whole} of {} tables with {rows} rows were read whole", seen.tables.len()),
        format!(
            "of {count} larger ones a sample of the pages was read, and nothing is known of their \
             other pages: {}{more}",
            names.join(", ")
        ),
    ]
}
