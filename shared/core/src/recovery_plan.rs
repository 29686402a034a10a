//! From a situation to an explicit plan.
//!
//! [`plan`] is total and deterministic: every situation gives a plan, and whatever carries it out
//! makes no choice of its own. [`lint`] holds a plan against the rules that every plan must follow;
//! a plan that breaks one is never run.

mod lint;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    guard::may_promote,
    ids::{Epoch, SiteName},
    permit::PERMITS_END,
    plan_file::{AppPlan, Approval, Engine, Scenario, Switch},
    situation::{Loss, Situation, Trigger, estimated_loss},
    vote::{SiteVerdict, Vote},
};

pub use lint::lint;

/// Seconds that an RDS promotion is expected to take: AWS documents that the instance is rebooted
/// and that it takes several minutes.
const RDS_PROMOTION_SECONDS: f64 = 180.0;
/// Seconds for `pg_promote`: 0.1 s measured, one for the round trips.
const POSTGRES_PROMOTION_SECONDS: f64 = 1.0;
/// Seconds to start the app through Run Command: two polls of the machine.
const ACTIVATION_SECONDS: f64 = 3.0;
/// Seconds until Route 53's checkers have seen the switch object: one fast interval (10 s).
const HEALTH_CHECK_SECONDS: f64 = 10.0;
/// Seconds until a record change is in sync: Route 53 documents 60.
const RECORD_CHANGE_SECONDS: f64 = 60.0;

/// Seconds between two looks of a recovery that waits.
const LOOK_SECONDS: u32 = 10;
/// The longest that a recovery waits before it looks again, in seconds.
const LONGEST_WAIT_SECONDS: u32 = 30;
/// Looks at a site that is not well and not proven down: a minute.
const LOOKS_AT_UNWELL: u32 = 6;
/// Looks at a site that answers again: until its alarm is off, two periods and an evaluation later.
/// One that dies before that rings nobody a second time.
const LOOKS_AT_UP: u32 = 3;
/// Looks at registers of which no majority answers: a minute, in which a short cut heals by itself.
const LOOKS_AT_UNREADABLE: u32 = 6;
/// Looks at a site that is down and not for long enough, beyond twice the time that it needs: it
/// comes and goes, and a person decides.
const LOOKS_AT_FLAPPING: u32 = 10;

/// What to do, or why to do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Go on, unattended.
    Proceed,
    /// Go on when a person has approved.
    AskApproval,
    /// Do nothing yet, and look again in [`RecoveryPlan::wait_seconds`].
    Wait,
    /// Do nothing: it is not needed, or not proven to be.
    StandDown,
    /// Recovery is needed and no path is open: page a person.
    Blocked,
}

/// One thing that the plan does, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What.
    pub action: Action,
    /// On which site.
    pub site: SiteName,
    /// Why this and not something else.
    pub reason: String,
}

/// The actions that a plan can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Make the target the active site in the ledger.
    ClaimEpoch,
    /// Stop the old site from writing, if it can be reached.
    Fence,
    /// Promote the target's replica.
    Promote,
    /// Point the app at its database and start it.
    Activate,
    /// Check that the target can serve.
    Verify,
    /// Move traffic by a health-check switch.
    SwitchByHealthCheck,
    /// Move traffic by changing records.
    SwitchByRecord,
}

/// The plan of one recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlan {
    /// What to do.
    pub decision: Decision,
    /// Why, in one sentence.
    pub reason: String,
    /// The scenario.
    pub scenario: Scenario,
    /// The epoch that it acts under.
    pub epoch: Epoch,
    /// The site to activate.
    pub target: SiteName,
    /// The site that was active.
    pub old_active: SiteName,
    /// The steps, in order; empty unless the decision is to go on.
    pub steps: Vec<Step>,
    /// Seconds until the next look; none unless the decision is to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u32>,
    /// The most that it can lose, in seconds of acknowledged writes; none when unknown.
    pub estimated_loss_seconds: Option<f64>,
    /// From when that loss counts: each second until the claim is complete adds one.
    #[serde(default)]
    pub loss_since: Option<Timestamp>,
    /// Whether the target is claimed already: then nobody is served until it is activated, and giving up
    /// leaves it so.
    #[serde(default)]
    pub continues: bool,
    /// Who approved it, when it goes on because a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// The RPO that it is held against, in seconds.
    pub rpo_seconds: u32,
    /// How long it should take from here, in seconds.
    pub estimated_rto_seconds: f64,
    /// The RTO that it is held against, in seconds.
    pub rto_seconds: u32,
    /// When the votes that it rests on were taken.
    pub observed_at: Timestamp,
}

