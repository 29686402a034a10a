//! What `plan apply` changes in a region: judged from what is there, before anything is written.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_core::{
    Region,
    ledger::{ControlRecord, FIRST_EPOCH},
    plan_file::AppPlan,
    registers::{Claim, Registers, claim_of, fresh},
};
use lifeboat_ledger::Seen;
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

/// That the registers stay where they are. A guard that reads the old ones and a recovery that reads the new
/// ones need not have one in common, and then both sites might write. So a stored plan of which that cannot
/// be told is not replaced; one of a version without a witness is.
pub(super) fn keeps_registers(plan: &AppPlan, stored: Option<&str>) -> Result<(), String> {
    let Some(stored) = stored else { return Ok(()) };
    let moves = "they move only while nobody may write (docs/operating.md, \"Moving a register\")";
    let app = &plan.app;
    let stored: Value = serde_json::from_str(stored).unwrap_or_default();
    let Some((sites, witness)) = regions_of(&stored) else {
        return Err(format!(
            "the stored plan {} cannot be read, so nothing tells where the registers of {app} are; \
             {moves}. Put an earlier version of the parameter back first",
            plan_path(app)
        ));
    };
    let new: BTreeSet<&str> = plan.sites.values().map(|site| site.region.as_str()).collect();
    let stays = witness.is_none_or(|witness| witness == plan.witness.region.as_str());
    if sites == new && stays {
        return Ok(());
    }
    let named = |sites: &BTreeSet<&str>, witness: Option<&str>| {
        sites.iter().copied().chain(witness).collect::<Vec<_>>().join(", ")
    };
    Err(format!(
        "the registers of {app} are in {}, and this plan has them in {}: {moves}",
        named(&sites, witness),
        named(&new, Some(plan.witness.region.as_str()))
    ))
}

/// The regions of a stored plan's sites, and of its witness, whatever else is in it.
fn regions_of(plan: &Value) -> Option<(BTreeSet<&str>, Option<&str>)> {
    let sites = plan.get("sites")?.as_object()?.values();
    let sites = sites.map(|site| site.get("region")?.as_str()).collect::<Option<_>>()?;
    Some((sites, plan.pointer("/witness/region").and_then(Value::as_str)))
}

/// That nothing is written beside registers that disagree: a new one would decide between them, and complete
/// a claim that nobody may stand behind any more.
pub(super) fn registers_agree(plan: &AppPlan, registers: &Registers) -> Result<(), String> {
    let claims: BTreeSet<Claim> = registers.held().map(|(_, record)| claim_of(record)).collect();
    if registers.agreed().is_some() || claims.len() < 2 {
        return Ok(());
    }
    let app = &plan.app;
    let region = registers.held().next().map_or("REGION", |(region, _)| region.as_str());
    Err(format!(
        "the registers of {app} disagree ({}), and a plan that is applied now would decide between them; \
         what to do first: lifeboat ledger show --app {app} --region {region}",
        registers.words()
    ))
}

/// Every value that is another one, by the keys that lead to it.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(&mut String::new(), before, after, &mut lines);
    lines
}

fn compare(path: &mut String, before: &Value, after: &Value, lines: &mut Vec<String>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
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

/// What becomes of a site's region's register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Register {
    /// It is there.
    Kept,
    /// Written where there is none: the first one, or what the others hold.
    Write(ControlRecord),
    /// Nothing is written while a region cannot be read: a first register beside one that cannot be seen
    /// would set the epoch back.
    Owed {
        /// The region that cannot be read.
        unseen: Region,
        /// Why.
        why: String,
    },
}

/// That this region has a register.
pub(super) fn of_register(seen: &Seen, plan: &AppPlan, now: Timestamp) -> Register {
    if seen.own.is_some() {
        return Register::Kept;
    }
    match (held_or_first(&seen.registers, plan), seen.registers.silent().next()) {
        (Some(claim), _) => Register::Write(fresh(&plan.app, &claim, now)),
        (None, Some((unseen, why))) => {
            Register::Owed { unseen: unseen.clone(), why: why.to_owned() }
        }
        // Unreachable in a sane world: without silence there is a claim.
        (None, None) => Register::Kept,
    }
}

