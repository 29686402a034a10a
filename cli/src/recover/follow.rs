//! A recovery to its end: what it does, and what came of it.

use serde_json::{Value, json};

use super::words;
use crate::{
    cloud::{Entered, Status},
    follow::{self, Followed},
    output::{Failure, say, say_json_line},
};

/// What is followed, and how it is told.
pub(super) struct Told<'a> {
    pub(super) followed: Followed<'a>,
    /// The command that makes the next attempt.
    pub(super) anew: String,
    pub(super) as_json: bool,
}

/// Tells what the recovery does until it has ended, or Ctrl-C.
///
/// # Errors
/// It ended without a recovery, or it can be followed no longer, which does not end it.
pub(super) async fn until_ended(told: &Told<'_>) -> Result<(), Failure> {
    let status = if told.as_json {
        let tell = |entered: &Entered, _| {
            let Some(doing) = words::doing(&entered.state) else { return };
            let Entered { at, state, .. } = entered;
            say_json_line(&json!({ "event": "state", "at": at, "state": state, "doing": doing }));
        };
        follow::until_ended(&told.followed, tell).await?
    } else {
        follow::until_ended(&told.followed, follow::in_words(words::doing)).await?
    };
    end(told, status)
}

/// How it ended.
fn end(told: &Told<'_>, status: Status) -> Result<(), Failure> {
    let answer = ending(status, told);
    if told.as_json {
        say_json_line(&answer.json);
    }
    match answer.failure {
        None => {
            if !told.as_json {
                say(&answer.says);
            }
            Ok(())
        }
        Some(failure) => Err(failure),
    }
}

/// An end in words, for machines, and as an exit code.
struct Ending {
    says: String,
    json: Value,
    failure: Option<Failure>,
}

fn ending(status: Status, told: &Told<'_>) -> Ending {
    let again = &told.followed.again;
    let failed = |outcome: &str, reason: &str, next: String| Ending {
        says: String::new(),
        json: json!({ "event": "ended", "outcome": outcome, "reason": reason }),
        failure: Some(Failure::failed(vec![format!("the recovery {outcome}: {reason}"), next])),
    };
    let output = match status {
        Status::Running => return failed("runs", "it has not ended", again.clone()),
        Status::Failed(cause) => {
            let next = format!("mend the cause, then go on where it ended: {}", told.anew);
            return failed("failed", &cause, next);
        }
        Status::Cut(how) => {
            let next = format!("go on where it ended: {}", told.anew);
            return failed("was stopped", &how, next);
        }
        Status::Succeeded(output) => output,
    };
    let Ok(Value::Object(mut json)) = serde_json::from_str(&output) else {
        return failed("ended", "what it answers cannot be read", again.clone());
    };
    json.insert("event".to_owned(), "ended".into());
    let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (outcome, reason) = (text("outcome"), text("reason"));
    let failure = match outcome.as_str() {
        "recovered" => None,
        "declined" => Some(Failure::refused(format!("declined: {reason}"))),
        "stood_down" => Some(Failure::refused(format!("it stood down: {reason}"))),
        other => {
            Some(Failure::work(format!("it ended as `{other}`, which this version does not know")))
        }
    };
    let epoch = json.get("epoch").map(Value::to_string).unwrap_or_default();
    let says = format!("recovered: users are served by site {}, epoch {epoch}", text("site"));
    Ending { says, json: Value::Object(json), failure }
}
