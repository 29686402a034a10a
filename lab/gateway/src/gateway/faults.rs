//! The fault rules in force.
//!
//! Rules are tried in the order in which they were added. Every delay that matches is added up; the
//! first other action that matches decides. Every matching rule counts the call, decisive or not, so
//! that `nth` means the same whatever other rules there are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::call::Call;
use super::rule::{FaultAction, FaultRule, Matching};

/// The global services that answer although their signing region is dark.
///
/// Route 53 and IAM sign for us-east-1 whatever the caller's region (AWS General Reference, service
/// endpoints); their outage is a rule of its own.
pub const GLOBAL_SERVICES: [&str; 3] = ["route53", "iam", "sts"];

/// The fault rules of one gateway; clones share them. What the admin API does, this does.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rules: Mutex<Rules>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Rules {
    entries: Vec<Entry>,
    next_id: u64,
}

#[derive(Debug)]
struct Entry {
    rule: FaultRule,
    matched: u64,
    applied: u64,
}

/// A rule with its counters.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RuleStatus {
    /// The rule.
    pub rule: FaultRule,
    /// How many calls met its conditions, apart from the count.
    pub matched: u64,
    /// How many calls it was applied to.
    pub applied: u64,
}

/// A rule that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// `status` outside 400 to 599.
    #[error("fault rule {id}: status {code} is no error; give a code from 400 to 599")]
    Status {
        /// The rule's name.
        id: String,
        /// The code given.
        code: u16,
    },
    /// `nth` and `from_nth` count from 1.
    #[error("fault rule {id}: calls count from 1; give nth or from_nth of at least 1")]
    Count {
        /// The rule's name.
        id: String,
    },
}

/// How a dark region fails.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DarkMode {
    /// Connections are reset.
    Refuse,
    /// Calls get no answer.
    Hang,
}

/// A region that no call leaves and no call reaches.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DarkRegion {
    /// The region's name.
    pub region: String,
    /// How calls from and to it fail.
    pub mode: DarkMode,
}

/// What the rules say about a call that has just arrived.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Delays to serve first, with the rule each comes from.
    pub(super) delays: Vec<(String, Duration)>,
    /// The deciding rule, if any.
    pub(super) fault: Option<(String, FaultAction)>,
}

/// What the rules say about a call that is already in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The connection is to be reset, by the rule named.
    Refuse(String),
    /// Nothing may pass, by the rule named.
    Hang(String),
}

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(Shared { rules: Mutex::default(), changed: watch::Sender::new(0) }))
    }
}

impl Faults {
    /// Adds a rule and returns its id. A rule with the same id is replaced and its count starts anew.
    ///
    /// # Errors
    /// [`RuleError`] when the rule can never apply or has an impossible status; correct the rule.
    pub fn add(&self, mut rule: FaultRule) -> Result<String, RuleError> {
        if let FaultAction::Status { code } = rule.action
            && !(400..=599).contains(&code)
        {
            return Err(RuleError::Status { id: rule.id, code });
        }
        if rule.matching.nth == Some(0) || rule.matching.from_nth == Some(0) {
            return Err(RuleError::Count { id: rule.id });
        }
        let id = {
            let mut rules = self.lock();
            if rule.id.is_empty() {
                rules.next_id += 1;
                rule.id = format!("fault-{}", rules.next_id);
            }
            let id = rule.id.clone();
            rules.entries.retain(|entry| entry.rule.id != id);
            rules.entries.push(Entry { rule, matched: 0, applied: 0 });
            id
        };
        self.announce();
        Ok(id)
    }

    /// Removes a rule; calls that it holds go on. Says whether there was one.
    pub fn remove(&self, id: &str) -> bool {
        self.retain(|rule| rule.id != id)
    }

    /// Removes every rule, dark regions included.
    pub fn clear(&self) {
        self.retain(|_| false);
    }

    /// The rules in the order in which they are tried, with their counters.
    #[must_use]
    pub fn list(&self) -> Vec<RuleStatus> {
        let rules = self.lock();
        let status = |entry: &Entry| RuleStatus {
            rule: entry.rule.clone(),
            matched: entry.matched,
            applied: entry.applied,
        };
        rules.entries.iter().map(status).collect()
    }

