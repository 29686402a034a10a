//! Tar archives: every header and its checksum, sizes, the end mark, and paths that stay inside.
//!
//! A plain tar has no checksum over the files' contents; the backup's manifest has one over the
//! whole. What the archive itself protects (an image's layers, a base backup's files) is checked.

mod aof;
mod header;
mod image;
pub(crate) mod paths;
mod pax;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

use crate::{
    base::Inline,
    input::{Input, Stop},
    report::{Details, Findings, Format},
};
pub(crate) use header::is_header;
use image::Blobs;
use paths::Planted;
use walk::{Entry, Kind, Walker};

/// Reads a tar archive to its end, and says what it holds.
pub(crate) fn read(
    input: &mut Input<'_>,
    findings: &mut Findings,
    details: &mut Details,
) -> Result<Format, Stop> {
    let mut walker = Walker::new(input);
    let mut blobs = Blobs::default();
    let mut planted = Planted::default();
    let mut base = None;
    let (mut append_only, mut files_seen) = (None, false);
    let mut entries = 0_u64;
    while let Some(entry) = walker.next(findings)? {
        check_paths(&entry, &mut planted, &walker, findings);
        // The first member of a base backup is its label, and nothing else begins so.
        if entries == 0 && entry.path == b"backup_label" {
            base = Some(Inline::default());
        }
        entries += 1;
        if !files_seen && matches!(entry.kind, Kind::File) {
            files_seen = true;
            append_only = aof::begin(&entry);
        }
        match (&mut base, &mut append_only) {
            (Some(base), _) => base.take(&entry, &mut walker, findings)?,
            (None, Some(set)) => aof::take(set, &entry, &mut walker)?,
            (None, None) => blobs.take(&entry, &mut walker)?,
        }
    }
    details.entries = Some(entries);
    if let Some(set) = append_only {
        return Ok(aof::judge(set, findings, details));
    }
    if let Some(base) = base {
        return Ok(base.judge(&walker, findings, details));
    }
    Ok(blobs.judge(&walker, findings, details).unwrap_or(Format::Tar))
}

/// Paths that lead outside, by themselves or by a link.
pub(crate) fn check_paths(
    entry: &Entry,
    planted: &mut Planted,
    walker: &Walker<'_, '_>,
    findings: &mut Findings,
) {
    let item = paths::show(&entry.path);
    let mut add =
        |message: &str| findings.add(walker.input().place_at(entry.offset, Some(&item)), message);
    if let Some(why) = paths::refusal(&entry.path) {
        add(why);
    } else if planted.is_beneath(&entry.path) {
        add("the path leads outside by an earlier symbolic link");
    }
    match entry.kind {
        Kind::HardLink => {
            if let Some(why) = paths::refusal(&entry.link) {
                add(&format!("a hard link leads outside: {why}"));
            }
        }
        Kind::Symlink => {
            if paths::follow(&entry.path, &entry.link).is_none() {
                planted.plant(&entry.path);
            }
        }
        Kind::File
        | Kind::Sparse
        | Kind::Directory
        | Kind::Character
        | Kind::BlockDevice
        | Kind::Fifo => {}
    }
}
