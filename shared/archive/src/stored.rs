//! The stored bytes: read once, in order, to their end, and hashed on the way.
//!
//! Invariant: what the hash covers is what the source gave from its first byte to its last, whatever
//! the reader of the format wanted of it. A failure of the source is kept apart from all that the
//! decoders make of it: the first one wins, and the artifact's findings are then worth nothing.

use std::{
    fmt::Write as _,
    io::{self, Read},
    mem,
    num::NonZero,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

use sha2::{Digest, Sha256};

use crate::source::{Source, SourceError};

/// Bytes that pass from the hashing thread to the decoding one at a time.
const PIECE: usize = 256 * 1024;

/// Pieces that may wait between the two: enough that neither waits for the other's every step.
const PIECES: usize = 4;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first failure of a source, shared by all who read it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<SourceError>>>);

impl Failure {
    /// Keeps the failure, if it is the first, and returns the error that readers pass on.
    fn set(&self, offset: u64, cause: io::Error) -> io::Error {
        lock(&self.0).get_or_insert(SourceError { offset, cause });
        Self::passed_on()
    }

    fn passed_on() -> io::Error {
        io::Error::other("the source failed")
    }

    pub(crate) fn is_set(&self) -> bool {
        lock(&self.0).is_some()
    }

    pub(crate) fn take(&self) -> Option<SourceError> {
        lock(&self.0).take()
    }
}

/// A source's reader that notes every failure, a source that is shorter or longer than it said too.
pub(crate) struct Guarded<R = Box<dyn Read + Send>> {
    inner: R,
    offset: u64,
    /// The length that the source said; a stream says none.
    len: Option<u64>,
    failure: Failure,
}

impl Guarded {
    /// Opens the source; a failure is noted and returned.
    pub(crate) fn open(source: &dyn Source, offset: u64, failure: &Failure) -> io::Result<Self> {
        match source.open(offset) {
            Ok(inner) => {
                Ok(Self { inner, offset, len: Some(source.len()), failure: failure.clone() })
            }
            Err(error) => Err(failure.set(offset, error)),
        }
    }
}

impl<R> Guarded<R> {
    /// A stream, from its beginning.
    pub(crate) fn new(inner: R, failure: &Failure) -> Self {
        Self { inner, offset: 0, len: None, failure: failure.clone() }
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = loop {
            match self.inner.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure.set(self.offset, error)),
                Ok(read) => break read,
            }
        };
        self.offset += read as u64;
        let Some(len) = self.len else { return Ok(read) };
        if read == 0 && !into.is_empty() && self.offset < len {
            let cause = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the source ends there, and said that it has {len} bytes"),
            );
            return Err(self.failure.set(self.offset, cause));
        }
        if self.offset > len {
            let cause = io::Error::other(format!("the source said that it has {len} bytes"));
            return Err(self.failure.set(len, cause));
        }
        Ok(read)
    }
}

/// What the stored bytes came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
}

struct Hashed {
    inner: Guarded,
    hash: Sha256,
}

impl Hashed {
    /// Reads and hashes the rest; what is read goes to `pieces` while somebody takes it.
    fn pump(mut self, pieces: &SyncSender<Vec<u8>>, used: &Receiver<Vec<u8>>) -> io::Result<Sum> {
        let mut kept = None;
        loop {
            let mut piece = kept.take().or_else(|| used.try_recv().ok()).unwrap_or_default();
            piece.resize(PIECE, 0);
            let mut filled = 0;
            while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match self.read(rest)? {
                    0 => break,
                    read => filled += read,
                }
            }
            if filled == 0 {
                return Ok(self.sum());
            }
            piece.truncate(filled);
            if let Err(unwanted) = pieces.send(piece) {
                kept = Some(unwanted.0);
            }
        }
    }

    fn sum(self) -> Sum {
        let mut sha256 = String::with_capacity(64);
        for byte in self.hash.finalize() {
            // Writing to a string does not fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        Sum { size_bytes: self.inner.offset, sha256 }
    }
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The receiving end of the hashing thread.
struct Pipe {
    pieces: Receiver<Vec<u8>>,
    used: Sender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    failure: Failure,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            self.at = 0;
            // Nobody takes it back once the hashing thread is done.
            drop(self.used.send(mem::take(&mut self.current)));
            match self.pieces.recv() {
                Ok(piece) => self.current = piece,
                Err(_) if self.failure.is_set() => return Err(Failure::passed_on()),
                Err(_) => return Ok(0),
            }
        }
        let mut rest = self.current.get(self.at..).unwrap_or_default();
        let read = rest.read(into)?;
        self.at += read;
        Ok(read)
    }
}

