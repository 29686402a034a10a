//! The control record and the recovery log, on S3.
//!
//! Each region has a bucket `<prefix>-<region>` with the same layout: `control/<app>.json` is the
//! control record, `log/<app>/<incident>/<sequence>.json` are the entries of a recovery's log. What
//! may be written is decided by [`lifeboat_core::ledger`] and [`lifeboat_core::recovery_log`]; this
//! crate keeps two writers from both succeeding, and a lost answer from being mistaken for a
//! failure.
//!
//! The order that holds the invariants: a record is written in the own region first, conditionally
//! on what was read there, and only then published to the peers, each write conditional again.
//! A peer may be dark, and a dark region hangs, so a peer is never waited for longer than
//! [`Ledger::peer_deadline`] and never fails a call.
//!
//! The function's role needs `s3:GetObject` and `s3:PutObject` on `control/*` and `log/*`, and
//! `s3:ListBucket`, without which S3 answers `AccessDenied` where it means that there is no object.

mod log;
mod record;
mod s3;
mod store;
#[doc(hidden)]
pub mod testing;

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use lifeboat_core::{
    AppName, ErrorName, Fault, Region,
    contract::Authority,
    ledger::{self, ControlRecord, Holder},
    round_trip::RoundTrip,
};
use tokio::task::JoinSet;

use record::{Found, control_key, copy_record, read_record, write_record};

pub use s3::S3Store;
pub use store::{Bucket, Condition, ETag, Object, Put, Store};

/// What a peer is told with: a read and a write, on the connection that the read just before left
/// behind.
const PUBLISH_REQUESTS: u32 = 2;

/// The ledger as one region sees it.
#[derive(Debug)]
pub struct Ledger<S = S3Store> {
    store: Arc<S>,
    prefix: String,
    own: Region,
    peers: Vec<Region>,
    round_trip: RoundTrip,
}

/// What [`Ledger::newest`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The newest record of all that could be read; none when no region that answered has one.
    pub newest: Option<ControlRecord>,
    /// The own region's record, and what a write must be conditional on.
    pub own: Option<(ControlRecord, ETag)>,
    /// The peers that did not answer, and why.
    pub unreachable: Vec<(Region, String)>,
}

/// What [`Ledger::reachable`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachable {
    /// The own region's record, if it could be read.
    pub own: Option<ControlRecord>,
    /// The peers' records that could be read.
    pub others: Vec<ControlRecord>,
    /// The regions that did not answer, the own one perhaps among them.
    pub unreachable: Vec<Region>,
}

impl Ledger<S3Store> {
    /// The ledger in the buckets `<prefix>-<region>`, for a function that runs in `own`.
    #[must_use]
    pub fn new(config: &SdkConfig, prefix: String, own: Region, peers: Vec<Region>) -> Self {
        Self::over(Arc::new(S3Store::new(config, own.clone())), prefix, own, peers)
    }
}

impl<S: Store> Ledger<S> {
    /// The ledger over any store. The own region is never a peer of itself.
    #[must_use]
    pub fn over(store: Arc<S>, prefix: String, own: Region, peers: Vec<Region>) -> Self {
        let peers = peers.into_iter().filter(|peer| *peer != own).collect();
        Self { store, prefix, own, peers, round_trip: RoundTrip::default() }
    }

    /// The same with another round trip to the peers than [`RoundTrip::DEFAULT_MS`]; limits on calls
    /// to them follow from it.
    #[must_use]
    pub fn over_a_round_trip(mut self, round_trip: RoundTrip) -> Self {
        self.round_trip = round_trip;
        self
    }

    /// How long a peer may take to be read: a call that has to connect first.
    #[must_use]
    pub const fn peer_deadline(&self) -> Duration {
        self.round_trip.cold_call()
    }

    /// How long a peer may take to be told. A recovery waits for it, and the connection is open: a
    /// peer is told only when it was read just before.
    fn publish_deadline(&self) -> Duration {
        self.round_trip.warm_call() * PUBLISH_REQUESTS
    }

    /// Where a recovery's log is in the own region, as `s3://bucket/prefix`.
    #[must_use]
    pub fn log_location(&self, app: &AppName, incident: &lifeboat_core::IncidentId) -> String {
        format!("s3://{}/{}", self.bucket(&self.own).name, log::prefix(app, incident))
    }

    /// The newest record that this region can see. The peers are read at the same time, for at most
    /// [`Ledger::peer_deadline`]; one that does not answer is named and not an error.
    ///
    /// # Errors
    /// When the own region does not answer, or holds a record that cannot be read.
    pub async fn newest(&self, app: &AppName) -> Result<Seen, Fault> {
        let reads = self.read_each(self.peers.iter(), app);
        let own = self.own_record(app).await?;
        let mut records: Vec<ControlRecord> =
            own.iter().map(|(record, _)| record.clone()).collect();
        let mut unreachable = Vec::new();
        for (region, read) in finished(reads).await {
            match read {
                Ok(found) => records.extend(found.map(|(record, _)| record)),
                Err(fault) => unreachable.push((region, fault.message)),
            }
        }
        Ok(Seen { newest: ledger::newest(&records).cloned(), own, unreachable })
    }

