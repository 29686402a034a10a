//! The recovery log: append-only, hash-chained, one chain per recovery.
//!
//! Each entry carries the hash of the one before it, so that an entry that was changed, removed or
//! slipped in afterwards breaks the chain at a place that [`verify`] names.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::ids::{AppName, Epoch, IncidentId};

/// What an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The recovery was opened.
    Opened,
    /// The plan, as it was decided.
    Planned,
    /// A person approved or declined.
    Approval,
    /// The target became the active site.
    Claimed,
    /// A step ended.
    Step,
    /// The recovery ended, with what it achieved.
    Closed,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place in the chain, from 0.
    pub sequence: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The app.
    pub app: AppName,
    /// The recovery.
    pub incident: IncidentId,
    /// The epoch that the recovery holds.
    pub epoch: Epoch,
    /// What it tells of.
    pub kind: EntryKind,
    /// The facts, as JSON.
    pub body: Value,
    /// The hash of the entry before; 64 zeros for the first.
    pub previous: String,
    /// SHA-256 over all of the above, in lower-case hex.
    pub hash: String,
}

/// What is to be appended.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The app.
    pub app: AppName,
    /// The recovery.
    pub incident: IncidentId,
    /// The epoch that the recovery holds.
    pub epoch: Epoch,
    /// What it tells of.
    pub kind: EntryKind,
    /// The facts, as JSON.
    pub body: Value,
}

/// The entry that appends `fact` after `last`.
#[must_use]
pub fn append(last: Option<&Entry>, fact: Fact, now: Timestamp) -> Entry {
    let mut entry = Entry {
        sequence: last.map_or(0, |last| last.sequence.saturating_add(1)),
        at: now,
        app: fact.app,
        incident: fact.incident,
        epoch: fact.epoch,
        kind: fact.kind,
        body: fact.body,
        previous: last.map_or_else(|| "0".repeat(64), |last| last.hash.clone()),
        hash: String::new(),
    };
    entry.hash = hash_of(&entry);
    entry
}

/// That the entries form one unbroken chain.
///
/// # Errors
/// The place of the first break and what is wrong there.
pub fn verify(entries: &[Entry]) -> Result<(), String> {
    let mut last: Option<&Entry> = None;
    for (place, entry) in entries.iter().enumerate() {
        let expected = last.map_or(0, |last| last.sequence.saturating_add(1));
        if entry.sequence != expected {
            return Err(format!(
                "entry {place}: expected sequence {expected}, found {}",
                entry.sequence
            ));
        }
        let previous = last.map_or_else(|| "0".repeat(64), |last| last.hash.clone());
        if entry.previous != previous {
            return Err(format!("entry {place}: it does not follow the entry before it"));
        }
        if entry.hash != hash_of(entry) {
            return Err(format!("entry {place}: its content was changed after it was written"));
        }
        if last.is_some_and(|last| last.epoch > entry.epoch) {
            return Err(format!("entry {place}: its epoch is older than the one before"));
        }
        last = Some(entry);
    }
    Ok(())
}

fn hash_of(entry: &Entry) -> String {
    let unsigned = Entry { hash: String::new(), ..entry.clone() };
    let value = serde_json::to_value(&unsigned).unwrap_or(Value::Null);
    let mut text = String::new();
    canonical(&value, &mut text);
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON with sorted keys and no spaces, so that the hash depends on the content alone.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (place, (key, value)) in keys.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain() -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for (kind, body) in [
            (EntryKind::Opened, json!({"by": "alarm"})),
            (EntryKind::Planned, json!({"decision": "proceed", "loss": 1.5})),
            (EntryKind::Closed, json!({"outcome": "recovered"})),
        ] {
            let fact = Fact {
                app: "queue".parse().unwrap(),
                incident: "one".parse().unwrap(),
                epoch: Epoch(2),
                kind,
                body,
            };
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let entry = append(entries.last(), fact, now);
            entries.push(entry);
        }
        entries
    }

    #[test]
    fn a_chain_survives_being_stored_as_json() {
        let text = serde_json::to_string(&chain()).unwrap();
        let read: Vec<Entry> = serde_json::from_str(&text).unwrap();
        assert_eq!(verify(&read), Ok(()));
    }

    #[test]
    fn every_tampering_is_found_at_its_place() {
        let mut changed = chain();
        changed[1].body["decision"] = "stand_down".into();
        assert!(verify(&changed).unwrap_err().starts_with("entry 1"));

        let mut removed = chain();
        removed.remove(1);
        assert!(verify(&removed).unwrap_err().starts_with("entry 1"));

        let mut swapped = chain();
        swapped.swap(1, 2);
        assert!(verify(&swapped).unwrap_err().starts_with("entry 1"));

        let mut rehashed = chain();
        rehashed[0].body = json!({"by": "nobody"});
        rehashed[0].hash = hash_of(&rehashed[0]);
        assert!(verify(&rehashed).unwrap_err().starts_with("entry 1"));
    }
}
