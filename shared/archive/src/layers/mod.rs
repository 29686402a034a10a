//! Outer compressions: taken off one by one, streaming, each checked to its own end.
//!
//! A layer holds to three things. Its memory does not depend on what it decompresses. What is wrong
//! with it is noted here, once, with the offset in the bytes that it reads; the readers above only
//! see their bytes end. And after damage it still reads the bytes below to their end, because
//! another layer's checksum may be there.

mod frame;
mod streamed;

use std::{
    io::{self, BufRead, Read},
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use frame::Frame;
pub(crate) use frame::Single;
pub(crate) use streamed::{Streamed, streamed};

use crate::{
    input::{Input, Stop},
    report::{Findings, Place},
    stored::Failure,
};

/// Compressions around each other. More than one is a mistake of whoever stored the artifact; many
/// are a bomb.
const LAYERS_MAX: usize = 3;

/// Bytes by which a format is told: a tar header's magic is at 257.
pub(crate) const HEAD: usize = 512;

/// Bytes of the widest magic.
const MAGIC: usize = 4;

/// Bytes that the layers together may make of each stored byte that they have read. One layer of zstd makes at most
/// 32,768 (a block of 128 KiB from 4 bytes, RFC 8878); only layers in layers make more. At 2 GB/s
/// a hostile megabyte then costs half a minute.
const EXPANSION_MAX: u64 = 50_000;

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gzip,
    Zstd,
    Lz4,
}

impl Kind {
    /// The kind by a frame's first bytes: RFC 1952, RFC 8878, and the LZ4 frame format.
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }
}

/// Whether these are the first bytes of a skippable frame, which zstd and lz4 have in common.
fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// What the layers have found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Findings>>);

impl Notes {
    fn add(&self, place: Place, message: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(place, message);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total == 0
    }

    pub(crate) fn take(&self) -> Findings {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An artifact without its outer compressions.
pub(crate) struct Peeled<'a> {
    pub(crate) input: Input<'a>,
    pub(crate) compression: Vec<String>,
    pub(crate) notes: Notes,
}

/// Takes the outer compressions off. `stored` notes its failures in `failure`.
pub(crate) fn peel<'a>(stored: impl Read + Send + 'a, failure: &Failure) -> Peeled<'a> {
    let mut peeled = peel_up_to(LAYERS_MAX, stored, failure);
    if let Some(kind) = kind_of(&mut peeled.input) {
        let message = format!("{} inside {LAYERS_MAX} other compressions", kind.name());
        peeled.notes.add(peeled.input.place(None), message);
    }
    peeled
}

/// Takes at most `most` outer compressions off.
pub(crate) fn peel_up_to<'a>(
    most: usize,
    stored: impl Read + Send + 'a,
    failure: &Failure,
) -> Peeled<'a> {
    let notes = Notes::default();
    let read = Arc::new(AtomicU64::new(0));
    let mut input = Input::new(Counted { inner: stored, read: Arc::clone(&read) }, 0, false);
    let mut compression = Vec::new();
    while compression.len() < most
        && let Some(kind) = kind_of(&mut input)
    {
        compression.push(kind.name().to_owned());
        let layer = Layer {
            kind,
            state: State::Between(input),
            given: 0,
            stored: Arc::clone(&read),
            notes: notes.clone(),
            failure: failure.clone(),
        };
        input = Input::new(layer, 0, true);
    }
    Peeled { input, compression, notes }
}

fn kind_of(input: &mut Input<'_>) -> Option<Kind> {
    input.peek(MAGIC).ok().and_then(Kind::of)
}

/// Counts the stored bytes, for the layers to know what they may make of them.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

enum State<'a> {
    /// Before a frame, or behind the last.
    Between(Input<'a>),
    Within(Frame<Slices<'a>>),
    Done,
}

/// One compression: frames (gzip: members) one behind the other.
struct Layer<'a> {
    kind: Kind,
    state: State<'a>,
    /// Bytes that it has given, and that were read of the stored ones.
    given: u64,
    stored: Arc<AtomicU64>,
    notes: Notes,
    failure: Failure,
}

