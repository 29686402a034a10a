//! Follows a recovery of the real machine: finds its execution, tells of each step as it ends.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    clock,
    lab::{APP, Lab, LabError, STANDBY, SiteConfig},
    report::{Palette, StepResult, live_line},
    say,
};

/// Until the alarm has started the machine: twice the bound on detection.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Until the machine has ended: well above the drill's RTO, below the machine's own limit.
const ENDS_WITHIN: Duration = Duration::from_secs(240);

/// One execution of the recover machine.
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    /// The input that it was started with.
    pub(crate) input: Value,
    /// `SUCCEEDED`, `FAILED`, ...
    pub(crate) status: String,
    /// What it answered, or its error.
    pub(crate) output: Value,
    /// Its steps.
    pub(crate) steps: Vec<StepResult>,
    /// Its history, as evidence.
    pub(crate) history: String,
}

impl Recovery {
    /// The machine's own word for how it ended: `recovered`, `stood_down`, ...
    pub(crate) fn outcome(&self) -> &str {
        self.output.get("outcome").and_then(Value::as_str).unwrap_or(&self.status)
    }

    /// Why, in the machine's words.
    pub(crate) fn reason(&self) -> &str {
        let said = self.output.get("reason").or_else(|| self.output.get("cause"));
        said.and_then(Value::as_str).unwrap_or_default()
    }

    /// When the alarm that started it went off; none when a person started it.
    pub(crate) fn alarm_at(&self) -> Option<Timestamp> {
        let text = self.input.pointer("/detail/state/timestamp")?.as_str()?;
        // CloudWatch writes the offset without a colon.
        jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?.to_timestamp().ok()
    }

    /// When a step began and ended, the first time that it ran to its end.
    pub(crate) fn step(&self, name: &str) -> Option<(Timestamp, Timestamp)> {
        let step = self.steps.iter().find(|step| step.name == name)?;
        Some((step.started_at, step.ended_at?))
    }

    /// When the last run of a step ended.
    pub(crate) fn last_end(&self, name: &str) -> Option<Timestamp> {
        self.steps.iter().rev().find(|step| step.name == name)?.ended_at
    }
}

const RECOVER: &str = "lifeboat-recover";

fn machine(region: &str, name: &str) -> String {
    format!("arn:aws:states:{region}:000000000000:stateMachine:{name}")
}

/// What a task answered, shortened: its output, or its error and cause.
fn answered(event: &Value) -> Option<String> {
    let details = event.as_object()?.iter().find(|(key, _)| key.starts_with("task"))?.1;
    let text = |key| details.get(key).and_then(Value::as_str);
    let said = match (text("output"), text("error")) {
        (Some(output), _) => output.to_owned(),
        (None, Some(error)) => format!("{error}: {}", text("cause").unwrap_or_default()),
        (None, None) => return None,
    };
    Some(said.chars().take(400).collect())
}

impl Lab {
    /// Every execution of the recover machine that activates this site.
    ///
    /// # Errors
    /// Step Functions does not answer.
    pub(crate) async fn executions(&self, site: &SiteConfig) -> Result<Vec<String>, LabError> {
        self.executions_of(site.region, RECOVER).await
    }

    /// The newest first.
    async fn executions_of(&self, region: &str, name: &str) -> Result<Vec<String>, LabError> {
        let body = json!({ "stateMachineArn": machine(region, name) });
        let answer =
            self.aws.json(region, "states", "AWSStepFunctions.ListExecutions", &body).await?;
        let list = answer.get("executions").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(list
            .iter()
            .filter_map(|one| Some(one.get("executionArn")?.as_str()?.to_owned()))
            .collect())
    }

    /// What the last tasks of a machine's newest execution answered, for the message of a drill that
    /// waited for it in vain.
    ///
    /// # Errors
    /// Step Functions does not answer.
    pub(crate) async fn last_words(&self, region: &str, name: &str) -> Result<String, LabError> {
        let Some(arn) = self.executions_of(region, name).await?.into_iter().next() else {
            return Ok(format!("no execution of {name} was started in {region}"));
        };
        let events = self.events(region, &arn).await?;
        let words: Vec<String> = events.iter().rev().filter_map(answered).take(3).collect();
        Ok(format!("the last answers in {arn}: {}", words.join(" | ")))
    }

    /// The first execution that appears; none within [`STARTS_WITHIN`].
    pub(crate) async fn next_execution(&self, site: &SiteConfig) -> Option<String> {
        clock::find(STARTS_WITHIN, || async {
            self.executions(site).await.ok()?.into_iter().next()
        })
        .await
    }

