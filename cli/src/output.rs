//! The one place that prints.

use std::{
    fmt,
    io::{self, BufWriter, StdoutLock, Write, stderr, stdout},
    sync::OnceLock,
};

use lifeboat_core::{ErrorName, Fault};
use serde::Serialize;
use serde_json::json;

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

/// A line for people. A reader that has gone away (`| head`) is no failure of ours; everything else
/// that keeps it from being written is, and [`all_written`] tells it.
pub(crate) fn say(line: &str) {
    note(writeln!(stdout().lock(), "{line}"));
}

/// A line of what went wrong.
pub(crate) fn complain(line: &str) {
    complain_plainly(&format!("lifeboat: {line}"));
}

/// A line of the errors as it stands. The exit code tells the rest when it cannot be written.
fn complain_plainly(line: &str) {
    let _unsaid = writeln!(stderr().lock(), "{line}");
}

/// Why the command ends, on the standard error: for people a line each, for machines one line of JSON,
/// `{"error":{"exit_code":2,"messages":["..."]}}`.
pub(crate) fn tell_failure(failure: &Failure, as_json: bool) {
    if as_json {
        let Failure { lines, code } = failure;
        complain_plainly(&json!({ "error": { "exit_code": code, "messages": lines } }).to_string());
    } else {
        failure.lines.iter().for_each(|line| complain(line));
    }
}

/// Why the first of what was not written was not; it stays for the end of the command, when what it did
/// is done all the same.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Remembers that something could not be written.
pub(crate) fn note(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        // The first one is the cause of those that follow.
        Err(error) => drop(UNWRITTEN.set(error.to_string())),
    }
}

/// That everything was written.
///
/// # Errors
/// The answer is not whole.
pub(crate) fn all_written() -> Result<(), Failure> {
    note(stdout().flush());
    match UNWRITTEN.get() {
        None => Ok(()),
        Some(why) => Err(Failure::work(format!("the answer cannot be written: {why}"))),
    }
}

/// Bytes as they are.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = stdout().lock();
    note(out.write_all(bytes).and_then(|()| out.flush()));
}

/// A value for machines.
pub(crate) fn say_json(value: &impl Serialize) {
    say_large_json(value);
}

/// A value for machines, on one line: one of many.
pub(crate) fn say_json_line(value: &impl Serialize) {
    let mut out = stdout().lock();
    let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from);
    note(written.and_then(|()| writeln!(out)).and_then(|()| out.flush()));
}

/// A value for machines that is too large to be put together in memory first.
pub(crate) fn say_large_json(value: &impl Serialize) {
    let mut out = BufWriter::new(stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    note(written.and_then(|()| writeln!(out)).and_then(|()| out.flush()));
}

/// Many lines for people, written together.
pub(crate) struct Lines(BufWriter<StdoutLock<'static>>);

impl Lines {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(stdout().lock()))
    }

    /// One more line, as [`say`] writes it.
    pub(crate) fn say(&mut self, line: fmt::Arguments<'_>) {
        note(writeln!(self.0, "{line}"));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        note(self.0.flush());
    }
}
