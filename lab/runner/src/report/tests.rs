//! The report, by a drill as it could have been.

mod sample;

use std::path::Path;

use super::*;
use sample::sample;

/// Where a person can look at the sample's page.
fn sample_dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/report-sample")
}

#[test]
fn both_files_are_written_and_end_with_a_newline() {
    let written = write(&sample_dir(), &sample()).unwrap();
    let json = std::fs::read_to_string(&written.json).unwrap();
    assert!(json.ends_with("}\n"));
    let html = std::fs::read_to_string(&written.html).unwrap();
    assert!(html.ends_with("</html>\n"));
    let read: DrillReport = serde_json::from_str(&json).unwrap();
    assert_eq!(read, sample().report);
}
