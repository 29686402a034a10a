//! Who may act: one region's register and the rules for changing it.
//!
//! A register is one object per app and region, changed only by conditional writes. The rules here
//! keep two invariants of each register, both held as property tests: its epochs only grow, and at
//! most one recovery holds it at a time. What the registers of all regions say together is
//! [`crate::registers`]'s.
//!
//! The order of a change of the active site is: [`open`] reserves the next epoch and makes the
//! recovery the holder of its own region's register; [`claim`] writes the target under that epoch
//! there and then into the others, and counts when a majority holds it; from then on a site with an
//! older epoch gets no permit, and what it has ends within [`crate::permit::PERMIT_SECONDS`];
//! [`close`] releases the holder. The epoch is reserved before anything is decided and claimed
//! before anything is changed, so a recovery that stands down has changed nothing but a counter.

mod request;

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorName, Fault},
    ids::{AppName, Epoch, IncidentId, Region, SiteName},
    registers::{Claim, Raise, Registers, claim_of, fresh, overtaken, raise},
};

pub use request::{Met, attempt_name, met};

/// How long a recovery may hold the ledger without being renewed, in seconds. Longer than the
/// `TimeoutSeconds` of the recover machine (3,600 s), so that a holder that is past it is dead.
pub const HOLD_SECONDS: i64 = 3_700;

/// The epoch of the first record, which no recovery hands out: all that do are above it.
pub const FIRST_EPOCH: Epoch = Epoch(1);

/// One app's register, as one region's bucket holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRecord {
    /// The app.
    pub app: AppName,
    /// The epoch under which `active_site` serves.
    pub epoch: Epoch,
    /// The highest epoch that this register knows of, handed out here or claimed by anyone; at least
    /// `epoch`. Reserved numbers are never reused.
    pub highest_reserved: Epoch,
    /// The site whose database accepts the app's writes.
    pub active_site: SiteName,
    /// The recovery of this region that is under way, if any.
    pub recovery: Option<Holder>,
    /// When the record was last written.
    pub updated_at: Timestamp,
}

/// The recovery that holds the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// Its id.
    pub incident: IncidentId,
    /// The execution that works on it (an ARN).
    pub execution: String,
    /// The site it activates.
    pub target: SiteName,
    /// The epoch it reserved.
    pub epoch: Epoch,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How far it is.
    pub state: HolderState,
    /// When a majority of the registers was known to hold its claim: from here the permits of the old
    /// site run out. None before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed_at: Option<Timestamp>,
    /// The claim of the unfinished recovery that this one goes on from, by which the old site was left
    /// already. It says so only while it is still the one that counts: see [`Holder::left_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed_before: Option<AgreedBefore>,
}

/// A claim of the same target that a majority held before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreedBefore {
    /// Its epoch.
    pub epoch: Epoch,
    /// From when on the permits of the old site ran out by it.
    pub left_at: Timestamp,
}

impl Holder {
    /// From when on the permits of the old site ran out: what it has acknowledged later than that and
    /// [`crate::permit::PERMITS_END`] is nothing. None while it may serve, or may have served since.
    ///
    /// `agreed` is the claim that a majority holds. Before the own claim the one that is gone on from
    /// counts while it is that; the own one is made only behind [`still_before`].
    #[must_use]
    pub fn left_at(&self, agreed: Option<&Claim>) -> Option<Timestamp> {
        let before = self.agreed_before.as_ref();
        let counts = |before: &&AgreedBefore| {
            let is_that = |claim: &Claim| {
                claim.site == self.target && [before.epoch, self.epoch].contains(&claim.epoch)
            };
            self.agreed_at.is_some() || agreed.is_some_and(is_that)
        };
        before.filter(counts).map(|before| before.left_at).or(self.agreed_at)
    }
}

