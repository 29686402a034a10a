//! `lifeboat plan apply`: show what changes, ask, and change it.

use std::{
    io::{IsTerminal, stdin},
    path::Path,
    time::Duration,
};

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{ErrorName, Fault, Region, backup::Kind, plan_file::AppPlan, registers::Claim};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::clock;
use serde_json::json;

use super::{
    change::{self, Change, Register, has_begun, of_others, of_plan, of_register},
    look::{There, look},
    note, read_noting,
};
use crate::{
    alarms::{Alarm, Watch, alarms},
    cloud, credentials, doctor,
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
    /// Registers of other regions that are moved.
    others: Vec<(Region, Claim)>,
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
    let config = credentials::config().await?;
    let mut outcome = Outcome::default();
    let mut there = Vec::new();
    // Every region is asked before any is written. One that does not answer keeps nothing from the
    // others; one that answers and refuses has to be mended first.
    for (region, found) in look(&config, &plan).await {
        match found {
            Err(Fault { name: ErrorName::Transient, message }) => {
                outcome.owe(&region, "plan, register and alarms", message);
            }
            found => there.push((region, found?)),
        }
    }
    if there.is_empty() {
        return outcome.settled();
    }
    for (_, there) in &there {
        change::keeps_registers(&plan, there.stored.as_deref()).map_err(Failure::refused)?;
        change::registers_agree(&plan, &there.seen.registers).map_err(Failure::refused)?;
    }
    let begun = has_begun(
        there.iter().filter_map(|(_, there)| there.overview.as_ref()),
        there.iter().any(|(_, there)| !there.alarms.is_empty()),
    );
    let now = clock::now();
    let work: Vec<Work> =
        there.into_iter().map(|(region, there)| judge(&plan, region, there, begun, now)).collect();
    let mut changes: Vec<&Change> = Vec::new();
    // The witness's register is moved from whichever region answers, and told once.
    for change in work.iter().flat_map(|work| &work.changes) {
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
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
            outcome.owe(unseen, &format!("the first register of {}", work.region), why);
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
    if applies && !how.as_json {
        examine(&config, &plan, file).await;
    }
    outcome.settled()
}

/// What a recovery would not find now; all is well of the rest.
async fn examine(config: &SdkConfig, plan: &AppPlan, file: &Path) {
    let findings = doctor::examine(config, plan, &file.display().to_string()).await;
    let told: Vec<_> = findings.iter().filter(|finding| !finding.is_ok()).collect();
    say(&format!("doctor: {} of {} checks are well", findings.len() - told.len(), findings.len()));
    told.into_iter().for_each(doctor::tell);
}

fn judge(plan: &AppPlan, region: Region, there: There, begun: bool, now: Timestamp) -> Work {
    let stored = of_plan(plan, there.stored.as_deref(), &region);
    let register = of_register(&there.seen, plan, now);
    let mut changes: Vec<Change> = stored.clone().into_iter().collect();
    changes.extend(register.change(&region));
    let others = of_others(&there.seen, plan, now);
    changes.extend(others.iter().map(|(region, claim)| change::of_other(region, claim)));
    let (alarms, stale) =
        if begun { alarm_changes(plan, &region, &there, &mut changes) } else { Default::default() };
    Work { region, there, register, others, stores_plan: stored.is_some(), alarms, stale, changes }
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
    }
    for (region, claim) in &work.others {
        there.ledger.move_up(&plan.app, region, claim, clock::now()).await?;
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

/// How long CloudWatch may take until it shows what was reported: about two minutes for a new metric (user
/// guide, "Publish custom metrics").
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_mins(3);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Sets these alarms and removes those. One on age that is new comes after a first report of it: an alarm
/// takes silence for the worst, and nothing has been reported yet.
async fn set_alarms(
    plan: &AppPlan,
    there: &There,
    set: &[Alarm],
    stale: &[String],
) -> Result<(), Fault> {
    let is_new = |alarm: &&Alarm| {
        !there.alarms.iter().any(|found| found.alarm_name() == Some(alarm.name.as_str()))
    };
    let kinds: Vec<Kind> = set
        .iter()
        .filter(is_new)
        .filter_map(|alarm| match alarm.watch {
            Watch::BackupAge(kind) => Some(kind),
            Watch::SiteDown
            | Watch::SiteDegraded
            | Watch::ReplicationBroken
            | Watch::ReplicaLag
            | Watch::RegisterLost
            | Watch::ObserverUnwell
            | Watch::PitrLag => None,
        })
        .collect();
    if !kinds.is_empty() {
        cloud::begin_ages(&there.config, &plan.app, &kinds, clock::now()).await?;
        until_shown(plan, there, &kinds).await?;
    }
    for alarm in set {
        cloud::put_alarm(&there.config, &plan.app, &there.machine, alarm).await?;
    }
    cloud::delete_alarms(&there.config, stale).await
}

/// Waits until CloudWatch shows these ages, for a limited time: an alarm too many is better than none.
async fn until_shown(plan: &AppPlan, there: &There, kinds: &[Kind]) -> Result<(), Fault> {
    let until = clock::now() + SHOWN_WITHIN;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut kinds = kinds.iter().peekable();
    while let Some(kind) = kinds.peek() {
        let now = clock::now();
        if now > until {
            break;
        }
        if cloud::is_age_known(&there.config, &plan.app, **kind, now).await? {
            kinds.next();
        } else {
            looks.tick().await;
        }
    }
    Ok(())
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
