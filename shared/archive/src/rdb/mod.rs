//! Redis and Valkey snapshots (RDB), of every version.
//!
//! The whole structure is walked without holding a value, and the checksum of the file is computed
//! over every byte. What a snapshot means is described by the servers' own sources (`rdb.h`,
//! `rdb.c`); there is no other specification.

mod packed;
mod scan;
mod value;
mod walk;

use crate::{
    input::{Input, Stop},
    report::{Details, Findings, Format},
};

/// Whether these first bytes are a snapshot's.
pub(crate) fn is_it(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"REDIS").and_then(<[u8]>::first_chunk::<4>);
    let digits = digits.map(<[u8; 4]>::as_slice).or_else(|| {
        bytes.strip_prefix(b"VALKEY").and_then(<[u8]>::first_chunk::<3>).map(<[u8; 3]>::as_slice)
    });
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// How a walk over a snapshot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At its end mark and checksum, right or wrong; the input stands behind them.
    Whole,
    /// Before; it is said why, and the input is at its end.
    BrokeOff,
}

/// Reads a snapshot to the end of the input.
pub(crate) fn read(
    input: &mut Input<'_>,
    findings: &mut Findings,
    details: &mut Details,
) -> Result<Format, Stop> {
    if read_preamble(input, findings, details)? == Ending::Whole {
        let end = input.offset();
        let more = input.skip_all()?;
        if more > 0 {
            let message = format!("{more} bytes follow the snapshot's end");
            findings.add(input.place_at(end, None), message);
        }
    }
    Ok(Format::Rdb)
}

/// Reads a snapshot behind which something else may follow.
pub(crate) fn read_preamble(
    input: &mut Input<'_>,
    findings: &mut Findings,
    details: &mut Details,
) -> Result<Ending, Stop> {
    walk::walk(input, findings, details)
}

#[cfg(test)]
mod tests;
