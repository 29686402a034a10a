//! `lifeboat init`: the first site of an app, brought up once.
//!
//! A command of its own, beside `plan apply`: applying stores what is wanted and may be repeated at
//! any time, and this starts an app that writes. It starts a machine, so that the operator's role may
//! start executions and neither invoke functions nor send commands to hosts.

use std::path::Path;

use lifeboat_core::{
    Region,
    backup::stamp,
    ledger::{FIRST_EPOCH, first_activation},
    plan_file::AppPlan,
    registers::Registers,
};
use lifeboat_runtime::{aws, clock};
use serde_json::json;

use crate::{
    cloud::machine,
    credentials,
    follow::{self, Followed},
    output::{Failure, say, say_json},
    plan::{self, Register, There},
    regions::Outcome,
};

/// Activates the first site, waits until it serves, and sets the alarms.
pub(crate) async fn run(file: &Path, as_json: bool) -> Result<(), Failure> {
    let plan = plan::read_file(file)?;
    let site = &plan.initially_active;
    let home =
        plan.sites.get(site).map(|site| site.region.clone()).ok_or_else(|| {
            Failure::input(format!("the plan of {} has no site {site}", plan.app))
        })?;
    let config = credentials::config().await?;
    let mut there = Vec::new();
    for (region, found) in plan::look(&config, &plan).await {
        // A region that cannot be read may know that another site is the active one.
        let found = found.map_err(|fault| {
            let mut failure = Failure::from(fault);
            failure.lines.push(format!(
                "site {site} is activated when every region answers: {region} may know that another \
                 one is active"
            ));
            failure
        })?;
        if plan::is_changed(&plan, found.stored.as_deref(), &region) {
            return Err(Failure::input(format!(
                "the plan that {region} holds is not this one: lifeboat plan apply {}",
                file.display()
            )));
        }
        there.push((region, found));
    }
    let registers = settle(&plan, &there).await?;
    first_activation(&plan.app, &registers, site, clock::now())?;
    let config = aws::in_region(&config, home.as_str());
    let machine = machine(&config, home.as_str(), "lifeboat-init").await?;
    let input = json!({ "app": plan.app, "site": site });
    let name = format!("{}-first-{}", plan.app, stamp(clock::now()));
    let (execution, _) = machine.start(&name, &input.to_string()).await?;
    if !as_json {
        say(&format!("activating site {site} of {} in {home}, epoch {FIRST_EPOCH}", plan.app));
        say(&format!("it goes on when this command is stopped\n  execution  {execution}"));
    }
    let followed = Followed::once(&machine, &execution, "the activation");
    let words: fn(&str) -> Option<&'static str> = if as_json { |_| None } else { doing };
    let status = follow::until_ended(&followed, follow::in_words(words)).await?;
    if let Err(why) = status.outcome(&execution) {
        if as_json {
            say_json(&json!({ "outcome": "failed", "reason": why, "execution": execution }));
        }
        return Err(Failure::failed(vec![
            format!("site {site} of {} does not serve: {why}", plan.app),
            "mend it and give the same command again; it goes on from what is there".to_owned(),
        ]));
    }
    let mut outcome = Outcome::default();
    let mut alarms = Vec::new();
    for (region, there) in &there {
        let set = plan::watch(&plan, region, there).await;
        alarms.extend(outcome.note(region, "the alarms", set).unwrap_or_default());
    }
    if as_json {
        say_json(&json!({
            "outcome": "serves", "app": plan.app, "site": site, "epoch": FIRST_EPOCH,
            "execution": execution, "changes": alarms, "owed": outcome.owed,
        }));
    } else {
        alarms.iter().for_each(|change| say(&format!("{}: {}", change.region, change.change)));
        say(&format!("site {site} of {} serves under epoch {FIRST_EPOCH}", plan.app));
    }
    outcome.settled()
}

/// Writes the registers that are missing, and what they all say then.
async fn settle(plan: &AppPlan, there: &[(Region, There)]) -> Result<Registers, Failure> {
    let unseen = |region: &Region, unseen: &Region, why: &str| {
        Failure::work(format!(
            "{region} cannot read the register in {unseen} ({why}), which may hold a newer epoch; give \
             the same command again when it answers"
        ))
    };
    for (region, there) in there {
        if let Register::Write(record) = plan::register(&there.seen, plan) {
            there.ledger.write(&record, None).await?;
        }
        if let Some((silent, why)) = there.seen.registers.silent().next() {
            return Err(unseen(region, silent, why));
        }
    }
    let Some((region, there)) = there.first() else {
        return Err(Failure::work(format!("the plan of {} has no region", plan.app)));
    };
    let seen = there.ledger.look(&plan.app).await?;
    for (region, claim) in plan::others(&seen, plan) {
        there.ledger.move_up(&plan.app, &region, &claim, clock::now()).await?;
    }
    let registers = there.ledger.registers(&plan.app).await;
    if let Some((silent, why)) = registers.silent().next() {
        return Err(unseen(region, silent, why));
    }
    Ok(registers)
}

/// What a state of the machine does, in words.
fn doing(state: &str) -> Option<&'static str> {
    Some(match state {
        "ReadRequest" | "ActivateFirstSite" | "IsSiteActivated" => "orders the hosts to start",
        "WaitForHosts" => "waits for the hosts",
        "VerifySite" => {
            "waits until the site serves: checks up, database writable, app under epoch 1"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_that_takes_its_time_has_words() {
        let machine = include_str!("../../infra/statemachines/init.asl.json");
        let machine: serde_json::Value = serde_json::from_str(machine).unwrap();
        for (name, state) in machine["States"].as_object().unwrap() {
            let takes_time = ["Task", "Wait"].contains(&state["Type"].as_str().unwrap());
            assert!(!takes_time || doing(name).is_some(), "{name}");
        }
    }
}
