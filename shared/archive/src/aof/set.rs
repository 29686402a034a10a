//! A set of append-only files: a manifest, a base, and increments.
//!
//! Members may come in any order, as a tar has them: each is read as it comes, and what its findings
//! mean is decided when the manifest is known.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{
    Outcome,
    manifest::{self, Kind, Listed, MANIFEST_LIMIT},
    read_file,
};
use crate::{
    digest::hex,
    input::{Input, Stop},
    report::{Details, Finding, Findings, Format, Place, Report},
    source::SourceError,
    text::shown,
};

/// Members that a set may have, so that memory stays flat. A server has a handful.
const MEMBERS: usize = 10_000;
/// What the manifest's name ends in (`MANIFEST_NAME_SUFFIX` of `aof.c`).
const MANIFEST_SUFFIX: &str = ".manifest";

/// Reads the members of a set, in any order.
#[derive(Debug, Default)]
pub struct AofSet {
    manifest: Option<(String, Vec<u8>)>,
    members: BTreeMap<String, Member>,
    findings: Findings,
    size: u64,
}

/// A member that was read.
#[derive(Debug)]
struct Member {
    findings: Findings,
    details: Details,
    outcome: Outcome,
    size: u64,
    sha256: String,
}

impl AofSet {
    /// A set without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a file of this name makes the directory (or tar) it is in a set of append-only files.
    #[must_use]
    pub fn is_manifest(name: &str) -> bool {
        name.ends_with(MANIFEST_SUFFIX) && !name.starts_with("temp-")
    }

