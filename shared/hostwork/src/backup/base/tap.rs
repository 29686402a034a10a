//! Takes a member out of a tar that passes by.

use std::io::{self, Write};

/// tar's unit.
const BLOCK: usize = 512;
/// The member that is taken.
const MANIFEST: &[u8] = b"backup_manifest";
/// Bytes of a manifest that are kept: about 250,000 files. A larger one is not taken, and the
/// backup fails, rather than fill the memory.
const LONGEST: u64 = 64 << 20;

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The manifest.
    pub(super) manifest: Option<Vec<u8>>,
}

/// Passes everything on, and keeps the manifest.
pub(super) struct Tap<W> {
    into: W,
    header: Vec<u8>,
    /// Bytes of the member, and of its padding, that are still to come.
    content: u64,
    padding: u64,
    is_taken: bool,
    manifest: Option<Vec<u8>>,
}

impl<W: Write> Tap<W> {
    pub(super) fn new(into: W) -> Self {
        let header = Vec::with_capacity(BLOCK);
        Self { into, header, content: 0, padding: 0, is_taken: false, manifest: None }
    }

    pub(super) fn taken(self) -> Taken {
        Taken { manifest: self.manifest.filter(|_| self.content == 0) }
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = match (self.content, self.padding) {
                (0, 0) => (BLOCK - self.header.len()) as u64,
                (0, padding) => padding,
                (content, _) => content,
            };
            let len = usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at(len);
            bytes = rest;
            match (self.content, self.padding) {
                (0, 0) => {
                    self.header.extend_from_slice(piece);
                    if self.header.len() == BLOCK {
                        self.member();
                        self.header.clear();
                    }
                }
                (0, _) => self.padding -= len as u64,
                (_, _) => {
                    self.content -= len as u64;
                    if let Some(manifest) = self.manifest.as_mut().filter(|_| self.is_taken) {
                        manifest.extend_from_slice(piece);
                    }
                }
            }
        }
    }

    /// A header is complete. PostgreSQL writes names below 100 bytes and sizes in octal, or in base
    /// 256 from 8 GiB on (`tarCreateHeader`).
    fn member(&mut self) {
        let name = self.header.get(..100).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let size = self.header.get(124..136).unwrap_or_default();
        let size = match size.split_first() {
            Some((0x80, rest)) => {
                rest.iter().fold(0_u64, |size, byte| (size << 8) | u64::from(*byte))
            }
            _ => size
                .iter()
                .filter(|byte| (b'0'..=b'7').contains(*byte))
                .fold(0, |size, byte| (size << 3) | u64::from(byte - b'0')),
        };
        let kind = self.header.get(156).copied().unwrap_or_default();
        // Folders and links have no content.
        let size = if matches!(kind, b'0' | 0) { size } else { 0 };
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        self.is_taken = name == MANIFEST && size <= LONGEST;
        if self.is_taken {
            self.manifest = Some(Vec::new());
        }
    }
}

impl<W: Write> Write for Tap<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.into.write(bytes)?;
        self.follow(bytes.get(..len).unwrap_or_default());
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}
