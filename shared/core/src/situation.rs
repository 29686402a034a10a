//! What is known when a recovery has to decide.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    guard::ApprovalGiven,
    ids::{Epoch, Region, SiteName},
    permit::PERMITS_END,
    plan_file::{Replication, Scenario},
    vote::{Checks, Sight, SiteVerdict, Vote},
};

/// All sites as one region sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Where the observer stands.
    pub observed_from: Region,
    /// When the votes were taken.
    pub observed_at: Timestamp,
    /// Whether the observer sees anything.
    pub sight: Sight,
    /// The sites.
    pub sites: BTreeMap<SiteName, SiteObservation>,
    /// The standby's copy of the data.
    pub replica: ReplicaObservation,
}

/// One site as seen from another region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteObservation {
    /// What the votes prove.
    pub verdict: SiteVerdict,
    /// The votes.
    pub checks: Checks,
    /// Since when every round found it down; none while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_since: Option<Timestamp>,
    /// Since when the published votes prove it down without a break, see
    /// [`crate::hold::held_since`]; none while it is not, or when they cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
}

/// The standby database of the observer's region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaObservation {
    /// Whether it answers SQL.
    pub vote: Vote,
    /// What was seen, in words.
    pub detail: String,
    /// Whether it is still a replica. None when it does not answer.
    pub in_recovery: Option<bool>,
    /// The last WAL position that it has received, as PostgreSQL writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_lsn: Option<String>,
    /// The last moment at which it was seen to hold everything that the primary had committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<Timestamp>,
    /// A moment since when it is behind at the least: [`Self::caught_up_at`], or the oldest position of
    /// its primary that it has not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<Timestamp>,
    /// Whether it follows its primary.
    #[serde(default)]
    pub following: Following,
    /// The one site whose database is a primary, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<SiteName>,
}

/// Whether a standby follows its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Following {
    /// It receives what its primary writes.
    Follows,
    /// Its primary writes, and nothing of it arrives.
    Broken,
    /// There is no primary to follow, or it cannot be told.
    #[default]
    Unknown,
}

/// A database, as far as following goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes, or would.
    Primary,
    /// It is a replica, and a WAL receiver runs.
    Receiving,
    /// It is a replica, and none does.
    Cut,
    /// It does not answer.
    Silent,
    /// It cannot be told.
    Unknown,
}

/// Whether the database `own` follows the other site's. Only a primary that answers can be followed;
/// two of them follow nobody.
#[must_use]
pub const fn following(own: Role, other: Role) -> Following {
    match (own, other) {
        (Role::Receiving, Role::Primary) => Following::Follows,
        (Role::Primary | Role::Cut | Role::Silent, Role::Primary) => Following::Broken,
        (Role::Unknown, _) | (_, Role::Receiving | Role::Cut | Role::Silent | Role::Unknown) => {
            Following::Unknown
        }
    }
}

/// Who asked for a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// An alarm on the votes.
    Alarm {
        /// The alarm's name.
        alarm: String,
        /// When it went off.
        at: Timestamp,
    },
    /// A person.
    Operator {
        /// Who.
        who: String,
        /// Act although the votes do not prove the active site lost. Always asks for approval.
        #[serde(default)]
        override_votes: bool,
    },
}

/// Everything that [`crate::recovery_plan::plan`] looks at, besides the plan file.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// What is said to have happened.
    pub scenario: Scenario,
    /// Who says so.
    pub trigger: Trigger,
    /// The site to activate.
    pub target: SiteName,
    /// The site that the ledger calls active.
    pub active: SiteName,
    /// The epoch that this recovery holds.
    pub epoch: Epoch,
    /// Whether its target is the active site already, by the claim of a recovery that failed behind it or
    /// by its own: from there on forward only.
    pub continues: bool,
    /// When a majority was known to hold the claim by which the old site was left; none before.
    pub left_at: Option<Timestamp>,
    /// What the registers answered, where those that answered are no majority: nothing can be claimed.
    pub no_majority: Option<String>,
    /// The votes.
    pub observation: Observation,
    /// How many times this recovery has looked before.
    pub looks: u32,
    /// A person's leave, given for an earlier plan of this recovery.
    pub approval: Option<ApprovalGiven>,
}

impl Situation {
    /// For how many seconds the active site has been proven down without a break; none when that
    /// is not known.
    #[must_use]
    pub fn held_seconds(&self) -> Option<f64> {
        let since = self.observation.sites.get(&self.active)?.held_since?;
        Some(seconds_between(since, self.observation.observed_at).max(0.0))
    }

    /// What the votes prove of the active site.
    #[must_use]
    pub fn active_verdict(&self) -> SiteVerdict {
        self.observation.sites.get(&self.active).map_or(SiteVerdict::Unknown, |site| site.verdict)
    }
}

/// What a promotion can lose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// The most, in seconds of acknowledged writes; none when it cannot be known.
    pub seconds: Option<f64>,
    /// The last moment at which the replica held everything, from which the loss counts on until the
    /// old site has stopped; none when nothing is lost, or nothing is known.
    pub since: Option<Timestamp>,
}

impl Loss {
    /// The same once it is known that a majority held the claim at `agreed_at`, or not before.
    #[must_use]
    pub fn claimed_at(self, agreed_at: Timestamp) -> Self {
        match self {
            Self { seconds: Some(_), since: Some(since) } => {
                Self { seconds: Some(lost_seconds(since, agreed_at)), since: Some(since) }
            }
            other => other,
        }
    }
}

