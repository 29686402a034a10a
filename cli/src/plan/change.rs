//! What `plan apply` changes in a region: judged from what is there, before anything is written.

use jiff::Timestamp;
use lifeboat_core::{
    Region,
    ledger::{ControlRecord, FIRST_EPOCH},
    plan_file::AppPlan,
};
use lifeboat_ledger::{ETag, Seen};
use lifeboat_parameters::plan_path;
use serde::Serialize;
use serde_json::Value;

use crate::alarms::Alarm;

/// One change in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// The region.
    pub(crate) region: Region,
    /// What is changed, in the present tense: `stores plan /lifeboat/plans/queue`.
    pub(crate) change: String,
    /// What is different, a line for each; empty of what was not there before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
}

impl Change {
    /// A change with its details.
    pub(super) fn new(region: &Region, change: String, details: Vec<String>) -> Self {
        Self { region: region.clone(), change, details }
    }
}

/// How the stored plan changes; none when it does not.
pub(super) fn of_plan(plan: &AppPlan, stored: Option<&str>, region: &Region) -> Option<Change> {
    let path = plan_path(&plan.app);
    let Some(stored) = stored else {
        return Some(Change::new(region, format!("stores plan {path}"), Vec::new()));
    };
    let Ok(before) = serde_json::from_str::<Value>(stored) else {
        let what = format!("replaces plan {path}, which cannot be read");
        return Some(Change::new(region, what, Vec::new()));
    };
    let after = serde_json::to_value(plan).unwrap_or_default();
    let details = differences(&before, &after);
    (!details.is_empty()).then(|| Change::new(region, format!("changes plan {path}"), details))
}

/// Every value that is another one, by the keys that lead to it.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(&mut String::new(), before, after, &mut lines);
    lines
}

fn compare(path: &mut String, before: &Value, after: &Value, lines: &mut Vec<String>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(key);
            match (old.get(key), new.get(key)) {
                (Some(old), Some(new)) => compare(path, old, new, lines),
                (Some(old), None) => lines.push(format!("- {path}: {old}")),
                (None, Some(new)) => lines.push(format!("+ {path}: {new}")),
                (None, None) => {}
            }
            path.truncate(length);
        }
    } else if before != after {
        lines.push(format!("~ {path}: {before} -> {after}"));
    }
}

/// What becomes of a region's register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Register {
    /// It is there, and the others know of it as far as they can be read.
    Kept,
    /// Written where there is none: the first one, or what the others know.
    Write(ControlRecord),
    /// The other region is told of an epoch that it may not know of.
    Tell(ControlRecord, ETag),
    /// Nothing is written while a region cannot be read: a first record beside one that cannot be seen
    /// would set the epoch back.
    Owed {
        /// The region that cannot be read.
        unseen: Region,
        /// Why.
        why: String,
    },
}

/// That this region has a register, and that the others know of its epoch.
pub(super) fn of_register(seen: &Seen, plan: &AppPlan, now: Timestamp) -> Register {
    match (&seen.own, seen.unreachable.first()) {
        (Some(_), Some(_)) => Register::Kept,
        (None, Some((unseen, why))) => Register::Owed { unseen: unseen.clone(), why: why.clone() },
        (Some((own, _)), None) if own.known_elsewhere => Register::Kept,
        // It is written down that the others may know before any of them is told.
        (Some((own, etag)), None) => {
            let told = ControlRecord { known_elsewhere: true, updated_at: now, ..own.clone() };
            Register::Tell(told, etag.clone())
        }
        // A region that joins late learns what the others know, never less.
        (None, None) => Register::Write(seen.newest.clone().unwrap_or_else(|| {
            ControlRecord::first(plan.app.clone(), plan.initially_active.clone(), now)
        })),
    }
}

impl Register {
    /// The change in words; none when there is none.
    pub(super) fn change(&self, region: &Region) -> Option<Change> {
        let what = match self {
            Self::Kept | Self::Owed { .. } => return None,
            Self::Write(record) => format!(
                "writes the register: epoch {}, site {} active",
                record.epoch, record.active_site
            ),
            Self::Tell(record, _) => format!(
                "tells the other region of epoch {}, site {} active",
                record.epoch, record.active_site
            ),
        };
        Some(Change::new(region, what, Vec::new()))
    }
}

