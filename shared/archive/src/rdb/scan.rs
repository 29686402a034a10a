//! The snapshot's bytes in order, with their checksum, and the encodings that everything else is
//! made of: lengths and strings.
//!
//! Nothing is held of a string but what the caller asks for. The window stays unconsumed in the
//! input until all of it is read, so that the checksum runs over large pieces and costs no copy.

use std::io::BufRead;

use crc_fast::{CrcAlgorithm, Digest};

use crate::{
    input::{Input, Stop},
    report::Place,
};

/// A compressed string of `n` bytes cannot hold more than this many times `n`: LZF's longest
/// reference takes 3 bytes and stands for 264 (`lzf_d.c` of Redis: a length of 7 + 255 + 2).
const LZF_RATIO: u64 = 88;

/// Why the walk cannot go on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The input stopped.
    Stop(Stop),
    /// The bytes at this offset cannot be what they must be.
    Broken {
        /// Offset of the bytes.
        at: u64,
        /// What is wrong.
        message: String,
    },
    /// The bytes at this offset mean something that this reader does not know. They are damaged,
    /// or a newer server wrote them.
    Foreign {
        /// Offset of the bytes.
        at: u64,
        /// What is not known.
        message: String,
    },
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Stop(error.into())
    }
}

/// How a string is stored.
enum Stored {
    /// As itself, with its length.
    Plain(u64),
    /// As a number.
    Number(i64),
    /// Compressed: stored and real length.
    Lzf { stored: u64, real: u64 },
}

/// Lengths that the first byte's two highest bits tell apart (`rdb.h` of Redis).
enum Length {
    Plain(u64),
    /// What follows is encoded in the way of this number.
    Encoded(u8),
}

/// Reads the snapshot's encodings and sums its bytes.
pub(crate) struct Scan<'i, 'a> {
    input: &'i mut Input<'a>,
    /// Bytes of the input's window that are read, but neither summed nor consumed.
    ahead: usize,
    digest: Digest,
}

impl std::fmt::Debug for Scan<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("offset", &self.offset()).finish_non_exhaustive()
    }
}

impl<'i, 'a> Scan<'i, 'a> {
    pub(crate) fn new(input: &'i mut Input<'a>) -> Self {
        // CRC-64 of Jones, reflected, from zero, as `crc64.c` of Redis defines it.
        Self { input, ahead: 0, digest: Digest::new(CrcAlgorithm::Crc64Redis) }
    }

