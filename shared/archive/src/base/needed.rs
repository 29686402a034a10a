//! The WAL of a base backup: every segment is read, and together they must hold what the manifest
//! says that a restore needs.

use std::{collections::BTreeSet, io::Read};

use super::manifest::WalRange;
use crate::{
    input::{Input, Stop},
    report::{Findings, Place},
    wal::{SegmentName, WalReader, walk::Walked},
};

/// Segments that are remembered: 16 TiB of the usual size.
const SEGMENTS_LIMIT: usize = 1_000_000;
/// Missing segments that are named one by one.
const NAMED: u64 = 20;

/// What was seen of a backup's WAL.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    reader: WalReader,
    seen: BTreeSet<(u32, u64)>,
    segment_bytes: u64,
    /// Whether the backup has a place for WAL at all; without, the archive has it.
    pub(crate) is_included: bool,
}

impl Needed {
    /// Reads a segment that is in the backup.
    pub(crate) fn segment(
        &mut self,
        name: SegmentName,
        item: &str,
        reader: impl Read + Send,
        ranges: &[WalRange],
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        self.is_included = true;
        let mut walked = Walked::default();
        let mut input = Input::new(reader, 0, false);
        let until = ranges
            .iter()
            .filter(|range| range.timeline == name.timeline)
            .map(|range| range.end)
            .max();
        let read = self.reader.walk(&mut input, Some((name, item)), until, &mut walked, findings);
        if walked.segment_bytes > 0 {
            self.segment_bytes = walked.segment_bytes;
            if self.seen.len() < SEGMENTS_LIMIT {
                self.seen.extend(name.number(walked.segment_bytes).map(|n| (name.timeline, n)));
            }
        }
        read
    }

    /// Adds what is missing.
    pub(crate) fn judge(&self, ranges: &[WalRange], findings: &mut Findings) {
        if !self.is_included {
            return;
        }
        let mut add = |item: String, message: &str| {
            findings.add(Place { item: Some(item), ..Place::default() }, message);
        };
        if self.segment_bytes == 0 {
            if !ranges.is_empty() {
                add("pg_wal".to_owned(), "the WAL that the backup needs is missing");
            }
            return;
        }
        for range in ranges {
            let first = range.start / self.segment_bytes;
            let last = range.end.saturating_sub(1) / self.segment_bytes;
            let last = last.max(first);
            let span = (range.timeline, first)..=(range.timeline, last);
            let missing = (last - first + 1).saturating_sub(self.seen.range(span).count() as u64);
            let absent = (first..=last)
                .take(self.seen.len().saturating_add(20))
                .filter(|number| !self.seen.contains(&(range.timeline, *number)));
            for number in absent.take(20) {
                let start = number.saturating_mul(self.segment_bytes);
                let name = SegmentName::of(range.timeline, start, self.segment_bytes);
                add(name.to_string(), "the backup needs this WAL segment, and it is missing");
            }
            if missing > NAMED {
                add("pg_wal".to_owned(), &format!("{missing} WAL segments are missing"));
            }
        }
    }
}