/// When the old site was left by the claim that a recovery goes on from, if no register that answers holds
/// a newer one but the recovery's own: else the old site may have served again since then, and what was seen
/// and approved is of another time. As many must have answered as make a majority.
///
/// # Errors
/// [`crate::ErrorName::Refused`]: look again.
pub fn still_before(holder: &Holder, registers: &Registers) -> Result<Option<Timestamp>, Fault> {
    let Some(before) = &holder.agreed_before else { return Ok(None) };
    let own = Claim { epoch: holder.epoch, site: holder.target.clone() };
    let mut claims = registers.held().map(|(_, record)| claim_of(record));
    match claims.find(|claim| claim.epoch > before.epoch && *claim != own) {
        None => Ok(Some(before.left_at)),
        Some(newer) => Err(Fault::refused(format!(
            "site {} was claimed under epoch {} since the recovery that this one goes on from: look again",
            newer.site, newer.epoch
        ))),
    }
}

/// How far a holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderState {
    /// It may decide, and has changed nothing yet.
    Open,
    /// Its own register holds the claim: from here on forward only.
    Claimed,
    /// It ended in failure; a person, or a new recovery, goes on from there.
    Failed,
}

impl ControlRecord {
    /// The first record of an app: epoch 1, the given site active.
    #[must_use]
    pub fn first(app: AppName, active_site: SiteName, now: Timestamp) -> Self {
        Self {
            app,
            epoch: FIRST_EPOCH,
            highest_reserved: FIRST_EPOCH,
            active_site,
            recovery: None,
            updated_at: now,
        }
    }
}

/// That the app's `site` may be started under the first epoch: a majority of the registers is at the
/// first epoch still, and names this site.
///
/// # Errors
/// [`crate::ErrorName::Refused`] with what has happened since, and what to do instead;
/// [`crate::ErrorName::Transient`] when no majority can be read.
pub fn first_activation(
    app: &AppName,
    registers: &Registers,
    site: &SiteName,
    now: Timestamp,
) -> Result<(), Fault> {
    let refused = |why: String| Err(Fault::new(ErrorName::Refused, why));
    let recovery = registers.overview(now).and_then(|overview| overview.recovery);
    if let Some(holder) = recovery {
        return refused(format!(
            "recovery {} has held {app} since {} and activates site {}; let it end: `lifeboat plan \
             show --app {app}` says how far it is",
            holder.incident, holder.opened_at, holder.target
        ));
    }
    let Some(claim) = registers.agreed() else {
        return Err(Fault::transient(format!(
            "no majority of the registers of {app} says which site is active ({}); run `lifeboat plan \
             apply`, which writes those that are missing",
            registers.words()
        )));
    };
    if claim.site != *site {
        return refused(format!(
            "site {} of {app} is the active one (epoch {}), not {site}; a site that is not active is \
             activated by `lifeboat recover`",
            claim.site, claim.epoch
        ));
    }
    if claim.epoch != FIRST_EPOCH {
        return refused(format!(
            "site {site} of {app} was activated by a recovery before (epoch {}); `lifeboat recover` \
             does it again",
            claim.epoch
        ));
    }
    Ok(())
}

/// Who asks for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant<'a> {
    /// The recovery's id.
    pub incident: &'a IncidentId,
    /// Its execution.
    pub execution: &'a str,
    /// The site it wants to activate.
    pub target: &'a SiteName,
}

/// What [`open`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Write this record (conditionally on the one that was read) and the recovery is open.
    Write(ControlRecord),
    /// The same execution opened it before; go on with this record.
    AlreadyOurs(ControlRecord),
    /// Not now, for this reason. Not an error: the caller stands down and says so.
    StandDown(StandDown),
}

/// Why a recovery may not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandDown {
    /// No register answered.
    NothingKnown(String),
    /// This recovery holds the register of a region.
    Held {
        /// The region.
        region: Region,
        /// The recovery.
        holder: Holder,
    },
    /// A majority names the target as the active site, and no recovery of it is unfinished.
    Active(Claim),
}

impl fmt::Display for StandDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingKnown(silence) => write!(f, "no register could be read ({silence})"),
            Self::Held { region, holder } => write!(
                f,
                "recovery {} is open in {region} since {} (execution {}); let it end, or stop it and \
                 mark it failed before starting another",
                holder.incident, holder.opened_at, holder.execution
            ),
            Self::Active(claim) => {
                write!(f, "site {} is the active site already (epoch {})", claim.site, claim.epoch)
            }
        }
    }
}

