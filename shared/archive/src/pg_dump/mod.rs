//! `pg_dump --format=custom`, archive versions 1.14 to 1.16 (PostgreSQL 12 to 18).
//!
//! Header, table of contents, and then one block of data for each entry that has data, in chunks
//! with their lengths before them. A dump written to a file has the blocks' offsets in its table of
//! contents; in one that was streamed they are found by walking the chunks. Layout after
//! PostgreSQL's `src/bin/pg_dump`: `pg_backup_archiver.c` (header, contents), `pg_backup_custom.c`
//! (blocks, chunks), and `compress_*.c` (data).

mod blocks;
mod chunks;
mod contents;
mod copy;
mod decode;
mod header;
mod plan;
mod primitives;

pub(crate) use plan::Plan;

use blocks::Walk;
use contents::Contents;
use header::Header;
use primitives::Fault;

use crate::{
    input::{Input, Stop},
    report::{Details, Findings, Format, TableRows},
};

const MAGIC: &[u8] = b"PGDMP";

/// Whether these are a dump's first bytes.
pub(crate) fn is_it(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Reads a dump in order.
pub(crate) fn read(
    input: &mut Input<'_>,
    findings: &mut Findings,
    details: &mut Details,
) -> Result<Format, Stop> {
    let begun = Header::read(input).and_then(|header| {
        details.written_by = Some(header.written_by());
        Ok((Contents::read(input, &header)?, header))
    });
    let (mut contents, header) = match begun {
        Ok(begun) => begun,
        Err(Fault::Stop(stop)) => return Err(stop),
        Err(Fault::Wrong { offset, item, message }) => {
            findings.add(input.place_at(offset, item.as_deref()), message);
            return Ok(Format::PgDump);
        }
    };
    let walked = Walk::new(&header, &mut contents).run(input, findings);
    details.tables = tables(contents);
    walked.map(|()| Format::PgDump)
}

/// The tables of a dump that was read, in its own order.
fn tables(contents: Contents) -> Vec<TableRows> {
    let entries = contents.entries.into_iter();
    entries
        .filter(|entry| entry.kind.is_table())
        .map(|entry| TableRows { table: entry.name, rows: entry.rows })
        .collect()
}
