//! What an app's registers say together: the rules behind every question of who may write.
//!
//! Three regions hold one register each: those of the two sites, and the witness's. A claim, which
//! is a site under an epoch, counts once a majority of the registers holds it. Any two majorities
//! have a register in common and a register only ever moves to a higher epoch, so of two claims the
//! older one can no longer be confirmed from the moment at which the newer one is complete.
//!
//! Worked example: A, B and W hold (a, 1). B claims (b, 2) and reaches itself and W. A site that
//! reads A and W now finds one register each for (a, 1) and (b, 2): no majority, so a writes no
//! more; a site that reads B and W finds two for (b, 2).

mod notice;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    error::Fault,
    ids::{AppName, Epoch, IncidentId, Region, SiteName},
    ledger::{ControlRecord, Holder, HolderState, acting, under_way},
};

pub use notice::{Notice, notices};

/// A site under an epoch: who may write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The epoch. First, because it decides which claim is the newer one.
    pub epoch: Epoch,
    /// The site.
    pub site: SiteName,
}

/// What a region answered when it was asked for its register.
#[expect(clippy::large_enum_variant, reason = "there are three of them, and not for long")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its register.
    Holds(ControlRecord),
    /// It has none: it says nothing for a claim, and nothing against one.
    Absent,
    /// It did not answer, for this reason.
    Silent(String),
}

/// The registers of an app, each with what its region answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registers(BTreeMap<Region, Answer>);

/// How many of so many registers are a majority.
#[must_use]
pub const fn majority(registers: usize) -> usize {
    registers / 2 + 1
}

impl Registers {
    /// Every region that holds a register must be there, whatever it answered: a majority is one of
    /// all registers, not of those that answered.
    #[must_use]
    pub fn new(answers: impl IntoIterator<Item = (Region, Answer)>) -> Self {
        Self(answers.into_iter().collect())
    }

    /// What one region answered; a region that was not asked is silent.
    #[must_use]
    pub fn of(&self, region: &Region) -> Option<&ControlRecord> {
        match self.0.get(region) {
            Some(Answer::Holds(record)) => Some(record),
            Some(Answer::Absent | Answer::Silent(_)) | None => None,
        }
    }

    /// The registers that answered, with their regions.
    pub fn held(&self) -> impl Iterator<Item = (&Region, &ControlRecord)> {
        self.0.iter().filter_map(|(region, answer)| match answer {
            Answer::Holds(record) => Some((region, record)),
            Answer::Absent | Answer::Silent(_) => None,
        })
    }

    /// The regions that did not answer, and why.
    pub fn silent(&self) -> impl Iterator<Item = (&Region, &str)> {
        self.0.iter().filter_map(|(region, answer)| match answer {
            Answer::Silent(why) => Some((region, why.as_str())),
            Answer::Holds(_) | Answer::Absent => None,
        })
    }

    /// The regions that answered and have no register.
    pub fn absent(&self) -> impl Iterator<Item = &Region> {
        self.0.iter().filter(|(_, answer)| **answer == Answer::Absent).map(|(region, _)| region)
    }

    /// Whether a majority of the registers holds exactly this claim.
    #[must_use]
    pub fn confirm(&self, claim: &Claim) -> bool {
        self.count(claim) >= majority(self.0.len())
    }

    fn count(&self, claim: &Claim) -> usize {
        self.held().filter(|(_, record)| claim_of(record) == *claim).count()
    }

    /// The claim that a majority holds; none when too few answered, or they disagree.
    #[must_use]
    pub fn agreed(&self) -> Option<Claim> {
        self.held().map(|(_, record)| claim_of(record)).find(|claim| self.confirm(claim))
    }

    /// The newest claim that any register holds, whether or not it is complete.
    #[must_use]
    pub fn newest(&self) -> Option<Claim> {
        self.held().map(|(_, record)| claim_of(record)).max()
    }

    /// The claim that a majority holds; where that cannot be told, the newest that is known, for it may be
    /// the one.
    #[must_use]
    pub fn presumed(&self) -> Option<Claim> {
        self.agreed().or_else(|| self.newest())
    }

    /// The highest epoch that any register knows of, handed out or claimed.
    #[must_use]
    pub fn highest(&self) -> Option<Epoch> {
        self.held().map(|(_, record)| record.highest_reserved.max(record.epoch)).max()
    }

    /// How many registers do not hold the claim that counts; all of them while none does.
    #[must_use]
    pub fn missing(&self) -> usize {
        let held = self.agreed().map_or(0, |claim| self.count(&claim));
        self.0.len() - held
    }