/// The claim that a new register begins with: what the others hold, and the plan's first site where no
/// region holds any. None while that cannot be told.
fn held_or_first(registers: &Registers, plan: &AppPlan) -> Option<Claim> {
    if let Some(agreed) = registers.agreed() {
        return Some(agreed);
    }
    if registers.silent().next().is_some() {
        return None;
    }
    let first = || Claim { epoch: FIRST_EPOCH, site: plan.initially_active.clone() };
    Some(registers.newest().unwrap_or_else(first))
}

/// The registers of other regions that are moved: the witness's where it is missing, and those that lag.
pub(super) fn of_others(seen: &Seen, plan: &AppPlan, now: Timestamp) -> Vec<(Region, Claim)> {
    let witness = &plan.witness.region;
    let missing = seen.registers.absent().any(|region| region == witness);
    let first = held_or_first(&seen.registers, plan).filter(|_| missing);
    let missing = first.map(|claim| (witness.clone(), claim));
    let lagging = seen.registers.lagging(&plan.app, now).into_iter();
    let lagging = lagging.filter(|(region, _)| seen.registers.of(region).is_some());
    missing.into_iter().chain(lagging.map(|(region, record)| (region, claim_of(&record)))).collect()
}

/// A register that is moved, in words.
pub(super) fn of_other(region: &Region, claim: &Claim) -> Change {
    let what = format!("writes the register: epoch {}, site {} active", claim.epoch, claim.site);
    Change::new(region, what, Vec::new())
}

