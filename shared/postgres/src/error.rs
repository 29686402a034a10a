//! Why a server could not be asked, by what the caller does next.

use std::time::Duration;

use lifeboat_core::Fault;
use tokio_postgres::error::SqlState;

/// A failed question to a PostgreSQL server.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// No answer in time. Whether a change was made is not known.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The server cannot be reached, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// The server runs and takes no connections now (starting, stopping, all slots taken).
    #[error("{0}")]
    NotReady(String),
    /// The role may not log in, or may not do this.
    #[error("{0}; check database.user of the plan, its password and its grants")]
    Denied(String),
    /// Anything else, with the server's words and its SQLSTATE.
    #[error("{message} (SQLSTATE {code})")]
    Failed {
        /// The five characters of SQLSTATE.
        code: String,
        /// The server's message.
        message: String,
    },
}

impl SqlError {
    /// The failure of `doing` (a verb and its object: `promote 10.0.2.20:5432`) by its name.
    #[must_use]
    pub fn fault(&self, doing: &str) -> Fault {
        let message = format!("{doing}: {self}");
        match self {
            Self::Timeout(_) | Self::Unreachable(_) => Fault::transient(message),
            Self::NotReady(_) => Fault::not_ready(message),
            Self::Denied(_) | Self::Failed { .. } => Fault::needs_human(message),
        }
    }
}

/// PostgreSQL's errors, sorted by the class of their SQLSTATE (manual, appendix A).
impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(answer) = error.as_db_error() else {
            return Self::Unreachable(innermost(&error));
        };
        let message = answer.message().to_owned();
        let code = answer.code();
        if *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::TOO_MANY_CONNECTIONS {
            return Self::NotReady(message);
        }
        // The server ends this session (57P01 to 57P05), which says nothing of the next one.
        if code.code().starts_with("57P") || code.code().starts_with("08") {
            return Self::Unreachable(message);
        }
        if code.code().starts_with("28") || *code == SqlState::INSUFFICIENT_PRIVILEGE {
            return Self::Denied(message);
        }
        Self::Failed { code: code.code().to_owned(), message }
    }
}

/// The last error of the chain: `Connection refused` rather than `error connecting to server`.
fn innermost(error: &tokio_postgres::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(next) = source.source() {
        source = next;
    }
    source.to_string()
}
