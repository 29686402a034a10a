//! The cache's files, under a scratch server or in their folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use jiff::{SignedDuration, Timestamp};
use lifeboat_archive::{FileSource, Format, Options, Source, UnpackOptions, unpack};
use lifeboat_core::{Fault, backup::Manifest};
use lifeboat_runtime::clock;
use rustix::process::Signal;

use super::{Seen, find, server::Folder};
use crate::{
    Host, artifact,
    backup::cache::{AOF, RDB},
    download::blocking,
    program::{self, Running},
    redis::Redis,
    store::ObjectStore,
};

/// A server loads its files within this time.
const LOADS: SignedDuration = SignedDuration::from_mins(30);
/// Between two looks at a server that starts.
const LOOK: SignedDuration = SignedDuration::from_millis(50);

/// Starts a server on the snapshot, and another one on the append-only file where there is one.
pub(super) async fn scratch<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    let folder = Folder::new(&host.scratch)?;
    let rdb = folder.path().join("dump.rdb");
    let Some(expiring) = snapshot(host, manifest, &rdb, &mut seen).await? else { return Ok(seen) };
    own(&folder, &rdb)?;
    let arguments = ["--dbfilename", "dump.rdb", "--appendonly", "no"].map(str::to_owned);
    let (server, version) = loaded(&folder, &arguments, (host.clock)(), &mut seen).await?;
    if let Some(mut server) = server {
        let keys = server.redis.keys().await?;
        compare(&manifest.keys, &keys, expiring, &mut seen);
        seen.facts.push(format!("a scratch Redis {version} has loaded the snapshot"));
    }
    if manifest.artifacts.iter().any(|artifact| artifact.name.ends_with(AOF)) {
        aof(host, manifest, &mut seen).await?;
    }
    Ok(seen)
}

/// Puts the snapshot into Redis's folder, for a Redis that is stopped and has none.
pub(super) async fn place<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
) -> Result<Seen, Fault> {
    let site = host.plan.sites.get(&host.site);
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
    if path.exists() {
        return Err(Fault::refused(format!(
            "{} is there already: move it aside first",
            path.display()
        )));
    }
    let mut seen = Seen::default();
    let beside = path.with_extension("rdb.lifeboat");
    let whole = snapshot(host, manifest, &beside, &mut seen).await;
    let failed = |error| Fault::needs_human(format!("write {}: {error}", path.display()));
    if matches!(whole, Ok(Some(_))) {
        if let Some(folder) = path.parent() {
            use std::os::unix::fs::{MetadataExt, chown};
            let owner = fs::metadata(folder).map_err(failed)?;
            chown(&beside, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
        }
        fs::rename(&beside, &path).map_err(failed)?;
        seen.facts.push(format!("{} is in place: start Redis", path.display()));
        if manifest.artifacts.iter().any(|artifact| artifact.name.ends_with(AOF)) {
            seen.facts.push(
                "Redis loads its append-only file first when it is on: start it with appendonly no, \
                 and switch it on with CONFIG SET when it has loaded"
                    .to_owned(),
            );
        }
    } else {
        drop(fs::remove_file(&beside));
    }
    whole.map(|_| seen)
}

/// Writes the snapshot to a file and reads it; how many of its keys expire, unless it is damaged.
async fn snapshot<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    path: &Path,
    seen: &mut Seen,
) -> Result<Option<u64>, Fault> {
    let rdb = find(manifest, RDB)?;
    let into = path.to_owned();
    let at = (&manifest.app, manifest.kind, &manifest.id);
    let used = artifact::with(&host.store, at, rdb, move |from| {
        io::copy(from, &mut File::create_new(&into)?)
    })
    .await?;
    seen.findings.extend(used.findings);
    let Some(written) = used.value else { return Ok(None) };
    written.map_err(|error| Fault::needs_human(format!("write the snapshot: {error}")))?;
    let path = path.to_owned();
    let options = Options { expected: Some(Format::Rdb), ..Options::default() };
    let report = blocking(move || {
        let source = FileSource::new(path)
            .map_err(|error| Fault::transient(format!("read the snapshot: {error}")))?;
        lifeboat_archive::read(&source as &dyn Source, &options)
            .map_err(|error| Fault::transient(format!("read the snapshot: {}", error.cause)))
    })
    .await??;
    for finding in &report.findings {
        let place = finding.place.offset.map_or_else(String::new, |at| format!("byte {at}"));
        seen.find(&rdb.name, place, &finding.message);
    }
    Ok(seen.findings.is_empty().then_some(report.details.keys_expiring.unwrap_or_default()))
}

