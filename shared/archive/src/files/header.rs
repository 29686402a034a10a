//! Headers in GNU tar's form, which every tar reads: names of any bytes and any length, and numbers
//! of any size, without a second header for most files.

use rustix::fs::{Stat, major, minor};

/// Bytes of a header, and what data is filled up to.
pub(crate) const BLOCK: u64 = 512;
/// Bytes that a name may have in the header itself.
const NAME: usize = 100;

/// A member's header, with headers for its long names before it.
pub(crate) fn write(kind: u8, path: &[u8], link: &[u8], size: u64, stat: &Stat) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, name) in [(b'K', link), (b'L', path)] {
        if name.len() > NAME {
            let len = name.len() as u64 + 1;
            bytes.extend(Header::new(kind, b"././@LongLink", b"", len).finish());
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    let mut header = Header::new(kind, path, link, size);
    header.number(100, 8, u64::from(stat.st_mode & 0o7777));
    header.number(108, 8, u64::from(stat.st_uid));
    header.number(116, 8, u64::from(stat.st_gid));
    header.time(stat.st_mtime);
    if matches!(kind, b'3' | b'4') {
        header.number(329, 8, u64::from(major(stat.st_rdev)));
        header.number(337, 8, u64::from(minor(stat.st_rdev)));
    }
    bytes.extend(header.finish());
    bytes
}

pub(crate) struct Header {
    raw: [u8; 512],
}

impl Header {
    pub(crate) fn new(kind: u8, path: &[u8], link: &[u8], size: u64) -> Self {
        let mut header = Self { raw: [0; 512] };
        header.set(0, path.get(..NAME).unwrap_or(path));
        header.set(157, link.get(..NAME).unwrap_or(link));
        for (at, len) in [(100, 8), (108, 8), (116, 8), (136, 12)] {
            header.number(at, len, 0);
        }
        header.number(124, 12, size);
        header.set(156, &[kind]);
        header.set(257, b"ustar  \0");
        header
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.raw.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    /// Octal where it fits, base-256 where not.
    fn number(&mut self, at: usize, len: usize, value: u64) {
        let digits = format!("{value:0width$o}", width = len - 1);
        if digits.len() < len {
            self.set(at, digits.as_bytes());
            self.set(at + len - 1, &[0]);
        } else {
            let bytes = u128::from(value).to_be_bytes();
            self.set(at, bytes.get(16 - len..).unwrap_or_default());
            self.set(at, &[0x80]);
        }
    }

    fn time(&mut self, seconds: i64) {
        match u64::try_from(seconds) {
            Ok(seconds) => self.number(136, 12, seconds),
            Err(_) => {
                let bytes = i128::from(seconds).to_be_bytes();
                self.set(136, bytes.get(4..).unwrap_or_default());
            }
        }
    }

    pub(crate) fn finish(mut self) -> [u8; 512] {
        self.set(148, b"        ");
        let sum: u32 = self.raw.iter().map(|byte| u32::from(*byte)).sum();
        self.set(148, format!("{sum:06o}\0 ").as_bytes());
        self.raw
    }
}
