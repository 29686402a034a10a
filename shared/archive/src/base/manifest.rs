//! `backup_manifest` of PostgreSQL, versions 1 and 2 ("Backup Manifest Format" in its documentation).
//!
//! It is read as a stream: a cluster with many files has a manifest of tens of megabytes.

use std::{
    fmt,
    io::{self, BufReader, Read},
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use sha2::{Digest, Sha256};

use super::table::{File, Table};
use crate::{
    digest::{Algorithm, unhex},
    report::{Finding, Place},
    tar::paths,
};

/// The file's name beside, or within, the backup.
pub(crate) const NAME: &str = "backup_manifest";
/// Bytes of one line. PostgreSQL writes a file per line, whose path it limits to 1 KiB.
const LINE_LIMIT: usize = 64 * 1024;
/// WAL ranges: one for each timeline that the backup crossed.
const RANGES_LIMIT: usize = 10_000;

/// WAL that a base backup needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalRange {
    /// The timeline.
    pub timeline: u32,
    /// The first byte's LSN.
    pub start: u64,
    /// The LSN after the last byte.
    pub end: u64,
}

/// A manifest is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is damaged; where.
    #[error("the manifest is damaged: {}", .0.message)]
    Damaged(Finding),
    /// It names more files than are checked in the memory that a check may use: nothing is known.
    #[error("the manifest names more files than can be checked")]
    TooLarge,
    /// Its bytes could not be obtained.
    #[error("the manifest cannot be read")]
    Source(#[source] io::Error),
}

/// What a manifest says beside its files.
#[derive(Debug, Default, Clone)]
pub(crate) struct About {
    pub(crate) version: u64,
    pub(crate) system_identifier: Option<u64>,
    pub(crate) wal_ranges: Vec<WalRange>,
    checksum: Option<String>,
}

/// A manifest whose own checksum is right.
#[derive(Debug, Clone)]
pub struct BaseManifest {
    pub(crate) about: About,
    pub(crate) table: Table,
}

impl BaseManifest {
    /// Reads a manifest (not compressed) to its end and checks its checksum. Memory: about 52 bytes
    /// a file, 32 MiB at most.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn read(reader: impl Read) -> Result<Self, ManifestError> {
        let mut table = Table::default();
        let mut is_full = false;
        let read = stream(reader, &mut |file| {
            is_full = table.push(file).is_none();
            if is_full { Err(String::new()) } else { Ok(()) }
        });
        if is_full {
            return Err(ManifestError::TooLarge);
        }
        let about = read?;
        match table.sort() {
            None => Ok(Self { about, table }),
            Some(path) => Err(damaged(format!("{} is in it twice", paths::show(path)))),
        }
    }

    /// Files that it names.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.table.len() as u64
    }

    /// The cluster's system identifier, which manifests have from PostgreSQL 17 on.
    #[must_use]
    pub fn system_identifier(&self) -> Option<u64> {
        self.about.system_identifier
    }

    /// The WAL without which the backup cannot be restored.
    #[must_use]
    pub fn wal_ranges(&self) -> &[WalRange] {
        &self.about.wal_ranges
    }
}

fn damaged(message: impl Into<String>) -> ManifestError {
    let place = Place { item: Some(NAME.to_owned()), ..Place::default() };
    ManifestError::Damaged(Finding { place, message: message.into() })
}

/// Hands every file of a manifest to `on_file`.
pub(crate) fn stream(
    reader: impl Read,
    on_file: &mut dyn FnMut(File<'_>) -> Result<(), String>,
) -> Result<About, ManifestError> {
    let mut lines = Lines::new(reader);
    let mut about = About::default();
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(&mut lines));
    Top { about: &mut about, on_file }.deserialize(&mut json).map_err(error)?;
    json.end().map_err(error)?;
    drop(json);
    let claimed = about.checksum.take().and_then(|text| unhex(text.as_bytes()));
    match (claimed, lines.before_last_line()) {
        (Some(claimed), Some(found)) if claimed == found => Ok(about),
        (None, _) => Err(damaged("it has no checksum")),
        _ => Err(damaged("it does not match its own checksum")),
    }
}

fn error(error: serde_json::Error) -> ManifestError {
    match error.io_error_kind() {
        None => damaged(format!("it cannot be read: {error}")),
        Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            damaged(format!("it cannot be read: {error}"))
        }
        Some(_) => ManifestError::Source(error.into()),
    }
}

/// Sums lines, because the checksum covers all lines but the last.
struct Lines<R> {
    inner: R,
    sum: Sha256,
    before_last: Option<Sha256>,
    line_ends: Option<Sha256>,
    line_len: usize,
}

