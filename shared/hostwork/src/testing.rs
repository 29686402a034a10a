//! A bucket in memory for tests: it keeps S3's rules, counts its calls, and fails where it is told
//! to.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lifeboat_core::Fault;
use sha2::{Digest, Sha256};

use crate::store::{ObjectStore, Part, Put};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It fails and has no effect.
    Before,
    /// It takes effect, and its answer is lost.
    AnswerLost,
}

/// One bucket.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, (Bytes, String)>,
    uploads: BTreeMap<String, BTreeMap<i32, Bytes>>,
    calls: usize,
    begun: usize,
    failing: BTreeMap<usize, Failure>,
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// Makes the call after `after` more calls go wrong.
    pub fn fail(&self, after: usize, failure: Failure) {
        let mut state = self.state();
        let at = state.calls + after;
        state.failing.insert(at, failure);
    }

    /// Forgets the failures that have not happened.
    pub fn heal(&self) {
        self.state().failing.clear();
    }

    /// The keys of its objects, in order.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// An object's bytes.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.state().objects.get(key).map(|(bytes, _)| bytes.clone())
    }

    /// Puts an object, over whatever is there.
    pub fn set(&self, key: &str, bytes: Bytes) {
        self.state().objects.insert(key.to_owned(), (bytes, String::new()));
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) {
        self.state().objects.remove(key);
    }

    /// Counts a call, and lets it take effect unless it is to fail before.
    fn call<T>(&self, effect: impl FnOnce(&mut State) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut state = self.state();
        let at = state.calls;
        state.calls += 1;
        let failing = state.failing.remove(&at);
        match failing {
            Some(Failure::Before) => Err(Fault::transient("injected: no effect")),
            Some(Failure::AnswerLost) => {
                drop(effect(&mut state));
                Err(Fault::transient("injected: the answer is lost"))
            }
            None => effect(&mut state),
        }
    }
}

impl State {
    fn put(&mut self, key: &str, body: Bytes, run: &str) -> Put {
        match self.objects.get(key) {
            Some((_, by)) if by == run => Put::Written,
            Some(_) => Put::Exists,
            None => {
                self.objects.insert(key.to_owned(), (body, run.to_owned()));
                Put::Written
            }
        }
    }
}

impl ObjectStore for MemoryStore {
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Fault> {
        self.call(|state| {
            let Some((bytes, _)) = state.objects.get(key) else { return Ok(None) };
            let Some(range) = range else { return Ok(Some(bytes.clone())) };
            let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            Ok(Some(bytes.slice(at(range.start)..at(range.end))))
        })
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Fault> {
        self.call(|state| Ok(state.objects.get(key).map(|(bytes, _)| bytes.len() as u64)))
    }

    async fn any_below(&self, prefix: &str) -> Result<bool, Fault> {
        self.call(|state| Ok(state.objects.keys().any(|key| key.starts_with(prefix))))
    }

    async fn keys(&self, prefix: &str, after: &str) -> Result<Vec<String>, Fault> {
        self.call(|state| {
            let below = state.objects.keys().filter(|key| key.starts_with(prefix));
            Ok(below.filter(|key| key.as_str() > after).cloned().collect())
        })
    }

    async fn put(&self, key: &str, body: Bytes, run: &str) -> Result<Put, Fault> {
        self.call(|state| Ok(state.put(key, body, run)))
    }

    async fn begin(&self, key: &str, _: &str) -> Result<String, Fault> {
        self.call(|state| {
            state.begun += 1;
            let upload = format!("{key}#{}", state.begun);
            state.uploads.insert(upload.clone(), BTreeMap::new());
            Ok(upload)
        })
    }

    async fn part(
        &self,
        _: &str,
        upload: &str,
        number: i32,
        body: Bytes,
        sha256: [u8; 32],
    ) -> Result<Part, Fault> {
        self.call(|state| {
            let known: [u8; 32] = Sha256::digest(&body).into();
            let parts = state.uploads.get_mut(upload);
            let parts = parts.ok_or_else(|| Fault::needs_human("there is no such upload"))?;
            if known != sha256 {
                return Err(Fault::needs_human("the part is not what its checksum says"));
            }
            parts.insert(number, body);
            Ok(Part { number, etag: number.to_string(), sha256 })
        })
    }

    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[Part],
        run: &str,
    ) -> Result<Put, Fault> {
        self.call(|state| {
            let Some(taken) = state.uploads.remove(upload) else {
                return Err(Fault::needs_human("there is no such upload"));
            };
            let mut whole = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let in_order = i32::try_from(at + 1).is_ok_and(|number| number == part.number);
                match taken.get(&part.number).filter(|_| in_order) {
                    // S3 refuses parts below 5 MiB, except the last.
                    Some(bytes) if bytes.len() >= 5 << 20 || at + 1 == parts.len() => {
                        whole.extend_from_slice(bytes);
                    }
                    Some(_) => return Err(Fault::needs_human("a part is too small")),
                    None => return Err(Fault::needs_human("a part is not there")),
                }
            }
            Ok(state.put(key, Bytes::from(whole), run))
        })
    }

    async fn abort(&self, _: &str, upload: &str) -> Result<(), Fault> {
        self.call(|state| {
            state.uploads.remove(upload);
            Ok(())
        })
    }
}