/// The plan for this situation under this app's policy.
#[must_use]
pub fn plan(situation: &Situation, app: &AppPlan) -> RecoveryPlan {
    let policy = app.scenarios.get(&situation.scenario);
    let Situation { observation, active, .. } = situation;
    let loss = if situation.continues && observation.replica.in_recovery == Some(false) {
        // What could be lost was lost when the recovery before this one promoted.
        Loss { seconds: Some(0.0), since: None }
    } else {
        estimated_loss(observation, active, app.database.replication)
    };
    let loss = situation.left_at.map_or(loss, |left_at| loss.claimed_at(left_at));
    let (mut decision, mut reason) = decide(situation, app, loss.seconds);
    let rpo_seconds = policy.map_or(0, |policy| policy.rpo_seconds);
    let mut approved_by = None;
    // The situation is as bad as it was when a person approved, and costs no more than they saw.
    if decision == Decision::AskApproval
        && let Some(given) = &situation.approval
        && may_promote(loss, rpo_seconds, Some(given), observation.observed_at).is_ok()
    {
        decision = Decision::Proceed;
        reason = format!("{reason}; approved by {}", given.approver);
        approved_by = Some(given.approver.clone());
    }
    let wait_seconds = (decision == Decision::Wait).then(|| wait_seconds(situation, app));
    let goes_on = matches!(decision, Decision::Proceed | Decision::AskApproval);
    RecoveryPlan {
        decision,
        reason,
        scenario: situation.scenario,
        epoch: situation.epoch,
        target: situation.target.clone(),
        old_active: situation.active.clone(),
        steps: if goes_on { steps(situation, app) } else { Vec::new() },
        wait_seconds,
        estimated_loss_seconds: loss.seconds,
        loss_since: loss.since,
        continues: situation.continues,
        approved_by,
        rpo_seconds,
        estimated_rto_seconds: estimated_rto_seconds(app),
        rto_seconds: policy.map_or(0, |policy| policy.rto_seconds),
        observed_at: situation.observation.observed_at,
    }
}

