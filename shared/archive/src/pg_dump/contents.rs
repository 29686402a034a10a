//! A dump's table of contents. Only what is needed to match blocks of data is kept: a database has
//! many times more objects than tables, and a function's text can be long.

use super::{
    header::Header,
    primitives::{Fault, Sizes},
};
use crate::input::Input;

/// Entries. A large object is an entry of its own up to 1.15, so millions are possible.
const ENTRIES_MAX: i32 = 100_000_000;

/// Entries with data: tables, mostly. PostgreSQL itself becomes hard to use long before.
const DATA_ENTRIES_MAX: usize = 200_000;

/// Bytes of all names that are kept.
const NAMES_MAX: usize = 16 << 20;

/// Bytes of a tag or description: a function's tag has its arguments' types, up to 100 of at most
/// two names of 63 bytes.
const TAG_MAX: usize = 64 << 10;

/// Dependencies of one entry; a partition's parent or a schema may have as many as there are
/// entries.
const DEPENDENCIES_MAX: u32 = 1 << 24;

/// What an entry's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A table's rows, for `COPY`.
    Copy,
    /// A table's rows as `INSERT`s, or anything else that is text.
    Text,
    /// Large objects.
    LargeObjects,
}

impl Kind {
    pub(super) fn is_table(self) -> bool {
        match self {
            Self::Copy | Self::Text => true,
            Self::LargeObjects => false,
        }
    }
}

/// An entry with data.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: i32,
    pub(super) kind: Kind,
    /// Schema and name of the table, or what else it is.
    pub(super) name: String,
    /// Where its block begins, if the writer could come back to note it.
    pub(super) offset: Option<u64>,
    pub(super) seen: bool,
    pub(super) rows: Option<u64>,
}

/// The entries with data, by id, and where the first block begins.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// Positions in `entries`, ordered by id.
    by_id: Vec<usize>,
    pub(super) end: u64,
}

impl Contents {
    pub(super) fn read(input: &mut Input<'_>, header: &Header) -> Result<Self, Fault> {
        let count = header.sizes.within(input, 0..=ENTRIES_MAX, "the number of entries")?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut names = 0;
        for number in 0..count {
            let at = input.offset();
            let read = entry(input, header).map_err(|fault| {
                fault
                    .in_item(|| format!("entry {} of {count} of the table of contents", number + 1))
            })?;
            let Some(entry) = read else { continue };
            names += entry.name.len();
            if entries.len() == DATA_ENTRIES_MAX || names > NAMES_MAX {
                return Err(Fault::wrong(at, "more tables than this reader takes"));
            }
            entries.push(entry);
        }
        let mut by_id: Vec<usize> = (0..entries.len()).collect();
        let id = |position: &usize| entries.get(*position).map(|entry| entry.id);
        by_id.sort_by_key(id);
        if let Some(double) = by_id.windows(2).find_map(|pair| match pair {
            [one, other] if id(one) == id(other) => id(one),
            _ => None,
        }) {
            let message = format!("the table of contents has entry {double} twice");
            return Err(Fault::wrong(input.offset(), message));
        }
        Ok(Self { entries, by_id, end: input.offset() })
    }

    /// The entry with this id.
    pub(super) fn find(&mut self, id: i32) -> Option<&mut Entry> {
        let entries = &self.entries;
        let id_at = |position: &usize| entries.get(*position).map(|entry| entry.id);
        let found = self.by_id.binary_search_by_key(&Some(id), id_at).ok()?;
        self.entries.get_mut(*self.by_id.get(found)?)
    }

    /// The first known offset of a block that lies behind this one and has not been read.
    pub(super) fn next_offset(&self, behind: u64) -> Option<u64> {
        let unseen = self.entries.iter().filter(|entry| !entry.seen);
        unseen.filter_map(|entry| entry.offset).filter(|offset| *offset > behind).min()
    }
}

/// Reads one entry, and returns it if it has data.
fn entry(input: &mut Input<'_>, header: &Header) -> Result<Option<Entry>, Fault> {
    let sizes = header.sizes;
    let id = sizes.within(input, 1..=i32::MAX, "the entry's id")?;
    let has_data = sizes.within(input, 0..=1, "the mark for data")? == 1;
    let at = input.offset();
    let catalog = sizes.digits(input, "the catalog's OID")?;
    let object = sizes.digits(input, "the object's OID")?;
    let tag = sizes.string(input, TAG_MAX)?;
    let description = sizes.string(input, TAG_MAX)?;
    let (Some(_), Some(_), Some(tag), Some(description)) = (catalog, object, tag, description)
    else {
        return Err(Fault::wrong(at, "an entry without OID, tag or description"));
    };
    let rest = rest(input, header).map_err(|fault| fault.in_item(|| tag.clone()))?;

    let (state, offset) = location(input, sizes, has_data)?;
    if !has_data {
        return Ok(None);
    }
    let kind = match description.as_str() {
        "BLOBS" => Kind::LargeObjects,
        _ if rest.is_copied => Kind::Copy,
        _ => Kind::Text,
    };
    let name = match rest.schema {
        Some(schema) if !schema.is_empty() => format!("{schema}.{tag}"),
        Some(_) | None => tag,
    };
    let offset = (state == OFFSET_SET).then_some(offset);
    Ok(Some(Entry { id, kind, name, offset, seen: false, rows: None }))
}

struct Rest {
    schema: Option<String>,
    is_copied: bool,
}

/// The fields from the section to the dependencies.
fn rest(input: &mut Input<'_>, header: &Header) -> Result<Rest, Fault> {
    let sizes = header.sizes;
    // None, before the data, data, behind the data: `teSection` in `pg_backup.h`.
    sizes.within(input, 1..=4, "the section")?;
    sizes.skip_string(input)?; // definition
    sizes.skip_string(input)?; // statement to drop it
    let is_copied = sizes.skip_string(input)?; // statement to copy its rows
    let schema = sizes.string(input, TAG_MAX)?;
    sizes.skip_string(input)?; // tablespace
    sizes.skip_string(input)?; // table access method
    if header.minor >= 16 {
        // A letter, such as `r` for a table, or nothing.
        sizes.within(input, 0..=i32::from(b'z'), "the kind of relation")?;
    }
    sizes.skip_string(input)?; // owner
    let at = input.offset();
    match sizes.string(input, TAG_MAX)?.as_deref() {
        Some("false" | "true") => {}
        other => return Err(Fault::wrong(at, format!("the mark for OIDs is {other:?}"))),
    }
    let at = input.offset();
    let mut dependencies = 0_u32;
    while sizes.digits(input, "a dependency")?.is_some() {
        dependencies += 1;
        if dependencies > DEPENDENCIES_MAX {
            return Err(Fault::wrong(at, "an entry without an end to its dependencies"));
        }
    }
    Ok(Rest { schema, is_copied })
}

/// The states of an offset: `K_OFFSET_*` in `pg_backup_archiver.h`.
const OFFSET_NOT_SET: u8 = 1;
const OFFSET_SET: u8 = 2;
const NO_DATA: u8 = 3;

fn location(input: &mut Input<'_>, sizes: Sizes, has_data: bool) -> Result<(u8, u64), Fault> {
    let at = input.offset();
    let state = input.byte()?;
    let offset = sizes.file_offset(input)?;
    match (state, has_data) {
        (OFFSET_NOT_SET | OFFSET_SET, true) | (NO_DATA, false) => Ok((state, offset)),
        _ => Err(Fault::wrong(at, format!("the mark for the data's offset is {state}"))),
    }
}
