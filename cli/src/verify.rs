//! `lifeboat verify`: read an artifact to its last byte.

mod bucket;
mod record;

use std::{
    num::NonZero,
    path::{Path, PathBuf},
};

use lifeboat_archive::{FileSource, Finding, Format, Options, Report};
use serde_json::{Value, json};

use crate::{
    args::VerifyArgs,
    input,
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
    if let Some(url) = args.artifact.strip_prefix("s3://") {
        return bucket::run(url, args.region.as_ref(), (options, args.record), as_json).await;
    }
    if args.record {
        return Err(Failure::input(format!(
            "{} is no recovery point, so there is nothing to record about it; --record is for \
             s3://BUCKET/manifests/APP/KIND/POINT.json",
            args.artifact
        )));
    }
    let path = PathBuf::from(&args.artifact);
    let name = input::name(&path);
    let known = is_known(&options);
    // Reading and inflating block; the runtime's thread is for waiting.
    let report = tokio::task::spawn_blocking(move || on_disk(&path, &options))
        .await
        .map_err(|error| unknown(&name, &error))??;
    let told = tell(&name, &report, known);
    if as_json {
        say_json(&told.json(&report));
    } else {
        told.describe(&report);
    }
    told.end()
}

/// A file, or a folder that is one artifact: a plain base backup, or Redis's append-only files.
fn on_disk(path: &Path, options: &Options) -> Result<Report, Failure> {
    let name = input::name(path);
    if input::is_standard(path) {
        return piped(options).map_err(|error| unknown(&name, &*error));
    }
    if path.is_dir() {
        return lifeboat_archive::read_directory(path).map_err(|error| unknown(&name, &error));
    }
    let source = FileSource::new(path).map_err(|error| unknown(&name, &error))?;
    lifeboat_archive::read(&source, options).map_err(|error| unknown(&name, &error))
}

/// The standard input, by way of a file that goes with this process: an artifact's directory may be at
/// its end, and some formats are read in several places at once.
fn piped(options: &Options) -> Result<Report, Box<dyn std::error::Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::copy(&mut std::io::stdin().lock(), &mut file)?;
    Ok(lifeboat_archive::read(&FileSource::new(file.path())?, options)?)
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

/// What a report comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Sound,
    Damaged,
    CouldNotTell,
}

/// What is said of one artifact.
struct Told {
    name: String,
    verdict: Verdict,
    /// Why it is not sound.
    why: Option<String>,
}

/// Whether it is known what the artifact must be, by its format or by its checksum. Only then is it
/// sound without being of a format that can be read.
const fn is_known(options: &Options) -> bool {
    options.expected.is_some() || options.expected_sha256.is_some()
}

fn tell(name: &str, report: &Report, is_known: bool) -> Told {
    let (verdict, why) = if !report.is_sound() {
        let what = match report.findings_total {
            1 => "1 finding".to_owned(),
            count => format!("{count} findings"),
        };
        (Verdict::Damaged, Some(format!("{name} is damaged: {what}")))
    } else if report.format == Format::Unknown && !is_known {
        let line = format!(
            "{name}: could not tell: it is none of the formats that can be read; if it should be \
             one, name it with --format, or give its --sha256"
        );
        (Verdict::CouldNotTell, Some(line))
    } else {
        (Verdict::Sound, None)
    };
    Told { name: name.to_owned(), verdict, why }
}

impl Told {
    fn json(&self, report: &Report) -> Value {
        let verdict = match self.verdict {
            Verdict::Damaged => "damaged",
            Verdict::Sound => "sound",
            Verdict::CouldNotTell => "could-not-tell",
        };
        json!({ "artifact": self.name, "verdict": verdict, "report": report })
    }

    fn describe(&self, report: &Report) {
        describe(&self.name, report);
        if self.verdict == Verdict::Sound {
            say("  sound: every byte was read, and nothing is wrong");
        }
    }

    /// The exit code, and what is said with it.
    fn end(self) -> Result<(), Failure> {
        let code = match self.verdict {
            Verdict::Sound => return Ok(()),
            Verdict::Damaged => DAMAGED,
            Verdict::CouldNotTell => COULD_NOT_TELL,
        };
        Err(Failure { lines: self.why.into_iter().collect(), code })
    }
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
