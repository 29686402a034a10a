//! Append-only files (AOF) of Redis and Valkey: one file, and the set of files that a manifest names.
//!
//! A file is commands in the servers' wire form, perhaps behind a snapshot. It has no checksum:
//! what the structure cannot show (a changed letter within a value) only the backup's own SHA-256
//! finds.

mod commands;
mod manifest;
mod set;

pub use set::{AofSet, read_aof_directory};

use crate::{
    input::{Input, Stop},
    rdb,
    report::{Details, Findings, Format},
    text::shown,
};
use commands::{Commands, Ending};

/// Whether these first bytes are those of commands: a count of arguments, or an annotation.
pub(crate) fn is_it(bytes: &[u8]) -> bool {
    bytes.starts_with(b"#TS:")
        || bytes.strip_prefix(b"*").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}

/// Reads one file to the end of the input.
pub(crate) fn read(
    input: &mut Input<'_>,
    findings: &mut Findings,
    details: &mut Details,
) -> Result<Format, Stop> {
    let outcome = read_file(input, findings, details)?;
    if let Some(tail) = outcome.tail {
        let message = tail.message_in_last_file();
        findings.add(input.place_at(tail.at, None), message);
    }
    Ok(Format::Aof)
}

/// What one file turned out to be, beside its findings.
#[derive(Debug, Default)]
struct Outcome {
    /// Whether it begins with a snapshot.
    snapshot: bool,
    /// What is incomplete at its end.
    tail: Option<Tail>,
}

/// A file's incomplete end, which a server removes when it may, and refuses when it may not.
#[derive(Debug, Clone)]
struct Tail {
    /// Where the bytes end.
    at: u64,
    /// Where the last complete command or transaction ends.
    sound_to: u64,
    /// What is incomplete.
    what: String,
}

impl Tail {
    /// The message where the server may cut: in a single file, and in the last one of a set
    /// (`aof-load-truncated`, on by default, `redis.conf`).
    fn message_in_last_file(&self) -> String {
        format!(
            "{}: a server with `aof-load-truncated yes`, the default, cuts the file to {} bytes and \
             loses what follows; with `no` it does not start",
            self.what, self.sound_to
        )
    }

    /// The message where it may not.
    fn message_before_last_file(&self) -> String {
        format!(
            "{}: a server does not start, because this file is not the last of its set (sound to \
             offset {})",
            self.what, self.sound_to
        )
    }
}

fn read_file(
    input: &mut Input<'_>,
    findings: &mut Findings,
    details: &mut Details,
) -> Result<Outcome, Stop> {
    let mut outcome = Outcome::default();
    if matches!(input.peek(1)?, b"R" | b"V") {
        outcome.snapshot = true;
        if rdb::read_preamble(input, findings, details)? == rdb::Ending::BrokeOff {
            return Ok(outcome);
        }
    }
    let mut commands = Commands::new(input);
    let ending = commands.run(findings)?;
    details.commands = Some(commands.count());
    if let Some(stamp) = commands.last_stamp() {
        details.notes.push(format!("the last timestamp is {stamp} s since 1970"));
    }
    match ending {
        Ending::Whole => {}
        Ending::Incomplete(tail) => outcome.tail = Some(tail),
        Ending::Broken { at, message, item } => {
            findings.add(input.place_at(at, item.as_deref()), message);
            // The commands behind it cannot be found again; an outer layer's checksum covers them.
            input.skip_all()?;
        }
    }
    Ok(outcome)
}

/// A command as messages name it.
fn named(name: &[u8], key: &[u8], limit: usize) -> String {
    let name = shown(name, limit);
    if key.is_empty() { name } else { format!("{name} {}", shown(key, limit)) }
}

#[cfg(test)]
mod tests;