    /// The offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.input.offset() + self.ahead as u64
    }

    /// A place in the artifact.
    pub(crate) fn place_at(&self, offset: u64, item: Option<&str>) -> Place {
        self.input.place_at(offset, item)
    }

    /// The checksum of everything that was read.
    pub(crate) fn checksum(&mut self) -> Result<u64, Fault> {
        self.settle()?;
        Ok(self.digest.finalize())
    }

    /// Sums and consumes what was read, and hands the input back.
    pub(crate) fn finish(mut self) -> Result<&'i mut Input<'a>, Fault> {
        self.settle()?;
        Ok(self.input)
    }

    fn settle(&mut self) -> Result<(), Fault> {
        if self.ahead > 0 {
            let window = self.input.fill_buf()?;
            self.digest.update(window.get(..self.ahead).unwrap_or(window));
            self.input.consume(self.ahead);
            self.ahead = 0;
        }
        Ok(())
    }

    /// The bytes at hand, none at the end.
    fn window(&mut self) -> Result<&[u8], Fault> {
        if self.ahead > 0 && self.ahead >= self.input.fill_buf()?.len() {
            self.settle()?;
        }
        let ahead = self.ahead;
        Ok(self.input.fill_buf()?.get(ahead..).unwrap_or_default())
    }

    /// Reads what is left to the end, but for its last `N` bytes, which come back unsummed; none
    /// when fewer are left.
    pub(crate) fn all_but_last<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Fault> {
        self.settle()?;
        let mut held: Vec<u8> = Vec::new();
        loop {
            let window = self.input.fill_buf()?;
            if window.is_empty() {
                return Ok(held.try_into().ok());
            }
            held.extend_from_slice(window);
            let len = window.len();
            self.input.consume(len);
            let certain = held.len().saturating_sub(N);
            self.digest.update(held.get(..certain).unwrap_or_default());
            held.drain(..certain);
        }
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        match self.window()?.first() {
            Some(&byte) => {
                self.ahead += 1;
                Ok(byte)
            }
            None => Err(Stop::Cut.into()),
        }
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        if let Some(bytes) = self.window()?.first_chunk::<N>() {
            array = *bytes;
            self.ahead += N;
        } else {
            for slot in &mut array {
                *slot = self.byte()?;
            }
        }
        Ok(array)
    }

    /// The next `N` bytes, which the checksum leaves out: the checksum itself.
    pub(crate) fn unsummed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.settle()?;
        Ok(self.input.array()?)
    }

    /// Hands the next `len` bytes to `visit`, piece by piece.
    fn pieces(&mut self, mut len: u64, mut visit: impl FnMut(&[u8])) -> Result<(), Fault> {
        while len > 0 {
            let window = self.window()?;
            let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(window.len());
            match window.get(..wanted) {
                Some(piece) if !piece.is_empty() => visit(piece),
                _ => return Err(Stop::Cut.into()),
            }
            self.ahead += wanted;
            len -= wanted as u64;
        }
        Ok(())
    }

    /// Passes over `len` bytes.
    pub(crate) fn skip(&mut self, len: u64) -> Result<(), Fault> {
        self.pieces(len, |_| {})
    }

    /// A length.
    pub(crate) fn length(&mut self) -> Result<u64, Fault> {
        let at = self.offset();
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => {
                Err(Fault::Broken { at, message: "an encoded string stands for a length".into() })
            }
        }
    }

    fn any_length(&mut self) -> Result<Length, Fault> {
        let at = self.offset();
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first)),
            1 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 => match first {
                0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
                0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
                _ => {
                    let message = format!("no length begins with byte 0x{first:02x}");
                    return Err(Fault::Broken { at, message });
                }
            },
            _ => Length::Encoded(first & 0x3f),
        })
    }

    fn stored(&mut self) -> Result<Stored, Fault> {
        let at = self.offset();
        Ok(match self.any_length()? {
            Length::Plain(length) => Stored::Plain(length),
            Length::Encoded(0) => Stored::Number(i64::from(i8::from_le_bytes(self.array()?))),
            Length::Encoded(1) => Stored::Number(i64::from(i16::from_le_bytes(self.array()?))),
            Length::Encoded(2) => Stored::Number(i64::from(i32::from_le_bytes(self.array()?))),
            Length::Encoded(3) => {
                let (stored, real) = (self.length()?, self.length()?);
                if real == 0 || stored == 0 || real / LZF_RATIO > stored {
                    let message =
                        format!("{stored} compressed bytes cannot hold the {real} that they claim");
                    return Err(Fault::Broken { at, message });
                }
                Stored::Lzf { stored, real }
            }
            Length::Encoded(kind) => {
                let message = format!("no string is encoded in the way of number {kind}");
                return Err(Fault::Broken { at, message });
            }
        })
    }

    /// Passes over a string; a compressed one is followed to its end.
    pub(crate) fn skip_string(&mut self) -> Result<(), Fault> {
        let at = self.offset();
        match self.stored()? {
            Stored::Plain(length) => self.skip(length),
            Stored::Number(_) => Ok(()),
            Stored::Lzf { stored, real } => self.follow_lzf(at, stored, real),
        }
    }

    /// Reads a string of at most `limit` bytes into `into`; a longer one is passed over, and `into`
    /// holds its beginning when it is not compressed. Returns its real length.
    pub(crate) fn string(&mut self, into: &mut Vec<u8>, limit: usize) -> Result<u64, Fault> {
        into.clear();
        let at = self.offset();
        match self.stored()? {
            Stored::Plain(length) => {
                self.pieces(length, |piece| {
                    let room = limit.saturating_sub(into.len()).min(piece.len());
                    into.extend_from_slice(piece.get(..room).unwrap_or_default());
                })?;
                Ok(length)
            }
            Stored::Number(number) => {
                into.extend_from_slice(number.to_string().as_bytes());
                Ok(into.len() as u64)
            }
            Stored::Lzf { stored, real } if real <= limit as u64 => {
                // The real length is within the limit, and the stored one is not above it: a
                // writer keeps a string as it is when compression does not make it shorter.
                if stored > real {
                    return Err(Fault::Broken { at, message: longer_compressed(stored, real) });
                }
                let mut packed = Vec::with_capacity(usize::try_from(stored).unwrap_or(0));
                self.pieces(stored, |piece| packed.extend_from_slice(piece))?;
                unpack_lzf(&packed, usize::try_from(real).unwrap_or(0), into)
                    .map_err(|message| Fault::Broken { at, message: message.into() })?;
                Ok(real)
            }
            Stored::Lzf { stored, real } => {
                self.follow_lzf(at, stored, real)?;
                Ok(real)
            }
        }
    }

    /// Checks a compressed string without unpacking it: its runs and references must add up to the
    /// length that it claims, and no reference may reach before its beginning.
    fn follow_lzf(&mut self, at: u64, stored: u64, real: u64) -> Result<(), Fault> {
        let broken = |message: &str| Fault::Broken { at, message: message.into() };
        let spend = |left: u64, by: u64| left.checked_sub(by).ok_or_else(|| broken(LZF_ENDS_EARLY));
        let (mut left, mut made) = (stored, 0_u64);
        while left > 0 {
            left -= 1;
            let control = self.byte()?;
            if control < 32 {
                let run = u64::from(control) + 1;
                left = spend(left, run)?;
                self.skip(run)?;
                made += run;
                continue;
            }
            let mut length = u64::from(control >> 5) + 2;
            if length == 9 {
                left = spend(left, 1)?;
                length += u64::from(self.byte()?);
            }
            left = spend(left, 1)?;
            let back = (u64::from(control & 0x1f) << 8 | u64::from(self.byte()?)) + 1;
            if back > made {
                return Err(broken(LZF_BEFORE_BEGINNING));
            }
            made += length;
        }
        if made == real { Ok(()) } else { Err(broken(LZF_LENGTH)) }
    }
}