/// The append-only file under a server of its own.
async fn aof<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let folder = Folder::new(&host.scratch)?;
    let aof = find(manifest, AOF)?;
    let into = folder.path().to_owned();
    let at = (&manifest.app, manifest.kind, &manifest.id);
    let used = artifact::with(&host.store, at, aof, move |from| {
        let options = UnpackOptions { keep_owners: false, ..UnpackOptions::default() };
        Ok(unpack(from, &into, options).map_err(|error| error.to_string()))
    })
    .await?;
    let whole = used.findings.is_empty();
    seen.findings.extend(used.findings);
    match used.value {
        Some(Ok(Ok(_))) if whole => {}
        Some(Ok(Err(message))) if whole => {
            seen.find(&aof.name, "", message);
            return Ok(());
        }
        _ => return Ok(()),
    }
    let found = blocking({
        let root = folder.path().to_owned();
        move || files_below(&root)
    })
    .await?
    .map_err(|error| Fault::needs_human(format!("look at the scratch folder: {error}")))?;
    let data = folder.path().join("appendonlydir");
    fs::create_dir(&data).map_err(|e| Fault::needs_human(format!("{}: {e}", data.display())))?;
    own(&folder, &data)?;
    let mut name = "appendonly.aof".to_owned();
    for file in &found {
        let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(stem) = file_name.strip_suffix(".manifest") {
            stem.clone_into(&mut name);
        }
        let one = found.len() == 1;
        let to = if one { folder.path().join(&name) } else { data.join(&file_name) };
        fs::rename(file, &to).map_err(|e| Fault::needs_human(format!("{}: {e}", to.display())))?;
        own(&folder, &to)?;
    }
    let mut arguments: Vec<String> =
        ["--appendonly", "yes", "--appendfilename", &name].map(str::to_owned).into();
    // Redis 7's layout; a single file is that of an older server, which knows no folder.
    if found.len() > 1 {
        arguments.extend(["--appenddirname", "appendonlydir"].map(str::to_owned));
    }
    let (server, _) = loaded(&folder, &arguments, (host.clock)(), seen).await?;
    if let Some(mut server) = server {
        let keys: u64 = server.redis.keys().await?.values().sum();
        seen.facts.push(format!("a scratch Redis has loaded the append-only file: {keys} keys"));
    }
    Ok(())
}

fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn own(folder: &Folder, path: &Path) -> Result<(), Fault> {
    folder.own(path).map_err(|error| Fault::needs_human(format!("{}: {error}", path.display())))
}

/// A scratch server. Ended when dropped.
struct Server {
    redis: Redis,
    running: Running,
    _socket: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.end_now(Signal::TERM);
    }
}

/// A server that has loaded what is in the folder; none, with a finding, when it refuses to. Its
/// version with it.
async fn loaded(
    folder: &Folder,
    arguments: &[String],
    began: Timestamp,
    seen: &mut Seen,
) -> Result<(Option<Server>, String), Fault> {
    let sockets = Folder::new(&std::env::temp_dir())?;
    let socket = sockets.path().join("redis").to_string_lossy().into_owned();
    let log = folder.path().join("redis.log");
    let mut command = folder.command(Path::new("redis-server"));
    command
        .args(["--port", "0", "--unixsocket", &socket, "--save", "", "--daemonize", "no"])
        .args(["--loglevel", "notice", "--logfile"])
        .arg(&log)
        .arg("--dir")
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null());
    let mut running = program::start(command)?;
    loop {
        // While it loads it answers and says so.
        let answered = async {
            let mut redis = Redis::connect(&socket).await?;
            let state = redis.info("persistence").await?;
            let version = redis.info("server").await?.remove("redis_version").unwrap_or_default();
            Ok::<_, Fault>((redis, state, version))
        };
        if let Ok((redis, state, version)) = answered.await
            && state.get("loading").is_some_and(|loading| loading == "0")
        {
            return Ok((Some(Server { redis, running, _socket: sockets }), version));
        }
        if clock::now() > began + LOADS {
            return Err(Fault::transient("the scratch Redis does not load in half an hour"));
        }
        tokio::select! {
            ended = running.end() => {
                let ended = ended?;
                let missing = ended.errors.iter().any(|line| line.contains("No such file"));
                if missing {
                    return Err(Fault::needs_human(
                        "there is no redis-server on this host: install redis-server to prove \
                         backups of the cache",
                    ));
                }
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().last().unwrap_or_default();
                // This host's Redis is older than the site's, or lacks its modules.
                if HOST.iter().any(|words| said.contains(words)) {
                    return Err(Fault::needs_human(format!("the scratch Redis ended: {last}")));
                }
                seen.find("", "", format!("Redis refuses to load the restored files: {last}"));
                return Ok((None, String::new()));
            }
            () = clock::pause_until(clock::now() + LOOK) => {}
        }
    }
}

/// What a server says that lacks something which the files need.
const HOST: [&str; 4] =
    ["Can't handle RDB format version", "module", "Can't open the log file", "Bad directive"];

/// Compares the keys by database. A key that expires may be gone by now.
fn compare(
    wanted: &BTreeMap<String, u64>,
    found: &BTreeMap<String, u64>,
    expiring: u64,
    seen: &mut Seen,
) {
    let mut gone = 0;
    for (database, wanted) in wanted {
        let place = format!("database {database}");
        let found = found.get(database).copied().unwrap_or_default();
        if found > *wanted {
            seen.find("", place, format!("{found} keys were loaded of {wanted}"));
            continue;
        }
        gone += wanted - found;
        if gone > expiring {
            seen.find("", place, format!("{found} keys were loaded of {wanted}"));
        }
    }
    for database in found.keys().filter(|database| !wanted.contains_key(*database)) {
        seen.find("", format!("database {database}"), "it is not in the manifest");
    }
    let total: u64 = found.values().sum();
    seen.facts.push(format!("{total} keys are loaded; {gone} have expired since"));
}
