//! `lifeboat plan`: check, apply, show.

mod describe;

use std::path::Path;

use aws_config::SdkConfig;
use lifeboat_core::{
    AppName, Region,
    ledger::ControlRecord,
    plan_file::{self, AppPlan, Located},
};
use lifeboat_ledger::Ledger;
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::json;

use self::describe::describe;
use crate::{
    alarms::alarms,
    cloud::{self, Machine, ledger, put_alarm, recover_machine},
    output::{Failure, complain, say, say_json},
};

/// Reads and checks a plan file.
pub(crate) fn read_file(file: &Path) -> Result<AppPlan, Failure> {
    read_noting(file).map(|(plan, _)| plan)
}

/// The same with what is no mistake, and yet does less than it seems to.
fn read_noting(file: &Path) -> Result<(AppPlan, Vec<Located>), Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::input(format!("{name}: {error}")))?;
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
        complain(&format!("note: {}:{note}", file.display()));
    }
}

/// `lifeboat plan check`.
pub(crate) fn check(file: &Path, as_json: bool) -> Result<(), Failure> {
    let (plan, notes) = read_noting(file)?;
    note(file, &notes);
    if as_json {
        say_json(&plan);
    } else {
        describe(&plan);
        say("no mistakes found");
    }
    Ok(())
}

/// `lifeboat plan apply`.
pub(crate) async fn apply(file: &Path, dry_run: bool, as_json: bool) -> Result<(), Failure> {
    let (plan, notes) = read_noting(file)?;
    note(file, &notes);
    let config = aws::config().await;
    // Every region is asked before any is written: a plan that is in one region only is worse than
    // none.
    let mut regions = Vec::new();
    for site in plan.sites.values() {
        let machine = recover_machine(&config, site.region.as_str()).await?;
        let stored = Parameters::new(&aws::in_region(&config, site.region.as_str()))
            .plan(&plan.app)
            .await
            .ok();
        regions.push((site.region.clone(), machine, stored));
    }
    let mut done = Vec::new();
    for (region, machine, stored) in &regions {
        let changes = apply_in(&config, &plan, region, machine, stored.as_ref(), dry_run).await?;
        for change in changes {
            if !as_json {
                say(&format!("{region}: {change}"));
            }
            done.push(json!({ "region": region, "change": change }));
        }
    }
    if as_json {
        say_json(&json!({ "app": plan.app, "dry_run": dry_run, "changes": done }));
    } else if dry_run {
        say("dry run: nothing was written");
    }
    Ok(())
}

async fn apply_in(
    config: &SdkConfig,
    plan: &AppPlan,
    region: &Region,
    machine: &Machine,
    stored: Option<&AppPlan>,
    dry_run: bool,
) -> Result<Vec<String>, Failure> {
    let config = aws::in_region(config, region.as_str());
    let mut changes = Vec::new();
    match stored {
        Some(stored) if stored == plan => changes.push("plan unchanged".to_owned()),
        before => {
            if !dry_run {
                Parameters::new(&config).put_plan(plan).await?;
            }
            let verb = if before.is_some() { "replaced" } else { "stored" };
            changes.push(format!("{verb} plan /lifeboat/plans/{}", plan.app));
        }
    }
    let ledger = ledger(&config, machine, plan, region);
    changes.push(settle_ledger(&ledger, plan, dry_run).await?);
    // Alarms come last: they may fire at once, and must then find everything in place.
    for alarm in alarms(plan).iter().filter(|alarm| alarm.region == *region) {
        if !dry_run {
            put_alarm(&config, &plan.app, machine, alarm).await?;
        }
        changes.push(format!("set alarm {}", alarm.name));
    }
    Ok(changes)
}

/// Sees to it that this region has a control record, and that the others know of its epoch.
///
/// Nothing is written while a region cannot be read: a first record beside one that cannot be seen
/// would set the epoch back.
async fn settle_ledger(ledger: &Ledger, plan: &AppPlan, dry_run: bool) -> Result<String, Failure> {
    let seen = ledger.newest(&plan.app).await?;
    if let Some((region, why)) = seen.unreachable.first() {
        return match seen.own {
            Some(_) => Ok(format!("control record kept; the ledger in {region} cannot be read")),
            None => Err(Failure::work(format!(
                "there is no control record yet, and the ledger in {region} cannot be read ({why}): \
                 it may hold a newer epoch; apply again when it answers"
            ))),
        };
    }
    let Some((own, etag)) = seen.own else {
        // A region that joins late learns what the others know, never less.
        let record = seen.newest.unwrap_or_else(|| {
            ControlRecord::first(plan.app.clone(), plan.initially_active.clone(), clock::now())
        });
        if !dry_run {
            ledger.write(&record, None).await?;
        }
        return Ok(format!(
            "wrote control record: epoch {}, site {} active",
            record.epoch, record.active_site
        ));
    };
    if own.known_elsewhere {
        return Ok("control record is there already".to_owned());
    }
    // It is written down that the others may know before any of them is told.
    let told = ControlRecord { known_elsewhere: true, updated_at: clock::now(), ..own };
    if !dry_run {
        ledger.write(&told, Some(&etag)).await?;
        for (region, result) in ledger.publish(&told).await {
            result.map_err(|why| Failure::work(format!("tell the ledger in {region}: {why}")))?;
        }
    }
    Ok(format!("told the other region of epoch {}, site {} active", told.epoch, told.active_site))
}

/// `lifeboat plan show`.
pub(crate) async fn show(
    app: &AppName,
    region: Option<&str>,
    as_json: bool,
) -> Result<(), Failure> {
    let config = aws::config().await;
    let region = cloud::region(&config, region)?;
    let here: Region =
        region.parse().map_err(|error| Failure::input(format!("--region: {error}")))?;
    let config = aws::in_region(&config, &region);
    let plan = Parameters::new(&config).plan(app).await?;
    let machine = recover_machine(&config, &region).await?;
    let seen = ledger(&config, &machine, &plan, &here).newest(app).await?;
    if as_json {
        let unreachable: Vec<_> = seen.unreachable.iter().map(|(region, _)| region).collect();
        say_json(&json!({ "plan": plan, "control": seen.newest, "unreachable": unreachable }));
        return Ok(());
    }
    describe(&plan);
    match &seen.newest {
        Some(record) => {
            say(&format!("ledger     epoch {}, site {} active", record.epoch, record.active_site));
            if let Some(holder) = &record.recovery {
                say(&format!(
                    "recovery   {} since {} ({:?}), activating site {}",
                    holder.incident, holder.opened_at, holder.state, holder.target
                ));
            }
        }
        None => say("ledger     no control record: run `lifeboat plan apply`"),
    }
    for (region, why) in &seen.unreachable {
        say(&format!("warning    the ledger in {region} cannot be read: {why}"));
    }
    Ok(())
}
