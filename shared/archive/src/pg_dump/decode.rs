//! Decompresses one stream of a dump to its end and its checksum.
//!
//! The inflate is zlib-rs. Seconds of one core for the blocks of a dump with 1.01 GB of text (123 MB
//! stored, `pgbench` and `jsonb`), medians of four runs side by side: zlib-rs 0.57, fdeflate 0.62,
//! zlib-ng 0.62, ISA-L 0.48, `pg_restore` 1.39. ISA-L's crate runs autotools (and, on x86-64, nasm)
//! in its build, which no cross-compiler here has; zlib-ng's needs CMake and is no faster.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{
    chunks::Chunks,
    header::{Compression, Header},
    primitives::{Fault, Sizes},
};
use crate::{input::Input, layers::Single};

/// Bytes that go into the decoder at once. Chunks have about 4 KiB; the decoder is fast only while
/// it is far from the end of its input.
const INPUT: usize = 128 * 1024;

/// Bytes that come out at once: few enough for the second-level cache, many beside the 32 KiB of
/// window that the decoder puts by at each return.
const OUTPUT: usize = 256 * 1024;

/// What became of a stream whose chunks could be followed to their end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Sound,
    Damaged(String),
}

/// Decoder and buffers, used again for each stream.
pub(super) struct Decoder {
    compression: Compression,
    sizes: Sizes,
    zlib: Decompress,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Decoder {
    pub(super) fn new(header: &Header) -> Self {
        Self {
            compression: header.compression,
            sizes: header.sizes,
            zlib: Decompress::new(true),
            input: vec![0; INPUT],
            output: vec![0; OUTPUT],
        }
    }

    /// Hands the decompressed bytes of the stream at `input` to `visit`, and leaves `input` behind
    /// the stream, damaged or not.
    ///
    /// # Errors
    /// The end of the stream cannot be found.
    pub(super) fn stream(
        &mut self,
        input: &mut Input<'_>,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<Stream, Fault> {
        let mut chunks = Chunks::new(input, self.sizes);
        let decoded = match self.compression {
            Compression::None => {
                chunks.pass(visit)?;
                return Ok(Stream::Sound);
            }
            // A stream without any bytes was never begun: nothing was written to it.
            Compression::Gzip | Compression::Lz4 | Compression::Zstd if is_at_end(&mut chunks) => {
                Ok(())
            }
            Compression::Gzip => self.inflate(&mut chunks, &mut visit),
            Compression::Lz4 => self.pull(Single::lz4(&mut chunks), &mut visit),
            Compression::Zstd => {
                Single::zstd(&mut chunks).and_then(|frame| self.pull(frame, &mut visit))
            }
        };
        let left = chunks.finish()?;
        Ok(match decoded {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Stream::Damaged("the compressed data ends too early".to_owned())
            }
            Err(error) => Stream::Damaged(format!("the compressed data is damaged: {error}")),
            Ok(()) if left > 0 => {
                Stream::Damaged(format!("{left} bytes follow the end of the compressed data"))
            }
            Ok(()) => Stream::Sound,
        })
    }

    fn pull(
        &mut self,
        mut frame: Single<impl BufRead>,
        visit: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        loop {
            match frame.read(&mut self.output)? {
                0 => return Ok(()),
                read => visit(self.output.get(..read).unwrap_or_default()),
            }
        }
    }

    fn inflate(
        &mut self,
        chunks: &mut Chunks<'_, '_>,
        visit: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.zlib.reset(true);
        let (mut start, mut end) = (0, 0);
        loop {
            if start == end {
                start = 0;
                end = fill(chunks, &mut self.input)?;
                if end == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let (before_in, before_out) = (self.zlib.total_in(), self.zlib.total_out());
            let compressed = self.input.get(start..end).unwrap_or_default();
            let status = self
                .zlib
                .decompress(compressed, &mut self.output, FlushDecompress::None)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let taken = usize::try_from(self.zlib.total_in() - before_in).unwrap_or(usize::MAX);
            let made = usize::try_from(self.zlib.total_out() - before_out).unwrap_or(usize::MAX);
            start = start.saturating_add(taken);
            visit(self.output.get(..made).unwrap_or_default());
            match status {
                Status::StreamEnd if start == end => return Ok(()),
                Status::StreamEnd => {
                    let message = "bytes follow the end of the compressed data";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                Status::Ok | Status::BufError if taken == 0 && made == 0 => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "no progress"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

/// Whether the stream has no bytes (left). What is wrong with its chunks is told by `finish`.
fn is_at_end(chunks: &mut Chunks<'_, '_>) -> bool {
    chunks.fill_buf().map_or(true, <[u8]>::is_empty)
}

/// Fills the buffer from as many chunks as it takes.
fn fill(chunks: &mut Chunks<'_, '_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match chunks.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            // Decode what came before; the fault is kept.
            Err(_) if filled > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
