//! What the commands of the last day say of a backup that is not there yet.
//!
//! A backup that failed is tried again within its slot, but not with every tick: each try reads the
//! whole source, and each failure pages a person.

use jiff::{SignedDuration, Timestamp};
use lifeboat_hosts::Found;

/// Between a failed try and the second one; the third waits twice as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// Tries of one backup within a day. That it stays away then shows in its age, which has an alarm.
const MOST: usize = 3;

/// What became of the tries of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tries {
    /// One is under way.
    Open,
    /// Nothing is under way, and it may be begun.
    Free,
    /// It failed too recently, or too often.
    Paused,
}

/// The tries of one backup, the newest first.
pub(crate) fn judge(tries: &[&Found], now: Timestamp) -> Tries {
    if tries.iter().any(|found| found.succeeded.is_none()) {
        return Tries::Open;
    }
    // One that succeeded and left no manifest has failed in its own way.
    let Some(last) = tries.first() else { return Tries::Free };
    let pause = FIRST_PAUSE.saturating_mul(i32::try_from(tries.len()).unwrap_or(i32::MAX));
    if tries.len() >= MOST || now.duration_since(last.sent_at) < pause {
        Tries::Paused
    } else {
        Tries::Free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn found(minutes: i64, succeeded: Option<bool>) -> Found {
        let id = format!("command-{minutes}");
        Found { id, sent_at: at(minutes), parameters: [].into(), succeeded }
    }

    #[test]
    fn a_failed_backup_waits_longer_each_time_and_is_given_up_after_three() {
        let judge =
            |tries: &[Found], minutes| judge(&tries.iter().collect::<Vec<_>>(), at(minutes));
        let failed = |minutes| found(minutes, Some(false));
        assert_eq!(judge(&[], 0), Tries::Free);
        assert_eq!(judge(&[failed(0)], 14), Tries::Paused);
        assert_eq!(judge(&[failed(0)], 15), Tries::Free);
        assert_eq!(judge(&[failed(15), failed(0)], 44), Tries::Paused);
        assert_eq!(judge(&[failed(15), failed(0)], 45), Tries::Free);
        assert_eq!(judge(&[failed(45), failed(15), failed(0)], 1_000), Tries::Paused);
        let open = [found(20, None), failed(0)];
        assert_eq!(judge(&open, 21), Tries::Open);
    }
}