enum Flow {
    Inline(Box<Hashed>),
    Piped(Pipe),
    /// Nobody reads any more; a hashing thread goes on by itself.
    Detached,
}

/// The stored bytes in order. Its clones share one position.
#[derive(Clone)]
pub(crate) struct Stored(Arc<Mutex<Flow>>);

impl Stored {
    fn new(flow: Flow) -> Self {
        Self(Arc::new(Mutex::new(flow)))
    }

    /// Ends the reading here; the rest is only hashed.
    pub(crate) fn detach(&self) {
        drop(self.replace());
    }

    fn replace(&self) -> Flow {
        mem::replace(&mut *lock(&self.0), Flow::Detached)
    }
}

impl Read for Stored {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut *lock(&self.0) {
            Flow::Inline(hashed) => hashed.read(into),
            Flow::Piped(pipe) => pipe.read(into),
            Flow::Detached => Ok(0),
        }
    }
}

/// Gives the stored bytes to `body`, and then reads and hashes what it has left.
///
/// With more than one thread the bytes are read and hashed on a thread of their own; only then may
/// `body` detach itself.
///
/// # Errors
/// The source failed, in whatever thread.
pub(crate) fn reading<T>(
    source: &dyn Source,
    threads: NonZero<usize>,
    failure: &Failure,
    body: impl FnOnce(Stored) -> T,
) -> Result<(T, Sum), SourceError> {
    let done = match Guarded::open(source, 0, failure) {
        Ok(inner) => {
            let hashed = Hashed { inner, hash: Sha256::new() };
            if threads.get() > 1 { piped(hashed, failure, body) } else { inline(hashed, body) }
        }
        Err(error) => Err(error),
    };
    match (failure.take(), done) {
        (Some(error), _) => Err(error),
        (None, Ok(done)) => Ok(done),
        // Not reached: every error of a reader is noted before it is passed on.
        (None, Err(cause)) => Err(SourceError { offset: 0, cause }),
    }
}

fn inline<T>(hashed: Hashed, body: impl FnOnce(Stored) -> T) -> io::Result<(T, Sum)> {
    let stored = Stored::new(Flow::Inline(Box::new(hashed)));
    let value = body(stored.clone());
    match stored.replace() {
        Flow::Inline(mut hashed) => {
            io::copy(&mut hashed, &mut io::sink())?;
            Ok((value, hashed.sum()))
        }
        Flow::Piped(_) | Flow::Detached => Err(io::Error::other("nobody hashes the stored bytes")),
    }
}

fn piped<T>(
    hashed: Hashed,
    failure: &Failure,
    body: impl FnOnce(Stored) -> T,
) -> io::Result<(T, Sum)> {
    thread::scope(|scope| {
        let (full, pieces) = sync_channel(PIECES);
        let (used, empty) = channel();
        let hashing = scope.spawn(move || hashed.pump(&full, &empty));
        let (current, failure) = (Vec::new(), failure.clone());
        let stored = Stored::new(Flow::Piped(Pipe { pieces, used, current, at: 0, failure }));
        let value = body(stored.clone());
        stored.detach();
        match hashing.join() {
            Ok(sum) => Ok((value, sum?)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