impl Layer<'_> {
    /// Notes what is wrong, unless a layer below or the source is at fault, and reads the bytes
    /// below to their end.
    fn fail(&mut self, mut below: Input<'_>, error: io::Error) -> io::Error {
        if self.failure.is_set() || error.get_ref().is_some_and(|inner| inner.is::<Noted>()) {
            return error;
        }
        let cut = error.kind() == io::ErrorKind::UnexpectedEof;
        let name = self.kind.name();
        let message = if cut {
            format!("the {name} stream ends too early")
        } else {
            format!("the {name} stream is damaged: {error}")
        };
        self.notes.add(below.place(None), message);
        // Its own error, if any, has been noted by the layer below.
        let _ = below.skip_all();
        let kind = if cut { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
        io::Error::new(kind, Noted)
    }

    /// Begins the next frame, or ends.
    fn next_frame<'a>(&mut self, mut below: Input<'a>) -> io::Result<State<'a>> {
        let head = match below.peek(MAGIC) {
            Ok(head) => head,
            Err(stop) => return Err(passed_on(&stop)),
        };
        if head.is_empty() {
            return Ok(State::Done);
        }
        if Kind::of(head) == Some(self.kind) {
            return Ok(State::Within(Frame::new(self.kind, Slices(below))?));
        }
        if self.kind != Kind::Gzip && is_skippable(head) {
            return match skip_frame(&mut below) {
                Ok(()) => Ok(State::Between(below)),
                Err(stop) => Err(self.fail(below, passed_on(&stop))),
            };
        }
        let place = below.place(None);
        let bytes = below.skip_all().map_err(|stop| passed_on(&stop))?;
        let message = format!("{bytes} bytes follow the end of the {} stream", self.kind.name());
        self.notes.add(place, message);
        Ok(State::Done)
    }
}

/// Passes over a skippable frame: magic, length, and as many bytes.
fn skip_frame(below: &mut Input<'_>) -> Result<(), Stop> {
    below.skip(MAGIC as u64)?;
    let len = u32::from_le_bytes(below.array()?);
    below.skip(len.into())
}

/// Has been noted: it is passed on only so that the readers above stop.
#[derive(Debug, thiserror::Error)]
#[error("an outer compression is damaged")]
struct Noted;

/// The error for the layer above. A layer below has noted what damaged it.
fn passed_on(stop: &Stop) -> io::Error {
    match stop {
        Stop::Cut => io::ErrorKind::UnexpectedEof.into(),
        Stop::Damaged(_) => io::Error::new(io::ErrorKind::InvalidData, Noted),
        Stop::Source => io::Error::other("the source failed"),
    }
}

/// What a decoder sees of the bytes below: never more than up to the next multiple of `SLICE`. A
/// decoder that fails has often given back nothing of its last step, so a step must be short, for
/// its damage to have a place and the bytes before it a reader.
struct Slices<'a>(Input<'a>);

/// Bytes; an upper bound of how far behind a finding's offset the damage lies.
const SLICE: u64 = 16 * 1024;

impl Read for Slices<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.0.consume(read);
        Ok(read)
    }
}

impl BufRead for Slices<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let most = usize::try_from(SLICE - self.0.offset() % SLICE).unwrap_or(usize::MAX);
        let available = self.0.fill_buf()?;
        Ok(available.get(..most).unwrap_or(available))
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl Read for Layer<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // The first bytes come alone, so that damage close behind does not hide what it is.
        let most = if self.given == 0 { into.len().min(HEAD) } else { into.len() };
        let into = into.get_mut(..most).unwrap_or_default();
        loop {
            self.state = match mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(0),
                State::Between(below) => self.next_frame(below)?,
                State::Within(mut frame) => match frame.read(into) {
                    Ok(0) if into.is_empty() => {
                        self.state = State::Within(frame);
                        return Ok(0);
                    }
                    Ok(0) => State::Between(frame.into_inner().0),
                    Ok(read) => {
                        self.given += read as u64;
                        let stored = self.stored.load(Ordering::Relaxed);
                        if self.given > stored.saturating_mul(EXPANSION_MAX) {
                            let message =
                                format!("more than {EXPANSION_MAX} bytes for each stored");
                            let error = io::Error::new(io::ErrorKind::InvalidData, message);
                            return Err(self.fail(frame.into_inner().0, error));
                        }
                        self.state = State::Within(frame);
                        return Ok(read);
                    }
                    Err(error) => return Err(self.fail(frame.into_inner().0, error)),
                },
            };
        }
    }
}
