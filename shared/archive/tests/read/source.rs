//! What the caller expects, and sources that fail: those are errors, never findings.

use std::io::{self, Read};

use flate2::{Compression, write::GzEncoder};
use lifeboat_archive::{Format, Options, Source, read};

use crate::support::{Memory, messages, options};

#[test]
fn the_hash_and_size_are_of_the_stored_bytes() {
    let abc = read(&Memory::new(*b"abc"), &options(1)).unwrap();
    // FIPS 180-2, appendix B.1.
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(abc.sha256, sha256);
    assert_eq!((abc.size_bytes, abc.format), (3, Format::Unknown));
    assert!(abc.is_sound());
    let empty = read(&Memory::new([]), &options(2)).unwrap();
    assert_eq!((empty.size_bytes, empty.is_sound()), (0, true));

    let expected = Options {
        expected: Some(Format::Unknown),
        expected_size: Some(3),
        expected_sha256: Some(sha256.to_uppercase()),
        ..options(1)
    };
    assert!(read(&Memory::new(*b"abc"), &expected).unwrap().is_sound());
    let found = messages(&read(&Memory::new(*b"abcd"), &expected).unwrap());
    assert_eq!(found.len(), 2, "{found:?}");
    let dump = Options { expected: Some(Format::PgDump), ..options(1) };
    let found = messages(&read(&Memory::new(*b"abc"), &dump).unwrap());
    assert_eq!(found, ["- at -: it is of no known format, and a pg_dump archive was expected"]);
}

/// Fails, or ends, at an offset.
struct Broken {
    bytes: Vec<u8>,
    at: usize,
    error: Option<io::ErrorKind>,
}

impl Source for Broken {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let whole = Memory::new(&self.bytes[..self.at]).open(offset)?;
        let failure = Failing(self.error);
        Ok(Box::new(whole.chain(failure)))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        true
    }
}

struct Failing(Option<io::ErrorKind>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.map_or(Ok(0), |kind| Err(kind.into()))
    }
}

#[test]
fn a_source_that_fails_is_an_error_whatever_its_kind() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    io::copy(&mut io::repeat(7).take(1 << 20), &mut encoder).unwrap();
    let bytes = encoder.finish().unwrap();
    let kinds = [
        None,
        Some(io::ErrorKind::UnexpectedEof),
        Some(io::ErrorKind::InvalidData),
        Some(io::ErrorKind::TimedOut),
        Some(io::ErrorKind::Other),
    ];
    for error in kinds {
        for at in [0, 3, 700, bytes.len() - 1] {
            for threads in [1, 2] {
                let source = Broken { bytes: bytes.clone(), at, error };
                let failed = read(&source, &options(threads)).unwrap_err();
                assert_eq!(failed.offset, at as u64, "{error:?} with {threads} threads");
                let kind = error.unwrap_or(io::ErrorKind::UnexpectedEof);
                assert_eq!(failed.cause.kind(), kind);
            }
        }
    }
}

/// Says that it is shorter than it is.
struct Grown(Memory);

impl Source for Grown {
    fn len(&self) -> u64 {
        self.0.len() - 1
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        self.0.open(offset)
    }

    fn is_cheap_to_reopen(&self) -> bool {
        true
    }
}

#[test]
fn a_source_that_grows_is_an_error() {
    for threads in [1, 2] {
        assert!(read(&Grown(Memory::new(*b"abc")), &options(threads)).is_err());
    }
}
