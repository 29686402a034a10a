//! A base backup's manifest, and a tar of its files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat_archive::{BaseCheck, BaseManifest};

fuzz_target!(|bytes: &[u8]| {
    // The tar begins behind the manifest's last brace and line feed.
    let end = bytes.windows(3).position(|three| three == b"\"}\n").map_or(bytes.len(), |at| at + 3);
    let (manifest, tar) = bytes.split_at(end);
    let Ok(manifest) = BaseManifest::read(manifest) else { return };
    let mut check = BaseCheck::new(manifest);
    for name in ["base.tar", "pg_wal.tar", "16400.tar"] {
        check.tar(name, tar).expect("the source does not fail");
    }
    let report = check.finish();
    assert!(report.findings.len() as u64 <= report.findings_total);
});
