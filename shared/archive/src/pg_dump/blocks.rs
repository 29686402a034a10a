//! The blocks of data, in the order of the file, matched with the table of contents.

use super::{
    contents::{Contents, Entry, Kind},
    copy::Rows,
    decode::{Decoder, Stream},
    header::Header,
    primitives::{Fault, Sizes},
};
use crate::{
    input::{Input, Stop},
    report::Findings,
};

/// The types of a block: `BLK_DATA` and `BLK_BLOBS` in `pg_backup_archiver.h`.
const DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// The head of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) has_large_objects: bool,
    pub(super) id: i32,
}

impl Head {
    pub(super) fn read(input: &mut Input<'_>, sizes: Sizes) -> Result<Self, Fault> {
        let at = input.offset();
        let has_large_objects = match input.byte()? {
            DATA => false,
            LARGE_OBJECTS => true,
            other => {
                let message = format!("no block of data begins here (type {other})");
                return Err(Fault::wrong(at, message));
            }
        };
        let id = sizes.within(input, 1..=i32::MAX, "the id of a block of data")?;
        Ok(Self { has_large_objects, id })
    }
}

/// Something wrong inside a block whose end was found.
pub(super) struct Damage {
    pub(super) offset: u64,
    pub(super) message: String,
}

/// Reads a block's data, from behind its head to its end. Returns the rows if it is for `COPY`, and
/// what is wrong with it.
pub(super) fn body(
    input: &mut Input<'_>,
    decoder: &mut Decoder,
    sizes: Sizes,
    kind: Kind,
) -> Result<(Option<u64>, Option<Damage>), Fault> {
    let offset = input.offset();
    let damage = |stream| match stream {
        Stream::Sound => None,
        Stream::Damaged(message) => Some(Damage { offset, message }),
    };
    match kind {
        Kind::LargeObjects => Ok((None, large_objects(input, decoder, sizes)?)),
        Kind::Text => Ok((None, damage(decoder.stream(input, |_| {})?))),
        Kind::Copy => {
            let mut rows = Rows::default();
            let found = damage(decoder.stream(input, |text| rows.add(text))?);
            let count = rows.finish();
            let unfinished = || Damage { offset, message: "the rows have no end mark".to_owned() };
            let found = found.or_else(|| count.is_none().then(unfinished));
            Ok((count.filter(|_| found.is_none()), found))
        }
    }
}

/// Large objects: an OID and a stream each, then zero. Returns what is wrong with the first that is
/// damaged.
fn large_objects(
    input: &mut Input<'_>,
    decoder: &mut Decoder,
    sizes: Sizes,
) -> Result<Option<Damage>, Fault> {
    let mut first = None;
    loop {
        let offset = input.offset();
        // OIDs are written as `int`: those from 2^31 on as negative ones.
        let oid = sizes.integer(input)?;
        if oid == 0 {
            return Ok(first);
        }
        if let Stream::Damaged(message) = decoder.stream(input, |_| {})? {
            let message = format!("large object {}: {message}", oid.cast_unsigned());
            first.get_or_insert(Damage { offset, message });
        }
    }
}

/// A walk over all blocks, in order.
pub(super) struct Walk<'c> {
    sizes: Sizes,
    decoder: Decoder,
    contents: &'c mut Contents,
}

impl<'c> Walk<'c> {
    pub(super) fn new(header: &Header, contents: &'c mut Contents) -> Self {
        Self { sizes: header.sizes, decoder: Decoder::new(header), contents }
    }

    /// Reads every block and adds what is wrong: in the blocks, between them, and with their
    /// agreement with the table of contents.
    pub(super) fn run(
        mut self,
        input: &mut Input<'_>,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        loop {
            match input.is_at_end() {
                Ok(true) => break,
                Ok(false) => {}
                Err(stop) => return self.stopped(stop, input, findings),
            }
            let start = input.offset();
            let (name, fault) = match self.block(input, findings) {
                Ok(()) => continue,
                Err(wrong) => wrong,
            };
            match fault {
                Fault::Stop(stop) => {
                    if matches!(stop, Stop::Cut) {
                        let place = input.place(name.as_deref());
                        findings.add(place, format!("cut in the block that begins at {start}"));
                    }
                    return self.stopped(stop, input, findings);
                }
                Fault::Wrong { offset, item, message } => {
                    let item = item.or(name);
                    findings.add(input.place_at(offset, item.as_deref()), message);
                }
            }
            // The way to the next block is lost, unless the table of contents knows one.
            let Some(next) = self.contents.next_offset(input.offset().max(start + 1) - 1) else {
                break;
            };
            if let Err(stop) = input.skip(next - input.offset()) {
                return self.stopped(stop, input, findings);
            }
        }
        self.missing(input, findings);
        Ok(())
    }

    /// The bytes end here. A cut of the dump itself has been added; a layer's damage is its own.
    fn stopped(&self, stop: Stop, input: &Input<'_>, findings: &mut Findings) -> Result<(), Stop> {
        match stop {
            Stop::Cut => {
                self.missing(input, findings);
                Ok(())
            }
            Stop::Damaged(_) | Stop::Source => Err(stop),
        }
    }

    /// Reads one block. An error has the name of what it was in.
    fn block(
        &mut self,
        input: &mut Input<'_>,
        findings: &mut Findings,
    ) -> Result<(), (Option<String>, Fault)> {
        let start = input.offset();
        let head = Head::read(input, self.sizes).map_err(|fault| (None, fault))?;
        let Some(entry) = self.contents.find(head.id) else {
            let message = format!("a block of entry {}, which has no data", head.id);
            findings.add(input.place_at(start, None), message);
            let kind = if head.has_large_objects { Kind::LargeObjects } else { Kind::Text };
            return body(input, &mut self.decoder, self.sizes, kind)
                .map(|_| ())
                .map_err(|fault| (None, fault));
        };
        let place = input.place_at(start, Some(&entry.name));
        if entry.seen {
            findings.add(place.clone(), "a second block of the same entry");
        }
        entry.seen = true;
        if let Some(offset) = entry.offset.filter(|offset| *offset != start) {
            let message = format!("the table of contents has this block at {offset}");
            findings.add(place.clone(), message);
        }
        let kind = match (entry.kind, head.has_large_objects) {
            (kind @ (Kind::Copy | Kind::Text), false) => kind,
            (Kind::LargeObjects, true) => Kind::LargeObjects,
            (Kind::Copy | Kind::Text, true) => {
                findings.add(place, "a block of large objects for an entry of another kind");
                Kind::LargeObjects
            }
            (Kind::LargeObjects, false) => {
                findings.add(place, "a block of data for large objects");
                Kind::Text
            }
        };
        match body(input, &mut self.decoder, self.sizes, kind) {
            Ok((rows, damage)) => {
                entry.rows = rows;
                if let Some(Damage { offset, message }) = damage {
                    findings.add(input.place_at(offset, Some(&entry.name)), message);
                }
                Ok(())
            }
            Err(fault) => Err((Some(entry.name.clone()), fault)),
        }
    }

    fn missing(&self, input: &Input<'_>, findings: &mut Findings) {
        for Entry { name, id, offset, .. } in self.contents.entries.iter().filter(|e| !e.seen) {
            let place = input.place_at(offset.unwrap_or(input.offset()), Some(name));
            findings.add(place, format!("the block of entry {id} is missing"));
        }
    }
}
