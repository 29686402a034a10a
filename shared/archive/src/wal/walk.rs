//! Goes over a segment, page by page and record by record.

use std::io::{BufRead, Read};

use super::{
    End, SegmentName, WalReader,
    names::is_segment_size,
    page::{self, Header, u32_at},
    record::{self, Record},
};
use crate::{
    input::{Input, Stop},
    report::Findings,
    zeros::{first_other, is_zero},
};

/// Bytes of a page unless the first page says otherwise (`XLOG_BLCKSZ`).
const PAGE: usize = 8192;

/// What was seen of a segment.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) start: Option<u64>,
    pub(crate) segment_bytes: u64,
    pub(crate) records: u64,
    pub(crate) begins_within_record: bool,
    pub(crate) version: Option<u8>,
}

/// Where the walk is.
#[derive(Debug)]
enum State {
    /// It does not know where a record begins; the next page that tells is waited for.
    Lost,
    /// A record begins here.
    Boundary,
    Within(Record),
    /// No record follows in this segment.
    Ended,
}

struct Walk<'w, 'i, 'a> {
    input: &'i mut Input<'a>,
    findings: &'w mut Findings,
    walked: &'w mut Walked,
    item: Option<&'w str>,
    /// Records from this LSN on do not matter.
    until: Option<u64>,
    state: State,
    previous: Option<u64>,
    timeline: u32,
    magic: Option<u16>,
    /// Offset and LSN of the page.
    offset: u64,
    address: u64,
    has_told_of_rest: bool,
}

impl WalReader {
    /// Walks a segment. `until` is the LSN from which on nothing is needed: a base backup ends there,
    /// and so may its last segment, in the midst of a record.
    pub(crate) fn walk(
        &mut self,
        input: &mut Input<'_>,
        name: Option<(SegmentName, &str)>,
        until: Option<u64>,
        walked: &mut Walked,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        let end = self.end.take();
        let base = input.offset();
        let mut page = vec![0; PAGE];
        let first = page.get_mut(..page::LONG).unwrap_or_default();
        input.read_exact(first)?;
        let header = Header::parse(first);
        let item = name.map(|(_, item)| item);
        let mut walk = Walk {
            offset: base,
            address: header.address,
            input,
            findings,
            walked,
            item,
            until,
            state: State::Lost,
            previous: None,
            timeline: 0,
            magic: None,
            has_told_of_rest: false,
        };
        let (page_bytes, segment_bytes) = walk.first(&header, name.map(|(name, _)| name));
        if let (Some(system), Some(long)) = (self.system, header.long)
            && system != long.system
        {
            walk.add(24, "the segment is of another database cluster");
        }
        self.system = self.system.or(header.long.map(|long| long.system));
        if let Some(end) = end.filter(|end| end.address == walk.address) {
            walk.previous = end.previous;
            walk.timeline = end.timeline;
            walk.state = end.record.map_or(State::Boundary, State::Within);
        }
        page.resize(page_bytes, 0);
        let mut len = page::LONG;
        loop {
            let rest = page.get_mut(len..).unwrap_or_default();
            walk.input.read_exact(rest)?;
            walk.page(&page, walk.offset == base);
            walk.offset += page_bytes as u64;
            walk.address = walk.address.wrapping_add(page_bytes as u64);
            len = 0;
            let is_whole = segment_bytes.is_some_and(|bytes| walk.offset - base >= bytes);
            if is_whole || (segment_bytes.is_none() && walk.input.is_at_end()?) {
                break;
            }
        }
        walk.walked.segment_bytes = walk.offset - base;
        if !walk.input.is_at_end()? {
            walk.add(0, "bytes follow the end of the segment");
            while !walk.input.is_at_end()? {
                let len = walk.input.fill_buf()?.len();
                walk.input.consume(len);
            }
        }
        let record = match walk.state {
            State::Lost => return Ok(()),
            State::Within(record) => Some(record),
            State::Boundary | State::Ended => None,
        };
        self.end = Some(End {
            address: walk.address,
            timeline: walk.timeline,
            previous: walk.previous,
            record,
        });
        Ok(())
    }
}

