//! `lifeboat restore`: start the machine that restores, and wait for it.

mod follow;
mod show;

use std::io::{IsTerminal, stdin};

use jiff::Timestamp;
use lifeboat_catalogue::Backups;
use lifeboat_core::{
    AppName, Region,
    backup::{Choice, Kind, PointId, stamp, whole_moment},
    contract::restore_backup::{Order, Target},
    plan_file::{AppPlan, Engine},
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::json;

use crate::{
    args::RestoreTarget,
    cloud::{self, Machine, machine},
    credentials,
    output::{Failure, say, say_json},
    regions::dark,
};

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The app.
    #[arg(long)]
    app: AppName,
    /// What to restore: database-snapshot, database-dump, database-base, config, code, logs, images
    /// or cache.
    #[arg(long)]
    kind: Kind,
    /// The recovery point, as `lifeboat backups` lists it; without it (and --to), the newest verified.
    #[arg(long, conflicts_with = "to")]
    point: Option<PointId>,
    /// Restore a database to this moment, such as 2026-11-24T12:00:00Z: of database-snapshot with the
    /// automated backups of RDS that lie in the region, of database-base with the archived WAL.
    #[arg(long)]
    to: Option<Timestamp>,
    /// Where to.
    #[arg(long, value_enum, default_value_t = RestoreTarget::Scratch)]
    into: RestoreTarget,
    /// The region whose copies are restored, in that region; without it, the one of the environment.
    #[arg(long, value_parser = crate::args::region)]
    region: Option<Region>,
    /// Restore into place without asking.
    #[arg(long)]
    yes: bool,
    /// Wait until it has ended and tell what was found. The default.
    #[arg(long, conflicts_with = "no_wait")]
    wait: bool,
    /// Start it and go.
    #[arg(long)]
    no_wait: bool,
}

/// Shows what will be restored where, starts it, and waits.
pub(crate) async fn run(request: RestoreArgs, as_json: bool) -> Result<(), Failure> {
    let RestoreArgs { app, kind, point, to, into, region, yes, no_wait, wait: _ } = request;
    let now = clock::now();
    let to = check(kind, to, now)?;
    let target = Target::from(into);
    let confirm = target == Target::Place && !yes;
    if confirm && (as_json || !stdin().is_terminal()) {
        return Err(Failure::input(
            "nobody is here to confirm a restore into place: look at it with --into scratch, then \
             give --yes",
        ));
    }
    let config = credentials::config().await?;
    let region = cloud::region(&config, region.as_ref().map(Region::as_str))?;
    let config = aws::in_region(&config, &region);
    let machine = machine(&config, &region, "lifeboat-restore").await.map_err(|fault| {
        let next = "give --region with that of the other site, which has copies of its own";
        dark(fault, &region, next)
    })?;
    let plan = Parameters::new(&config).plan(&app).await?;
    let choice = choose(&config, &machine, &region, &plan, (kind, point, to)).await?;
    let (id, reason) = match choice {
        None => (None, "RDS says whether it holds the moment".to_owned()),
        Some(Choice::Reliable { id, reason }) => (Some(id), reason),
        Some(Choice::Unreliable { reason, instead }) => {
            if as_json {
                let answer =
                    json!({ "outcome": "unreliable", "reason": reason, "instead": instead });
                say_json(&answer);
            }
            return Err(Failure::refused(reason));
        }
    };
    let order = Order { app, kind, id, to, target };
    let lines = show::order(&order, &plan, &region, &reason).map_err(Failure::input)?;
    if !as_json {
        lines.iter().for_each(|line| say(line));
    }
    if confirm && !confirmed()? {
        return Err(Failure::refused("not confirmed; nothing was restored"));
    }
    let input = serde_json::to_string(&order)
        .map_err(|error| Failure::work(format!("the order cannot be written: {error}")))?;
    let name = format!("{}-{kind}-{}-{}", order.app, target.as_str(), stamp(now));
    let (execution, new) = machine.start(&name, &input).await?;
    if !new {
        // It may restore something else.
        return Err(Failure::work(format!("{execution} was started in this second; start again")));
    }
    if no_wait {
        if as_json {
            say_json(&json!({ "order": order, "execution": execution }));
        } else {
            say(&format!("started; it tells people when it has ended\n  execution  {execution}"));
        }
        return Ok(());
    }
    follow::until_ended(&machine, &execution, as_json).await
}

/// What can be said without asking anybody.
fn check(kind: Kind, to: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    if kind == Kind::DatabaseWal && to.is_none() {
        return Err(Failure::input(format!(
            "{kind} is restored with the base backup that it follows: give --kind {} --to TIME",
            Kind::DatabaseBase
        )));
    }
    to.map(|to| whole_moment(kind, to, now)).transpose().map_err(Failure::input)
}

/// The point, so that what is shown is what is restored; none of a moment that RDS restores, of
/// which the machine asks RDS.
async fn choose(
    config: &aws_config::SdkConfig,
    machine: &Machine,
    region: &str,
    plan: &AppPlan,
    (kind, point, to): (Kind, Option<PointId>, Option<Timestamp>),
) -> Result<Option<Choice>, Failure> {
    if kind == Kind::DatabaseSnapshot && to.is_some() {
        if plan.database.engine != Engine::Rds {
            return Err(Failure::input(format!(
                "the database of {} is not RDS's: give --kind {}",
                plan.app,
                Kind::DatabaseBase
            )));
        }
        return Ok(None);
    }
    let bucket = format!("lifeboat-backups-{}-{region}", machine.account);
    let region = Region::new(region).map_err(|error| Failure::input(error.to_string()))?;
    let backups = Backups::new(config, bucket, region);
    Ok(Some(backups.choose(&plan.app, kind, point.as_ref(), to).await?))
}

fn confirmed() -> Result<bool, Failure> {
    say("Type yes to restore it into place:");
    let mut answer = String::new();
    stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::input(format!("the answer cannot be read: {error}")))?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn parsed(more: &[&str]) -> Result<RestoreArgs, String> {
        let all = ["lifeboat", "restore", "--app", "queue", "--kind"];
        let args = Args::try_parse_from(all.iter().chain(more)).map_err(|e| e.to_string())?;
        let Command::Restore(request) = args.command else { panic!("{:?}", args.command) };
        Ok(request)
    }

    #[test]
    fn scratch_is_what_is_meant_when_nothing_is_said() {
        let args = parsed(&["cache"]).unwrap();
        assert_eq!(Target::from(args.into), Target::Scratch);
        assert!(!args.no_wait && !args.yes && args.point.is_none());
        let to = ["database-base", "--to", "2026-11-24T12:00:00Z", "--into", "place", "--yes"];
        let args = parsed(&to).unwrap();
        assert_eq!(Target::from(args.into), Target::Place);
        assert_eq!(args.to.unwrap().to_string(), "2026-11-24T12:00:00Z");
        for wrong in [
            &["cache", "--point", "20261124T120000Z-full", "--to", "2026-11-24T12:00:00Z"][..],
            &["cache", "--wait", "--no-wait"],
            &["tapes"],
            &["cache", "--to", "yesterday"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_has_no_moments_is_refused_before_anybody_is_asked() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (kind, to) in [(Kind::DatabaseWal, None), (Kind::Cache, Some(now))] {
            assert_eq!(check(kind, to, now).unwrap_err().code, 2);
        }
        assert_eq!(check(Kind::Cache, None, now).unwrap(), None);
        assert_eq!(check(Kind::DatabaseBase, Some(now), now).unwrap(), Some(now));
    }
}