/// What promoting the replica can lose, when a majority holds the claim [`CLAIM_SECONDS`] from now.
///
/// The old site may have acknowledged writes from the last moment at which the replica held
/// everything until its last permit has ended: that this region sees it down is no proof that its
/// users do. A synchronous standby has every acknowledged write, unless it was not following any
/// more: that it had caught up shortly before the outage is what shows that it was.
///
/// Worked example: the replica had everything at 12:00:08, the votes are of 12:00:20, the claim is
/// complete at 12:00:22 at the latest, and permits end 3.5 s later: at most 17.5 s.
#[must_use]
pub fn estimated_loss(
    observation: &Observation,
    active: &SiteName,
    replication: Replication,
) -> Loss {
    let Some(caught_up_at) = observation.replica.caught_up_at else {
        return Loss { seconds: None, since: None };
    };
    let down_since = observation.sites.get(active).and_then(|site| site.down_since);
    let followed = replication == Replication::Synchronous
        && down_since.is_some_and(|at| seconds_between(caught_up_at, at) <= FOLLOWED_SECONDS);
    if followed {
        return Loss { seconds: Some(0.0), since: None };
    }
    let agreed_at = observation.observed_at.saturating_add(CLAIM).unwrap_or(Timestamp::MAX);
    Loss { seconds: Some(lost_seconds(caught_up_at, agreed_at)), since: Some(caught_up_at) }
}

/// The most that is lost when a majority held the claim at `agreed_at`, in seconds.
#[must_use]
pub fn lost_seconds(since: Timestamp, agreed_at: Timestamp) -> f64 {
    let stopped = agreed_at.saturating_add(PERMITS_END).unwrap_or(Timestamp::MAX);
    seconds_between(since, stopped).max(0.0)
}

/// From the votes until a majority holds the claim, in seconds: planning, and a claim that waits for a
/// register as long as a region may take. A claim that takes longer loses more, which the promotion
/// measures and holds against the RPO again.
pub const CLAIM_SECONDS: i64 = 2;
const CLAIM: SignedDuration = SignedDuration::from_secs(CLAIM_SECONDS);

/// A synchronous standby that had caught up this shortly before the outage, in seconds, was
/// following: the longest interval between two rounds of checks (one alarm period).
const FOLLOWED_SECONDS: f64 = 10.0;

/// Seconds from `earlier` to `later`, to the millisecond; negative when they are the other way
/// round.
#[must_use]
pub fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    let millis = later.duration_since(earlier).as_millis();
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of a few hours fit an f64 exactly"
    )]
    let seconds = millis as f64 / 1000.0;
    seconds
}

/// Observations for tests here and in other crates' tests.
#[doc(hidden)]
pub mod samples {
    use super::{Following, Observation, ReplicaObservation, SiteObservation};
    use crate::vote::{CheckKind, CheckResult, Sight, SiteVerdict, Vote};

    /// Site `a` with this verdict as seen from `us-west-2`, the replica having caught up
    /// `lag_seconds` before the outage at 12:00:10.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "constants that parse, used by tests only")]
    pub fn observation(active: SiteVerdict, lag_seconds: i64) -> Observation {
        let outage: jiff::Timestamp = "2026-01-01T12:00:10Z".parse().unwrap();
        let vote = match active {
            SiteVerdict::Up => Vote::Up,
            SiteVerdict::Down | SiteVerdict::Degraded => Vote::Down,
            SiteVerdict::Unknown => Vote::Unknown,
        };
        let checks = |vote| {
            [CheckKind::Http, CheckKind::Postgres, CheckKind::Redis]
                .into_iter()
                .map(|kind| (kind, CheckResult { vote, detail: "sample".into(), elapsed_ms: 3 }))
                .collect()
        };
        let site = |verdict, vote, down_since| SiteObservation {
            verdict,
            checks: checks(vote),
            down_since,
            held_since: down_since,
        };
        Observation {
            observed_from: "us-west-2".parse().unwrap(),
            observed_at: "2026-01-01T12:00:30Z".parse().unwrap(),
            sight: if active == SiteVerdict::Unknown { Sight::Blind } else { Sight::Clear },
            sites: [
                (
                    "a".parse().unwrap(),
                    site(active, vote, (active == SiteVerdict::Down).then_some(outage)),
                ),
                ("b".parse().unwrap(), site(SiteVerdict::Degraded, Vote::Up, None)),
            ]
            .into(),
            replica: ReplicaObservation {
                vote: Vote::Up,
                detail: "streaming".into(),
                in_recovery: Some(true),
                received_lsn: Some("0/5000148".into()),
                caught_up_at: Some(outage - jiff::SignedDuration::from_secs(lag_seconds)),
                behind_since: None,
                following: Following::Unknown,
                primary: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_broken_only_when_a_primary_is_there_to_follow() {
        let others = [Role::Receiving, Role::Cut, Role::Silent, Role::Unknown];
        for own in [Role::Primary, Role::Receiving, Role::Cut, Role::Silent, Role::Unknown] {
            for other in others {
                assert_eq!(following(own, other), Following::Unknown, "{own:?} {other:?}");
            }
        }
        assert_eq!(following(Role::Receiving, Role::Primary), Following::Follows);
        for own in [Role::Primary, Role::Cut, Role::Silent] {
            assert_eq!(following(own, Role::Primary), Following::Broken, "{own:?}");
        }
        assert_eq!(following(Role::Unknown, Role::Primary), Following::Unknown);
    }
}
