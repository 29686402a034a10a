//! Base backups of PostgreSQL against their `backup_manifest`.
//!
//! [`BaseCheck`] takes the manifest first, then the backup's tars one after the other, or its
//! directory, and tells at the end what differs: sizes, checksums, files that are missing, files
//! that are not in the manifest, and the WAL that a restore needs. The rules of what may differ are
//! those of `pg_verifybackup`.

mod check;
mod inline;
mod manifest;
mod needed;
mod table;

pub use check::{BaseCheck, BaseReport, read_base_backup};
pub(crate) use inline::Inline;
pub use manifest::{BaseManifest, ManifestError, WalRange};

use crate::{
    input::Stop,
    report::{Findings, Place},
    wal::SegmentName,
};

const CHECKSUM: &str = "the file's checksum is not the one in the manifest";
const EXTRA: &str = "the file is not in the manifest";

fn size(found: u64, named: u64) -> String {
    format!("the file has {found} bytes, {named} in the manifest")
}

/// Files that may differ from the manifest (`pg_verifybackup` documentation): the WAL, which is
/// checked by itself, and what tools write into a backup that was taken.
fn is_ignored(path: &[u8]) -> bool {
    path.starts_with(b"pg_wal/")
        || [
            &b"backup_manifest"[..],
            b"pg_wal",
            b"postgresql.auto.conf",
            b"recovery.signal",
            b"standby.signal",
        ]
        .contains(&path)
}

/// The segment that a file of a backup is.
fn segment(path: &[u8]) -> Option<SegmentName> {
    std::str::from_utf8(path.strip_prefix(b"pg_wal/")?).ok()?.parse().ok()
}

/// Turns damage of one member into a finding; a source that failed stays an error.
fn settle(read: Result<(), Stop>, item: &str, findings: &mut Findings) -> Result<(), Stop> {
    let message = match read {
        Ok(()) => return Ok(()),
        Err(Stop::Source) => return Err(Stop::Source),
        Err(Stop::Cut) => "it ends too early".to_owned(),
        Err(Stop::Damaged(why)) => why,
    };
    findings.add(Place { item: Some(item.to_owned()), ..Place::default() }, message);
    Ok(())
}
