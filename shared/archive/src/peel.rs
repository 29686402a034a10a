//! Takes off one compression, known by its first bytes.
//!
//! Errors keep their meaning: what the decompressor says of its bytes is [`io::ErrorKind::InvalidData`]
//! (or `UnexpectedEof` when they end too early), and what the reader below says passes unchanged.

use std::{
    io::{self, BufReader, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The largest window that a zstd frame may ask for, as a power of two: 32 MiB, which is all that
/// zstd's levels up to 20 use, and leaves room in the smallest Lambda.
const WINDOW_LOG: u32 = 25;
/// Bytes that a decompressor reads ahead.
const READ_AHEAD: usize = 64 * 1024;

/// A compression that [`peel`] takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
    Lz4,
}

impl Compression {
    /// By the magic numbers of RFC 1952, RFC 8878 and the LZ4 frame format.
    fn of(first: &[u8]) -> Option<Self> {
        if first.starts_with(&[0x1f, 0x8b, 8]) {
            Some(Self::Gzip)
        } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else if first.starts_with(&[0x04, 0x22, 0x4d, 0x18]) {
            Some(Self::Lz4)
        } else {
            None
        }
    }
}

/// Notes that the reader below failed, so that its errors are told from the decompressor's.
struct Watched<R> {
    inner: R,
    failed: Arc<AtomicBool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed.store(true, Ordering::Relaxed);
            }
        })
    }
}

/// Names the decompressor's own errors as damage.
struct Named<R> {
    inner: R,
    failed: Arc<AtomicBool>,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into).map_err(|error| {
            let passes = self.failed.load(Ordering::Relaxed)
                || matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted
                );
            if passes { error } else { io::Error::new(io::ErrorKind::InvalidData, error) }
        })
    }
}

/// The bytes of `reader` without their compression, and which it was.
///
/// # Errors
/// The first bytes cannot be read.
pub(crate) fn peel<'a>(
    mut reader: impl Read + Send + 'a,
) -> io::Result<(Option<Compression>, Box<dyn Read + Send + 'a>)> {
    let mut first = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut first)?;
    let compression = Compression::of(&first);
    let failed = Arc::new(AtomicBool::new(false));
    let whole = Cursor::new(first).chain(reader);
    let whole =
        BufReader::with_capacity(READ_AHEAD, Watched { inner: whole, failed: Arc::clone(&failed) });
    let plain: Box<dyn Read + Send + 'a> = match compression {
        None => return Ok((None, Box::new(whole))),
        Some(Compression::Gzip) => {
            Box::new(Named { inner: flate2::bufread::MultiGzDecoder::new(whole), failed })
        }
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(Named { inner: decoder, failed })
        }
        Some(Compression::Lz4) => {
            Box::new(Named { inner: lz4_flex::frame::FrameDecoder::new(whole), failed })
        }
    };
    Ok((compression, plain))
}
