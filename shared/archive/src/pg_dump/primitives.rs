//! The integers and strings of a dump, read strictly: `pg_dump` writes each value in one way only,
//! so any other way is damage.

use crate::input::{Input, Stop};

/// Bytes of a string that is passed over: a definition, at most one value of PostgreSQL's `text`
/// (1 GB, appendix "PostgreSQL Limits").
const SKIPPED_MAX: u64 = 1 << 30;

/// Why a part of a dump could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes are at fault.
    Stop(Stop),
    /// What the bytes say is.
    Wrong { offset: u64, item: Option<String>, message: String },
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Fault {
    pub(super) fn wrong(offset: u64, message: impl Into<String>) -> Self {
        Self::Wrong { offset, item: None, message: message.into() }
    }

    /// The same, in this item unless another is named already.
    pub(super) fn in_item(self, name: impl FnOnce() -> String) -> Self {
        match self {
            Self::Wrong { offset, item: None, message } => {
                Self::Wrong { offset, item: Some(name()), message }
            }
            named @ (Self::Wrong { .. } | Self::Stop(_)) => named,
        }
    }
}

/// Bytes of the integers and file offsets, as the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) integer: usize,
    pub(super) offset: usize,
}

impl Sizes {
    /// An integer: a byte for the sign, then its value, low byte first.
    pub(super) fn integer(self, input: &mut Input<'_>) -> Result<i32, Fault> {
        let offset = input.offset();
        let sign = input.byte()?;
        let value = little_endian(input, self.integer)?;
        match (sign, i32::try_from(value)) {
            (0, Ok(value)) => Ok(value),
            (1, Ok(value)) if value > 0 => Ok(-value),
            // OIDs are unsigned; as an `int`, 2^31 has no positive counterpart.
            (1, Err(_)) if value == 1 << 31 => Ok(i32::MIN),
            _ => Err(Fault::wrong(offset, format!("no integer: sign {sign}, value {value}"))),
        }
    }

    /// An integer within bounds.
    pub(super) fn within(
        self,
        input: &mut Input<'_>,
        bounds: std::ops::RangeInclusive<i32>,
        what: &str,
    ) -> Result<i32, Fault> {
        let offset = input.offset();
        let value = self.integer(input)?;
        if bounds.contains(&value) {
            Ok(value)
        } else {
            Err(Fault::wrong(offset, format!("{what} is {value}")))
        }
    }

    /// The length of a string; none for a null pointer.
    fn length(self, input: &mut Input<'_>, max: u64) -> Result<Option<u64>, Fault> {
        let offset = input.offset();
        match self.integer(input)? {
            -1 => Ok(None),
            len => match u64::try_from(len) {
                Ok(len) if len <= max => Ok(Some(len)),
                _ => Err(Fault::wrong(offset, format!("a string of {len} bytes"))),
            },
        }
    }

    /// A string of at most `max` bytes; none for a null pointer.
    pub(super) fn string(self, input: &mut Input<'_>, max: usize) -> Result<Option<String>, Fault> {
        let Some(len) = self.length(input, max as u64)? else { return Ok(None) };
        let bytes = input.bytes(usize::try_from(len).unwrap_or(max))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A number that is written as a string; none for a null pointer.
    pub(super) fn digits(self, input: &mut Input<'_>, what: &str) -> Result<Option<u32>, Fault> {
        // Bytes of 4294967295.
        const DIGITS: usize = 10;
        let offset = input.offset();
        let Some(text) = self.string(input, DIGITS)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
            _ => Err(Fault::wrong(offset, format!("{what} is {text:?}"))),
        }
    }

    /// Passes over a string and says whether there was one.
    pub(super) fn skip_string(self, input: &mut Input<'_>) -> Result<bool, Fault> {
        let len = self.length(input, SKIPPED_MAX)?;
        input.skip(len.unwrap_or_default())?;
        Ok(len.is_some())
    }

    /// A file offset.
    pub(super) fn file_offset(self, input: &mut Input<'_>) -> Result<u64, Fault> {
        Ok(little_endian(input, self.offset)?)
    }
}

fn little_endian(input: &mut Input<'_>, bytes: usize) -> Result<u64, Stop> {
    let mut value = 0;
    for shift in (0..bytes).map(|byte| 8 * byte) {
        value |= u64::from(input.byte()?) << shift;
    }
    Ok(value)
}