    /// Follows an execution to its end, telling of each step as it ends, with the time since
    /// `zero`.
    ///
    /// # Errors
    /// It did not end within [`ENDS_WITHIN`].
    pub(crate) async fn follow(
        &self,
        site: &SiteConfig,
        arn: &str,
        zero: Timestamp,
    ) -> Result<Recovery, LabError> {
        let palette = Palette::detect();
        let mut told = 0;
        let began = std::time::Instant::now();
        loop {
            let described = self.status(site, arn).await?;
            let events = self.events(site.region, arn).await?;
            let ended = steps_of(&events);
            for step in ended.iter().skip(told) {
                if let Some(end) = step.ended_at {
                    let took = end.duration_since(step.started_at);
                    let since = end.duration_since(zero);
                    say::line(&live_line(palette, since, &step.name, &step.outcome, Some(took)));
                }
            }
            told = ended.len();
            let status = described.get("status").and_then(Value::as_str).unwrap_or_default();
            if status != "RUNNING" {
                return Ok(recovery(status, &described, ended, &events));
            }
            if began.elapsed() > ENDS_WITHIN {
                return Err(LabError::new(format!(
                    "the recovery {arn} did not end within {} s",
                    ENDS_WITHIN.as_secs()
                )));
            }
            clock::pause(Duration::from_millis(150)).await;
        }
    }

    /// Starts the recovery of the standby's site as an operator would, with the operator's command,
    /// against the votes if asked;
    /// the execution's ARN.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) async fn operator_starts(
        &self,
        who: &str,
        override_votes: bool,
    ) -> Result<Option<String>, LabError> {
        let region = STANDBY.region;
        let mut arguments =
            vec!["--json", "recover", "--no-wait", "--app", APP, "--region", region];
        arguments.extend(["--who", who]);
        if override_votes {
            arguments.push("--override-votes");
        }
        let said = self.lifeboat(&arguments).await?;
        let answer: Value = serde_json::from_str(&said)
            .map_err(|error| LabError::from_error("lifeboat recover", &error))?;
        Ok(answer.get("execution").and_then(Value::as_str).map(str::to_owned))
    }

    /// Starts a machine of the stack without an input, as an operator may at any time.
    ///
    /// # Errors
    /// Step Functions refused.
    pub(crate) async fn start_machine(&self, region: &str, name: &str) -> Result<(), LabError> {
        let arn = format!("arn:aws:states:{region}:000000000000:stateMachine:{name}");
        let body = json!({ "stateMachineArn": arn, "input": "{}" });
        let target = "AWSStepFunctions.StartExecution";
        self.aws.json(region, "states", target, &body).await.map(|_| ())
    }

    /// How an execution ended, when it does so within a few seconds: one that stands down does.
    ///
    /// # Errors
    /// Step Functions does not answer.
    pub(crate) async fn outcome_soon(
        &self,
        site: &SiteConfig,
        arn: &str,
    ) -> Result<Option<String>, LabError> {
        let ended = clock::find(Duration::from_secs(3), || async {
            let described = self.status(site, arn).await.ok()?;
            let text = described.get("output")?.as_str()?.to_owned();
            let output: Value = serde_json::from_str(&text).ok()?;
            output.get("outcome")?.as_str().map(str::to_owned)
        });
        Ok(ended.await)
    }

    /// Waits until an execution has entered a state.
    ///
    /// # Errors
    /// It did not within [`ENDS_WITHIN`], or it ended without.
    pub(crate) async fn enters(
        &self,
        site: &SiteConfig,
        arn: &str,
        state: &str,
    ) -> Result<(), LabError> {
        let name =
            |event: &Value| event.pointer("/stateEnteredEventDetails/name") == Some(&state.into());
        let entered = clock::find(ENDS_WITHIN, || async {
            // Asked before the events, so that none is missed of an execution that has ended.
            let status = self.status(site, arn).await.ok()?;
            if self.events(site.region, arn).await.ok()?.iter().any(name) {
                return Some(true);
            }
            (status.get("status")? != "RUNNING").then_some(false)
        });
        match entered.await {
            Some(true) => Ok(()),
            Some(false) | None => Err(LabError::new(format!("{arn} did not come to {state}"))),
        }
    }

    async fn status(&self, site: &SiteConfig, arn: &str) -> Result<Value, LabError> {
        let body = json!({ "executionArn": arn });
        self.aws.json(site.region, "states", "AWSStepFunctions.DescribeExecution", &body).await
    }

    pub(super) async fn events(&self, region: &str, arn: &str) -> Result<Vec<Value>, LabError> {
        let mut all = Vec::new();
        let mut token = None;
        loop {
            let body = json!({ "executionArn": arn, "maxResults": 1000, "nextToken": token });
            let body = match token {
                Some(_) => body,
                None => json!({ "executionArn": arn, "maxResults": 1000 }),
            };
            let target = "AWSStepFunctions.GetExecutionHistory";
            let page = self.aws.json(region, "states", target, &body).await?;
            all.extend(page.get("events").and_then(Value::as_array).cloned().unwrap_or_default());
            token = page.get("nextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                return Ok(all);
            }
        }
    }
}

fn recovery(status: &str, described: &Value, ended: Vec<StepResult>, events: &[Value]) -> Recovery {
    let parsed = |key: &str| -> Value {
        let text = described.get(key).and_then(Value::as_str).unwrap_or_default();
        serde_json::from_str(text).unwrap_or(Value::Null)
    };
    let mut output = parsed("output");
    if output.is_null() {
        let failed = events.iter().rev().find_map(|e| e.get("executionFailedEventDetails"));
        let said = |key: &str| described.get(key).or_else(|| failed?.get(key)).cloned();
        output = json!({ "cause": said("cause"), "error": said("error") });
    }
    let steps = machine_steps(&output).unwrap_or(ended);
    Recovery {
        input: parsed("input"),
        status: status.to_owned(),
        output,
        steps,
        history: Value::from(events.to_vec()).to_string(),
    }
}