fn decide(situation: &Situation, app: &AppPlan, loss: Option<f64>) -> (Decision, String) {
    let Situation { active, target, trigger, .. } = situation;
    let Some(policy) = app.scenarios.get(&situation.scenario) else {
        return (
            Decision::Blocked,
            format!("the plan has no policy for {}", situation.scenario.as_str()),
        );
    };
    if target == active {
        return (Decision::StandDown, format!("site {target} is the active site already"));
    }
    if app.dns.switch == Switch::HealthCheck && *target == app.initially_active {
        return (
            Decision::Blocked,
            format!(
                "site {target} is the PRIMARY of the failover pair: no object moves clients back to \
                 it; delete the switch object of site {active} by hand, or use switch = \"record\""
            ),
        );
    }
    let overridden = matches!(trigger, Trigger::Operator { override_votes: true, .. });
    let verdict = situation.active_verdict();
    if verdict != SiteVerdict::Down && !overridden && !situation.continues {
        return match looks_at(verdict) {
            looks if is_unattended(situation) && situation.looks < looks => (
                Decision::Wait,
                format!("{}; it is looked at again", not_proven(situation, verdict)),
            ),
            _ => (Decision::StandDown, not_proven(situation, verdict)),
        };
    }
    let held = Hold::of(situation, app);
    if let Hold::Short { held, .. } = held
        && is_unattended(situation)
        && situation.looks < looks_at_short(app)
    {
        return (Decision::Wait, still_short(active, held, app));
    }
    if let Some(answers) = &situation.no_majority {
        let needs = format!(
            "site {active} is down, but too few registers answer for a majority to say so ({answers})"
        );
        return if is_unattended(situation) && situation.looks < LOOKS_AT_UNREADABLE {
            (Decision::Wait, format!("{needs}; they are asked again"))
        } else {
            (Decision::Blocked, format!("{needs}; nothing is changed before one more does"))
        };
    }
    let replica = &situation.observation.replica;
    if replica.vote != Vote::Up {
        return (
            Decision::Blocked,
            format!(
                "site {active} is down, but the replica in {target} cannot be used: {}",
                replica.detail
            ),
        );
    }
    if replica.in_recovery == Some(false) && !situation.continues {
        return (
            Decision::Blocked,
            format!(
                "the database in {target} is a primary already, not a replica of site {active}: it \
                 lacks what was written there since; rebuild it as a replica, or restore"
            ),
        );
    }
    let lost = match loss {
        Some(loss) => format!("at most {loss:.1} s of acknowledged writes"),
        None => "an unknown amount of acknowledged writes".to_owned(),
    };
    if overridden {
        return (
            Decision::AskApproval,
            format!(
                "an operator asks to leave site {active} although the votes say {}; it can lose {lost}",
                verdict_word(verdict)
            ),
        );
    }
    if loss.is_none_or(|loss| loss > f64::from(policy.rpo_seconds)) {
        return (
            Decision::AskApproval,
            format!(
                "site {active} is down, and promoting {target} can lose {lost}, more than the RPO of {} s",
                policy.rpo_seconds
            ),
        );
    }
    match (held, is_unattended(situation)) {
        (Hold::Short { held, .. }, true) => {
            return (
                Decision::AskApproval,
                format!(
                    "site {active} comes and goes: in {} looks it never was down for {} s without a \
                     break, now for {held:.0} s; it can lose {lost}",
                    situation.looks + 1,
                    app.hold_seconds()
                ),
            );
        }
        (Hold::Unknown, true) => {
            return (
                Decision::AskApproval,
                format!(
                    "site {active} is down, and it is not known for how long: the plan asks for {} s \
                     without a break; it can lose {lost}",
                    app.hold_seconds()
                ),
            );
        }
        (Hold::Short { .. } | Hold::Unknown | Hold::Enough, _) => {}
    }
    let lost = match held {
        // A person asked for it now, and is told what an alarm would have waited for.
        Hold::Short { held, .. } => format!(
            "{lost}; an alarm would have waited until it was down for {} s, now it is for {held:.0} s: \
             the engine's own repair may be under way",
            app.hold_seconds()
        ),
        Hold::Unknown | Hold::Enough => lost,
    };
    match policy.approval {
        Approval::Required => (
            Decision::AskApproval,
            format!("site {active} is down; the plan asks for approval; it can lose {lost}"),
        ),
        Approval::Automatic => (
            Decision::Proceed,
            format!(
                "site {active} is down; promoting {target} can lose {lost}, within the RPO of {} s",
                policy.rpo_seconds
            ),
        ),
    }
}

/// Whether an alarm started it: nobody is there who could look again.
const fn is_unattended(situation: &Situation) -> bool {
    matches!(situation.trigger, Trigger::Alarm { .. }) && !situation.continues
}

/// Looks at a site with this verdict before an alarm's recovery stands down.
const fn looks_at(verdict: SiteVerdict) -> u32 {
    match verdict {
        SiteVerdict::Up => LOOKS_AT_UP,
        SiteVerdict::Degraded | SiteVerdict::Unknown => LOOKS_AT_UNWELL,
        SiteVerdict::Down => 0,
    }
}

/// Looks at a site that is down and not for long enough.
fn looks_at_short(app: &AppPlan) -> u32 {
    LOOKS_AT_FLAPPING + 2 * app.hold_seconds() / LONGEST_WAIT_SECONDS
}

/// Whether a verdict has held as long as the plan asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Hold {
    Enough,
    /// Seconds that it has held, and that are missing.
    Short {
        held: f64,
        missing: f64,
    },
    Unknown,
}

impl Hold {
    fn of(situation: &Situation, app: &AppPlan) -> Self {
        let wanted = f64::from(app.hold_seconds());
        match situation.held_seconds() {
            None => Self::Unknown,
            Some(held) if held < wanted => Self::Short { held, missing: wanted - held },
            Some(_) => Self::Enough,
        }
    }
}

