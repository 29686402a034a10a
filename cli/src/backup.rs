//! `lifeboat backup`: take backups by hand, now.

use lifeboat_core::{
    backup::{Kind, PointId},
    contract::backup_trigger::Due,
    registers::Claim,
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::json;

use crate::{
    args::BackupArgs,
    cloud::{self, Machine, machine},
    credentials,
    output::{Failure, say, say_json},
    regions::dark,
};

/// Executions of one app and second whose names are tried.
const MOST_ASKS: u32 = 100;

/// Starts the machine that the schedule starts, with what to take.
pub(crate) async fn start(request: BackupArgs, as_json: bool) -> Result<(), Failure> {
    let BackupArgs { app, region, kinds } = request;
    let config = aws::in_region(&credentials::config().await?, region.as_str());
    let machine = machine(&config, region.as_str(), "lifeboat-backup").await.map_err(|fault| {
        let next = "nothing can be taken there; give the same command again when it does";
        dark(fault, region.as_str(), next)
    })?;
    let plan = Parameters::new(&config).plan(&app).await?;
    let scheduled: Vec<Kind> =
        plan.backup.iter().flat_map(|backup| backup.schedule.keys().copied()).collect();
    let kinds = if kinds.is_empty() { scheduled.clone() } else { kinds };
    if let Some(other) = kinds.iter().find(|kind| !scheduled.contains(kind)) {
        return Err(Failure::input(format!(
            "the plan of {app} schedules no {other}; it schedules {}",
            scheduled.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    if kinds.is_empty() {
        return Err(Failure::input(format!(
            "the plan of {app} schedules no backups: add [backup.schedule] and apply it"
        )));
    }
    let (_, Claim { site: active, .. }) =
        cloud::registers(&config, &machine, &plan, &region).await?;
    if plan.site_in(region.as_str()).is_none_or(|(here, _)| *here != active) {
        let there = plan.sites.get(&active).map_or("", |site| site.region.as_str());
        return Err(Failure {
            lines: vec![format!(
                "site {active} of {app} is active, and backups are taken of the active site alone; \
                 ask for --region {there}"
            )],
            code: 3,
        });
    }
    let id = PointId::full(clock::now());
    let due: Vec<Due> = kinds
        .iter()
        .map(|kind| Due { app: app.clone(), kind: *kind, id: id.clone(), tell: true })
        .collect();
    let input = json!({ "app": app, "due": due });
    let execution = begin(&machine, &format!("{app}-{id}"), &input.to_string()).await?;
    if as_json {
        say_json(&json!({ "point": id, "kinds": kinds, "execution": execution }));
        return Ok(());
    }
    say(&format!("taking {} of {app} as {id}", words(&kinds)));
    say(&format!("  execution  {execution}"));
    say(&format!(
        "  see them   lifeboat backups --app {app} --region {region}{}",
        credentials::option()
    ));
    say("  they are listed when they are complete; one that fails is paged");
    Ok(())
}

/// Starts the machine under a name that is free: in one second more than one may ask, for other kinds.
async fn begin(machine: &Machine, name: &str, input: &str) -> Result<String, Failure> {
    for ask in 1..=MOST_ASKS {
        let name = if ask == 1 { name.to_owned() } else { format!("{name}-{ask}") };
        let (execution, new) = machine.start(&name, input).await?;
        if new {
            return Ok(execution);
        }
    }
    Err(Failure::work(format!(
        "backups were asked for {MOST_ASKS} times in this second; give the same command again"
    )))
}

fn words(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}
