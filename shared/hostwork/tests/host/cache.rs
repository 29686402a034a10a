//! The cache of a real Redis.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use lifeboat_core::{
    ErrorName,
    backup::{Kind, Outcome},
    contract::restore_backup::Target,
    plan_file::{CacheEngine, SiteCache},
};
use lifeboat_hostwork::{Host, backup, restore, testing::MemoryStore};

use crate::support::{ADDRESS, host, noon, plan, scratch};

struct Redis {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Redis {
    fn start(arguments: &[&str]) -> Self {
        let folder = scratch();
        let port = TcpListener::bind((ADDRESS, 0)).unwrap().local_addr().unwrap().port();
        let process = Self::process(folder.path(), port, arguments);
        let redis = Self { process, port, folder };
        while redis.ask(&["PING"]) != "PONG" {}
        redis
    }

    /// Starts it again, on the files that are in its folder.
    fn run(&mut self, arguments: &[&str]) {
        self.process = Self::process(self.folder.path(), self.port, arguments);
        while self.ask(&["PING"]) != "PONG" {}
    }

    fn process(folder: &Path, port: u16, arguments: &[&str]) -> Child {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server", "--bind", ADDRESS, "--save", ""])
            .args(["--port", &port.to_string(), "--loglevel", "warning", "--dir"])
            .arg(folder)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn ask(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-h", ADDRESS, "-p", &self.port.to_string()])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn fill(&self) {
        self.ask(&["EVAL", "for i=1,1000 do redis.call('SET', 'ticket:'..i, i) end", "0"]);
        self.ask(&["-n", "3", "EVAL", "for i=1,50 do redis.call('SADD', 's'..i, i) end", "0"]);
        self.ask(&["SET", "gone", "soon", "PX", "1"]);
        self.ask(&["SET", "later", "gone", "EX", "1000"]);
    }

    fn host(&self) -> Host<MemoryStore> {
        let mut plan = plan(1);
        for site in plan.sites.values_mut() {
            site.health.redis = Some(format!("{ADDRESS}:{}", self.port));
        }
        let (host, stopper) = host(plan, &std::env::temp_dir());
        drop(stopper);
        host
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn stored(host: &Host<MemoryStore>) -> Vec<String> {
    let names = host.store.keys();
    names.iter().filter_map(|key| key.rsplit('/').next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_snapshot_of_now_is_taken_and_a_server_loads_it() {
    let redis = Redis::start(&["--requirepass", ""]);
    redis.fill();
    redis.ask(&["CONFIG", "SET", "masterauth", "hunter2"]);
    let host = redis.host();
    let manifest = backup(&host, Kind::Cache, &noon()).await.unwrap();
    assert_eq!(manifest.keys.get("3"), Some(&50));
    assert!((1001..=1002).contains(manifest.keys.get("0").unwrap()), "{:?}", manifest.keys);
    assert_eq!(
        stored(&host),
        ["dump.rdb.zst", "redis-config.json.zst", "20261124T120000Z-full.json"]
    );
    let key = "artifacts/queue/cache/20261124T120000Z-full/a/redis-config.json.zst";
    let config = zstd::decode_all(&*host.store.object(key).unwrap()).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["appendonly"], "no");
    assert!(!config.to_string().contains("hunter2"));

    let result = restore(&host, Kind::Cache, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));

    // In place: not while it runs, not over a file.
    let running = restore(&host, Kind::Cache, &noon(), Target::Place, None).await.unwrap_err();
    assert_eq!(running.name, ErrorName::Refused);
    redis.ask(&["SHUTDOWN", "NOSAVE"]);
    let there = restore(&host, Kind::Cache, &noon(), Target::Place, None).await.unwrap_err();
    assert_eq!(there.name, ErrorName::Refused);
    let file = redis.folder.path().join("dump.rdb");
    let before = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    restore(&host, Kind::Cache, &noon(), Target::Place, None).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn an_append_only_file_is_taken_as_it_stands_and_rewriting_goes_on() {
    let redis = Redis::start(&["--appendonly", "yes", "--auto-aof-rewrite-percentage", "73"]);
    redis.fill();
    let host = redis.host();
    backup(&host, Kind::Cache, &noon()).await.unwrap();
    assert!(stored(&host).contains(&"appendonly.tar.zst".to_owned()));
    assert!(redis.ask(&["CONFIG", "GET", "auto-aof-rewrite-percentage"]).ends_with("73"));
    let left: Vec<PathBuf> =
        fs::read_dir(redis.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!left.iter().any(|path| path.to_str().unwrap().contains("lifeboat")), "{left:?}");
    let result = restore(&host, Kind::Cache, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    let facts = result.facts.join("\n");
    assert!(facts.contains("loaded the append-only file: 1051 keys"), "{facts}");
}

#[tokio::test]
async fn append_only_files_are_put_into_place_and_a_redis_goes_on_from_them() {
    let mut redis = Redis::start(&["--appendonly", "yes"]);
    redis.fill();
    // A second file of increments behind a rewritten base.
    redis.ask(&["BGREWRITEAOF"]);
    while !redis.ask(&["INFO", "persistence"]).contains("aof_rewrite_in_progress:0") {}
    redis.ask(&["SET", "after", "the rewrite"]);
    let host = redis.host();
    backup(&host, Kind::Cache, &noon()).await.unwrap();
    redis.ask(&["SHUTDOWN", "NOSAVE"]);
    drop(redis.process.wait());
    let folder = redis.folder.path().to_owned();
    let (rdb, appended) = (folder.join("dump.rdb"), folder.join("appendonlydir"));
    fs::remove_file(&rdb).unwrap();
    let there = restore(&host, Kind::Cache, &noon(), Target::Place, None).await.unwrap_err();
    assert!(there.message.contains("appendonlydir is there already"), "{there}");
    assert!(!rdb.exists());
    fs::remove_dir_all(&appended).unwrap();

    // Damage of either leaves neither.
    for name in ["appendonly.tar.zst", "dump.rdb.zst", "redis-config.json.zst"] {
        let name = &format!("a/{name}");
        let key = format!("artifacts/queue/cache/20261124T120000Z-full/{name}");
        let whole = host.store.object(&key).unwrap();
        let mut flipped = whole.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        host.store.set(&key, flipped.into());
        let result = restore(&host, Kind::Cache, &noon(), Target::Place, None).await.unwrap();
        assert_eq!((result.outcome, &result.findings[0].file), (Outcome::Damaged, name));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{name}");
        host.store.set(&key, whole);
    }
    let result = restore(&host, Kind::Cache, &noon(), Target::Place, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    assert!(rdb.exists());
    redis.run(&["--appendonly", "yes"]);
    assert_eq!(redis.ask(&["GET", "after"]), "the rewrite");
    assert_eq!(redis.ask(&["GET", "ticket:7"]), "7");
    assert_eq!(redis.ask(&["-n", "3", "DBSIZE"]), "50");
}

#[tokio::test]
async fn the_export_of_a_managed_cache_is_taken_read_and_loaded() {
    let redis = Redis::start(&[]);
    redis.fill();
    let saved = redis.host();
    backup(&saved, Kind::Cache, &noon()).await.unwrap();
    let rdb = fs::read(redis.folder.path().join("dump.rdb")).unwrap();

    let mut host = redis.host();
    for site in host.plan.sites.values_mut() {
        site.cache = Some(SiteCache {
            engine: CacheEngine::Elasticache,
            replication_group: "queue-cache".to_owned(),
        });
        site.health.redis = None;
    }
    let without = backup(&host, Kind::Cache, &noon()).await.unwrap_err();
    assert!(without.name == ErrorName::InvalidInput && without.message.contains("--exports"));
    let exports = Arc::new(MemoryStore::default());
    host.exports = Some(Arc::clone(&exports));
    let absent = backup(&host, Kind::Cache, &noon()).await.unwrap_err();
    assert!(absent.name == ErrorName::NeedsHuman && absent.message.contains("is not there"));

    let key = "lifeboat-queue-20261124t120000z-0001.rdb";
    for broken in [&rdb[..rdb.len() / 2], &[&rdb[..9], &[0xff; 64], &rdb[73..]].concat()] {
        exports.set(key, broken.to_vec().into());
        let damaged = backup(&host, Kind::Cache, &noon()).await.unwrap_err();
        assert!(damaged.message.contains("is damaged"), "{damaged}");
    }
    assert!(host.store.keys().is_empty(), "no manifest, and no artifact either");

    exports.set(key, rdb.into());
    let manifest = backup(&host, Kind::Cache, &noon()).await.unwrap();
    assert_eq!(manifest.keys.get("3"), Some(&50));
    assert_eq!(Some(manifest.started_at), noon().time(), "not the moment when the host began");
    assert!(manifest.source.contains("queue-cache"), "{}", manifest.source);
    assert!(manifest.versions["server"].contains('7'), "{:?}", manifest.versions);
    assert_eq!(stored(&host), ["dump.rdb.zst", "20261124T120000Z-full.json"]);
    let result = restore(&host, Kind::Cache, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    let place = restore(&host, Kind::Cache, &noon(), Target::Place, None).await.unwrap_err();
    assert!(place.name == ErrorName::InvalidInput && place.message.contains("SnapshotArns"));
}

#[tokio::test]
async fn a_redis_that_cannot_save_gives_no_backup() {
    let redis = Redis::start(&[]);
    redis.fill();
    // The folder goes, and with it the place to write to.
    fs::remove_dir_all(redis.folder.path()).unwrap();
    let host = redis.host();
    let fault = backup(&host, Kind::Cache, &noon()).await.unwrap_err();
    assert!(fault.message.contains("could not write its snapshot"), "{fault}");
    assert!(host.store.keys().is_empty());
}
