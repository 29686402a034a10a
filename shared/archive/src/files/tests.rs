use std::{
    fs,
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use super::*;

/// All that is kept of what lies below a directory, as lines.
fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_symlink() {
                format!("{:?}", fs::read_link(&path).unwrap())
            } else if metadata.is_file() {
                format!("{:x?} {}", crc32c::crc32c(&fs::read(&path).unwrap()), metadata.nlink())
            } else {
                pending.push(path.clone());
                String::new()
            };
            let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
            let name = path.strip_prefix(root).unwrap();
            lines.push(format!("{name:?} {mode:o} {uid}:{gid} {} {content}", metadata.mtime()));
        }
    }
    lines.sort();
    lines
}

fn tree(root: &Path) {
    fs::create_dir_all(root.join("app/config/empty")).unwrap();
    fs::create_dir_all(root.join("app/logs")).unwrap();
    fs::create_dir_all(root.join("app").join("deep/".repeat(60))).unwrap();
    fs::write(root.join("app").join("deep/".repeat(60)).join("file"), b"deep").unwrap();
    fs::write(root.join("app/config/key"), b"secret").unwrap();
    fs::set_permissions(root.join("app/config/key"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(root.join("app/config/key"), root.join("app/config/twin")).unwrap();
    fs::write(root.join("app/logs/log"), vec![b'x'; 300_001]).unwrap();
    fs::write(root.join("app").join(std::ffi::OsStr::from_bytes(b"no\xffutf8")), b"").unwrap();
    symlink("/etc", root.join("app/away")).unwrap();
    symlink("config/key", root.join("app/near")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in ["app/config/key", "app/config", "app/logs"] {
        fs::File::open(root.join(path)).unwrap().set_modified(old).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(root.join("app/logs/log"), Some(1234), Some(3_000_000)).unwrap();
    }
    fs::set_permissions(root.join("app/config/empty"), fs::Permissions::from_mode(0o500)).unwrap();
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }
}

/// Members of packed files lie below the path from `/`.
fn below(target: &Path, source: &Path) -> PathBuf {
    target.join(source.strip_prefix("/").unwrap())
}

#[test]
fn unpacks_what_was_packed_with_all_that_belongs_to_it() {
    let place = Place::new();
    let (source, target, theirs) = (place.make("source"), place.make("target"), place.make("gnu"));
    tree(&source);
    let none: [&Path; 0] = [];
    let mut archive = Vec::new();
    let packed = pack(&[&source], &none, &mut archive).unwrap();
    assert_eq!(packed.problems, []);
    assert_eq!(packed.entries, 72);
    let mut again = Vec::new();
    pack(&[&source], &none, &mut again).unwrap();
    assert!(archive == again, "the same files give the same archive");

    let compressed = zstd::encode_all(&archive[..], 1).unwrap();
    let unpacked = unpack(&compressed[..], &target, UnpackOptions::default()).unwrap();
    assert_eq!((unpacked.entries, unpacked.bytes), (packed.entries, packed.bytes));
    assert_eq!(listing(&below(&target, &source)), listing(&source));

    // GNU tar reads it as it was meant, and what it writes is unpacked the same.
    let file = place.directory.path().join("archive.tar");
    fs::write(&file, &archive).unwrap();
    let tar = |arguments: &[&str], at: &Path| {
        let output = Command::new("tar").args(arguments).arg(&file).arg("-C").arg(at).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    tar(&["-xpf"], &theirs);
    assert_eq!(listing(&below(&theirs, &source)), listing(&source));
    for format in ["--format=gnu", "--format=posix"] {
        let into = place.make(format);
        let status = Command::new("tar")
            .args([format, "-czf"])
            .arg(&file)
            .arg("-C")
            .arg(&source)
            .arg(".")
            .status();
        assert!(status.unwrap().success());
        unpack(fs::File::open(&file).unwrap(), &into, UnpackOptions::default()).unwrap();
        assert_eq!(listing(&into), listing(&source), "{format}");
    }
    // Once more over what is there: the result is the same.
    unpack(&compressed[..], &target, UnpackOptions::default()).unwrap();
    assert_eq!(listing(&below(&target, &source)), listing(&source));
}

#[test]
fn leaves_out_what_is_excluded_and_packs_nothing_twice() {
    let place = Place::new();
    let (source, target) = (place.make("source"), place.make("target"));
    tree(&source);
    let wanted = [source.join("app/logs"), source.join("app"), source.join("missing")];
    let exclude = [source.join("app/config"), source.join("app/deep"), source.join("app/lo")];
    let mut archive = Vec::new();
    let packed = pack(&wanted, &exclude, &mut archive).unwrap();
    assert_eq!(packed.problems_total, 1);
    assert_eq!(packed.problems[0].kind, ProblemKind::Vanished);
    unpack(&archive[..], &target, UnpackOptions::default()).unwrap();
    let mut names: Vec<_> = listing(&below(&target, &source.join("app")))
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, [r#""away""#, r#""logs""#, r#""logs/log""#, r#""near""#, r#""no\xFFutf8""#]);
}

/// Does something to a file as soon as it is being written into the archive.
struct Meanwhile<F: FnMut()> {
    into: Vec<u8>,
    when: usize,
    act: Option<F>,
}

impl<F: FnMut()> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.into.extend_from_slice(bytes);
        if self.into.len() >= self.when
            && let Some(mut act) = self.act.take()
        {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn keeps_the_archive_whole_while_files_change() {
    let path_of = |root: &Path, name: &str| root.join(name);
    let none: [&Path; 0] = [];
    type Act = fn(&Path);
    let shrink: Act =
        |path| fs::File::options().write(true).open(path).unwrap().set_len(9).unwrap();
    let grow: Act = |path| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(&[1; 100]).unwrap();
    };
    let vanish: Act = |path| fs::remove_file(path.with_file_name("later")).unwrap();
    let replace: Act = |path| {
        let later = path.with_file_name("later");
        fs::remove_file(&later).unwrap();
        symlink("/etc/passwd", later).unwrap();
    };
    for (act, expected, entries) in [
        (shrink, Some(ProblemKind::Changed), 4),
        (grow, Some(ProblemKind::Changed), 4),
        (vanish, Some(ProblemKind::Vanished), 3),
        (replace, None, 4),
    ] {
        let place = Place::new();
        let (source, target) = (place.make("source"), place.make("target"));
        let big = path_of(&source, "big");
        for name in ["big", "later", "last"] {
            fs::write(path_of(&source, name), vec![b'x'; 1_000_000]).unwrap();
        }
        let mut into = Meanwhile { into: Vec::new(), when: 200_000, act: Some(|| act(&big)) };
        let packed = pack(&[&source], &none, &mut into).unwrap();
        assert_eq!(packed.problems.first().map(|problem| problem.kind), expected);
        let unpacked = unpack(&into.into[..], &target, UnpackOptions::default()).unwrap();
        assert_eq!(unpacked.entries, entries);
        assert_eq!(fs::read(below(&target, &big)).unwrap().len(), 1_000_000);
    }
}

fn member(kind: u8, path: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let len = data.len() as u64;
    let mut bytes = Header::new(kind, path.as_bytes(), link.as_bytes(), len).finish().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

#[test]
fn never_writes_outside() {
    let place = Place::new();
    let outside = place.make("outside");
    let away = outside.to_str().unwrap();
    let victim = outside.join("victim");
    fs::write(&victim, b"untouched").unwrap();
    let file = |path: &str| member(b'0', path, "", b"written");
    for (number, members) in [
        vec![file("/tmp/absolute")],
        vec![file("../outside/victim")],
        vec![file("a/../../outside/victim")],
        vec![member(b'2', "a", away, b""), file("a/victim")],
        vec![member(b'2', "a", away, b""), member(b'5', "a", "", b""), file("a/victim")],
        vec![member(b'2', "a", "../outside", b""), member(b'5', "a/b", "", b"")],
        vec![
            member(b'2', "a", ".", b""),
            member(b'2', "b", "a/../../outside", b""),
            file("b/victim"),
        ],
        vec![member(b'1', "a", "../outside/victim", b""), file("a")],
        vec![member(b'1', "a", victim.to_str().unwrap(), b"")],
        vec![member(b'2', "a", away, b""), member(b'1', "b", "a/victim", b"")],
        // A link that was in the target before.
        vec![file("planted/victim")],
        vec![member(b'5', "planted", "", b"")],
    ]
    .into_iter()
    .enumerate()
    {
        let target = place.make(&format!("target{number}"));
        symlink(&outside, target.join("planted")).unwrap();
        let result = unpack(&archive(&members)[..], &target, UnpackOptions::default());
        assert!(matches!(result, Err(UnpackError::Refused(_))), "{number}: {result:?}");
        assert_eq!(fs::read(&victim).unwrap(), b"untouched", "{number}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{number}");
    }
    // A member in the place of a link replaces the link, not what it leads to.
    let target = place.make("target");
    let members = [
        member(b'2', "a", victim.to_str().unwrap(), b""),
        member(b'1', "b", "a", b""),
        file("a"),
        file("b"),
    ];
    unpack(&archive(&members)[..], &target, UnpackOptions::default()).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(fs::read(target.join("a")).unwrap(), b"written");
    assert!(!target.join("a").is_symlink() && !target.join("b").is_symlink());
}

#[test]
fn makes_no_devices_and_stays_within_limits() {
    let place = Place::new();
    let target = place.make("target");
    let members = [member(b'3', "null", "", b""), member(b'6', "pipe", "", b"")];
    let unpacked = unpack(&archive(&members)[..], &target, UnpackOptions::default()).unwrap();
    assert_eq!((unpacked.entries, unpacked.skipped), (0, 2));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);

    let small = UnpackOptions { max_bytes: 10, max_entries: 2, ..UnpackOptions::default() };
    for members in [
        vec![member(b'0', "a", "", &[1; 6]), member(b'0', "b", "", &[1; 6])],
        vec![member(b'5', "a", "", b""), member(b'5', "b", "", b""), member(b'5', "c", "", b"")],
    ] {
        let result = unpack(&archive(&members)[..], &target, small);
        assert!(matches!(result, Err(UnpackError::Refused(_))), "{result:?}");
    }
}

#[test]
fn tells_damage_from_a_source_that_failed() {
    struct Failing(usize);
    impl io::Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let members = archive(&[member(b'0', "a", "", &[1; 5000])]);
            let rest = &members[self.0..3000];
            if rest.is_empty() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let len = rest.len().min(into.len());
            into[..len].copy_from_slice(&rest[..len]);
            self.0 += len;
            Ok(len)
        }
    }
    let place = Place::new();
    let target = place.make("target");
    let result = unpack(Failing(0), &target, UnpackOptions::default());
    let Err(UnpackError::Source(error)) = result else { panic!("{result:?}") };
    assert_eq!((error.offset, error.cause.kind()), (3000, io::ErrorKind::ConnectionReset));

    let sound = archive(&[member(b'0', "a", "", &[1; 5000])]);
    let compressed = zstd::encode_all(&sound[..], 1).unwrap();
    let followed = [&compressed[..], b"garbage"].concat();
    let cut = &compressed[..compressed.len() - 3];
    for damaged in [&sound[..3000], &sound[..6000], cut, &followed] {
        let result = unpack(damaged, &target, UnpackOptions::default());
        assert!(matches!(result, Err(UnpackError::Damaged(_))), "{result:?}");
    }
    let Err(UnpackError::Damaged(finding)) =
        unpack(&followed[..], &target, UnpackOptions::default())
    else {
        panic!("what follows the end is not found")
    };
    assert_eq!(finding.place.offset, Some(compressed.len() as u64));
    assert!(!finding.place.decompressed);
}

#[test]
fn survives_mutations() {
    let place = Place::new();
    let target = place.make("target");
    let options = UnpackOptions { keep_owners: false, ..UnpackOptions::default() };
    let sound = archive(&[
        member(b'5', "a", "", b""),
        member(b'0', "a/b", "", b"content"),
        member(b'L', "././@LongLink", "", b"a/long\0"),
        member(b'2', "x", "a/b", b""),
        member(b'1', "y", "a/b", b""),
    ]);
    crate::harm::mutations(&sound, 1500, |bytes| drop(unpack(bytes, &target, options)));
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 1);
}