/// The epochs that a site's recoveries take: those that leave the site's place when they are divided by
/// the number of sites. So two regions never hand out the same one, though neither asks the other.
///
/// With the sites a and b: a takes 1, 3, 5, and b 2, 4, 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochClass {
    place: u64,
    sites: u64,
}

impl EpochClass {
    /// The class of a site among all sites of its plan; none for a site that is not one of them.
    #[must_use]
    pub fn of<'a>(site: &SiteName, sites: impl IntoIterator<Item = &'a SiteName>) -> Option<Self> {
        let mut names: Vec<&SiteName> = sites.into_iter().collect();
        names.sort_unstable();
        let place = names.iter().position(|name| *name == site)?;
        let (place, sites) = (u64::try_from(place).ok()?, u64::try_from(names.len()).ok()?);
        Some(Self { place: (place + 1) % sites, sites })
    }

    /// The first epoch of this class above another epoch.
    #[must_use]
    pub const fn above(self, epoch: Epoch) -> Epoch {
        let next = epoch.0 + 1;
        Epoch(next + (self.place + self.sites - next % self.sites) % self.sites)
    }
}

/// Whether this claimant may open a recovery: on its own region's register, knowing what the others
/// say as far as they answered.
#[must_use]
pub fn open(
    own: &Region,
    registers: &Registers,
    claimant: &Claimant<'_>,
    class: EpochClass,
    now: Timestamp,
) -> Opening {
    let held = registers.of(own);
    if let Some(record) = held
        && let Some(holder) = &record.recovery
        && holder.incident == *claimant.incident
        && holder.execution == claimant.execution
    {
        return Opening::AlreadyOurs(record.clone());
    }
    let Some(overview) = registers.overview(now) else {
        return Opening::StandDown(StandDown::NothingKnown(registers.silence()));
    };
    // One of another region is asked too, where it can be: it would only be overtaken in the middle.
    if let Some((region, holder)) = acting(registers, now) {
        let (region, holder) = (region.clone(), holder.clone());
        return Opening::StandDown(StandDown::Held { region, holder });
    }
    if let Some(claim) = active_already(registers, claimant.target) {
        return Opening::StandDown(StandDown::Active(claim));
    }
    let epoch = class.above(overview.highest_reserved);
    let base = held.cloned().unwrap_or_else(|| {
        let claim = Claim { epoch: overview.epoch, site: overview.active_site.clone() };
        fresh(&overview.app, &claim, now)
    });
    Opening::Write(ControlRecord {
        highest_reserved: epoch,
        recovery: Some(Holder {
            incident: claimant.incident.clone(),
            execution: claimant.execution.to_owned(),
            target: claimant.target.clone(),
            epoch,
            opened_at: now,
            state: HolderState::Open,
            agreed_at: None,
            agreed_before: held.and_then(|held| left_before(held, registers, claimant.target)),
        }),
        updated_at: now,
        ..base
    })
}

/// The claim of an unfinished recovery of the same target, if it still counts: had the old site been
/// claimed again in between, another claim would.
fn left_before(
    held: &ControlRecord,
    registers: &Registers,
    target: &SiteName,
) -> Option<AgreedBefore> {
    let holder = held.recovery.as_ref().filter(|holder| holder.target == *target)?;
    let claim = registers.agreed().filter(|claim| claim.site == *target)?;
    let left_at = holder.left_at(Some(&claim))?;
    Some(AgreedBefore { epoch: claim.epoch, left_at })
}

