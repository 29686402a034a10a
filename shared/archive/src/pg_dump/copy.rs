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
        if let Some(tail) = text.last_chunk() {
            self.tail = *tail;
            return;
        }
        for &byte in text {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pieces: &[&[u8]]) -> Option<u64> {
        let mut rows = Rows::default();
        pieces.iter().for_each(|piece| rows.add(piece));
        rows.finish()
    }

    #[test]
    fn rows_are_counted_however_the_text_is_cut() {
        let text = b"1\tone\n2\t\\\\.\n3\t\\N\n\\.\n\n\n";
        assert_eq!(rows(&[text]), Some(3));
        for at in 0..text.len() {
            let (one, other) = text.split_at(at);
            assert_eq!(rows(&[one, other]), Some(3), "cut at {at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(rows(&bytes), Some(3));
        assert_eq!(rows(&[b"\\.\n\n\n"]), Some(0));
    }

    #[test]
    fn text_without_the_end_mark_has_no_count() {
        for text in ["", "1\n", "1\n\\.\n\n", "1\n\\.", "1\\.\n\n\n", "1\n\n\n\n"] {
            assert_eq!(rows(&[text.as_bytes()]), None, "{text:?}");
        }
    }
}
