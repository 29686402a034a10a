//! Cuts a stream into parts, and hashes the whole and each part.

use std::io::{self, Write};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::Stored;

/// The size of the first parts. S3 takes parts of 5 MiB and more (S3 user guide, "Amazon S3
/// multipart upload limits").
const FIRST: usize = 8 << 20;
/// Parts of one size; the next ones are twice as large. S3 takes 10,000 parts and 5 GiB a part: the
/// last thousand are of 4 GiB, and all together hold 8 TiB.
const OF_ONE_SIZE: u32 = 1000;

/// A part to be.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) sha256: [u8; 32],
    /// Whether the stream ends with it.
    pub(super) is_last: bool,
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Cutter {
    sender: mpsc::Sender<Piece>,
    filling: Vec<u8>,
    hash: Sha256,
    sent: u32,
    size_bytes: u64,
}

/// Bytes of the part after `sent` others.
fn part_size(sent: u32) -> usize {
    FIRST << (sent / OF_ONE_SIZE).min(9)
}

impl Cutter {
    pub(super) fn new(sender: mpsc::Sender<Piece>) -> Self {
        Self { sender, filling: Vec::new(), hash: Sha256::new(), sent: 0, size_bytes: 0 }
    }

    /// Sends the last piece, which may be empty.
    pub(super) fn finish(mut self) -> io::Result<Stored> {
        self.send(true)?;
        Ok(Stored { size_bytes: self.size_bytes, sha256: hex(&self.hash.finalize()) })
    }

    fn send(&mut self, is_last: bool) -> io::Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.filling));
        self.hash.update(&bytes);
        let piece = Piece { sha256: Sha256::digest(&bytes).into(), bytes, is_last };
        self.sent += 1;
        // The other end is gone when the upload has failed; its reason is told there.
        self.sender.blocking_send(piece).map_err(|_| {
            io::Error::new(io::ErrorKind::BrokenPipe, "the upload has ended before its bytes")
        })
    }
}

impl Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = part_size(self.sent);
        if self.filling.len() == size {
            self.send(false)?;
        }
        let size = part_size(self.sent);
        // The first part grows as it is filled: most archives of configuration are small.
        if self.filling.is_empty() && self.sent > 0 {
            self.filling.reserve_exact(size);
        }
        let room = size - self.filling.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.filling.extend_from_slice(taken);
        self.size_bytes += taken.len() as u64;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_five_tebibytes_and_none_is_too_large() {
        let sizes: Vec<u64> = (0..10_000).map(|sent| part_size(sent) as u64).collect();
        assert!(sizes.iter().sum::<u64>() >= 5 << 40);
        assert!(sizes.iter().all(|size| (5 << 20..=5 << 30).contains(size)));
        // 8 GB take parts of 8 MiB.
        assert_eq!(sizes[999], 8 << 20);
        assert_eq!(sizes[1000], 16 << 20);
    }
}
