//! One 512-byte header of a tar archive: POSIX ustar, with the extensions of GNU tar.

/// Bytes of a header, and what every member's data is rounded up to (POSIX.1-2017, `pax`).
pub(crate) const BLOCK: usize = 512;

/// The largest number that a field may hold. Larger ones are no sizes, and would overflow.
const NUMBER_LIMIT: u64 = 1 << 62;

/// What a block in the place of a header is.
#[derive(Debug)]
pub(crate) enum Block {
    /// Nothing but zeros: one half of the end mark.
    Zero,
    /// A header whose checksum is right.
    Header(Header),
    /// Something else; why.
    Bad(&'static str),
}

/// A header whose checksum is right.
#[derive(Debug)]
pub(crate) struct Header {
    raw: [u8; BLOCK],
}

/// Whether `first`, the beginning of a file, begins with a tar header.
pub(crate) fn is_header(first: &[u8]) -> bool {
    first.first_chunk::<BLOCK>().is_some_and(|raw| matches!(Block::parse(*raw), Block::Header(_)))
}

impl Block {
    pub(crate) fn parse(raw: [u8; BLOCK]) -> Self {
        if crate::zeros::is_zero(&raw) {
            return Self::Zero;
        }
        let header = Header { raw };
        match header.field(257, 8) {
            b"ustar\x0000" | b"ustar  \0" | [0, 0, 0, 0, 0, 0, 0, 0] => {}
            _ => return Self::Bad("the header's magic is not tar's"),
        }
        let Some(claimed) = checksum(header.field(148, 8)) else {
            return Self::Bad("the header's checksum is no number");
        };
        // The sum of all bytes, those of the checksum itself taken as spaces.
        let sum: u64 = raw.iter().map(|byte| u64::from(*byte)).sum::<u64>()
            - header.field(148, 8).iter().map(|byte| u64::from(*byte)).sum::<u64>()
            + 8 * u64::from(b' ');
        if sum == claimed {
            Self::Header(header)
        } else {
            Self::Bad("the header's checksum does not match it")
        }
    }
}

impl Header {
    fn field(&self, start: usize, len: usize) -> &[u8] {
        self.raw.get(start..start + len).unwrap_or_default()
    }

    fn text(&self, start: usize, len: usize) -> &[u8] {
        let field = self.field(start, len);
        field.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or_default()
    }

    /// The path: the prefix (ustar only; GNU keeps other things there) and the name.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        let prefix = self.text(345, 155);
        if self.is_gnu() || self.field(257, 1) == [0] || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    fn is_gnu(&self) -> bool {
        self.field(257, 8) == b"ustar  \0"
    }

    pub(crate) fn size(&self) -> Option<u64> {
        number(self.field(124, 12))
    }

    pub(crate) fn mode(&self) -> Option<u64> {
        number(self.field(100, 8))
    }

    pub(crate) fn uid(&self) -> Option<u64> {
        number(self.field(108, 8))
    }

    pub(crate) fn gid(&self) -> Option<u64> {
        number(self.field(116, 8))
    }

    /// Seconds since 1970; GNU tar writes earlier times as negative base-256 numbers.
    pub(crate) fn mtime(&self) -> Option<i64> {
        let field = self.field(136, 12);
        if field.first() == Some(&0xff) {
            let tail = field.last_chunk::<8>()?;
            return Some(i64::from_be_bytes(*tail));
        }
        number(field).and_then(|seconds| i64::try_from(seconds).ok())
    }

    /// Major and minor number of a device.
    pub(crate) fn device(&self) -> Option<(u32, u32)> {
        let part = |start| number(self.field(start, 8)).and_then(|part| u32::try_from(part).ok());
        Some((part(329)?, part(337)?))
    }

    /// Whether a block with more of an old GNU sparse map follows.
    pub(crate) fn has_more_map(&self) -> bool {
        self.field(482, 1) != [0]
    }
}

/// The checksum field, in one of the forms that are in use: six digits, NUL, space; six digits,
/// space, NUL; seven digits and one of the two. Anything laxer would pass flipped bits.
fn checksum(field: &[u8]) -> Option<u64> {
    let digits = match field {
        [digits @ .., 0, b' '] | [digits @ .., b' ', 0] => digits,
        [digits @ .., 0 | b' '] => digits,
        _ => return None,
    };
    octal(digits)
}

fn octal(digits: &[u8]) -> Option<u64> {
    let digits = digits.trim_ascii_start();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// A number: octal digits that end with a space or NUL, or base-256 when the first bit is set
/// (an extension of GNU tar and star for what octal cannot hold).
pub(crate) fn number(field: &[u8]) -> Option<u64> {
    let value = match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => {
            rest.iter().try_fold(u64::from(first & 0x7f), |value, byte| {
                value.checked_mul(256)?.checked_add(u64::from(*byte))
            })?
        }
        _ => {
            let end = field.iter().rposition(|byte| !matches!(byte, 0 | b' '));
            match end {
                None => 0,
                Some(end) => octal(field.get(..=end)?)?,
            }
        }
    };
    (value <= NUMBER_LIMIT).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_in_every_form() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"0000648\0", None),
            (b"00 0644\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }

    #[test]
    fn takes_no_checksum_in_a_form_that_nobody_writes() {
        for (field, expected) in [
            (&b"007533\0 "[..], Some(0o7533)),
            (b"0007533 ", Some(0o7533)),
            (b"0007533\0", Some(0o7533)),
            (b"007533  ", None),
            (b"007533\0\0", None),
            (b"00075331", None),
        ] {
            let found = checksum(field);
            assert_eq!(found, expected, "{field:?}");
        }
    }
}
