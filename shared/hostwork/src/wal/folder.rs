//! What `pg_receivewal` has finished.

use std::{io, path::Path};

use lifeboat_archive::SegmentName;

/// What is to be archived, each list in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Histories of timelines.
    pub(super) histories: Vec<String>,
    /// Segments; one that is still written to is not among them (its name ends in `.partial`).
    pub(super) segments: Vec<SegmentName>,
}

/// Looks into the folder. A file that is shorter than a segment is not finished.
pub(super) fn waiting(folder: &Path, segment_bytes: u64) -> io::Result<Waiting> {
    let mut found = Waiting::default();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Ok(segment) = name.parse::<SegmentName>() {
            if entry.metadata()?.len() == segment_bytes {
                found.segments.push(segment);
            }
        } else if is_history(name) {
            found.histories.push(name.to_owned());
        }
    }
    found.histories.sort();
    found.segments.sort();
    Ok(found)
}

/// `00000002.history`
fn is_history(name: &str) -> bool {
    let timeline = name.strip_suffix(".history").unwrap_or_default();
    timeline.len() == 8 && timeline.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_files_are_found_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, len: usize| {
            std::fs::write(folder.path().join(name), vec![0; len]).unwrap();
        };
        write("00000001000000000000000B", 16);
        write("000000010000000000000009", 16);
        write("00000001000000000000000A", 7);
        write("00000001000000000000000C.partial", 16);
        write("00000002.history", 3);
        write("notes.history", 3);
        let found = waiting(folder.path(), 16).unwrap();
        let names: Vec<String> = found.segments.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["000000010000000000000009", "00000001000000000000000B"]);
        assert_eq!(found.histories, ["00000002.history"]);
    }
}
