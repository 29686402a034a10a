//! Base backups and WAL of a real server, sound and damaged.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail their test"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use lifeboat_archive::{
    BaseCheck, BaseManifest, BaseReport, Gap, ManifestError, SegmentName, WalReader, WalReport,
    gaps, read_base_backup,
};

#[path = "../src/harm.rs"]
mod harm;
#[expect(dead_code, reason = "the tests of dumps need other parts of it")]
mod server;

use server::Server;

fn messages(report: &BaseReport) -> Vec<String> {
    report
        .findings
        .iter()
        .map(|finding| {
            format!("{}: {}", finding.place.item.clone().unwrap_or_default(), finding.message)
        })
        .collect()
}

fn check(manifest: &BaseManifest, tars: &[(&str, &[u8])]) -> BaseReport {
    let mut check = BaseCheck::new(manifest.clone());
    for (name, bytes) in tars {
        check.tar(name, *bytes).unwrap();
    }
    check.finish()
}

#[test]
fn checks_base_backups() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let server = Server::start(directory.path());
    fs::create_dir(at("space")).unwrap();
    server.sql(&format!("CREATE TABLESPACE elsewhere LOCATION '{}'", at("space").display()));
    server.sql("CREATE TABLE here AS SELECT g, md5(g::text) FROM generate_series(1, 5000) g");
    server.sql("CREATE TABLE there TABLESPACE elsewhere AS SELECT * FROM here");
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    server.back_up(&["--format=tar", "--pgdata", &path("tars")]);
    let mapping = format!("--tablespace-mapping={}={}", path("space"), path("space-too"));
    server.back_up(&["--format=plain", &mapping, "--pgdata", &path("plain")]);
    for (name, sums, method) in [
        ("sha224", "SHA224", "--compress=server-gzip:1"),
        ("sha256", "SHA256", "--compress=server-zstd:1"),
        ("sha384", "SHA384", "--compress=server-lz4"),
        ("sha512", "SHA512", "--compress=client-gzip:1"),
        ("none", "NONE", "--compress=none"),
    ] {
        let sums = format!("--manifest-checksums={sums}");
        server.back_up(&["--format=tar", &sums, method, "--pgdata", &path(name)]);
    }
    server.back_up(&[
        "--format=tar",
        "--manifest-force-encode",
        "--wal-method=none",
        "--pgdata",
        &path("encoded"),
    ]);
    drop(server);

    for name in ["tars", "plain", "sha224", "sha256", "sha384", "sha512", "none", "encoded"] {
        let report = read_base_backup(&at(name)).unwrap();
        assert_eq!(messages(&report), [""; 0], "{name}");
        assert!(report.files > 900 && report.bytes > 15_000_000, "{name}: {report:?}");
        assert_eq!(report.is_wal_included, name != "encoded");
        assert_eq!(report.wal_ranges.len(), 1);
    }
    plain(&at("plain"));
    tars(&at("tars"));
}

