//! Whether a site may serve writes now: the rule behind `lifeboat guard`.
//!
//! A guard runs on each host of a site, reads the control records of its own and of the other
//! region each second, and hands the app a permit that is good for a few seconds. The order keeps
//! the invariant that a stale site never serves a write after it can see a newer epoch: the moment
//! before the reads began is what a permit counts from, so a guard that is frozen between reading
//! and writing hands out a permit that has expired already.
//!
//! After a start or a pause nothing is known of what happened meanwhile, so every other region must
//! confirm before the first permit; except where the own region's record says that no other region
//! knows of its epoch, for then none can have gone on from it. In steady operation an unreachable
//! peer does not stop the site: a standby's outage must not become the system's.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{AppName, Epoch, Region, SiteName},
    ledger::{ControlRecord, Standing, newest, standing},
};

/// How long a permit lasts, in seconds: three ticks of the guard, so that one slow read does not
/// stop the site.
pub const PERMIT_SECONDS: i64 = 3;

/// A pause longer than this, in seconds, means that the host was stopped: as long as a permit, so
/// that no permit from before it can still be good.
pub const PAUSE_SECONDS: i64 = PERMIT_SECONDS;

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
    /// Until when. In the past when there is no permit.
    pub valid_until: Timestamp,
    /// Why there is a permit, or why not.
    pub reason: String,
}

/// What the guard read in one tick.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    /// Just before the reads began.
    pub began_at: Timestamp,
    /// The own region's control record, if it could be read.
    pub own: Option<&'a ControlRecord>,
    /// The other regions' control records that could be read.
    pub others: Vec<&'a ControlRecord>,
    /// The other regions whose record could not be read.
    pub unreachable: Vec<Region>,
}

/// What the guard remembers from tick to tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    last_tick: Option<Timestamp>,
    confirmed: bool,
    /// The newest epoch ever seen: what was seen once stays known when it can no longer be read.
    highest_seen: Epoch,
}

