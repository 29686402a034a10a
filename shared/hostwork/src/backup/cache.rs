//! `cache`: Redis's snapshot, its append-only file where there is one, and its configuration.

mod aof;
mod export;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use jiff::SignedDuration;
use lifeboat_archive::{Format, Options, Source};
use lifeboat_core::Fault;
use lifeboat_runtime::clock;

use super::{Content, Run};
use crate::{
    download::blocking,
    redis::{Redis, Reply},
    store::ObjectStore,
    upload::Compression,
};

/// The artifact of the snapshot.
pub(crate) const RDB: &str = "dump.rdb.zst";
/// The artifact of the append-only file.
pub(crate) const AOF: &str = "appendonly.tar.zst";
/// The artifact of the configuration.
pub(crate) const CONFIG: &str = "redis-config.json.zst";

/// Between two looks at a save.
const LOOK: SignedDuration = SignedDuration::from_millis(100);

/// Takes the cache of this host.
pub(super) async fn take<S: ObjectStore>(run: &mut Run<'_, S>) -> Result<Content, Fault> {
    let plan = &run.host.plan;
    if let Some(cache) = plan.sites.get(&run.host.site).and_then(|site| site.cache.clone()) {
        return export::take(run, &cache).await;
    }
    let address = plan.sites.get(&run.host.site).and_then(|site| site.health.redis.clone());
    let address = address.ok_or_else(|| {
        Fault::invalid(format!(
            "the plan of {} has no [sites.{}.health] redis",
            plan.app, run.host.site
        ))
    })?;
    let mut redis = Redis::connect(&address).await?;
    let version = redis.info("server").await?.remove("redis_version").unwrap_or_default();
    let settings = redis.config("*").await?;
    let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    let folder = Path::new(setting("dir"));

    save(&mut redis, &address).await?;
    let path = folder.join(setting("dbfilename"));
    // Opened before anything else: the next save replaces the name, not this file.
    let file = File::open(&path).map_err(|error| {
        Fault::needs_human(format!(
            "{} cannot be opened ({error}): the cache is backed up on the host that runs Redis",
            path.display()
        ))
    })?;
    let snapshot = Snapshot::new(file)
        .map_err(|error| Fault::needs_human(format!("{}: {error}", path.display())))?;
    let reading = snapshot.clone();
    let keys = blocking(move || read(&reading)).await??.keys;
    let mut from = snapshot.begin();
    run.artifact(
        RDB,
        Compression::Zstd,
        move |into| io::copy(&mut from, into).map(drop).map_err(carried),
        async { Ok(()) },
    )
    .await?;
    if setting("appendonly") == "yes" {
        aof::take(run, &mut redis, &settings).await?;
    }
    let public = public(&settings);
    let json = serde_json::to_vec_pretty(&public)
        .map_err(|error| Fault::needs_human(format!("write the configuration: {error}")))?;
    run.artifact(
        CONFIG,
        Compression::Zstd,
        move |into| into.write_all(&json).map_err(carried),
        async { Ok(()) },
    )
    .await?;
    Ok(Content {
        source: format!("Redis {version} at {address}, {}", path.display()),
        versions: BTreeMap::from([("server".to_owned(), version)]),
        keys,
        ..Content::default()
    })
}

fn carried(error: io::Error) -> Fault {
    Fault::transient(format!("carry the cache's files: {error}"))
}

/// The settings without those that let somebody in.
fn public(settings: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let secret =
        |name: &str| ["pass", "auth", "user", "acl"].iter().any(|part| name.contains(part));
    let shown = settings.iter().filter(|(name, _)| !secret(name));
    shown.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Makes Redis write a snapshot of now, and waits until it has.
///
/// `LASTSAVE` counts in seconds: a save in the second of the one before would not move it. So the
/// clock of the server has to be past it before the save is begun.
async fn save(redis: &mut Redis, address: &str) -> Result<(), Fault> {
    let before = loop {
        let last = number(redis, &["LASTSAVE"]).await?;
        let now = redis.text(&["TIME"]).await?;
        let now: i64 = now.split(' ').next().and_then(|now| now.parse().ok()).unwrap_or(i64::MAX);
        let state = redis.info("persistence").await?;
        // One that is under way began before now: what was written since is not in it.
        if !is_on(&state, "rdb_bgsave_in_progress") && now > last {
            // While the append-only file is rewritten the save waits for its turn.
            match redis.ask(&["BGSAVE", "SCHEDULE"]).await? {
                Reply::Refused(why) if !why.contains("in progress") => {
                    return Err(Fault::needs_human(format!("Redis at {address} refuses: {why}")));
                }
                Reply::Refused(_) => {}
                Reply::Text(_) | Reply::Number(_) | Reply::List(_) => break last,
            }
        }
        clock::pause_until(clock::now() + LOOK).await;
    };
    loop {
        let state = redis.info("persistence").await?;
        let busy =
            is_on(&state, "rdb_bgsave_in_progress") || is_on(&state, "aof_rewrite_in_progress");
        let sound = state.get("rdb_last_bgsave_status").is_some_and(|status| status == "ok");
        if number(redis, &["LASTSAVE"]).await? > before {
            return Ok(());
        }
        if !busy && !sound {
            return Err(Fault::needs_human(format!(
                "Redis at {address} could not write its snapshot: its log says why (no room on the \
                 disk, no right to write, no memory to fork)"
            )));
        }
        clock::pause_until(clock::now() + LOOK).await;
    }
}

async fn number(redis: &mut Redis, words: &[&str]) -> Result<i64, Fault> {
    let text = redis.text(words).await?;
    text.parse().map_err(|_| Fault::needs_human(format!("Redis answers {text:?}")))
}

fn is_on(state: &BTreeMap<String, String>, field: &str) -> bool {
    state.get(field).is_some_and(|value| value == "1")
}

/// What a snapshot holds.
struct Held {
    /// Keys by database.
    keys: BTreeMap<String, u64>,
    /// The server that wrote it, as it says itself.
    written_by: Option<String>,
}

/// Reads a snapshot to its end and counts its keys by database: what is not sound is not stored.
fn read(snapshot: &dyn Source) -> Result<Held, Fault> {
    let options = Options { expected: Some(Format::Rdb), ..Options::default() };
    let report = lifeboat_archive::read(snapshot, &options)
        .map_err(|error| Fault::transient(format!("read the snapshot: {}", error.cause)))?;
    if let Some(finding) = report.findings.first() {
        return Err(Fault::needs_human(format!(
            "the snapshot that Redis wrote is damaged: {}",
            finding.message
        )));
    }
    let databases = report.details.databases.iter();
    let keys = databases.map(|(db, keys)| (db.to_string(), *keys)).collect();
    Ok(Held { keys, written_by: report.details.written_by })
}

/// An open file, whatever becomes of its name.
#[derive(Debug, Clone)]
struct Snapshot {
    file: Arc<File>,
    len: u64,
}

/// Reads it from some offset on.
struct From {
    file: Arc<File>,
    at: u64,
}

impl Snapshot {
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), len })
    }

    fn begin(&self) -> From {
        From { file: Arc::clone(&self.file), at: 0 }
    }
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(into, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Source for Snapshot {
    fn len(&self) -> u64 {
        self.len
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(From { file: Arc::clone(&self.file), at: offset }))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        true
    }
}
