//! What the client saw, as evidence.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_core::objective::{Acknowledged, Loss, Outage, Sample, loss, outage};

use super::{AnswerSeen, SUSTAINED, Write};

/// All that a client saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The writes, in the order in which they were sent.
    pub writes: Vec<Write>,
    /// The answers of DNS: the first, and each that differs from the one before.
    pub answers: Vec<AnswerSeen>,
}

impl From<&Write> for Sample {
    fn from(write: &Write) -> Self {
        Self { sent_at: write.sent_at, ended_at: write.ended_at, acknowledged: write.acknowledged }
    }
}

/// The writes as samples of availability.
#[must_use]
pub fn samples(writes: &[Write]) -> Vec<Sample> {
    writes.iter().map(Sample::from).collect()
}

impl Traffic {
    /// The writes as samples of availability.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        samples(&self.writes)
    }

    /// The writes that the app acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.writes
            .iter()
            .filter(|write| write.acknowledged)
            .map(|write| Acknowledged { id: write.id.clone(), at: write.ended_at })
            .collect()
    }

    /// The ids of the acknowledged writes.
    #[must_use]
    pub fn acknowledged_ids(&self) -> Vec<String> {
        self.acknowledged().into_iter().map(|write| write.id).collect()
    }

    /// The longest time without service, ended by [`SUSTAINED`] successes in a row.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        outage(&self.samples(), SUSTAINED)
    }

    /// What was lost, given the ids that the new site does not have.
    #[must_use]
    pub fn loss(&self, missing: &BTreeSet<String>, outage_from: Timestamp) -> Loss {
        loss(&self.acknowledged(), missing, outage_from)
    }

    /// How many writes were acknowledged from `at` on.
    #[must_use]
    pub fn acknowledged_since(&self, at: Timestamp) -> usize {
        self.writes.iter().filter(|write| write.acknowledged && write.ended_at >= at).count()
    }
}
