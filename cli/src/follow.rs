//! Waiting for an execution, with its progress.

use std::time::Duration;

use jiff::SignedDuration;
use lifeboat_core::ErrorName;
use lifeboat_runtime::clock;

use crate::{
    cloud::{Execution, Machine},
    output::{Failure, say},
};

/// Between two looks: Step Functions has nothing that could be awaited.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long nobody may answer. The execution goes on meanwhile; who looks at it need not.
const SILENCE: SignedDuration = SignedDuration::from_mins(2);

/// Waits until an execution has ended: its output, or why it failed. `doing` says what a state does, in
/// words; nothing is said when there are none.
///
/// # Errors
/// Nobody answers, or this caller may not look.
pub(crate) async fn until_ended(
    machine: &Machine,
    execution: &str,
    doing: Option<fn(&str) -> &str>,
) -> Result<Result<String, String>, Failure> {
    let began = clock::now();
    let mut answered = began;
    let mut last = String::new();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let now = clock::now();
        let found = match machine.look(execution).await {
            // The execution does not mind that an answer was lost.
            Err(fault) if fault.name == ErrorName::Transient => {
                if now.duration_since(answered) > SILENCE {
                    return Err(Failure::failed(vec![
                        format!("{}; the execution goes on without this command", fault.message),
                        format!(
                            "look at it when the region answers: aws stepfunctions \
                             describe-execution --region {} --execution-arn {execution}",
                            machine.region()
                        ),
                    ]));
                }
                continue;
            }
            found => found?,
        };
        answered = now;
        match found {
            Execution::Running { state } => {
                let (Some(words), Some(state)) = (doing, state) else { continue };
                let words = words(&state);
                if words != last {
                    words.clone_into(&mut last);
                    let since = now.duration_since(began).as_secs();
                    say(&format!("  {since:>5} s  {words}"));
                }
            }
            Execution::Ended(ended) => return Ok(ended),
        }
    }
}
