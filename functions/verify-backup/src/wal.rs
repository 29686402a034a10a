//! WAL: every new segment is read once, in order, and the list of them must have no gap.
//!
//! A segment that is damaged gets evidence of its own; of the sound ones the watermark is the
//! record, and the last of a run gets evidence for people. A gap is waited for, because segments of
//! another region are copied in any order, until the segment behind it is [`GAP_PATIENCE`] old.

use jiff::{SignedDuration, Timestamp};
use lifeboat_archive::{SegmentName, Source, SourceError, WalReader, WalReport};
use lifeboat_catalogue::{
    Backups, Content, Gap, Objects, Progress, Segment, Watermark,
    proof::{in_file, place},
    source::{self, ObjectSource},
};
use lifeboat_core::{
    AppName, Fault,
    backup::{Depth, Evidence, EvidenceFinding, Kind, Outcome, PointId},
};

/// How long a segment may be missing while later ones are there: S3 copies nearly all objects within
/// 15 minutes (S3 user guide, "Replication Time Control"), and twice that is no accident.
const GAP_PATIENCE: SignedDuration = SignedDuration::from_mins(30);
/// Segments after which progress is written down.
const BATCH: usize = 64;
/// Timelines that a watermark remembers; an older one has no more segments to come.
const TIMELINES: usize = 8;
/// Gaps that a timeline's progress remembers: more than its WAL is kept for, unless nothing works.
const GAPS: usize = 100;

/// The newest segment that was not read; none when all were.
pub(crate) async fn newest_unread<B: Objects>(
    backups: &Backups<B>,
    app: &AppName,
) -> Result<Option<PointId>, Fault> {
    let mut newest = None;
    for system in backups.wal_systems(app).await? {
        let mark = backups.watermark(app, &system).await?;
        let unread = backups.unread_wal(app, &mark).await?;
        newest = newest.max(unread.into_iter().map(|segment| segment.id).max());
    }
    Ok(newest)
}

/// What a run found.
struct Run<'a, B> {
    app: &'a AppName,
    backups: &'a Backups<B>,
    clock: fn() -> Timestamp,
    until: Timestamp,
    evidence: Evidence,
    segments: u64,
    records: u64,
    last: Option<PointId>,
    waiting: Option<String>,
}

/// Reads the segments that were not read, as many as there is time for until `until`.
pub(crate) async fn check<B: Objects + Content>(
    app: &AppName,
    id: &PointId,
    backups: &Backups<B>,
    clock: fn() -> Timestamp,
    until: Timestamp,
) -> Result<Evidence, Fault> {
    let now = clock();
    let evidence = Evidence {
        app: app.clone(),
        kind: Kind::DatabaseWal,
        id: id.clone(),
        region: backups.region().clone(),
        depth: Depth::Read,
        outcome: Outcome::Sound,
        started_at: now,
        ended_at: now,
        facts: Vec::new(),
        findings: Vec::new(),
    };
    // Half of the time is for the last segment that was begun: the next run goes on.
    let until = now + until.duration_since(now) / 2;
    let mut run = Run {
        app,
        backups,
        clock,
        until,
        evidence,
        segments: 0,
        records: 0,
        last: None,
        waiting: None,
    };
    let mut read_before = None;
    for system in backups.wal_systems(app).await? {
        let mut mark = backups.watermark(app, &system).await?;
        read_before = read_before.max(mark.verified_at(id));
        run.system(&mut mark).await?;
    }
    run.end(id, read_before).await
}

