//! Sources in memory, and random numbers that are the same in every run.

use std::{
    io::{self, Cursor, Read},
    num::NonZero,
    sync::Arc,
};

use lifeboat_archive::{Options, Report, Source, read};

/// Bytes in memory, read in pieces of odd sizes.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) is_cheap: bool,
}

impl Memory {
    pub(crate) fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into(), is_cheap: true }
    }
}

impl Source for Memory {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut bytes = Cursor::new(self.bytes.clone());
        bytes.set_position(offset);
        Ok(Box::new(Pieces(bytes)))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        self.is_cheap
    }
}

struct Pieces(Cursor<Arc<[u8]>>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(7919);
        self.0.read(&mut into[..len])
    }
}

pub(crate) fn options(threads: usize) -> Options {
    Options { threads: NonZero::new(threads).unwrap(), ..Options::default() }
}

/// The report of these bytes, which must be the same whatever the number of threads.
pub(crate) fn report(bytes: &[u8]) -> Report {
    let source = Memory::new(bytes);
    let one = read(&source, &options(1)).unwrap();
    let two = read(&source, &options(2)).unwrap();
    assert_eq!(one, two, "threads change the report");
    one
}

/// The messages of a report, with the item and offset before each.
pub(crate) fn messages(report: &Report) -> Vec<String> {
    let findings = report.findings.iter();
    findings
        .map(|finding| {
            let item = finding.place.item.as_deref().unwrap_or("-");
            let offset = finding.place.offset.map_or("-".to_owned(), |offset| offset.to_string());
            format!("{item} at {offset}: {}", finding.message)
        })
        .collect()
}

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
