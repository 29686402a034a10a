use std::{fs, io::Write, os::unix::fs::symlink, path::Path, process::Command};

use sha2::{Digest, Sha256};

use super::*;
use crate::{digest::hex, files::Header, harm, report::Finding};

/// Reads an archive; a stop counts as a finding, as it does for whoever calls the reader.
fn read_all(bytes: &[u8]) -> (Option<Format>, Vec<Finding>, Details) {
    let mut input = Input::new(bytes, 0, false);
    let (mut findings, mut details) = (Findings::default(), Details::default());
    let format = match read(&mut input, &mut findings, &mut details) {
        Ok(format) => Some(format),
        Err(stop) => {
            findings.add(input.place(None), format!("{stop:?}"));
            None
        }
    };
    (format, findings.kept, details)
}

fn messages(bytes: &[u8]) -> Vec<String> {
    let findings = read_all(bytes).1;
    findings
        .into_iter()
        .map(|finding| {
            let at = finding.place.offset.map_or("-".to_owned(), |offset| offset.to_string());
            format!("{at} {} {}", finding.place.item.unwrap_or_default(), finding.message)
        })
        .collect()
}

#[derive(Default)]
struct Builder(Vec<u8>);

impl Builder {
    fn member(mut self, kind: u8, path: &str, link: &str, data: &[u8]) -> Self {
        let len = data.len() as u64;
        self.0.extend(Header::new(kind, path.as_bytes(), link.as_bytes(), len).finish());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, data: &[u8]) -> Self {
        self.member(b'0', path, "", data)
    }

    fn claims(mut self, kind: u8, path: &str, size: u64) -> Self {
        self.0.extend(Header::new(kind, path.as_bytes(), b"", size).finish());
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn tree(root: &Path) {
    let long = "long-name-".repeat(15);
    fs::create_dir_all(root.join("etc").join(&long)).unwrap();
    fs::write(root.join("etc/empty"), b"").unwrap();
    fs::write(root.join("etc/text"), "text\n".repeat(1000)).unwrap();
    fs::write(root.join("etc").join(&long).join("deep"), [7; 512]).unwrap();
    fs::hard_link(root.join("etc/text"), root.join("etc/twin")).unwrap();
    symlink("/usr/share/zoneinfo/UTC", root.join("etc/localtime")).unwrap();
    symlink(&long, root.join("etc/short")).unwrap();
    let holes = fs::File::create(root.join("etc/holes")).unwrap();
    holes.set_len(1 << 20).unwrap();
    (&holes).write_all(b"begin").unwrap();
}

#[test]
fn reads_what_gnu_tar_writes_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    tree(directory.path());
    for arguments in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=oldgnu"],
        &["--format=ustar", "--exclude=long*", "--exclude=short"],
        &["--format=posix"],
        &["--format=posix", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=v7", "--exclude=long*", "--exclude=short"],
        &["--format=gnu", "--label=a volume"],
    ] {
        let archive = directory.path().join("archive.tar");
        let status = Command::new("tar")
            .args(arguments)
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(directory.path())
            .arg("etc")
            .status()
            .unwrap();
        assert!(status.success());
        let bytes = fs::read(&archive).unwrap();
        fs::remove_file(&archive).unwrap();
        assert!(is_header(&bytes));
        let (format, findings, details) = read_all(&bytes);
        assert_eq!((format, findings), (Some(Format::Tar), vec![]), "{arguments:?}");
        let expected = match arguments {
            ["--format=ustar" | "--format=v7", ..] => 6,
            _ => 9,
        };
        assert_eq!(details.entries, Some(expected), "{arguments:?}");
    }
}

#[test]
fn says_which_member_leads_outside() {
    let symlinked = |target| {
        Builder::default().member(b'2', "a/out", target, b"").file("a/out/file", b"x").end()
    };
    for (archive, expected) in [
        (Builder::default().file("/etc/passwd", b"x").end(), "0 /etc/passwd the path is absolute"),
        (
            Builder::default().file("ok", b"x").file("a/../../b", b"x").end(),
            "1024 a/../../b the path leads outside by `..`",
        ),
        (
            Builder::default().member(b'1', "a", "/etc/shadow", b"").end(),
            "0 a a hard link leads outside: the path is absolute",
        ),
        (symlinked("/etc"), "512 a/out/file the path leads outside by an earlier symbolic link"),
        (symlinked("../../x"), "512 a/out/file the path leads outside by an earlier symbolic link"),
    ] {
        assert_eq!(messages(&archive), [expected]);
    }
    assert_eq!(messages(&symlinked("../b")), [""; 0]);
}

#[test]
fn says_where_an_archive_is_not_well_formed() {
    let sound = || Builder::default().file("a", b"content").file("b", b"more");
    for (archive, expected) in [
        (sound().0, "2048  the archive ends without its end mark"),
        (sound().end()[..2560].to_vec(), "2560  half of the end mark is missing"),
        ([sound().end(), b"x".to_vec()].concat(), "3072  bytes follow the end of the archive"),
        (
            [&sound().0[..1024], &[0; 512], &sound().0[1024..], &[0; 1024]].concat(),
            "1536  a zero block stands alone between members",
        ),
        (sound().member(b'?', "c", "", b"").end(), "2048 c the kind of the member is not known"),
        (sound().claims(b'0', "c", 1 << 61).end(), "3584  Cut"),
        (sound().claims(b'L', "c", 1 << 61).0, "2048  an extended header is larger than 1 MiB"),
        (
            sound().member(b'x', "c", "", b"10 path=a/b\n").file("c", b"").end(),
            "2048  an extended header is not well formed",
        ),
        (
            sound().member(b'x', "c", "", b"30 size=9999999999999999999999\n").file("c", b"").end(),
            "2048  an extended header is not well formed",
        ),
        (sound().claims(b'2', "c", 99).end(), "2048 c a member that has no data claims a size"),
    ] {
        let found = messages(&archive);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{found:?}");
    }
    let mut padded = sound().end();
    padded[520] ^= 1;
    padded[600] ^= 1;
    assert_eq!(messages(&padded), ["519 a the padding after the file is not zero"]);
}

#[test]
fn goes_on_behind_a_damaged_header() {
    let archive = Builder::default().file("a", b"1").file("b", b"2").file("c", b"3").end();
    let mut damaged = archive.clone();
    damaged[1024 + 3] ^= 4;
    let (_, findings, details) = read_all(&damaged);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].place.offset, Some(1024));
    assert_eq!(details.entries, Some(2));
}

