//! Packs files of a running host into a tar.
//!
//! A host does not hold still: files vanish, grow and shrink while they are read. The archive stays
//! well formed whatever happens (a file that shrinks is filled up with zeros), and each such file is
//! named in the result, so that the backup's manifest can say so.

use std::{
    collections::HashMap,
    ffi::{CString, OsStr},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::header;
use crate::tar::paths;

/// Problems that are named; the rest are only counted.
const PROBLEMS_KEPT: usize = 1000;
/// Directories within directories. Each holds a descriptor open, and a process has 1024 of them.
const DEPTH: usize = 200;
/// Files with several names that are remembered.
const LINKS_LIMIT: usize = 1_000_000;
/// tar writes whole records of twenty blocks.
const RECORD: u64 = 20 * header::BLOCK;

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// A path that was asked for is not there, or a file went between being listed and being read.
    Vanished,
    /// It changed while it was read: what the archive holds of it may be a mixture.
    Changed,
    /// It could not be read; the archive has zeros in place of what is missing, or nothing.
    Unreadable,
    /// It is of a kind that archives do not hold (a socket), or too deep.
    Skipped,
}

/// A file that is not in the archive as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    pub path: String,
    /// What happened.
    pub kind: ProblemKind,
    /// More, in words.
    pub message: String,
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Packed {
    /// Members.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// All problems.
    pub problems_total: u64,
}

/// Packs these paths and all below them as a tar, in the order of their names. A member's name is its
/// path without the leading `/`, so that unpacking beneath `/` puts it back. Symbolic links are kept
/// as links and never followed; what is in `exclude`, or below it, is left out. `paths` and `exclude`
/// must be written the same way (absolute, as a rule).
///
/// # Errors
/// Writing to `into` failed. Files that cannot be read are in the result, not here.
pub fn pack(
    paths: &[impl AsRef<Path>],
    exclude: &[impl AsRef<Path>],
    into: impl Write,
) -> io::Result<Packed> {
    let mut packer = Packer {
        into,
        exclude: exclude.iter().map(|path| normal(path.as_ref())).collect(),
        links: HashMap::new(),
        written: 0,
        packed: Packed::default(),
    };
    let mut wanted: Vec<(Vec<u8>, &Path)> =
        paths.iter().map(|path| (normal(path.as_ref()), path.as_ref())).collect();
    wanted.sort();
    let mut last: Option<Vec<u8>> = None;
    for (member, path) in wanted {
        if last.as_ref().is_some_and(|last| is_below(&member, last)) {
            continue;
        }
        packer.top(&member, path)?;
        last = Some(member);
    }
    packer.finish()
}

/// The member's name: the path's components.
fn normal(path: &Path) -> Vec<u8> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.as_bytes()),
        Component::ParentDir => Some(&b".."[..]),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Whether a path is another one, or below it.
