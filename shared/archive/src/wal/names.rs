//! Names of WAL files, and what a list of them lacks.

use std::{fmt, str::FromStr};

/// Sizes that a segment may have: powers of two from 1 MiB to 1 GiB (`initdb --wal-segsize`).
pub(crate) fn is_segment_size(bytes: u64) -> bool {
    bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes)
}

/// The name of a segment: timeline, and number as its two halves. Ordered as the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The timeline.
    pub timeline: u32,
    /// The upper 32 bits of the LSN.
    pub log: u32,
    /// Which segment of those 4 GiB.
    pub segment: u32,
}

/// A text is no segment's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a WAL segment")]
pub struct NotASegment;

impl FromStr for SegmentName {
    type Err = NotASegment;

    /// Reads the 24 hexadecimal digits of a name; nothing may follow them.
    fn from_str(text: &str) -> Result<Self, NotASegment> {
        let is_upper_hex = |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
        if text.len() != 24 || !text.bytes().all(is_upper_hex) {
            return Err(NotASegment);
        }
        let part = |start| {
            text.get(start..start + 8)
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                .ok_or(NotASegment)
        };
        Ok(Self { timeline: part(0)?, log: part(8)?, segment: part(16)? })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.log, self.segment)
    }
}

impl SegmentName {
    /// The segment that holds this LSN.
    #[must_use]
    pub fn of(timeline: u32, lsn: u64, segment_bytes: u64) -> Self {
        Self::numbered(timeline, lsn / segment_bytes.max(1), segment_bytes)
    }

    /// How many segments precede it since LSN 0; none when the name does not fit the size.
    #[must_use]
    pub fn number(&self, segment_bytes: u64) -> Option<u64> {
        let per_log = (1_u64 << 32) / segment_bytes.max(1);
        let segment = u64::from(self.segment);
        (segment < per_log).then(|| u64::from(self.log) * per_log + segment)
    }

    fn numbered(timeline: u32, number: u64, segment_bytes: u64) -> Self {
        let per_log = ((1_u64 << 32) / segment_bytes.max(1)).max(1);
        let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { timeline, log: part(number / per_log), segment: part(number % per_log) }
    }

    /// The LSN of its first byte; none when the name does not fit the size.
    #[must_use]
    pub fn start(&self, segment_bytes: u64) -> Option<u64> {
        self.number(segment_bytes)?.checked_mul(segment_bytes)
    }

    /// The segment after it on the same timeline.
    #[must_use]
    pub fn next(&self, segment_bytes: u64) -> Option<Self> {
        let number = self.number(segment_bytes)?.checked_add(1)?;
        Some(Self::numbered(self.timeline, number, segment_bytes))
    }
}

/// Something that a list of WAL files lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Segments between two that are there.
    Segments {
        /// The last one before the gap.
        after: SegmentName,
        /// The first one after it.
        before: SegmentName,
        /// How many are missing.
        missing: u64,
    },
    /// The history of a timeline, without which no recovery can follow it.
    History {
        /// The timeline.
        timeline: u32,
    },
    /// A name that does not fit the segment size: the size is wrong, or the file is no segment.
    Misfit {
        /// The name.
        name: SegmentName,
    },
}

