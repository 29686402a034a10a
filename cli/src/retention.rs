//! `lifeboat retention`: what a sweep would keep and delete, and why. It deletes nothing.

use std::{
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use lifeboat_core::{
    AppName, IncidentId, Region,
    backup::{
        Catalogue, Kind, PointId,
        retention::{
            Circumstances, Decision, Retention, Seen, Summary, SweepPlan, Tally, Verdict, check,
            plan,
        },
    },
    plan_file,
};
use schemars::schema_for;
use serde::{Serialize, Serializer};

use crate::{
    input,
    output::{Failure, Lines, say_json, say_large_json},
};

/// What is planned from.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The catalogue: JSON in the format that `lifeboat retention schema` prints
    /// (docs/catalogue.schema.json). `-` is the standard input.
    #[arg(long)]
    catalog: PathBuf,
    /// The policy: a plan file, its section `[backup.retention]` alone, or what is in that section;
    /// JSON when the name ends with .json.
    #[arg(long)]
    policy: PathBuf,
    /// The moment to decide for, in UTC, such as 2026-11-24T12:00:00Z.
    #[arg(long)]
    now: Timestamp,
    /// Decide as if this recovery were open.
    #[arg(long, value_name = "INCIDENT")]
    recovery: Option<IncidentId>,
    /// Decide as if everything were on hold, for this reason.
    #[arg(long, value_name = "REASON")]
    hold: Option<String>,
}

/// Whose format is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// That of the policy instead of that of the catalogue.
    #[arg(long)]
    policy: bool,
}

/// `lifeboat retention schema`.
pub(crate) fn schema(of: &SchemaArgs) {
    say_json(&if of.policy { schema_for!(Retention) } else { schema_for!(Catalogue) });
}

/// `lifeboat retention plan`.
pub(crate) fn explain(args: PlanArgs, as_json: bool) -> Result<(), Failure> {
    if input::is_standard(&args.catalog) && input::is_standard(&args.policy) {
        return Err(Failure::input("the catalogue and the policy cannot both be standard input"));
    }
    let retention = read_policy(&args.policy)?;
    let catalogue = read_catalogue(&args.catalog)?;
    let circumstances = Circumstances {
        now: args.now,
        recovery: args.recovery.map_or(Seen::Absent, Seen::Present),
        hold: args.hold.map_or(Seen::Absent, Seen::Present),
    };
    let plan = plan(&catalogue, &retention, &circumstances);
    if as_json {
        say_large_json(&Answer {
            now: args.now,
            complete: catalogue.complete,
            summary: &plan.summary,
            deletions: plan.deletions.iter().map(|point| Named::of(point)).collect(),
            decisions: Decisions(&plan.decisions),
        });
    } else {
        show(&plan);
    }
    Ok(())
}

fn refused(name: &Path, mistakes: &[plan_file::Located]) -> Failure {
    let name = input::name(name);
    let mut lines: Vec<String> =
        mistakes.iter().map(|mistake| format!("{name}:{mistake}")).collect();
    lines.push(match mistakes.len() {
        1 => "1 mistake; nothing was planned".to_owned(),
        count => format!("{count} mistakes; nothing was planned"),
    });
    Failure { lines, code: 2 }
}

fn located(error: &serde_path_to_error::Error<serde_json::Error>) -> plan_file::Located {
    let path = error.path().to_string();
    let inner = error.inner();
    let text = inner.to_string();
    // The place is said in front of the message, as of every mistake.
    let message = text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    plan_file::Located {
        line: Some(inner.line()),
        column: Some(inner.column()),
        path: if path == "." { String::new() } else { path },
        message: message.to_owned(),
    }
}

fn read_policy(file: &Path) -> Result<Retention, Failure> {
    let text = input::text(file)?;
    if file.extension().is_none_or(|extension| extension != "json") {
        return read_toml(file, &text);
    }
    let mut json = serde_json::Deserializer::from_str(&text);
    let retention: Retention = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refused(file, &[located(&error)]))?;
    let mistakes: Vec<plan_file::Located> = check(&retention)
        .into_iter()
        .map(|problem| plan_file::Located {
            line: None,
            column: None,
            path: problem.path.join("."),
            message: problem.message,
        })
        .collect();
    if mistakes.is_empty() { Ok(retention) } else { Err(refused(file, &mistakes)) }
}

/// A policy by itself, the section of a plan file that it is, or a whole plan file.
fn read_toml(file: &Path, text: &str) -> Result<Retention, Failure> {
    let begins = |key: &str| text.lines().any(|line| line.trim_start().starts_with(key));
    if begins("app =") {
        return Ok(crate::plan::read_file(file)?.backup.unwrap_or_default().retention);
    }
    let read = if begins("[backup") {
        plan_file::read_with(text, |section: &Section| {
            let problems = check(&section.backup.retention).into_iter();
            let below = ["backup", "retention"].map(str::to_owned);
            let placed = problems.map(|problem| plan_file::Problem {
                path: below.iter().cloned().chain(problem.path).collect(),
                message: problem.message,
            });
            placed.collect()
        })
        .map(|section| section.backup.retention)
    } else {
        plan_file::read_with(text, check)
    };
    read.map_err(|mistakes| refused(file, &mistakes))
}

