//! What each host answered.

use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};

/// What one host made of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has not taken it (`Pending`, `Delayed`), and still may.
    Silent,
    /// It has taken it and not ended (`InProgress`, `Cancelling`).
    Working,
    /// It did it (`Success`).
    Done,
    /// It will not do it any more: every other word that Run Command ends with.
    NotDone(HostFailure),
}

impl Answer {
    /// Of two answers to the same order, sent twice, the one that says more was achieved.
    fn better(self, other: Self) -> Self {
        let rank = |answer: &Self| match answer {
            Self::Done => 3,
            Self::Working => 2,
            Self::Silent => 1,
            Self::NotDone(_) => 0,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// A host that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFailure {
    /// The managed node's id.
    pub host: String,
    /// Run Command's word for it: `Failed`, `DeliveryTimedOut`.
    pub status: String,
    /// The script's exit code, if it ran.
    pub exit_code: Option<i32>,
    /// The last line that the script wrote to standard error; empty when there is none.
    pub last_line: String,
}

impl fmt::Display for HostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}: {}", self.host, self.status)?;
        if let Some(code) = self.exit_code {
            write!(f, ", exit code {code}")?;
        }
        if !self.last_line.is_empty() {
            write!(f, ": {}", self.last_line)?;
        }
        Ok(())
    }
}

/// What the hosts that a command was sent to had answered at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// When it was sent, as Run Command says.
    pub sent_at: Timestamp,
    /// When the hosts' answers were asked for.
    pub asked_at: Timestamp,
    /// How many hosts it is for. Run Command finds the hosts of a tag after it has taken the
    /// command: until then it is 0.
    pub targets: u32,
    /// Whether it has ended as a whole: nothing that is not answered now ever will be.
    pub ended: bool,
    /// The answers, by host; fewer than `targets` while Run Command lists some hosts not yet.
    pub hosts: BTreeMap<String, Answer>,
}

impl Answers {
    /// How long ago it was sent; never less than nothing, whatever the two clocks say.
    #[must_use]
    pub fn age(&self) -> SignedDuration {
        self.asked_at.duration_since(self.sent_at).max(SignedDuration::ZERO)
    }

    /// These and the answers to the same order, sent a second time: a host that did either did it.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut hosts = self.hosts;
        for (host, answer) in other.hosts {
            let best = match hosts.remove(&host) {
                Some(before) => before.better(answer),
                None => answer,
            };
            hosts.insert(host, best);
        }
        Self {
            sent_at: self.sent_at.max(other.sent_at),
            asked_at: self.asked_at.max(other.asked_at),
            targets: self.targets.max(other.targets),
            ended: self.ended && other.ended,
            hosts,
        }
    }

    /// How many hosts did it.
    #[must_use]
    pub fn done(&self) -> u32 {
        let done = self.hosts.values().filter(|answer| **answer == Answer::Done).count();
        u32::try_from(done).unwrap_or(u32::MAX)
    }

    /// The hosts that will not do it any more.
    pub fn failures(&self) -> impl Iterator<Item = &HostFailure> {
        self.hosts.values().filter_map(|answer| match answer {
            Answer::NotDone(failure) => Some(failure),
            Answer::Silent | Answer::Working | Answer::Done => None,
        })
    }

    /// The hosts with this answer, by name.
    pub(super) fn named(&self, wanted: &Answer) -> Vec<String> {
        let with = self.hosts.iter().filter(|(_, answer)| *answer == wanted);
        with.map(|(host, _)| host.clone()).collect()
    }

    /// How many hosts it is for of which nothing is listed.
    pub(super) fn unlisted(&self) -> u32 {
        self.targets.saturating_sub(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX))
    }

    /// How many hosts may yet do it.
    pub(super) fn open(&self) -> u32 {
        let waits = |answer: &&Answer| matches!(answer, Answer::Silent | Answer::Working);
        let listed = u32::try_from(self.hosts.values().filter(waits).count()).unwrap_or(u32::MAX);
        if self.ended { listed } else { listed.saturating_add(self.unlisted()) }
    }
}