/// What a list of WAL files lacks. `names` are file names, sorted as text (as object stores list
/// them); a compression's suffix (`.gz`, `.zst`, `.lz4`) is allowed, and backup labels, partial
/// segments and all other files are passed over.
///
/// The first segment of a timeline must continue an earlier one: its number is at most one more
/// than the earlier ones reach. Which of them is its parent is in its history file, not in names.
pub fn gaps<'n>(names: impl Iterator<Item = &'n str>, segment_bytes: u64) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut last: Option<(SegmentName, u64)> = None;
    // The furthest segment of the earlier timelines.
    let mut furthest: Option<(SegmentName, u64)> = None;
    let mut history = None;
    for name in names {
        let name = [".gz", ".zst", ".lz4"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        if let Some(timeline) = name.strip_suffix(".history") {
            history = u32::from_str_radix(timeline, 16).ok();
            continue;
        }
        let Ok(name) = name.parse::<SegmentName>() else { continue };
        let Some(number) = name.number(segment_bytes) else {
            gaps.push(Gap::Misfit { name });
            continue;
        };
        if let Some((before, at)) = last
            && before.timeline == name.timeline
        {
            if number > at + 1 {
                gaps.push(Gap::Segments { after: before, before: name, missing: number - at - 1 });
            }
        } else {
            furthest = [furthest, last].into_iter().flatten().max_by_key(|(_, number)| *number);
            if name.timeline > 1 && history != Some(name.timeline) {
                gaps.push(Gap::History { timeline: name.timeline });
            }
            if let Some((after, at)) = furthest
                && number > at + 1
            {
                gaps.push(Gap::Segments { after, before: name, missing: number - at - 1 });
            }
        }
        last = Some((name, number));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn reads_and_writes_names_for_every_size() {
        for (text, size, next, start) in [
            ("000000010000000000000001", 16, "000000010000000000000002", 16 * MIB),
            ("0000000100000000000000FF", 16, "000000010000000100000000", 0xff * 16 * MIB),
            ("000000020000000100000FFF", 1, "000000020000000200000000", (4096 + 4095) * MIB),
            ("000000030000000000000003", 1024, "000000030000000100000000", 3 * 1024 * MIB),
        ] {
            let name: SegmentName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!(name.next(size * MIB).unwrap().to_string(), next);
            assert_eq!(name.start(size * MIB), Some(start));
            assert_eq!(SegmentName::of(name.timeline, start + 5, size * MIB), name);
        }
        for bad in
            ["", "00000001000000000000000", "00000001000000000000000a", "0000000100000000000000012"]
        {
            assert_eq!(bad.parse::<SegmentName>(), Err(NotASegment), "{bad}");
        }
        let misfit: SegmentName = "000000010000000000000100".parse().unwrap();
        assert_eq!(misfit.number(16 * MIB), None);
    }

    fn found(names: &[&str]) -> Vec<String> {
        gaps(names.iter().copied(), 16 * MIB)
            .into_iter()
            .map(|gap| match gap {
                Gap::Segments { after, before, missing } => format!("{after} {missing} {before}"),
                Gap::History { timeline } => format!("history {timeline}"),
                Gap::Misfit { name } => format!("misfit {name}"),
            })
            .collect()
    }

    #[test]
    fn finds_what_is_missing_and_nothing_else() {
        for (names, expected) in [
            (&[][..], &[][..]),
            (
                &[
                    "0000000100000000000000FE",
                    "0000000100000000000000FF.zst",
                    "000000010000000100000000",
                ],
                &[],
            ),
            (
                &["000000010000000000000001", "000000010000000000000004"],
                &["000000010000000000000001 2 000000010000000000000004"],
            ),
            // A backup's label and a partial segment are no segments.
            (
                &[
                    "000000010000000000000001",
                    "000000010000000000000001.00000028.backup",
                    "000000010000000000000002.partial",
                    "000000010000000000000003",
                ],
                &["000000010000000000000001 1 000000010000000000000003"],
            ),
            // A new timeline begins in the segment of its switch, or in the one after it.
            (&["000000010000000000000001", "00000002.history", "000000020000000000000001"], &[]),
            (&["000000010000000000000001", "00000002.history.gz", "000000020000000000000002"], &[]),
            (
                &["000000010000000000000001", "00000002.history", "000000020000000000000003"],
                &["000000010000000000000001 1 000000020000000000000003"],
            ),
            (&["000000010000000000000001", "000000020000000000000001"], &["history 2"]),
            // Timeline 3 forks from timeline 1, which went on after timeline 2 had begun.
            (
                &[
                    "000000010000000000000001",
                    "000000010000000000000002",
                    "000000010000000000000003",
                    "00000002.history",
                    "000000020000000000000002",
                    "00000003.history",
                    "000000030000000000000004",
                ],
                &[],
            ),
            (&["000000010000000000000100"], &["misfit 000000010000000000000100"]),
        ] {
            assert_eq!(found(names), expected, "{names:?}");
        }
    }
}
