//! An artifact that is a folder.

use std::{io, path::Path};

use crate::{
    aof::{AofSet, read_aof_directory},
    base::{self, read_base_backup},
    report::{Details, Format, Report},
    source::SourceError,
};

/// Reads a folder that is one artifact: a base backup, plain or as tars beside its manifest, or the
/// set of Redis's append-only files. The report has the SHA-256 of no single stream of bytes, so it
/// is empty for a base backup, whose manifest has one for each file.
///
/// # Errors
/// A file cannot be read, or the folder is neither.
pub fn read_directory(folder: &Path) -> Result<Report, SourceError> {
    let failed = |cause: io::Error| SourceError { offset: 0, cause };
    let names: Vec<String> = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        })
        .map_err(failed)?;
    if names.iter().any(|name| name.starts_with(base::NAME)) {
        let found = read_base_backup(folder)?;
        return Ok(Report {
            format: Format::BaseBackup,
            compression: Vec::new(),
            size_bytes: found.bytes,
            sha256: String::new(),
            details: Details { entries: Some(found.files), ..Details::default() },
            findings: found.findings,
            findings_total: found.findings_total,
        });
    }
    if names.iter().any(|name| AofSet::is_manifest(name)) {
        return read_aof_directory(folder);
    }
    Err(failed(io::Error::other(
        "the folder holds neither a backup_manifest nor the manifest of append-only files; name a \
         file in it",
    )))
}
