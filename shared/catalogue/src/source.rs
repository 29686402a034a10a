//! An object as the archive readers want it: bytes in order, from any offset.
//!
//! The readers block, and S3 is asked asynchronously, so a reader runs on a thread of its own and
//! takes blocks from a task that asks for the next ranges ahead of it. Ranges are asked for in
//! parallel, because one connection does not fill the network, and handed over in order.
//!
//! Memory: [`AHEAD`] ranges on their way, one waiting to be taken and one being read, of [`RANGE`]
//! bytes each: 24 MiB, and as much again for a moment while a range is put together.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Buf, Bytes};
use lifeboat_archive::{Options, Report, Source, SourceError};
use lifeboat_core::Fault;
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};

use crate::store::{Content, Head};

/// Bytes of one range: large enough that the first byte's latency (some 30 ms) is a small part of
/// its transfer, small enough that the ranges in flight fit the smallest function.
pub const RANGE: u64 = 4 << 20;
/// Ranges that are on their way at once.
pub const AHEAD: usize = 4;

/// One object, as it was when it was looked at.
#[derive(Debug)]
pub struct ObjectSource<B> {
    bucket: Arc<B>,
    key: String,
    head: Head,
    runtime: Handle,
    stopped: Arc<AtomicBool>,
}

impl<B> ObjectSource<B> {
    /// The object; its ranges are fetched on the current runtime.
    pub fn new(bucket: Arc<B>, key: String, head: Head) -> Self {
        Self { bucket, key, head, runtime: Handle::current(), stopped: Arc::default() }
    }

    /// Ends every reader of it when it is dropped. A thread that blocks cannot be dropped itself.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stopped))
    }
}

/// See [`ObjectSource::stopper`].
#[derive(Debug)]
pub struct Stopper(Arc<AtomicBool>);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<B: Content> Source for ObjectSource<B> {
    fn len(&self) -> u64 {
        self.head.size_bytes
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn io::Read + Send>> {
        let (give, blocks) = mpsc::channel(1);
        let (bucket, key, head) = (Arc::clone(&self.bucket), self.key.clone(), self.head.clone());
        let left = head.size_bytes.saturating_sub(offset);
        let fetching = self.runtime.spawn(fetch(bucket, key, head, offset, give));
        let stopped = Arc::clone(&self.stopped);
        Ok(Box::new(Blocks { blocks, block: Bytes::new(), left, stopped, fetching }))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        false
    }
}

/// Gives the object's bytes from `offset` on, in order, until nobody takes them any more.
async fn fetch<B: Content>(
    bucket: Arc<B>,
    key: String,
    head: Head,
    mut offset: u64,
    give: mpsc::Sender<Result<Bytes, Fault>>,
) {
    let mut coming: VecDeque<Range> = VecDeque::new();
    loop {
        while coming.len() < AHEAD && offset < head.size_bytes {
            let len = RANGE.min(head.size_bytes - offset);
            let (bucket, key, etag) = (Arc::clone(&bucket), key.clone(), head.etag.clone());
            let range = tokio::spawn(async move { bucket.range(&key, &etag, offset, len).await });
            coming.push_back(Range(range));
            offset += len;
        }
        let Some(mut next) = coming.pop_front() else { return };
        let block = (&mut next.0).await.unwrap_or_else(|_| {
            Err(Fault::needs_human("the task that reads a range panicked, which is a defect"))
        });
        let failed = block.is_err();
        if give.send(block).await.is_err() || failed {
            return;
        }
    }
}

/// A range that is on its way; it is not waited for any more when it is dropped.
struct Range(JoinHandle<Result<Bytes, Fault>>);

impl Drop for Range {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The reader's end.
struct Blocks {
    blocks: mpsc::Receiver<Result<Bytes, Fault>>,
    block: Bytes,
    /// Bytes that were not received yet. The end of the blocks before them is not the object's.
    left: u64,
    stopped: Arc<AtomicBool>,
    fetching: JoinHandle<()>,
}

impl io::Read for Blocks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        if self.block.is_empty() {
            match self.blocks.blocking_recv() {
                Some(Ok(block)) => {
                    self.left = self.left.saturating_sub(block.len() as u64);
                    self.block = block;
                }
                // Not a kind that a format's damage could have.
                Some(Err(fault)) => return Err(io::Error::other(fault)),
                None if self.left == 0 => return Ok(0),
                None => return Err(io::Error::other("nobody fetches it any more")),
            }
        }
        let len = into.len().min(self.block.len());
        if let Some(into) = into.get_mut(..len) {
            self.block.copy_to_slice(into);
        }
        Ok(len)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

/// Reads one object to its end, and says what is in it.
///
/// # Errors
/// As [`with`].
pub async fn read<B: Content>(
    key: String,
    source: ObjectSource<B>,
    options: Options,
) -> Result<Report, Fault> {
    with(key, source, move |source| lifeboat_archive::read(source, &options)).await
}

/// Does work that blocks on an object, on a thread of its own.
///
/// # Errors
/// What kept the object from being read, which says nothing of the object.
pub async fn with<B: Content, T: Send + 'static>(
    key: String,
    source: ObjectSource<B>,
    work: impl FnOnce(&ObjectSource<B>) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, Fault> {
    let _stopper = source.stopper();
    match tokio::task::spawn_blocking(move || work(&source)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(fault_of(&key, &error)),
        Err(_) => Err(Fault::needs_human(format!(
            "the reader of {key} panicked, which is a defect; the line before this one in the log \
             says where"
        ))),
    }
}

/// The fault that kept a source from being read.
fn fault_of(key: &str, error: &SourceError) -> Fault {
    let told = error.cause.get_ref().and_then(|inner| inner.downcast_ref::<Fault>());
    told.cloned().unwrap_or_else(|| {
        Fault::transient(format!("read {key} at offset {}: {}", error.offset, error.cause))
    })
}
