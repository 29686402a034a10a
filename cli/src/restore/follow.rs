//! Waiting for the machine, with its progress.

use std::time::Duration;

use lifeboat_core::{ErrorName, backup::Outcome};
use lifeboat_runtime::clock;
use serde_json::json;

use super::show::{self, Ended};
use crate::{
    cloud::{Execution, Machine},
    output::{Failure, say, say_json},
};

/// Between two looks: Step Functions has nothing that could be awaited.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Waits until an execution has ended, and tells how.
///
/// Exit codes: 1 when it is damaged or could not be restored, 3 when it may not be relied on.
pub(super) async fn until_ended(
    machine: &Machine,
    execution: &str,
    as_json: bool,
) -> Result<(), Failure> {
    let began = clock::now();
    if !as_json {
        say(&format!("started; it goes on when this command is stopped\n  execution  {execution}"));
    }
    let mut last = String::new();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let ended = loop {
        looks.tick().await;
        let found = match machine.look(execution).await {
            // The execution does not mind that an answer was lost.
            Err(fault) if fault.name == ErrorName::Transient => continue,
            found => found?,
        };
        match found {
            Execution::Running { state } => {
                let doing = state.as_deref().map_or("", show::doing);
                if !as_json && doing != last {
                    doing.clone_into(&mut last);
                    let since = clock::now().duration_since(began).as_secs();
                    say(&format!("  {since:>5} s  {doing}"));
                }
            }
            Execution::Ended(Ok(output)) => break output,
            Execution::Ended(Err(why)) => {
                if as_json {
                    let answer =
                        json!({ "outcome": "failed", "reason": why, "execution": execution });
                    say_json(&answer);
                }
                return Err(Failure::work(why));
            }
        }
    };
    let odd = |error| Failure::work(format!("what {execution} answers cannot be read ({error})"));
    let answer: serde_json::Value = serde_json::from_str(&ended).map_err(odd)?;
    if as_json {
        say_json(&answer);
    }
    match serde_json::from_value(answer).map_err(odd)? {
        Ended::Unreliable { reason } => Err(Failure::refused(reason)),
        Ended::Restored { result, reason } => {
            if !as_json {
                say(&format!("  {reason}"));
                show::result(&result).iter().for_each(|line| say(line));
            }
            match result.outcome {
                Outcome::Sound => Ok(()),
                Outcome::Damaged => Err(Failure::work("what was restored is damaged")),
            }
        }
    }
}