fn still_short(active: &SiteName, held: f64, app: &AppPlan) -> String {
    let hold = app.hold_seconds();
    let why = match app.database.engine {
        Engine::Rds => "a Multi-AZ failover of RDS may be under way",
        Engine::Postgres => "it may come back by itself",
    };
    format!("site {active} is down for {held:.0} s of the {hold} s that the plan waits for: {why}")
}

/// Seconds until the next look: when the verdict can have held, and not much later than that.
fn wait_seconds(situation: &Situation, app: &AppPlan) -> u32 {
    match Hold::of(situation, app) {
        Hold::Short { missing, .. } if situation.active_verdict() == SiteVerdict::Down => {
            let longest = f64::from(LONGEST_WAIT_SECONDS);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 30"
            )]
            let seconds = missing.ceil().clamp(1.0, longest) as u32;
            seconds
        }
        Hold::Short { .. } | Hold::Enough | Hold::Unknown => LOOK_SECONDS,
    }
}

fn not_proven(situation: &Situation, verdict: SiteVerdict) -> String {
    let active = &situation.active;
    match verdict {
        SiteVerdict::Up => format!("site {active} answers every check"),
        SiteVerdict::Degraded => format!(
            "site {active} still answers some checks: it is not lost; repair it in place ({})",
            failing(situation)
        ),
        SiteVerdict::Unknown => format!(
            "region {} cannot tell whether site {active} is down: unknown is never down",
            situation.observation.observed_from
        ),
        SiteVerdict::Down => format!("site {active} is down"),
    }
}

fn failing(situation: &Situation) -> String {
    let checks = situation.observation.sites.get(&situation.active).map(|site| &site.checks);
    checks
        .into_iter()
        .flatten()
        .filter(|(_, check)| check.vote != Vote::Up)
        .map(|(kind, check)| format!("{}: {}", kind.as_str(), check.detail))
        .collect::<Vec<_>>()
        .join("; ")
}

const fn verdict_word(verdict: SiteVerdict) -> &'static str {
    match verdict {
        SiteVerdict::Up => "up",
        SiteVerdict::Degraded => "degraded",
        SiteVerdict::Down => "down",
        SiteVerdict::Unknown => "unknown",
    }
}

fn steps(situation: &Situation, app: &AppPlan) -> Vec<Step> {
    let Situation { active, target, .. } = situation;
    let step = |action, site: &SiteName, reason: &str| Step {
        action,
        site: site.clone(),
        reason: reason.to_owned(),
    };
    let data = match app.database.engine {
        Engine::Rds => "the read replica holds the newest data; RDS promotes it",
        Engine::Postgres => "the streaming replica holds the newest data; pg_promote opens it",
    };
    let switch = match app.dns.switch {
        Switch::HealthCheck => step(
            Action::SwitchByHealthCheck,
            target,
            "needs only S3 in this region and Route 53's data plane",
        ),
        Switch::Record => {
            step(Action::SwitchByRecord, target, "the plan file asks for record changes")
        }
    };
    vec![
        step(Action::ClaimEpoch, target, "from here on the old site is stale wherever it can see"),
        step(
            Action::Fence,
            active,
            "best effort: an unreachable site fences itself when it returns",
        ),
        step(Action::Promote, target, data),
        step(Action::Activate, target, "the app needs the new database and the new epoch"),
        step(Action::Verify, target, "nobody is sent to a site that cannot serve"),
        switch,
    ]
}

/// Seconds from the decision until the last client has the new answer.
fn estimated_rto_seconds(app: &AppPlan) -> f64 {
    let data = match app.database.engine {
        Engine::Rds => RDS_PROMOTION_SECONDS,
        Engine::Postgres => POSTGRES_PROMOTION_SECONDS,
    };
    let switch = match app.dns.switch {
        Switch::HealthCheck => HEALTH_CHECK_SECONDS,
        Switch::Record => RECORD_CHANGE_SECONDS,
    };
    PERMITS_END.as_secs_f64()
        + data
        + ACTIVATION_SECONDS
        + switch
        + f64::from(app.answers_kept_seconds())
}

#[cfg(test)]
mod tests;
