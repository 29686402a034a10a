//! Rows in the text that `COPY` reads: one line each, then `\.` on a line of its own. A newline in
//! a value is written as `\n`, so lines are rows.

/// Bytes that are kept of the end: a newline, `\.`, and the three newlines behind it.
const TAIL: usize = 6;

/// Counts rows while the text passes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    newlines: u64,
    /// The last bytes; zeros before the first.
    tail: [u8; TAIL],
}

impl Rows {
    pub(super) fn add(&mut self, text: &[u8]) {
        self.newlines += memchr::memchr_iter(b'\n', text).count() as u64;
        for &byte in text.get(text.len().saturating_sub(TAIL)..).unwrap_or_default() {
            self.tail.rotate_left(1);
            if let Some(last) = self.tail.last_mut() {
                *last = byte;
            }
        }
    }

    /// The rows; none if the text does not end as `pg_dump` ends it (`dumpTableData_copy`).
    pub(super) fn finish(&self) -> Option<u64> {
        match self.tail {
            [0 | b'\n', b'\\', b'.', b'\n', b'\n', b'\n'] => self.newlines.checked_sub(3),
            _ => None,
        }
    }
}
