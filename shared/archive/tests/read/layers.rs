//! Outer compressions: around each other, in several frames, cut, damaged, and with something behind
//! their end.

use std::io::Write;

use flate2::write::GzEncoder;
use lifeboat_archive::{Format, Report};
use lz4_flex::frame::{FrameEncoder, FrameInfo};

use crate::support::{Random, messages, report};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new().content_checksum(true).block_checksums(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Compress = fn(&[u8]) -> Vec<u8>;

const KINDS: [(&str, Compress); 3] = [("gzip", gzip), ("zstd", zstd), ("lz4", lz4)];

/// Bytes of no format that compress to about half.
fn payload() -> Vec<u8> {
    let mut random = Random(5);
    (0..100_000).map(|_| b'a' + u8::try_from(random.below(16)).unwrap()).collect()
}

fn assert_sound(report: &Report, compression: &[&str]) {
    assert_eq!(messages(report), [""; 0]);
    assert_eq!(report.compression, compression);
    assert_eq!(report.format, Format::Unknown);
}

#[test]
fn each_is_taken_off_and_two_around_each_other() {
    for (name, compress) in KINDS {
        assert_sound(&report(&compress(&payload())), &[name]);
        assert_sound(&report(&compress(b"")), &[name]);
        for (outer, around) in KINDS {
            assert_sound(&report(&around(&compress(&payload()))), &[outer, name]);
        }
    }
}

#[test]
fn several_frames_are_one_stream() {
    for (name, compress) in KINDS {
        let two = [compress(&payload()), compress(b""), compress(b"more")].concat();
        assert_sound(&report(&two), &[name]);
    }
    // A skippable frame, as zstd's seekable format and pzstd write them.
    let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0], b"any".as_slice()].concat();
    assert_sound(&report(&[zstd(b"one"), skippable, zstd(b"two")].concat()), &["zstd"]);
}

#[test]
fn what_follows_the_end_is_found_with_its_offset() {
    for (name, compress) in KINDS {
        let stored = compress(&payload());
        let report = report(&[&stored, b"garbage".as_slice()].concat());
        let expected =
            format!("- at {}: 7 bytes follow the end of the {name} stream", stored.len());
        assert_eq!(messages(&report), [expected]);
        assert!(!report.findings[0].place.decompressed);
    }
}

#[test]
fn every_cut_is_found() {
    let mut random = Random(6);
    for (name, compress) in KINDS {
        let stored = compress(&payload());
        let lengths = (0..50).map(|_| 4 + random.below(stored.len() - 4));
        for len in lengths.chain([4, stored.len() - 1]) {
            let found = messages(&report(&stored[..len]));
            assert_eq!(found.len(), 1, "{name} cut to {len}: {found:?}");
            assert!(found[0].ends_with(&format!("the {name} stream ends too early")), "{found:?}");
        }
    }
}

#[test]
fn flipped_bits_are_found_by_the_checksums() {
    let mut random = Random(7);
    for (name, compress) in KINDS {
        let stored = compress(&payload());
        // Behind the header, whose flags, times and names have no checksum in gzip.
        for _ in 0..200 {
            let mut bytes = stored.clone();
            let at = 10 + random.below(stored.len() - 10);
            bytes[at] ^= 1 << random.below(8);
            let report = report(&bytes);
            assert!(!report.is_sound(), "{name}: the bit at {at}");
            assert_eq!(report.size_bytes, stored.len() as u64);
        }
    }
}

#[test]
fn damage_inside_is_noted_once_and_the_outer_checksum_is_still_read() {
    let mut inner = gzip(&payload());
    // The first block's type, behind the header: 3 does not exist.
    inner[10] |= 6;
    let mut stored = zstd(&inner);
    let found = report(&stored);
    let messages = messages(&found);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("the gzip stream is damaged"), "{messages:?}");
    assert!(found.findings[0].place.decompressed);

    // The checksum at zstd's end.
    *stored.last_mut().unwrap() ^= 1;
    let messages = crate::support::messages(&report(&stored));
    assert_eq!(messages.len(), 2, "{messages:?}");
}

#[test]
fn layers_have_a_limit() {
    let bomb = (0..4).fold(payload(), |bytes, _| gzip(&bytes));
    let report = report(&bomb);
    assert_eq!(report.compression.len(), 3);
    assert_eq!(messages(&report), ["- at 0: gzip inside 3 other compressions"]);
}

#[test]
fn a_bomb_of_layers_ends_early() {
    let zeros = vec![0; 1 << 20];
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    for _ in 0..1024 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = gzip(&encoder.finish().unwrap());
    assert!(bomb.len() < 20_000, "{} bytes", bomb.len());
    let messages = messages(&report(&bomb));
    assert!(messages[0].contains("more than 50000 bytes for each stored"), "{messages:?}");
}
