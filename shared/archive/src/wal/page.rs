//! Headers of WAL pages (`src/include/access/xlog_internal.h` of PostgreSQL).

/// Bytes of a page's header, its padding included.
pub(crate) const SHORT: usize = 24;
/// Bytes of the header of a segment's first page.
pub(crate) const LONG: usize = 40;

/// The page goes on with a record of the page before.
pub(crate) const IS_CONTINUATION: u16 = 1;
/// The header is the long one.
pub(crate) const IS_LONG: u16 = 2;
/// The record of the page before was given up after a crash; this page does not go on with it.
pub(crate) const IS_OVERWRITE: u16 = 8;
/// All flags that are in use (4: full-page images in the page's records may be removed).
pub(crate) const FLAGS: u16 = 15;

/// The magic numbers of the major versions (`XLOG_PAGE_MAGIC` in each branch).
const MAGICS: [(u16, u8); 7] = [
    (0xd101, 12),
    (0xd106, 13),
    (0xd10d, 14),
    (0xd110, 15),
    (0xd113, 16),
    (0xd116, 17),
    (0xd118, 18),
];

/// The major version that writes this magic number.
pub(crate) fn version(magic: u16) -> Option<u8> {
    MAGICS.iter().find(|(known, _)| *known == magic).map(|(_, version)| *version)
}

/// A page's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: u16,
    pub(crate) flags: u16,
    pub(crate) timeline: u32,
    pub(crate) address: u64,
    /// Bytes of the page before's record that are still to come.
    pub(crate) remaining: u32,
    pub(crate) padding: u32,
    pub(crate) long: Option<Long>,
}

/// What a segment's first page says beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Long {
    pub(crate) system: u64,
    pub(crate) segment_bytes: u32,
    pub(crate) page_bytes: u32,
}

/// A little-endian number, as all servers that matter write them.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
    u16::from_le_bytes(part.copied().unwrap_or_default())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
    u32::from_le_bytes(part.copied().unwrap_or_default())
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
    u64::from_le_bytes(part.copied().unwrap_or_default())
}

impl Header {
    /// The header at the beginning of a page; the long part when its flag says so.
    pub(crate) fn parse(page: &[u8]) -> Self {
        let flags = u16_at(page, 2);
        Self {
            magic: u16_at(page, 0),
            flags,
            timeline: u32_at(page, 4),
            address: u64_at(page, 8),
            remaining: u32_at(page, 16),
            padding: u32_at(page, 20),
            long: (flags & IS_LONG != 0).then(|| Long {
                system: u64_at(page, 24),
                segment_bytes: u32_at(page, 32),
                page_bytes: u32_at(page, 36),
            }),
        }
    }

    pub(crate) fn len(&self) -> usize {
        if self.long.is_some() { LONG } else { SHORT }
    }
}

/// Whether `first`, the beginning of a file, begins like a WAL segment.
pub(crate) fn is_segment(first: &[u8]) -> bool {
    let header = Header::parse(first);
    first.len() >= LONG
        && version(header.magic).is_some()
        && header.long.is_some_and(|long| {
            super::names::is_segment_size(u64::from(long.segment_bytes))
                && long.page_bytes.is_power_of_two()
        })
}
