//! Waiting for the machine, with its progress.

use lifeboat_core::backup::Outcome;
use serde_json::json;

use super::show::{self, Ended};
use crate::{
    cloud::Machine,
    follow::{self, Followed},
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
    let followed = Followed::once(machine, execution, "the restore");
    let doing: fn(&str) -> Option<&'static str> = if as_json { |_| None } else { show::doing };
    let status = follow::until_ended(&followed, follow::in_words(doing)).await?;
    let ended = match status.outcome(execution) {
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