/// Whether the first site has been brought up, from what the regions hold: alarms are set from then on
/// alone. Before, each of them would say what everybody knows, and the one on the site would start a
/// recovery from a site that never ran.
pub(crate) fn has_begun<'a>(
    mut records: impl Iterator<Item = &'a ControlRecord>,
    is_any_alarm_there: bool,
) -> bool {
    is_any_alarm_there
        || records.any(|record| record.epoch != FIRST_EPOCH || record.recovery.is_some())
}

/// What an alarm of the plan changes: `differs` says how the one that is there is another one, and is
/// none when none is.
pub(super) fn of_alarm(
    alarm: &Alarm,
    differs: Option<Vec<String>>,
    region: &Region,
) -> Option<Change> {
    match differs {
        None => Some(Change::new(region, format!("sets alarm {}", alarm.name), Vec::new())),
        Some(details) if details.is_empty() => None,
        Some(details) => {
            Some(Change::new(region, format!("changes alarm {}", alarm.name), details))
        }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_core::{Epoch, plan_file};

    use super::*;

    fn plan() -> AppPlan {
        plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap()
    }

    fn region() -> Region {
        "us-west-2".parse().unwrap()
    }

    #[test]
    fn a_plan_that_is_stored_already_changes_nothing_and_another_one_says_what() {
        let stored = serde_json::to_string(&plan()).unwrap();
        assert_eq!(of_plan(&plan(), Some(&stored), &region()), None);
        let mut other = plan();
        other.dns.ttl_seconds = 30;
        other.dns.resolvers.clear();
        let change = of_plan(&other, Some(&stored), &region()).unwrap();
        assert_eq!(change.change, "changes plan /lifeboat/plans/queue");
        assert_eq!(
            change.details,
            ["- dns.resolvers: [\"127.0.0.1:5300\"]", "~ dns.ttl_seconds: 5 -> 30"]
        );
        let first = of_plan(&plan(), None, &region()).unwrap();
        assert_eq!(
            (first.change.as_str(), first.details.len()),
            ("stores plan /lifeboat/plans/queue", 0)
        );
        let odd = of_plan(&plan(), Some("{"), &region()).unwrap();
        assert!(odd.change.starts_with("replaces plan"), "{odd:?}");
    }

    #[test]
    fn a_first_record_is_written_only_when_every_region_was_read() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let record = ControlRecord::first(plan().app, plan().initially_active, now);
        let etag = || ETag("1".into());
        let dark = vec![("us-east-1".parse::<Region>().unwrap(), "no answer".to_owned())];
        let seen = |own: Option<&ControlRecord>, newest: Option<&ControlRecord>, unreachable| {
            Seen { newest: newest.cloned(), own: own.map(|own| (own.clone(), etag())), unreachable }
        };
        let of = |seen: &Seen| of_register(seen, &plan(), now);
        assert_eq!(of(&seen(None, None, vec![])), Register::Write(record.clone()));
        assert!(matches!(of(&seen(None, None, dark.clone())), Register::Owed { .. }));
        assert_eq!(of(&seen(Some(&record), Some(&record), dark)), Register::Kept);
        let newer = ControlRecord { epoch: Epoch(4), ..record.clone() };
        assert_eq!(of(&seen(None, Some(&newer), vec![])), Register::Write(newer));
        let alone = ControlRecord { known_elsewhere: false, ..record.clone() };
        assert_eq!(of(&seen(Some(&alone), Some(&alone), vec![])), Register::Tell(record, etag()));
    }

    #[test]
    fn alarms_wait_for_the_first_site() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let first = ControlRecord::first(plan().app, plan().initially_active, now);
        assert!(!has_begun([].into_iter(), false));
        assert!(!has_begun([&first].into_iter(), false));
        assert!(has_begun([&first].into_iter(), true));
        let moved = ControlRecord { epoch: Epoch(2), ..first };
        assert!(has_begun([&moved].into_iter(), false));
    }
}
