//! Files of a base backup with their sizes and checksums, packed: a hundred thousand of them take
//! about 6 MiB.

use std::cmp::Ordering;

use crate::digest::Algorithm;

/// Bytes that a table may take: about 600,000 files with CRC-32C. Together with the buffers of a
/// reader it keeps well below the 64 MiB that a check may use.
const LIMIT: usize = 32 * 1024 * 1024;

#[derive(Debug, Clone, Copy)]
struct Row {
    size: u64,
    /// Where the path begins; the checksum follows it.
    start: u32,
    path_len: u16,
    sum_len: u8,
    algorithm: Algorithm,
    is_seen: bool,
}

/// A file of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File<'t> {
    pub(crate) path: &'t [u8],
    pub(crate) size: u64,
    pub(crate) algorithm: Algorithm,
    pub(crate) sum: &'t [u8],
}

/// Files, found by path once they are sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    bytes: Vec<u8>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a file; `None` when the table is full.
    pub(crate) fn push(&mut self, file: File<'_>) -> Option<()> {
        let taken = self.bytes.len() + file.path.len() + file.sum.len();
        if taken + (self.rows.len() + 1) * size_of::<Row>() > LIMIT {
            return None;
        }
        self.rows.push(Row {
            size: file.size,
            start: u32::try_from(self.bytes.len()).ok()?,
            path_len: u16::try_from(file.path.len()).ok()?,
            sum_len: u8::try_from(file.sum.len()).ok()?,
            algorithm: file.algorithm,
            is_seen: false,
        });
        self.bytes.extend_from_slice(file.path);
        self.bytes.extend_from_slice(file.sum);
        Some(())
    }

    fn file(&self, row: &Row) -> File<'_> {
        path_and_sum(&self.bytes, row)
    }

    /// Sorts by path, and gives a path that is there twice.
    pub(crate) fn sort(&mut self) -> Option<&[u8]> {
        let bytes = &self.bytes;
        self.rows
            .sort_unstable_by(|a, b| path_and_sum(bytes, a).path.cmp(path_and_sum(bytes, b).path));
        let mut pairs = self.rows.iter().zip(self.rows.iter().skip(1));
        pairs.find_map(|(a, b)| {
            let (a, b) = (self.file(a), self.file(b));
            (a.path == b.path).then_some(a.path)
        })
    }

    /// The file at this path, and whether it was seen before; it counts as seen from now on.
    pub(crate) fn see(&mut self, path: &[u8]) -> Option<(File<'_>, bool)> {
        let bytes = &self.bytes;
        let at = self
            .rows
            .binary_search_by(|row| -> Ordering { path_and_sum(bytes, row).path.cmp(path) })
            .ok()?;
        let row = self.rows.get_mut(at)?;
        let was_seen = std::mem::replace(&mut row.is_seen, true);
        Some((path_and_sum(bytes, row), was_seen))
    }

    /// The files that were never seen.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = File<'_>> {
        self.rows.iter().filter(|row| !row.is_seen).map(|row| self.file(row))
    }
}

fn path_and_sum<'b>(bytes: &'b [u8], row: &Row) -> File<'b> {
    let from = bytes.get(usize::try_from(row.start).unwrap_or(usize::MAX)..).unwrap_or_default();
    let (path, rest) = from.split_at_checked(usize::from(row.path_len)).unwrap_or_default();
    let sum = rest.get(..usize::from(row.sum_len)).unwrap_or_default();
    File { path, size: row.size, algorithm: row.algorithm, sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_a_hundred_thousand_files_in_little_memory_and_ends_when_full() {
        assert_eq!(size_of::<Row>(), 24);
        let mut table = Table::default();
        let mut count = 0_u32;
        loop {
            let path = format!("base/16384/{}", count ^ 0x5555);
            let file = File {
                path: path.as_bytes(),
                size: u64::from(count),
                algorithm: Algorithm::Crc32c,
                sum: &count.to_le_bytes(),
            };
            if table.push(file).is_none() {
                break;
            }
            count += 1;
        }
        assert!(count > 600_000, "{count}");
        assert_eq!(table.sort(), None);
        let (file, was_seen) = table.see(format!("base/16384/{}", 77 ^ 0x5555).as_bytes()).unwrap();
        assert_eq!((file.size, file.sum, was_seen), (77, &77_u32.to_le_bytes()[..], false));
        assert!(table.see(b"base/16384/none").is_none());
        assert_eq!(table.unseen().count(), usize::try_from(count).unwrap() - 1);
    }
}
