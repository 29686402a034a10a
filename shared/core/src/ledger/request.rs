//! What a person's request for a recovery meets, and what its execution is called.

use jiff::Timestamp;

use super::{Holder, acting, active_already};
use crate::{
    ids::{AppName, Epoch, Region, SiteName},
    registers::Registers,
};

/// What a request for a recovery finds in the registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met<'a> {
    /// Nothing that stands against it.
    Nothing,
    /// The site is the active one already, and no recovery of it is unfinished.
    Active(Epoch),
    /// This recovery of the same site holds the ledger; another one would stand down.
    Same(&'a Holder),
    /// This recovery of another site holds the register of this region.
    Other(&'a Region, &'a Holder),
}

/// What a request to activate `target` meets. Only a forecast: the machine asks the registers again
/// when it opens, and that answer counts.
#[must_use]
pub fn met<'a>(registers: &'a Registers, target: &SiteName, now: Timestamp) -> Met<'a> {
    match acting(registers, now) {
        Some((_, holder)) if holder.target == *target => return Met::Same(holder),
        Some((region, holder)) => return Met::Other(region, holder),
        None => {}
    }
    active_already(registers, target).map_or(Met::Nothing, |claim| Met::Active(claim.epoch))
}

/// The name of an operator's attempt, counted from 1, to leave this epoch.
///
/// It is the same for everyone who asks, so that two operators at once start one execution; an attempt
/// that has ended leaves the next number to the next request.
#[must_use]
pub fn attempt_name(app: &AppName, epoch: Epoch, attempt: u32) -> String {
    match attempt {
        ..=1 => format!("{app}-leaves-epoch-{epoch}"),
        _ => format!("{app}-leaves-epoch-{epoch}-attempt-{attempt}"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{
        ids::IncidentId,
        ledger::{Claimant, ControlRecord, EpochClass, HOLD_SECONDS, HolderState, Opening, open},
        registers::Answer,
    };

    fn site(name: &str) -> SiteName {
        name.parse().unwrap()
    }

    fn record(holder: Option<(&str, HolderState)>) -> ControlRecord {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let first = ControlRecord::first("queue".parse().unwrap(), site("a"), now);
        let recovery = holder.map(|(target, state)| Holder {
            incident: "i-1".parse().unwrap(),
            execution: "arn".into(),
            target: site(target),
            epoch: Epoch(2),
            opened_at: now,
            state,
            agreed_at: None,
            agreed_before: None,
        });
        ControlRecord { recovery, highest_reserved: Epoch(2), ..first }
    }

    fn alone(record: &ControlRecord) -> Registers {
        Registers::new([("us-west-2".parse().unwrap(), Answer::Holds(record.clone()))])
    }

    #[test]
    fn a_request_meets_what_the_machine_would_meet() {
        let now: Timestamp = "2026-12-01T12:00:10Z".parse().unwrap();
        let late = now + SignedDuration::from_secs(HOLD_SECONDS);
        let states = [HolderState::Open, HolderState::Claimed, HolderState::Failed];
        let holders = states.iter().flat_map(|s| [Some(("a", *s)), Some(("b", *s))]).chain([None]);
        for holder in holders {
            for (target, at) in [("a", now), ("b", now), ("a", late), ("b", late)] {
                let (record, target) = (record(holder), site(target));
                let incident = IncidentId::new("other").unwrap();
                let claimant = Claimant { incident: &incident, execution: "else", target: &target };
                let registers = alone(&record);
                let class = EpochClass::of(&target, [&site("a"), &site("b")]).unwrap();
                let own = "us-west-2".parse().unwrap();
                let opening = open(&own, &registers, &claimant, class, at);
                let opens = matches!(opening, Opening::Write(_));
                let met = met(&registers, &target, at);
                assert_eq!(met == Met::Nothing, opens, "{holder:?} {target} {at}");
            }
        }
        let open = alone(&record(Some(("b", HolderState::Open))));
        assert!(matches!(met(&open, &site("b"), now), Met::Same(_)));
        assert!(matches!(met(&open, &site("a"), now), Met::Other(..)));
        assert_eq!(met(&alone(&record(None)), &site("a"), now), Met::Active(Epoch(1)));
    }

    #[test]
    fn attempts_have_names_of_their_own_that_a_machine_takes() {
        // As long as they can be: an execution's name has at most 80 characters (Step Functions API
        // reference, `StartExecution`).
        let app = "a".repeat(31).parse().unwrap();
        let names: Vec<String> =
            (1..4).map(|attempt| attempt_name(&app, Epoch(999_999_999_999), attempt)).collect();
        assert!(names.iter().all(|name| IncidentId::new(name.clone()).is_ok()), "{names:?}");
        assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");
    }
}
