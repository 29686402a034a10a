//! Every reader over damaged artifacts: a bounded, repeatable run beside the fuzzing in `fuzz/`.
//!
//! `cases/seeds` has a small artifact of each kind, written by the real tools. Each is mutated in
//! the same ways in every run; no mutation may make a reader panic, take long, or take memory.
//! `cases/found` keeps what once did.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{self, Cursor, Read},
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use lifeboat_archive::{
    AofSet, BaseCheck, BaseManifest, Format, Options, Report, Source, UnpackOptions, read, unpack,
};

/// Mutations of each seed.
const ROUNDS: usize = 60;
/// The longest that one small artifact may take. It takes about a millisecond; a machine under load
/// may stall a thread.
const SLOWEST: Duration = Duration::from_secs(5);
/// What the whole run may add to the process's memory at its peak, in KiB.
const MEMORY_KIB: u64 = 64 * 1024;

struct Bytes(Arc<[u8]>);

impl Source for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut cursor = Cursor::new(Arc::clone(&self.0));
        cursor.set_position(offset);
        Ok(Box::new(cursor))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        true
    }
}

fn report(bytes: &[u8], threads: usize) -> Report {
    let options = Options { threads: NonZero::new(threads).unwrap(), ..Options::default() };
    read(&Bytes(bytes.into()), &options).unwrap()
}

/// Numbers that are the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64).try_into().unwrap()
    }
}

/// What the formats' length fields are at their worst.
const EXTREMES: &[&[u8]] = &[
    &[0xff; 8],
    &[0xff; 4],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0x80],
    &[0x80, 0, 0, 0],
    &[0; 8],
    &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xc3, 0x7f, 0x7f],
    b"77777777777",
    b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    b"$9999999999\r\n",
    b"*9999999999\r\n",
    b"18446744073709551616",
    b"../../../etc/passwd",
];

fn mutated(seed: &[u8], others: &[(PathBuf, Vec<u8>)], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(3) {
        if bytes.is_empty() {
            break;
        }
        // Headers and tables are at the beginning: half of the damage goes there.
        let reach = if numbers.below(2) == 0 { bytes.len().min(512) } else { bytes.len() };
        let at = numbers.below(reach);
        let end = (at + 1 + numbers.below(32)).min(bytes.len());
        match numbers.below(7) {
            0 | 1 => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            5 => {
                let other = &others[numbers.below(others.len())].1;
                let from = numbers.below(other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let extreme = EXTREMES[numbers.below(EXTREMES.len())];
                let end = (at + extreme.len()).min(bytes.len());
                drop(bytes.splice(at..end, extreme.iter().copied()));
            }
        }
    }
    bytes
}

/// Puts the checksums of tar headers right, so that what is behind them is reached.
fn mend_tar(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The process's memory at its peak so far, in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Reads the bytes in every way in which they may be read, and holds the time of each.
fn try_all(name: &Path, bytes: &[u8]) {
    for threads in [1, 2] {
        let began = Instant::now();
        let report = report(bytes, threads);
        assert!(began.elapsed() < SLOWEST, "{}: {:?}", name.display(), began.elapsed());
        assert_eq!(report.size_bytes, bytes.len() as u64);
        assert!(report.findings.len() as u64 <= report.findings_total);
    }
}

/// As `fuzz/fuzz_targets/aof_set.rs`.
fn try_aof_set(bytes: &[u8]) -> Report {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").map_or(bytes.len(), |at| at + 1);
    let (manifest, member) = bytes.split_at(end);
    let member = member.strip_prefix(b"\n").unwrap_or(member);
    let mut set = AofSet::new();
    for name in ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof"] {
        set.add(name, member).unwrap();
    }
    set.add("appendonly.aof.manifest", manifest).unwrap();
    set.finish()
}

/// As `fuzz/fuzz_targets/base.rs`; none when the manifest is damaged.
fn try_base(bytes: &[u8]) -> Option<u64> {
    let end = bytes.windows(3).position(|three| three == b"\"}\n").map_or(bytes.len(), |at| at + 3);
    let (manifest, tar) = bytes.split_at(end);
    let mut check = BaseCheck::new(BaseManifest::read(manifest).ok()?);
    check.tar("base.tar", tar).unwrap();
    Some(check.finish().findings_total)
}

#[test]
fn the_seeds_are_what_they_should_be() {
    let mut seen = Vec::new();
    for (path, bytes) in files("seeds") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let expected = match name.split(['.', '-']).next().unwrap() {
            "dump" => Format::PgDump,
            "files" => Format::Tar,
            "image" => Format::Image,
            "snapshot" => Format::Rdb,
            "commands" | "preamble" | "aof" => Format::Aof,
            "base" => Format::BaseBackup,
            "segment" => Format::Wal,
            other => panic!("what is {other}?"),
        };
        for threads in [1, 2] {
            assert_eq!(report(&bytes, threads).format, expected, "{name}");
        }
        seen.push(expected);
        // The segment is only the first pages of one, and the base backup's WAL is elsewhere.
        if !matches!(expected, Format::Wal | Format::BaseBackup) {
            let report = report(&bytes, 1);
            assert!(report.is_sound(), "{name}: {:?}", report.findings);
        }
    }
    seen.dedup();
    assert!(seen.len() >= 7, "{seen:?}");
}

