//! The registers and the recovery log, on S3.
//!
//! Each region, the witness's included, has a bucket `<prefix>-<region>`: `control/<app>.json` is an
//! app's register, and in the sites' regions `log/<app>/<incident>/<sequence>.json` are the entries of a recovery's log. What
//! may be written is decided by [`lifeboat_core::ledger`] and [`lifeboat_core::recovery_log`]; this
//! crate keeps two writers from both succeeding, and a lost answer from being mistaken for a
//! failure.
//!
//! A register moves in its own region's bucket first, conditionally on what was read there, and then
//! in the others, each write conditional again; a claim counts when a majority holds it. A region may
//! be dark, and a dark region hangs, so no other region is waited for longer than
//! [`Ledger::peer_deadline`], and none is waited for once a majority has answered.
//!
//! The function's role needs `s3:GetObject` and `s3:PutObject` on `control/*` and `log/*`, and
//! `s3:ListBucket`, without which S3 answers `AccessDenied` where it means that there is no object.

mod log;
mod record;
mod s3;
mod store;
#[doc(hidden)]
pub mod testing;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, ErrorName, Fault, Region,
    contract::Authority,
    ledger::{self, ControlRecord, Holder},
    plan_file::AppPlan,
    registers::{self, Answer, Claim, Registers, majority, overtaken},
    round_trip::RoundTrip,
};
use tokio::task::JoinSet;

use record::{Behind, Found, control_key, raise_register, read_record, write_record};

pub use s3::S3Store;
pub use store::{Bucket, Condition, ETag, Object, Put, Store};

/// What a register is moved with: a read and a write.
const MOVE_REQUESTS: u32 = 2;

/// The ledger as one region sees it.
#[derive(Debug)]
pub struct Ledger<S = S3Store> {
    store: Arc<S>,
    prefix: String,
    own: Region,
    /// The regions of the other registers.
    peers: Vec<Region>,
    round_trip: RoundTrip,
}

/// What [`Ledger::look`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The registers of all regions, with what each answered.
    pub registers: Registers,
    /// The own region's, and what a write must be conditional on.
    pub own: Option<(ControlRecord, ETag)>,
}