    /// Whether too few answered for any claim to be confirmed or ruled out.
    #[must_use]
    pub fn too_few(&self) -> bool {
        self.0.len() - self.silent().count() < majority(self.0.len())
    }

    /// The app as one record: the claim that counts, and the recovery that is under way, or was last,
    /// in any region. The claim is the [presumed](Self::presumed) one.
    #[must_use]
    pub fn overview(&self, now: Timestamp) -> Option<ControlRecord> {
        let claim = self.presumed()?;
        let newest =
            self.held().map(|(_, record)| record).max_by_key(|r| (r.epoch, r.updated_at))?;
        let recovery = self
            .held()
            .filter_map(|(_, record)| record.recovery.as_ref().map(|holder| (record, holder)))
            .max_by_key(|(record, holder)| (under_way(record, now).is_some(), holder.epoch))
            .map(|(_, holder)| holder.clone());
        Some(ControlRecord {
            app: newest.app.clone(),
            epoch: claim.epoch,
            highest_reserved: self.highest().unwrap_or(claim.epoch),
            active_site: claim.site,
            recovery,
            updated_at: newest.updated_at,
        })
    }

    /// The registers that lag behind the claim that a majority holds, each as it should be; none for a
    /// region that has no register yet. Only what is complete is carried on: a claim that is not may
    /// have been given up.
    #[must_use]
    pub fn lagging(&self, app: &AppName, now: Timestamp) -> Vec<(Region, ControlRecord)> {
        let Some(claim) = self.agreed() else { return Vec::new() };
        let stale = self.held().filter_map(|(region, record)| match raise(record, &claim, now) {
            Raise::Write(record) => Some((region.clone(), record)),
            Raise::Holds | Raise::Newer(_) => None,
        });
        let missing = self.absent().map(|region| (region.clone(), fresh(app, &claim, now)));
        stale.chain(missing).collect()
    }

    /// Who is silent, in words, for messages.
    #[must_use]
    pub fn silence(&self) -> String {
        let names: Vec<&str> = self.silent().map(|(region, _)| region.as_str()).collect();
        if names.is_empty() {
            "every region answered".to_owned()
        } else {
            format!("no answer from {}", names.join(", "))
        }
    }

    /// What each register says, in words, for messages.
    #[must_use]
    pub fn words(&self) -> String {
        let each = self.0.iter().map(|(region, answer)| match answer {
            Answer::Holds(record) => {
                format!("{region}: site {} under epoch {}", record.active_site, record.epoch)
            }
            Answer::Absent => format!("{region}: no register"),
            Answer::Silent(_) => format!("{region}: no answer"),
        });
        each.collect::<Vec<_>>().join("; ")
    }
}

/// The claim that one register holds.
#[must_use]
pub fn claim_of(record: &ControlRecord) -> Claim {
    Claim { epoch: record.epoch, site: record.active_site.clone() }
}

/// What becomes of a register that is to hold a claim.
#[expect(clippy::large_enum_variant, reason = "it is matched where it is made")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raise {
    /// Write this, conditionally on what was read.
    Write(ControlRecord),
    /// It holds the claim already.
    Holds,
    /// It holds a newer one: the claim was overtaken, and nothing may be written.
    Newer(Claim),
}

/// A register moved up to a claim. Registers never move down.
#[must_use]
pub fn raise(record: &ControlRecord, claim: &Claim, now: Timestamp) -> Raise {
    if record.epoch > claim.epoch {
        return Raise::Newer(claim_of(record));
    }
    if record.epoch == claim.epoch {
        // Epochs are disjoint by site, so this is the same claim, or nobody's.
        return if record.active_site == claim.site {
            Raise::Holds
        } else {
            Raise::Newer(claim_of(record))
        };
    }
    Raise::Write(ControlRecord {
        epoch: claim.epoch,
        active_site: claim.site.clone(),
        highest_reserved: record.highest_reserved.max(claim.epoch),
        updated_at: now,
        ..record.clone()
    })
}

/// For how long a write that was sent may still arrive, in seconds: the longest call of the function that
/// claims (20 s, the task's limit), its retries, and as much again for what lies in between.
pub const ON_ITS_WAY_SECONDS: i64 = 120;

