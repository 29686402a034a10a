//! Depth `read`: every byte of every object of a point, against its checksum, its format and its
//! manifest. Whoever reads a point writes the same evidence: the function each hour, an operator by
//! hand.

use std::{collections::BTreeMap, num::NonZero};

use jiff::{SignedDuration, Timestamp};
use lifeboat_archive::{Finding, Format, Options, Report};
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Artifact, Depth, Evidence, EvidenceFinding, Kind, Manifest, Outcome, PointId, keys},
};

use crate::{
    Backups, Content,
    source::{self, ObjectSource},
};

/// Findings that evidence keeps; a file whose every block is damaged has no end of them.
const FINDINGS_KEPT: usize = 50;

/// How long after a backup its objects may be under way into another region, its manifest before
/// them. S3 copies most objects within minutes and promises no time for the rest (user guide,
/// "Replicating objects within and across Regions"); the alarm on the age of the newest verified
/// backup does not wait for this.
const COPIED_WITHIN: SignedDuration = SignedDuration::from_hours(6);

/// Evidence of a check that begins now, in which nothing is wrong so far, unless the manifest in the
/// point's name is another one's.
#[must_use]
pub fn begin(
    (app, kind, id): (&AppName, Kind, &PointId),
    region: &Region,
    depth: Depth,
    manifest: &Manifest,
    now: Timestamp,
) -> Evidence {
    let mut findings = Vec::new();
    if (&manifest.app, manifest.kind, &manifest.id) != (app, kind, id) {
        findings.push(whole(format!(
            "its manifest is that of {} {} of {}",
            manifest.kind, manifest.id, manifest.app
        )));
    }
    Evidence {
        app: app.clone(),
        kind,
        id: id.clone(),
        // One in whose name another one's manifest stands is damaged already.
        outcome: if findings.is_empty() { Outcome::Sound } else { Outcome::Damaged },
        region: region.clone(),
        depth,
        started_at: now,
        ended_at: now,
        facts: Vec::new(),
        findings,
    }
}

/// The evidence of a check that ends now.
#[must_use]
pub fn end(mut evidence: Evidence, now: Timestamp) -> Evidence {
    evidence.ended_at = now;
    if !evidence.findings.is_empty() {
        evidence.outcome = Outcome::Damaged;
    }
    evidence
}

/// A finding about the point as a whole.
#[must_use]
pub const fn whole(message: String) -> EvidenceFinding {
    EvidenceFinding { file: String::new(), place: String::new(), message }
}

/// A finding about one of its files.
#[must_use]
pub fn in_file(file: &str, message: String) -> EvidenceFinding {
    EvidenceFinding { file: file.to_owned(), place: String::new(), message }
}

/// What it means that an object of a manifest is not in `region`: damage, or that it is waited for.
///
/// # Errors
/// `NotReady` while its copy may be under way.
pub fn absent(
    manifest: &Manifest,
    name: &str,
    region: &Region,
    now: Timestamp,
) -> Result<EvidenceFinding, Fault> {
    if manifest.region != *region && now.duration_since(manifest.ended_at) < COPIED_WITHIN {
        return Err(Fault::not_ready(format!(
            "{name} of {} {} of {} is not in {region} yet; copies from {} may be under way",
            manifest.kind, manifest.id, manifest.app, manifest.region
        )));
    }
    Ok(in_file(name, "the object is not there".into()))
}

/// Reads every object of the evidence's point, and adds to it what was read and what is wrong.
///
/// # Errors
/// What kept an object from being read, which says nothing of the object; `NotReady` while a part of
/// it may be on its way.
pub async fn read<B: Content>(
    backups: &Backups<B>,
    manifest: &Manifest,
    threads: NonZero<usize>,
    now: Timestamp,
    evidence: &mut Evidence,
) -> Result<(), Fault> {
    let mut reports = Vec::new();
    for artifact in &manifest.artifacts {
        let key = keys::artifact(&evidence.app, evidence.kind, &evidence.id, &artifact.name);
        let Some(head) = backups.bucket().head(&key).await? else {
            let finding = absent(manifest, &artifact.name, backups.region(), now)?;
            evidence.findings.push(finding);
            continue;
        };
        let source = ObjectSource::new(backups.bucket().clone(), key.clone(), head);
        let report = source::read(key, source, options(evidence.kind, artifact, threads)).await?;
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

fn options(kind: Kind, artifact: &Artifact, threads: NonZero<usize>) -> Options {
    let is_dump = kind == Kind::DatabaseDump && artifact.name.contains(".dump");
    Options {
        expected: is_dump.then_some(Format::PgDump),
        expected_size: Some(artifact.size_bytes),
        expected_sha256: Some(artifact.sha256.clone()),
        threads,
    }
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
#[must_use]
pub fn place(finding: &Finding) -> String {
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
