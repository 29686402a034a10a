//! What was achieved, from what a client saw.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// One request of the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the request was sent.
    pub sent_at: Timestamp,
    /// When the answer, or the failure, was there.
    pub ended_at: Timestamp,
    /// Whether the write was acknowledged.
    pub acknowledged: bool,
}

/// When users were without service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When the first request that failed was sent.
    pub from: Timestamp,
    /// When the first request of the sustained success was answered.
    pub until: Timestamp,
}

/// The longest outage in samples ordered by `sent_at`: from the first failed request to the first
/// success that `sustained` successes in a row (itself included) prove to last. None when nothing
/// failed, or when service never came back.
#[must_use]
pub fn outage(samples: &[Sample], sustained: usize) -> Option<Outage> {
    let mut longest: Option<Outage> = None;
    let mut failed_at: Option<Timestamp> = None;
    let mut run: Vec<&Sample> = Vec::new();
    for sample in samples {
        if sample.acknowledged {
            if failed_at.is_some() {
                run.push(sample);
            }
            if let (Some(from), Some(first)) = (failed_at, run.first())
                && run.len() >= sustained.max(1)
            {
                let found = Outage { from, until: first.ended_at };
                if longest.is_none_or(|longest| length(found) > length(longest)) {
                    longest = Some(found);
                }
                failed_at = None;
                run.clear();
            }
        } else {
            failed_at = failed_at.or(Some(sample.sent_at));
            run.clear();
        }
    }
    longest
}

fn length(outage: Outage) -> SignedDuration {
    outage.until.duration_since(outage.from)
}

/// One acknowledged write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The id that the client gave it.
    pub id: String,
    /// When the acknowledgement arrived.
    pub at: Timestamp,
}

/// What was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The ids of the acknowledged writes that no longer exist.
    pub ids: Vec<String>,
    /// The achieved RPO: from the oldest lost write to the last write that was acknowledged before
    /// the outage, in milliseconds; 0 when nothing was lost.
    pub window_ms: u64,
}

/// The loss among the writes acknowledged before `outage_from`, given the ids that are missing at
/// the new site.
#[must_use]
pub fn loss(writes: &[Acknowledged], missing: &BTreeSet<String>, outage_from: Timestamp) -> Loss {
    let lost: Vec<&Acknowledged> =
        writes.iter().filter(|write| missing.contains(&write.id)).collect();
    let last = writes.iter().map(|write| write.at).filter(|at| *at <= outage_from).max();
    let window = match (lost.iter().map(|write| write.at).min(), last) {
        // A single lost write is a loss of the shortest time that can be told apart.
        (Some(oldest), Some(last)) => last.duration_since(oldest).as_millis().max(1),
        (Some(_), None) => 1,
        (None, _) => 0,
    };
    Loss {
        ids: lost.into_iter().map(|write| write.id.clone()).collect(),
        window_ms: u64::try_from(window).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_767_268_800_000 + ms).unwrap()
    }

    fn samples(text: &str) -> Vec<Sample> {
        text.chars()
            .enumerate()
            .map(|(place, c)| {
                let sent = i64::try_from(place).unwrap() * 100;
                Sample { sent_at: at(sent), ended_at: at(sent + 10), acknowledged: c == '+' }
            })
            .collect()
    }

    #[test]
    fn an_outage_lasts_until_success_is_sustained() {
        let outage = outage(&samples("+++--+-----+++++"), 3).unwrap();
        assert_eq!(outage, Outage { from: at(300), until: at(1110) });
    }

    #[test]
    fn no_failure_is_no_outage_and_a_failure_without_end_is_no_recovery() {
        assert_eq!(outage(&samples("++++"), 3), None);
        assert_eq!(outage(&samples("++--++"), 3), None);
        assert_eq!(outage(&[], 3), None);
    }

    #[test]
    fn the_loss_is_counted_and_its_window_measured() {
        let writes: Vec<Acknowledged> = (0..5)
            .map(|n| Acknowledged { id: n.to_string(), at: at(i64::from(n) * 100) })
            .collect();
        let missing = ["3", "4", "not ours"].map(String::from).into();
        let found = loss(&writes, &missing, at(450));
        assert_eq!(found, Loss { ids: vec!["3".into(), "4".into()], window_ms: 100 });
        assert_eq!(loss(&writes, &BTreeSet::new(), at(450)).window_ms, 0);
        assert_eq!(loss(&writes, &["4".to_owned()].into(), at(450)).window_ms, 1);
    }
}
