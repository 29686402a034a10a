//! The recovery log: one object per entry, each written only where none is.

use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, IncidentId,
    recovery_log::{self, Entry, Fact},
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    Ledger,
    store::{Condition, Put, Store},
};

/// How many writers may be faster before a call gives up. More than write at once: the steps of a
/// recovery that run in parallel.
const RACES: u32 = 5;

pub(crate) fn prefix(app: &AppName, incident: &IncidentId) -> String {
    format!("log/{app}/{incident}/")
}

fn key(app: &AppName, incident: &IncidentId, sequence: u32) -> String {
    format!("{}{sequence:06}.json", prefix(app, incident))
}

impl<S: Store> Ledger<S> {
    /// The entries of a recovery's log, in order. They are not verified here: see
    /// [`recovery_log::verify`].
    ///
    /// # Errors
    /// When the own region does not answer, or an entry cannot be read.
    pub async fn entries(&self, app: &AppName, incident: &IncidentId) -> Result<Vec<Entry>, Fault> {
        let bucket = self.bucket(&self.own);
        let mut reads = JoinSet::new();
        for key in self.store.list(&bucket, &prefix(app, incident)).await? {
            let (store, bucket) = (Arc::clone(&self.store), bucket.clone());
            reads.spawn(async move {
                let object = store.get(&bucket, &key).await?;
                let body = object.map(|object| object.body).unwrap_or_default();
                serde_json::from_slice::<Entry>(&body).map_err(|error| {
                    let place = format!("s3://{}/{key}", bucket.name);
                    Fault::needs_human(format!("the log entry {place} cannot be read: {error}"))
                })
            });
        }
        let mut entries = Vec::with_capacity(reads.len());
        while let Some(read) = reads.join_next().await {
            let read = read.map_err(|error| Fault::needs_human(format!("a read died: {error}")))?;
            entries.push(read?);
        }
        entries.sort_unstable_by_key(|entry| entry.sequence);
        Ok(entries)
    }

    /// Appends a fact, or returns the entry that told it before: a fact of the same kind, body and
    /// epoch is in the log once, however often it is appended.
    ///
    /// # Errors
    /// `Transient` when other writers were faster again and again, or the failure of the store;
    /// append again.
    pub async fn append(&self, fact: Fact, now: Timestamp) -> Result<Entry, Fault> {
        let fact = Fact { body: settled(fact.body), ..fact };
        let bucket = self.bucket(&self.own);
        for _ in 0..RACES {
            let entries = self.entries(&fact.app, &fact.incident).await?;
            if let Some(told) = told(&entries, &fact) {
                return Ok(told.clone());
            }
            let entry = recovery_log::append(entries.last(), fact.clone(), now);
            let body = serde_json::to_vec(&entry)
                .map_err(|error| Fault::needs_human(format!("the entry is not JSON: {error}")))?;
            let key = key(&fact.app, &fact.incident, entry.sequence);
            match self.store.put(&bucket, &key, body, &Condition::Absent).await {
                Ok(Put::Written(_)) => return Ok(entry),
                // Someone else took the place, or an attempt whose answer was lost did: the next
                // round tells which.
                Ok(Put::Refused) => {}
                Err(fault) => {
                    let entries = self.entries(&fact.app, &fact.incident).await;
                    return match entries {
                        Ok(entries) => told(&entries, &fact).cloned().ok_or(fault),
                        Err(_) => Err(fault),
                    };
                }
            }
        }
        Err(Fault::transient(format!(
            "{RACES} other entries of recovery {} were faster; append again",
            fact.incident
        )))
    }
}

fn told<'a>(entries: &'a [Entry], fact: &Fact) -> Option<&'a Entry> {
    entries.iter().find(|entry| {
        entry.kind == fact.kind && entry.epoch == fact.epoch && entry.body == fact.body
    })
}

/// `body` as it will be read again. Reading a number with a fraction can end one unit in its last
/// place beside what was written, which would break the entry's hash; a few rounds of writing and
/// reading settle it.
fn settled(mut body: Value) -> Value {
    for _ in 0..4 {
        match serde_json::from_str::<Value>(&body.to_string()) {
            Ok(read) if read != body => body = read,
            Ok(_) | Err(_) => break,
        }
    }
    body
}
