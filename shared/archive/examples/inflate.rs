//! Inflates the blocks of a gzip dump and does nothing else with them: what `lifeboat verify` is
//! held against, with the same inflate and buffers of the same size.
//!
//! `cargo run --release -p lifeboat-archive --example inflate -- DUMP`, for dumps of `pg_dump` with
//! integers of 4 bytes, which all are. Prints the bytes that came out.

use std::{error::Error, io::Write};

use flate2::{Decompress, FlushDecompress, Status};

/// An integer: a sign, and four bytes, the lowest first.
fn integer(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let field = bytes.get(*at..*at + 5)?;
    let (sign, value) = field.split_first()?;
    *at += 5;
    (*sign == 0).then(|| u32::from_le_bytes(value.try_into().unwrap_or_default()) as usize)
}

/// The compressed stream of each block, its chunks joined; none unless the blocks from here reach to
/// the very end of the file.
fn streams(bytes: &[u8], mut at: usize, mut take: impl FnMut(&[&[u8]])) -> Option<()> {
    while at < bytes.len() {
        let kind = *bytes.get(at)?;
        at += 1;
        integer(bytes, &mut at).filter(|id| kind == 1 && *id > 0)?;
        let mut chunks = Vec::new();
        loop {
            let len = integer(bytes, &mut at)?;
            if len == 0 {
                break;
            }
            chunks.push(bytes.get(at..at.checked_add(len)?)?);
            at += len;
        }
        take(&chunks);
    }
    Some(())
}

fn inflate(
    chunks: &[&[u8]],
    zlib: &mut Decompress,
    input: &mut Vec<u8>,
    output: &mut [u8],
) -> Result<u64, Box<dyn Error>> {
    zlib.reset(true);
    let mut chunks = chunks.iter().peekable();
    loop {
        // As many chunks as the readers' buffer has room for: see INPUT in `pg_dump/decode.rs`.
        input.clear();
        while let Some(chunk) = chunks.next_if(|chunk| input.len() + chunk.len() <= 128 * 1024) {
            input.extend_from_slice(chunk);
        }
        if input.is_empty() {
            return Err("the stream has no end".into());
        }
        let mut rest = input.as_slice();
        while !rest.is_empty() {
            let before = (zlib.total_in(), zlib.total_out());
            let status = zlib.decompress(rest, output, FlushDecompress::None)?;
            rest = rest.get(usize::try_from(zlib.total_in() - before.0)?..).unwrap_or_default();
            if status == Status::StreamEnd {
                return Ok(zlib.total_out());
            }
            if before == (zlib.total_in(), zlib.total_out()) {
                return Err("the stream is damaged".into());
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let bytes = std::fs::read(std::env::args().nth(1).ok_or("which dump?")?)?;
    // The blocks begin behind the table of contents: the first place from which they can be followed.
    let begins = |at: &usize| streams(&bytes, *at, |_| {}).is_some();
    let start = memchr::memchr_iter(1, &bytes).find(begins).ok_or("no blocks of data")?;
    let mut zlib = Decompress::new(true);
    let (mut input, mut output) = (Vec::new(), vec![0; 256 * 1024]);
    let (mut total, mut failure) = (0, None);
    streams(&bytes, start, |chunks| match inflate(chunks, &mut zlib, &mut input, &mut output) {
        Ok(made) => total += made,
        Err(error) => failure = Some(error),
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(writeln!(std::io::stdout(), "{total} bytes")?),
    }
}
