//! What an RDS instance's description means for its promotion.
//!
//! The states are those of the RDS user guide, "Viewing DB instance status".

use crate::State;

/// The tag that a promotion leaves on the instance: the recovery that promoted it, so that a lost
/// answer can be told from an instance that was a primary all along.
pub const PROMOTED_BY: &str = "lifeboat-promoted-by";

/// What a description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Decided by RDS's word alone.
    Settled(State),
    /// RDS calls it a primary; that it takes writes has to be seen by SQL.
    SaysPrimary,
}

/// What an instance with this status is, `follows` being whether RDS names a source that it
/// replicates from.
#[must_use]
pub fn read(status: &str, follows: bool) -> Seen {
    match (status, follows) {
        ("available" | "storage-optimization", true) => Seen::Settled(State::Replica),
        // The first backup of a promoted replica starts on its own, and writes go on beside it.
        ("available" | "storage-optimization" | "backing-up", false) => Seen::SaysPrimary,
        ("stopped" | "stopping", _) => Seen::Settled(State::Broken(format!(
            "it is {status}; start it (aws rds start-db-instance) and redrive the recovery"
        ))),
        ("deleting" | "failed" | "restore-error" | "storage-full", _) => broken(status),
        (status, _)
            if status.starts_with("incompatible-")
                || status.starts_with("inaccessible-encryption-credentials") =>
        {
            broken(status)
        }
        // A replica that is being backed up cannot be promoted until that ends.
        (status, _) => Seen::Settled(State::Changing(format!("RDS says {status}"))),
    }
}

fn broken(status: &str) -> Seen {
    Seen::Settled(State::Broken(format!(
        "RDS says {status}; restore another database (aws rds describe-events tells why)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_available_replica_is_promoted() {
        for status in ["available", "storage-optimization"] {
            assert_eq!(read(status, true), Seen::Settled(State::Replica));
            assert_eq!(read(status, false), Seen::SaysPrimary);
        }
        assert_eq!(read("backing-up", false), Seen::SaysPrimary);
        for (status, follows) in [
            ("backing-up", true),
            ("modifying", true),
            ("modifying", false),
            ("rebooting", false),
            ("creating", true),
            ("a status of next year", false),
        ] {
            assert!(matches!(read(status, follows), Seen::Settled(State::Changing(_))), "{status}");
        }
    }

    #[test]
    fn what_waiting_cannot_mend_needs_a_human() {
        for status in [
            "failed",
            "deleting",
            "stopped",
            "stopping",
            "storage-full",
            "restore-error",
            "incompatible-network",
            "inaccessible-encryption-credentials-recoverable",
        ] {
            for follows in [true, false] {
                let seen = read(status, follows);
                assert!(matches!(seen, Seen::Settled(State::Broken(_))), "{status}");
            }
        }
    }
}
