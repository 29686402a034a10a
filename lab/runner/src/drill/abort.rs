//! `abort`: a person stops the recovery behind each step that changes something, and it goes on: once by
//! redriving the execution that was stopped, then by starting another one, as the runbook says.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{evidence::invariant, follow::steps_of, outage::tell};
use crate::{
    clock,
    lab::{Lab, LabError, STANDBY},
    report::InvariantResult,
};

/// How it goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    /// `aws stepfunctions redrive-execution`.
    Redriven,
    /// `lifeboat recover`.
    StartedAnew,
}

/// The steps behind which it is stopped, in order.
const STOPS: [(&str, GoesOn); 3] = [
    ("ClaimEpoch", GoesOn::Redriven),
    ("PromoteReplica", GoesOn::StartedAnew),
    ("ActivateSite", GoesOn::StartedAnew),
];
/// Until a step has ended, or an execution has.
const WITHIN: Duration = Duration::from_secs(60);

/// Stops and goes on; the execution that is left to its end.
pub(super) async fn stop_and_go_on(
    lab: &Lab,
    struck_at: Timestamp,
) -> Result<(Option<String>, Vec<InvariantResult>), LabError> {
    let Some(mut arn) = lab.next_execution(&STANDBY).await else { return Ok((None, Vec::new())) };
    let mut told = Vec::new();
    for (step, goes_on) in STOPS {
        lab.stop_behind(&arn, step).await?;
        tell(struck_at, clock::now(), "stopped", &format!("behind {step}"));
        match goes_on {
            GoesOn::Redriven => {
                lab.states(&arn, "RedriveExecution").await?;
                told.push(format!("redriven behind {step}"));
            }
            GoesOn::StartedAnew => {
                let stopped = arn.clone();
                let started = lab.operator_starts("ada", false).await?;
                arn = started.filter(|next| *next != stopped).ok_or_else(|| {
                    LabError::new(format!("`lifeboat recover` started nothing behind {step}"))
                })?;
                told.push(format!("started anew behind {step}"));
            }
        }
    }
    Ok((Some(arn), vec![invariant("3-stopped-it-goes-on", true, told.join(", "))]))
}

impl Lab {
    /// Waits until an execution has left a step.
    pub(super) async fn left(&self, arn: &str, step: &str) -> Result<(), LabError> {
        let left = clock::find(WITHIN, || async {
            let events = self.events(STANDBY.region, arn).await.ok()?;
            steps_of(&events).iter().any(|ended| ended.name == step).then_some(())
        });
        left.await.ok_or_else(|| LabError::new(format!("{arn} did not come as far as {step}")))
    }

    /// Stops an execution as soon as it has left a step.
    async fn stop_behind(&self, arn: &str, step: &str) -> Result<(), LabError> {
        self.left(arn, step).await?;
        self.states(arn, "StopExecution").await?;
        let ended = clock::find(WITHIN, || async {
            let described = self.states(arn, "DescribeExecution").await.ok()?;
            (described.get("status")?.as_str()? == "ABORTED").then_some(())
        });
        ended.await.ok_or_else(|| LabError::new(format!("{arn} was stopped and did not end")))
    }

    /// A call about one execution in the standby's region.
    async fn states(&self, arn: &str, operation: &str) -> Result<Value, LabError> {
        let target = format!("AWSStepFunctions.{operation}");
        self.aws.json(STANDBY.region, "states", &target, &json!({ "executionArn": arn })).await
    }
}
