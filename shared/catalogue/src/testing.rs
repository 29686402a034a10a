//! A bucket in memory for tests here and in the functions' crates: it keeps S3's rules for listings,
//! versions, locks and legal holds, counts its calls, and fails where it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use jiff::Timestamp;
use lifeboat_core::Fault;

use crate::store::{
    Content, Head, LegalHolds, Marker, Object, Objects, Obstacle, Page, Shared, Undeleted, Version,
    VersionPage, Versions,
};

/// Keys of one answer, as S3 gives them.
const PAGE: usize = 1000;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It fails and has no effect.
    Before,
    /// It takes effect, and its answer is lost.
    AnswerLost,
}

/// A versioned bucket with object lock.
#[derive(Debug, Default)]
pub struct MemoryBucket {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The versions of each key, the newest last.
    keys: BTreeMap<String, Vec<Stored>>,
    written: u64,
    now: Timestamp,
    calls: Vec<&'static str>,
    failing: BTreeMap<usize, Failure>,
    locked: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Stored {
    id: String,
    /// None is a mark of deletion.
    body: Option<Bytes>,
    modified: Timestamp,
    held: bool,
}

impl State {
    fn put(&mut self, key: &str, body: Option<Bytes>) {
        self.written += 1;
        let id = format!("v{}", self.written);
        let stored = Stored { id, body, modified: self.now, held: false };
        self.keys.entry(key.to_owned()).or_default().push(stored);
    }

    fn current(&self, key: &str) -> Option<(&Stored, &Bytes)> {
        let newest = self.keys.get(key)?.last()?;
        Some((newest, newest.body.as_ref()?))
    }
}

impl MemoryBucket {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls so far, by name: `list`, `get`, `put`, `head`, `range`, `versions`, `delete`,
    /// `hold`.
    pub fn calls(&self) -> Vec<&'static str> {
        self.state().calls.clone()
    }

    /// Forgets the calls, and the failures that have not happened.
    pub fn heal(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.failing.clear();
    }

    /// Makes the call that comes after `after` more calls go wrong.
    pub fn fail(&self, after: usize, failure: Failure) {
        let mut state = self.state();
        let place = state.calls.len() + after;
        state.failing.insert(place, failure);
    }

    /// The moment at which objects are written from now on.
    pub fn at(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Writes an object.
    pub fn force(&self, key: &str, body: impl Into<Bytes>) {
        self.state().put(key, Some(body.into()));
    }

    /// Deletes an object as a plain deletion does: a mark, with its versions behind it.
    pub fn mark_deleted(&self, key: &str) {
        self.state().put(key, None);
    }

    /// Lets object lock keep every version of this key.
    pub fn lock(&self, key: &str) {
        self.state().locked.insert(key.to_owned());
    }

    /// The content of an object.
    pub fn content(&self, key: &str) -> Option<Bytes> {
        self.state().current(key).map(|(_, body)| body.clone())
    }

    /// The keys of the objects that a listing shows.
    pub fn keys(&self) -> Vec<String> {
        let state = self.state();
        state.keys.keys().filter(|key| state.current(key).is_some()).cloned().collect()
    }

    /// The keys that have a version of any kind.
    pub fn keys_with_versions(&self) -> Vec<String> {
        self.state().keys.keys().cloned().collect()
    }

    /// The keys whose newest version is under a legal hold.
    pub fn held(&self) -> Vec<String> {
        let state = self.state();
        let held = state.keys.iter().filter(|(_, all)| all.last().is_some_and(|one| one.held));
        held.map(|(key, _)| key.clone()).collect()
    }

    /// Runs `work` as one call, unless the call is to go wrong.
    fn call<T>(&self, name: &'static str, work: impl FnOnce(&mut State) -> T) -> Result<T, Fault> {
        let mut state = self.state();
        let place = state.calls.len();
        state.calls.push(name);
        match state.failing.remove(&place) {
            Some(Failure::Before) => Err(Fault::transient("the call failed")),
            Some(Failure::AnswerLost) => {
                work(&mut state);
                Err(Fault::transient("the answer was lost"))
            }
            None => Ok(work(&mut state)),
        }
    }
}

impl Objects for MemoryBucket {
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Fault> {
        self.call("list", |state| {
            let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
            let keys = state.keys.range(from.to_owned()..).map(|(key, _)| key);
            let keys = keys.take_while(|key| key.starts_with(prefix));
            let keys = keys.filter(|key| after.is_none_or(|after| key.as_str() > after));
            let mut objects = keys.filter_map(|key| {
                let (stored, body) = state.current(key)?;
                let size_bytes = u64::try_from(body.len()).ok()?;
                Some(Object { key: key.clone(), modified: stored.modified, size_bytes })
            });
            let page = objects.by_ref().take(PAGE).collect();
            Page { objects: page, more: objects.next().is_some() }
        })
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.call("get", |state| state.current(key).map(|(_, body)| body.to_vec()))
    }