impl Register {
    /// The change in words; none when there is none.
    pub(super) fn change(&self, region: &Region) -> Option<Change> {
        match self {
            Self::Kept | Self::Owed { .. } => None,
            Self::Write(record) => Some(of_other(region, &claim_of(record))),
        }
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
    use lifeboat_core::{Epoch, plan_file, registers::Answer};
    use lifeboat_ledger::ETag;

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

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    /// The first register, and one of a later epoch.
    fn records() -> (ControlRecord, ControlRecord) {
        let first = ControlRecord::first(plan().app, plan().initially_active, now());
        let newer = ControlRecord { epoch: Epoch(4), highest_reserved: Epoch(4), ..first.clone() };
        (first, newer)
    }

    /// What us-west-2, us-east-1 and the witness answer.
    fn seen(answers: [Answer; 3]) -> Seen {
        let own = match &answers[0] {
            Answer::Holds(record) => Some((record.clone(), ETag("1".into()))),
            Answer::Absent | Answer::Silent(_) => None,
        };
        let regions = ["us-west-2", "us-east-1", "us-east-2"].map(|r| r.parse::<Region>().unwrap());
        Seen { registers: Registers::new(regions.into_iter().zip(answers)), own }
    }

    #[test]
    fn a_first_register_is_written_only_when_nothing_newer_can_be_hidden() {
        let (record, newer) = records();
        let (old, new) = (|| Answer::Holds(record.clone()), || Answer::Holds(newer.clone()));
        let dark = || Answer::Silent("no answer".into());
        let of = |answers| of_register(&seen(answers), &plan(), now());
        let write = |record: &ControlRecord| Register::Write(record.clone());
        assert_eq!(of([Answer::Absent, Answer::Absent, Answer::Absent]), write(&record));
        assert!(matches!(of([Answer::Absent, Answer::Absent, dark()]), Register::Owed { .. }));
        assert!(matches!(of([Answer::Absent, dark(), new()]), Register::Owed { .. }));
        assert_eq!(of([old(), dark(), dark()]), Register::Kept);
        assert_eq!(of([Answer::Absent, new(), Answer::Absent]), write(&newer));
        assert_eq!(of([Answer::Absent, new(), new()]), write(&newer));
    }

    #[test]
    fn the_witness_gets_its_register_and_one_that_lags_is_moved() {
        let (record, newer) = records();
        let (old, new) = (|| Answer::Holds(record.clone()), || Answer::Holds(newer.clone()));
        let moved = |answers| -> Vec<(String, u64)> {
            let others = of_others(&seen(answers), &plan(), now()).into_iter();
            others.map(|(region, claim)| (region.to_string(), claim.epoch.0)).collect()
        };
        let to = |region: &str, epoch| vec![(region.to_owned(), epoch)];
        let none: Vec<(String, u64)> = Vec::new();
        assert_eq!(moved([Answer::Absent, Answer::Absent, Answer::Absent]), to("us-east-2", 1));
        assert_eq!(moved([old(), old(), Answer::Absent]), to("us-east-2", 1));
        assert_eq!(moved([old(), old(), old()]), none);
        assert_eq!(moved([new(), old(), new()]), to("us-east-1", 4));
        // A claim that is not complete is not carried on.
        assert_eq!(moved([new(), old(), old()]), none);
        assert_eq!(moved([new(), Answer::Silent("dark".into()), Answer::Absent]), none);
    }

    #[test]
    fn registers_do_not_move_under_a_site_that_may_write() {
        let stored = serde_json::to_string(&plan()).unwrap();
        assert_eq!(keeps_registers(&plan(), Some(&stored)), Ok(()));
        assert_eq!(keeps_registers(&plan(), None), Ok(()));
        let mut other = plan();
        other.witness.region = "eu-west-1".parse().unwrap();
        let refused = keeps_registers(&other, Some(&stored)).unwrap_err();
        assert!(refused.contains("us-east-2") && refused.contains("eu-west-1"), "{refused}");
    }

    #[test]
    fn alarms_wait_for_the_first_site() {
        let (first, _) = records();
        assert!(!has_begun([].into_iter(), false));
        assert!(!has_begun([&first].into_iter(), false));
        assert!(has_begun([&first].into_iter(), true));
        let moved = ControlRecord { epoch: Epoch(2), ..first };
        assert!(has_begun([&moved].into_iter(), false));
    }

    #[test]
    fn registers_stay_where_they_are_whatever_else_the_stored_plan_says() {
        let kept = |stored: &Value| keeps_registers(&plan(), Some(&stored.to_string()));
        let mut stored = serde_json::to_value(plan()).unwrap();
        // Of a later version, say.
        stored["a key that this version does not know"] = Value::Bool(true);
        assert_eq!(kept(&stored), Ok(()));
        let mut moved = stored.clone();
        moved["witness"]["region"] = "eu-central-1".into();
        assert!(kept(&moved).unwrap_err().contains("eu-central-1, and this plan has them in"));
        stored["sites"]["b"]["region"] = "eu-west-1".into();
        assert!(kept(&stored).is_err());
        // Before there was a witness there were two.
        let mut two = serde_json::to_value(plan()).unwrap();
        two.as_object_mut().unwrap().remove("witness");
        assert_eq!(kept(&two), Ok(()));
        assert!(keeps_registers(&plan(), Some("{")).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn nothing_is_written_beside_registers_that_disagree() {
        let (first, newer) = records();
        let split = [Answer::Holds(newer.clone()), Answer::Holds(first.clone()), Answer::Absent];
        let why = registers_agree(&plan(), &seen(split).registers).unwrap_err();
        assert!(why.contains("lifeboat ledger show --app queue --region us-east-1"), "{why}");
        for fine in [
            [Answer::Holds(newer.clone()), Answer::Holds(newer), Answer::Holds(first.clone())],
            [Answer::Holds(first.clone()), Answer::Holds(first), Answer::Absent],
            [Answer::Absent, Answer::Absent, Answer::Absent],
        ] {
            assert_eq!(registers_agree(&plan(), &seen(fine).registers), Ok(()));
        }
    }
}