fn sha(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn layer(name: &str, random: &mut harm::Random) -> Vec<u8> {
    let data: Vec<u8> = (0..4_000).map(|_| random.next().to_le_bytes()[0]).collect();
    Builder::default().file(name, &data).end()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What `docker save` wrote before version 25, one layer compressed and one a link to another's.
fn saved() -> Vec<u8> {
    let mut random = harm::Random(3);
    let (one, two) = (layer("one", &mut random), layer("two", &mut random));
    let config = format!(
        r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{}","sha256:{}","sha256:{}"]}}}}"#,
        sha(&one),
        sha(&two),
        sha(&one),
    );
    let name = format!("{}.json", sha(config.as_bytes()));
    let manifest = format!(
        r#"[{{"Config":"{name}","RepoTags":["app:1"],"Layers":["1/layer.tar","2/layer.tar","3/layer.tar"]}}]"#
    );
    Builder::default()
        .file("1/layer.tar", &one)
        .file("2/layer.tar", &gzip(&two))
        .member(b'2', "3/layer.tar", "../1/layer.tar", b"")
        .file(&name, config.as_bytes())
        .file("manifest.json", manifest.as_bytes())
        .end()
}

/// An OCI layout with an index in its index, of which one platform was kept.
fn layout() -> Vec<u8> {
    let mut random = harm::Random(4);
    let one = layer("one", &mut random);
    let packed = zstd::encode_all(&one[..], 3).unwrap();
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#, sha(&one));
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"sha256:{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"sha256:{}","size":{}}}]}}"#,
        sha(config.as_bytes()),
        config.len(),
        sha(&packed),
        packed.len()
    );
    let inner = format!(
        r#"{{"manifests":[{{"digest":"sha256:{}","size":{}}},{{"digest":"sha256:{}","size":5}}]}}"#,
        sha(manifest.as_bytes()),
        manifest.len(),
        sha(b"none"),
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"digest":"sha256:{}","size":{}}}]}}"#,
        sha(inner.as_bytes()),
        inner.len()
    );
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", sha(bytes));
    Builder::default()
        .member(b'5', "blobs/", "", b"")
        .file("index.json", index.as_bytes())
        .file(&blob(&packed), &packed)
        .file(&blob(config.as_bytes()), config.as_bytes())
        .file(&blob(manifest.as_bytes()), manifest.as_bytes())
        .file(&blob(inner.as_bytes()), inner.as_bytes())
        .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
        .end()
}

