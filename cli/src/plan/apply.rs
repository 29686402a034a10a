//! `lifeboat plan apply`: show what changes, ask, and change it.

use std::{
    io::{IsTerminal, stdin},
    path::Path,
};

use jiff::Timestamp;
use lifeboat_core::{ErrorName, Fault, Region, plan_file::AppPlan};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::json;

use super::{
    change::{self, Change, Register, has_begun, of_plan, of_register},
    look::{There, look},
    note, read_noting,
};
use crate::{
    alarms::{Alarm, alarms},
    cloud,
    output::{self, Failure, say, say_json},
    quotas,
    regions::Outcome,
};

/// How to apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Only say what changes.
    pub(crate) dry_run: bool,
    /// Do not ask.
    pub(crate) yes: bool,
    /// For machines.
    pub(crate) as_json: bool,
}

/// What is to be written in a region that answers.
struct Work {
    region: Region,
    there: There,
    register: Register,
    stores_plan: bool,
    alarms: Vec<Alarm>,
    /// Alarms that the plan has no more.
    stale: Vec<String>,
    changes: Vec<Change>,
}

/// Applies a plan.
pub(crate) async fn apply(file: &Path, how: How) -> Result<(), Failure> {
    let (plan, notes) = read_noting(file)?;
    note(file, &notes);
    let config = aws::config().await;
    let mut outcome = Outcome::default();
    let mut there = Vec::new();
    // Every region is asked before any is written. One that does not answer keeps nothing from the
    // others; one that answers and refuses has to be mended first.
    for (region, found) in look(&config, &plan).await {
        match found {
            Err(Fault { name: ErrorName::Transient, message }) => {
                outcome.owe(&region, "plan, control record and alarms", message);
            }
            found => there.push((region, found?)),
        }
    }
    if there.is_empty() {
        return outcome.settled();
    }
    let begun = has_begun(
        there.iter().filter_map(|(_, there)| there.seen.newest.as_ref()),
        there.iter().any(|(_, there)| !there.alarms.is_empty()),
    );
    let now = clock::now();
    let work: Vec<Work> =
        there.into_iter().map(|(region, there)| judge(&plan, region, there, begun, now)).collect();
    let changes: Vec<&Change> = work.iter().flat_map(|work| &work.changes).collect();
    if !how.as_json {
        show(&changes);
        if !begun {
            say(&format!(
                "no alarm is set before the first site serves: lifeboat init {}",
                file.display()
            ));
        }
    }
    let stored =
        work.iter().filter(|work| work.stores_plan).map(|work| (&work.region, &work.there));
    quotas::check(&plan, stored).await.said()?;
    let is_any = !changes.is_empty();
    let applies = is_any && !how.dry_run;
    if applies && !how.yes {
        output::confirm("Type yes to apply it:", how.as_json || !stdin().is_terminal())?;
    }
    let shown = json!(changes);
    for work in work {
        if let Register::Owed { unseen, why } = &work.register {
            let why = format!("{why}: it may hold a newer epoch");
            outcome.owe(unseen, &format!("the first control record of {}", work.region), why);
        }
        if applies {
            let written = write(&plan, &work).await;
            outcome.note(&work.region, "what of this was not written", written);
        } else {
            outcome.done.push(work.region);
        }
    }
    if how.as_json {
        say_json(&json!({
            "app": plan.app, "dry_run": how.dry_run, "has_begun": begun, "changes": shown,
            "owed": outcome.owed,
        }));
    } else if how.dry_run {
        say("dry run: nothing was written");
    } else if applies && !outcome.done.is_empty() {
        let done: Vec<&str> = outcome.done.iter().map(Region::as_str).collect();
        say(&format!("applied in {}", done.join(" and ")));
    }
    outcome.settled()
}

fn judge(plan: &AppPlan, region: Region, there: There, begun: bool, now: Timestamp) -> Work {
    let stored = of_plan(plan, there.stored.as_deref(), &region);
    let register = of_register(&there.seen, plan, now);
    let mut changes: Vec<Change> = stored.clone().into_iter().collect();
    changes.extend(register.change(&region));
    let (alarms, stale) =
        if begun { alarm_changes(plan, &region, &there, &mut changes) } else { Default::default() };
    Work { region, there, register, stores_plan: stored.is_some(), alarms, stale, changes }
}

/// The alarms that are to be set, and the names of those to be removed.
fn alarm_changes(
    plan: &AppPlan,
    region: &Region,
    there: &There,
    changes: &mut Vec<Change>,
) -> (Vec<Alarm>, Vec<String>) {
    let wanted: Vec<Alarm> =
        alarms(plan).into_iter().filter(|alarm| alarm.region == *region).collect();
    let name = |alarm: &aws_sdk_cloudwatch::types::MetricAlarm| {
        alarm.alarm_name.clone().unwrap_or_default()
    };
    let stale: Vec<String> = there
        .alarms
        .iter()
        .map(name)
        .filter(|name| !wanted.iter().any(|wanted| wanted.name == *name))
        .collect();
    let mut set = Vec::new();
    for alarm in wanted {
        let found = there.alarms.iter().find(|found| name(found) == alarm.name);
        let differs = found.map(|found| {
            cloud::alarm_differs(&there.config, &plan.app, &there.machine, &alarm, found)
        });
        if let Some(change) = change::of_alarm(&alarm, differs, region) {
            changes.push(change);
            set.push(alarm);
        }
    }
    for name in &stale {
        changes.push(Change::new(region, format!("removes alarm {name}"), Vec::new()));
    }
    (set, stale)
}

async fn write(plan: &AppPlan, work: &Work) -> Result<(), Fault> {
    let there = &work.there;
    if work.stores_plan {
        Parameters::new(&there.config).put_plan(plan).await?;
    }
    match &work.register {
        Register::Kept | Register::Owed { .. } => {}
        Register::Write(record) => {
            there.ledger.write(record, None).await?;
        }
        Register::Tell(record, etag) => {
            there.ledger.write(record, Some(etag)).await?;
            for (region, told) in there.ledger.publish(record).await {
                told.map_err(|why| {
                    Fault::transient(format!("tell the ledger in {region}: {why}"))
                })?;
            }
        }
    }
    // Alarms come last: they may fire at once, and must then find everything in place.
    set_alarms(plan, there, &work.alarms, &work.stale).await
}

/// Sets the alarms of a region from now on; what that changed.
pub(crate) async fn watch(
    plan: &AppPlan,
    region: &Region,
    there: &There,
) -> Result<Vec<Change>, Fault> {
    let mut changes = Vec::new();
    let (set, stale) = alarm_changes(plan, region, there, &mut changes);
    set_alarms(plan, there, &set, &stale).await?;
    Ok(changes)
}

/// Sets these alarms and removes those.
async fn set_alarms(
    plan: &AppPlan,
    there: &There,
    set: &[Alarm],
    stale: &[String],
) -> Result<(), Fault> {
    for alarm in set {
        cloud::put_alarm(&there.config, &plan.app, &there.machine, alarm).await?;
    }
    cloud::delete_alarms(&there.config, stale).await
}

/// The changes, for people.
fn show(changes: &[&Change]) {
    for Change { region, change, details } in changes {
        say(&format!("{region}: {change}"));
        for detail in details {
            say(&format!("    {detail}"));
        }
    }
    if changes.is_empty() {
        say("nothing changes");
    }
}
