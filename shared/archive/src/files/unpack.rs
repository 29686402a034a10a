//! Unpacks an archive beneath a directory, and nowhere else.
//!
//! Every directory on a member's way is opened from the one above it without following links, so a
//! symbolic link on the way ends the unpacking, whoever planted it and whenever. Symbolic links are
//! made as the archive has them, for they are only dangerous when something goes through them.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{
    input::{Input, Stop},
    layers::{Streamed, streamed},
    report::{Finding, Findings, Place},
    source::SourceError,
    tar::{
        paths,
        walk::{Entry, Kind, Walker},
    },
};

/// What may be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackOptions {
    /// Whether members get their owners' ids and their set-id bits; only root can.
    pub keep_owners: bool,
    /// Whether device nodes and pipes are made; otherwise they are passed over and counted.
    pub devices: bool,
    /// Bytes of files, together. More end the unpacking.
    pub max_bytes: u64,
    /// Members. More end the unpacking.
    pub max_entries: u64,
}

impl Default for UnpackOptions {
    /// Owners when running as root, no devices, 1 TiB, ten million members.
    fn default() -> Self {
        Self {
            keep_owners: rustix::process::geteuid().is_root(),
            devices: false,
            max_bytes: 1 << 40,
            max_entries: 10_000_000,
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unpacked {
    /// Members that were made.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Device nodes and pipes that were passed over.
    pub skipped: u64,
}

/// Unpacking ended early. What was made before stays.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive asks for something that is not done: a path outside, a link on the way, a sparse
    /// file, more than the options allow.
    #[error("the archive is refused: {}{}", .0.message, in_item(.0))]
    Refused(Finding),
    /// The archive is damaged.
    #[error("the archive is damaged: {}{}", .0.message, in_item(.0))]
    Damaged(Finding),
    /// The archive's bytes could not be obtained.
    #[error("the archive cannot be read")]
    Source(#[source] SourceError),
    /// A member could not be made.
    #[error("{path} cannot be written")]
    Write {
        /// The member.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

fn in_item(finding: &Finding) -> String {
    finding.place.item.as_ref().map(|item| format!(" ({item})")).unwrap_or_default()
}

/// Unpacks a tar (gzip, zstd, lz4 or plain, by its bytes) beneath `into`, which must exist. Files
/// that are there are replaced; modes and times are kept, owners as the options say.
///
/// # Errors
/// See [`UnpackError`]. Damage that only the archive's end shows is reported after all was written.
pub fn unpack(
    input: impl Read + Send,
    into: &Path,
    options: UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(into, flags, Mode::empty()).map_err(|error| {
        UnpackError::Write { path: into.display().to_string(), cause: error.into() }
    })?;
    let mut target = Target {
        root: Arc::new(root),
        options,
        parent: None,
        directories: Vec::new(),
        done: Unpacked::default(),
    };
    let Streamed { result, place, notes, failure } = streamed(input, None, |input| {
        target.members(input)?;
        input.skip_all()?;
        Ok(())
    });
    // Directories get their modes whatever happened: what stays is readable.
    let finished = target.finish_directories();
    match (result.and(finished), failure, notes.kept.into_iter().next()) {
        (Err(Ended::Error(error)), _, _) => Err(*error),
        (Ok(()) | Err(Ended::Stop(_)), Some(error), _) => Err(UnpackError::Source(error)),
        (Ok(()) | Err(Ended::Stop(_)), None, Some(damage)) => Err(UnpackError::Damaged(damage)),
        (Err(Ended::Stop(stop)), None, None) => Err(stopped(stop, place)),
        (Ok(()), None, None) => Ok(target.done),
    }
}

fn stopped(stop: Stop, place: Place) -> UnpackError {
    let message = match stop {
        Stop::Cut => "it ends too early".to_owned(),
        Stop::Damaged(why) => why,
        // Not reached: every failure of the source is noted before it is passed on.
        Stop::Source => {
            let cause = io::Error::other("reading failed");
            return UnpackError::Source(SourceError { offset: 0, cause });
        }
    };
    UnpackError::Damaged(Finding { place, message })
}

/// Why unpacking ended.
enum Ended {
    Stop(Stop),
    Error(Box<UnpackError>),
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

fn write_error(entry: &Entry) -> impl FnOnce(Errno) -> Ended {
    let path = paths::show(&entry.path);
    move |error| Ended::Error(Box::new(UnpackError::Write { path, cause: error.into() }))
}

struct Target {
    root: Arc<OwnedFd>,
    options: UnpackOptions,
    /// The last member's directory: most members are in the same one as the one before.
    parent: Option<(Vec<u8>, Arc<OwnedFd>)>,
    /// Directories, whose modes and times are set last.
    directories: Vec<Entry>,
    done: Unpacked,
}

impl Target {
    fn members(&mut self, input: &mut Input<'_>) -> Result<(), Ended> {
        let mut walker = Walker::new(input);
        let mut findings = Findings::default();
        loop {
            let entry = walker.next(&mut findings)?;
            if let Some(finding) = findings.kept.pop() {
                return Err(Ended::Error(Box::new(UnpackError::Damaged(finding))));
            }
            let Some(entry) = entry else { return Ok(()) };
            let place = walker.input().place_at(entry.offset, Some(&paths::show(&entry.path)));
            let refuse = |message: &str| {
                let finding = Finding { place: place.clone(), message: message.to_owned() };
                Ended::Error(Box::new(UnpackError::Refused(finding)))
            };
            if let Some(why) = paths::refusal(&entry.path) {
                return Err(refuse(why));
            }
            if self.done.entries + self.done.skipped >= self.options.max_entries {
                return Err(refuse("the archive has more members than are allowed"));
            }
            if entry.size > self.options.max_bytes - self.done.bytes {
                return Err(refuse("the archive's files are larger than is allowed"));
            }
            self.member(&entry, &mut walker, &refuse)?;
        }
    }

    fn member(
        &mut self,
        entry: &Entry,
        walker: &mut Walker<'_, '_>,
        refuse: &dyn Fn(&str) -> Ended,
    ) -> Result<(), Ended> {
        let parts: Vec<&[u8]> = paths::components(&entry.path).collect();
        let Some((name, ways)) = parts.split_last() else {
            // The archive's own top (`./`): its mode and time are the target's.
            if entry.kind == Kind::Directory {
                self.directories.push(entry.clone());
                self.done.entries += 1;
            }
            return Ok(());
        };
        let is_device = matches!(entry.kind, Kind::Character | Kind::BlockDevice | Kind::Fifo);
        if is_device && !self.options.devices {
            self.done.skipped += 1;
            return Ok(());
        }
        if entry.kind == Kind::Sparse {
            return Err(refuse("sparse files are not unpacked"));
        }
        let directory = self.parent(ways, entry, refuse)?;
        let parent = directory.as_fd();
        match entry.kind {
            Kind::Directory => {
                match rustix::fs::mkdirat(parent, *name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(write_error(entry)(error)),
                }
                step(parent, name, entry, refuse)?;
                self.directories.push(entry.clone());
            }
            Kind::File => {
                let bytes = file(parent, name, entry, walker, self.options)?;
                self.done.bytes += bytes;
            }
            Kind::Symlink => {
                clear(parent, name).map_err(write_error(entry))?;
                rustix::fs::symlinkat(&entry.link[..], parent, *name)
                    .map_err(write_error(entry))?;
                finish_node(parent, name, entry, self.options).map_err(write_error(entry))?;
            }
            Kind::HardLink => {
                if paths::refusal(&entry.link).is_some() {
                    return Err(refuse("a hard link leads outside"));
                }
                self.hard_link(parent, name, entry, refuse)?;
            }
            Kind::Character | Kind::BlockDevice | Kind::Fifo => {
                device(parent, name, entry).map_err(write_error(entry))?;
                finish_node(parent, name, entry, self.options).map_err(write_error(entry))?;
            }
            Kind::Sparse => {}
        }
        self.done.entries += 1;
        Ok(())
    }

    /// The directory in which a member is made. Missing ones are made on the way.
    fn parent(
        &mut self,
        ways: &[&[u8]],
        entry: &Entry,
        refuse: &dyn Fn(&str) -> Ended,
    ) -> Result<Arc<OwnedFd>, Ended> {
        let path = ways.join(&b'/');
        if self.parent.as_ref().is_none_or(|(last, _)| *last != path) {
            let mut at: Option<OwnedFd> = None;
            for name in ways {
                let above = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
                let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
                match rustix::fs::mkdirat(above, *name, mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(write_error(entry)(error)),
                }
                at = Some(step(above, name, entry, refuse)?);
            }
            self.parent = at.map(|directory| (path, Arc::new(directory)));
        }
        Ok(match &self.parent {
            Some((_, directory)) if !ways.is_empty() => Arc::clone(directory),
            _ => Arc::clone(&self.root),
        })
    }

    fn hard_link(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        refuse: &dyn Fn(&str) -> Ended,
    ) -> Result<(), Ended> {
        let parts: Vec<&[u8]> = paths::components(&entry.link).collect();
        let Some((target, ways)) = parts.split_last() else {
            return Err(refuse("a hard link leads to the archive's top"));
        };
        let mut at: Option<OwnedFd> = None;
        for way in ways {
            let above = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            at = Some(step(above, way, entry, refuse)?);
        }
        let above = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        // A link to itself is there already, and must not be cleared away.
        if paths::components(&entry.path).eq(paths::components(&entry.link)) {
            return Ok(());
        }
        clear(parent, name).map_err(write_error(entry))?;
        rustix::fs::linkat(above, *target, parent, name, AtFlags::empty())
            .map_err(write_error(entry))
    }

    /// Sets the directories' modes, owners and times, the deepest first.
    fn finish_directories(&mut self) -> Result<(), Ended> {
        let refuse = |message: &str| {
            let finding = Finding { place: Place::default(), message: message.to_owned() };
            Ended::Error(Box::new(UnpackError::Refused(finding)))
        };
        for entry in std::mem::take(&mut self.directories).iter().rev() {
            let mut at: Option<OwnedFd> = None;
            for name in paths::components(&entry.path) {
                let above = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
                at = Some(step(above, name, entry, &refuse)?);
            }
            let directory = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            finish(directory, entry, self.options).map_err(write_error(entry))?;
        }
        Ok(())
    }
}

/// Opens a directory of another, unless it is a link or no directory.
fn step(
    above: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    refuse: &dyn Fn(&str) -> Ended,
) -> Result<OwnedFd, Ended> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, name, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => {
            refuse("a link, or something else that is no directory, is on the way")
        }
        error => write_error(entry)(error),
    })
}

/// Removes what is in a member's place.
fn clear(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn file(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    walker: &mut Walker<'_, '_>,
    options: UnpackOptions,
) -> Result<u64, Ended> {
    clear(parent, name).map_err(write_error(entry))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let created = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(write_error(entry))?;
    let mut to = File::from(created);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = walker.read(&mut buffer);
        walker.check()?;
        let len = read.unwrap_or_default();
        let Some(piece) = buffer.get(..len).filter(|piece| !piece.is_empty()) else { break };
        to.write_all(piece).map_err(|cause| {
            let path = paths::show(&entry.path);
            Ended::Error(Box::new(UnpackError::Write { path, cause }))
        })?;
    }
    finish(to.as_fd(), entry, options).map_err(write_error(entry))?;
    Ok(entry.size)
}

fn device(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    clear(parent, name)?;
    let kind = match entry.kind {
        Kind::Character => FileType::CharacterDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::File
        | Kind::Sparse
        | Kind::HardLink
        | Kind::Symlink
        | Kind::Directory
        | Kind::Fifo => FileType::Fifo,
    };
    let number = rustix::fs::makedev(entry.device.0, entry.device.1);
    rustix::fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, number)
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.0, tv_nsec: i64::from(entry.mtime.1) };
    Timestamps { last_access: time, last_modification: time }
}

fn mode(entry: &Entry, options: UnpackOptions) -> Mode {
    // Set-id bits without their owner would give someone else's rights away.
    let kept = if options.keep_owners { 0o7777 } else { 0o777 };
    Mode::from_raw_mode(entry.mode & kept)
}

/// Owner first, because changing it takes set-id bits away; time last, because writing changes it.
fn finish(fd: BorrowedFd<'_>, entry: &Entry, options: UnpackOptions) -> Result<(), Errno> {
    if options.keep_owners {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    }
    rustix::fs::fchmod(fd, mode(entry, options))?;
    rustix::fs::futimens(fd, &times(entry))
}

/// The same for what cannot be opened: links, devices, pipes.
fn finish_node(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    options: UnpackOptions,
) -> Result<(), Errno> {
    if options.keep_owners {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if entry.kind != Kind::Symlink {
        // The node was made a moment ago by this process, and is no link.
        rustix::fs::chmodat(parent, name, mode(entry, options), AtFlags::empty())?;
    }
    rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
}