/// That a recovery may end like this.
///
/// # Errors
/// [`crate::ErrorName::StaleEpoch`] when another one holds the register, or none has held this epoch;
/// [`crate::ErrorName::InvalidInput`] when the ending is not true.
pub fn may_close(
    record: &ControlRecord,
    incident: &IncidentId,
    (epoch, site): (Epoch, &SiteName),
    ending: Ending,
) -> Result<(), Fault> {
    let Some(holder) = &record.recovery else {
        return if epoch <= record.highest_reserved {
            Ok(())
        } else {
            Err(Fault::stale(format!(
                "recovery {incident} says that it holds epoch {epoch}, but the newest that was \
                 handed out is {}",
                record.highest_reserved
            )))
        };
    };
    if holder.incident != *incident || holder.epoch != epoch {
        return Err(Fault::stale(format!(
            "recovery {incident} cannot close epoch {epoch}: {} holds the register under epoch {}",
            holder.incident, holder.epoch
        )));
    }
    if holder.target != *site {
        return Err(Fault::invalid(format!(
            "recovery {incident} activates site {}, not {site}",
            holder.target
        )));
    }
    match ending {
        Ending::Recovered if holder.state == HolderState::Open => Err(Fault::invalid(format!(
            "recovery {incident} never claimed its epoch, so it cannot have recovered site {site}"
        ))),
        // A claim that its own register alone holds has moved nobody; what is left of it stays marked.
        Ending::StoodDown if holder.agreed_at.is_some() => Err(Fault::invalid(format!(
            "recovery {incident} has made {site} the active site, so it cannot stand down; close it \
             as failed and go on with another"
        ))),
        Ending::Recovered | Ending::StoodDown | Ending::Failed => Ok(()),
    }
}

/// The claim by which `target` is the active site and needs no recovery: a majority holds it, and no
/// recovery that made it is unfinished.
///
/// The newest claim is not enough: one that reached its own register alone names a site that never
/// served, and whoever believed it would stand down for good when the other site is lost. Nor is the
/// majority's: a recovery that failed behind its claim left a site that does not serve yet.
#[must_use]
pub fn active_already(registers: &Registers, target: &SiteName) -> Option<Claim> {
    let claim = registers.agreed().filter(|claim| claim.site == *target)?;
    let mut holders = registers.held().filter_map(|(_, record)| record.recovery.as_ref());
    let unfinished = holders.any(|holder| holder.target == *target);
    (!unfinished).then_some(claim)
}

/// The recovery that may be acting now. One that failed acts no more, nor does one that has held the
/// register for longer than it can live, or one whose epoch was overtaken, which [`authorize`] refuses.
#[must_use]
pub fn under_way(record: &ControlRecord, now: Timestamp) -> Option<&Holder> {
    let holder = record.recovery.as_ref()?;
    let held = now.duration_since(holder.opened_at);
    let expired = held > SignedDuration::from_secs(HOLD_SECONDS);
    let overtaken = record.highest_reserved > holder.epoch;
    (holder.state != HolderState::Failed && !expired && !overtaken).then_some(holder)
}

/// The recovery of any region that may be acting now, as far as the registers tell.
#[must_use]
pub fn acting(registers: &Registers, now: Timestamp) -> Option<(&Region, &Holder)> {
    registers.held().find_map(|(region, record)| Some((region, under_way(record, now)?)))
}

/// That `incident` still holds the ledger under `epoch`: the check before every action.
///
/// # Errors
/// [`crate::ErrorName::StaleEpoch`] when someone else holds it or a newer epoch exists; stop and
/// undo nothing.
pub fn authorize<'a>(
    record: &'a ControlRecord,
    incident: &IncidentId,
    epoch: Epoch,
) -> Result<&'a Holder, Fault> {
    match &record.recovery {
        Some(holder)
            if holder.incident == *incident
                && holder.epoch == epoch
                && record.highest_reserved == epoch
                && holder.state != HolderState::Failed =>
        {
            Ok(holder)
        }
        Some(holder) => Err(Fault::stale(format!(
            "recovery {incident} acts under epoch {epoch}, but the register is held by {} under \
             epoch {}",
            holder.incident, holder.epoch
        ))),
        None => Err(Fault::stale(format!(
            "recovery {incident} is not open: the register is at epoch {} with site {} active",
            record.epoch, record.active_site
        ))),
    }
}

/// How old the votes may be that a claim rests on, in seconds. An execution that is redriven after days
/// must not act on what was true then.
pub const VOTES_SECONDS: i64 = 60;

