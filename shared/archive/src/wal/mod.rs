//! WAL segments of PostgreSQL: every page's header, and every record against its CRC-32C.
//!
//! A segment ends in the midst of a record as a rule. [`WalReader`] keeps what it has of that record,
//! so that segments that are read in order are checked without a seam; the state is small, and may
//! be stored between runs, so that new WAL is read once.

mod names;
mod page;
mod record;
pub(crate) mod walk;

use std::io::Read;

use serde::{Deserialize, Serialize};

pub use names::{Gap, NotASegment, SegmentName, gaps};
pub(crate) use page::is_segment;
use record::Record;

use crate::{
    input::{Input, Stop},
    layers::{Streamed, streamed},
    report::{Details, Finding, Findings, Format},
    source::SourceError,
};

/// Reads segments, and remembers where the last one ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalReader {
    /// The system identifier that every segment must have.
    system: Option<u64>,
    /// Where the next segment continues.
    end: Option<End>,
}

/// Where a segment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// The LSN after its last byte.
    address: u64,
    timeline: u32,
    /// The LSN of its last whole record.
    previous: Option<u64>,
    /// The record that goes on in the next segment.
    record: Option<Record>,
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalReport {
    /// The LSN of its first byte, as its first page says.
    pub start: Option<u64>,
    /// Bytes of the segment.
    pub segment_bytes: u64,
    /// Records whose checksum was checked.
    pub records: u64,
    /// Whether its first record continues one of a segment that was not read before: its bytes
    /// here are not covered by any checksum that is known.
    pub begins_within_record: bool,
    /// The first findings; none means that it is sound.
    pub findings: Vec<Finding>,
    /// All findings.
    pub findings_total: u64,
}

impl WalReader {
    /// A reader that takes the first segment's system identifier for everyone's.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader of one cluster's WAL.
    #[must_use]
    pub fn of_system(identifier: u64) -> Self {
        Self { system: Some(identifier), end: None }
    }

    /// Reads a segment to its end, compressed (gzip, zstd, lz4) or not. When it is the one after the
    /// last, a record that spans both is checked too.
    ///
    /// # Errors
    /// The bytes cannot be obtained. The reader then continues as if the segment had been damaged.
    pub fn segment(
        &mut self,
        name: SegmentName,
        reader: impl Read + Send,
    ) -> Result<WalReport, SourceError> {
        let mut findings = Findings::default();
        let item = name.to_string();
        let mut walked = walk::Walked::default();
        let Streamed { result, place, notes, failure } = streamed(reader, Some(&item), |input| {
            self.walk(input, Some((name, &item)), None, &mut walked, &mut findings)?;
            input.skip_all()
        });
        if let Some(error) = failure {
            self.end = None;
            return Err(error);
        }
        match result {
            Err(Stop::Cut) if notes.total == 0 => {
                findings.add(place, "the segment ends too early");
            }
            Err(Stop::Damaged(why)) if notes.total == 0 => findings.add(place, why),
            // The layers say why.
            Err(Stop::Cut | Stop::Damaged(_) | Stop::Source) | Ok(_) => {}
        }
        findings.append(notes);
        Ok(WalReport {
            start: walked.start,
            segment_bytes: walked.segment_bytes,
            records: walked.records,
            begins_within_record: walked.begins_within_record,
            findings: findings.kept,
            findings_total: findings.total,
        })
    }
}

/// Reads one segment whose name is not known.
pub(crate) fn read(
    input: &mut Input<'_>,
    findings: &mut Findings,
    details: &mut Details,
) -> Result<Format, Stop> {
    let mut walked = walk::Walked::default();
    let read = WalReader::new().walk(input, None, None, &mut walked, findings);
    details.written_by = walked.version.map(|version| format!("PostgreSQL {version}"));
    read.map(|()| Format::Wal)
}
