//! Waiting for the machine, with its progress.

use lifeboat_core::backup::Outcome;
use serde_json::json;

use super::show::{self, Ended};
use crate::{
    cloud::Machine,
    follow,
    output::{Failure, say, say_json},
};

/// Waits until an execution has ended, and tells how.
///
/// Exit codes: 1 when it is damaged or could not be restored, 3 when it may not be relied on.
pub(super) async fn until_ended(
    machine: &Machine,
    execution: &str,
    as_json: bool,
) -> Result<(), Failure> {
    if !as_json {
        say(&format!("started; it goes on when this command is stopped\n  execution  {execution}"));
    }
    let words: fn(&str) -> &str = show::doing;
    let ended = match follow::until_ended(machine, execution, (!as_json).then_some(words)).await? {
        Ok(output) => output,
        Err(why) => {
            if as_json {
                let answer = json!({ "outcome": "failed", "reason": why, "execution": execution });
                say_json(&answer);
            }
            return Err(Failure::work(why));
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
