//! What can go wrong outside of an API call.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the server did not start. Each message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API's address cannot be listened on.
    #[error(
        "cannot listen on {address} for the RDS API: {reason}; end the process that holds it (ss -ltnp) or choose another address"
    )]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// The first address of a region's pool cannot be listened on.
    #[error(
        "cannot use {address} for a database of {region}: {reason}; end the process that holds it (ss -ltnp)"
    )]
    InstanceAddress {
        /// The region whose pool it is.
        region: String,
        /// The address of the pool's first instance.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// PostgreSQL is not installed, or too old.
    #[error(
        "no PostgreSQL 15 or newer with its server programs in {searched}: install it (Debian, Ubuntu: apt install postgresql)"
    )]
    PostgresMissing {
        /// Where it was looked for.
        searched: PathBuf,
    },
    /// A program that PostgreSQL is started through is missing.
    #[error("program {program} is missing: install util-linux")]
    ProgramMissing {
        /// Its name.
        program: &'static str,
    },
    /// The data directory cannot be made or written.
    #[error("cannot use the data directory {path}: {reason}", path = path.display())]
    DataDirectory {
        /// The configured directory.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// Another server works in the data directory.
    #[error("another RDS server of the lab works in {path}: end it, or choose another directory", path = path.display())]
    InUse {
        /// The configured directory.
        path: PathBuf,
    },
    /// The programs of PostgreSQL do not run.
    #[error(
        "cannot run PostgreSQL's programs: {reason}; as root they need user namespaces (sysctl user.max_user_namespaces)"
    )]
    Launch {
        /// What was said.
        reason: String,
    },
    /// Not enough room for the databases.
    #[error("{path} has {free_mib} MiB free and the databases need {needed_mib} MiB: make room on that disk", path = path.display())]
    NoRoom {
        /// The data directory.
        path: PathBuf,
        /// What is free, in MiB.
        free_mib: u64,
        /// What is needed, in MiB.
        needed_mib: u64,
    },
    /// The server's own state exists but cannot be read.
    #[error("cannot read {path}: {reason}; remove the directory it is in to begin anew", path = path.display())]
    State {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a disaster could not be made or ended.
#[derive(Debug, thiserror::Error)]
pub enum DisasterError {
    /// No such instance.
    #[error("no instance {id} in {region}")]
    NoInstance {
        /// The region asked for.
        region: String,
        /// The identifier asked for.
        id: String,
    },
    /// The instance has no running server.
    #[error("instance {id} in {region} has no running server")]
    NotRunning {
        /// The region asked for.
        region: String,
        /// The identifier asked for.
        id: String,
    },
    /// The instance's server runs already.
    #[error("instance {id} in {region} runs already")]
    Running {
        /// The region asked for.
        region: String,
        /// The identifier asked for.
        id: String,
    },
    /// The processes did not reach the state within the bound.
    #[error("processes {pids:?} did not {verb} within {seconds} s")]
    Stubborn {
        /// What they should have done.
        verb: &'static str,
        /// Which ones did not.
        pids: Vec<u32>,
        /// The bound, in seconds.
        seconds: u64,
    },
    /// PostgreSQL refused an administrator's statements.
    #[error("administer {id} in {region}: {reason}")]
    Administer {
        /// The region asked for.
        region: String,
        /// The identifier asked for.
        id: String,
        /// What PostgreSQL said.
        reason: String,
    },
    /// The server did not start again.
    #[error("start {id} in {region} again: {reason}")]
    Start {
        /// The region asked for.
        region: String,
        /// The identifier asked for.
        id: String,
        /// What PostgreSQL said.
        reason: String,
    },
}
