//! A set of append-only files of Redis in a tar, as a backup of the server's directory is stored.

use super::{
    paths,
    walk::{Entry, Kind, Walker},
};
use crate::{
    aof::AofSet,
    input::Stop,
    report::{Details, Findings, Format},
};

/// A set, when the archive's first file is one of a set.
pub(super) fn begin(entry: &Entry) -> Option<AofSet> {
    AofSet::is_member(&name(entry)).then(AofSet::new)
}

pub(super) fn take(
    set: &mut AofSet,
    entry: &Entry,
    walker: &mut Walker<'_, '_>,
) -> Result<(), Stop> {
    if matches!(entry.kind, Kind::File) {
        let read = set.add(&name(entry), &mut *walker);
        // Reading a member fails only when the archive's bytes do, and the walker knows why.
        walker.check()?;
        read.map_err(|_| Stop::Source)?;
    }
    Ok(())
}

pub(super) fn judge(set: AofSet, findings: &mut Findings, details: &mut Details) -> Format {
    let report = set.finish();
    let kept = report.findings.len() as u64;
    for finding in report.findings {
        findings.add(finding.place, finding.message);
    }
    findings.total += report.findings_total - kept;
    *details = report.details;
    Format::Aof
}

/// The file's name without directories.
fn name(entry: &Entry) -> String {
    let last = paths::components(&entry.path).last().unwrap_or_default();
    String::from_utf8_lossy(last).into_owned()
}