/// What `pg_verifybackup` finds in a directory, and what it lets pass.
fn plain(root: &Path) {
    let found = || messages(&read_base_backup(root).unwrap());
    fs::write(root.join("postgresql.auto.conf"), "port = 1").unwrap();
    fs::write(root.join("standby.signal"), "").unwrap();
    assert_eq!(found(), [""; 0]);

    fs::write(root.join("base/extra"), "").unwrap();
    assert_eq!(found(), ["base/extra: the file is not in the manifest"]);
    fs::remove_file(root.join("base/extra")).unwrap();

    let version = root.join("PG_VERSION");
    let kept = fs::read(&version).unwrap();
    fs::write(&version, "16\n").unwrap();
    assert_eq!(found(), ["PG_VERSION: the file's checksum is not the one in the manifest"]);
    fs::write(&version, "").unwrap();
    assert_eq!(
        found(),
        [format!("PG_VERSION: the file has 0 bytes, {} in the manifest", kept.len())]
    );
    fs::remove_file(&version).unwrap();
    assert_eq!(found(), ["PG_VERSION: the file is missing"]);
    fs::write(&version, kept).unwrap();

    let space = fs::read_dir(root.join("pg_tblspc")).unwrap().next().unwrap().unwrap().path();
    let inner =
        |directory: PathBuf| fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
    let relation = inner(inner(inner(space)));
    let content = fs::read(&relation).unwrap();
    fs::remove_file(&relation).unwrap();
    assert!(found()[0].starts_with("pg_tblspc/") && found()[0].ends_with(": the file is missing"));
    fs::write(relation, content).unwrap();

    let segment = fs::read_dir(root.join("pg_wal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_file())
        .unwrap();
    let content = fs::read(&segment).unwrap();
    let mut damaged = content.clone();
    damaged[200] ^= 1;
    fs::write(&segment, damaged).unwrap();
    assert!(found()[0].contains("the checksum of the record at"), "{:?}", found());
    fs::remove_file(&segment).unwrap();
    assert_eq!(found(), ["pg_wal: the WAL that the backup needs is missing"]);
    fs::write(&segment, content).unwrap();
    assert_eq!(found(), [""; 0]);
}

fn tars(root: &Path) {
    let read = |name: &str| fs::read(root.join(name)).unwrap();
    let (manifest, base, wal) = (read("backup_manifest"), read("base.tar"), read("pg_wal.tar"));
    // Read once: reading it is most of what a check of small tars takes.
    let named = BaseManifest::read(&manifest[..]).unwrap();
    let spaces = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
    let space = spaces
        .map(|name| name.into_string().unwrap())
        .find(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .unwrap();
    let elsewhere = read(&space);
    let all = [("base.tar", &base[..]), ("pg_wal.tar", &wal), (&space, &elsewhere)];
    assert_eq!(messages(&check(&named, &all)), [""; 0]);
    let missing = messages(&check(&named, &all[..2]));
    assert!(missing.len() > 2 && missing.iter().all(|one| one.starts_with("pg_tblspc/")));
    let twice = messages(&check(&named, &[all[0], all[0], all[2]]));
    assert!(twice[0].ends_with("the backup holds the file twice"), "{twice:?}");

    // Each part by itself, and of the largest its beginning: what is damaged adds to what is missing
    // without the others.
    let beginning = beginning(&base, 1_000_000);
    for (name, bytes, at_least) in [
        ("base.tar", &beginning, 198),
        ("pg_wal.tar", &wal, 198),
        (space.as_str(), &elsewhere, 200),
    ] {
        let alone = check(&named, &[(name, bytes)]).findings_total;
        let finds = |bytes: &[u8]| check(&named, &[(name, bytes)]).findings_total != alone;
        let (flipped, missed) = harm::flips(bytes, 200, finds);
        let (cut, uncut) = harm::cuts(bytes, 50, |cut| {
            let report = check(&named, &[(name, cut)]);
            report
                .findings
                .iter()
                .any(|one| one.message == "it ends too early" || one.message.contains("end mark"))
        });
        harm::tell(name, flipped, cut, &missed);
        assert!(flipped >= at_least, "{name}: {flipped}");
        assert_eq!(uncut, [0; 0], "{name}");
    }
    let finds = |bytes: &[u8]| matches!(BaseManifest::read(bytes), Err(ManifestError::Damaged(_)));
    assert!(!finds(&manifest));
    let (flipped, missed) = harm::flips(&manifest, 200, finds);
    let (cut, uncut) = harm::cuts(&manifest, 50, finds);
    harm::tell("backup_manifest", flipped, cut, &missed);
    assert_eq!((missed, uncut), (vec![], vec![]));
    let small = &elsewhere[..elsewhere.len().min(40_000)];
    harm::mutations(small, 200, |bytes| drop(check(&named, &[(&space, bytes)])));
    let head: Vec<u8> = manifest.iter().copied().take(2000).collect();
    harm::mutations(&head, 1000, |bytes| drop(BaseManifest::read(bytes)));
}

/// The first members of an archive, as an archive.
fn beginning(archive: &[u8], len: usize) -> Vec<u8> {
    let mut at = 0;
    while at < len {
        let digits = std::str::from_utf8(&archive[at + 124..at + 135]).unwrap();
        at += 512 + usize::from_str_radix(digits, 8).unwrap().next_multiple_of(512);
    }
    [&archive[..at], &[0; 1024]].concat()
}

fn segments(directory: &Path) -> Vec<(SegmentName, Vec<u8>)> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = names
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.parse().ok()?;
            Some((name, fs::read(path).unwrap()))
        })
        .collect();
    segments.sort();
    segments
}