/// The registers that hold a newer claim than the one that counts, each put back to that one: what is left
/// of a claim that never came about, and costs the serving site the vote of a register. The only change
/// that moves a register down, and a person's.
///
/// Why no permit can come of it: the claim that is given up has no majority, and whoever might still
/// complete it holds its own region's register as a recovery that may act, which is looked at first. What
/// a recovery has sent before it ended may still arrive, so a register that was written within
/// [`ON_ITS_WAY_SECONDS`] is not put back: else two such writes could complete a claim that nobody owns any
/// more. The number stays used.
///
/// # Errors
/// [`crate::ErrorName::Refused`] when a recovery may be acting, or when nothing has to be put back;
/// [`crate::ErrorName::NotReady`] when the claim is too young to be given up;
/// [`crate::ErrorName::Transient`] when no claim has a majority: then a recovery goes on from here.
pub fn abandon(
    registers: &Registers,
    now: Timestamp,
) -> Result<Vec<(Region, ControlRecord)>, Fault> {
    if let Some((region, holder)) = acting(registers, now) {
        return Err(Fault::refused(format!(
            "recovery {} holds the register in {region} since {} and may complete its claim: let it end, \
             or release it when its execution has ended",
            holder.incident, holder.opened_at
        )));
    }
    let Some(agreed) = registers.agreed() else {
        return Err(Fault::transient(format!(
            "no majority of the registers holds one claim ({}): nothing shows which one is to be given \
             up; a recovery of the site that is to serve goes on from here",
            registers.words()
        )));
    };
    let newer = registers.held().filter(|(_, record)| record.epoch > agreed.epoch);
    let put_back: Vec<(Region, ControlRecord)> = newer
        .map(|(region, record)| {
            let back = ControlRecord {
                epoch: agreed.epoch,
                active_site: agreed.site.clone(),
                highest_reserved: record.highest_reserved.max(record.epoch),
                // A recovery of the site that is named now may have been left unfinished before.
                recovery: record.recovery.clone().filter(|holder| holder.target == agreed.site),
                updated_at: now,
                ..record.clone()
            };
            (region.clone(), back)
        })
        .collect();
    let youngest = registers.held().filter(|(_, record)| record.epoch > agreed.epoch);
    if let Some(written) = youngest.map(|(_, record)| record.updated_at).max() {
        let age = now.duration_since(written).as_secs();
        if age < ON_ITS_WAY_SECONDS {
            return Err(Fault::not_ready(format!(
                "a register was written {age} s ago, and what was sent with it may still arrive: ask again \
                 in {} s",
                ON_ITS_WAY_SECONDS - age
            )));
        }
    }
    if put_back.is_empty() {
        return Err(Fault::refused(format!(
            "no register holds a newer claim than site {} under epoch {}, which a majority holds: there is \
             nothing to give up",
            agreed.site, agreed.epoch
        )));
    }
    Ok(put_back)
}

/// The register of a region that has none, under a claim.
#[must_use]
pub fn fresh(app: &AppName, claim: &Claim, now: Timestamp) -> ControlRecord {
    ControlRecord {
        epoch: claim.epoch,
        highest_reserved: claim.epoch,
        ..ControlRecord::first(app.clone(), claim.site.clone(), now)
    }
}

/// That a recovery may act under its claim: its holder is in the own register, its claim is confirmed
/// by a majority, and nobody has claimed a newer one. Asked before every action that follows the claim.
///
/// # Errors
/// [`crate::ErrorName::StaleEpoch`] when a newer epoch is claimed anywhere, or another recovery holds the
/// register; [`crate::ErrorName::Transient`] when too few registers answered to tell;
/// [`crate::ErrorName::Refused`] when the claim was never made.
pub fn may_act<'a>(
    registers: &'a Registers,
    own: &Region,
    incident: &IncidentId,
    epoch: Epoch,
) -> Result<&'a Holder, Fault> {
    let Some(record) = registers.of(own) else {
        return Err(Fault::transient(format!("the register in {own} cannot be read")));
    };
    let holder = crate::ledger::authorize(record, incident, epoch)?;
    if let Some(newer) = registers.newest().filter(|newest| newest.epoch > epoch) {
        return Err(overtaken(incident, epoch, &newer));
    }
    if holder.state != HolderState::Claimed {
        return Err(Fault::refused(format!(
            "recovery {incident} has not claimed epoch {epoch}; nothing is changed before"
        )));
    }
    let claim = Claim { epoch, site: holder.target.clone() };
    if registers.confirm(&claim) {
        Ok(holder)
    } else {
        Err(Fault::transient(format!(
            "a majority of the registers does not confirm site {} under epoch {epoch} ({})",
            claim.site,
            registers.words()
        )))
    }
}

/// The fault of a recovery whose claim a newer one has overtaken.
#[must_use]
pub fn overtaken(incident: &IncidentId, epoch: Epoch, newer: &Claim) -> Fault {
    Fault::stale(format!(
        "recovery {incident} holds epoch {epoch}, and site {} was claimed under epoch {}",
        newer.site, newer.epoch
    ))
}

#[cfg(test)]
mod tests;