    /// Whether a file of this name is one that a server writes into such a directory.
    #[must_use]
    pub fn is_member(name: &str) -> bool {
        // `appendonly.aof.1.base.rdb`, `appendonly.aof.2.incr.aof`, `appendonly.aof.manifest`.
        let mut parts = name.rsplit('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("rdb"), Some("base"), Some(sequence))
            | (Some("aof"), Some("base" | "incr"), Some(sequence)) => {
                !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit())
            }
            (Some("manifest"), Some("aof"), Some(_)) => Self::is_manifest(name),
            _ => false,
        }
    }

    /// Reads a member to its end. `name` is that of the file, without directories.
    ///
    /// # Errors
    /// Its bytes cannot be obtained: nothing is known about the set.
    pub fn add(&mut self, name: &str, bytes: impl Read + Send) -> Result<(), SourceError> {
        let mut counted = Counted { inner: bytes, sum: Sha256::new(), read: 0, failed: None };
        if self.members.len() >= MEMBERS {
            let message = format!("more than {MEMBERS} files; the rest was not read");
            self.findings.add(Place::default(), message);
            return Ok(());
        }
        if Self::is_manifest(name) {
            let mut text = Vec::new();
            let read = (&mut counted).take(MANIFEST_LIMIT).read_to_end(&mut text);
            read.map_err(|cause| SourceError { offset: 0, cause })?;
            if text.len() as u64 >= MANIFEST_LIMIT {
                self.findings.add(at(name, 0), "the manifest is longer than any server's");
            }
            if let Some((other, _)) = &self.manifest {
                let message = format!("a second manifest beside {}", shown(other.as_bytes(), 128));
                self.findings.add(at(name, 0), message);
            } else {
                self.manifest = Some((name.to_owned(), text));
            }
            io::copy(&mut counted, &mut io::sink())
                .map_err(|cause| SourceError { offset: MANIFEST_LIMIT, cause })?;
            self.size += counted.read;
            return Ok(());
        }
        let (mut findings, mut details) = (Findings::default(), Details::default());
        let mut input = Input::new(&mut counted, 0, false);
        let outcome = match read_file(&mut input, &mut findings, &mut details) {
            Ok(outcome) => outcome,
            Err(stop) => {
                let offset = input.offset();
                drop(input);
                return match (stop, counted.failed.take()) {
                    (_, Some(cause)) => Err(SourceError { offset, cause }),
                    (Stop::Cut, None) => Err(unexpected(offset, "the file ends too early")),
                    (Stop::Damaged(message), None) => Err(unexpected(offset, &message)),
                    (Stop::Source, None) => Err(unexpected(offset, "the file cannot be read")),
                };
            }
        };
        drop(input);
        self.size += counted.read;
        let (size, sha256) = (counted.read, hex(&counted.sum.finalize()));
        let member = Member { findings, details, outcome, size, sha256 };
        if self.members.insert(name.to_owned(), member).is_some() {
            self.findings.add(at(name, 0), "the set has this file twice");
        }
        Ok(())
    }

    /// What the set holds and what is wrong with it.
    ///
    /// `sha256` is that of one line for each file but the manifest, in the order of their names: the
    /// file's SHA-256, two spaces, its name, a line feed (what `sha256sum` prints).
    #[must_use]
    pub fn finish(mut self) -> Report {
        let mut sums = Sha256::new();
        for (name, member) in &self.members {
            sums.update(format!("{}  {name}\n", member.sha256));
        }
        let mut details = Details::default();
        match self.manifest.take() {
            None => self.findings.add(Place::default(), "the set has no manifest"),
            Some((name, text)) => self.follow(&name, &text, &mut details),
        }
        Report {
            format: Format::Aof,
            compression: Vec::new(),
            size_bytes: self.size,
            sha256: hex(&sums.finalize()),
            details,
            findings: self.findings.kept,
            findings_total: self.findings.total,
        }
    }

    fn follow(&mut self, manifest: &str, text: &[u8], details: &mut Details) {
        let (files, wrong) = manifest::parse(text);
        for wrong in wrong {
            self.findings.add(at(manifest, wrong.offset), wrong.message);
        }
        let (history, loaded): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| file.kind == Kind::History);
        let ignored = history.iter().filter(|f| self.members.remove(&f.name).is_some()).count();
        if ignored > 0 {
            details.notes.push(format!("{ignored} files of history, which no server loads"));
        }
        // The base is loaded first, wherever it stands.
        let (base, increments): (Vec<_>, Vec<_>) =
            loaded.into_iter().partition(|file| file.kind == Kind::Base);
        if base.is_empty() && increments.is_empty() {
            self.findings.add(at(manifest, 0), "the manifest names no base and no increment");
        }
        details.entries = Some(increments.len() as u64);
        details.commands = Some(0);
        let mut files = base.into_iter().chain(increments).peekable();
        while let Some(file) = files.next() {
            let is_last = files.peek().is_none();
            match self.members.remove(&file.name) {
                Some(member) => self.take(&file, member, is_last, details),
                None => {
                    self.findings.add(at(&file.name, 0), "the manifest names it; it is missing")
                }
            }
        }
        for name in self.members.keys().take(16) {
            let name = shown(name.as_bytes(), 128);
            details.notes.push(format!("{name} is not named by the manifest"));
        }
    }

    /// Takes a member that a server would load.
    fn take(&mut self, file: &Listed, member: Member, is_last: bool, details: &mut Details) {
        let name = &file.name;
        let kept = member.findings.kept.len() as u64;
        for Finding { place, message } in member.findings.kept {
            let item = place.item.map_or_else(|| name.clone(), |item| format!("{name}: {item}"));
            self.findings.add(Place { item: Some(item), ..place }, message);
        }
        self.findings.total += member.findings.total - kept;
        if let Some(tail) = member.outcome.tail {
            let message =
                if is_last { tail.message_in_last_file() } else { tail.message_before_last_file() };
            self.findings.add(at(name, tail.at), message);
        }
        if member.outcome.snapshot && file.kind == Kind::Increment {
            self.findings.add(at(name, 0), "an increment begins with a snapshot");
        }
        if member.size == 0 && file.kind == Kind::Base {
            self.findings.add(at(name, 0), "the base is empty");
        }
        for note in member.details.notes {
            details.notes.push(format!("{name}: {note}"));
        }
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0) + more);
            }
        };
        add(&mut details.commands, member.details.commands);
        if file.kind == Kind::Base {
            details.written_by = member.details.written_by;
            details.keys = member.details.keys;
            details.keys_expiring = member.details.keys_expiring;
            details.databases = member.details.databases;
        }
    }
}

/// Reads the set of append-only files in a directory: every file in it is read to its end.
///
/// # Errors
/// The directory or a file in it cannot be read: nothing is known about the set.
pub fn read_aof_directory(directory: &Path) -> Result<Report, SourceError> {
    let failed = |cause| SourceError { offset: 0, cause };
    let mut set = AofSet::new();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_file() {
            files.push(entry.file_name());
        }
    }
    files.sort();
    for name in files {
        let file = File::open(directory.join(&name)).map_err(failed)?;
        set.add(&name.to_string_lossy(), file)?;
    }
    Ok(set.finish())
}

fn at(name: &str, offset: u64) -> Place {
    Place { offset: Some(offset), decompressed: false, item: Some(name.to_owned()) }
}

fn unexpected(offset: u64, message: &str) -> SourceError {
    SourceError { offset, cause: io::Error::other(message.to_owned()) }
}

/// Counts and sums what is read, and keeps the reason when reading fails.
struct Counted<R> {
    inner: R,
    sum: Sha256,
    read: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(into) {
            Ok(read) => {
                self.sum.update(into.get(..read).unwrap_or_default());
                self.read += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}
