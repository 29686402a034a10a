//! Two WAL segments that follow each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat_archive::{SegmentName, WalReader};

fuzz_target!(|bytes: &[u8]| {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut reader = WalReader::new();
    for (name, segment) in [("000000010000000000000001", first), ("000000010000000000000002", second)] {
        let name = name.parse::<SegmentName>().expect("it is a segment's name");
        let report = reader.segment(name, segment).expect("the source does not fail");
        assert!(report.findings.len() as u64 <= report.findings_total);
    }
});
