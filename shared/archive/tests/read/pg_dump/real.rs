//! Dumps of a real `pg_dump`, whole and damaged.

use lifeboat_archive::{Format, Options, TableRows, read};
use tempfile::tempdir;

use crate::server::Server;
use crate::support::{Memory, Random, messages, options, report};

const SCHEMA: &str = r"
    CREATE SCHEMA site;
    CREATE TABLE site.tickets (id int PRIMARY KEY, body jsonb, note text);
    INSERT INTO site.tickets
        SELECT g, jsonb_build_object('token', md5(g::text), 'n', g), E'line\nline \\.\n\\.'
        FROM generate_series(1, 1500) g;
    CREATE TABLE parts (id int, at text) PARTITION BY LIST (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
    INSERT INTO parts SELECT 1 + g % 2, g FROM generate_series(1, 101) g;
    CREATE TABLE empty (id int);
    CREATE FUNCTION later(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT a';
    CREATE MATERIALIZED VIEW counts AS SELECT count(*) FROM site.tickets;
    SELECT lo_from_bytea(0, repeat('large', 10000)::bytea), lo_create(0);
";

fn tables(rows: impl Fn(u64) -> Option<u64>) -> Vec<TableRows> {
    let tables = [
        ("public.empty", 0),
        ("public.parts_1", 50),
        ("public.parts_2", 51),
        ("site.tickets", 1500),
    ];
    tables.map(|(table, count)| TableRows { table: table.to_owned(), rows: rows(count) }).to_vec()
}

fn structure_finds(bytes: &[u8]) -> bool {
    !report(bytes).is_sound()
}

#[test]
fn real_dumps_are_read_and_their_damage_is_found() {
    let folder = tempdir().unwrap();
    let server = Server::start(folder.path());
    server.sql(SCHEMA);
    let file = folder.path().join("dump");
    let gzip = server.dump(&file, &[]);
    for (what, bytes) in [
        ("gzip", &gzip),
        ("gzip, streamed", &server.streamed_dump(&[])),
        ("uncompressed", &server.dump(&file, &["--compress=0"])),
        ("uncompressed, streamed", &server.streamed_dump(&["--compress=0"])),
        ("best compression", &server.dump(&file, &["--compress=9"])),
        ("only data", &server.dump(&file, &["--data-only"])),
    ] {
        let report = report(bytes);
        assert_eq!(messages(&report), [""; 0], "{what}");
        assert_eq!(report.format, Format::PgDump, "{what}");
        assert_eq!(report.details.tables, tables(Some), "{what}");
    }
    let inserts = report(&server.dump(&file, &["--inserts"]));
    assert_eq!(messages(&inserts), [""; 0]);
    // An empty table has no INSERTs, and still has its block.
    assert_eq!(inserts.details.tables, tables(|_| None));
    let schema = report(&server.dump(&file, &["--schema-only"]));
    assert_eq!(messages(&schema), [""; 0]);
    assert_eq!(schema.details.tables, []);
    // A table's rows that go to its parent are read back by a COPY as well.
    let by_root = report(&server.dump(&file, &["--load-via-partition-root"]));
    assert_eq!(messages(&by_root), [""; 0]);
    assert_eq!(by_root.details.tables, tables(Some));

    flips_are_found(&gzip);
    truncations_are_found(&gzip);
}

fn flips_are_found(dump: &[u8]) {
    let sound = report(dump);
    let options = Options { expected_sha256: Some(sound.sha256), ..options(1) };
    let mut random = Random(1);
    let flip = |from: usize, to: usize, random: &mut Random| {
        let mut bytes = dump.to_vec();
        bytes[from + random.below(to - from)] ^= 1 << random.below(8);
        let report = read(&Memory::new(bytes), &options).unwrap();
        assert!(!report.is_sound());
        // The hash is one finding.
        report.findings_total > 1
    };
    // Anywhere: nearly all is compressed data, with a checksum.
    let anywhere = (0..200).filter(|_| flip(0, dump.len(), &mut random)).count();
    // In the header and the table of contents, where most bytes are text without a checksum.
    let contents = (0..200).filter(|_| flip(0, 4000, &mut random)).count();
    println!("structure alone finds {anywhere} of 200 anywhere, {contents} of 200 in the contents");
    assert!(anywhere >= 180, "structure alone finds {anywhere} of 200");
    assert!(contents >= 80, "structure alone finds {contents} of 200 in the contents");
}

fn truncations_are_found(dump: &[u8]) {
    let mut random = Random(2);
    let lengths = (0..48).map(|_| random.below(dump.len())).chain([dump.len() - 1, 6]);
    for len in lengths.filter(|len| *len >= 5) {
        assert!(structure_finds(&dump[..len]), "cut to {len} of {}", dump.len());
    }
}
