//! A manifest, and the same bytes as each of the members that it may name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat_archive::AofSet;

fuzz_target!(|bytes: &[u8]| {
    // The manifest ends at the first empty line.
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").map_or(bytes.len(), |at| at + 1);
    let (manifest, member) = bytes.split_at(end);
    let mut set = AofSet::new();
    for name in ["a.aof.1.base.rdb", "a.aof.1.incr.aof", "a.aof.2.incr.aof"] {
        set.add(name, member).expect("the source does not fail");
    }
    set.add("a.aof.manifest", manifest).expect("the source does not fail");
    let report = set.finish();
    assert!(report.findings.len() as u64 <= report.findings_total);
});
