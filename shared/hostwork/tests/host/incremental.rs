//! Incremental base backups of a real PostgreSQL 18.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use lifeboat_core::{
    backup::{Kind, Outcome, PointId},
    contract::restore_backup::Target,
    plan_file::{Backup, Base, Engine, SqlCheck},
};
use lifeboat_hostwork::{Host, backup, restore, testing::MemoryStore};

use crate::support::{Server, host, noon, plan, postgres_18, scratch};

/// A full backup, one on top of it and one on top of that, each with rows of its own.
struct World {
    host: Host<MemoryStore>,
    chain: [PointId; 3],
    data: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let programs = postgres_18();
        let server = Server::start_of(Some(&programs), &["summarize_wal=on"]);
        let rows = "CREATE TABLE tickets (id bigint PRIMARY KEY, body text); \
             INSERT INTO tickets SELECT n, repeat('x', 100) FROM generate_series(1, 50000) n";
        server.sql("queue", rows);
        let folder = scratch();
        let data = folder.path().join("data");
        let mut plan = plan(server.port);
        plan.database.engine = Engine::Postgres;
        plan.backup = Some(Backup {
            base: Some(Base { data_directory: data.to_str().unwrap().to_owned() }),
            checks: vec![SqlCheck {
                name: "the last change is there".to_owned(),
                query: "SELECT count(*) = 50001 AND max(body) = 'z' FROM tickets".to_owned(),
            }],
            ..Backup::default()
        });
        let (mut host, _stopper) = host(plan, folder.path());
        host.programs = Some(programs);
        let child = PointId::incremental("2026-11-24T16:00:00Z".parse().unwrap(), &noon());
        let grandchild = PointId::incremental("2026-11-24T20:00:00Z".parse().unwrap(), &child);
        let full = backup(&host, Kind::DatabaseBase, &noon()).await.unwrap();
        server.sql("queue", "INSERT INTO tickets VALUES (50001, 'y')");
        let second = backup(&host, Kind::DatabaseBase, &child).await.unwrap();
        server.sql(
            "queue",
            "INSERT INTO tickets VALUES (50002, 'z'); DELETE FROM tickets WHERE id = 1",
        );
        let third = backup(&host, Kind::DatabaseBase, &grandchild).await.unwrap();
        for small in [&second, &third] {
            assert!(small.size_bytes() < full.size_bytes() / 2, "{small:?}");
            assert!(small.wal.as_ref().unwrap().first > full.wal.as_ref().unwrap().last);
        }
        Self { host, chain: [noon(), child, grandchild], data, _folder: folder }
    }

    fn last(&self) -> &PointId {
        &self.chain[2]
    }

    fn base(&self, of: &PointId) -> String {
        format!("artifacts/queue/database-base/{of}/a/base.tar.zst")
    }
}

#[tokio::test]
async fn a_chain_is_combined_in_scratch_and_in_place() {
    let world = World::new().await;
    let result = restore(&world.host, Kind::DatabaseBase, world.last(), Target::Scratch, None);
    let result = result.await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    let facts = result.facts.join("\n");
    assert!(facts.contains("combined 3 backups"), "{facts}");
    assert!(facts.contains("check `the last change is there`: true"), "{facts}");
    assert_eq!(fs::read_dir(&world.host.scratch).unwrap().count(), 0);

    let result = restore(&world.host, Kind::DatabaseBase, world.last(), Target::Place, None);
    assert_eq!(result.await.unwrap().findings, []);
    assert_eq!(fs::read_dir(&world.host.scratch).unwrap().count(), 1, "only the data directory");
    let server = Server::on(&world.data, &postgres_18().join("postgres"), &[]);
    while server.sql("queue", "SELECT pg_is_in_recovery()") == "t" {}
    assert_eq!(server.sql("queue", "SELECT count(*), max(id) FROM tickets"), "50001|50002");
}

#[tokio::test]
async fn damage_is_located_in_the_member_that_has_it() {
    let world = World::new().await;
    let child = &world.chain[1];
    let key = world.base(child);
    let whole = world.host.store.object(&key).unwrap();
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 2] ^= 1;
    world.host.store.set(&key, Bytes::from(flipped));
    for target in [Target::Scratch, Target::Place] {
        let result = restore(&world.host, Kind::DatabaseBase, world.last(), target, None);
        let result = result.await.unwrap();
        assert_eq!(result.outcome, Outcome::Damaged);
        let file = format!("{child}/a/base.tar.zst");
        assert!(result.findings.iter().all(|finding| finding.file == file), "{result:?}");
    }
    // Each is sound, and one of another time is no link of the chain.
    world.host.store.set(&key, whole);
    for name in ["manifests", "artifacts"] {
        let full = world.chain[0].as_str();
        let from = world.host.store.keys();
        for from in from.iter().filter(|key| key.starts_with(name) && !key.contains("incr")) {
            let bytes = world.host.store.object(from).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let bytes = if name == "manifests" {
                Bytes::from(text.replace(full, child.as_str()))
            } else {
                bytes.clone()
            };
            world.host.store.set(&from.replace(full, child.as_str()), bytes);
        }
    }
    let result = restore(&world.host, Kind::DatabaseBase, world.last(), Target::Scratch, None);
    let result = result.await.unwrap();
    let finding = &result.findings[0];
    assert!(finding.message.contains("cannot be combined"), "{finding:?}");
    assert_eq!(finding.file, world.last().as_str());
    // The one beneath is gone.
    world.host.store.remove(&format!("manifests/queue/database-base/{child}.json"));
    let result = restore(&world.host, Kind::DatabaseBase, world.last(), Target::Scratch, None);
    let result = result.await.unwrap();
    assert_eq!(result.findings[0].file, child.as_str());
    assert!(result.findings[0].message.contains("restored on top of it"), "{result:?}");
    assert_eq!(fs::read_dir(&world.host.scratch).unwrap().count(), 0);
}