fn read_alone(name: SegmentName, bytes: &[u8]) -> WalReport {
    WalReader::new().segment(name, bytes).unwrap()
}

#[test]
fn checks_wal() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    // What the server wrote before depends on its version; from here on the first segment begins
    // with a record.
    let before: SegmentName = server.switch_wal().parse().unwrap();
    server.sql("CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g");
    // A record of several pages, and one that spans segments: from the beginning of one on, it ends
    // behind three quarters of the fifth.
    server.sql("CREATE TABLE big (content text)");
    server.sql("INSERT INTO big SELECT repeat('0123456789', 90000)");
    server.switch_wal();
    server.sql("SELECT pg_logical_emit_message(false, 'test', repeat('x', 5000000))");
    server.switch_wal();
    server.sql("INSERT INTO t SELECT 1, 'after'");
    server.await_archive(&server.switch_wal());
    let mut segments = segments(&server.archive);
    segments.retain(|(name, _)| *name > before);
    drop(server);
    assert!(segments.len() >= 7, "{}", segments.len());

    let mut reader = WalReader::new();
    for (name, bytes) in &segments {
        // The state survives being stored between two runs.
        let stored = serde_json::to_string(&reader).unwrap();
        assert!(stored.len() < 600, "{stored}");
        reader = serde_json::from_str(&stored).unwrap();
        let report = reader.segment(*name, &zstd::encode_all(&bytes[..], 1).unwrap()[..]).unwrap();
        assert_eq!(report.findings, [], "{name}");
        assert_eq!(report.start, name.start(report.segment_bytes));
        assert_eq!(report.segment_bytes, 1 << 20);
        assert!(!report.begins_within_record, "{name}");
    }
    let names: Vec<String> = segments.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(gaps(names.iter().map(String::as_str), 1 << 20), []);
    let holed = names.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, name)| name.as_str());
    assert!(matches!(gaps(holed, 1 << 20)[..], [Gap::Segments { missing: 1, .. }]));

    // In order, a flip in what one segment has of the next one's record is found too.
    // The second segment holds the end of the long one.
    let seam = segments.windows(2).find(|pair| {
        let remaining = u32::from_le_bytes(pair[1].1[16..20].try_into().unwrap());
        (500_000..1_000_000).contains(&remaining)
    });
    let [(first, before), (second, after)] = seam.unwrap() else { unreachable!() };
    assert!(read_alone(*second, after).begins_within_record);
    let mut damaged = after.clone();
    damaged[1000] ^= 1;
    assert_eq!(read_alone(*second, &damaged).findings_total, 0);
    let mut reader = WalReader::new();
    for (name, bytes) in segments.iter().filter(|(name, _)| name <= first) {
        reader.segment(*name, &bytes[..]).unwrap();
    }
    let report = reader.segment(*second, &damaged[..]).unwrap();
    assert!(report.findings[0].message.contains("the checksum of the record"), "{report:?}");

    let wrong = read_alone(*first, after);
    assert!(wrong.findings[0].message.contains("is not the one in the segment's name"));
    let foreign = WalReader::of_system(1).segment(*first, &before[..]).unwrap();
    assert!(foreign.findings[0].message.contains("another database cluster"));

    let (name, full) = &segments[0];
    let (switched, mostly_empty) = segments.last().unwrap();
    for (what, name, bytes, at_least) in
        [("full segment", name, full, 197), ("switched segment", switched, mostly_empty, 200)]
    {
        let finds = |bytes: &[u8]| read_alone(*name, bytes).findings_total > 0;
        let (flipped, missed) = harm::flips(bytes, 200, finds);
        let (cut, uncut) = harm::cuts(bytes, 50, finds);
        harm::tell(what, flipped, cut, &missed);
        assert!(flipped >= at_least, "{what}: {flipped}");
        assert_eq!(uncut, [0; 0], "{what}");
    }
    harm::mutations(&full[..100_000], 2000, |bytes| drop(read_alone(*name, bytes)));
    harm::mutations(full, 60, |bytes| drop(read_alone(*name, bytes)));
}
