//! `lifeboat ledger`: the registers of an app, and the two changes of them that are a person's.
//!
//! Everything else that changes a register is a recovery's. Both changes here are shown, asked for, and
//! written on the condition that nothing has changed since they were shown.

use std::io::{IsTerminal, stdin};

use lifeboat_core::{
    Region,
    ledger::{ControlRecord, Ending, Holder, HolderState, close},
    registers::{Registers, abandon, notices},
};
use lifeboat_ledger::Ledger;
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::{Value, json};

use crate::{
    args::{ChangeRegisters, LedgerCommand, OfApp},
    cloud::{self, Machine, Status, recover_machine},
    credentials,
    output::{Failure, confirm, say, say_json},
    regions::{Outcome, elsewhere},
};

pub(crate) async fn run(command: LedgerCommand, as_json: bool) -> Result<(), Failure> {
    match command {
        LedgerCommand::Show(of) => show(&of, as_json).await,
        LedgerCommand::Release(change) => release(&change, as_json).await,
        LedgerCommand::Abandon(change) => give_up(&change, as_json).await,
    }
}

/// The registers, as a region sees them.
struct Seen {
    machine: Machine,
    ledger: Ledger,
    registers: Registers,
}

async fn look(of: &OfApp) -> Result<Seen, Failure> {
    let OfApp { app, region } = of;
    let config = aws::in_region(&credentials::config().await?, region.as_str());
    let dark = |fault| elsewhere(fault, region.as_str());
    let plan = Parameters::new(&config).plan(app).await.map_err(dark)?;
    let machine = recover_machine(&config, region.as_str()).await.map_err(dark)?;
    let ledger = cloud::ledger(&config, &machine, &plan, region);
    let registers = ledger.registers(app).await;
    Ok(Seen { machine, ledger, registers })
}

async fn show(of: &OfApp, as_json: bool) -> Result<(), Failure> {
    let Seen { registers, .. } = look(of).await?;
    let notices = notices(&registers, clock::now());
    let mut outcome = Outcome::default();
    outcome.done.extend(registers.held().map(|(region, _)| region.clone()));
    for (region, why) in registers.silent() {
        outcome.owe(region, "its register, which may hold a newer epoch", why.to_owned());
    }
    if as_json {
        let held = registers.held().map(|(region, record)| (region.to_string(), json!(record)));
        let held: serde_json::Map<String, Value> = held.collect();
        let agreed = registers.agreed().map(|c| json!({ "site": c.site, "epoch": c.epoch }));
        let notices = notices
            .iter()
            .map(|notice| json!({ "says": notice.to_string(), "next": notice.next(&of.app) }));
        say_json(&json!({
            "registers": held, "agreed": agreed, "owed": outcome.owed,
            "notices": notices.collect::<Vec<_>>(),
        }));
        return outcome.settled();
    }
    lines(&registers).iter().for_each(|line| say(line));
    match registers.agreed() {
        Some(claim) => say(&format!(
            "together  site {} may write under epoch {}: a majority holds it",
            claim.site, claim.epoch
        )),
        None => say("together  no site may write: no majority holds one claim"),
    }
    for notice in &notices {
        say("");
        say(&notice.to_string());
        if let Some(next) = notice.next(&of.app) {
            say(&format!("  next  {next}"));
        }
    }
    outcome.settled()
}

/// A line for each register that answered.
fn lines(registers: &Registers) -> Vec<String> {
    let longest = registers.held().map(|(region, _)| region.as_str().len()).max().unwrap_or(0);
    let line = |(region, record): (&Region, &ControlRecord)| {
        let handed = record.highest_reserved;
        let handed = if handed > record.epoch {
            format!(", epoch {handed} handed out")
        } else {
            String::new()
        };
        format!(
            "{:longest$}  site {} under epoch {}{handed}, written {:.0}",
            region.as_str(),
            record.active_site,
            record.epoch,
            record.updated_at
        )
    };
    registers.held().map(line).collect()
}

/// Marks the recovery that holds a region's register as failed, when its execution has ended.
async fn release(change: &ChangeRegisters, as_json: bool) -> Result<(), Failure> {
    let OfApp { app, region } = &change.of;
    let Seen { machine, ledger, registers } = look(&change.of).await?;
    let Some(record) = registers.of(region) else {
        return Err(Failure::input(format!("the register of {app} in {region} cannot be read")));
    };
    let Some(holder) = record.recovery.as_ref().filter(|h| h.state != HolderState::Failed) else {
        return Err(Failure::refused(format!(
            "no recovery holds the register of {app} in {region}: there is nothing to release"
        )));
    };
    let Holder { incident, execution, target, .. } = holder;
    if machine.see(execution).await?.is_some_and(|seen| seen.status == Status::Running) {
        return Err(Failure {
            lines: vec![
                format!("recovery {incident} runs: it releases the register itself when it ends"),
                format!(
                    "to end it: aws stepfunctions stop-execution --region {region} \
                     --execution-arn {execution}"
                ),
            ],
            code: crate::exit::REFUSED,
        });
    }
    if !as_json {
        say(&format!("recovery {incident} of site {target} ({execution})"));
        say("  its execution has ended; released, it acts no more, not even when it is redriven");
    }
    change.confirmed(as_json, "release it")?;
    let released = close(record, incident, Ending::Failed, clock::now())?;
    ledger.replace(region, record, &released).await?;
    if as_json {
        say_json(&json!({ "released": incident, "region": region }));
    } else {
        say(&format!(
            "released; {target} is recovered by `lifeboat recover --app {app} --region {region}`"
        ));
    }
    Ok(())
}

/// Puts registers back that hold a claim without a majority.
async fn give_up(change: &ChangeRegisters, as_json: bool) -> Result<(), Failure> {
    let OfApp { app, .. } = &change.of;
    let Seen { ledger, registers, .. } = look(&change.of).await?;
    let back = abandon(&registers, clock::now())?;
    if !as_json {
        for (region, record) in &back {
            let held = registers.of(region).map_or_else(String::new, |held| {
                format!("site {} under epoch {}", held.active_site, held.epoch)
            });
            say(&format!(
                "{region}  {held} is given up: site {} under epoch {}, as a majority holds it",
                record.active_site, record.epoch
            ));
        }
    }
    change.confirmed(as_json, "write them")?;
    for (region, record) in &back {
        if let Some(seen) = registers.of(region) {
            ledger.replace(region, seen, record).await?;
        }
    }
    if as_json {
        let regions: Vec<&Region> = back.iter().map(|(region, _)| region).collect();
        say_json(&json!({ "app": app, "put_back": regions }));
    } else {
        say("done; `lifeboat ledger show` says the rest");
    }
    Ok(())
}

impl ChangeRegisters {
    fn confirmed(&self, as_json: bool, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if as_json || !stdin().is_terminal() {
            return Err(Failure::input(
                "nobody is here to confirm: look at it with `lifeboat ledger show`, then give --yes; \
                 nothing was written",
            ));
        }
        confirm(&format!("Type yes to {question}:"), false)
    }
}
