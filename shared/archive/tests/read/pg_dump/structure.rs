//! Dumps that the tests write: each version and compression, and each way to be wrong.

use lifeboat_archive::{Format, TableRows, read};

use super::writer::{Compression, Data, Dump, Entry, integer};
use crate::support::{Memory, messages, options, report};

const COMPRESSIONS: [Compression; 4] =
    [Compression::None, Compression::Gzip, Compression::Lz4, Compression::Zstd];

fn tables() -> Vec<TableRows> {
    let tables = [
        ("public.accounts", Some(900)),
        ("public.empty", Some(0)),
        ("public.old", None),
        ("public.nothing", None),
        ("public.tickets", Some(1100)),
    ];
    tables.map(|(table, rows)| TableRows { table: table.to_owned(), rows }).to_vec()
}

#[test]
fn every_version_and_compression_is_read() {
    for minor in [14, 15, 16] {
        for compression in COMPRESSIONS {
            if minor == 14 && matches!(compression, Compression::Lz4 | Compression::Zstd) {
                continue;
            }
            for is_streamed in [false, true] {
                let dump = Dump { is_streamed, ..Dump::new(minor, compression) };
                let bytes = dump.bytes();
                let report = report(&bytes);
                let what = format!("1.{minor} {compression:?} streamed: {is_streamed}");
                assert_eq!(messages(&report), [""; 0], "{what}");
                assert_eq!(report.format, Format::PgDump, "{what}");
                assert_eq!(report.details.tables, tables(), "{what}");
                assert_eq!(report.size_bytes, bytes.len() as u64, "{what}");
                let written_by = format!(
                    "pg_dump 18.4 (Debian) from PostgreSQL 17.2 (archive version 1.{minor})"
                );
                assert_eq!(report.details.written_by, Some(written_by), "{what}");
            }
        }
    }
}

#[test]
fn blocks_that_do_not_match_the_contents_are_found() {
    let mut dump = Dump::new(15, Compression::Gzip);
    dump.blocks = vec![200, 201, 202, 203, 205];
    let found = messages(&report(&dump.bytes()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("public.tickets at "), "{found:?}");
    assert!(found[0].ends_with("the block of entry 204 is missing"), "{found:?}");

    dump.blocks = vec![200, 201, 202, 203, 204, 205, 206];
    let found = messages(&report(&dump.bytes()));
    assert!(found[0].ends_with("a block of entry 206, which has no data"), "{found:?}");

    dump.blocks = vec![200, 201, 202, 203, 204, 204, 205];
    dump.is_streamed = true;
    let found = messages(&report(&dump.bytes()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("a second block of the same entry"), "{found:?}");
}

#[test]
fn an_entry_twice_in_the_contents_is_found() {
    let mut dump = Dump::new(16, Compression::Zstd);
    dump.entries.push(Entry { id: 204, tag: "again", data: Data::Copy(b"\\.\n\n\n".to_vec()) });
    let found = messages(&report(&dump.bytes()));
    assert!(found[0].contains("entry 204 twice"), "{found:?}");
}

#[test]
fn rows_without_an_end_mark_are_found() {
    for compression in COMPRESSIONS {
        let mut dump = Dump::new(15, compression);
        let rows = b"1\tone\n2\ttwo\n".to_vec();
        dump.entries[1].data = Data::Copy(rows);
        let report = report(&dump.bytes());
        let found = messages(&report);
        assert!(found[0].starts_with("public.accounts at "), "{found:?}");
        assert!(found[0].ends_with("the rows have no end mark"), "{found:?}");
        assert_eq!(report.details.tables[0].rows, None);
        assert_eq!(report.details.tables[4].rows, Some(1100));
    }
}

#[test]
fn what_follows_the_last_block_is_found() {
    let bytes = Dump::new(15, Compression::Gzip).bytes();
    let report = report(&[&bytes[..], b"garbage"].concat());
    let expected = format!("- at {}: no block of data begins here (type 103)", bytes.len());
    assert_eq!(messages(&report), [expected]);
}

#[test]
fn damage_in_one_block_leaves_the_others_readable() {
    for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let mut bytes = Dump::new(15, compression).bytes();
        // The first bytes of the first table's stream: behind them neither lz4 nor zstd, as
        // pg_dump calls them, has a checksum.
        let at = bytes.windows(6).position(|window| window == [1, 0, 200, 0, 0, 0]).unwrap();
        for byte in &mut bytes[at + 11..at + 15] {
            *byte = !*byte;
        }
        let report = report(&bytes);
        let found = messages(&report);
        assert_eq!(found.len(), 1, "{compression:?}: {found:?}");
        let place = format!("public.accounts at {}: ", at + 6);
        assert!(found[0].starts_with(&place), "{compression:?}: {found:?}");
        assert_eq!(report.details.tables[0].rows, None);
        assert_eq!(report.details.tables[4].rows, Some(1100));
    }
}

#[test]
fn after_a_lost_chunk_the_contents_lead_to_the_next_block() {
    let dump = Dump::new(15, Compression::Gzip);
    let mut bytes = dump.bytes();
    let at = bytes.windows(6).position(|window| window == [1, 0, 200, 0, 0, 0]).unwrap() + 6;
    // The first chunk's length becomes negative.
    bytes[at] = 1;
    let report = report(&bytes);
    let expected = format!("public.accounts at {at}: a chunk of -1000 bytes");
    assert_eq!(messages(&report), [expected]);
    assert_eq!(report.details.tables[4].rows, Some(1100));
}

#[test]
fn bytes_behind_the_end_of_a_stream_are_found() {
    for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let mut dump = Dump::new(15, compression);
        dump.is_streamed = true;
        dump.entries.truncate(2);
        dump.blocks = vec![200];
        let mut bytes = dump.bytes();
        bytes.truncate(bytes.len() - 5);
        integer(&mut bytes, 4);
        bytes.extend(b"more");
        integer(&mut bytes, 0);
        let found = messages(&report(&bytes));
        assert!(found[0].contains("follow the end of the compressed data"), "{found:?}");
    }
}

#[test]
fn a_window_that_needs_too_much_memory_is_refused() {
    use std::io::Write;
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    let found = messages(&report(&encoder.finish().unwrap()));
    assert!(found[0].contains("zstd stream is damaged"), "{found:?}");
    assert!(found[0].contains("memory"), "{found:?}");
}

#[test]
fn versions_that_are_not_known_are_found() {
    let found = messages(&report(&Dump::new(17, Compression::Gzip).bytes()));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("- at 5: archive version 1.17;"), "{found:?}");
}

#[test]
fn a_source_that_is_dear_to_reopen_is_read_once() {
    let bytes = Dump::new(16, Compression::Gzip).bytes();
    let source = Memory { is_cheap: false, ..Memory::new(bytes) };
    let report = read(&source, &options(4)).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.details.tables, tables());
}
