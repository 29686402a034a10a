//! `lifeboat verify`: read an artifact to its last byte.

use std::{num::NonZero, path::Path};

use lifeboat_archive::{FileSource, Finding, Format, Options, Report};
use serde_json::json;

use crate::{
    args::VerifyArgs,
    output::{Failure, say, say_json},
};

/// What the exit codes say.
const DAMAGED: u8 = 1;
const COULD_NOT_TELL: u8 = 2;

/// Reads the artifact and prints what was found.
///
/// # Errors
/// It is damaged, or it could not be told.
pub(crate) async fn run(args: VerifyArgs, as_json: bool) -> Result<(), Failure> {
    let options = Options {
        expected: args.format,
        expected_size: None,
        expected_sha256: args.sha256.clone(),
        threads: args.threads.unwrap_or_else(cores),
    };
    let name = args.artifact.clone();
    let path = name.clone();
    // Reading and inflating block; the runtime's thread is for waiting.
    let report = tokio::task::spawn_blocking(move || on_disk(Path::new(&path), &options))
        .await
        .map_err(|error| unknown(&name, &error))??;
    show(&name, &report, args.format, as_json)
}

/// A file, or a folder that is one artifact: a plain base backup, or Redis's append-only files.
fn on_disk(path: &Path, options: &Options) -> Result<Report, Failure> {
    let name = path.display().to_string();
    if path.is_dir() {
        return lifeboat_archive::read_directory(path).map_err(|error| unknown(&name, &error));
    }
    let source = FileSource::new(path).map_err(|error| unknown(&name, &error))?;
    lifeboat_archive::read(&source, options).map_err(|error| unknown(&name, &error))
}

/// Nothing is known about the artifact, and why.
pub(crate) fn unknown(name: &str, error: &dyn std::error::Error) -> Failure {
    let mut line = format!("{name}: could not tell: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Failure { lines: vec![line], code: COULD_NOT_TELL }
}

fn show(
    name: &str,
    report: &Report,
    expected: Option<Format>,
    as_json: bool,
) -> Result<(), Failure> {
    let told = report.format != Format::Unknown || expected.is_some();
    let sound = report.is_sound();
    if as_json {
        let verdict = match (sound, told) {
            (false, _) => "damaged",
            (true, true) => "sound",
            (true, false) => "could-not-tell",
        };
        say_json(&json!({ "artifact": name, "verdict": verdict, "report": report }));
    } else {
        describe(name, report);
    }
    if !sound {
        let what = match report.findings_total {
            1 => "1 finding".to_owned(),
            count => format!("{count} findings"),
        };
        return Err(Failure { lines: vec![format!("{name} is damaged: {what}")], code: DAMAGED });
    }
    if !told {
        let line = format!(
            "{name}: could not tell: it is none of the formats that can be read; if it should be \
             one, name it with --format"
        );
        return Err(Failure { lines: vec![line], code: COULD_NOT_TELL });
    }
    if !as_json {
        say("sound: every byte was read, and nothing is wrong");
    }
    Ok(())
}

fn describe(name: &str, report: &Report) {
    let layers: String = report.compression.iter().map(|layer| format!(" in {layer}")).collect();
    say(&format!("{name}: {}{layers}, {} bytes", report.format, report.size_bytes));
    say(&format!("  sha256      {}", report.sha256));
    let details = &report.details;
    if let Some(writer) = &details.written_by {
        say(&format!("  written by  {writer}"));
    }
    if let Some(entries) = details.entries {
        say(&format!("  entries     {entries}"));
    }
    if let Some(keys) = details.keys {
        say(&format!("  keys        {keys}"));
    }
    if !details.tables.is_empty() {
        let rows: u64 = details.tables.iter().filter_map(|table| table.rows).sum();
        say(&format!("  tables      {} with {rows} rows", details.tables.len()));
    }
    for finding in &report.findings {
        say(&format!("  ✗ {}", sentence(finding)));
    }
    let more = report.findings_total - u64::try_from(report.findings.len()).unwrap_or(0);
    if more > 0 {
        say(&format!("  and {more} more"));
    }
}

/// Where, and what.
fn sentence(finding: &Finding) -> String {
    let place = finding.place.to_string();
    if place.is_empty() { finding.message.clone() } else { format!("{place}: {}", finding.message) }
}

fn cores() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}
