//! The cache's files in Redis's own folder, for a Redis that is stopped and has none.
//!
//! Everything is written beside its place first and held against the manifest; then the names are
//! given, the snapshot's last.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use lifeboat_core::{Fault, backup::Manifest};

use super::{super::Seen, find, snapshot, unpacked};
use crate::{
    Host, artifact,
    backup::cache::{AOF, CONFIG},
    redis::Redis,
    store::ObjectStore,
};

/// Puts the snapshot, and the append-only files where there are some, where the manifest says that
/// they belong.
pub(in super::super) async fn place<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let site = host.plan.sites.get(&host.site);
    if let Some(cache) = site.and_then(|site| site.cache.as_ref()) {
        return Err(Fault::invalid(format!(
            "ElastiCache runs the cache ({}), and loads files only into a new replication group: \
             unpack the artifact into a bucket of your own and name it in SnapshotArns",
            cache.replication_group
        )));
    }
    let address = site.and_then(|site| site.health.redis.clone()).unwrap_or_default();
    if Redis::connect(&address).await.is_ok() {
        return Err(Fault::refused(format!(
            "Redis runs at {address} and would overwrite the file when it stops: stop it first"
        )));
    }
    // "Redis 7.0.15 at 127.0.0.1:6379, /var/lib/redis/dump.rdb"
    let path = manifest.source.rsplit_once(", ").map(|(_, path)| PathBuf::from(path));
    let path = path.filter(|path| path.is_absolute()).ok_or_else(|| {
        Fault::invalid("the manifest does not say where the snapshot belongs".to_owned())
    })?;
    let folder = path.parent().unwrap_or(&path);
    free(&path)?;
    let mut seen = Seen::default();
    let appended = match manifest.artifacts.iter().any(|artifact| artifact.name.ends_with(AOF)) {
        true => match appended(host, manifest, &mut seen).await? {
            Some(appended) => Some(appended),
            None => return Ok(seen),
        },
        false => None,
    };
    for name in appended.iter().map(Appended::first) {
        free(&folder.join(name))?;
    }
    // On the same file system, so that giving the names is all that remains.
    let beside = tempfile::Builder::new().prefix("lifeboat-restoring-").tempdir_in(folder);
    let beside = beside.map_err(|error| failed(folder)(error))?;
    let rdb = beside.path().join("dump.rdb");
    if snapshot(host, manifest, &rdb, &mut seen).await?.is_none() {
        return Ok(seen);
    }
    let owner = fs::metadata(folder).map_err(failed(folder))?;
    let own = |path: &Path| chown(path, Some(owner.uid()), Some(owner.gid()));
    if let Some(appended) = &appended {
        let unpacking = beside.path().join("unpacked");
        fs::create_dir(&unpacking).map_err(failed(&unpacking))?;
        let Some(files) = unpacked(host, manifest, &unpacking, &mut seen).await? else {
            return Ok(seen);
        };
        let to = folder.join(appended.first());
        let gathered = beside.path().join("gathered");
        appended.gather(&files, &gathered, own).map_err(failed(&to))?;
        fs::rename(&gathered, &to).map_err(failed(&to))?;
        seen.facts.push(format!("{} is in place", to.display()));
    }
    own(&rdb).and_then(|()| fs::rename(&rdb, &path)).map_err(failed(&path))?;
    seen.facts.push(format!("{} is in place: start Redis", path.display()));
    if appended.is_some() {
        seen.facts.push(
            "with appendonly yes Redis loads the append-only files, with appendonly no the snapshot"
                .to_owned(),
        );
    }
    Ok(seen)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Fault {
    move |error| Fault::needs_human(format!("write {}: {error}", path.display()))
}

/// Refuses a place that something is in.
fn free(path: &Path) -> Result<(), Fault> {
    if path.symlink_metadata().is_ok() {
        let path = path.display();
        return Err(Fault::refused(format!("{path} is there already: move it aside first")));
    }
    Ok(())
}

/// Where append-only files belong, below Redis's folder.
enum Appended {
    /// Since Redis 7: a folder of this name, with a manifest in it.
    Folder(String),
    /// Before: one file of this name.
    File(String),
}

impl Appended {
    fn first(&self) -> &str {
        match self {
            Self::Folder(name) | Self::File(name) => name,
        }
    }

    /// Moves the files to where one rename puts them in place, and gives them their owner.
    fn gather(
        &self,
        files: &[PathBuf],
        to: &Path,
        own: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        if let (Self::File(_), [file]) = (self, files) {
            own(file)?;
            return fs::rename(file, to);
        }
        fs::create_dir(to)?;
        // As Redis makes it.
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
        own(to)?;
        for file in files {
            own(file)?;
            fs::rename(file, to.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// Reads from the backup's configuration where its append-only files belong; none, with a finding,
/// when that is damaged.
async fn appended<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    seen: &mut Seen,
) -> Result<Option<Appended>, Fault> {
    let config = find(manifest, CONFIG)?;
    let at = (&manifest.app, manifest.kind, &manifest.id);
    let used = artifact::with(&host.store, at, config, move |from| {
        let mut json = Vec::new();
        from.read_to_end(&mut json).map(|_| json)
    })
    .await?;
    let whole = used.findings.is_empty();
    seen.findings.extend(used.findings);
    let Some(Ok(json)) = used.value.filter(|_| whole) else { return Ok(None) };
    let settings: BTreeMap<String, String> = serde_json::from_slice(&json)
        .map_err(|error| Fault::invalid(format!("{} cannot be read: {error}", config.name)))?;
    let name = |setting: &str| {
        let name = settings.get(setting).map(String::as_str).unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    };
    let appended = match (name("appenddirname"), name("appendfilename")) {
        (Some(folder), _) => Appended::Folder(folder),
        (None, Some(file)) => Appended::File(file),
        (None, None) => {
            return Err(Fault::invalid(format!(
                "{} does not say where the append-only files belong",
                config.name
            )));
        }
    };
    if appended.first().contains('/') || matches!(appended.first(), "." | "..") {
        let (name, file) = (appended.first(), &config.name);
        return Err(Fault::refused(format!(
            "{file} names {name:?} for them, which leads elsewhere"
        )));
    }
    Ok(Some(appended))
}