/// The archive without a member.
fn without(archive: &[u8], path: &str) -> Vec<u8> {
    let mut at = 0;
    let mut kept = Vec::new();
    while archive[at] != 0 {
        let size = header::number(&archive[at + 124..at + 136]).unwrap();
        let end = at + 512 + usize::try_from(size).unwrap().next_multiple_of(512);
        if !archive[at..].starts_with(path.as_bytes()) {
            kept.extend_from_slice(&archive[at..end]);
        }
        at = end;
    }
    kept.resize(kept.len() + 1024, 0);
    kept
}

#[test]
fn reads_images() {
    for (archive, layers) in [(saved(), 2), (layout(), 1)] {
        let (format, findings, details) = read_all(&archive);
        assert_eq!((format, findings), (Some(Format::Image), vec![]));
        assert_eq!(details.entries, Some(layers));
    }
}

#[test]
fn says_which_blob_of_an_image_is_missing_or_wrong() {
    assert_eq!(messages(&without(&saved(), "2/layer.tar")), ["- 2/layer.tar the layer is missing"]);
    let found = messages(&without(&layout(), "blobs/sha256/"));
    assert!(
        found[0].contains("index.json sha256:") && found[0].ends_with(" is missing"),
        "{found:?}"
    );
    let mut damaged = saved();
    damaged[600] ^= 1;
    let found = messages(&damaged);
    assert!(found[0].starts_with("0 1/layer.tar the layer's content is not sha256:"), "{found:?}");
    // An archive with a manifest.json of its own is no image.
    let other = Builder::default().file("manifest.json", br#"{"name":"an extension"}"#).end();
    assert_eq!(read_all(&other).0, Some(Format::Tar));
    let mut nested = br#"{"annotations":"#.to_vec();
    nested.extend("[".repeat(100_000).bytes());
    let deep = Builder::default().file("index.json", &nested).file("oci-layout", b"{}").end();
    assert!(messages(&deep)[0].contains("cannot be read"), "{:?}", messages(&deep));
}

#[test]
fn finds_damage_that_the_format_can_show() {
    let finds = |bytes: &[u8]| !read_all(bytes).1.is_empty();
    let plain =
        Builder::default().file("a", &[1; 100_000]).file("b", &[2; 3000]).file("c", b"").end();
    for (name, archive, at_least) in
        [("plain tar", plain, 0), ("docker save", saved(), 180), ("OCI layout", layout(), 180)]
    {
        let (flipped, missed) = harm::flips(&archive, 200, finds);
        let (cut, uncut) = harm::cuts(&archive, 50, finds);
        eprintln!("{name}: {flipped} of 200 flips, {cut} of 50 cuts; missed at {missed:?}");
        assert!(flipped >= at_least, "{name}: {flipped}");
        assert_eq!(uncut, [0; 0], "{name}");
    }
    // The files' contents are all that a plain archive does not protect.
    let headers =
        Builder::default().file("a", b"").file("b", b"").member(b'2', "c", "d", b"").end();
    let (flipped, missed) = harm::flips(&headers, 200, finds);
    assert_eq!((flipped, missed), (200, vec![]));
}

#[test]
fn survives_mutations() {
    let long = "n/".repeat(80);
    let other = Builder::default()
        .member(b'L', "././@LongLink", "", long.as_bytes())
        .file("n", b"content")
        .member(b'x', "pax", "", b"12 path=a/b\n20 mtime=1700000.25\n")
        .file("c", b"content")
        .end();
    for archive in [other, saved(), layout()] {
        harm::mutations(&archive, 1500, |bytes| drop(read_all(bytes)));
    }
}
