//! Bytes in order, with their position: what every reader of a format reads from.

use std::io::{self, BufRead, Read};

use crate::report::Place;

/// Bytes that are read ahead. Large enough that a call costs nothing beside the bytes, small enough
/// that a few of them fit the smallest Lambda.
const BUFFER: usize = 256 * 1024;

/// Why reading stopped before the format's end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The bytes end too early.
    Cut,
    /// An outer layer (gzip, zstd) says that its bytes are damaged.
    Damaged(String),
    /// The bytes could not be obtained; the source has kept the reason.
    Source,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds are the standard library's")]
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Source,
        }
    }
}

/// A sequential reader that knows where it is.
pub(crate) struct Input<'a> {
    inner: Box<dyn Read + Send + 'a>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    offset: u64,
    decompressed: bool,
    /// An error that was met behind bytes that could be read.
    pending: Option<io::Error>,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl<'a> Input<'a> {
    /// Reads from `inner`, whose first byte is at `offset` of the artifact; `decompressed` says
    /// whether offsets count bytes behind an outer compression.
    pub(crate) fn new(inner: impl Read + Send + 'a, offset: u64, decompressed: bool) -> Self {
        Self {
            inner: Box::new(inner),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            offset,
            decompressed,
            pending: None,
        }
    }

    /// The offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The place of the next byte, in this item.
    pub(crate) fn place(&self, item: Option<&str>) -> Place {
        self.place_at(self.offset, item)
    }

    /// A place at another offset of the same bytes.
    pub(crate) fn place_at(&self, offset: u64, item: Option<&str>) -> Place {
        Place {
            offset: Some(offset),
            decompressed: self.decompressed,
            item: item.map(str::to_owned),
        }
    }

    /// Whether the bytes are at their end.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, Stop> {
        Ok(self.fill_buf()?.is_empty())
    }

    /// The next bytes without passing over them: `len`, or fewer at the end or before an error.
    /// `len` is at most the size of the buffer.
    pub(crate) fn peek(&mut self, len: usize) -> Result<&[u8], Stop> {
        if self.end - self.start < len {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end < len {
            match self.read_behind() {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if self.end == 0 => return Err(error.into()),
                Err(error) => {
                    self.pending = Some(error);
                    break;
                }
            }
        }
        let available = self.buffer.get(self.start..self.end).unwrap_or_default();
        Ok(available.get(..len).unwrap_or(available))
    }

    /// Reads into the buffer, behind what it holds.
    fn read_behind(&mut self) -> io::Result<usize> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.inner.read(free) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Stop> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next `len` bytes. The caller has held `len` against a limit of its format.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        let read = self.by_ref().take(len as u64).read_to_end(&mut bytes)?;
        if read < len { Err(Stop::Cut) } else { Ok(bytes) }
    }

    /// Hands the next `len` bytes to `visit`, piece by piece.
    pub(crate) fn pieces(
        &mut self,
        mut len: u64,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<(), Stop> {
        while len > 0 {
            let available = self.fill_buf()?;
            let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(available.len());
            let Some(piece) = available.get(..wanted).filter(|piece| !piece.is_empty()) else {
                return Err(Stop::Cut);
            };
            visit(piece);
            self.consume(wanted);
            len -= wanted as u64;
        }
        Ok(())
    }

    /// Passes over `len` bytes; they are read, because an outer layer's checksum covers them.
    pub(crate) fn skip(&mut self, len: u64) -> Result<(), Stop> {
        self.pieces(len, |_| {})
    }

    /// Passes over all the bytes that are left, and returns how many they were.
    pub(crate) fn skip_all(&mut self) -> Result<u64, Stop> {
        let from = self.offset;
        loop {
            let available = self.fill_buf()?.len();
            if available == 0 {
                return Ok(self.offset - from);
            }
            self.consume(available);
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let len = available.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..len), available.get(..len)) {
            to.copy_from_slice(from);
        }
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = self.read_behind()?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.end - self.start);
        self.start += amount;
        self.offset += amount as u64;
    }
}
