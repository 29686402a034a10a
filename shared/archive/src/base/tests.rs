use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::*;
use crate::{
    digest::hex,
    files::Header,
    harm,
    input::Input,
    report::{Details, Format},
    tar,
};

/// A manifest as PostgreSQL writes it, of these lines for files and this header.
fn manifest(header: &str, files: &[String]) -> Vec<u8> {
    let body = format!(
        "{{ {header},\n\"Files\": [\n{}\n],\n\"WAL-Ranges\": [\n{{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"1/2000100\" }}\n],\n",
        files.join(",\n")
    );
    let sum = hex(&Sha256::digest(&body));
    format!("{body}\"Manifest-Checksum\": \"{sum}\"}}\n").into_bytes()
}

const ONE: &str = "\"PostgreSQL-Backup-Manifest-Version\": 1";
const TWO: &str =
    "\"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7320000000000000001";

fn crc_line(path: &str, data: &[u8]) -> String {
    let crc = hex(&crc32c::crc32c(data).to_le_bytes());
    format!(
        "{{ \"Path\": \"{path}\", \"Size\": {}, \"Last-Modified\": \"2026-11-24 13:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{crc}\" }}",
        data.len()
    )
}

fn refusal(bytes: &[u8]) -> String {
    match BaseManifest::read(bytes) {
        Err(ManifestError::Damaged(finding)) => finding.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_manifests_of_both_versions() {
    let encoded = "{ \"Encoded-Path\": \"62617365ff\", \"Size\": 0, \"Last-Modified\": \"\" }";
    let files = [crc_line("backup_label", b"label"), encoded.to_owned()];
    for (header, system) in [(ONE, None), (TWO, Some(7_320_000_000_000_000_001))] {
        let read = BaseManifest::read(&manifest(header, &files)[..]).unwrap();
        assert_eq!((read.files(), read.system_identifier()), (2, system));
        let range = WalRange { timeline: 1, start: 0x200_0028, end: 0x1_0200_0100 };
        assert_eq!(read.wal_ranges(), [range]);
    }
}

#[test]
fn says_why_a_manifest_is_not_usable() {
    let line = crc_line("a", b"");
    let with = |line: &str| manifest(ONE, &[line.to_owned()]);
    for (bytes, expected) in [
        (with(&line.replace("\"a\"", "\"../a\"")), "the path leads outside by `..`: ../a"),
        (with(&line.replace("\"a\"", "\"/a\"")), "the path is absolute: /a"),
        (with(&line.replace("CRC32C", "MD5")), "algorithm is not known"),
        (with(&line.replace("CRC32C", "SHA256")), "a checksum does not fit its algorithm"),
        (with(&line.replace("\"Path\": \"a\", ", "")), "a file has no path, or two"),
        (manifest(ONE, &[line.clone(), line.clone()]), "a is in it twice"),
        (manifest("\"PostgreSQL-Backup-Manifest-Version\": 3", &[]), "version 3 is not known"),
        (manifest("\"Other\": 3", &[]), "a field that manifests do not have"),
        (b"{}\n".to_vec(), "version 0 is not known"),
        (b"".to_vec(), "EOF while parsing"),
        (with(&line).into_iter().chain(*b"{}\n").collect(), "trailing characters"),
        ([&b"{\""[..], &[b'a'; 200_000]].concat(), "a line is too long"),
    ] {
        let found = refusal(&bytes);
        assert!(found.contains(expected), "{found}");
    }
    let mut damaged = with(&line);
    damaged[200] ^= 2;
    assert!(!refusal(&damaged).is_empty());
    let unended = with(&line);
    assert_eq!(refusal(&unended[..unended.len() - 1]), "it does not match its own checksum");
}

#[test]
fn tells_a_manifest_that_cannot_be_read_from_a_damaged_one() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let bytes = manifest(ONE, &[crc_line("a", b"")]);
    let result = BaseManifest::read(bytes[..100].chain(Failing));
    assert!(matches!(result, Err(ManifestError::Source(_))), "{result:?}");
    let mut check = BaseCheck::new(BaseManifest::read(&bytes[..]).unwrap());
    let error = check.tar("base.tar", [0; 100].chain(Failing)).unwrap_err();
    assert_eq!(error.offset, 100);
}

#[test]
fn gives_up_on_a_manifest_that_does_not_fit_the_memory_without_calling_it_damaged() {
    let long = format!("{}/", "d".repeat(255)).repeat(8);
    let files: Vec<String> =
        (0..20_000).map(|number| crc_line(&format!("{long}{number}"), b"")).collect();
    let result = BaseManifest::read(&manifest(ONE, &files)[..]);
    assert!(
        matches!(result, Err(ManifestError::TooLarge)),
        "{:?}",
        result.map(|read| read.files())
    );
}

#[test]
fn knows_the_parts_of_a_backup_by_their_names() {
    let read = || BaseManifest::read(&manifest(ONE, &[])[..]).unwrap();
    for (name, is_part) in [
        ("base.tar", true),
        ("app/base/2026/base.tar.zst", true),
        ("16384.tar.gz", true),
        ("base.tar.xz", false),
        ("other.tar", false),
        (".tar", false),
    ] {
        let mut check = BaseCheck::new(read());
        check.tar(name, &[0; 1024][..]).unwrap();
        assert_eq!(check.finish().findings_total, u64::from(!is_part), "{name}");
    }
}

/// One tar with all files and the manifest last.
fn inline(files: &[(&str, &[u8])], manifest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, data) in files.iter().chain(&[("backup_manifest", manifest)]) {
        bytes.extend(Header::new(b'0', path.as_bytes(), b"", data.len() as u64).finish());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn messages(archive: &[u8]) -> (Option<Format>, Vec<String>) {
    let mut input = Input::new(archive, 0, false);
    let (mut findings, mut details) = (Findings::default(), Details::default());
    let format = tar::read(&mut input, &mut findings, &mut details).ok();
    let mut messages: Vec<String> = findings
        .kept
        .into_iter()
        .map(|finding| format!("{}: {}", finding.place.item.unwrap_or_default(), finding.message))
        .collect();
    if format.is_none() {
        messages.push("stopped".to_owned());
    }
    (format, messages)
}

#[test]
fn checks_a_tar_that_holds_its_own_manifest() {
    let files: [(&str, &[u8]); 3] =
        [("backup_label", b"label"), ("PG_VERSION", b"15\n"), ("base/1/2", &[7; 20_000])];
    let sha = format!(
        "{{ \"Path\": \"PG_VERSION\", \"Size\": 3, \"Last-Modified\": \"\", \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"{}\" }}",
        hex(&Sha256::digest(files[1].1))
    );
    let lines = [crc_line(files[0].0, files[0].1), sha, crc_line(files[2].0, files[2].1)];
    let named = manifest(ONE, &lines);
    let base = Some(Format::BaseBackup);
    assert_eq!(messages(&inline(&files, &named)), (base, vec![]));
    assert_eq!(
        messages(&inline(&files[..2], &named)).1,
        ["base/1/2: the file is missing".to_owned()]
    );
    let more = [&files[..], &[("more", b"x"), ("standby.signal", b"")]].concat();
    assert_eq!(messages(&inline(&more, &named)).1, ["more: the file is not in the manifest"]);
    let other = [files[0], ("PG_VERSION", b"16\n"), ("base/1/2", b"short")];
    assert_eq!(
        messages(&inline(&other, &named)).1,
        [
            "PG_VERSION: the file's checksum is not the one in the manifest",
            "base/1/2: the file has 5 bytes, 20000 in the manifest"
        ]
    );
    let archive = inline(&files, &named);
    let (flipped, missed) = harm::flips(&archive, 200, |bytes| !messages(bytes).1.is_empty());
    let (cut, _) = harm::cuts(&archive, 50, |bytes| !messages(bytes).1.is_empty());
    harm::tell("base backup in one tar", flipped, cut, &missed);
    assert_eq!((missed, cut), (vec![], 50));
    harm::mutations(&archive, 1500, |bytes| drop(messages(bytes)));
}
