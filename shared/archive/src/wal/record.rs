//! One WAL record, gathered from the pages that it spans (`src/include/access/xlogrecord.h`).

use serde::{Deserialize, Serialize};

use super::page::{u32_at, u64_at};

/// Bytes of a record's header.
pub(crate) const HEADER: usize = 24;
/// Bytes of the header that its checksum covers: all before the checksum.
const SUMMED: usize = 20;
/// The largest record (`XLogRecordMaxSize`, PostgreSQL 16; earlier versions write none larger).
pub(crate) const LIMIT: u32 = 1020 * 1024 * 1024;

/// A record of which some bytes are there. Of its body only the checksum is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its LSN.
    pub(crate) at: u64,
    /// Bytes that are still to come.
    pub(crate) remaining: u32,
    header: Vec<u8>,
    crc: u32,
}

impl Record {
    /// A record of `len` bytes.
    pub(crate) fn new(at: u64, len: u32) -> Self {
        Self { at, remaining: len, header: Vec::with_capacity(HEADER), crc: 0 }
    }

    /// Takes what it needs of `bytes`, and says how much that was.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(bytes.len());
        let taken = bytes.get(..wanted).unwrap_or_default();
        let header = (HEADER - self.header.len()).min(wanted);
        let (header, body) = taken.split_at_checked(header).unwrap_or_default();
        self.header.extend_from_slice(header);
        self.crc = crc32c::crc32c_append(self.crc, body);
        self.remaining -= u32::try_from(wanted).unwrap_or(self.remaining);
        wanted
    }

    /// Whether its checksum is right: over the body first, then over the header.
    pub(crate) fn is_sound(&self) -> bool {
        let summed = self.header.get(..SUMMED).unwrap_or_default();
        crc32c::crc32c_append(self.crc, summed) == u32_at(&self.header, SUMMED)
    }

    /// The LSN of the record before it.
    pub(crate) fn previous(&self) -> u64 {
        u64_at(&self.header, 8)
    }

    /// Whether the rest of the segment stays empty after it (`XLOG_SWITCH` of resource manager 0).
    pub(crate) fn is_switch(&self) -> bool {
        let byte = |at| self.header.get(at).copied().unwrap_or_default();
        byte(17) == 0 && byte(16) & 0xf0 == 0x40
    }
}
