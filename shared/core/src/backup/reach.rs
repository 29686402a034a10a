//! To which moments a base backup can be recovered.

use jiff::Timestamp;

/// What is known of a base backup and of the WAL behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// When the backup was complete: it holds changes up to then, and none can be left out.
    pub complete_at: Timestamp,
    /// When the last transaction ended that replaying the archived WAL without a gap comes to; none
    /// when there is no such transaction.
    pub last_transaction: Option<Timestamp>,
}

/// Whether PostgreSQL can recover to `to`.
///
/// It stops before the first transaction that ended later than the target, and takes reaching the
/// end of the WAL without one for a failure (manual, `recovery_target_time`). So a target has to be
/// *before* the last transaction.
///
/// # Errors
/// It cannot: why, and which moments can be chosen.
pub fn can_recover_to(to: Timestamp, reach: Reach) -> Result<(), String> {
    let Reach { complete_at, last_transaction } = reach;
    let Some(last) = last_transaction.filter(|last| *last > complete_at) else {
        return Err(format!(
            "{to} cannot be reached: no transaction is archived that ended after the backup was \
             complete ({complete_at}); leave the time out to recover what is there, or choose an \
             older backup"
        ));
    };
    if to < complete_at {
        return Err(format!(
            "{to} is before the backup was complete: it can be recovered to a time from \
             {complete_at} on and before {last}; choose an older backup for an earlier one"
        ));
    }
    if to >= last {
        return Err(format!(
            "{to} is not before the last archived transaction: the backup can be recovered to a \
             time from {complete_at} on and before {last}; leave the time out to recover all of it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_moment_must_be_behind_the_backup_and_before_the_last_transaction() {
        let reach = Reach {
            complete_at: at("2026-11-24T12:00:05Z"),
            last_transaction: Some(at("2026-11-24T16:05:00.25Z")),
        };
        for (to, says) in [
            ("2026-11-24T12:00:04Z", Some("choose an older backup")),
            ("2026-11-24T12:00:05Z", None),
            ("2026-11-24T16:05:00Z", None),
            ("2026-11-24T16:05:00.25Z", Some("before 2026-11-24T16:05:00.25Z; leave the time out")),
            ("2026-11-24T16:06:00Z", Some("from 2026-11-24T12:00:05Z on and before")),
        ] {
            let can = can_recover_to(at(to), reach);
            assert_eq!(can.is_err(), says.is_some(), "{to}");
            let message = can.err().unwrap_or_default();
            assert!(message.contains(says.unwrap_or_default()), "{message}");
        }
    }

    #[test]
    fn without_a_later_transaction_nothing_can_be_chosen() {
        let complete_at = at("2026-11-24T12:00:05Z");
        for last_transaction in [None, Some(complete_at)] {
            let message = can_recover_to(complete_at, Reach { complete_at, last_transaction });
            assert!(message.unwrap_err().contains("no transaction is archived"));
        }
    }
}
