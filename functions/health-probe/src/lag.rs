//! When the replica was last seen to hold everything that the primary had written.
//!
//! The moment is the one *before* the primary was asked, so a write acknowledged later is never
//! taken for one that the replica holds. A position that the replica has not reached yet is kept:
//! it proves its moment when a later answer of the replica shows that it was reached.

use std::collections::VecDeque;

use jiff::Timestamp;
use lifeboat_postgres::Lsn;

/// Positions kept for later proof. At a round each two seconds, five minutes of lag; beyond it the
/// oldest go, so that the lag is then stated too large and never too small.
const KEPT: usize = 150;

/// The bookkeeping of one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    pending: VecDeque<(Timestamp, Lsn)>,
    caught_up_at: Option<Timestamp>,
}

impl Lag {
    /// Notes that the primary, asked after `before`, had written up to `position`.
    pub(crate) fn primary_was_at(&mut self, before: Timestamp, position: Lsn) {
        // A position that goes back is another timeline's: what was noted before compares with
        // nothing any more.
        if self.pending.back().is_some_and(|(_, last)| position < *last) {
            self.pending.clear();
        }
        self.pending.push_back((before, position));
        if self.pending.len() > KEPT {
            self.pending.pop_front();
        }
    }

    /// Notes that the replica holds everything up to `position`.
    pub(crate) fn replica_holds(&mut self, position: Lsn) {
        while let Some((at, needed)) = self.pending.front() {
            if *needed > position {
                break;
            }
            self.caught_up_at = self.caught_up_at.max(Some(*at));
            self.pending.pop_front();
        }
    }

    /// A moment since when the replica is behind at the least; none when nothing is known.
    pub(crate) fn behind_since(&self) -> Option<Timestamp> {
        self.caught_up_at.or_else(|| self.pending.front().map(|(at, _)| *at))
    }

    /// Whether the replica has still to reach the primary's last known position.
    pub(crate) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The last moment at which the replica held everything; none when that was never seen.
    pub(crate) const fn caught_up_at(&self) -> Option<Timestamp> {
        self.caught_up_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_268_800 + second).unwrap()
    }

    #[test]
    fn a_replica_that_holds_everything_was_caught_up_when_the_primary_was_asked() {
        let mut lag = Lag::default();
        assert_eq!(lag.caught_up_at(), None);
        lag.primary_was_at(at(0), Lsn(100));
        assert!(lag.is_behind());
        lag.replica_holds(Lsn(100));
        assert_eq!((lag.caught_up_at(), lag.is_behind()), (Some(at(0)), false));
    }

    #[test]
    fn a_replica_behind_was_caught_up_when_it_last_held_everything() {
        let mut lag = Lag::default();
        lag.primary_was_at(at(0), Lsn(100));
        lag.replica_holds(Lsn(100));
        lag.primary_was_at(at(2), Lsn(200));
        lag.replica_holds(Lsn(199));
        lag.primary_was_at(at(4), Lsn(300));
        lag.replica_holds(Lsn(199));
        assert_eq!((lag.caught_up_at(), lag.is_behind()), (Some(at(0)), true));
    }

    #[test]
    fn a_position_reached_later_proves_the_moment_at_which_it_was_the_primarys() {
        let mut lag = Lag::default();
        lag.primary_was_at(at(0), Lsn(100));
        lag.primary_was_at(at(2), Lsn(200));
        lag.primary_was_at(at(4), Lsn(300));
        lag.replica_holds(Lsn(250));
        assert_eq!((lag.caught_up_at(), lag.is_behind()), (Some(at(2)), true));
        lag.replica_holds(Lsn(300));
        assert_eq!(lag.caught_up_at(), Some(at(4)));
    }

    #[test]
    fn positions_of_another_timeline_prove_nothing() {
        let mut lag = Lag::default();
        lag.primary_was_at(at(0), Lsn(900));
        lag.primary_was_at(at(2), Lsn(500));
        lag.replica_holds(Lsn(500));
        assert_eq!(lag.caught_up_at(), Some(at(2)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_errs_to_the_larger_lag() {
        let mut lag = Lag::default();
        for second in 0..1000 {
            lag.primary_was_at(at(second), Lsn(u64::try_from(second).unwrap()));
        }
        assert_eq!(lag.pending.len(), KEPT);
        lag.replica_holds(Lsn(100));
        assert_eq!(lag.caught_up_at(), None);
        lag.replica_holds(Lsn(2000));
        assert_eq!(lag.caught_up_at(), Some(at(999)));
    }
}
