//! Whether a site may serve writes now: the rule behind `lifeboat guard`.
//!
//! A guard runs on each host of a site, reads the registers of all regions each second, and hands
//! the app a permit that is good for a few seconds. There is one rule: a permit is granted when a
//! majority of the registers, read in this very tick, holds exactly this site under exactly this
//! epoch. So a site serves through the loss of any one register, its peer's region included, and
//! its writes end within [`PERMIT_SECONDS`] of the moment at which another claim is complete.
//!
//! A permit counts from the moment before the reads began, so a guard that is frozen between
//! reading and writing hands out a permit that has expired already. It ends by the host's uptime, so that
//! a clock that is set, forward or back, makes it neither longer nor shorter. Nothing is remembered that
//! a permit rests on: after a start, a pause or a restart the same reads give the same answer.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    error::Fault,
    ids::{AppName, Epoch, SiteName},
    ledger::Holder,
    registers::{Claim, Registers},
};

/// How long a permit lasts, in seconds: three ticks of the guard, so that one slow read does not
/// stop the site.
pub const PERMIT_SECONDS: i64 = 3;

/// What is waited beyond a permit's end, in milliseconds: what two hosts' clocks may drift apart within
/// [`PERMIT_SECONDS`] is far below a millisecond, an uptime is read to 10 ms, and what the clock of a host
/// and that of its database may differ by is to be below this.
pub const MARGIN_MS: i64 = 500;

/// From the moment at which a majority holds a claim until no permit of an older one can be good.
pub const PERMITS_END: SignedDuration =
    SignedDuration::from_millis(PERMIT_SECONDS * 1000 + MARGIN_MS);

/// For how long a host has been up: the clock by which a permit ends, because nobody sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Which start of the host it counts from; another one is another scale.
    pub boot_id: String,
    /// Milliseconds since that start, those in which the host was suspended included.
    pub millis: u64,
}

impl Uptime {
    /// From `/proc/uptime`, whose first number is the uptime in seconds with two decimals, suspension
    /// included (Linux manual, proc(5)), and `/proc/sys/kernel/random/boot_id` (random(4)).
    ///
    /// Worked example: `12345.67 23456.78` is 12,345,670 ms.
    #[must_use]
    pub fn of(uptime: &str, boot_id: &str) -> Option<Self> {
        let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
        let is_two = hundredths.len() == 2;
        let (seconds, hundredths): (u64, u64) = (seconds.parse().ok()?, hundredths.parse().ok()?);
        let boot_id = boot_id.trim();
        (is_two && !boot_id.is_empty())
            .then(|| Self { boot_id: boot_id.to_owned(), millis: seconds * 1000 + hundredths * 10 })
    }
}

/// When a tick began, by the host's clock and by its uptime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// By its clock, which may be set.
    pub at: Timestamp,
    /// By its uptime.
    pub uptime: Uptime,
}

/// What the guard hands to the app, as the file `permit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// The app.
    pub app: AppName,
    /// The site.
    pub site: SiteName,
    /// The epoch under which writes are permitted.
    pub epoch: Epoch,
    /// Until when, by the host's clock: for people, and for the database's own check. In the past when
    /// there is no permit.
    pub valid_until: Timestamp,
    /// Until when, by the host's uptime: what the app decides by.
    pub valid_until_uptime_ms: u64,
    /// Which start of the host that uptime counts from.
    pub boot_id: String,
    /// Why there is a permit, or why not.
    pub reason: String,
}

/// What a guard remembers from tick to tick: the highest epoch that it saw confirmed. No permit rests
/// on it. It refuses one, should a register be put back to an older version while another is silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Memory(Epoch);

/// The permit of this tick, and what to remember for the next. `began` is just before the reads of the
/// registers began.
#[must_use]
pub fn decide(
    memory: Memory,
    app: &AppName,
    claim: &Claim,
    registers: &Registers,
    began: &Moment,
) -> (Permit, Memory) {
    let agreed = registers.agreed();
    let Memory(seen) = memory;
    let seen = agreed.as_ref().map_or(seen, |agreed| agreed.epoch.max(seen));
    let verdict = match &agreed {
        Some(agreed) if agreed.epoch < seen => Err(format!(
            "epoch {seen} was confirmed before, and now epoch {} is: a register was put back",
            agreed.epoch
        )),
        Some(agreed) if agreed == claim => {
            Ok(format!("a majority of the registers confirms epoch {}", claim.epoch))
        }
        Some(agreed) => Err(format!(
            "site {} is active under epoch {}; this is site {} with epoch {}",
            agreed.site, agreed.epoch, claim.site, claim.epoch
        )),
        None => {
            Err(format!("no majority of the registers confirms any site ({})", registers.words()))
        }
    };
    let (seconds, reason) = match verdict {
        Ok(reason) => (PERMIT_SECONDS, reason),
        Err(reason) => (0, reason),
    };
    let end = began.at.checked_add(SignedDuration::from_secs(seconds));
    let permit = Permit {
        app: app.clone(),
        site: claim.site.clone(),
        epoch: claim.epoch,
        valid_until: end.unwrap_or(began.at),
        valid_until_uptime_ms: began.uptime.millis + 1000 * seconds.unsigned_abs(),
        boot_id: began.uptime.boot_id.clone(),
        reason,
    };
    (permit, Memory(seen))
}

/// The moment from which no permit of the old site can be good any more.
///
/// # Errors
/// [`crate::ErrorName::NotReady`] before, and while no majority is known to hold the claim.
pub fn ended(holder: &Holder, now: Timestamp) -> Result<Timestamp, Fault> {
    let Some(agreed_at) = holder.agreed_at else {
        return Err(Fault::not_ready(format!(
            "no majority of the registers is known to hold epoch {} yet",
            holder.epoch
        )));
    };
    match agreed_at.checked_add(PERMITS_END) {
        Ok(end) if end <= now => Ok(end),
        Ok(end) => Err(Fault::not_ready(format!(
            "permits of the old site may be good until {end}; nothing is opened before"
        ))),
        Err(error) => Err(Fault::needs_human(format!("the claim of {agreed_at}: {error}"))),
    }
}

#[cfg(test)]
mod tests;
