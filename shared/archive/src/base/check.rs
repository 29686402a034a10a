//! Holds a backup's tars, or its directory, against the manifest.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    manifest::{BaseManifest, ManifestError, NAME, WalRange},
    needed::Needed,
};
use crate::{
    digest::Summed,
    input::{Input, Stop},
    layers::{Streamed, streamed},
    report::{Finding, Findings, Place},
    source::SourceError,
    tar::{
        self, paths,
        paths::Planted,
        walk::{Kind, Walker},
    },
};

/// What a check of a base backup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseReport {
    /// The cluster, where the manifest names it (from PostgreSQL 17 on).
    pub system_identifier: Option<u64>,
    /// Files in the manifest.
    pub files: u64,
    /// Bytes of files that were read.
    pub bytes: u64,
    /// The WAL without which the backup cannot be restored.
    pub wal_ranges: Vec<WalRange>,
    /// Whether the backup holds that WAL, so that it was checked; otherwise the archive must.
    pub is_wal_included: bool,
    /// The first findings; none means that it is sound.
    pub findings: Vec<Finding>,
    /// All findings.
    pub findings_total: u64,
}

/// A check that is under way.
#[derive(Debug)]
pub struct BaseCheck {
    manifest: BaseManifest,
    needed: Needed,
    findings: Findings,
    bytes: u64,
    /// A part that could not be read to its end: what is missing then has one cause.
    broken: Option<String>,
}

/// What a tar of a backup holds, by its name.
enum Part {
    Base,
    Wal,
    /// A tablespace, by its object id.
    Tablespace(String),
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        let name = name.rsplit('/').next().unwrap_or(name);
        let plain = [".gz", ".zst", ".lz4"].iter().find_map(|suffix| name.strip_suffix(suffix));
        match plain.unwrap_or(name).strip_suffix(".tar")? {
            "base" => Some(Self::Base),
            "pg_wal" => Some(Self::Wal),
            oid if !oid.is_empty() && oid.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Self::Tablespace(oid.to_owned()))
            }
            _ => None,
        }
    }

    fn prefix(&self) -> String {
        match self {
            Self::Base => String::new(),
            Self::Wal => "pg_wal/".to_owned(),
            Self::Tablespace(oid) => format!("pg_tblspc/{oid}/"),
        }
    }
}

fn place(item: &str) -> Place {
    Place { item: Some(item.to_owned()), ..Place::default() }
}

impl BaseCheck {
    /// A check against this manifest.
    #[must_use]
    pub fn new(manifest: BaseManifest) -> Self {
        Self {
            manifest,
            needed: Needed::default(),
            findings: Findings::default(),
            bytes: 0,
            broken: None,
        }
    }

