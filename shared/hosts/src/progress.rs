//! How far the work of one host is, and what it says of it.

use lifeboat_core::hosts::{Answers, HostFailure};

/// How far a command is that every host it was sent to must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Some host has not ended, or the command is so new that it is not listed yet.
    Pending,
    /// Every host did it.
    Succeeded {
        /// How many.
        hosts: u32,
    },
    /// It ended, and nobody was asked: no host has the tag.
    NoHosts,
    /// It ended, and these hosts did not do it.
    Failed(Vec<HostFailure>),
}

impl Progress {
    /// What the hosts' answers come to, of which one `Failed` is enough; not the command's own
    /// status, in which it may be lost (see [`lifeboat_core::hosts`]).
    #[must_use]
    pub fn of(answers: &Answers) -> Self {
        let failures: Vec<HostFailure> = answers.failures().cloned().collect();
        let answered = answers.done() as usize + failures.len();
        if answers.targets == 0 {
            return if answers.ended { Self::NoHosts } else { Self::Pending };
        }
        if answers.hosts.len() > answered || (!answers.ended && answered < answers.targets as usize)
        {
            return Self::Pending;
        }
        if failures.is_empty() && answered > 0 {
            Self::Succeeded { hosts: answers.done() }
        } else {
            Self::Failed(failures)
        }
    }
}

/// The failures in one line.
#[must_use]
pub fn joined(failures: &[HostFailure]) -> String {
    if failures.is_empty() {
        return "Run Command ended it before any host took it".to_owned();
    }
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The last line that says something, cut to what fits a message.
///
/// Run Command adds a line of its own after the script's.
pub(crate) fn last_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !line.starts_with("failed to run commands:"))
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use lifeboat_core::hosts::Answer;

    use super::*;

    #[test]
    fn the_last_line_is_the_scripts_own() {
        assert_eq!(last_line("one\n  two \n\nfailed to run commands: exit status 4\n"), "two");
        assert_eq!(last_line(""), "");
        assert_eq!(last_line(&"x".repeat(1000)).len(), 300);
    }

    fn answers(targets: u32, ended: bool, hosts: &[Answer]) -> Answers {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let named = hosts.iter().enumerate();
        Answers {
            sent_at: now,
            asked_at: now,
            targets,
            ended,
            hosts: named.map(|(place, answer)| (format!("i-{place}"), answer.clone())).collect(),
        }
    }

    #[test]
    fn every_host_counts_and_one_failure_is_one() {
        let failure = HostFailure {
            host: "i-1".into(),
            status: "Failed".into(),
            exit_code: None,
            last_line: String::new(),
        };
        let failed = Answer::NotDone(failure.clone());
        for (targets, ended, hosts, wanted) in [
            (1, true, vec![Answer::Done], Progress::Succeeded { hosts: 1 }),
            (2, true, vec![Answer::Done, failed], Progress::Failed(vec![failure])),
            (2, true, vec![Answer::Done, Answer::Working], Progress::Pending),
            (2, false, vec![Answer::Done], Progress::Pending),
            (1, false, vec![], Progress::Pending),
            (0, false, vec![], Progress::Pending),
            (0, true, vec![], Progress::NoHosts),
            // Cancelled by the service before it was sent to anybody (RateExceeded).
            (1, true, vec![], Progress::Failed(vec![])),
        ] {
            assert_eq!(Progress::of(&answers(targets, ended, &hosts)), wanted, "{hosts:?}");
        }
    }
}
