//! A base backup and what it is restored on top of: unpacked one after the other, and combined.
//!
//! Every member is read to its end and held against its manifest before anything is made of it.

use std::{fs, io, path::Path};

use lifeboat_archive::{UnpackError, UnpackOptions, unpack};
use lifeboat_core::{
    Fault,
    backup::{EvidenceFinding, Manifest, PointId},
};

use super::super::{Seen, dump::is_of_the_host, find, server::Folder};
use crate::{
    Host, artifact,
    backup::{self, base::BASE},
    download::blocking,
    program::{self, User},
    store::ObjectStore,
};

/// A backup and what it is restored on top of, the full one first; none, with a finding, when
/// something of it is not there.
pub(super) async fn members<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    seen: &mut Seen,
) -> Result<Option<Vec<Manifest>>, Fault> {
    let mut members = vec![manifest.clone()];
    while let Some(parent) = members.last().and_then(|member| member.id.parent()) {
        let Some(found) = backup::manifest(host, manifest.kind, &parent).await? else {
            let message = format!(
                "it is not in {}, and {} is restored on top of it",
                host.region, manifest.id
            );
            seen.find(parent.as_str(), "", message);
            return Ok(None);
        };
        members.push(found);
    }
    members.reverse();
    Ok(Some(members))
}

/// Makes the cluster of these members in the folder `data`, which is there and empty, for `user`.
/// False, with findings, when a member is damaged.
pub(super) async fn make<S: ObjectStore>(
    host: &Host<S>,
    members: &[Manifest],
    major: u32,
    data: &Path,
    user: Option<User>,
    seen: &mut Seen,
) -> Result<bool, Fault> {
    let is_whole = match members {
        [only] => unpacked(host, only, data, user, seen).await?,
        _ => combined(host, members, major, data, user, seen).await?,
    };
    if !is_whole {
        return Ok(false);
    }
    // A replica's backup would wait for its primary.
    for name in ["standby.signal", "recovery.signal"] {
        match fs::remove_file(data.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(data)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(true)
}

/// Unpacks each member into scratch and combines them.
async fn combined<S: ObjectStore>(
    host: &Host<S>,
    members: &[Manifest],
    major: u32,
    data: &Path,
    user: Option<User>,
    seen: &mut Seen,
) -> Result<bool, Fault> {
    let tool = host.server("pg_combinebackup", major).await?;
    let folder = Folder::of(&host.scratch, user)?;
    let mut command = folder.command(&tool.path);
    command.arg("--output").arg(data);
    for member in members {
        // By its time: the whole name can be longer than a file's may be.
        let into = folder.path().join(short(&member.id));
        fs::create_dir(&into).map_err(failed(&into))?;
        let known = seen.findings.len();
        let whole = unpacked(host, member, &into, user, seen).await?;
        for finding in seen.findings.iter_mut().skip(known) {
            let EvidenceFinding { file, .. } = finding;
            *file = format!("{}/{file}", member.id);
        }
        if !whole {
            return Ok(false);
        }
        command.arg(&into);
    }
    let mut running = program::start(command)?;
    let ended = running.end().await?;
    if !ended.success {
        let words = ended.errors.join("; ").replace(&format!("{}/", folder.path().display()), "");
        if words.is_empty() || is_of_the_host(&words) {
            return Err(ended.fault());
        }
        // Each is what its manifest says, and they are no chain.
        let last = members.last().map_or("", |member| member.id.as_str());
        seen.find(last, "", format!("its chain cannot be combined: {words}"));
        return Ok(false);
    }
    let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    seen.facts.push(format!(
        "pg_combinebackup {} has combined {} backups: {}",
        tool.version,
        ids.len(),
        ids.join(", ")
    ));
    Ok(true)
}

/// The time in a point's name.
fn short(id: &PointId) -> &str {
    id.as_str().split('-').next().unwrap_or_default()
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Fault {
    move |error| Fault::needs_human(format!("unpack into {}: {error}", path.display()))
}

/// Unpacks one member into the folder `into`; false when it is damaged.
async fn unpacked<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    into: &Path,
    user: Option<User>,
    seen: &mut Seen,
) -> Result<bool, Fault> {
    let base = find(manifest, BASE)?;
    let target = into.to_owned();
    let at = (&manifest.app, manifest.kind, &manifest.id);
    let used = artifact::with(&host.store, at, base, move |from| {
        let options = UnpackOptions { keep_owners: false, ..UnpackOptions::default() };
        Ok(unpack(from, &target, options))
    })
    .await?;
    seen.findings.extend(used.findings);
    match used.value.transpose().map_err(failed(into))? {
        Some(Ok(_)) if seen.findings.is_empty() => {}
        Some(Err(UnpackError::Write { path, cause })) => {
            return Err(Fault::needs_human(format!("{path} cannot be written: {cause}")));
        }
        Some(Err(error)) if seen.findings.is_empty() => {
            seen.find(&base.name, "", error.to_string());
            return Ok(false);
        }
        Some(_) | None => return Ok(false),
    }
    let root = into.to_owned();
    blocking(move || own(&root, user)).await?.map_err(failed(into))?;
    Ok(true)
}

/// Gives a folder, and everything in it, to the server's user. Links stay: their targets are
/// nobody's business.
pub(super) fn own(root: &Path, user: Option<User>) -> io::Result<()> {
    let Some(User { uid, gid }) = user else { return Ok(()) };
    std::os::unix::fs::lchown(root, Some(uid), Some(gid))?;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid))?;
        }
    }
    Ok(())
}