impl<B: Objects + Content> Run<'_, B> {
    async fn system(&mut self, mark: &mut Watermark) -> Result<(), Fault> {
        let identifier: u64 = mark.system.parse().map_err(|_| {
            Fault::needs_human(format!("{} is no system identifier of a cluster", mark.system))
        })?;
        let mut waits: Option<String> = None;
        let mut unsaved = 0_usize;
        for segment in self.backups.unread_wal(self.app, mark).await? {
            let timeline = segment.id.as_str().get(..8).unwrap_or_default().to_owned();
            if (self.clock)() >= self.until {
                break;
            }
            // What follows on a gap that is waited for waits, too.
            if waits.as_ref() == Some(&timeline) {
                continue;
            }
            let Ok(name) = segment.id.as_str().parse::<SegmentName>() else { continue };
            let known = mark.progress(&segment.id).cloned();
            let mut gaps = known.as_ref().map(|known| known.gaps.clone()).unwrap_or_default();
            let gap = known.as_ref().and_then(|known| missing(known, name, mark.segment_bytes));
            if let Some(missing) = gap {
                let age = self.evidence.started_at.duration_since(segment.object.modified);
                if age < GAP_PATIENCE {
                    self.waiting = Some(missing);
                    waits = Some(timeline);
                    continue;
                }
                self.damaged(&segment, vec![in_file(segment.id.as_str(), missing)]).await?;
                let after = known.as_ref().map(|known| known.through.clone());
                gaps.extend(after.map(|after| Gap { after, before: segment.id.clone() }));
                gaps.drain(..gaps.len().saturating_sub(GAPS));
            }
            let reader = known.and_then(|known| serde_json::from_value(known.reader).ok());
            let reader = reader.unwrap_or_else(|| WalReader::of_system(identifier));
            let Some((reader, report)) = self.read(&segment, name, reader).await? else {
                continue;
            };
            self.report(&segment, &report).await?;
            mark.segment_bytes = size(&report, mark.segment_bytes);
            let reader = serde_json::to_value(&reader)
                .map_err(|error| Fault::needs_human(format!("the reader's state: {error}")))?;
            let progress = Progress {
                through: segment.id.clone(),
                written_at: segment.object.modified,
                verified_at: (self.clock)(),
                reader,
                gaps,
            };
            mark.timelines.insert(timeline, progress);
            while mark.timelines.len() > TIMELINES {
                mark.timelines.pop_first();
            }
            self.last = Some(segment.id);
            unsaved += 1;
            if unsaved >= BATCH {
                self.backups.put_watermark(self.app, mark).await?;
                unsaved = 0;
            }
        }
        if unsaved > 0 {
            self.backups.put_watermark(self.app, mark).await?;
        }
        Ok(())
    }

    /// Reads one segment; none when it is gone, which a sweep may have done.
    async fn read(
        &self,
        segment: &Segment,
        name: SegmentName,
        mut reader: WalReader,
    ) -> Result<Option<(WalReader, WalReport)>, Fault> {
        let key = segment.object.key.clone();
        let Some(head) = self.backups.bucket().head(&key).await? else { return Ok(None) };
        let source = ObjectSource::new(self.backups.bucket().clone(), key.clone(), head);
        let read = source::with(key, source, move |source| {
            let bytes = source.open(0).map_err(|cause| SourceError { offset: 0, cause })?;
            let report = reader.segment(name, bytes)?;
            Ok((reader, report))
        });
        read.await.map(Some)
    }

    async fn report(&mut self, segment: &Segment, report: &WalReport) -> Result<(), Fault> {
        self.segments += 1;
        self.records += report.records;
        if report.findings_total == 0 {
            return Ok(());
        }
        let findings = report.findings.iter().map(|finding| EvidenceFinding {
            file: segment.id.as_str().to_owned(),
            place: place(finding),
            message: finding.message.clone(),
        });
        self.damaged(segment, findings.collect()).await
    }

    /// Writes down that a segment cannot be relied on.
    async fn damaged(
        &mut self,
        segment: &Segment,
        findings: Vec<EvidenceFinding>,
    ) -> Result<(), Fault> {
        let evidence = Evidence {
            id: segment.id.clone(),
            outcome: Outcome::Damaged,
            ended_at: (self.clock)(),
            facts: vec![format!("WAL of cluster {}", segment.system)],
            findings: findings.clone(),
            ..self.evidence.clone()
        };
        self.backups.record(&evidence).await?;
        if self.evidence.outcome == Outcome::Sound {
            self.evidence.outcome = Outcome::Damaged;
            self.evidence.id = segment.id.clone();
        }
        self.evidence.findings.extend(findings);
        Ok(())
    }

    async fn end(
        mut self,
        id: &PointId,
        read_before: Option<Timestamp>,
    ) -> Result<Evidence, Fault> {
        self.evidence.ended_at = (self.clock)();
        self.evidence.facts =
            vec![format!("{} segments read, {} records", self.segments, self.records)];
        if let Some(waiting) = &self.waiting {
            self.evidence.facts.push(format!("{waiting}; they may be under way"));
        }
        match (self.last, self.waiting, read_before) {
            (Some(last), _, _) => {
                if self.evidence.outcome == Outcome::Sound {
                    self.evidence.id = last;
                    self.backups.record(&self.evidence).await?;
                }
                Ok(self.evidence)
            }
            (None, _, Some(at)) => {
                self.evidence.facts.push(format!("{id} was read at {at}"));
                Ok(self.evidence)
            }
            (None, Some(waiting), None) => Err(Fault::not_ready(waiting)),
            (None, None, None) => Err(Fault::refused(format!(
                "there is no WAL {id} of {} in {}; it was swept, or has not been copied yet",
                self.app,
                self.backups.region()
            ))),
        }
    }
}

/// What is missing before `name`, if anything.
fn missing(known: &Progress, name: SegmentName, segment_bytes: u64) -> Option<String> {
    let before: SegmentName = known.through.as_str().parse().ok()?;
    let (at, here) = (before.number(segment_bytes)?, name.number(segment_bytes)?);
    let missing = here.checked_sub(at)?.checked_sub(1).filter(|missing| *missing > 0)?;
    Some(format!("{missing} segments are missing between {before} and {name}"))
}

/// The size that segments have: a damaged one does not say it.
fn size(report: &WalReport, known: u64) -> u64 {
    let said = report.segment_bytes;
    let may_be = said.is_power_of_two() && (1 << 20..=1 << 30).contains(&said);
    if may_be && report.findings_total == 0 { said } else { known }
}
