//! Positions in the write-ahead log.

use std::{fmt, str::FromStr};

/// A position in the WAL (`pg_lsn`): a byte offset in one timeline's log, compared as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// Text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a WAL position such as 0/5000148")]
pub struct LsnError(String);

impl FromStr for Lsn {
    type Err = LsnError;

    /// Reads the two hexadecimal halves that PostgreSQL writes (manual, `pg_lsn` type).
    fn from_str(text: &str) -> Result<Self, LsnError> {
        let half = |part: &str| {
            let plain = (1..=8).contains(&part.len()) && !part.starts_with('+');
            plain.then(|| u32::from_str_radix(part, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some((half(high)?, half(low)?)))
            .map(|(high, low)| Self(u64::from(high) << 32 | u64::from(low)))
            .ok_or_else(|| LsnError(text.to_owned()))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_written_as_postgresql_does() {
        for text in ["0/0", "0/5000148", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        assert_eq!("0/5000148".parse(), Ok(Lsn(0x500_0148)));
        for text in ["", "/", "0", "0/", "/0", "0/1/2", "0/g", "+1/0", "123456789/0", "-1/0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_order_is_that_of_the_log_not_that_of_the_text() {
        let lsn = |text: &str| text.parse::<Lsn>().unwrap();
        assert!(lsn("0/9000000") < lsn("0/10000000"));
        assert!(lsn("0/FFFFFFFF") < lsn("1/0"));
        assert!(lsn("9/0") < lsn("10/0"));
    }
}
