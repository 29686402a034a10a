//! The members of a tar archive, one after the other.

use std::io::{self, Read};

use super::{
    header::{BLOCK, Block, Header},
    paths,
    pax::{self, Overrides},
};
use crate::{
    input::{Input, Stop},
    report::Findings,
    zeros::{first_other, is_zero},
};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// A file of GNU tar with holes: its data is not its content.
    Sparse,
    HardLink,
    Symlink,
    Directory,
    Character,
    BlockDevice,
    Fifo,
}

/// A member.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Offset of its own header.
    pub(crate) offset: u64,
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    /// Bytes of data that follow.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
}

/// Goes over the members; between two calls of [`Walker::next`] it reads the member's data.
pub(crate) struct Walker<'i, 'a> {
    input: &'i mut Input<'a>,
    /// Bytes of the member's data that were not read yet.
    left: u64,
    padding: u64,
    global: Overrides,
    item: String,
    stop: Option<Stop>,
}

impl<'i, 'a> Walker<'i, 'a> {
    pub(crate) fn new(input: &'i mut Input<'a>) -> Self {
        Self {
            input,
            left: 0,
            padding: 0,
            global: Overrides::default(),
            item: String::new(),
            stop: None,
        }
    }

    /// Why reading a member's data failed, if it did. An [`io::Error`] on its way through a
    /// decompressor does not keep it.
    pub(crate) fn check(&mut self) -> Result<(), Stop> {
        self.stop.take().map_or(Ok(()), Err)
    }

