//! Bytes that were changed at random: whatever they are, there is a report.

use std::io::Write;

use flate2::write::GzEncoder;

use super::writer::{Compression, Data, Dump};
use crate::support::{Memory, Random, options, report};
use lifeboat_archive::read;

const MUTANTS: usize = 10_000;

/// Changes a few bytes, and now and then moves, repeats or cuts some.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at + 1),
            1 => {
                let end = (at + random.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            2 => {
                let end = (at + random.below(64)).min(bytes.len().saturating_sub(1));
                bytes.drain(at.min(end)..end);
            }
            3 => bytes[at] = 0xff,
            4 => bytes[at] = u8::try_from(random.below(5)).unwrap(),
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
}

fn small(minor: u8, compression: Compression) -> Dump {
    let mut dump = Dump::new(minor, compression);
    dump.entries[1].data = Data::Copy(b"1\tone\n2\ttwo\n\\.\n\n\n".repeat(3));
    dump.entries[5].data = Data::Copy([b"1\tone\n".repeat(100), b"\\.\n\n\n".to_vec()].concat());
    dump
}

#[test]
fn ten_thousand_mutants_are_reported_on() {
    let mut originals = Vec::new();
    for (minor, compression) in [
        (14, Compression::None),
        (14, Compression::Gzip),
        (15, Compression::Lz4),
        (16, Compression::Zstd),
        (16, Compression::Gzip),
    ] {
        originals.push(small(minor, compression).bytes());
    }
    let dump = originals[0].clone();
    originals.push(zstd::encode_all(&dump[..], 3).unwrap());
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&dump).unwrap();
    originals.push(gzip.finish().unwrap());
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&dump).unwrap();
    originals.push(lz4.finish().unwrap());

    let mut random = Random(3);
    for number in 0..MUTANTS {
        let mut bytes = originals[number % originals.len()].clone();
        mutate(&mut bytes, &mut random);
        let report = read(&Memory::new(bytes.clone()), &options(1)).unwrap();
        assert_eq!(report.size_bytes, bytes.len() as u64, "mutant {number}");
    }
}

/// Large enough for the quick way, which must not change what is reported.
#[test]
fn threads_change_no_report() {
    let mut random = Random(4);
    let noise: Vec<u8> =
        (0..40_000).map(|_| b'a' + u8::try_from(random.below(16)).unwrap()).collect();
    let rows = [noise.as_slice(), b"\n\\.\n\n\n"].concat();
    for compression in [Compression::None, Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let mut dump = Dump::new(16, compression);
        for entry in &mut dump.entries {
            if matches!(entry.data, Data::Copy(_)) {
                entry.data = Data::Copy(rows.clone());
            }
        }
        let original = dump.bytes();
        assert!(report(&original).is_sound());
        for _ in 0..100 {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            report(&bytes);
        }
    }
}