    /// Reads one of the backup's tars to its end: `base.tar`, `pg_wal.tar` or a tablespace's
    /// `<oid>.tar`. `name` says which, with or without a path and a compression's suffix; whether
    /// it is compressed (gzip, zstd, lz4) is seen by its bytes.
    ///
    /// # Errors
    /// The bytes cannot be obtained. Nothing is known about the backup then.
    pub fn tar(&mut self, name: &str, reader: impl Read + Send) -> Result<(), SourceError> {
        let Some(part) = Part::of(name) else {
            self.findings.add(place(name), "it is no part of a base backup");
            return Ok(());
        };
        let Streamed { result, place, notes, failure } = streamed(reader, Some(name), |input| {
            self.members(&part, input)?;
            input.skip_all()
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if let Err(stop) = result {
            self.broken = Some(name.to_owned());
            match stop {
                Stop::Cut if notes.total == 0 => self.findings.add(place, "it ends too early"),
                Stop::Damaged(why) if notes.total == 0 => self.findings.add(place, why),
                // The layers say why.
                Stop::Cut | Stop::Damaged(_) | Stop::Source => {}
            }
        }
        self.findings.append(notes);
        Ok(())
    }

    fn members(&mut self, part: &Part, input: &mut Input<'_>) -> Result<(), Stop> {
        let mut walker = Walker::new(input);
        let mut planted = Planted::default();
        let prefix = part.prefix().into_bytes();
        self.needed.is_included |= matches!(part, Part::Wal);
        while let Some(entry) = walker.next(&mut self.findings)? {
            tar::check_paths(&entry, &mut planted, &walker, &mut self.findings);
            let inner = paths::components(&entry.path).collect::<Vec<_>>().join(&b'/');
            let path = [&prefix[..], &inner].concat();
            match entry.kind {
                Kind::File => {
                    let offset = Some(entry.offset);
                    let decompressed = walker.input().place(None).decompressed;
                    let item = Some(paths::show(&path));
                    let place = Place { offset, decompressed, item };
                    let read = self.file(&path, entry.size, &mut walker, place.clone());
                    walker.check()?;
                    if let Err(stop) = read {
                        super::settle(Err(stop), &paths::show(&path), &mut self.findings)?;
                    }
                }
                Kind::Directory | Kind::Symlink => {}
                Kind::Sparse
                | Kind::HardLink
                | Kind::Character
                | Kind::BlockDevice
                | Kind::Fifo => {
                    let place = walker.input().place_at(entry.offset, Some(&paths::show(&path)));
                    self.findings.add(place, "a base backup has no such kind of member");
                }
            }
        }
        Ok(())
    }

    /// Reads one file of the backup, which has `size` bytes.
    fn file(
        &mut self,
        path: &[u8],
        size: u64,
        mut reader: impl Read + Send,
        place: Place,
    ) -> Result<(), Stop> {
        self.bytes += size;
        if let Some(name) = super::segment(path) {
            let item = name.to_string();
            let ranges = &self.manifest.about.wal_ranges;
            return self.needed.segment(name, &item, reader, ranges, &mut self.findings);
        }
        if super::is_ignored(path) {
            return Ok(());
        }
        let Some((file, was_seen)) = self.manifest.table.see(path) else {
            self.findings.add(place, super::EXTRA);
            return Ok(());
        };
        if was_seen {
            self.findings.add(place, "the backup holds the file twice");
        } else if file.size != size {
            self.findings.add(place, super::size(size, file.size));
        } else {
            let mut summed = Summed::new(reader.by_ref(), file.algorithm);
            summed.drain(size)?;
            let is_same = summed.len == size && summed.sum.finish() == file.sum;
            if !is_same {
                self.findings.add(place, super::CHECKSUM);
            }
        }
        Ok(())
    }

    /// Reads a backup in plain format: the data directory that `pg_basebackup` wrote.
    ///
    /// # Errors
    /// A file or directory cannot be read.
    pub fn directory(&mut self, root: &Path) -> Result<(), SourceError> {
        let mut pending = vec![PathBuf::new()];
        while let Some(within) = pending.pop() {
            let directory = root.join(&within);
            let listed = fs::read_dir(&directory).map_err(|error| at(&directory, error))?;
            let mut names = listed
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<Vec<_>>>()
                .map_err(|error| at(&directory, error))?;
            names.sort();
            let is_tablespaces = within == Path::new("pg_tblspc");
            self.needed.is_included |= within == Path::new("pg_wal");
            let mut below = Vec::new();
            for name in names {
                let path = within.join(name);
                let whole = root.join(&path);
                // Tablespaces are links, and so may the directory of the WAL be; nothing else is.
                let metadata = if is_tablespaces || path == Path::new("pg_wal") {
                    fs::metadata(&whole)
                } else {
                    fs::symlink_metadata(&whole)
                }
                .map_err(|error| at(&whole, error))?;
                if metadata.is_dir() {
                    below.push(path);
                } else if metadata.is_file() {
                    let name = path.as_os_str().as_encoded_bytes();
                    let item = paths::show(name);
                    let file = File::open(&whole).map_err(|error| at(&whole, error))?;
                    match self.file(name, metadata.len(), file, place(&item)) {
                        Err(Stop::Source) => {
                            return Err(at(&whole, io::Error::other("reading it failed")));
                        }
                        read => {
                            // Anything else was damage, and is a finding.
                            let _ = super::settle(read, &item, &mut self.findings);
                        }
                    }
                } else {
                    let item = path.to_string_lossy().into_owned();
                    self.findings.add(place(&item), "it is neither a file nor a directory");
                }
            }
            below.reverse();
            pending.append(&mut below);
        }
        Ok(())
    }

    /// What is wrong with the backup, after all its parts were read.
    #[must_use]
    pub fn finish(mut self) -> BaseReport {
        let mut unread = 0_u64;
        for file in self.manifest.table.unseen() {
            if super::is_ignored(file.path) {
                continue;
            }
            if self.broken.is_some() {
                unread += 1;
            } else {
                self.findings.add(place(&paths::show(file.path)), "the file is missing");
            }
        }
        if let Some(broken) = self.broken.filter(|_| unread > 0) {
            let message = format!("{unread} files were not found, behind the damage or missing");
            self.findings.add(place(&broken), message);
        }
        self.needed.judge(self.manifest.wal_ranges(), &mut self.findings);
        BaseReport {
            system_identifier: self.manifest.system_identifier(),
            files: self.manifest.files(),
            bytes: self.bytes,
            wal_ranges: self.manifest.about.wal_ranges,
            is_wal_included: self.needed.is_included,
            findings: self.findings.kept,
            findings_total: self.findings.total,
        }
    }
}

fn at(path: &Path, error: io::Error) -> SourceError {
    let cause = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    SourceError { offset: 0, cause }
}

/// Reads a base backup in a directory, as `pg_basebackup` left it: plain, or tars (compressed or not)
/// beside the manifest.
///
/// # Errors
/// A file cannot be read, or there is no manifest.
pub fn read_base_backup(root: &Path) -> Result<BaseReport, SourceError> {
    let named = |name: &str| root.join(name);
    let manifest = ["", ".gz", ".zst", ".lz4"]
        .iter()
        .map(|suffix| named(&format!("{NAME}{suffix}")))
        .find(|path| path.exists())
        .unwrap_or_else(|| named(NAME));
    let file = File::open(&manifest).map_err(|error| at(&manifest, error))?;
    let Streamed { result, notes, failure, .. } = streamed(file, Some(NAME), |input| {
        let read = BaseManifest::read(&mut *input);
        // Damage of the layers, which they note.
        let _ = input.skip_all();
        read
    });
    if let Some(error) = failure {
        return Err(at(&manifest, error.cause));
    }
    if let Some(finding) = notes.kept.into_iter().next() {
        return Ok(only(finding));
    }
    let manifest = match result {
        Ok(manifest) => manifest,
        Err(ManifestError::Damaged(finding)) => return Ok(only(finding)),
        Err(ManifestError::Source(error)) => return Err(at(&manifest, error)),
        Err(error @ ManifestError::TooLarge) => return Err(at(&manifest, io::Error::other(error))),
    };
    let mut check = BaseCheck::new(manifest);
    let mut names = fs::read_dir(root)
        .and_then(|listed| {
            listed.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        })
        .map_err(|error| at(root, error))
        .map(|names: Vec<String>| names)?;
    names.sort();
    if names.iter().any(|name| matches!(Part::of(name), Some(Part::Base))) {
        for name in names.iter().filter(|name| !name.starts_with(NAME)) {
            let path = named(name);
            let file = File::open(&path).map_err(|error| at(&path, error))?;
            check.tar(name, file).map_err(|error| at(&path, error.cause))?;
        }
    } else {
        check.directory(root)?;
    }
    Ok(check.finish())
}

/// A report of a backup whose manifest is damaged: without it nothing can be checked.
fn only(finding: Finding) -> BaseReport {
    BaseReport {
        system_identifier: None,
        files: 0,
        bytes: 0,
        wal_ranges: Vec::new(),
        is_wal_included: false,
        findings: vec![finding],
        findings_total: 1,
    }
}