#[test]
fn the_parts_are_sound() {
    for (path, bytes) in files("parts") {
        if path.ends_with("base") {
            assert_eq!(try_base(&bytes), Some(0));
        } else {
            let report = try_aof_set(&bytes);
            assert!(report.is_sound(), "{:?}", report.findings);
        }
    }
}

#[test]
fn no_mutation_makes_a_reader_panic_or_take_memory() {
    let seeds = files("seeds");
    let before = peak_memory();
    for (index, (path, seed)) in seeds.iter().enumerate() {
        let mut numbers = Numbers(index as u64);
        for round in 0..ROUNDS {
            let mut bytes = mutated(seed, &seeds, &mut numbers);
            if round % 2 == 0 {
                mend_tar(&mut bytes);
            }
            try_all(path, &bytes);
        }
    }
    for (path, seed) in files("parts") {
        let mut numbers = Numbers(99);
        for _ in 0..ROUNDS {
            let bytes = mutated(&seed, &seeds, &mut numbers);
            if path.ends_with("base") {
                try_base(&bytes);
            } else {
                try_aof_set(&bytes);
            }
        }
    }
    let grown = peak_memory() - before;
    assert!(grown < MEMORY_KIB, "{grown} KiB");
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn no_mutation_unpacks_outside_its_directory() {
    let seeds = files("seeds");
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("canary"), "sings").unwrap();
    for (index, (_, seed)) in seeds
        .iter()
        .enumerate()
        .filter(|(_, (path, _))| path.file_name().unwrap().to_string_lossy().starts_with("files-"))
    {
        let mut numbers = Numbers(1000 + index as u64);
        for _ in 0..ROUNDS {
            let mut bytes = mutated(seed, &seeds, &mut numbers);
            mend_tar(&mut bytes);
            let into = scratch.path().join("into");
            fs::create_dir(&into).unwrap();
            // An archive that is damaged or leads outside is refused; what matters is what it left.
            let _ = unpack(bytes.as_slice(), &into, UnpackOptions::default());
            fs::remove_dir_all(&into).unwrap();
            assert_eq!(names(scratch.path()), ["canary"]);
            assert_eq!(fs::read(scratch.path().join("canary")).unwrap(), b"sings");
        }
    }
}

#[test]
fn what_was_found_stays_mended() {
    for (path, bytes) in files("found") {
        try_all(&path, &bytes);
        try_aof_set(&bytes);
        try_base(&bytes);
    }
}