/// That the votes of `observed_at` still say what is.
///
/// # Errors
/// [`crate::ErrorName::Refused`] when they are too old; look again.
pub fn votes_count(observed_at: Timestamp, now: Timestamp) -> Result<(), Fault> {
    let age = now.duration_since(observed_at);
    if age <= SignedDuration::from_secs(VOTES_SECONDS) {
        return Ok(());
    }
    Err(Fault::refused(format!(
        "the votes are {} s old, and a claim rests on none that are older than {VOTES_SECONDS} s; start \
         the recovery again, which looks again",
        age.as_secs()
    )))
}

/// The own register of a holder that goes on from nothing any more: see [`still_before`].
#[must_use]
pub fn without_before(record: &ControlRecord, now: Timestamp) -> ControlRecord {
    let recovery = record.recovery.clone().map(|holder| Holder { agreed_before: None, ..holder });
    ControlRecord { recovery, updated_at: now, ..record.clone() }
}

/// The own register with the holder's target under its epoch: the first of the writes of a claim.
///
/// # Errors
/// As [`authorize`], and [`crate::ErrorName::StaleEpoch`] when a newer epoch was claimed here.
pub fn claim(
    record: &ControlRecord,
    incident: &IncidentId,
    epoch: Epoch,
    now: Timestamp,
) -> Result<ControlRecord, Fault> {
    let holder = authorize(record, incident, epoch)?;
    if holder.state == HolderState::Claimed {
        return Ok(record.clone());
    }
    let claim = Claim { epoch, site: holder.target.clone() };
    match raise(record, &claim, now) {
        Raise::Newer(newer) => Err(overtaken(incident, epoch, &newer)),
        Raise::Holds => Ok(claimed(record.clone(), now)),
        Raise::Write(record) => Ok(claimed(record, now)),
    }
}

fn claimed(record: ControlRecord, now: Timestamp) -> ControlRecord {
    let recovery = record.recovery.map(|holder| Holder { state: HolderState::Claimed, ..holder });
    ControlRecord { recovery, updated_at: now, ..record }
}

/// The own register once a majority holds the claim: the last of the writes of a claim.
///
/// # Errors
/// As [`authorize`].
pub fn agree(
    record: &ControlRecord,
    incident: &IncidentId,
    epoch: Epoch,
    now: Timestamp,
) -> Result<ControlRecord, Fault> {
    let holder = authorize(record, incident, epoch)?;
    if holder.agreed_at.is_some() {
        return Ok(record.clone());
    }
    let recovery = Some(Holder { agreed_at: Some(now), ..holder.clone() });
    Ok(ControlRecord { recovery, updated_at: now, ..record.clone() })
}

/// How a recovery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Users are served from the target.
    Recovered,
    /// Nothing was changed, because nothing had to be or was allowed to be.
    StoodDown,
    /// It failed; a person has to look.
    Failed,
}

/// The record after the recovery has ended. Ending twice is once.
///
/// A recovery that stands down before its own claim may have been opened to complete the claim of one
/// that failed before it. Then that claim is still there, and unfinished: the holder stays, as failed.
///
/// # Errors
/// [`crate::ErrorName::StaleEpoch`] when another recovery holds the ledger.
pub fn close(
    record: &ControlRecord,
    incident: &IncidentId,
    ending: Ending,
    now: Timestamp,
) -> Result<ControlRecord, Fault> {
    let Some(holder) = &record.recovery else { return Ok(record.clone()) };
    if holder.incident != *incident {
        return Err(Fault::stale(format!(
            "recovery {incident} cannot be closed: {} holds the register",
            holder.incident
        )));
    }
    let is_finished = match ending {
        Ending::Recovered => true,
        Ending::StoodDown => record.active_site != holder.target,
        Ending::Failed => false,
    };
    let recovery = (!is_finished).then(|| Holder { state: HolderState::Failed, ..holder.clone() });
    Ok(ControlRecord { recovery, updated_at: now, ..record.clone() })
}

#[cfg(test)]
mod tests;
