//! `lifeboat recover`: start the machine by hand.

use lifeboat_core::{ledger::HolderState, situation::Trigger};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::aws;
use serde_json::json;

use crate::{
    args::RecoverArgs,
    cloud::{control_record, recover_machine},
    output::{Failure, say, say_json},
};

/// Starts the recovery, or finds it started.
pub(crate) async fn start(request: RecoverArgs, as_json: bool) -> Result<(), Failure> {
    let RecoverArgs { app, region, who, incident, override_votes } = request;
    let config = aws::in_region(&aws::config().await, region.as_str());
    let machine = recover_machine(&config, region.as_str()).await?;
    let plan = Parameters::new(&config).plan(&app).await?;
    let Some((target, _)) = plan.site_in(region.as_str()) else {
        return Err(Failure::input(format!("the plan of {app} has no site in {region}")));
    };
    let incident = match incident {
        Some(incident) => incident.to_string(),
        None => {
            let record = control_record(&config, &machine, &plan, &region).await?;
            // The same until the active site changes or a recovery fails: starting twice is once.
            match &record.recovery {
                Some(holder) if holder.state == HolderState::Failed => {
                    format!("{app}-leaves-epoch-{}-after-{}", record.epoch, holder.epoch)
                }
                _ => format!("{app}-leaves-epoch-{}", record.epoch),
            }
        }
    };
    let input = json!({
        "app": app,
        "scenario": "region-outage",
        "trigger": Trigger::Operator { who, override_votes },
    });
    let (execution, new) = machine.start(&incident, &input.to_string()).await?;
    if as_json {
        say_json(&json!({ "incident": incident, "execution": execution, "started": new }));
        return Ok(());
    }
    if new {
        say(&format!("started recovery {incident}: site {target} of {app} is being activated"));
    } else {
        say(&format!(
            "recovery {incident} was started before; if it ended without a result, start another \
             with --incident"
        ));
    }
    say(&format!("  execution  {execution}"));
    say(&format!(
        "  watch it   aws stepfunctions get-execution-history --region {region} --execution-arn {execution}"
    ));
    Ok(())
}