    pub(crate) fn input(&self) -> &Input<'a> {
        self.input
    }

    fn add(&self, findings: &mut Findings, offset: u64, item: Option<&str>, message: &str) {
        findings.add(self.input.place_at(offset, item), message);
    }

    /// Passes the rest of the member and its padding.
    fn finish_member(&mut self, findings: &mut Findings) -> Result<(), Stop> {
        self.input.skip(self.left)?;
        self.left = 0;
        let offset = self.input.offset();
        let mut is_clear = true;
        self.input.pieces(self.padding, |piece| is_clear &= is_zero(piece))?;
        self.padding = 0;
        if !is_clear {
            let item = self.item.clone();
            self.add(findings, offset, Some(&item), "the padding after the file is not zero");
        }
        Ok(())
    }

    /// The next member; none after the end mark.
    pub(crate) fn next(&mut self, findings: &mut Findings) -> Result<Option<Entry>, Stop> {
        self.finish_member(findings)?;
        let mut overrides = Overrides::default();
        let mut is_lost = false;
        loop {
            let offset = self.input.offset();
            if self.input.is_at_end()? {
                self.add(findings, offset, None, "the archive ends without its end mark");
                return Ok(None);
            }
            let header = match Block::parse(self.input.array::<BLOCK>()?) {
                Block::Zero => {
                    if self.finish(findings)? {
                        return Ok(None);
                    }
                    continue;
                }
                Block::Bad(why) => {
                    // What follows is passed block by block until a header fits again.
                    if !is_lost {
                        self.add(findings, offset, None, why);
                    }
                    is_lost = true;
                    overrides = Overrides::default();
                    continue;
                }
                Block::Header(header) => header,
            };
            match header.kind() {
                kind @ (b'x' | b'g' | b'L' | b'K') => {
                    self.extension(kind, &header, offset, &mut overrides, findings)?;
                }
                _ => {
                    let taken = std::mem::take(&mut overrides).over(&self.global);
                    if let Some(entry) = self.member(&header, offset, taken, findings)? {
                        return Ok(Some(entry));
                    }
                }
            }
        }
    }

    /// Reads what follows a zero block; whether that was the end.
    fn finish(&mut self, findings: &mut Findings) -> Result<bool, Stop> {
        let offset = self.input.offset();
        if self.input.is_at_end()? {
            self.add(findings, offset, None, "half of the end mark is missing");
            return Ok(true);
        }
        match Block::parse(self.input.array::<BLOCK>()?) {
            Block::Zero => {}
            Block::Header(_) | Block::Bad(_) => {
                self.add(findings, offset, None, "a zero block stands alone between members");
                return Ok(false);
            }
        }
        // Writers fill the last record with zeros.
        let mut at = self.input.offset();
        let mut garbage = None;
        while !self.input.is_at_end()? {
            let piece = io::BufRead::fill_buf(self.input)?;
            let len = piece.len();
            if garbage.is_none() {
                garbage = first_other(piece).map(|within| at + within as u64);
            }
            io::BufRead::consume(self.input, len);
            at += len as u64;
        }
        if let Some(offset) = garbage {
            self.add(findings, offset, None, "bytes follow the end of the archive");
        }
        Ok(true)
    }

    fn extension(
        &mut self,
        kind: u8,
        header: &Header,
        offset: u64,
        overrides: &mut Overrides,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        let Some(size) = header.size() else {
            self.add(findings, offset, None, "the size of an extended header is no number");
            return Ok(());
        };
        let padding = padding(size);
        if size > pax::LIMIT {
            self.add(findings, offset, None, "an extended header is larger than 1 MiB");
            return self.input.skip(size.saturating_add(padding));
        }
        let bytes = self.input.bytes(usize::try_from(size).unwrap_or_default())?;
        self.padding = padding;
        self.item = "an extended header".to_owned();
        self.finish_member(findings)?;
        let name = || bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let taken = match kind {
            b'L' => {
                overrides.path = Some(name());
                Some(())
            }
            b'K' => {
                overrides.link = Some(name());
                Some(())
            }
            b'g' => {
                let mut global = Overrides::default();
                let taken = global.take(&bytes);
                let is_strange =
                    global.path.is_some() || global.link.is_some() || global.size.is_some();
                self.global = global.over(&self.global);
                taken.filter(|()| !is_strange)
            }
            _ => overrides.take(&bytes),
        };
        if taken.is_none() {
            self.add(findings, offset, None, "an extended header is not well formed");
        }
        Ok(())
    }

    fn member(
        &mut self,
        header: &Header,
        offset: u64,
        overrides: Overrides,
        findings: &mut Findings,
    ) -> Result<Option<Entry>, Stop> {
        let path = overrides.path.unwrap_or_else(|| header.path());
        let link = overrides.link.unwrap_or_else(|| header.link());
        self.item = paths::show(&path);
        let item = self.item.clone();
        let Some(size) = overrides.size.or_else(|| header.size()) else {
            self.add(findings, offset, Some(&item), "the size of the file is no number");
            return Ok(None);
        };
        let kind = match header.kind() {
            0 | b'0' | b'7' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' if overrides.is_sparse => Kind::Sparse,
            0 | b'0' | b'7' => Kind::File,
            b'S' => Kind::Sparse,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            // A volume's label, and the list of names in an incremental archive of GNU tar.
            b'V' | b'D' => {
                (self.left, self.padding) = (size, padding(size));
                self.finish_member(findings)?;
                return Ok(None);
            }
            _ => {
                self.add(findings, offset, Some(&item), "the kind of the member is not known");
                (self.left, self.padding) = (size, padding(size));
                self.finish_member(findings)?;
                return Ok(None);
            }
        };
        if header.kind() == b'S' {
            self.sparse_map(header.has_more_map())?;
        }
        let has_data = matches!(kind, Kind::File | Kind::Sparse);
        if !has_data && size != 0 && kind != Kind::Directory {
            self.add(findings, offset, Some(&item), "a member that has no data claims a size");
        }
        let size = if has_data { size } else { 0 };
        (self.left, self.padding) = (size, padding(size));
        let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
        let (Some(mode), Some(uid), Some(gid), Some(mtime)) = (
            small(header.mode()),
            small(overrides.uid.or_else(|| header.uid())),
            small(overrides.gid.or_else(|| header.gid())),
            overrides.mtime.or_else(|| header.mtime().map(|seconds| (seconds, 0))),
        ) else {
            self.add(findings, offset, Some(&item), "mode, owner or time is no number");
            self.finish_member(findings)?;
            return Ok(None);
        };
        let device = header.device().unwrap_or_default();
        Ok(Some(Entry { offset, path, link, kind, size, mode, uid, gid, mtime, device }))
    }

    /// Passes the blocks of an old GNU sparse map that did not fit into the header: 21 pairs of
    /// numbers each, and at byte 504 whether another follows.
    fn sparse_map(&mut self, mut has_more: bool) -> Result<(), Stop> {
        while has_more {
            let block = self.input.array::<BLOCK>()?;
            has_more = block.get(504).is_some_and(|more| *more != 0);
        }
        Ok(())
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

impl Read for Walker<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let Some(into) = into.get_mut(..wanted).filter(|into| !into.is_empty()) else {
            return Ok(0);
        };
        match self.input.read(into) {
            Ok(0) => {
                self.stop = Some(Stop::Cut);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(len) => {
                self.left -= len as u64;
                Ok(len)
            }
            Err(error) => {
                let kind = error.kind();
                self.stop = Some(Stop::from(error));
                Err(kind.into())
            }
        }
    }
}
