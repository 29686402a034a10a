//! How much of a restored database is read.
//!
//! RDS serves a restored instance while its volume is still being loaded, and what was not loaded yet
//! is fetched when it is read (RDS user guide, "Restoring to a DB instance", on lazy loading). So
//! reading all of a large database takes as long as copying it does. What is read is bounded instead:
//! every row of what is small, and a sample of the pages of what is large. A sample proves less, and
//! whoever reads the evidence is told which of the two it was.

use jiff::{SignedDuration, Timestamp};

/// Bytes of a page (PostgreSQL manual, "Database Page Layout": commonly 8 kB, as on RDS).
const PAGE: u64 = 8192;
/// Pages of a table that a sample reads: each is a request of its own, and takes as long as the 128
/// KiB that a count reads ahead, so that 2048 take what counting the default of 256 MiB does.
const PAGES: u64 = 2048;
/// Tables' worth of reading in all: one part for what is counted and one for what is sampled, some
/// 20 minutes each of a volume that has loaded nothing; thousands of tables of terabytes, of each of
/// which a millionth is read at least, take longer.
const TABLES: u64 = 16;
/// Pages that are read of the largest number of tables.
const LEAST_PAGES: u64 = 16;
/// Everything, in millionths.
const WHOLE: u64 = 1_000_000;

/// How long after a restore was asked for it has to have been looked into. Loading is in the
/// background too, so waiting longer finds more of it loaded; a document has as long on a host.
const PATIENCE: SignedDuration = SignedDuration::from_hours(6);

/// How a table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Every row is counted.
    Count,
    /// This part of its pages, in millionths, at least one.
    Sample {
        /// The part.
        millionths: u32,
    },
}

/// How each of these tables is read, given the bytes of each.
///
/// Counted are those of at most `count_up_to` bytes, the smallest first, until they are sixteen times
/// that in all. Of the others a sample is read, which is smaller the more of them there are. A sample
/// that would read everything is a count.
#[must_use]
pub fn ways(bytes: &[u64], count_up_to: u64) -> Vec<Way> {
    let mut order: Vec<(u64, usize)> =
        bytes.iter().enumerate().map(|(at, bytes)| (*bytes, at)).collect();
    order.sort_unstable();
    let mut left = count_up_to.saturating_mul(TABLES);
    let mut counted = vec![false; bytes.len()];
    for (bytes, at) in order {
        if bytes > count_up_to || bytes > left {
            break;
        }
        left -= bytes;
        if let Some(counted) = counted.get_mut(at) {
            *counted = true;
        }
    }
    let sampled = counted.iter().filter(|counted| !**counted).count();
    let sampled = u64::try_from(sampled).unwrap_or(u64::MAX).max(1);
    let each = (PAGES * TABLES / sampled).clamp(LEAST_PAGES, PAGES);
    let way = |(bytes, counted): (&u64, bool)| {
        let pages = bytes.div_ceil(PAGE).max(1);
        if counted || pages <= each {
            return Way::Count;
        }
        let millionths = (each * WHOLE).div_ceil(pages).min(WHOLE);
        Way::Sample { millionths: u32::try_from(millionths).unwrap_or(u32::MAX) }
    };
    bytes.iter().zip(counted).map(way).collect()
}

/// Whether a restore that was asked for at `begun` and is not looked into whole is still waited for.
#[must_use]
pub fn is_waited_for(begun: Timestamp, now: Timestamp) -> bool {
    now.duration_since(begun) < PATIENCE
}

/// What picks the pages of the samples: the same ones for one restore, so that what was loaded for an
/// attempt that ran out of time is there for the next, and other ones for another restore.
#[must_use]
pub fn seed(begun: Timestamp) -> u32 {
    u32::try_from(begun.as_second().rem_euclid(i64::from(u32::MAX))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn read(bytes: &[u64], count_up_to: u64) -> u64 {
        let read = |(bytes, way): (&u64, Way)| match way {
            Way::Count => *bytes,
            Way::Sample { millionths } => bytes / PAGE * u64::from(millionths) / WHOLE * PAGE,
        };
        bytes.iter().zip(ways(bytes, count_up_to)).map(read).sum()
    }

    #[test]
    fn what_is_small_is_counted_and_of_what_is_large_a_sample_is_read() {
        let bytes = [0, 8192, 256 * MIB, 256 * MIB + 1, 8 << 40];
        let ways = ways(&bytes, 256 * MIB);
        assert_eq!(ways[..3], [Way::Count; 3]);
        assert_eq!(ways[3], Way::Sample { millionths: 62_499 });
        assert_eq!(ways[4], Way::Sample { millionths: 2 });
    }

    #[test]
    fn a_sample_that_would_read_all_is_a_count() {
        assert_eq!(ways(&[0, 3 * 8192, 16 * MIB], 0), [Way::Count; 3]);
        assert_eq!(ways(&[16 * MIB + 1], 0), [Way::Sample { millionths: 999_512 }]);
    }

    #[test]
    fn what_is_read_is_bounded_however_many_tables_there_are() {
        let limit = 256 * MIB;
        for count in [1, 10, 100, 1000] {
            let small = vec![limit; count];
            let large = vec![1 << 40; count];
            let both: Vec<u64> = small.iter().chain(&large).copied().collect();
            for bytes in [small, large, both] {
                let read = read(&bytes, limit);
                assert!(read <= 24 * limit, "{count} tables: {read}");
                assert!(read > 0);
            }
        }
    }

    #[test]
    fn a_restore_is_waited_for_for_hours_and_not_for_ever() {
        let begun: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        assert!(is_waited_for(begun, begun + SignedDuration::from_mins(359)));
        assert!(!is_waited_for(begun, begun + SignedDuration::from_hours(6)));
        assert_ne!(seed(begun), seed(begun + SignedDuration::from_secs(1)));
    }
}