    async fn put(&self, key: &str, body: Vec<u8>) -> Result<(), Fault> {
        self.call("put", |state| state.put(key, Some(body.into())))
    }
}

impl Shared for MemoryBucket {
    async fn look(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        self.call("get", |state| {
            state.current(key).map(|(stored, body)| (body.to_vec(), stored.id.clone()))
        })
    }

    async fn replace(
        &self,
        key: &str,
        etag: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Option<String>, Fault> {
        self.call("put", |state| {
            if state.current(key).map(|(stored, _)| stored.id.as_str()) != etag {
                return None;
            }
            state.put(key, Some(body.into()));
            state.current(key).map(|(stored, _)| stored.id.clone())
        })
    }
}

impl Content for MemoryBucket {
    async fn head(&self, key: &str) -> Result<Option<Head>, Fault> {
        self.call("head", |state| {
            let (stored, body) = state.current(key)?;
            let size_bytes = u64::try_from(body.len()).ok()?;
            Some(Head { size_bytes, etag: stored.id.clone(), sha256: None })
        })
    }

    async fn range(&self, key: &str, etag: &str, offset: u64, len: u64) -> Result<Bytes, Fault> {
        self.call("range", |state| {
            let (_, body) = state.current(key).filter(|(stored, _)| stored.id == etag)?;
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(len).ok()?)?;
            (end <= body.len()).then(|| body.slice(start..end))
        })?
        .ok_or_else(|| Fault::transient("the object changed while it was read"))
    }
}

impl Versions for MemoryBucket {
    async fn versions(&self, prefix: &str, after: Option<&Marker>) -> Result<VersionPage, Fault> {
        self.call("versions", |state| {
            let from = after.map(|marker| marker.key.as_str()).filter(|key| *key > prefix);
            let all = state.keys.range(from.unwrap_or(prefix).to_owned()..);
            let all = all.take_while(|(key, _)| key.starts_with(prefix));
            let all = all.flat_map(|(key, versions)| {
                versions.iter().rev().map(move |stored| Version {
                    key: key.clone(),
                    id: stored.id.clone(),
                    size_bytes: stored.body.as_ref().map_or(0, |body| body.len() as u64),
                    is_delete_marker: stored.body.is_none(),
                })
            });
            let mut passed = after.is_none();
            let mut rest = all.filter(|version| {
                let Some(marker) = after else { return true };
                if version.key == marker.key {
                    let was = passed;
                    passed |= marker.version.as_ref() == Some(&version.id);
                    return was;
                }
                version.key > marker.key
            });
            let versions: Vec<Version> = rest.by_ref().take(PAGE).collect();
            let more = rest.next().is_some();
            let last = versions.last().filter(|_| more);
            let next =
                last.map(|last| Marker { key: last.key.clone(), version: Some(last.id.clone()) });
            VersionPage { versions, next }
        })
    }

    async fn delete(&self, versions: &[Version]) -> Result<Vec<Undeleted>, Fault> {
        if versions.len() > PAGE {
            return Err(Fault::needs_human("MalformedXML: more than 1000 keys"));
        }
        self.call("delete", |state| {
            let mut left = Vec::new();
            for version in versions {
                let Some(all) = state.keys.get_mut(&version.key) else { continue };
                let kept = state.locked.contains(&version.key);
                let protects = |stored: &Stored| stored.body.is_some() && (kept || stored.held);
                if all.iter().any(|stored| stored.id == version.id && protects(stored)) {
                    left.push(Undeleted {
                        key: version.key.clone(),
                        id: version.id.clone(),
                        obstacle: Obstacle::Locked,
                        message: "AccessDenied: the object is protected by object lock".to_owned(),
                    });
                    continue;
                }
                all.retain(|stored| stored.id != version.id);
                if all.is_empty() {
                    state.keys.remove(&version.key);
                }
            }
            left
        })
    }
}

impl LegalHolds for MemoryBucket {
    async fn hold(&self, key: &str, on: bool) -> Result<(), Fault> {
        self.call("hold", |state| {
            let newest = state.keys.get_mut(key).and_then(|all| all.last_mut());
            match newest.filter(|stored| stored.body.is_some()) {
                Some(stored) => {
                    stored.held = on;
                    Ok(())
                }
                None if on => Err(Fault::invalid("there is no such object")),
                None => Ok(()),
            }
        })?
    }
}
