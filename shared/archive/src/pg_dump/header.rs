//! A dump's header: version, sizes, compression, when and by what it was written.

use super::{
    MAGIC,
    primitives::{Fault, Sizes},
};
use crate::input::Input;

/// Bytes of the strings in the header: names (63 bytes, `NAMEDATALEN`) and versions.
const STRING_MAX: usize = 1024;

/// The archive's format number for `--format=custom`: `archCustom` in `pg_backup.h`.
const CUSTOM: u8 = 1;

/// How a dump's data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// A zlib stream, in spite of the option's name.
    Gzip,
    Lz4,
    Zstd,
}

#[derive(Debug)]
pub(super) struct Header {
    /// The archive's version is 1 and this.
    pub(super) minor: u8,
    pub(super) sizes: Sizes,
    pub(super) compression: Compression,
    server: Option<String>,
    pg_dump: Option<String>,
}

impl Header {
    pub(super) fn read(input: &mut Input<'_>) -> Result<Self, Fault> {
        let magic = input.array::<5>()?;
        if magic != MAGIC {
            return Err(Fault::wrong(0, "no pg_dump archive"));
        }
        let at = input.offset();
        let [major, minor, _revision] = input.array()?;
        if major != 1 || !(14..=16).contains(&minor) {
            let message = format!(
                "archive version {major}.{minor}; PostgreSQL 12 to 18 write 1.14, 1.15 and 1.16"
            );
            return Err(Fault::wrong(at, message));
        }
        let at = input.offset();
        let [integer, offset, format] = input.array()?;
        if !matches!((integer, offset), (4 | 8, 4 | 8)) {
            let message = format!("integers of {integer} bytes and offsets of {offset}");
            return Err(Fault::wrong(at, message));
        }
        if format != CUSTOM {
            return Err(Fault::wrong(at + 2, format!("archive format {format} is not custom")));
        }
        let sizes = Sizes { integer: integer.into(), offset: offset.into() };
        let compression = if minor >= 15 { algorithm(input)? } else { level(input, sizes)? };
        date(input, sizes)?;
        let _database = sizes.string(input, STRING_MAX)?;
        let server = sizes.string(input, STRING_MAX)?;
        let pg_dump = sizes.string(input, STRING_MAX)?;
        Ok(Self { minor, sizes, compression, server, pg_dump })
    }

    /// Who wrote it, as it says itself.
    pub(super) fn written_by(&self) -> String {
        let unknown = || "of an unknown version".to_owned();
        format!(
            "pg_dump {} from PostgreSQL {} (archive version 1.{})",
            self.pg_dump.clone().unwrap_or_else(unknown),
            self.server.clone().unwrap_or_else(unknown),
            self.minor
        )
    }
}

/// From 1.15: `pg_compress_algorithm` in PostgreSQL's `compression.h`.
fn algorithm(input: &mut Input<'_>) -> Result<Compression, Fault> {
    let at = input.offset();
    match input.byte()? {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Gzip),
        2 => Ok(Compression::Lz4),
        3 => Ok(Compression::Zstd),
        other => Err(Fault::wrong(at, format!("compression algorithm {other} is not known"))),
    }
}

/// Up to 1.14: zlib's level, 0 for none and -1 for its default.
fn level(input: &mut Input<'_>, sizes: Sizes) -> Result<Compression, Fault> {
    let level = sizes.within(input, -1..=9, "the compression level")?;
    Ok(if level == 0 { Compression::None } else { Compression::Gzip })
}

/// When it was written, as C's `struct tm`: only held against its bounds.
fn date(input: &mut Input<'_>, sizes: Sizes) -> Result<(), Fault> {
    sizes.within(input, 0..=60, "the date's second")?;
    sizes.within(input, 0..=59, "the date's minute")?;
    sizes.within(input, 0..=23, "the date's hour")?;
    sizes.within(input, 1..=31, "the date's day")?;
    sizes.within(input, 0..=11, "the date's month")?;
    // Since 1900. PostgreSQL 12 is of 2019; a clock may be wrong, but not by centuries.
    sizes.within(input, 70..=400, "the date's year")?;
    sizes.within(input, -1..=1, "the date's daylight saving")?;
    Ok(())
}
