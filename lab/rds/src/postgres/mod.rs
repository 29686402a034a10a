//! Real PostgreSQL servers: making clusters, running servers, talking to them.

pub(crate) mod catalogue;
pub(crate) mod cluster;
pub(crate) mod running;
pub(crate) mod settings;
pub(crate) mod sql;
pub(crate) mod tls;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StartError;

/// The superuser, named as on RDS. Nobody outside of this crate gets its password.
pub(crate) const ADMIN: &str = "rdsadmin";
/// The role that replicas connect as, named as on RDS.
pub(crate) const REPLICATOR: &str = "rdsrepladmin";

/// What went wrong with a server. The messages go to the event log and to our log, never to API answers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PgError {
    #[error("run {program}: {reason}")]
    Run { program: &'static str, reason: io::Error },
    #[error("{program} failed: {output}")]
    Program { program: &'static str, output: String },
    #[error("write {path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: io::Error },
    #[error("ask the server: {0}")]
    Sql(String),
    #[error("{what} took longer than {seconds} s", seconds = within.as_secs())]
    Late { what: &'static str, within: Duration },
    #[error("the server ended: {log}")]
    Ended { log: String },
    #[error("{0}")]
    Processes(#[from] crate::error::DisasterError),
}

impl PgError {
    /// The server ended because it does not take its configuration.
    pub(crate) fn is_about_parameters(&self) -> bool {
        matches!(self, Self::Ended { log } if log.contains("configuration file") || log.contains("invalid value for parameter"))
    }
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        // The message of the crate alone is only "db error"; the cause says what happened.
        let cause =
            std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Sql(format!("{error}{cause}"))
    }
}

/// An installed PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Install {
    pub(crate) bin: PathBuf,
    /// As in `EngineVersion`: `15.18`.
    pub(crate) version: String,
    pub(crate) major: u32,
}

impl Install {
    /// Takes `bin`, or the newest version below `/usr/lib/postgresql` (where Debian puts them).
    pub(crate) fn find(bin: Option<&Path>) -> Result<Self, StartError> {
        let below = Path::new("/usr/lib/postgresql");
        let searched = bin.unwrap_or(below).to_owned();
        let mut candidates: Vec<PathBuf> = match bin {
            Some(bin) => vec![bin.to_owned()],
            None => std::fs::read_dir(below)
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
                .map(|e| e.path().join("bin"))
                .collect(),
        };
        candidates.retain(|bin| {
            ["initdb", "postgres", "pg_basebackup"].iter().all(|p| bin.join(p).is_file())
        });
        let installs = candidates.into_iter().filter_map(Self::probe);
        installs
            .filter(|i| i.major >= 15)
            .max_by_key(|i| i.major)
            .ok_or(StartError::PostgresMissing { searched })
    }

    fn probe(bin: PathBuf) -> Option<Self> {
        let output = std::process::Command::new(bin.join("postgres")).arg("-V").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let version = text.split_whitespace().nth(2)?.to_owned();
        let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { bin, version, major })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_refused_with_the_next_step() {
        let empty = tempfile::tempdir().unwrap();
        let text = Install::find(Some(empty.path())).unwrap_err().to_string();
        assert!(text.contains("apt install postgresql"), "{text}");
    }
}
