//! An object's bytes in order, for a blocking reader.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use lifeboat_archive::Source;
use lifeboat_core::Fault;
use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
};

use crate::store::ObjectStore;

/// Bytes that are asked for at once. A range that fails is asked for again by itself, so a restore
/// of hours does not hang on one connection.
const RANGE: u64 = 8 << 20;
/// Ranges on their way at once.
const AHEAD: usize = 3;

/// Why an object's bytes end early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// There is no such object, or it is shorter than its manifest says.
    #[error("{0}")]
    Missing(String),
    /// It could not be obtained, which says nothing of it.
    #[error("{0}")]
    Fault(Fault),
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct ObjectReader {
    ranges: mpsc::Receiver<Result<Bytes, Broken>>,
    current: Bytes,
}

/// Reads an object of `size` bytes from `begin` on. The reader is for a thread that may block.
pub(crate) fn open<S: ObjectStore>(
    runtime: &Handle,
    store: &Arc<S>,
    key: String,
    begin: u64,
    size: u64,
) -> ObjectReader {
    let (sender, ranges) = mpsc::channel(1);
    let store = Arc::clone(store);
    runtime.spawn(async move {
        let mut coming = JoinSet::new();
        let mut arrived = BTreeMap::new();
        let (mut asked, mut given) = (begin, begin);
        while given < size {
            while asked < size && coming.len() + arrived.len() < AHEAD {
                let range = asked..(asked + RANGE).min(size);
                asked = range.end;
                let (store, key) = (Arc::clone(&store), key.clone());
                coming.spawn(async move { (range.clone(), fetch(&*store, &key, range).await) });
            }
            if let Some(bytes) = arrived.remove(&given) {
                given = (given + RANGE).min(size);
                let broken = Result::is_err(&bytes);
                // The reader may have enough, and be gone.
                if sender.send(bytes).await.is_err() || broken {
                    return;
                }
                continue;
            }
            match coming.join_next().await {
                Some(Ok((range, bytes))) => drop(arrived.insert(range.start, bytes)),
                Some(Err(error)) => {
                    let fault = Fault::needs_human(format!("a read's task failed: {error}"));
                    drop(sender.send(Err(Broken::Fault(fault))).await);
                    return;
                }
                None => return,
            }
        }
    });
    ObjectReader { ranges, current: Bytes::new() }
}

async fn fetch<S: ObjectStore>(
    store: &S,
    key: &str,
    range: std::ops::Range<u64>,
) -> Result<Bytes, Broken> {
    let wanted = range.end - range.start;
    match store.get(key, Some(range.clone())).await {
        Ok(Some(bytes)) if bytes.len() as u64 == wanted => Ok(bytes),
        Ok(Some(bytes)) => Err(Broken::Missing(format!(
            "the object ends at byte {}",
            range.start + bytes.len() as u64
        ))),
        Ok(None) => Err(Broken::Missing("the object is missing".to_owned())),
        Err(fault) => Err(Broken::Fault(fault)),
    }
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.ranges.blocking_recv() {
                Some(Ok(bytes)) => self.current = bytes,
                Some(Err(broken)) => return Err(io::Error::other(broken)),
                None => return Ok(0),
            }
        }
        let len = self.current.len().min(into.len());
        if let Some(into) = into.get_mut(..len) {
            self.current.copy_to_slice(into);
        }
        Ok(len)
    }
}

/// An object that can be opened at any offset, for the readers of formats.
#[derive(Debug)]
pub(crate) struct ObjectSource<S> {
    runtime: Handle,
    store: Arc<S>,
    key: String,
    size: u64,
}

impl<S: ObjectStore> ObjectSource<S> {
    /// An object of this size. Must be called inside a tokio runtime.
    pub(crate) fn new(store: Arc<S>, key: String, size: u64) -> Self {
        Self { runtime: Handle::current(), store, key, size }
    }
}

impl<S: ObjectStore> Source for ObjectSource<S> {
    fn len(&self) -> u64 {
        self.size
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let key = self.key.clone();
        Ok(Box::new(open(&self.runtime, &self.store, key, offset, self.size)))
    }

    fn is_cheap_to_reopen(&self) -> bool {
        false
    }
}

/// Runs blocking work on another thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    spawn_blocking(work)
        .await
        .map_err(|error| Fault::needs_human(format!("a thread failed: {error}")))
}