impl Walk<'_, '_, '_> {
    /// A finding on this page, at this offset of it.
    fn add(&mut self, at: usize, message: &str) {
        let offset = self.offset + at as u64;
        let place = self.input.place_at(offset, self.item);
        self.findings.add(place, message);
    }

    /// Checks what only the first page has; gives the sizes of pages and of the segment, the latter
    /// when it can be believed.
    fn first(&mut self, header: &Header, name: Option<SegmentName>) -> (usize, Option<u64>) {
        let Some(long) = header.long else {
            self.add(2, "the first page has no long header");
            return (PAGE, None);
        };
        let is_page_size =
            long.page_bytes.is_power_of_two() && (1024..=65536).contains(&long.page_bytes);
        let segment_bytes = u64::from(long.segment_bytes);
        if !is_page_size || !is_segment_size(segment_bytes) {
            self.add(32, "the sizes of segment and page are none that PostgreSQL has");
            return (PAGE, None);
        }
        self.walked.start = Some(header.address);
        if header.address % segment_bytes != 0 {
            self.add(8, "the first page's address is not a segment's beginning");
        }
        if let Some(name) = name {
            if name.start(segment_bytes) != Some(header.address) {
                self.add(8, "the first page's address is not the one in the segment's name");
                // The name is the better witness of what the following pages must say.
                self.address = name.start(segment_bytes).unwrap_or(header.address);
            }
            if header.timeline > name.timeline {
                self.add(4, "the first page's timeline is later than the segment's");
            }
        }
        (usize::try_from(long.page_bytes).unwrap_or(PAGE), Some(segment_bytes))
    }

    fn page(&mut self, page: &[u8], is_first: bool) {
        if matches!(self.state, State::Ended) || is_zero(page) {
            return self.empty(page);
        }
        let header = Header::parse(page);
        if !self.is_header_sound(&header, is_first) {
            if self.is_beyond(self.address) {
                self.state = State::Ended;
                return self.rest(page, 0);
            }
            self.state = State::Lost;
        }
        let continues = header.flags & page::IS_CONTINUATION != 0;
        if header.flags & page::IS_OVERWRITE != 0 {
            // After a crash the server wrote anew from where the record had begun.
            self.state = State::Boundary;
        }
        let state = std::mem::replace(&mut self.state, State::Lost);
        let (at, state) = match state {
            State::Within(record) if record.remaining != header.remaining || !continues => {
                self.add(16, "the page does not continue the record of the page before");
                (pass(page, &header), State::Lost)
            }
            State::Boundary if header.remaining != 0 || continues => {
                self.add(16, "the page continues a record where none is open");
                (pass(page, &header), State::Lost)
            }
            State::Lost => {
                self.walked.begins_within_record |= is_first && header.remaining > 0;
                (pass(page, &header), State::Lost)
            }
            state => (header.len(), state),
        };
        // A record that ends on this page shows where the next one begins.
        self.state = match state {
            State::Lost if at <= page.len() => State::Boundary,
            state => state,
        };
        self.records(page, at.min(page.len()));
    }

    /// A page in which no record may be.
    fn empty(&mut self, page: &[u8]) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if let State::Within(record) = state
            && !self.is_beyond(record.at)
        {
            self.add(0, "zeros in the midst of a record");
        }
        self.rest(page, 0);
    }

    /// What follows the last record: zeros. Where nothing is needed any more, a page of an earlier
    /// segment may follow too: servers write over the segments that they recycle.
    fn rest(&mut self, page: &[u8], from: usize) {
        let rest = page.get(from..).unwrap_or_default();
        let Some(at) = first_other(rest) else { return };
        let header = Header::parse(page);
        let is_recycled = self.is_beyond(self.address)
            && from == 0
            && page::version(header.magic).is_some()
            && header.address < self.address;
        if !self.has_told_of_rest && !is_recycled {
            self.has_told_of_rest = true;
            self.add(from + at, "bytes follow the last record");
        }
    }

    fn is_beyond(&self, lsn: u64) -> bool {
        self.until.is_some_and(|until| lsn >= until)
    }

    fn is_header_sound(&mut self, header: &Header, is_first: bool) -> bool {
        let version = page::version(header.magic);
        let magic = *self.magic.get_or_insert(header.magic);
        self.walked.version = self.walked.version.or(version);
        let wrong = if version.is_none() || header.magic != magic {
            // The next page's is the better one to go by.
            self.magic = self.magic.filter(|magic| page::version(*magic).is_some());
            Some((0, "the page's magic is of no version of PostgreSQL, or of another one"))
        } else if header.address != self.address {
            Some((8, "the page's address is not the one after the page before"))
        } else if header.flags & !page::FLAGS != 0
            || is_first != (header.flags & page::IS_LONG != 0)
        {
            Some((2, "the page's flags are not possible here"))
        } else if header.timeline < self.timeline || header.timeline == 0 {
            Some((4, "the page's timeline is earlier than the page before's"))
        } else if header.padding != 0
            || (header.flags & page::IS_CONTINUATION == 0 && header.remaining != 0)
        {
            Some((16, "the page's header is not well formed"))
        } else {
            self.timeline = header.timeline;
            None
        };
        if let Some((at, message)) = wrong
            && !self.is_beyond(self.address)
        {
            self.add(at, message);
        }
        wrong.is_none()
    }

    /// Walks the records of a page from this offset of it.
    fn records(&mut self, page: &[u8], mut at: usize) {
        loop {
            let rest = page.get(at..).unwrap_or_default();
            let state = std::mem::replace(&mut self.state, State::Lost);
            match state {
                State::Lost => return,
                State::Ended => {
                    self.state = State::Ended;
                    return self.rest(page, at);
                }
                State::Boundary if rest.is_empty() => {
                    self.state = State::Boundary;
                    return;
                }
                State::Boundary => {
                    let len = u32_at(rest, 0);
                    let lsn = self.address.wrapping_add(at as u64);
                    if len == 0 {
                        self.state = State::Ended;
                    } else if (record::HEADER..=usize::try_from(record::LIMIT).unwrap_or(0))
                        .contains(&usize::try_from(len).unwrap_or(0))
                    {
                        self.state = State::Within(Record::new(lsn, len));
                    } else if self.is_beyond(lsn) {
                        self.state = State::Ended;
                        self.has_told_of_rest = true;
                    } else {
                        return self.add(at, "the record's length is not possible");
                    }
                }
                State::Within(mut record) => {
                    let taken = record.take(rest);
                    at += taken;
                    if record.remaining > 0 {
                        self.state = State::Within(record);
                        return;
                    }
                    let start = at;
                    at = at.next_multiple_of(8).min(page.len());
                    self.state = self.finish(&record, at);
                    let padding = page.get(start..at).unwrap_or_default();
                    if padding.iter().any(|byte| *byte != 0) {
                        self.add(start, "the padding after the record is not zero");
                    }
                }
            }
        }
    }

    /// Judges a record that ends at this offset of the page.
    fn finish(&mut self, record: &Record, end: usize) -> State {
        // Where the record began; in an earlier segment, that is where this one begins.
        let back = self.address.wrapping_add(end as u64).wrapping_sub(record.at);
        let offset = (self.offset + end as u64).saturating_sub(back);
        let lsn = format!("{:X}/{:08X}", record.at >> 32, record.at & 0xffff_ffff);
        let place = self.input.place_at(offset, self.item);
        if !record.is_sound() {
            if self.is_beyond(record.at) {
                return State::Ended;
            }
            self.findings.add(place, format!("the checksum of the record at {lsn} is wrong"));
            return State::Lost;
        }
        if self.previous.is_some_and(|previous| previous != record.previous()) {
            let message = format!("the record at {lsn} does not follow the record before it");
            self.findings.add(place, message);
        }
        self.walked.records += 1;
        self.previous = Some(record.at);
        if record.is_switch() { State::Ended } else { State::Boundary }
    }
}

/// Where the first record begins that does not continue from the page before; beyond the page's end
/// when none does.
fn pass(page: &[u8], header: &Header) -> usize {
    let remaining = usize::try_from(header.remaining).unwrap_or(usize::MAX);
    let end = header.len().saturating_add(remaining);
    if end > page.len() { usize::MAX } else { end.next_multiple_of(8) }
}
