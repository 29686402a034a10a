//! Votes, and what a set of them proves.
//!
//! The invariant: a verdict of [`SiteVerdict::Down`] needs a quorum of checks that voted `down`
//! while the observer could see *something*. `unknown` counts as if it were `up`, so no number of
//! unknown votes can bring a failover about, and turning one more vote to `down` can never take a
//! `Down` verdict away (the tests hold both as properties).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One check's answer. `Unknown` is never merged with `Down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// The check got the answer that it wants.
    Up,
    /// The check got a refusal, a wrong answer, or none before its deadline.
    Down,
    /// The check could not tell: it was not made, or the observer itself is blind.
    Unknown,
}

/// The dependency that a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// `GET /health` of the app.
    Http,
    /// The PostgreSQL server takes connections.
    Postgres,
    /// Redis answers `PING`.
    Redis,
}

impl CheckKind {
    /// The name used in metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

/// One check of one site, as seen from one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// The answer.
    pub vote: Vote,
    /// What was seen, in words: `connection refused`, `no answer within 1800 ms`.
    pub detail: String,
    /// How long the check took, in milliseconds.
    pub elapsed_ms: u64,
}

/// The checks of one site in one round.
pub type Checks = BTreeMap<CheckKind, CheckResult>;

/// Whether the observer can see anything at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// At least one check of the observer's own site voted `up`: its network works.
    Clear,
    /// Nothing answers, not even next door: what it says of others proves nothing.
    Blind,
}

/// What the checks of one site prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteVerdict {
    /// Every check voted `up`.
    Up,
    /// Some check voted `down`, too few for [`SiteVerdict::Down`].
    Degraded,
    /// At least a quorum of checks voted `down`.
    Down,
    /// The votes prove nothing.
    Unknown,
}

/// Whether an observer with these checks of its *own* site can see at all.
#[must_use]
pub fn sight(own_site: &Checks) -> Sight {
    if own_site.values().any(|check| check.vote == Vote::Up) { Sight::Clear } else { Sight::Blind }
}

/// The votes of a blind observer, all `unknown`: a refusal that it sees may be its own network's.
#[must_use]
pub fn discount(checks: Checks, sight: Sight) -> Checks {
    match sight {
        Sight::Clear => checks,
        Sight::Blind => checks
            .into_iter()
            .map(|(kind, check)| {
                let detail = format!("observer is blind; it saw: {}", check.detail);
                (kind, CheckResult { vote: Vote::Unknown, detail, ..check })
            })
            .collect(),
    }
}

/// The verdict on a site. `quorum` is the number of `down` votes that proves it lost; a quorum of
/// zero is read as one, so that an empty set of checks never proves anything.
#[must_use]
pub fn judge(checks: &Checks, sight: Sight, quorum: usize) -> SiteVerdict {
    if sight == Sight::Blind {
        return SiteVerdict::Unknown;
    }
    let count = |vote| checks.values().filter(|check| check.vote == vote).count();
    let (up, down, unknown) = (count(Vote::Up), count(Vote::Down), count(Vote::Unknown));
    if down >= quorum.max(1) {
        SiteVerdict::Down
    } else if down > 0 {
        SiteVerdict::Degraded
    } else if up > 0 && unknown == 0 {
        SiteVerdict::Up
    } else {
        SiteVerdict::Unknown
    }
}

/// The `SiteDown` metric of a round: 1 when proven down, 0 when proven not to be, and no datapoint
/// at all when unknown, because missing data must read neither as healthy nor as down.
#[must_use]
pub const fn site_down_metric(verdict: SiteVerdict) -> Option<f64> {
    match verdict {
        SiteVerdict::Down => Some(1.0),
        SiteVerdict::Up | SiteVerdict::Degraded => Some(0.0),
        SiteVerdict::Unknown => None,
    }
}

/// The `SiteDegraded` metric of the active site in a round: 1 when a check fails and the site is not
/// down for it, 0 when all are well, and no datapoint otherwise.
#[must_use]
pub const fn site_degraded_metric(verdict: SiteVerdict) -> Option<f64> {
    match verdict {
        SiteVerdict::Degraded => Some(1.0),
        SiteVerdict::Up => Some(0.0),
        SiteVerdict::Down | SiteVerdict::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checks(votes: &[Vote]) -> Checks {
        [CheckKind::Http, CheckKind::Postgres, CheckKind::Redis]
            .into_iter()
            .zip(votes)
            .map(|(kind, vote)| {
                (kind, CheckResult { vote: *vote, detail: String::new(), elapsed_ms: 1 })
            })
            .collect()
    }

    fn vote() -> impl Strategy<Value = Vote> {
        prop_oneof![Just(Vote::Up), Just(Vote::Down), Just(Vote::Unknown)]
    }

    proptest! {
        #[test]
        fn one_more_down_vote_never_takes_the_verdict_down_away(
            votes in proptest::collection::vec(vote(), 3), at in 0usize..3, quorum in 1usize..=3,
        ) {
            let before = judge(&checks(&votes), Sight::Clear, quorum);
            let mut worse = votes.clone();
            worse[at] = Vote::Down;
            let after = judge(&checks(&worse), Sight::Clear, quorum);
            prop_assert!(before != SiteVerdict::Down || after == SiteVerdict::Down);
        }

        #[test]
        fn unknown_votes_can_never_decide_for_down(
            votes in proptest::collection::vec(vote(), 3), quorum in 1usize..=3,
        ) {
            let as_up: Vec<Vote> = votes
                .iter()
                .map(|vote| if *vote == Vote::Unknown { Vote::Up } else { *vote })
                .collect();
            prop_assert_eq!(
                judge(&checks(&votes), Sight::Clear, quorum) == SiteVerdict::Down,
                judge(&checks(&as_up), Sight::Clear, quorum) == SiteVerdict::Down
            );
        }

        #[test]
        fn a_blind_observer_proves_nothing(
            votes in proptest::collection::vec(vote(), 3), quorum in 0usize..=3,
        ) {
            let seen = discount(checks(&votes), Sight::Blind);
            prop_assert!(seen.values().all(|check| check.vote == Vote::Unknown));
            let verdict = judge(&seen, Sight::Blind, quorum);
            prop_assert_eq!(verdict, SiteVerdict::Unknown);
            prop_assert_eq!(site_down_metric(verdict), None);
        }
    }

    #[test]
    fn one_failing_check_is_degraded_not_down() {
        let seen = checks(&[Vote::Down, Vote::Up, Vote::Up]);
        assert_eq!(judge(&seen, Sight::Clear, 2), SiteVerdict::Degraded);
        assert_eq!(site_down_metric(SiteVerdict::Degraded), Some(0.0));
    }

    #[test]
    fn no_checks_at_all_prove_nothing() {
        assert_eq!(judge(&Checks::new(), Sight::Clear, 0), SiteVerdict::Unknown);
    }
}
