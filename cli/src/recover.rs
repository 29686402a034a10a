//! `lifeboat recover`: start the machine by hand, and follow it to its end.

mod follow;
mod words;

use aws_config::SdkConfig;
use lifeboat_core::{
    AppName, IncidentId, Region, SiteName,
    ledger::{Holder, Met, attempt_name, met},
    registers::{Claim, Registers},
    situation::Trigger,
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::json;

use crate::{
    args::RecoverArgs,
    cloud::{self, Machine, Status, recover_machine},
    credentials,
    follow::Followed,
    output::{Failure, complain, say, say_json, say_json_line},
    regions::dark,
};

/// Attempts to leave one epoch of which the names are tried. An operator makes a handful.
const MOST_ATTEMPTS: u32 = 100;

/// A recovery's execution, started or found.
struct Found {
    incident: String,
    execution: String,
    /// Whether this command started it.
    new: bool,
}

/// Starts the recovery, or finds it started, and follows it.
pub(crate) async fn run(request: RecoverArgs, as_json: bool) -> Result<(), Failure> {
    let RecoverArgs { app, region, who, incident, override_votes, no_wait } = request;
    let config = aws::in_region(&credentials::config().await?, region.as_str());
    let machine = recover_machine(&config, region.as_str()).await.map_err(|fault| {
        let next = "no site can be activated there; to recover from its loss, give --region with that \
                    of the other site";
        dark(fault, region.as_str(), next)
    })?;
    let plan = Parameters::new(&config).plan(&app).await?;
    let Some((target, _)) = plan.site_in(region.as_str()) else {
        let regions: Vec<&str> = plan.sites.values().map(|site| site.region.as_str()).collect();
        return Err(Failure::input(format!(
            "the plan of {app} has no site in {region}; it has one in {}",
            regions.join(" and in ")
        )));
    };
    let find = Find { app: &app, target, machine: &machine };
    let who = identity(&config, who.as_deref()).await;
    let input = json!({
        "app": app,
        "scenario": "region-outage",
        "trigger": Trigger::Operator { who: who.clone(), override_votes },
    });
    let known = cloud::registers(&config, &machine, &plan, &region).await;
    let found = match incident {
        Some(incident) => find.named(&incident, known.as_ref().ok(), &input.to_string()).await?,
        None => find.next(&known?, &input.to_string()).await?,
    };
    let Some(Found { incident, execution, new }) = found else {
        return already_active(&app, &region, target, as_json);
    };
    if override_votes && !new {
        complain("--override-votes has no effect on a recovery that was started before");
    }
    let anew = words::command(&app, &region);
    let again = format!("{anew} --incident {incident}");
    if no_wait {
        if as_json {
            say_json(&json!({ "incident": incident, "execution": execution, "started": new }));
        } else {
            say(&words::begun(&incident, &app, target, new));
            say(&format!("  execution  {execution}"));
            say(&format!("  follow it  {again}"));
        }
        return Ok(());
    }
    if as_json {
        say_json_line(&json!({
            "event": "started", "incident": incident, "execution": execution, "started": new,
            "who": who,
        }));
    } else {
        say(&words::begun(&incident, &app, target, new));
        say(&format!("  execution  {execution}"));
        say("  Ctrl-C only stops following it");
    }
    let followed = Followed { machine: &machine, execution, what: "the recovery", again };
    follow::until_ended(&follow::Told { followed, anew, as_json }).await
}

/// What a request meets.
enum Meets {
    /// The site is the active one already.
    Active,
    /// A recovery of the same site that runs.
    Running(Found),
    /// Nothing that stands against it.
    Nothing,
}

/// Where to look for a recovery.
struct Find<'a> {
    app: &'a AppName,
    target: &'a SiteName,
    machine: &'a Machine,
}

