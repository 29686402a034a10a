//! The closed list of error names that the state machines match.
//!
//! A name says what the caller should do next, never which layer failed; the text beside it is for
//! the person who reads the execution. Names never start with `States.` or `Lambda.`, which Step
//! Functions reserves.

use std::fmt;

/// What the caller of a function should do about its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorName {
    /// Try the same call again: the cause passes by itself (a throttle, a lost answer, a reset).
    Transient,
    /// Ask again later: the work is under way and has not failed.
    NotReady,
    /// Mend the request: the same call can never succeed.
    InvalidInput,
    /// A guard said no; the message carries its reason. Nothing was changed.
    Refused,
    /// Someone with a newer epoch acts: stop, and undo nothing.
    StaleEpoch,
    /// No program can go on safely; page a person with the message.
    NeedsHuman,
}

impl ErrorName {
    /// Every name, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Transient,
        Self::NotReady,
        Self::InvalidInput,
        Self::Refused,
        Self::StaleEpoch,
        Self::NeedsHuman,
    ];

    /// The name as it stands in `ErrorEquals`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "Transient",
            Self::NotReady => "NotReady",
            Self::InvalidInput => "InvalidInput",
            Self::Refused => "Refused",
            Self::StaleEpoch => "StaleEpoch",
            Self::NeedsHuman => "NeedsHuman",
        }
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as a function reports it: a name for the machine and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Fault {
    /// What the caller should do.
    pub name: ErrorName,
    /// What happened and what to do about it, in one line without secrets.
    pub message: String,
}

impl Fault {
    /// A fault with this name and message.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }

    /// The cause passes by itself: the same call may be made again.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorName::Transient, message)
    }

    /// The work goes on: ask again.
    pub fn not_ready(message: impl Into<String>) -> Self {
        Self::new(ErrorName::NotReady, message)
    }

    /// The request, or the plan it names, is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorName::InvalidInput, message)
    }

    /// A guard refused, for this reason.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorName::Refused, message)
    }

    /// A newer epoch exists.
    pub fn stale(message: impl Into<String>) -> Self {
        Self::new(ErrorName::StaleEpoch, message)
    }

    /// A person has to decide.
    pub fn needs_human(message: impl Into<String>) -> Self {
        Self::new(ErrorName::NeedsHuman, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_clear_of_the_prefixes_that_step_functions_reserves() {
        for name in ErrorName::ALL {
            let text = name.as_str();
            assert!(!text.starts_with("States.") && !text.starts_with("Lambda."), "{text}");
            assert!(text.chars().all(|c| c.is_ascii_alphabetic()), "{text}");
        }
    }
}
