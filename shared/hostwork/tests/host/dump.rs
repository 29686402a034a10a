//! Dumps of a real server, and their restore.

use bytes::Bytes;

use crate::support::{Server, host, noon, plan, scratch};
use lifeboat_core::{
    ErrorName,
    backup::{Kind, Outcome},
    contract::restore_backup::Target,
    plan_file::{Backup, SqlCheck},
};
use lifeboat_hostwork::{Host, backup, restore};

const TABLES: &str = "CREATE TABLE tickets (id bigint PRIMARY KEY, body text);
    INSERT INTO tickets SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 20000) n;
    CREATE SCHEMA \"odd: name\"; CREATE TABLE \"odd: name\".\"Empty\" ();
    CREATE TABLE parts (n int) PARTITION BY RANGE (n);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
    INSERT INTO parts SELECT generate_series(0, 41);
    CREATE ROLE reader; GRANT SELECT ON tickets TO reader;
    CREATE POLICY for_readers ON tickets TO reader USING (true);";

#[tokio::test]
async fn a_dump_is_taken_once_and_restored_with_every_row() {
    let server = Server::start();
    server.sql("queue", TABLES);
    let mut plan = plan(server.port);
    let check = |name: &str, query: &str| SqlCheck { name: name.into(), query: query.into() };
    plan.backup = Some(Backup {
        checks: vec![check("tickets are there", "SELECT count(*) > 100 FROM tickets")],
        ..Backup::default()
    });
    let scratch = scratch();
    let (mut host, _stopper) = host(plan, scratch.path());

    let manifest = backup(&host, Kind::DatabaseDump, &noon()).await.unwrap();
    let counts: Vec<(&str, Option<u64>)> =
        manifest.tables.iter().map(|count| (count.table.as_str(), count.rows)).collect();
    assert_eq!(
        counts,
        [
            ("odd: name.Empty", Some(0)),
            ("public.parts_1", Some(42)),
            ("public.tickets", Some(20000))
        ]
    );
    assert!(manifest.lsn.is_some());
    assert_eq!(
        host.store.keys(),
        [
            "artifacts/queue/database-dump/20261124T120000Z-full/a/database.dump.zst",
            "manifests/queue/database-dump/20261124T120000Z-full.json",
        ]
    );
    // Again: one backup, whatever happened to the database meanwhile.
    server.sql("queue", "DELETE FROM tickets WHERE id > 7");
    assert_eq!(backup(&host, Kind::DatabaseDump, &noon()).await.unwrap(), manifest);
    assert_eq!(host.store.keys().len(), 2);

    let result = restore(&host, Kind::DatabaseDump, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!(result.findings, []);
    assert_eq!(result.outcome, Outcome::Sound);
    let facts = result.facts.join("\n");
    assert!(facts.contains("3 tables with 20042 rows"), "{facts}");
    assert!(facts.contains("check `tickets are there`: true"), "{facts}");
    assert!(facts.contains("role \"reader\" does not exist"), "{facts}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

    // Questions that make no sense are no damage: it cannot be told.
    let broken = [
        check("tickets are there", "SELECT count(*) > 100 FROM tickets"),
        check("no such table", "SELECT true FROM nowhere"),
        check("no SQL", "SELEC true"),
        check("no boolean", "SELECT 5"),
        check("writes", "DELETE FROM tickets RETURNING true"),
    ];
    let ask = |host: &mut Host<_>, checks: &[SqlCheck]| {
        if let Some(backup) = &mut host.plan.backup {
            backup.checks = checks.to_vec();
        }
    };
    ask(&mut host, &broken);
    let untold = restore(&host, Kind::DatabaseDump, &noon(), Target::Scratch, None).await;
    let untold = untold.unwrap_err();
    assert_eq!(untold.name, ErrorName::InvalidInput);
    for said in [
        "check `no such table` (backup.checks[1] of the plan)",
        "SQLSTATE 42P01",
        "check `no SQL` (backup.checks[2] of the plan)",
        "SQLSTATE 42601",
        "backup.checks[3]",
        "SQLSTATE 25006",
        "lifeboat plan apply",
    ] {
        assert!(untold.message.contains(said), "{said}: {untold}");
    }
    assert!(!untold.message.contains("tickets are there"), "{untold}");

    // What the restored database answers with false is damage, whatever else cannot be asked.
    let mut checks = broken.to_vec();
    checks.push(check("nobody waits", "SELECT count(*) = 0 FROM tickets"));
    ask(&mut host, &checks);
    let result = restore(&host, Kind::DatabaseDump, &noon(), Target::Scratch, None).await.unwrap();
    let places: Vec<&str> = result.findings.iter().map(|f| f.place.as_str()).collect();
    assert_eq!(places, ["check nobody waits"]);
    assert_eq!(result.outcome, Outcome::Damaged);
    assert!(result.facts.join("\n").contains("backup.checks[1]"), "{:?}", result.facts);
}

const DUMP: &str = "artifacts/queue/database-dump/20261124T120000Z-full/a/database.dump.zst";

/// Compresses to this many bytes.
fn as_long_as(len: usize, dump: &[u8]) -> Bytes {
    let mut packed = zstd::encode_all(dump, 19).unwrap();
    // A frame that readers pass over (RFC 8878, section 3.1.2).
    let rest = len - packed.len() - 8;
    packed.extend(0x184D_2A50_u32.to_le_bytes());
    packed.extend(u32::try_from(rest).unwrap().to_le_bytes());
    packed.resize(len, 0);
    Bytes::from(packed)
}

#[tokio::test]
async fn in_place_a_dump_is_committed_only_when_every_byte_of_it_is_right() {
    let server = Server::start();
    server.sql("queue", TABLES);
    let scratch = scratch();
    let (mut host, _stopper) = host(plan(server.port), scratch.path());
    backup(&host, Kind::DatabaseDump, &noon()).await.unwrap();
    let there = restore(&host, Kind::DatabaseDump, &noon(), Target::Place, None).await;
    let there = there.unwrap_err();
    assert_eq!(there.name, ErrorName::Refused);
    assert!(there.message.contains("has 3 tables") && there.message.contains("RENAME"), "{there}");

    server.sql("postgres", "CREATE DATABASE fresh");
    host.plan.database.name = "fresh".to_owned();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let whole = host.store.object(DUMP).unwrap();
    // Rows that are others than those dumped, in a stream that decompresses and restores: nothing but
    // the checksum of the whole tells.
    let mut forged = zstd::decode_all(&*whole).unwrap();
    let row = b"\tc4ca4238a0b923820dcc509a6f75849b";
    let at = forged.windows(row.len()).position(|bytes| bytes == row).unwrap();
    forged[at + 1] = b'X';
    // And behind all that pg_restore reads.
    let mut longer = zstd::decode_all(&*whole).unwrap();
    longer.resize(longer.len() + (4 << 20), 0);
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 2] ^= 1;
    let mut last = whole.to_vec();
    *last.last_mut().unwrap() ^= 1;
    let cut = whole.slice(..whole.len() - 5);
    let [forged, longer] = [forged, longer].map(|dump| as_long_as(whole.len(), &dump));
    for damaged in [forged, longer, flipped.into(), last.into(), cut] {
        host.store.set(DUMP, damaged);
        let result =
            restore(&host, Kind::DatabaseDump, &noon(), Target::Place, None).await.unwrap();
        assert_eq!(result.outcome, Outcome::Damaged);
        assert!(result.findings.iter().all(|f| f.file == "a/database.dump.zst"), "{result:?}");
        assert_eq!(server.sql("fresh", tables), "0");
    }
    host.store.set(DUMP, whole);
    let result = restore(&host, Kind::DatabaseDump, &noon(), Target::Place, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    assert_eq!(server.sql("fresh", "SELECT count(*) FROM tickets"), "20000");

    let to = Some("2026-11-24T12:00:00Z".parse().unwrap());
    let fault = restore(&host, Kind::DatabaseDump, &noon(), Target::Scratch, to).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
    assert!(fault.message.contains("only database-base can"), "{fault}");
}
