//! Base backups of a real server, recovered to a moment with the WAL behind them, and in place.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    ErrorName,
    backup::{Kind, Manifest, Outcome, keys},
    contract::restore_backup::Target,
    plan_file::{Backup, Base, Engine, SqlCheck},
};
use lifeboat_hostwork::{Host, backup, restore, testing::MemoryStore, wal};

use crate::support::{Server, host, noon, plan, program, scratch};

/// A site whose database was backed up, and which archived its WAL while rows came.
struct World {
    host: Host<MemoryStore>,
    manifest: Manifest,
    /// After the first row, and before the second.
    between: Timestamp,
    data: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let server = Server::start();
        server.sql("queue", "CREATE TABLE moments (n int)");
        let folder = scratch();
        let data = folder.path().join("data");
        let mut plan = plan(server.port);
        plan.database.engine = Engine::Postgres;
        plan.backup = Some(Backup {
            base: Some(Base { data_directory: data.to_str().unwrap().to_owned() }),
            checks: vec![SqlCheck {
                name: "only the first row is there".to_owned(),
                query: "SELECT array_agg(n) = ARRAY[1] FROM moments".to_owned(),
            }],
            ..Backup::default()
        });
        let (mut host, _stopper) = host(plan.clone(), folder.path());
        // Another one, because it is stopped.
        let (mut archiving, stopper) = crate::support::host(plan, folder.path());
        archiving.store = Arc::clone(&host.store);
        let received = folder.path().join("received");
        let receiving = Box::pin(wal::receive(&archiving, &received, |_| ()));
        let work = Box::pin(async {
            let slots = "SELECT count(*) FROM pg_replication_slots WHERE active";
            while server.sql("queue", slots) != "1" {
                tokio::task::yield_now().await;
            }
            let manifest = backup(&host, Kind::DatabaseBase, &noon()).await.unwrap();
            let system = manifest.wal.clone().unwrap().system;
            let insert = |n: u32| {
                let statement = format!("INSERT INTO moments VALUES ({n})");
                server.sql("queue", &statement);
                let switched = "SELECT pg_walfile_name(pg_switch_wal())";
                keys::wal(&host.plan.app, &system, &server.sql("queue", switched))
            };
            let mut written = vec![insert(1)];
            let between = server.sql(
                "queue",
                "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', \
                 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
            );
            written.extend([insert(2), insert(3)]);
            while !written.iter().all(|key| host.store.object(key).is_some()) {
                tokio::task::yield_now().await;
            }
            stopper.stop();
            (manifest, between.parse().unwrap())
        });
        let (received, (manifest, between)) = tokio::join!(receiving, work);
        received.unwrap();
        let archive = export(&host.store, folder.path());
        host.fetch_wal = ["sh", "-c", &format!("exec cp {}/$3 $4", archive.display()), "fetch"]
            .map(str::to_owned)
            .into();
        Self { host, manifest, between, data, _folder: folder }
    }

    async fn restore(
        &self,
        target: Target,
        to: Option<Timestamp>,
    ) -> Result<lifeboat_core::contract::restore_backup::RestoreResult, lifeboat_core::Fault> {
        restore(&self.host, Kind::DatabaseBase, &noon(), target, to).await
    }

    /// What a server on the data directory has in the table, when it takes writes.
    fn rows(&self) -> String {
        let server = Server::on(&self.data, &program("postgres"), &[]);
        while server.sql("queue", "SELECT pg_is_in_recovery()") == "t" {}
        server.sql("queue", "CREATE TABLE written (); SELECT array_agg(n) FROM moments")
    }

    /// Nothing but these is left in the folder of scratch.
    fn nothing_is_left(&self, beside: &[&str]) {
        let names = fs::read_dir(self.host.scratch.as_path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let known = ["archive", "received"].into_iter().chain(beside.iter().copied());
        let mut known: Vec<&str> = known.collect();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}

/// Puts the archived WAL where any user can read it.
fn export(store: &MemoryStore, folder: &Path) -> PathBuf {
    let archive = folder.join("archive");
    fs::create_dir(&archive).unwrap();
    for key in store.keys().iter().filter(|key| key.starts_with("wal/")) {
        let name = key.rsplit('/').next().unwrap().strip_suffix(".zst").unwrap();
        let plain = zstd::decode_all(&*store.object(key).unwrap()).unwrap();
        fs::write(archive.join(name), plain).unwrap();
    }
    archive
}

#[tokio::test]
async fn a_base_backup_is_recovered_to_a_moment_in_scratch() {
    let world = World::new().await;
    let result = world.restore(Target::Scratch, Some(world.between)).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    let facts = result.facts.join("\n");
    assert!(facts.contains("check `only the first row is there`: true"), "{facts}");
    assert!(facts.contains("on timeline 2; its last transaction ended at 20"), "{facts}");
    // With what is in the backup alone there is no row yet.
    let result = world.restore(Target::Scratch, None).await.unwrap();
    let places: Vec<&str> = result.findings.iter().map(|f| f.place.as_str()).collect();
    assert_eq!(places, ["check only the first row is there"]);
    world.nothing_is_left(&[]);
}

#[tokio::test]
async fn a_moment_that_cannot_be_reached_is_refused_before_anything_is_touched() {
    let mut world = World::new().await;
    // Nothing could be unpacked.
    world.host.store.remove("artifacts/queue/database-base/20261124T120000Z-full/a/base.tar.zst");
    let complete = world.manifest.ended_at;
    let (second, hour) = (SignedDuration::from_secs(1), SignedDuration::from_hours(1));
    for target in [Target::Scratch, Target::Place] {
        for (to, says) in [
            (complete - second, "before the backup was complete"),
            (complete - hour, "choose an older backup"),
            (complete + hour, "not before the last archived transaction"),
        ] {
            let fault = world.restore(target, Some(to)).await.unwrap_err();
            assert_eq!(fault.name, ErrorName::InvalidInput, "{fault}");
            assert!(fault.message.contains(says), "{fault}");
            assert!(
                fault.message.contains(&format!("from {complete} on and before 20")),
                "{fault}"
            );
        }
    }
    // Behind a gap there is nothing to recover with.
    let span = world.manifest.wal.clone().unwrap();
    let own = keys::wal(&world.host.plan.app, &span.system, span.last.as_str());
    let next = world.host.store.keys().into_iter().find(|key| *key > own).unwrap();
    world.host.store.remove(&next);
    let fault = world.restore(Target::Scratch, Some(world.between)).await.unwrap_err();
    assert!(fault.message.contains("no transaction is archived"), "{fault}");
    world.nothing_is_left(&[]);
    // That the bucket cannot be asked is no answer.
    world.host.store.fail(1, lifeboat_hostwork::testing::Failure::Before);
    let fault = world.restore(Target::Scratch, Some(world.between)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    // A plan that does not say where.
    world.host.plan.backup = None;
    let fault = world.restore(Target::Place, None).await.unwrap_err();
    assert!(fault.message.contains("[backup.base] data_directory"), "{fault}");
}

#[tokio::test]
async fn archived_wal_that_cannot_be_replayed_says_nothing_of_the_backup() {
    let mut world = World::new().await;
    world.host.fetch_wal = vec!["sh".to_owned(), "-c".to_owned(), "exit 200".to_owned()];
    let fault = world.restore(Target::Scratch, Some(world.between)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("cannot be recovered to"), "{fault}");
    assert!(fault.message.contains("exit code 200"), "{fault}");
}

#[tokio::test]
async fn in_place_a_server_recovers_to_the_moment_and_takes_writes() {
    let world = World::new().await;
    let result = world.restore(Target::Place, Some(world.between)).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    assert!(result.facts[0].contains("start its server"), "{:?}", result.facts);
    world.nothing_is_left(&["data"]);
    // Again: it is not empty.
    let fault = world.restore(Target::Place, Some(world.between)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    assert!(fault.message.contains("is not empty"), "{fault}");
    assert_eq!(fs::metadata(&world.data).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(world.rows(), "{1}");
}

#[tokio::test]
async fn in_place_without_a_moment_all_archived_wal_is_replayed() {
    use std::os::unix::fs::{MetadataExt, chown};
    let world = World::new().await;
    // The directory's owner and mode stay.
    fs::create_dir(&world.data).unwrap();
    fs::set_permissions(&world.data, fs::Permissions::from_mode(0o750)).unwrap();
    let root = fs::metadata(&world.data).unwrap().uid() == 0;
    if root {
        chown(&world.data, Some(65534), Some(65534)).unwrap();
    }
    world.restore(Target::Place, None).await.unwrap();
    let about = fs::metadata(&world.data).unwrap();
    assert_eq!(about.mode() & 0o777, 0o750);
    assert!(!root || (about.uid(), about.gid()) == (65534, 65534));
    let inner = fs::metadata(world.data.join("global/pg_control")).unwrap();
    assert_eq!((inner.uid(), inner.mode() & 0o777), (about.uid(), 0o600));
    assert_eq!(world.rows(), "{1,2,3}");
}

#[tokio::test]
async fn what_is_damaged_or_dies_leaves_no_half_of_a_cluster_in_place() {
    let world = World::new().await;
    let key = "artifacts/queue/database-base/20261124T120000Z-full/a/base.tar.zst";
    let whole = world.host.store.object(key).unwrap();
    let mut flipped = whole.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    world.host.store.set(key, Bytes::from(flipped));
    let result = world.restore(Target::Place, None).await.unwrap();
    assert_eq!(
        (result.outcome, result.findings[0].file.as_str()),
        (Outcome::Damaged, "a/base.tar.zst")
    );
    world.nothing_is_left(&[]);
    // As a restore leaves it that was killed.
    world.host.store.set(key, whole);
    fs::create_dir(&world.data).unwrap();
    fs::write(world.data.join("PG_VERSION"), "15").unwrap();
    fs::write(world.data.with_file_name("data.lifeboat-restoring"), "").unwrap();
    // A server was started on it: that is somebody's.
    fs::write(world.data.join("postmaster.opts"), "").unwrap();
    let fault = world.restore(Target::Place, None).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    fs::remove_file(world.data.join("postmaster.opts")).unwrap();
    world.restore(Target::Place, None).await.unwrap();
    world.nothing_is_left(&["data"]);
    assert_eq!(world.rows(), "{1,2,3}");
}