/// The part of a plan file that is a policy.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    backup: Policy,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    retention: Retention,
}

/// Reads as it goes: the text of a million points is a third of a gigabyte, and is not kept.
fn read_catalogue(file: &Path) -> Result<Catalogue, Failure> {
    // What comes by a pipe cannot be read once more.
    let piped = input::is_standard(file).then(|| input::text(file)).transpose()?;
    let open = || {
        let opened: io::Result<Box<dyn Read>> = match &piped {
            Some(text) => Ok(Box::new(text.as_bytes())),
            None => input::open(file),
        };
        opened
            .map(|file| BufReader::with_capacity(1 << 18, file))
            .map_err(|error| Failure::input(format!("{}: {error}", input::name(file))))
    };
    serde_json::from_reader(open()?).or_else(|_| {
        // Once more, to say where: keeping track of it costs time that a good file need not spend.
        let mut json = serde_json::Deserializer::from_reader(open()?);
        serde_path_to_error::deserialize(&mut json)
            .map_err(|error| located(&error))
            .and_then(|catalogue| {
                json.end().map(|()| catalogue).map_err(|error| plan_file::Located {
                    line: Some(error.line()),
                    column: Some(error.column()),
                    path: String::new(),
                    message: "something follows the catalogue".to_owned(),
                })
            })
            .map_err(|mistake| refused(file, &[mistake]))
    })
}

/// A recovery point by its name.
#[derive(Serialize)]
struct Named<'a> {
    app: &'a AppName,
    kind: Kind,
    region: &'a Region,
    id: &'a PointId,
    taken_at: Timestamp,
    size_bytes: u64,
}

impl<'a> Named<'a> {
    fn of(point: &'a lifeboat_core::backup::RecoveryPoint) -> Self {
        Self {
            app: &point.app,
            kind: point.kind,
            region: &point.region,
            id: &point.id,
            taken_at: point.taken_at,
            size_bytes: point.size_bytes,
        }
    }
}

/// The answer for machines.
#[derive(Serialize)]
struct Answer<'a> {
    now: Timestamp,
    /// Whether the catalogue says that it is complete.
    complete: bool,
    summary: &'a Summary<'a>,
    /// In the order in which they are deleted.
    deletions: Vec<Named<'a>>,
    /// For every point of the catalogue.
    decisions: Decisions<'a>,
}

struct Decisions<'a>(&'a [Decision<'a>]);

impl Serialize for Decisions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a> {
            #[serde(flatten)]
            point: Named<'a>,
            #[serde(flatten)]
            verdict: Verdict<'a>,
            /// The reason in words.
            why: String,
        }
        serializer.collect_seq(self.0.iter().map(|decision| One {
            point: Named::of(decision.point),
            verdict: decision.verdict,
            why: decision.verdict.to_string(),
        }))
    }
}

/// The table for people, and what it amounts to.
fn show(plan: &SweepPlan<'_>) {
    let widest = |of: fn(&Decision<'_>) -> usize| plan.decisions.iter().map(of).max().unwrap_or(0);
    let app = widest(|decision| decision.point.app.as_str().len());
    let region = widest(|decision| decision.point.region.as_str().len());
    let kind = widest(|decision| decision.point.kind.as_str().len());
    let id = widest(|decision| decision.point.id.as_str().len());
    let mut lines = Lines::new();
    for Decision { point, verdict } in &plan.decisions {
        let action = if verdict.is_delete() { "delete" } else { "keep" };
        lines.say(format_args!(
            "{action:<6}  {:<app$}  {:<region$}  {:<kind$}  {:<id$}  {verdict}",
            point.app, point.region, point.kind, point.id
        ));
    }
    if !plan.decisions.is_empty() {
        lines.say(format_args!(""));
    }
    let summary = &plan.summary;
    for (verb, tally, by) in
        [("keep", summary.kept, &summary.kept_by), ("delete", summary.deleted, &summary.deleted_by)]
    {
        let by: Vec<String> =
            by.iter().map(|(code, tally)| format!("{} {code}", tally.points)).collect();
        lines.say(format_args!("{verb:<7} {}  {}", in_words(tally), by.join(", ")));
    }
    if summary.postponed.points > 0 {
        lines.say(format_args!("later   {}", in_words(summary.postponed)));
    }
    for note in &summary.notes {
        lines.say(format_args!("note    {note}"));
    }
}

fn in_words(tally: Tally) -> String {
    let points = if tally.points == 1 { "point" } else { "points" };
    format!("{} {points}, {}", tally.points, size(tally.bytes))
}

/// A size with three digits that matter, in units of 1024.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths, rounded down: a number of bytes fits 64 bits, ten times as many need more.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    for unit in UNITS {
        if tenths < 10_240 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn the_schemas_in_the_documents_are_those_of_the_code() {
        for (name, code) in
            [("catalogue", schema_for!(Catalogue)), ("retention", schema_for!(Retention))]
        {
            let file = format!("{}/../docs/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
            let written: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            let code = serde_json::to_value(code).unwrap();
            assert_eq!(
                written, code,
                "write it anew: lifeboat retention schema [--policy] > docs/{name}.schema.json"
            );
        }
    }
}
