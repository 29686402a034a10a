//! What RDS says of snapshots.

use aws_sdk_rds::types::RestoreWindow;

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

#[test]
fn a_window_is_that_of_the_instance_and_not_of_its_namesake_in_the_other_region() {
    let backup = |region: &str, earliest: i64, latest: i64| {
        let span = RestoreWindow::builder()
            .earliest_time(DateTime::from_secs(earliest))
            .latest_time(DateTime::from_secs(latest));
        DbInstanceAutomatedBackup::builder().region(region).restore_window(span.build()).build()
    };
    let second = |second| Timestamp::from_second(second).ok();
    let source = "eu-west-1".parse().unwrap();
    let namesake = backup("eu-central-1", 1, 99);
    let window = restorable(&[namesake.clone(), backup("eu-west-1", 20, 30)], &source);
    assert_eq!((window.earliest, window.latest), (second(20), second(30)));
    let window = restorable(&[namesake], &source);
    assert_eq!((window.earliest, window.latest), (None, None));
}
