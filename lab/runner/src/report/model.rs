//! The result of a drill, and the evidence for it.

use std::fmt;

use jiff::Timestamp;
use lifeboat_core::vote::Vote;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::client::Write;

/// Whether the drill proved what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every target was met and every invariant held.
    Pass,
    /// A target was missed, an invariant broke, or a step failed.
    Fail,
}

impl Verdict {
    /// The word for it in the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

/// One step of the recovery machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// The state's name in the machine.
    pub name: String,
    /// When it was entered.
    #[serde(with = "moment")]
    pub started_at: Timestamp,
    /// When it was left; none when it never was.
    #[serde(with = "moment::option")]
    pub ended_at: Option<Timestamp>,
    /// What became of it, in a few words: `promoted`, `unfenced`; `failed: ...` is a failure.
    pub outcome: String,
}

impl StepResult {
    /// Whether its outcome says that it failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.outcome.starts_with("failed")
    }
}

/// One message to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationResult {
    /// `sns`, `slack`, ...
    pub channel: String,
    /// What it was about: `started`, `recovered`, `failed`.
    pub stage: String,
    /// Whether it arrived.
    pub delivered: bool,
}

/// Whether an invariant held, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvariantResult {
    /// A stable name: `one-writer`, `stale-site-fences-itself`, ...
    pub id: String,
    /// Whether it held.
    pub held: bool,
    /// What was measured.
    pub evidence: String,
}

/// A part of the achieved RTO.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// `detection`, `promotion`, ...
    pub name: String,
    /// Its length in seconds.
    pub seconds: f64,
}

/// The parts of the achieved RTO, in the order in which they happened; in JSON an object of name
/// to seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts(pub Vec<Part>);

impl Parts {
    /// Adds a part.
    pub fn push(&mut self, name: impl Into<String>, seconds: f64) {
        self.0.push(Part { name: name.into(), seconds });
    }
}

impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for part in &self.0 {
            map.serialize_entry(&part.name, &part.seconds)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Parts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of part name to seconds")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts, A::Error> {
                let mut parts = Parts::default();
                while let Some((name, seconds)) = map.next_entry::<String, f64>()? {
                    parts.push(name, seconds);
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// What a drill measured: the content of `target/drill/<scenario>.json`. Times are UTC with
/// milliseconds, lengths are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillReport {
    /// The drill's name; also that of its files.
    pub scenario: String,
    /// When the drill began to watch the serving app.
    #[serde(with = "moment")]
    pub started_at: Timestamp,
    /// When the disaster struck.
    #[serde(with = "moment")]
    pub struck_at: Timestamp,
    /// When the alarm fired; none when it never did.
    #[serde(with = "moment::option")]
    pub detected_at: Option<Timestamp>,
    /// When the client saw the first success of sustained service again; none when it never did or
    /// when service was never lost.
    #[serde(with = "moment::option")]
    pub served_at: Option<Timestamp>,
    /// The target; none when the drill has none, as that of a false alarm.
    pub rto_target_seconds: Option<f64>,
    /// From the first failed write to `served_at`; none when service did not come back.
    pub achieved_rto_seconds: Option<f64>,
    /// The target; none when the drill has none.
    pub rpo_target_seconds: Option<f64>,
    /// From the oldest lost write to the last acknowledged one before the outage, 0 when nothing
    /// was lost; none when it could not be measured.
    pub achieved_rpo_seconds: Option<f64>,
    /// Writes that the app acknowledged.
    pub writes_acknowledged: u64,
    /// Those of them that the site that serves now does not have.
    pub writes_lost: u64,
    /// Writes acknowledged from `served_at` on.
    pub writes_after_recovery: u64,
    /// Writes that the old site accepted after the new one had opened.
    pub stale_writes_accepted: u64,
    /// For how long both sites acknowledged writes, by the clients' acknowledgements.
    pub dual_writer_seconds: f64,
    /// The most that the plan, or its approver, was told would be lost; none when nothing was planned.
    pub loss_shown_seconds: Option<f64>,
    /// The epoch before the disaster.
    pub epoch_before: u64,
    /// The epoch at the end.
    pub epoch_after: u64,
    /// The recovery machine's steps, in the order in which they began.
    pub steps: Vec<StepResult>,
    /// The messages that were due.
    pub notifications: Vec<NotificationResult>,
    /// The invariants that the drill looked at.
    pub invariants: Vec<InvariantResult>,
    /// The judgement.
    pub verdict: Verdict,
    /// How many things the drill made and did not remove.
    pub leftover_resources: u64,
    /// How the region died: `kill` or `hang`.
    pub mode: String,
    /// Why the verdict is what it is, in one sentence.
    pub reason: String,
    /// The parts of the achieved RTO, in seconds.
    pub parts: Parts,
    /// The ids of the lost writes.
    pub writes_lost_ids: Vec<String>,
    /// The backups that the drill took; empty in a drill of another kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupResult>,
}

impl DrillReport {
    /// Whether it rehearsed backups: nothing struck then, and nothing recovered.
    #[must_use]
    pub const fn is_of_backups(&self) -> bool {
        !self.backups.is_empty()
    }
}

/// One backup that a drill took, and what was proven of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupResult {
    /// The app.
    pub app: String,
    /// The kind, such as `database-dump`.
    pub kind: String,
    /// The recovery point.
    pub point: String,
    /// Stored bytes.
    pub size_bytes: u64,
    /// What was proven in each region, by region: `read sound, restored sound`.
    pub proven: std::collections::BTreeMap<String, String>,
    /// Whether each region has it, and has proven all that it owes.
    pub complete: bool,
}

/// What one observer said about one site in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// When.
    pub at: Timestamp,
    /// The verdict of that round.
    pub vote: Vote,
    /// What was seen, in words.
    pub detail: String,
}

/// What DNS answers from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsAnswer {
    /// From when.
    pub at: Timestamp,
    /// The answer in words: `site a (127.0.1.10)`.
    pub answer: String,
}

/// A further moment worth a line in the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What happened, in two or three words.
    pub label: String,
}

/// The report with all that its page draws.
#[derive(Debug, Clone, PartialEq)]
pub struct DrillEvidence {
    /// The measured result.
    pub report: DrillReport,
    /// The client's writes, in the order in which they were sent.
    pub writes: Vec<Write>,
    /// The rounds of the health probe; empty when they could not be had.
    pub observations: Vec<Observation>,
    /// The answers of DNS: the first, and each change.
    pub dns: Vec<DnsAnswer>,
    /// Further moments; struck, detected, DNS moved and served again are drawn without being here.
    pub marks: Vec<Mark>,
    /// The command that runs this drill again.
    pub command: String,
}

/// The seconds from one moment to another, to the millisecond; negative when `until` is earlier.
#[must_use]
pub fn seconds_between(from: Timestamp, until: Timestamp) -> f64 {
    let seconds = until.duration_since(from).as_secs_f64();
    (seconds * 1000.0).round() / 1000.0
}

/// Times as RFC 3339 in UTC with milliseconds.
mod moment {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{at:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(from)
    }

    pub(super) mod option {
        use jiff::Timestamp;
        use serde::{Deserialize, Deserializer, Serializer};

        #[expect(clippy::ref_option, reason = "the signature that serde calls")]
        pub(in super::super) fn serialize<S: Serializer>(
            at: &Option<Timestamp>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Option::deserialize(from)
        }
    }
}