fn is_below(path: &[u8], above: &[u8]) -> bool {
    above.is_empty()
        || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

struct Packer<W> {
    into: W,
    exclude: Vec<Vec<u8>>,
    /// The first name of files that have several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    written: u64,
    packed: Packed,
}

impl<W: Write> Packer<W> {
    fn problem(&mut self, path: &[u8], kind: ProblemKind, message: impl ToString) {
        self.packed.problems_total += 1;
        if self.packed.problems.len() < PROBLEMS_KEPT {
            let (path, message) = (paths::show(path), message.to_string());
            self.packed.problems.push(Problem { path, kind, message });
        }
    }

    fn failed(&mut self, path: &[u8], error: Errno) {
        let kind = match error {
            Errno::NOENT => ProblemKind::Vanished,
            _ => ProblemKind::Unreadable,
        };
        self.problem(path, kind, io::Error::from(error));
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.into.write_all(bytes)
    }

    /// Zeros up to the next multiple of `to`.
    fn fill(&mut self, to: u64) -> io::Result<()> {
        let missing = self.written.next_multiple_of(to) - self.written;
        self.zeros(missing)
    }

    fn zeros(&mut self, len: u64) -> io::Result<()> {
        self.written += len;
        io::copy(&mut io::repeat(0).take(len), &mut self.into).map(drop)
    }

    fn finish(mut self) -> io::Result<Packed> {
        self.zeros(2 * header::BLOCK)?;
        self.fill(RECORD)?;
        self.into.flush()?;
        Ok(self.packed)
    }

    /// A path that was asked for. Its directory is the operator's choice, links on the way included.
    fn top(&mut self, member: &[u8], path: &Path) -> io::Result<()> {
        if paths::components(member).any(|part| part == b"..") {
            self.problem(member, ProblemKind::Skipped, "the path has `..` in it");
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (above, name) = match (path.parent(), path.file_name()) {
            (Some(above), Some(name)) if above.as_os_str().is_empty() => (Path::new("."), name),
            (Some(above), Some(name)) => (above, name),
            _ => (path, OsStr::new(".")),
        };
        match rustix::fs::open(above, flags, Mode::empty()) {
            Ok(above) => self.member(above.as_fd(), name.as_bytes(), member, 0),
            Err(error) => {
                self.failed(member, error);
                Ok(())
            }
        }
    }

    fn member(
        &mut self,
        above: BorrowedFd<'_>,
        name: &[u8],
        member: &[u8],
        depth: usize,
    ) -> io::Result<()> {
        if self.exclude.iter().any(|excluded| is_below(member, excluded)) {
            return Ok(());
        }
        let stat = match rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(error) => {
                self.failed(member, error);
                return Ok(());
            }
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::Directory => self.directory(above, name, member, depth),
            FileType::RegularFile => self.file(above, name, member),
            FileType::Symlink => match rustix::fs::readlinkat(above, name, Vec::new()) {
                Ok(target) => self.node(b'2', member, target.as_bytes(), &stat),
                Err(error) => {
                    self.failed(member, error);
                    Ok(())
                }
            },
            FileType::Fifo => self.node(b'6', member, b"", &stat),
            FileType::CharacterDevice => self.node(b'3', member, b"", &stat),
            FileType::BlockDevice => self.node(b'4', member, b"", &stat),
            FileType::Socket | FileType::Unknown => {
                self.problem(member, ProblemKind::Skipped, "archives hold no sockets");
                Ok(())
            }
        }
    }

    /// A member without data.
    fn node(&mut self, kind: u8, member: &[u8], link: &[u8], stat: &Stat) -> io::Result<()> {
        self.packed.entries += 1;
        let header = header::write(kind, member, link, 0, stat);
        self.write(&header)
    }

    fn directory(
        &mut self,
        above: BorrowedFd<'_>,
        name: &[u8],
        member: &[u8],
        depth: usize,
    ) -> io::Result<()> {
        if depth >= DEPTH {
            self.problem(member, ProblemKind::Skipped, "the directory is too deep");
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(above, name, flags, Mode::empty())
            .and_then(|directory| Ok((rustix::fs::fstat(&directory)?, directory)))
            .and_then(|(stat, directory)| Ok((stat, names(&directory)?, directory)));
        let (stat, names, directory) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.failed(member, error);
                return Ok(());
            }
        };
        if !member.is_empty() {
            self.node(b'5', &[member, b"/"].concat(), b"", &stat)?;
        }
        for name in names {
            let name = name.as_bytes();
            let below =
                if member.is_empty() { name.to_vec() } else { [member, b"/", name].concat() };
            self.member(directory.as_fd(), name, &below, depth + 1)?;
        }
        Ok(())
    }

    fn file(&mut self, above: BorrowedFd<'_>, name: &[u8], member: &[u8]) -> io::Result<()> {
        // Without blocking: a pipe may have taken the file's place since it was looked at.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(above, name, flags, Mode::empty())
            .and_then(|file| Ok((rustix::fs::fstat(&file)?, file)));
        let (before, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.failed(member, error);
                return Ok(());
            }
        };
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            self.problem(member, ProblemKind::Changed, "it is no file any more");
            return Ok(());
        }
        if before.st_nlink > 1 {
            let identity = (before.st_dev, before.st_ino);
            if let Some(first) = self.links.get(&identity).cloned() {
                return self.node(b'1', member, &first, &before);
            }
            if self.links.len() < LINKS_LIMIT {
                self.links.insert(identity, member.to_vec());
            }
        }
        let size = u64::try_from(before.st_size).unwrap_or_default();
        self.packed.entries += 1;
        let header = header::write(b'0', member, b"", size, &before);
        self.write(&header)?;
        self.data(file, size, member, &before)
    }

    fn data(&mut self, file: OwnedFd, size: u64, member: &[u8], before: &Stat) -> io::Result<()> {
        let mut file = File::from(file);
        let mut buffer = vec![0; 128 * 1024];
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match file.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => break,
                Ok(len) => {
                    self.write(buffer.get(..len).unwrap_or_default())?;
                    left -= len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.problem(member, ProblemKind::Unreadable, error);
                    break;
                }
            }
        }
        self.packed.bytes += size;
        self.zeros(left)?;
        self.fill(header::BLOCK)?;
        let same = |after: Stat| {
            (after.st_size, after.st_mtime, after.st_mtime_nsec)
                == (before.st_size, before.st_mtime, before.st_mtime_nsec)
        };
        if left > 0 || !rustix::fs::fstat(&file).is_ok_and(same) {
            let message = if left > 0 {
                format!("it shrank while it was read: {left} zeros were written in its place")
            } else {
                "it was written to while it was read".to_owned()
            };
            self.problem(member, ProblemKind::Changed, message);
        }
        Ok(())
    }
}

/// The names in a directory, sorted.
fn names(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}
