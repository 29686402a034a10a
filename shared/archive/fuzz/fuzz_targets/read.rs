//! Any bytes as an artifact, by the way that `verify-backup` and the command line take.
#![no_main]

use std::{
    io::{self, Cursor, Read},
    num::NonZero,
    sync::Arc,
};

use libfuzzer_sys::fuzz_target;
use lifeboat_archive::{Options, Source, read};

struct Bytes(Arc<[u8]>);

impl Source for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut cursor = Cursor::new(Arc::clone(&self.0));
        cursor.set_position(offset);
        Ok(Box::new(cursor))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        true
    }
}

fuzz_target!(|bytes: &[u8]| {
    let source = Bytes(bytes.into());
    // Two threads read a dump's blocks side by side, by offsets that the file claims.
    for threads in [1, 2] {
        let threads = NonZero::new(threads).expect("it is not zero");
        let report = read(&source, &Options { threads, ..Options::default() });
        let report = report.expect("the source does not fail");
        assert_eq!(report.size_bytes, source.len());
        assert!(report.findings.len() as u64 <= report.findings_total);
    }
});