const LZF_ENDS_EARLY: &str = "a compressed string ends within a run";
const LZF_BEFORE_BEGINNING: &str = "a compressed string refers to bytes before its beginning";
const LZF_LENGTH: &str = "a compressed string has not the length that it claims";

fn longer_compressed(stored: u64, real: u64) -> String {
    format!("a compressed string of {stored} bytes is longer than the {real} that it stands for")
}

/// Unpacks LZF into `into`, which must come to `real` bytes.
fn unpack_lzf(packed: &[u8], real: usize, into: &mut Vec<u8>) -> Result<(), &'static str> {
    into.reserve(real);
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        if control < 32 {
            let (run, after) =
                after.split_at_checked(usize::from(control) + 1).ok_or(LZF_ENDS_EARLY)?;
            into.extend_from_slice(run);
            rest = after;
        } else {
            let mut length = usize::from(control >> 5);
            let mut after = after;
            if length == 7 {
                let (&more, beyond) = after.split_first().ok_or(LZF_ENDS_EARLY)?;
                length += usize::from(more);
                after = beyond;
            }
            let (&low, beyond) = after.split_first().ok_or(LZF_ENDS_EARLY)?;
            let back = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
            let mut from = into.len().checked_sub(back).ok_or(LZF_BEFORE_BEGINNING)?;
            let mut left = length + 2;
            // A reference may overlap what it makes: each turn copies what is there.
            while left > 0 {
                let step = left.min(into.len() - from);
                into.extend_from_within(from..from + step);
                (from, left) = (from + step, left - step);
            }
            rest = beyond;
        }
        if into.len() > real {
            return Err(LZF_LENGTH);
        }
    }
    if into.len() == real { Ok(()) } else { Err(LZF_LENGTH) }
}
