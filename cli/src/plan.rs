//! `lifeboat plan`: check, apply, show.

mod apply;
mod change;
mod describe;
mod look;

use std::path::Path;

use lifeboat_core::{
    AppName, Region,
    plan_file::{self, AppPlan, Located},
    registers::Claim,
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::aws;
use serde_json::json;

use self::describe::{describe, needs};
pub(crate) use self::{
    apply::{How, apply, watch},
    change::{Register, has_begun},
    look::{There, look},
};
use crate::{
    cloud::{self, ledger, recover_machine},
    credentials, input,
    output::{Failure, complain, say, say_json},
    regions::{Outcome, elsewhere},
};

/// Whether a region holds another plan than this one, or none.
pub(crate) fn is_changed(plan: &AppPlan, stored: Option<&str>, region: &Region) -> bool {
    change::of_plan(plan, stored, region).is_some()
}

/// What becomes of a region's register.
pub(crate) fn register(seen: &lifeboat_ledger::Seen, plan: &AppPlan) -> Register {
    change::of_register(seen, plan, lifeboat_runtime::clock::now())
}

/// The registers of other regions that are moved, and what to.
pub(crate) fn others(seen: &lifeboat_ledger::Seen, plan: &AppPlan) -> Vec<(Region, Claim)> {
    change::of_others(seen, plan, lifeboat_runtime::clock::now())
}

/// Reads and checks a plan file.
pub(crate) fn read_file(file: &Path) -> Result<AppPlan, Failure> {
    read_noting(file).map(|(plan, _)| plan)
}

/// The same with what is no mistake, and yet does less than it seems to.
fn read_noting(file: &Path) -> Result<(AppPlan, Vec<Located>), Failure> {
    let name = input::name(file);
    let text = input::text(file)?;
    let plan = plan_file::read(&text).map_err(|mistakes| {
        let mut lines: Vec<String> =
            mistakes.iter().map(|mistake| format!("{name}:{mistake}")).collect();
        lines.push(match mistakes.len() {
            1 => "1 mistake; nothing was written".to_owned(),
            count => format!("{count} mistakes; nothing was written"),
        });
        Failure { lines, code: 2 }
    })?;
    let notes = plan_file::locate(&text, plan_file::notes(&plan));
    Ok((plan, notes))
}

/// Says what is no mistake, beside the answer, so that a machine reads nothing but its JSON.
fn note(file: &Path, notes: &[Located]) {
    for note in notes {
        complain(&format!("warning: {}:{note}", input::name(file)));
    }
}

/// `lifeboat plan check`.
pub(crate) fn check(file: &Path, as_json: bool) -> Result<(), Failure> {
    let (plan, notes) = read_noting(file)?;
    note(file, &notes);
    if as_json {
        say_json(&json!({ "plan": plan, "warnings": notes, "needs": needs(&plan) }));
    } else {
        describe(&plan);
        say("no mistakes found");
    }
    Ok(())
}

/// `lifeboat plan show`.
pub(crate) async fn show(
    app: &AppName,
    region: Option<&Region>,
    as_json: bool,
) -> Result<(), Failure> {
    let config = credentials::config().await?;
    let region = cloud::region(&config, region.map(Region::as_str))?;
    let here: Region = crate::args::region(&region)
        .map_err(|error| Failure::input(format!("AWS_REGION: {error}")))?;
    let config = aws::in_region(&config, &region);
    let plan =
        Parameters::new(&config).plan(app).await.map_err(|fault| elsewhere(fault, &region))?;
    let machine =
        recover_machine(&config, &region).await.map_err(|fault| elsewhere(fault, &region))?;
    let seen = ledger(&config, &machine, &plan, &here).look(app).await?;
    let overview = seen.registers.overview(lifeboat_runtime::clock::now());
    let mut outcome = Outcome::default();
    outcome.done.push(here);
    for (region, why) in seen.registers.silent() {
        outcome.owe(region, "its register, which may hold a newer epoch", why.to_owned());
    }
    if as_json {
        let unreachable: Vec<_> = outcome.owed.iter().map(|owed| &owed.region).collect();
        say_json(&json!({
            "plan": plan, "control": overview, "unreachable": unreachable, "owed": outcome.owed,
        }));
        return outcome.settled();
    }
    describe(&plan);
    match &overview {
        Some(record) => {
            say(&format!("register   epoch {}, site {} active", record.epoch, record.active_site));
            if let Some(holder) = &record.recovery {
                say(&format!(
                    "recovery   {} since {} ({:?}), activating site {}",
                    holder.incident, holder.opened_at, holder.state, holder.target
                ));
            }
        }
        None => say("register   none: run `lifeboat plan apply`, then `lifeboat init`"),
    }
    outcome.settled()
}