    /// Whether every peer's ledger can be read, within [`Ledger::peer_deadline`].
    pub async fn peers_answer(&self, app: &AppName) -> bool {
        let answers = finished(self.read_each(self.peers.iter(), app)).await;
        // A read that panicked has no answer, and must not count as one.
        answers.len() == self.peers.len() && answers.iter().all(|(_, read)| read.is_ok())
    }

    /// The records of every region that answers within [`Ledger::peer_deadline`], the own region treated as
    /// any other: what a host asks, which must go on judging when its own region is dark.
    pub async fn reachable(&self, app: &AppName) -> Reachable {
        let reads = self.read_each(self.peers.iter().chain([&self.own]), app);
        let mut seen = Reachable { own: None, others: Vec::new(), unreachable: Vec::new() };
        for (region, read) in finished(reads).await {
            match read {
                Ok(None) => {}
                Ok(Some((record, _))) if region == self.own => seen.own = Some(record),
                Ok(Some((record, _))) => seen.others.push(record),
                Err(_) => seen.unreachable.push(region),
            }
        }
        seen
    }

    /// Writes the record in the own region, on the condition that the record there is still the one
    /// that was read (`expected`; none: that there is none). A write that took effect although its
    /// answer was lost is found by reading again, and is a success.
    ///
    /// # Errors
    /// `Transient` when another writer was faster: read again and decide again. Otherwise the
    /// failure of the write, of which it is not known whether it will yet take effect.
    pub async fn write(
        &self,
        record: &ControlRecord,
        expected: Option<&ETag>,
    ) -> Result<ETag, Fault> {
        let bucket = self.bucket(&self.own);
        write_record(self.store.as_ref(), &bucket, record, expected).await
    }

    /// Copies the record to every peer whose own is older, all at the same time, for at most
    /// two requests on an open connection. Best effort: a peer that is dark learns of the record when it reads its
    /// peers itself.
    pub async fn publish(&self, record: &ControlRecord) -> Vec<(Region, Result<(), String>)> {
        let limit = self.publish_deadline();
        let mut writes = JoinSet::new();
        for peer in &self.peers {
            let (store, bucket, record) =
                (Arc::clone(&self.store), self.bucket(peer), record.clone());
            writes.spawn(async move {
                let copy = within(limit, copy_record(store.as_ref(), &bucket, &record)).await;
                (bucket.region, copy.map_err(|fault| fault.message))
            });
        }
        finished(writes).await
    }

    /// That this recovery holds the ledger, with the record and the holder that prove it. The check
    /// before every action, on the own region's record.
    ///
    /// # Errors
    /// `StaleEpoch` when it does not, or no longer; `InvalidInput` when it activates another site
    /// than `authority.site`, or the app has no record.
    pub async fn authorize(&self, authority: &Authority) -> Result<(ControlRecord, Holder), Fault> {
        let (record, _) = self.held(authority).await?;
        let holder = ledger::authorize(&record, &authority.incident, authority.epoch)?.clone();
        Ok((record, holder))
    }

    /// As [`Ledger::authorize`], with what a write of the record must be conditional on.
    ///
    /// # Errors
    /// As [`Ledger::authorize`].
    pub async fn held(&self, authority: &Authority) -> Result<(ControlRecord, ETag), Fault> {
        let (record, etag) = self.require(&authority.app).await?;
        let holder = ledger::authorize(&record, &authority.incident, authority.epoch)?;
        if holder.target == authority.site {
            Ok((record, etag))
        } else {
            Err(Fault::invalid(format!(
                "recovery {} activates site {}, not {}",
                authority.incident, holder.target, authority.site
            )))
        }
    }

    /// The own region's record, which must exist.
    ///
    /// # Errors
    /// `InvalidInput` when it does not; otherwise the failure of the read.
    pub async fn require(&self, app: &AppName) -> Result<(ControlRecord, ETag), Fault> {
        self.own_record(app).await?.ok_or_else(|| no_record(app))
    }

    /// Begins to read the records of these regions, each for at most [`Ledger::peer_deadline`].
    fn read_each<'a>(
        &self,
        regions: impl Iterator<Item = &'a Region>,
        app: &AppName,
    ) -> JoinSet<(Region, Result<Found, Fault>)> {
        let limit = self.peer_deadline();
        let mut reads = JoinSet::new();
        for region in regions {
            let (store, bucket, key) =
                (Arc::clone(&self.store), self.bucket(region), control_key(app));
            reads.spawn(async move {
                let read = within(limit, read_record(store.as_ref(), &bucket, &key)).await;
                (bucket.region, read)
            });
        }
        reads
    }

    async fn own_record(&self, app: &AppName) -> Result<Found, Fault> {
        read_record(self.store.as_ref(), &self.bucket(&self.own), &control_key(app)).await
    }

    fn bucket(&self, region: &Region) -> Bucket {
        Bucket { region: region.clone(), name: format!("{}-{region}", self.prefix) }
    }
}

/// The fault of an app that no plan was applied for.
#[must_use]
pub fn no_record(app: &AppName) -> Fault {
    Fault::invalid(format!(
        "app {app} has no register in this region; run `lifeboat plan apply`, which writes \
         the first one, and `lifeboat init`, which brings up the first site"
    ))
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} ms", limit.as_millis());
        Err(Fault::new(ErrorName::Transient, message))
    })
}

/// What the tasks returned. One that panicked is left out; the panic has been reported.
async fn finished<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(task) = tasks.join_next().await {
        all.extend(task.ok());
    }
    all
}

#[cfg(test)]
mod tests;