/// The permit of this tick, and what to remember for the next.
#[must_use]
pub fn decide(
    memory: Memory,
    app: &AppName,
    site: &SiteName,
    epoch: Epoch,
    reading: &Reading<'_>,
) -> (Permit, Memory) {
    let began_at = reading.began_at;
    let paused = memory.last_tick.is_none_or(|last| {
        let gap = began_at.duration_since(last);
        gap > SignedDuration::from_secs(PAUSE_SECONDS) || gap.is_negative()
    });
    let newest = newest(reading.others.iter().copied().chain(reading.own));
    let last_word = reading
        .own
        .is_some_and(|own| !own.known_elsewhere && newest.is_some_and(|n| n.epoch == own.epoch));
    let confirmed = reading.unreachable.is_empty() || (memory.confirmed && !paused) || last_word;
    let highest_seen = newest.map_or(memory.highest_seen, |n| n.epoch.max(memory.highest_seen));
    let verdict = match newest {
        None => Err("no register could be read: this site sees neither its own region's \
                     ledger nor the other's"
            .to_owned()),
        Some(record) if record.epoch < highest_seen => Err(format!(
            "epoch {highest_seen} was seen before; what can be read now is epoch {}",
            record.epoch
        )),
        Some(record) => match standing(record, site, epoch) {
            Standing::Fenced(reason) => Err(reason),
            Standing::Active(_) if !confirmed => Err(format!(
                "after a start or a pause every other region must confirm the epoch first; \
                 unreachable: {}",
                reading.unreachable.iter().map(Region::as_str).collect::<Vec<_>>().join(", ")
            )),
            Standing::Active(_) => Ok("active under the newest epoch".to_owned()),
        },
    };
    // A refusal confirms nothing for the ticks to come.
    let confirmed = confirmed && verdict.is_ok();
    let (valid_until, reason) = match verdict {
        Ok(reason) => {
            let end = began_at.checked_add(SignedDuration::from_secs(PERMIT_SECONDS));
            (end.unwrap_or(began_at), reason)
        }
        Err(reason) => (began_at, reason),
    };
    let permit = Permit { app: app.clone(), site: site.clone(), epoch, valid_until, reason };
    (permit, Memory { last_tick: Some(began_at), confirmed, highest_seen })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_268_800 + second).unwrap()
    }

    fn record(epoch: u64, active: &str) -> ControlRecord {
        ControlRecord {
            epoch: Epoch(epoch),
            highest_reserved: Epoch(epoch),
            ..ControlRecord::first("queue".parse().unwrap(), active.parse().unwrap(), at(0))
        }
    }

    struct Guard(Memory);

    impl Guard {
        /// Ticks site `a` with epoch 1; answers whether it got a permit.
        fn tick(&mut self, second: i64, records: &[&ControlRecord], peer_seen: bool) -> bool {
            let (own, others) = match records {
                [own, others @ ..] if own.active_site.as_str() == "a" => (Some(*own), others),
                others => (None, others),
            };
            let reading = Reading {
                began_at: at(second),
                own,
                others: others.to_vec(),
                unreachable: if peer_seen { vec![] } else { vec!["us-west-2".parse().unwrap()] },
            };
            let (app, site) = ("queue".parse().unwrap(), "a".parse().unwrap());
            let (permit, memory) = decide(self.0, &app, &site, Epoch(1), &reading);
            self.0 = memory;
            permit.valid_until > at(second)
        }
    }

    #[test]
    fn a_peers_outage_does_not_stop_a_running_site() {
        let (mut guard, own) = (Guard(Memory::default()), record(1, "a"));
        assert!(guard.tick(0, &[&own], true));
        assert!((1..100).all(|second| guard.tick(second, &[&own], false)));
    }

    #[test]
    fn after_a_start_or_a_pause_the_peer_must_confirm() {
        let (mut guard, own) = (Guard(Memory::default()), record(1, "a"));
        assert!(!guard.tick(0, &[&own], false), "a start");
        assert!(guard.tick(1, &[&own], true));
        assert!(guard.tick(2, &[&own], false));
        assert!(!guard.tick(60, &[&own], false), "a pause");
        assert!(!guard.tick(61, &[&own], false), "a pause is not over by itself");
        assert!(guard.tick(62, &[&own], true));
    }

    #[test]
    fn an_epoch_that_no_other_region_knows_of_needs_no_confirmation() {
        let (mut guard, mut own) = (Guard(Memory::default()), record(1, "a"));
        own.known_elsewhere = false;
        assert!(guard.tick(0, &[&own], false), "a start while the other region is dark");
        assert!(guard.tick(60, &[&own], false), "a restart");
        assert!(!guard.tick(61, &[&own, &record(2, "b")], true), "a newer epoch, all the same");
    }

    #[test]
    fn a_newer_epoch_ends_the_permit_wherever_it_is_seen() {
        let (mut guard, own, peer) = (Guard(Memory::default()), record(1, "a"), record(2, "b"));
        assert!(guard.tick(0, &[&own], true));
        assert!(!guard.tick(1, &[&own, &peer], true));
        assert!(!guard.tick(2, &[&peer], false));
    }

    #[test]
    fn a_newer_epoch_that_was_seen_once_is_not_forgotten() {
        let (mut guard, own, peer) = (Guard(Memory::default()), record(1, "a"), record(2, "b"));
        assert!(!guard.tick(0, &[&own, &peer], true), "fenced");
        assert!(!guard.tick(1, &[&own], false), "the peer is slow for a moment");
        assert!(!guard.tick(2, &[&own], true), "nor when its record is missing altogether");
    }

    #[test]
    fn a_site_that_sees_nothing_stops() {
        let (mut guard, own) = (Guard(Memory::default()), record(1, "a"));
        assert!(guard.tick(0, &[&own], true));
        assert!(!guard.tick(1, &[], false));
    }
}
