//! Depth `read`: every byte of every object, against its checksum, its format and the manifest.

use std::{collections::BTreeMap, num::NonZero};

use jiff::Timestamp;
use lifeboat_archive::{Finding, Format, Options, Report};
use lifeboat_catalogue::{
    Backups, Content,
    source::{ObjectSource, read},
};
use lifeboat_core::{
    Fault,
    backup::{Artifact, Evidence, EvidenceFinding, Kind, Manifest, keys},
};

use crate::{Point, absent, in_file, whole};

/// Findings that evidence keeps; a file whose every block is damaged has no end of them.
const FINDINGS_KEPT: usize = 50;

/// When a check has to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) at: Timestamp,
    pub(crate) clock: fn() -> Timestamp,
}

pub(crate) async fn artifacts<B: Content>(
    point: &Point,
    manifest: &Manifest,
    backups: &Backups<B>,
    until: Until,
    evidence: &mut Evidence,
) -> Result<(), Fault> {
    let mut reports = Vec::new();
    for artifact in &manifest.artifacts {
        let key = keys::artifact(&point.app, point.kind, &point.id, &artifact.name);
        let Some(head) = backups.bucket().head(&key).await? else {
            let at = (artifact.name.as_str(), backups.region());
            evidence.findings.push(absent(point, manifest, at, (until.clock)())?);
            continue;
        };
        let source = ObjectSource::new(backups.bucket().clone(), key.clone(), head);
        let report =
            in_time(until, point, manifest, read(key, source, options(point, artifact))).await??;
        evidence.facts.push(fact(&artifact.name, &report));
        found(&artifact.name, &report, &mut evidence.findings);
        reports.push(report);
    }
    if manifest.artifacts.is_empty() {
        evidence.findings.push(whole("its manifest names no objects".into()));
    }
    // What cannot be read to its end has no counts to be held against anything.
    if evidence.findings.is_empty() {
        counts(manifest, &reports, &mut evidence.findings);
    }
    evidence.findings.truncate(FINDINGS_KEPT);
    Ok(())
}

fn options(point: &Point, artifact: &Artifact) -> Options {
    let is_dump = point.kind == Kind::DatabaseDump && artifact.name.contains(".dump");
    Options {
        expected: is_dump.then_some(Format::PgDump),
        expected_size: Some(artifact.size_bytes),
        expected_sha256: Some(artifact.sha256.clone()),
        // The smallest functions have a part of one core.
        threads: NonZero::<usize>::MIN,
    }
}

/// The outcome of `work`, or a refusal when the time of the invocation runs out: the same call would
/// end the same way.
pub(crate) async fn in_time<T>(
    until: Until,
    point: &Point,
    manifest: &Manifest,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    let left = until.at.duration_since((until.clock)());
    let left = std::time::Duration::try_from(left).unwrap_or_default();
    tokio::time::timeout(left, work).await.map_err(|_| {
        Fault::refused(format!(
            "{} {} of {} has {} bytes, more than can be read in the time of this function; depth \
             restored, on a host, reads them all (lifeboat verify does, too), or raise the \
             function's memory, which gives it more of a processor",
            point.kind,
            point.id,
            point.app,
            manifest.size_bytes()
        ))
    })
}

/// A report's findings, as evidence shows them.
fn found(file: &str, report: &Report, findings: &mut Vec<EvidenceFinding>) {
    findings.extend(report.findings.iter().map(|finding| EvidenceFinding {
        file: file.to_owned(),
        place: place(finding),
        message: finding.message.clone(),
    }));
    let kept = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    if report.findings_total > kept {
        let message = format!("{} findings more", report.findings_total - kept);
        findings.push(in_file(file, message));
    }
}

/// `byte 4096, table public.tickets`, as far as it is known.
pub(crate) fn place(finding: &Finding) -> String {
    let place = &finding.place;
    let offset = place.offset.map(|offset| {
        if place.decompressed {
            format!("byte {offset} of the decompressed bytes")
        } else {
            format!("byte {offset}")
        }
    });
    [offset, place.item.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What one object turned out to be, for people.
fn fact(file: &str, report: &Report) -> String {
    let mut text = format!("{file}: {}, {} bytes read", report.format, report.size_bytes);
    let details = &report.details;
    if !details.tables.is_empty() {
        let rows: u64 = details.tables.iter().filter_map(|table| table.rows).sum();
        text.push_str(&format!(", {} tables, {rows} rows", details.tables.len()));
    }
    if let Some(entries) = details.entries {
        text.push_str(&format!(", {entries} entries"));
    }
    if let Some(keys) = details.keys {
        text.push_str(&format!(", {keys} keys"));
    }
    text
}

/// Holds what the objects hold against what the manifest says that they do.
fn counts(manifest: &Manifest, reports: &[Report], findings: &mut Vec<EvidenceFinding>) {
    let mut rows: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for table in reports.iter().flat_map(|report| &report.details.tables) {
        let sum = rows.entry(&table.table).or_insert(Some(0));
        *sum = sum.zip(table.rows).map(|(sum, rows)| sum.saturating_add(rows));
    }
    let has_dump = reports.iter().any(|report| report.format == Format::PgDump);
    for expected in manifest.tables.iter().filter(|_| has_dump) {
        let Some(counted) = expected.rows else { continue };
        let message = match rows.get(expected.table.as_str()) {
            Some(Some(found)) if *found != counted => {
                format!("the dump holds {found} rows, {counted} in the manifest")
            }
            // Rows of INSERT statements cannot be counted; that they are there is all that is known.
            Some(_) => continue,
            // A table without rows has no data block in some dumps.
            None if counted == 0 => continue,
            None => format!("the dump does not hold it, {counted} rows in the manifest"),
        };
        let place = format!("table {}", expected.table);
        findings.push(EvidenceFinding { file: String::new(), place, message });
    }
    let sum = |what: fn(&Report) -> Option<u64>| {
        let all: Vec<u64> = reports.iter().filter_map(what).collect();
        (!all.is_empty()).then(|| all.iter().sum::<u64>())
    };
    let differ = |what: &str, found: Option<u64>, expected: Option<u64>| {
        let (found, expected) =
            found.zip(expected).filter(|(found, expected)| found != expected)?;
        Some(whole(format!("it holds {found} {what}, {expected} in the manifest")))
    };
    let keys = (!manifest.keys.is_empty()).then(|| manifest.keys.values().sum::<u64>());
    let snapshot = |report: &Report| report.details.keys.filter(|_| report.format == Format::Rdb);
    findings.extend(differ("keys", sum(snapshot), keys));
    findings.extend(differ("entries", sum(|report| report.details.entries), manifest.entries));
}
