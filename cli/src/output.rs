//! The one place that prints.

use std::{
    fmt,
    io::{BufWriter, StdoutLock, Write, stdout},
};

use lifeboat_core::{ErrorName, Fault};
use serde::Serialize;

use crate::exit;

/// Why the command ends with a non-zero exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For people, one line each.
    pub(crate) lines: Vec<String>,
    /// One of [`exit`].
    pub(crate) code: u8,
}

impl Failure {
    /// What was given is wrong.
    pub(crate) fn input(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: exit::INPUT }
    }

    /// What was asked for failed.
    pub(crate) fn work(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: exit::FAILED }
    }

    /// The same with a line for each cause.
    pub(crate) fn failed(lines: Vec<String>) -> Self {
        Self { lines, code: exit::FAILED }
    }

    /// A guard refused, or nobody confirmed.
    pub(crate) fn refused(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: exit::REFUSED }
    }

    /// Done in part; a line for everything that is owed.
    pub(crate) fn partly(lines: Vec<String>) -> Self {
        Self { lines, code: exit::PARTLY }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.name {
            ErrorName::InvalidInput => exit::INPUT,
            ErrorName::Refused | ErrorName::StaleEpoch => exit::REFUSED,
            ErrorName::Transient | ErrorName::NotReady | ErrorName::NeedsHuman => exit::FAILED,
        };
        Self { lines: vec![fault.message], code }
    }
}

/// Asks for a `yes` on the terminal; `nobody` is there to ask when a machine calls.
pub(crate) fn confirm(question: &str, nobody: bool) -> Result<(), Failure> {
    if nobody {
        return Err(Failure::input(
            "nobody is here to confirm: look at it with --dry-run, then give --yes; nothing was \
             written",
        ));
    }
    say(question);
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::input(format!("the answer cannot be read: {error}")))?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::refused("not confirmed; nothing was written")),
    }
}

/// A line for people. A reader that has gone away (`| head`) is no failure of ours.
pub(crate) fn say(line: &str) {
    let _gone = writeln!(stdout().lock(), "{line}");
}

/// A line of what went wrong.
#[expect(clippy::print_stderr, reason = "the errors of a command")]
pub(crate) fn complain(line: &str) {
    eprintln!("lifeboat: {line}");
}

/// A value for machines.
pub(crate) fn say_json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(&text),
        Err(error) => complain(&format!("the answer cannot be written as JSON: {error}")),
    }
}

/// A value for machines that is too large to be put together in memory first.
pub(crate) fn say_large_json(value: &impl Serialize) {
    let mut out = BufWriter::new(stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(|error| error.to_string());
    let written = written
        .and_then(|()| writeln!(out).and_then(|()| out.flush()).map_err(|error| error.to_string()));
    if let Err(error) = written {
        complain(&format!("the answer cannot be written: {error}"));
    }
}

/// Many lines for people, written together.
pub(crate) struct Lines(BufWriter<StdoutLock<'static>>);

impl Lines {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(stdout().lock()))
    }

    /// One more line. A reader that has gone away (`| head`) is no failure of ours.
    pub(crate) fn say(&mut self, line: fmt::Arguments<'_>) {
        let _gone = writeln!(self.0, "{line}");
    }
}