    /// Makes a region dark in both directions: calls from it, and calls to it except to the
    /// [`GLOBAL_SERVICES`]. Calls in flight are reset or held as well.
    pub fn darken(&self, dark: &DarkRegion) {
        let action = match dark.mode {
            DarkMode::Refuse => FaultAction::Refuse,
            DarkMode::Hang => FaultAction::Hang,
        };
        let [from, to] = dark_ids(&dark.region);
        let leaving = Matching { caller: Some(dark.region.clone()), ..Matching::default() };
        let arriving = Matching {
            region: Some(dark.region.clone()),
            except_services: GLOBAL_SERVICES.map(str::to_owned).to_vec(),
            ..Matching::default()
        };
        {
            let mut rules = self.lock();
            rules.entries.retain(|entry| entry.rule.id != from && entry.rule.id != to);
            // In front of all other rules: what is dark does not throttle.
            for (id, matching) in [(from, leaving), (to, arriving)] {
                let rule = FaultRule { id, matching, action };
                rules.entries.insert(0, Entry { rule, matched: 0, applied: 0 });
            }
        }
        self.announce();
    }

    /// Ends a dark region. Says whether it was dark.
    pub fn lighten(&self, region: &str) -> bool {
        let ids = dark_ids(region);
        self.retain(|rule| !ids.contains(&rule.id))
    }

    /// The regions that are dark now.
    #[must_use]
    pub fn dark(&self) -> Vec<DarkRegion> {
        let rules = self.lock();
        rules.entries.iter().filter_map(|entry| dark_region(&entry.rule)).collect()
    }

    /// Counts an arriving call and says what happens to it.
    pub(super) fn admit(&self, call: &Call) -> Verdict {
        let mut verdict = Verdict::default();
        let mut rules = self.lock();
        for entry in &mut rules.entries {
            if !entry.rule.matching.accepts(call) {
                continue;
            }
            entry.matched += 1;
            if !entry.rule.matching.counts(entry.matched) {
                continue;
            }
            if let FaultAction::Delay { ms } = entry.rule.action {
                entry.applied += 1;
                verdict.delays.push((entry.rule.id.clone(), Duration::from_millis(ms)));
            } else if verdict.fault.is_none() {
                entry.applied += 1;
                verdict.fault = Some((entry.rule.id.clone(), entry.rule.action));
            }
        }
        verdict
    }

    /// What holds for a call already in flight: the first uncounted refusal or hang that matches it.
    pub(super) fn standing(&self, call: &Call) -> Option<Standing> {
        let rules = self.lock();
        rules.entries.iter().find_map(|entry| {
            let rule = &entry.rule;
            if !rule.matching.is_standing() || !rule.matching.accepts(call) {
                return None;
            }
            match rule.action {
                FaultAction::Refuse => Some(Standing::Refuse(rule.id.clone())),
                FaultAction::Hang => Some(Standing::Hang(rule.id.clone())),
                FaultAction::Delay { .. }
                | FaultAction::Throttle
                | FaultAction::Status { .. }
                | FaultAction::AnswerLost => None,
            }
        })
    }

    /// A receiver that sees every later change of the rules.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Returns once no rule has this id.
    pub(super) async fn gone(&self, id: &str) {
        let mut changes = self.subscribe();
        while self.lock().entries.iter().any(|entry| entry.rule.id == id) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn retain(&self, keep: impl Fn(&FaultRule) -> bool) -> bool {
        let removed = {
            let mut rules = self.lock();
            let before = rules.entries.len();
            rules.entries.retain(|entry| keep(&entry.rule));
            before != rules.entries.len()
        };
        if removed {
            self.announce();
        }
        removed
    }

    fn announce(&self) {
        self.0.changed.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids of the two rules that make a region dark: calls from it, calls to it.
fn dark_ids(region: &str) -> [String; 2] {
    [format!("dark:{region}:from"), format!("dark:{region}:to")]
}

/// The dark region that a rule stands for, told by the id of its first half.
fn dark_region(rule: &FaultRule) -> Option<DarkRegion> {
    let region = rule.id.strip_prefix("dark:")?.strip_suffix(":from")?.to_owned();
    let mode = if rule.action == FaultAction::Hang { DarkMode::Hang } else { DarkMode::Refuse };
    Some(DarkRegion { region, mode })
}
