//! A store in memory for tests here and in the functions' crates: it keeps S3's rules for
//! conditional writes, counts its calls, and fails where it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    future,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lifeboat_core::{Fault, Region, ledger::ControlRecord};

use crate::store::{Bucket, Condition, ETag, Object, Put, Store};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It fails and has no effect.
    Before,
    /// It takes effect, and its answer is lost.
    AnswerLost,
}

/// The buckets of all regions.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<(String, String), Object>,
    versions: u64,
    calls: usize,
    failing: BTreeMap<usize, Failure>,
    dark: BTreeSet<Region>,
    rivals: BTreeMap<usize, (String, String, Vec<u8>)>,
}

impl State {
    fn put(&mut self, bucket: &str, key: &str, body: Vec<u8>) -> ETag {
        self.versions += 1;
        let etag = ETag(format!("\"{}\"", self.versions));
        let object = Object { body, etag: etag.clone() };
        self.objects.insert((bucket.to_owned(), key.to_owned()), object);
        etag
    }
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// Makes the call that comes after `after` more calls go wrong.
    pub fn fail(&self, after: usize, failure: Failure) {
        let mut state = self.state();
        let place = state.calls + after;
        state.failing.insert(place, failure);
    }

    /// Forgets the failures that have not happened.
    pub fn heal(&self) {
        self.state().failing.clear();
    }

    /// Lets a rival write an object just before the call that comes after `after` more calls.
    pub fn rival(&self, after: usize, bucket: &str, key: &str, body: Vec<u8>) {
        let mut state = self.state();
        let place = state.calls + after;
        state.rivals.insert(place, (bucket.to_owned(), key.to_owned(), body));
    }

    /// Makes every call to a region hang from now on, as a dark region does.
    pub fn darken(&self, region: &Region) {
        self.state().dark.insert(region.clone());
    }

    /// Ends the darkness of a region.
    pub fn light(&self, region: &Region) {
        self.state().dark.remove(region);
    }

    /// Puts an object there, whatever was there.
    pub fn force(&self, bucket: &str, key: &str, body: Vec<u8>) {
        self.state().put(bucket, key, body);
    }

    /// Puts an app's register into a bucket.
    pub fn seed(&self, bucket: &str, record: &ControlRecord) {
        let body = serde_json::to_vec(record).unwrap_or_default();
        self.force(bucket, &format!("control/{}.json", record.app), body);
    }

    /// An app's register as a bucket holds it.
    pub fn record(&self, bucket: &str, app: &str) -> Option<ControlRecord> {
        let place = (bucket.to_owned(), format!("control/{app}.json"));
        self.state().objects.get(&place).and_then(|o| serde_json::from_slice(&o.body).ok())
    }

    /// Everything that is stored, to compare before and after.
    pub fn contents(&self) -> BTreeMap<(String, String), Vec<u8>> {
        let state = self.state();
        state.objects.iter().map(|(place, object)| (place.clone(), object.body.clone())).collect()
    }

    /// Runs `work` as one call, unless the call is to go wrong.
    async fn call<T>(
        &self,
        bucket: &Bucket,
        work: impl FnOnce(&mut State) -> T,
    ) -> Result<T, Fault> {
        if self.state().dark.contains(&bucket.region) {
            return future::pending().await;
        }
        let mut state = self.state();
        let place = state.calls;
        state.calls += 1;
        if let Some((bucket, key, body)) = state.rivals.remove(&place) {
            state.put(&bucket, &key, body);
        }
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

impl Store for MemoryStore {
    async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Object>, Fault> {
        let place = (bucket.name.clone(), key.to_owned());
        self.call(bucket, |state| state.objects.get(&place).cloned()).await
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &str,
        body: Vec<u8>,
        condition: &Condition,
    ) -> Result<Put, Fault> {
        let place = (bucket.name.clone(), key.to_owned());
        self.call(bucket, |state| {
            let holds = match (condition, state.objects.get(&place)) {
                (Condition::Absent, found) => found.is_none(),
                (Condition::Unchanged(etag), Some(found)) => found.etag == *etag,
                (Condition::Unchanged(_), None) => false,
            };
            if holds { Put::Written(state.put(&bucket.name, key, body)) } else { Put::Refused }
        })
        .await
    }

    async fn list(&self, bucket: &Bucket, prefix: &str) -> Result<Vec<String>, Fault> {
        self.call(bucket, |state| {
            let keys = state.objects.keys();
            keys.filter(|(name, key)| *name == bucket.name && key.starts_with(prefix))
                .map(|(_, key)| key.clone())
                .collect()
        })
        .await
    }
}
