//! How far a command is, and what the hosts say of it.

use std::fmt;

/// How far a command is.
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
    /// The progress of two commands together: the worst one counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed(mut failures), Self::Failed(more)) => {
                failures.extend(more);
                Self::Failed(failures)
            }
            (Self::Failed(failures), _) | (_, Self::Failed(failures)) => Self::Failed(failures),
            (Self::NoHosts, _) | (_, Self::NoHosts) => Self::NoHosts,
            (Self::Pending, _) | (_, Self::Pending) => Self::Pending,
            // The same hosts were asked twice: that is one site, not two.
            (Self::Succeeded { hosts }, Self::Succeeded { hosts: more }) => {
                Self::Succeeded { hosts: hosts.max(more) }
            }
        }
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

/// The failures in one line.
#[must_use]
pub fn joined(failures: &[HostFailure]) -> String {
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
    use super::*;

    #[test]
    fn the_last_line_is_the_scripts_own() {
        assert_eq!(last_line("one\n  two \n\nfailed to run commands: exit status 4\n"), "two");
        assert_eq!(last_line(""), "");
        assert_eq!(last_line(&"x".repeat(1000)).len(), 300);
    }

    #[test]
    fn the_worst_of_several_commands_counts() {
        let failed = Progress::Failed(vec![HostFailure {
            host: "i-1".into(),
            status: "Failed".into(),
            exit_code: None,
            last_line: String::new(),
        }]);
        let done = Progress::Succeeded { hosts: 2 };
        assert_eq!(done.clone().and(Progress::Succeeded { hosts: 1 }), done);
        assert_eq!(done.clone().and(Progress::Pending), Progress::Pending);
        assert_eq!(Progress::Pending.and(Progress::NoHosts), Progress::NoHosts);
        assert_eq!(Progress::NoHosts.and(failed.clone()), failed);
    }
}
