//! Image archives, read to their end or loaded.

use std::{process::Stdio, sync::Arc};

use lifeboat_archive::{Format, Options, Source};
use lifeboat_core::{
    Fault,
    backup::{Artifact, Manifest, keys},
};

use super::{Seen, carry};
use crate::{
    Host, artifact,
    backup::images::argv,
    download::{ObjectSource, blocking},
    program,
    store::ObjectStore,
};

/// Reads each archive to its end; images are not run in scratch.
pub(super) async fn scratch<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    for image in &manifest.artifacts {
        read(host, manifest, image, Format::Image, &mut seen).await?;
    }
    Ok(seen)
}

/// Loads each archive, after all were read and found sound.
pub(super) async fn place<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let plan = host.plan.backup.as_ref().and_then(|backup| backup.images.as_ref());
    let plan = plan.ok_or_else(|| {
        Fault::invalid(format!("the plan of {} names no [backup.images]", host.app()))
    })?;
    let mut seen = scratch(host, manifest).await?;
    if !seen.findings.is_empty() {
        return Ok(seen);
    }
    for image in &manifest.artifacts {
        let mut command = argv(&plan.load, "")?;
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut loading = program::start(command)?;
        let mut input = loading.input()?;
        let at = (&manifest.app, manifest.kind, &manifest.id);
        let used =
            artifact::with(&host.store, at, image, move |from| carry(from, &mut input)).await?;
        seen.findings.extend(used.findings);
        let ended = loading.end().await?;
        if !seen.findings.is_empty() {
            return Ok(seen);
        }
        ended.check()?;
        seen.facts.push(format!("{} is loaded", image.name));
    }
    Ok(seen)
}

/// Reads an artifact to its end without any of its programs.
pub(super) async fn read<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    artifact: &Artifact,
    format: Format,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let key = keys::artifact(&manifest.app, manifest.kind, &manifest.id, &artifact.name);
    let last = artifact.size_bytes.saturating_sub(1);
    let end = host.store.get(&key, Some(last..artifact.size_bytes)).await?;
    if end.is_none_or(|end| end.is_empty()) {
        seen.find(&artifact.name, "", "the object is missing, or shorter than its manifest says");
        return Ok(());
    }
    let source = ObjectSource::new(Arc::clone(&host.store), key, artifact.size_bytes);
    let options = Options {
        expected: Some(format),
        expected_size: Some(artifact.size_bytes),
        expected_sha256: Some(artifact.sha256.clone()),
        ..Options::default()
    };
    let report = blocking(move || lifeboat_archive::read(&source as &dyn Source, &options)).await?;
    let report = report.map_err(|error| {
        Fault::transient(format!("read {}: {error}: {}", artifact.name, error.cause))
    })?;
    for finding in &report.findings {
        let place =
            [finding.place.offset.map(|at| format!("byte {at}")), finding.place.item.clone()];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join(", ");
        seen.find(&artifact.name, place, &finding.message);
    }
    if report.findings.is_empty() {
        let entries = report.details.entries.unwrap_or_default();
        seen.facts.push(format!("{} is read to its end: {entries} entries", artifact.name));
    }
    Ok(())
}
