//! Following a recovery to its end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{ErrorName, Fault};
use lifeboat_runtime::clock;
use serde_json::{Value, json};

use super::words;
use crate::{
    cloud::{Entered, Machine, Status},
    exit,
    output::{Failure, complain, say, say_json_line},
};

/// Between two looks: Step Functions has nothing that could be awaited.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long nobody may answer before that is said.
const QUIET: SignedDuration = SignedDuration::from_secs(10);
/// How long nobody may answer before following ends. The machine goes on for an hour at most.
const SILENCE: SignedDuration = SignedDuration::from_mins(10);

/// What is followed.
pub(super) struct Followed<'a> {
    pub(super) machine: &'a Machine,
    pub(super) execution: String,
    /// The command that follows it again.
    pub(super) again: String,
    /// The command that makes the next attempt.
    pub(super) anew: String,
    pub(super) as_json: bool,
}

/// Tells what the recovery does until it has ended, or Ctrl-C.
///
/// # Errors
/// It ended without a recovery, or it can be followed no longer, which does not end it.
pub(super) async fn until_ended(followed: &Followed<'_>) -> Result<(), Failure> {
    tokio::select! {
        ended = look_until_ended(followed) => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure {
            lines: vec![
                "stopped following; the recovery goes on without this command".to_owned(),
                format!("follow it again: {}", followed.again),
            ],
            code: exit::INTERRUPTED,
        }),
    }
}

/// How far it was told.
struct Told {
    /// The last event.
    id: i64,
    words: &'static str,
    /// When somebody answered last.
    answered: Timestamp,
    /// Whether it was said that nobody answers.
    quiet: bool,
}

async fn look_until_ended(followed: &Followed<'_>) -> Result<(), Failure> {
    let mut told = Told { id: 0, words: "", answered: clock::now(), quiet: false };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        match look(followed, &mut told).await {
            Ok(None) => heard(&mut told),
            Ok(Some(ended)) => return end(followed, ended),
            // The execution does not mind that an answer was lost.
            Err(fault) if fault.name == ErrorName::Transient => silent(followed, &mut told, fault)?,
            Err(fault) => return Err(lost(followed, fault)),
        }
    }
}

/// One look: what is new is told. The end, once all before it is told.
async fn look(followed: &Followed<'_>, told: &mut Told) -> Result<Option<Status>, Fault> {
    let Followed { machine, execution, .. } = followed;
    // Before its states: those that it entered until its end are then among them.
    let Some(seen) = machine.see(execution).await? else {
        return Err(Fault::needs_human(format!("there is no execution {execution}")));
    };
    for entered in machine.entered_since(execution, told.id).await? {
        told.id = entered.id;
        tell(followed, told, &entered, seen.began);
    }
    Ok((seen.status != Status::Running).then_some(seen.status))
}

fn tell(followed: &Followed<'_>, told: &mut Told, entered: &Entered, began: Timestamp) {
    let Some(doing) = words::doing(&entered.state) else { return };
    if followed.as_json {
        let Entered { at, state, .. } = entered;
        say_json_line(&json!({ "event": "state", "at": at, "state": state, "doing": doing }));
    } else if doing != told.words {
        let since = entered.at.duration_since(began).as_secs();
        say(&format!("  {since:>5} s  {doing}"));
    }
    told.words = doing;
}

fn heard(told: &mut Told) {
    if told.quiet {
        complain("it answers again");
    }
    told.quiet = false;
    told.answered = clock::now();
}

fn silent(followed: &Followed<'_>, told: &mut Told, fault: Fault) -> Result<(), Failure> {
    let since = clock::now().duration_since(told.answered);
    if since > SILENCE {
        return Err(lost(followed, fault));
    }
    if since > QUIET && !told.quiet {
        told.quiet = true;
        complain(&format!("{}; the recovery goes on, and so does looking", fault.message));
    }
    Ok(())
}

/// It can be followed no longer.
fn lost(followed: &Followed<'_>, fault: Fault) -> Failure {
    Failure::failed(vec![
        fault.message,
        "the recovery goes on without this command".to_owned(),
        format!("follow it again: {}", followed.again),
    ])
}

/// How it ended.
fn end(followed: &Followed<'_>, status: Status) -> Result<(), Failure> {
    let answer = ending(status, followed);
    if followed.as_json {
        say_json_line(&answer.json);
    }
    match answer.failure {
        None => {
            if !followed.as_json {
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

fn ending(status: Status, followed: &Followed<'_>) -> Ending {
    let again = &followed.again;
    let failed = |outcome: &str, reason: &str, next: String| Ending {
        says: String::new(),
        json: json!({ "event": "ended", "outcome": outcome, "reason": reason }),
        failure: Some(Failure::failed(vec![format!("the recovery {outcome}: {reason}"), next])),
    };
    let output = match status {
        Status::Running => return failed("runs", "it has not ended", again.clone()),
        Status::Failed(cause) => {
            let next = format!("mend the cause, then go on where it ended: {}", followed.anew);
            return failed("failed", &cause, next);
        }
        Status::Cut(how) => {
            let next = format!("let it go on: {}", words::redrive(&followed.execution));
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
