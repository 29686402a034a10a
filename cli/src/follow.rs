//! Following an execution to its end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{ErrorName, Fault};
use lifeboat_runtime::clock;

use crate::{
    cloud::{Entered, Machine, Status},
    exit,
    output::{Failure, complain, say},
};

/// Between two looks: Step Functions has nothing that could be awaited.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long nobody may answer before that is said.
const QUIET: SignedDuration = SignedDuration::from_secs(10);
/// How long nobody may answer before following ends. A recovery goes on for an hour at most.
const SILENCE: SignedDuration = SignedDuration::from_mins(10);

/// What is followed.
pub(crate) struct Followed<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) execution: String,
    /// What it is, such as `the recovery`.
    pub(crate) what: &'static str,
    /// The command that follows it again.
    pub(crate) again: String,
}

impl<'a> Followed<'a> {
    /// An execution that no command of ours follows a second time.
    pub(crate) fn once(machine: &'a Machine, execution: &str, what: &'static str) -> Self {
        let again = format!(
            "aws stepfunctions describe-execution --region {} --execution-arn {execution}",
            machine.region()
        );
        Self { machine, execution: execution.to_owned(), what, again }
    }
}

/// Says what the states do, in these words; nothing of one that has none.
pub(crate) fn in_words(doing: fn(&str) -> Option<&'static str>) -> impl FnMut(&Entered, Timestamp) {
    let mut last = "";
    move |entered, began| {
        let Some(words) = doing(&entered.state) else { return };
        if words != last {
            let since = entered.at.duration_since(began).as_secs();
            say(&format!("  {since:>5} s  {words}"));
        }
        last = words;
    }
}

/// Looks until the execution has ended, or Ctrl-C: how it ended. Each state that it enters is told once,
/// with when the execution began.
///
/// # Errors
/// It can be followed no longer, which does not end it.
pub(crate) async fn until_ended(
    followed: &Followed<'_>,
    tell: impl FnMut(&Entered, Timestamp),
) -> Result<Status, Failure> {
    tokio::select! {
        ended = look_until_ended(followed, tell) => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure {
            lines: vec![
                format!("stopped following; {} goes on without this command", followed.what),
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
    /// When somebody answered last.
    answered: Timestamp,
    /// Whether it was said that nobody answers.
    quiet: bool,
}

async fn look_until_ended(
    followed: &Followed<'_>,
    mut tell: impl FnMut(&Entered, Timestamp),
) -> Result<Status, Failure> {
    let mut told = Told { id: 0, answered: clock::now(), quiet: false };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        match look(followed, &mut told, &mut tell).await {
            Ok(Status::Running) => heard(&mut told),
            Ok(ended) => return Ok(ended),
            // The execution does not mind that an answer was lost.
            Err(fault) if fault.name == ErrorName::Transient => silent(followed, &mut told, fault)?,
            Err(fault) => return Err(lost(followed, fault)),
        }
    }
}

/// One look: what is new is told. The end, once all before it is told.
async fn look(
    followed: &Followed<'_>,
    told: &mut Told,
    tell: &mut impl FnMut(&Entered, Timestamp),
) -> Result<Status, Fault> {
    let Followed { machine, execution, .. } = followed;
    // Before its states: those that it entered until its end are then among them.
    let Some(seen) = machine.see(execution).await? else {
        return Err(Fault::needs_human(format!("there is no execution {execution}")));
    };
    for entered in machine.entered_since(execution, told.id).await? {
        told.id = entered.id;
        tell(&entered, seen.began);
    }
    Ok(seen.status)
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
        complain(&format!("{}; {} goes on, and so does looking", fault.message, followed.what));
    }
    Ok(())
}

/// It can be followed no longer.
fn lost(followed: &Followed<'_>, fault: Fault) -> Failure {
    Failure::failed(vec![
        fault.message,
        format!("{} goes on without this command", followed.what),
        format!("follow it again: {}", followed.again),
    ])
}
