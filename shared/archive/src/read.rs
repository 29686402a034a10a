//! The way into the readers: what it is, by its own bytes.

use std::num::NonZero;

use crate::{
    aof,
    input::{Input, Stop},
    layers::{self, HEAD, Peeled},
    pg_dump, rdb,
    report::{Details, Findings, Format, Place, Report},
    source::{Source, SourceError},
    stored::{self, Failure, Guarded, Stored},
    tar, wal,
};

/// What the caller knows of the artifact, and what it may spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The format that it must have; anything else is a finding.
    pub expected: Option<Format>,
    /// The size in bytes that it must have.
    pub expected_size: Option<u64>,
    /// The SHA-256 of the stored bytes that it must have, in hexadecimal.
    pub expected_sha256: Option<String>,
    /// Threads that may run at once; each adds under 1 MiB of buffers, and the window of one
    /// decoder (at most 16 MiB, for zstd).
    pub threads: NonZero<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            expected: None,
            expected_size: None,
            expected_sha256: None,
            threads: NonZero::<usize>::MIN,
        }
    }
}

/// A format: how its first bytes look, and who reads it.
struct Reader {
    /// The format, as far as the first bytes tell.
    format: Format,
    is_it: fn(&[u8]) -> bool,
    read: fn(&mut Input<'_>, &mut Findings, &mut Details) -> Result<Format, Stop>,
}

/// The formats that are known, in the order in which they are tried.
const READERS: &[Reader] = &[
    Reader { format: Format::PgDump, is_it: pg_dump::is_it, read: pg_dump::read },
    Reader { format: Format::Rdb, is_it: rdb::is_it, read: rdb::read },
    Reader { format: Format::Wal, is_it: wal::is_segment, read: wal::read },
    Reader { format: Format::Tar, is_it: tar::is_header, read: tar::read },
    Reader { format: Format::Aof, is_it: aof::is_it, read: aof::read },
];

/// Reads the artifact to its last byte and reports what it is, what it holds and what is wrong.
///
/// The stored bytes are read to their end whatever is found, so size and SHA-256 are those of the
/// whole artifact. A format that is not known is no finding unless another one was expected.
///
/// # Errors
/// The source failed: nothing is known about the artifact. Ask again.
pub fn read(source: &dyn Source, options: &Options) -> Result<Report, SourceError> {
    let failure = Failure::default();
    let (mut report, sum) = stored::reading(source, options.threads, &failure, |stored| {
        artifact(source, options, &failure, stored)
    })?;
    if let Some(expected) = options.expected.filter(|expected| *expected != report.format) {
        let message = format!("it is {}, and {expected} was expected", report.format);
        report.findings.add(Place::default(), message);
    }
    if let Some(expected) = options.expected_size.filter(|expected| *expected != sum.size_bytes) {
        let message = format!("it has {} bytes, and {expected} were expected", sum.size_bytes);
        report.findings.add(Place::default(), message);
    }
    if let Some(expected) = &options.expected_sha256
        && !expected.eq_ignore_ascii_case(&sum.sha256)
    {
        let message = format!("its SHA-256 is {}, and {expected} was expected", sum.sha256);
        report.findings.add(Place::default(), message);
    }
    Ok(Report {
        format: report.format,
        compression: report.compression,
        size_bytes: sum.size_bytes,
        sha256: sum.sha256,
        details: report.details,
        findings: report.findings.kept,
        findings_total: report.findings.total,
    })
}

struct Artifact {
    format: Format,
    compression: Vec<String>,
    details: Details,
    findings: Findings,
}

fn artifact(source: &dyn Source, options: &Options, failure: &Failure, stored: Stored) -> Artifact {
    let Peeled { mut input, compression, notes } = layers::peel(stored.clone(), failure);
    let mut findings = Findings::default();
    let mut details = Details::default();
    // What stopped the look at the first bytes stops the reader as well.
    let head = input.peek(HEAD).map(<[u8]>::to_vec).unwrap_or_default();
    let reader = READERS.iter().find(|reader| (reader.is_it)(&head));

    let format = match reader {
        Some(reader) => {
            let alone = compression.is_empty() && source.is_cheap_to_reopen();
            let plan = (reader.format == Format::PgDump && alone && options.threads.get() > 1)
                .then(|| pg_dump::Plan::of(source, failure))
                .flatten();
            let read = match plan {
                Some(plan) => {
                    // The hash goes on beside the blocks.
                    stored.detach();
                    match plan.run(source, options.threads, failure) {
                        Some(sound) => {
                            details = sound;
                            Ok(Format::PgDump)
                        }
                        // Something is wrong: the reader in order says what and where.
                        None => Guarded::open(source, 0, failure).map_err(Stop::from).and_then(
                            |again| {
                                input = Input::new(again, 0, false);
                                (reader.read)(&mut input, &mut findings, &mut details)
                            },
                        ),
                    }
                }
                None => (reader.read)(&mut input, &mut findings, &mut details),
            };
            read.unwrap_or_else(|stop| {
                stopped(&stop, &input, &notes, &mut findings);
                reader.format
            })
        }
        None => Format::Unknown,
    };
    // The layers' checksums are at their end.
    drain(&mut input, &notes, &mut findings);
    drop(input);
    findings.append(notes.take());
    Artifact { format, compression, details, findings }
}

/// Reads what the format's reader has left.
fn drain(input: &mut Input<'_>, notes: &layers::Notes, findings: &mut Findings) {
    if let Err(stop) = input.skip_all() {
        stopped(&stop, input, notes, findings);
    }
}

/// Adds the finding of a reader that could not go on, unless a layer has already said why.
fn stopped(stop: &Stop, input: &Input<'_>, notes: &layers::Notes, findings: &mut Findings) {
    if !notes.is_empty() {
        return;
    }
    match stop {
        Stop::Cut => findings.add(input.place(None), "the bytes end too early"),
        Stop::Damaged(message) => findings.add(input.place(None), message.as_str()),
        Stop::Source => {}
    }
}
