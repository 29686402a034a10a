//! Whether what the hosts answered is enough.

use std::fmt;

use jiff::SignedDuration;

use super::answers::{Answer, Answers, HostFailure};

/// The exit code of the document `lifeboat-site-control` for an epoch older than the host's own.
pub const STALE_EPOCH: i32 = 3;

/// How long after the order hosts that work on it are waited for when enough others have done it: a
/// start hook has its time, and a site with all of its hosts is better than one with enough.
pub const WORK_PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// How long after the order to fence a host is waited for: nobody is served meanwhile, and a host
/// that has not stopped by then is stopped by its guard, which the new epoch takes the permit from.
pub const FENCE_PATIENCE: SignedDuration = SignedDuration::from_secs(4);

/// Failures that are told one by one; the others fail for the same reason nearly always.
const TOLD: usize = 5;

/// The hosts that did not do what was asked, and why as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shortfall {
    /// How many did it.
    pub done: u32,
    /// How many were asked.
    pub targets: u32,
    /// Those that will not do it any more.
    pub failed: Vec<HostFailure>,
    /// Those that have taken the order and not ended.
    pub working: Vec<String>,
    /// Those that have not taken the order: off, cut off, or late.
    pub silent: Vec<String>,
    /// How many more there are of which Run Command names none.
    pub unlisted: u32,
}

impl Shortfall {
    fn of(answers: &Answers) -> Self {
        Self {
            done: answers.done(),
            targets: answers.targets,
            failed: answers.failures().cloned().collect(),
            working: answers.named(&Answer::Working),
            silent: answers.named(&Answer::Silent),
            unlisted: answers.unlisted(),
        }
    }

    /// One line for each host, or for hosts that are in the same way, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.failed.iter().take(TOLD).map(ToString::to_string).collect();
        let rest: Vec<&str> =
            self.failed.iter().skip(TOLD).map(|failure| failure.host.as_str()).collect();
        if !rest.is_empty() {
            lines.push(format!("hosts {}: failed too", rest.join(", ")));
        }
        lines.extend(self.working.iter().map(|host| format!("host {host}: is still at it")));
        lines
            .extend(self.silent.iter().map(|host| format!("host {host}: has not taken the order")));
        if self.unlisted > 0 {
            lines.push(format!("{} more that Run Command does not list", self.unlisted));
        }
        lines
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} hosts did it; {}", self.done, self.targets, self.lines().join("; "))
    }
}

/// Whether a site is activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activation {
    /// Not yet: ask again.
    NotYet,
    /// Enough hosts run the app.
    Done {
        /// How many.
        hosts: u32,
        /// The others. One that takes the order later does it then; one that cannot, joins at boot.
        without: Shortfall,
    },
    /// No host has the tag.
    NoHosts,
    /// So many did not do it that enough never will.
    NotEnough {
        /// How many would be.
        enough: u32,
        /// Who did not.
        without: Shortfall,
    },
    /// A host knows a newer epoch: someone newer acts.
    Stale(HostFailure),
}

/// Whether a site is fenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fencing {
    /// Not yet: ask again.
    NotYet,
    /// Every host has stopped.
    Done {
        /// How many.
        hosts: u32,
    },
    /// No host has the tag.
    NoHosts,
    /// Some host did not confirm that it has stopped.
    Unconfirmed(Shortfall),
    /// A host knows a newer epoch: someone newer acts.
    Stale(HostFailure),
}

/// How many of `targets` hosts are enough where the plan does not say: half of them, rounded up, so
/// that of two hosts one may be off, and one of ten is not taken for a site.
#[must_use]
pub const fn enough_of(targets: u32) -> u32 {
    targets.div_ceil(2)
}

/// Whether enough hosts of a site run its app. `enough` is the plan's number; without it,
/// [`enough_of`] those that were asked.
#[must_use]
pub fn activation(answers: &Answers, enough: Option<u32>) -> Activation {
    if let Some(failure) = stale(answers) {
        return Activation::Stale(failure);
    }
    if answers.targets == 0 {
        return if answers.ended { Activation::NoHosts } else { Activation::NotYet };
    }
    let enough = enough.unwrap_or_else(|| enough_of(answers.targets));
    let (done, open) = (answers.done(), answers.open());
    if done >= enough {
        let working = answers.hosts.values().any(|answer| *answer == Answer::Working);
        return if working && answers.age() < WORK_PATIENCE {
            Activation::NotYet
        } else {
            Activation::Done { hosts: done, without: Shortfall::of(answers) }
        };
    }
    // The hosts of a tag may be found one after the other: a new command is not judged short.
    if done.saturating_add(open) < enough && (answers.ended || answers.age() >= WORK_PATIENCE) {
        return Activation::NotEnough { enough, without: Shortfall::of(answers) };
    }
    Activation::NotYet
}

/// Whether every host of a site has stopped.
#[must_use]
pub fn fencing(answers: &Answers) -> Fencing {
    if let Some(failure) = stale(answers) {
        return Fencing::Stale(failure);
    }
    if answers.targets == 0 && answers.ended {
        return Fencing::NoHosts;
    }
    let done = answers.done();
    if answers.targets > 0 && done >= answers.targets {
        return Fencing::Done { hosts: done };
    }
    let undecided = answers.targets == 0 || answers.open() > 0;
    if undecided && answers.age() < FENCE_PATIENCE {
        return Fencing::NotYet;
    }
    Fencing::Unconfirmed(Shortfall::of(answers))
}

fn stale(answers: &Answers) -> Option<HostFailure> {
    answers.failures().find(|failure| failure.exit_code == Some(STALE_EPOCH)).cloned()
}