/// What [`Ledger::claim`] reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// When a majority was known to hold the claim.
    pub agreed_at: Timestamp,
    /// The regions that hold it not, or may not, and why.
    pub behind: Vec<(Region, String)>,
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

    /// The registers of a plan, with its round trip.
    #[must_use]
    pub fn of_plan(store: &Arc<S>, prefix: &str, own: &Region, plan: &AppPlan) -> Self {
        let regions = plan.registers().cloned().collect();
        Self::over(Arc::clone(store), prefix.to_owned(), own.clone(), regions)
            .over_a_round_trip(plan.round_trip())
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

    /// How long one register may take to be moved.
    fn move_deadline(&self) -> Duration {
        self.round_trip.calls(MOVE_REQUESTS)
    }

    /// Where a recovery's log is in the own region, as `s3://bucket/prefix`.
    #[must_use]
    pub fn log_location(&self, app: &AppName, incident: &lifeboat_core::IncidentId) -> String {
        format!("s3://{}/{}", self.bucket(&self.own).name, log::prefix(app, incident))
    }

    /// Every register, each waited for at most [`Ledger::peer_deadline`]; a region that does not answer
    /// is named and not an error.
    ///
    /// # Errors
    /// When the own region does not answer, or holds a register that cannot be read.
    pub async fn look(&self, app: &AppName) -> Result<Seen, Fault> {
        let reads = self.read_each(self.peers.iter(), app);
        let own = self.own_record(app).await?;
        let mut answers = BTreeMap::from([(self.own.clone(), answer(own.clone()))]);
        answers.extend(self.peers.iter().map(|peer| (peer.clone(), silent("the read was lost"))));
        for (region, read) in finished(reads).await {
            answers.insert(region, answered(read));
        }
        Ok(Seen { registers: Registers::new(answers), own })
    }

    /// Every register that answers within [`Ledger::peer_deadline`], the own region treated as any
    /// other.
    pub async fn registers(&self, app: &AppName) -> Registers {
        self.registers_until(app, |_| false).await
    }

    /// The registers as soon as a majority confirms one claim, or when every region has answered or
    /// failed to: what a host asks each second, and every action before it acts.
    pub async fn majority(&self, app: &AppName) -> Registers {
        self.registers_until(app, |registers| registers.agreed().is_some()).await
    }

    async fn registers_until(
        &self,
        app: &AppName,
        enough: impl Fn(&Registers) -> bool,
    ) -> Registers {
        let regions = || self.peers.iter().chain([&self.own]);
        let mut reads = self.read_each(regions(), app);
        let mut answers: BTreeMap<Region, Answer> =
            regions().map(|region| (region.clone(), silent("not waited for"))).collect();
        while let Some(read) = reads.join_next().await {
            // A read that panicked has no answer; the panic has been reported.
            let Ok((region, read)) = read else { continue };
            answers.insert(region, answered(read));
            let registers = Registers::new(answers.clone());
            if enough(&registers) {
                return registers;
            }
        }
        Registers::new(answers)
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

    /// Makes `authority.site` the active one: in the own register, then in the others at the same time,
    /// until a majority holds it. Each call goes on from what the ones before it reached. `may` is asked
    /// while no majority is known to hold the claim, and told when the old site was left already.
    ///
    /// Nothing is written while fewer than a majority answer: a claim that its own register alone holds
    /// would confirm nobody, and take a vote from the site that serves.
    ///
    /// # Errors
    /// What `may` says; `StaleEpoch` when someone newer has claimed the app; `Transient` when there is no
    /// majority, of which it is not known whether it will yet come about: ask again.
    pub async fn claim(
        &self,
        authority: &Authority,
        may: impl Fn(Option<Timestamp>) -> Result<(), Fault>,
        now: Timestamp,
    ) -> Result<Claimed, Fault> {
        let began = tokio::time::Instant::now();
        let app = &authority.app;
        let (held, seen) = tokio::join!(
            self.held(authority),
            self.registers_until(app, |registers| !registers.too_few())
        );
        let (record, etag) = held?;
        if let Some(holder) = record.recovery.as_ref().filter(|holder| holder.agreed_at.is_none()) {
            if seen.too_few() {
                return Err(Fault::transient(format!(
                    "a claim needs a majority of the registers, and too few answer ({}); nothing was \
                     written",
                    seen.words()
                )));
            }
            let left_at = match ledger::still_before(holder, &seen) {
                Ok(left_at) => left_at,
                Err(refusal) => {
                    // Kept, so that the next look is at what is so now.
                    self.write(&ledger::without_before(&record, now), Some(&etag)).await?;
                    return Err(refusal);
                }
            };
            may(left_at)?;
        }
        let (incident, epoch) = (&authority.incident, authority.epoch);
        if let Some(newer) = seen.newest().filter(|newest| newest.epoch > epoch) {
            return Err(overtaken(incident, epoch, &newer));
        }
        let claimed = ledger::claim(&record, incident, epoch, now)?;
        let etag = if claimed == record { etag } else { self.write(&claimed, Some(&etag)).await? };
        let claim = Claim { epoch, site: authority.site.clone() };
        let (reached, behind) = self.raise_others(&authority.app, &claim, now).await;
        for (_, newer) in &behind {
            if let Behind::Newer(newer) = newer {
                return Err(overtaken(incident, epoch, newer));
            }
        }
        let behind: Vec<(Region, String)> =
            behind.into_iter().map(|(region, why)| (region, why.words())).collect();
        if reached + 1 < majority(self.peers.len() + 1) {
            return Err(Fault::transient(format!(
                "no majority of the registers holds site {} under epoch {epoch}: {}",
                authority.site,
                behind
                    .iter()
                    .map(|(region, why)| format!("{region}: {why}"))
                    .collect::<Vec<_>>()
                    .join("; ")
            )));
        }
        // Not before now: the permits of the old site run out from here.
        let elapsed = SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX);
        let agreed =
            ledger::agree(&claimed, incident, epoch, now.saturating_add(elapsed).unwrap_or(now))?;
        if agreed != claimed {
            self.write(&agreed, Some(&etag)).await?;
        }
        let agreed_at = agreed.recovery.and_then(|holder| holder.agreed_at);
        let agreed_at = agreed_at.ok_or_else(|| Fault::needs_human("a claim without its time"))?;
        Ok(Claimed { agreed_at, behind })
    }

    /// Moves every other register up to a claim, all at the same time. Once a majority holds it, the
    /// rest is waited for no longer than a region takes that is well: one that is dark must not delay a
    /// recovery, and learns of the claim when it is settled.
    async fn raise_others(
        &self,
        app: &AppName,
        claim: &Claim,
        now: Timestamp,
    ) -> (usize, Vec<(Region, Behind)>) {
        let limit = self.move_deadline();
        let mut writes = JoinSet::new();
        for peer in &self.peers {
            let (store, bucket) = (Arc::clone(&self.store), self.bucket(peer));
            let (app, claim) = (app.clone(), claim.clone());
            writes.spawn(async move {
                let raised = raised_within(limit, store.as_ref(), &bucket, &app, &claim, now).await;
                (bucket.region, raised)
            });
        }
        let mut behind: BTreeMap<Region, Behind> = BTreeMap::new();
        behind.extend(
            self.peers
                .iter()
                .map(|peer| (peer.clone(), Behind::Unknown("it was not waited for".to_owned()))),
        );
        let mut until = tokio::time::Instant::now() + limit;
        while let Ok(Some(done)) = tokio::time::timeout_at(until, writes.join_next()).await {
            // A task that panicked reached nothing; the panic has been reported.
            let Ok((region, raised)) = done else { continue };
            match raised {
                Ok(()) => {
                    behind.remove(&region);
                    if self.peers.len() - behind.len() + 1 == majority(self.peers.len() + 1) {
                        until = tokio::time::Instant::now() + self.round_trip.warm_call();
                    }
                }
                Err(why) => {
                    behind.insert(region, why);
                }
            }
        }
        (self.peers.len() - behind.len(), behind.into_iter().collect())
    }

    /// Moves the register of one region up to a claim, which may be the first one.
    ///
    /// # Errors
    /// `StaleEpoch` when it holds a newer one; `Transient` when it was not reached, or may not have been.
    pub async fn move_up(
        &self,
        app: &AppName,
        region: &Region,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let (store, bucket) = (self.store.as_ref(), self.bucket(region));
        let raised = raised_within(self.move_deadline(), store, &bucket, app, claim, now).await;
        raised.map_err(|behind| {
            let named = match &behind {
                Behind::Newer(_) => Fault::stale,
                Behind::Unknown(_) => Fault::transient,
            };
            named(format!("the register in {region}: {}", behind.words()))
        })
    }

    /// Writes the register of any region in place of the one that was seen there: a person's change.
    ///
    /// # Errors
    /// `Transient` when it is not there as it was seen, or was not reached.
    pub async fn replace(
        &self,
        region: &Region,
        seen: &ControlRecord,
        record: &ControlRecord,
    ) -> Result<(), Fault> {
        let (store, bucket) = (self.store.as_ref(), self.bucket(region));
        let write = async {
            match read_record(store, &bucket, &control_key(&seen.app)).await? {
                Some((found, etag)) if found == *seen => {
                    write_record(store, &bucket, record, Some(&etag)).await.map(|_| ())
                }
                // What was lost is the answer.
                Some((found, _)) if found == *record => Ok(()),
                Some(_) | None => Err(Fault::transient(format!(
                    "the register in {region} has changed meanwhile; look again"
                ))),
            }
        };
        within(self.move_deadline(), Box::pin(write)).await
    }

    /// Moves registers that lag behind the claim that a majority holds. What failed, and why; the next
    /// call tries it again.
    pub async fn settle(
        &self,
        app: &AppName,
        registers: &Registers,
        now: Timestamp,
    ) -> Vec<(Region, String)> {
        let Some(claim) = registers.agreed() else { return Vec::new() };
        let mut failed = Vec::new();
        for (region, _) in registers.lagging(app, now) {
            if let Err(fault) = self.move_up(app, &region, &claim, now).await {
                failed.push((region, fault.message));
            }
        }
        failed
    }

    /// That this recovery holds the ledger, with the record and the holder that prove it: before its
    /// claim, when nothing is changed but the own register and the log.
    ///
    /// # Errors
    /// `StaleEpoch` when it does not, or no longer; `InvalidInput` when it activates another site
    /// than `authority.site`, or the app has no record.
    pub async fn authorize(&self, authority: &Authority) -> Result<(ControlRecord, Holder), Fault> {
        let (record, _) = self.held(authority).await?;
        let holder = ledger::authorize(&record, &authority.incident, authority.epoch)?.clone();
        Ok((record, holder))
    }

    /// What the registers say, and the holder that proves that it is this recovery that holds the own one.
    /// Those that are not waited for once a majority has answered count as silent.
    ///
    /// # Errors
    /// As [`Ledger::authorize`]; `Transient` when the own register cannot be read.
    pub async fn held_by(&self, authority: &Authority) -> Result<(Registers, Holder), Fault> {
        let registers = self.registers_until(&authority.app, |seen| self.is_enough(seen)).await;
        let Some(record) = registers.of(&self.own) else {
            return Err(match registers.silent().find(|(region, _)| **region == self.own) {
                Some((region, why)) => {
                    Fault::transient(format!("the register in {region} cannot be read: {why}"))
                }
                None => no_record(&authority.app),
            });
        };
        let holder = ledger::authorize(record, &authority.incident, authority.epoch)?;
        of_site(holder, authority)?;
        let holder = holder.clone();
        Ok((registers, holder))
    }

    /// Whether nothing more has to be read: the own register, and a majority.
    fn is_enough(&self, registers: &Registers) -> bool {
        registers.of(&self.own).is_some() && registers.agreed().is_some()
    }

    /// That this recovery may change the site: it holds the own register, and a majority confirms its
    /// claim now. The check before every action.
    ///
    /// # Errors
    /// `StaleEpoch` when someone newer acts; `Transient` when too few registers answered;
    /// `InvalidInput` when it activates another site than `authority.site`.
    pub async fn may_act(&self, authority: &Authority) -> Result<Holder, Fault> {
        let registers = self.registers_until(&authority.app, |seen| self.is_enough(seen)).await;
        let holder =
            registers::may_act(&registers, &self.own, &authority.incident, authority.epoch)?;
        of_site(holder, authority)?;
        Ok(holder.clone())
    }

    /// As [`Ledger::authorize`], with what a write of the record must be conditional on.
    ///
    /// # Errors
    /// As [`Ledger::authorize`].
    pub async fn held(&self, authority: &Authority) -> Result<(ControlRecord, ETag), Fault> {
        let (record, etag) = self.require(&authority.app).await?;
        let holder = ledger::authorize(&record, &authority.incident, authority.epoch)?;
        of_site(holder, authority)?;
        Ok((record, etag))
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

fn of_site(holder: &Holder, authority: &Authority) -> Result<(), Fault> {
    if holder.target == authority.site {
        Ok(())
    } else {
        Err(Fault::invalid(format!(
            "recovery {} activates site {}, not {}",
            authority.incident, holder.target, authority.site
        )))
    }
}

fn answered(read: Result<Found, Fault>) -> Answer {
    match read {
        Ok(found) => answer(found),
        Err(fault) => Answer::Silent(fault.message),
    }
}

fn answer(found: Found) -> Answer {
    found.map_or(Answer::Absent, |(record, _)| Answer::Holds(record))
}

fn silent(why: &str) -> Answer {
    Answer::Silent(why.to_owned())
}

/// The fault of an app that no plan was applied for.
#[must_use]
pub fn no_record(app: &AppName) -> Fault {
    Fault::invalid(format!(
        "app {app} has no register in this region; run `lifeboat plan apply`, which writes \
         the first one, and `lifeboat init`, which brings up the first site"
    ))
}

/// One register moved up, for at most `limit`.
async fn raised_within<S: Store>(
    limit: Duration,
    store: &S,
    bucket: &Bucket,
    app: &AppName,
    claim: &Claim,
    now: Timestamp,
) -> Result<(), Behind> {
    let raised = raise_register(store, bucket, app, claim, now);
    tokio::time::timeout(limit, raised).await.unwrap_or_else(|_| {
        Err(Behind::Unknown(format!("no answer within {} ms", limit.as_millis())))
    })
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