impl<R: Read> Lines<R> {
    fn new(inner: R) -> Self {
        Self { inner, sum: Sha256::new(), before_last: None, line_ends: None, line_len: 0 }
    }

    fn before_last_line(self) -> Option<Vec<u8>> {
        let is_ended = self.line_len == 0;
        self.before_last.filter(|_| is_ended).map(|sum| sum.finalize().to_vec())
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(into)?;
        for piece in into.get(..len).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            self.sum.update(piece);
            self.line_len += piece.len();
            if self.line_len > LINE_LIMIT {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
            }
            if piece.ends_with(b"\n") {
                self.before_last = self.line_ends.replace(self.sum.clone());
                self.line_len = 0;
            }
        }
        Ok(len)
    }
}

struct Top<'t> {
    about: &'t mut About,
    on_file: &'t mut dyn FnMut(File<'_>) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backup manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { about, on_file } = self;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "PostgreSQL-Backup-Manifest-Version" => about.version = map.next_value()?,
                "System-Identifier" => about.system_identifier = Some(map.next_value()?),
                "Files" => {
                    map.next_value_seed(Each::new(&mut |file: RawFile| file.hand(on_file)))?
                }
                "WAL-Ranges" => map.next_value_seed(Each::new(&mut |range: RawRange| {
                    if about.wal_ranges.len() >= RANGES_LIMIT {
                        return Err("it names too many WAL ranges".to_owned());
                    }
                    about.wal_ranges.push(range.parse()?);
                    Ok(())
                }))?,
                "Manifest-Checksum" => about.checksum = Some(map.next_value()?),
                _ => return Err(A::Error::custom("it has a field that manifests do not have")),
            }
        }
        if matches!(about.version, 1 | 2) {
            Ok(())
        } else {
            Err(A::Error::custom(format!("version {} is not known", about.version)))
        }
    }
}

/// Hands each element of a list on, without keeping the list.
struct Each<'f, T> {
    hand: &'f mut dyn FnMut(T) -> Result<(), String>,
    element: PhantomData<T>,
}

impl<'f, T> Each<'f, T> {
    fn new(hand: &'f mut dyn FnMut(T) -> Result<(), String>) -> Self {
        Self { hand, element: PhantomData }
    }
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Each<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Each<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<T>()? {
            (self.hand)(element).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawFile {
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    size: u64,
    #[serde(rename = "Last-Modified")]
    _last_modified: Option<String>,
    #[serde(rename = "Checksum-Algorithm")]
    checksum_algorithm: Option<String>,
    checksum: Option<String>,
}

impl RawFile {
    fn hand(self, on_file: &mut dyn FnMut(File<'_>) -> Result<(), String>) -> Result<(), String> {
        let path = match (self.path, self.encoded_path) {
            (Some(path), None) => path.into_bytes(),
            // A name that is no UTF-8 is written in hexadecimal.
            (None, Some(encoded)) => unhex(encoded.as_bytes()).ok_or("a path is no hexadecimal")?,
            _ => return Err("a file has no path, or two".to_owned()),
        };
        if let Some(why) = paths::refusal(&path) {
            return Err(format!("{why}: {}", paths::show(&path)));
        }
        let (algorithm, len) = match self.checksum_algorithm.as_deref() {
            None => (Algorithm::None, 0),
            Some("CRC32C") => (Algorithm::Crc32c, 4),
            Some("SHA224") => (Algorithm::Sha224, 28),
            Some("SHA256") => (Algorithm::Sha256, 32),
            Some("SHA384") => (Algorithm::Sha384, 48),
            Some("SHA512") => (Algorithm::Sha512, 64),
            Some(_) => return Err("a checksum's algorithm is not known".to_owned()),
        };
        let sum = unhex(self.checksum.unwrap_or_default().as_bytes())
            .filter(|sum| sum.len() == len)
            .ok_or("a checksum does not fit its algorithm")?;
        on_file(File { path: &path, size: self.size, algorithm, sum: &sum })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

impl RawRange {
    fn parse(&self) -> Result<WalRange, String> {
        let (start, end) = (lsn(&self.start), lsn(&self.end));
        match (start, end) {
            (Some(start), Some(end)) if start <= end => {
                Ok(WalRange { timeline: self.timeline, start, end })
            }
            _ => Err("a WAL range has no order of two positions".to_owned()),
        }
    }
}

/// `16/B374D848` as PostgreSQL writes an LSN.
fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |text| u32::from_str_radix(text, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}
