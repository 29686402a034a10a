//! Files into a scratch folder, or into their places.

use std::{
    io,
    path::{Path, PathBuf},
};

use lifeboat_archive::{UnpackError, UnpackOptions, Unpacked, unpack};
use lifeboat_core::{Fault, backup::Manifest};

use super::{Seen, find};
use crate::{FILES, Host, artifact, download::blocking, store::ObjectStore};

/// Unpacks into a scratch folder and counts.
pub(super) async fn scratch<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    let folder = folder(&host.scratch)?;
    unpacked(host, manifest, folder.path(), &mut seen).await?;
    Ok(seen)
}

/// Unpacks beneath `/`, after the same archive was unpacked in scratch as a whole: nothing is
/// touched by an archive that is damaged, or that holds anything outside the plan's paths.
pub(super) async fn place<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let plan = host.plan.backup.as_ref().and_then(|backup| backup.files.get(&manifest.kind));
    let allowed: Vec<PathBuf> = plan
        .map(|files| files.paths.iter())
        .into_iter()
        .flatten()
        .map(|path| PathBuf::from(path.trim_start_matches('/')))
        .collect();
    let mut seen = Seen::default();
    {
        let folder = folder(&host.scratch)?;
        unpacked(host, manifest, folder.path(), &mut seen).await?;
        let root = folder.path().to_owned();
        let outside = blocking(move || outside(&root, &root, &allowed)).await?;
        let outside = outside
            .map_err(|error| Fault::needs_human(format!("look at the scratch folder: {error}")))?;
        if let Some(path) = outside {
            return Err(Fault::refused(format!(
                "the archive holds /{}, which is outside the plan's [backup.files.{}]",
                path.display(),
                manifest.kind
            )));
        }
    }
    if seen.findings.is_empty() {
        seen.facts.clear();
        unpacked(host, manifest, Path::new("/"), &mut seen).await?;
    }
    Ok(seen)
}

fn folder(scratch: &Path) -> Result<tempfile::TempDir, Fault> {
    tempfile::Builder::new().prefix("lifeboat-scratch-").tempdir_in(scratch).map_err(|error| {
        Fault::needs_human(format!("make a folder in {}: {error}", scratch.display()))
    })
}

/// Unpacks into `root`, and holds the number of entries against the manifest.
async fn unpacked<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    root: &Path,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let files = find(manifest, FILES)?;
    let into = root.to_owned();
    let at = (&manifest.app, manifest.kind, &manifest.id);
    let used = artifact::with(&host.store, at, files, move |from| {
        Ok(unpack(from, &into, UnpackOptions::default()))
    })
    .await?;
    seen.findings.extend(used.findings);
    let Some(unpacked) = used.value else { return Ok(()) };
    match unpacked.unwrap_or_else(|cause| Err(unreadable(cause))) {
        Ok(Unpacked { entries, bytes, skipped }) => {
            let all = entries + skipped;
            match manifest.entries {
                Some(wanted) if wanted != all => {
                    seen.find(&files.name, "", format!("it has {all} entries of {wanted}"));
                }
                Some(_) | None => {
                    seen.facts.push(format!("{entries} entries with {bytes} bytes are unpacked"));
                }
            }
        }
        Err(error @ (UnpackError::Refused(_) | UnpackError::Damaged(_))) => {
            // The checksum of the stored bytes explains it when it is wrong.
            if seen.findings.is_empty() {
                seen.find(&files.name, "", error.to_string());
            }
        }
        Err(UnpackError::Write { path, cause }) => {
            return Err(Fault::needs_human(format!("{path} cannot be written: {cause}")));
        }
        Err(error @ UnpackError::Source(_)) => {
            return Err(Fault::transient(error.to_string()));
        }
    }
    Ok(())
}

fn unreadable(cause: io::Error) -> UnpackError {
    UnpackError::Source(lifeboat_archive::SourceError { offset: 0, cause })
}

/// The first entry that is neither beneath an allowed path nor on the way to one.
fn outside(root: &Path, folder: &Path, allowed: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        if allowed.iter().any(|allowed| name.starts_with(allowed)) {
            continue;
        }
        let on_the_way = allowed.iter().any(|allowed| allowed.starts_with(name));
        if !on_the_way || !entry.file_type()?.is_dir() {
            return Ok(Some(name.to_owned()));
        }
        if let Some(path) = outside(root, &path, allowed)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