/// The steps as the machine itself recorded them, with their outcomes.
fn machine_steps(output: &Value) -> Option<Vec<StepResult>> {
    let steps = output.get("steps")?.as_array()?;
    let read = |step: &Value| {
        let text = |key: &str| step.get(key)?.as_str();
        Some(StepResult {
            name: text("name")?.to_owned(),
            started_at: text("started_at")?.parse().ok()?,
            ended_at: Some(text("ended_at")?.parse().ok()?),
            outcome: text("outcome")?.to_owned(),
        })
    };
    let read: Vec<StepResult> = steps.iter().filter_map(read).collect();
    (read.len() == steps.len() && !read.is_empty()).then_some(read)
}

/// The task states that have ended, from the history.
pub(super) fn steps_of(events: &[Value]) -> Vec<StepResult> {
    let mut entered: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut steps = Vec::new();
    // How the last try of the state that runs has failed; a state that catches it is left all the same.
    let mut failure: Option<String> = None;
    for event in events {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some(at) = event.get("timestamp").and_then(time_of) else { continue };
        let name = |key: &str| {
            event.pointer(&format!("/{key}/name")).and_then(Value::as_str).map(str::to_owned)
        };
        match kind {
            "TaskStateEntered" | "ParallelStateEntered" => {
                if let Some(name) = name("stateEnteredEventDetails") {
                    entered.insert(name, at);
                }
                failure = None;
            }
            "TaskFailed" | "TaskTimedOut" => {
                let details = ["taskFailedEventDetails", "taskTimedOutEventDetails"];
                let error = details.iter().find_map(|key| event.pointer(&format!("/{key}/error")));
                let error = error.and_then(Value::as_str).unwrap_or(kind);
                failure = Some(format!("failed: {error}"));
            }
            "TaskSucceeded" => failure = None,
            "TaskStateExited" | "ParallelStateExited" => {
                if let Some(name) = name("stateExitedEventDetails")
                    && let Some(started_at) = entered.remove(&name)
                {
                    steps.push(StepResult {
                        name,
                        started_at,
                        ended_at: Some(at),
                        outcome: failure.take().unwrap_or_else(|| "done".to_owned()),
                    });
                }
            }
            _ => {}
        }
    }
    steps
}

/// Step Functions gives seconds since 1970, with milliseconds behind the point.
fn time_of(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(seconds) => {
            let millis = (seconds.as_f64()? * 1000.0).round();
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century fit")]
            let millis = millis as i64;
            Timestamp::from_millisecond(millis).ok()
        }
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_was_left_by_a_catch_has_failed() {
        let entered = |name: &str, at: f64| json!({ "type": "TaskStateEntered", "timestamp": at, "stateEnteredEventDetails": { "name": name } });
        let exited = |name: &str, at: f64| json!({ "type": "TaskStateExited", "timestamp": at, "stateExitedEventDetails": { "name": name } });
        let failed = json!({
            "type": "TaskFailed", "timestamp": 2.0, "taskFailedEventDetails": { "error": "Transient" },
        });
        let succeeded = json!({ "type": "TaskSucceeded", "timestamp": 3.0 });
        let events = [
            entered("ClaimEpoch", 1.0),
            failed.clone(),
            failed.clone(),
            exited("ClaimEpoch", 4.0),
            entered("CloseFailed", 4.0),
            failed,
            succeeded,
            exited("CloseFailed", 5.0),
        ];
        let outcomes: Vec<String> = steps_of(&events).into_iter().map(|s| s.outcome).collect();
        assert_eq!(outcomes, ["failed: Transient", "done"]);
    }

    #[test]
    fn the_alarms_time_is_read_as_cloudwatch_writes_it() {
        let recovery = Recovery {
            input: json!({ "detail": { "state": { "timestamp": "2026-01-01T12:00:20.123+0000" } } }),
            status: String::new(),
            output: Value::Null,
            steps: Vec::new(),
            history: String::new(),
        };
        let expected = "2026-01-01T12:00:20.123Z".parse().unwrap();
        assert_eq!(recovery.alarm_at(), Some(expected));
    }

    #[test]
    fn a_state_that_runs_twice_is_two_steps() {
        let event = |kind: &str, key: &str, at: f64| json!({ "type": kind, "timestamp": at, key: { "name": "ActivateSite" } });
        let enter = |at| event("TaskStateEntered", "stateEnteredEventDetails", at);
        let exit = |at| event("TaskStateExited", "stateExitedEventDetails", at);
        let steps = steps_of(&[enter(1.0), exit(1.5), enter(2.0), exit(2.25), enter(3.0)]);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[1].ended_at, Timestamp::from_millisecond(2250).ok());
    }
}
