//! What RDS says of snapshots.

use super::*;

#[test]
fn a_snapshot_is_told_by_its_word_and_its_tags() {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let found = DbSnapshot::builder()
        .db_snapshot_identifier("lifeboat-queue-1")
        .status("available")
        .tag_list(tag("team", "queue"))
        .tag_list(tag(STARTED_TAG, "2026-11-24T12:00:00Z"))
        .tag_list(tag(ALONE_TAG, "not a time"))
        .build();
    let read = snapshot(&found);
    assert_eq!(read.status, SnapshotStatus::Available);
    assert_eq!(read.started_at, "2026-11-24T12:00:00Z".parse().ok());
    assert_eq!(read.alone_since, None);
    for (word, failed) in [("creating", false), ("copying", false), ("failed", true)] {
        assert_eq!(matches!(status(word), SnapshotStatus::Failed(_)), failed, "{word}");
        assert_ne!(status(word), SnapshotStatus::Available);
    }
}