impl Find<'_> {
    /// The recovery that is under way, or the next attempt; none when the site is active already.
    async fn next(
        &self,
        (registers, claim): &(Registers, Claim),
        input: &str,
    ) -> Result<Option<Found>, Failure> {
        match self.meets(registers).await? {
            Meets::Active => return Ok(None),
            Meets::Running(found) => return Ok(Some(found)),
            Meets::Nothing => {}
        }
        for attempt in 1..=MOST_ATTEMPTS {
            let name = attempt_name(self.app, claim.epoch, attempt);
            let (execution, new) = self.machine.start(&name, input).await?;
            if new || self.is_running(&execution).await? {
                return Ok(Some(Found { incident: name, execution, new }));
            }
        }
        Err(Failure::refused(format!(
            "{MOST_ATTEMPTS} attempts to leave epoch {} of {} have ended; read why the last one did, \
             mend it, and name the next one with --incident",
            claim.epoch, self.app
        )))
    }

    /// The recovery of this name, whether it runs, has ended, or begins now.
    async fn named(
        &self,
        incident: &IncidentId,
        known: Option<&(Registers, Claim)>,
        input: &str,
    ) -> Result<Option<Found>, Failure> {
        let execution = self.machine.execution(incident.as_str());
        let incident = incident.to_string();
        if self.machine.see(&execution).await?.is_some() {
            return Ok(Some(Found { incident, execution, new: false }));
        }
        // Registers that cannot be read keep nobody from starting: the machine asks for itself.
        let meets = match known {
            Some((registers, _)) => self.meets(registers).await?,
            None => Meets::Nothing,
        };
        match meets {
            Meets::Active => return Ok(None),
            Meets::Running(found) => return Ok(Some(found)),
            Meets::Nothing => {}
        }
        let (execution, new) = self.machine.start(&incident, input).await?;
        Ok(Some(Found { incident, execution, new }))
    }

    /// What stands against another attempt. A holder whose execution has ended does not: the machine sees
    /// that too, and releases it.
    async fn meets(&self, registers: &Registers) -> Result<Meets, Failure> {
        match met(registers, self.target, clock::now()) {
            Met::Active(_) => Ok(Meets::Active),
            Met::Other(region, holder) => Err(self.other(region, holder)),
            Met::Same(holder) if self.is_running(&holder.execution).await? => {
                let (incident, execution) = (holder.incident.to_string(), holder.execution.clone());
                Ok(Meets::Running(Found { incident, execution, new: false }))
            }
            Met::Same(_) | Met::Nothing => Ok(Meets::Nothing),
        }
    }

    fn other(&self, region: &Region, holder: &Holder) -> Failure {
        let Self { app, target, .. } = self;
        Failure::refused(format!(
            "recovery {} of {app} is under way since {} and activates site {}, not {target}; let it end \
             first. If its execution has ended: lifeboat ledger release --app {app} --region {region}",
            holder.incident, holder.opened_at, holder.target
        ))
    }

    async fn is_running(&self, execution: &str) -> Result<bool, Failure> {
        Ok(self.machine.see(execution).await?.is_some_and(|seen| seen.status == Status::Running))
    }
}

/// Who asks: the caller, and the name that was given. A recovery does not wait for STS.
async fn identity(config: &SdkConfig, name: Option<&str>) -> String {
    let caller = match credentials::caller(config).await {
        Ok(arn) => arn,
        Err(fault) => {
            complain(&format!("who asks is kept as unknown: {}", fault.message));
            "a caller whom STS did not name".to_owned()
        }
    };
    words::who(name, &caller)
}

fn already_active(
    app: &AppName,
    region: &Region,
    target: &SiteName,
    as_json: bool,
) -> Result<(), Failure> {
    if as_json {
        say_json_line(&json!({ "event": "ended", "outcome": "active-already", "site": target }));
    } else {
        say(&format!("site {target} of {app} is the active one already; nothing was started"));
        say(&format!("  see it  {}", words::show(app, region)));
    }
    Ok(())
}
