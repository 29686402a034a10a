//! One frame (gzip: member) of a compression, from its first byte to its checksum and not further.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::Kind;

/// Log2 of the largest window that a zstd stream may ask for: 16 MiB. Levels 1 to 19 ask for at most
/// 23 (zstd's table of parameters); three layers of 16 MiB stay below 64 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// A decoder of one frame over any reader, which it leaves at the frame's end.
pub(crate) enum Frame<R: BufRead> {
    Gzip(Box<GzDecoder<R>>),
    Single(Single<R>),
}

impl<R: BufRead> Frame<R> {
    pub(super) fn new(kind: Kind, below: R) -> io::Result<Self> {
        Ok(match kind {
            Kind::Gzip => Self::Gzip(Box::new(GzDecoder::new(below))),
            Kind::Zstd => Self::Single(Single::zstd(below)?),
            Kind::Lz4 => Self::Single(Single::lz4(below)),
        })
    }

    pub(super) fn into_inner(self) -> R {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Single(single) => single.into_inner(),
        }
    }
}

impl<R: BufRead> Read for Frame<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(into),
            Self::Single(single) => single.read(into),
        }
    }
}

/// A frame of a compression that dumps use inside as well.
pub(crate) enum Single<R: BufRead> {
    Zstd(ZstdDecoder<'static, R>),
    Lz4(Box<FrameDecoder<Watched<R>>>),
}

impl<R: BufRead> Single<R> {
    pub(crate) fn zstd(below: R) -> io::Result<Self> {
        let mut decoder = ZstdDecoder::with_buffer(below)?.single_frame();
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Ok(Self::Zstd(decoder))
    }

    pub(crate) fn lz4(below: R) -> Self {
        Self::Lz4(Box::new(FrameDecoder::new(Watched { inner: below, ended: false })))
    }

    pub(crate) fn into_inner(self) -> R {
        match self {
            Self::Zstd(decoder) => decoder.finish(),
            Self::Lz4(decoder) => decoder.into_inner().inner,
        }
    }
}

impl<R: BufRead> Read for Single<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(decoder) => decoder.read(into),
            // The decoder takes the end of the bytes for the end of the frame.
            Self::Lz4(decoder) => match decoder.read(into)? {
                0 if decoder.get_ref().ended && !into.is_empty() => {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
                read => Ok(read),
            },
        }
    }
}

/// Knows whether its reader asked for bytes that are not there.
pub(crate) struct Watched<R> {
    inner: R,
    ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.ended |= read == 0 && !into.is_empty();
        Ok(read)
    }
}
