//! Errors: those of the lab's own API, and those that a caller of the SSM API sees.

use std::path::PathBuf;

/// What can go wrong when the lab drives its hosts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// The SSM endpoint's address is taken or not ours.
    #[error(
        "listen on {address} for the lab's SSM: end the program that holds it, or choose another address"
    )]
    Listen {
        /// The address of the configuration.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file or directory of a host cannot be written.
    #[error("prepare {path}: check the permissions and the space on the disk")]
    Prepare {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No host of this instance id was added.
    #[error("no host {0}: add it with add_host first")]
    UnknownHost(String),
    /// A host of this instance id is there already.
    #[error("host {0} is there already: give each host its own instance id")]
    DuplicateHost(String),
    /// The host has no service of this name.
    #[error("host {host} has no service {service}: its services are {known}")]
    UnknownService {
        /// Instance id.
        host: String,
        /// The name asked for.
        service: String,
        /// The names it has.
        known: String,
    },
    /// The host is off, dead or frozen, so nothing can be started on it.
    #[error("host {host} is {state}: boot or thaw it first")]
    NotRunning {
        /// Instance id.
        host: String,
        /// Its state.
        state: &'static str,
    },
    /// A program could not be started.
    #[error("start {program} on {host}: check that it is installed and executable")]
    Spawn {
        /// Instance id.
        host: String,
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A service ended before it was ready.
    #[error("service {service} of {host} ended with {status} before it was ready: read {log}")]
    Ended {
        /// Instance id.
        host: String,
        /// The service.
        service: String,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
    },
    /// A service runs but does not accept connections.
    #[error(
        "service {service} of {host} does not accept connections at {address} after {seconds} s: read {log}"
    )]
    NotReady {
        /// Instance id.
        host: String,
        /// The service.
        service: String,
        /// The address it should accept connections at.
        address: std::net::SocketAddr,
        /// How long it was waited for.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// Processes of a host did not end or stop.
    #[error("{count} processes of {host} still run after {action}: end them by hand ({pids:?})")]
    Survivors {
        /// Instance id.
        host: String,
        /// What was tried.
        action: &'static str,
        /// How many.
        count: usize,
        /// Their process ids.
        pids: Vec<u32>,
    },
    /// A document was refused.
    #[error("install the document {name}: {message}")]
    Document {
        /// The document's name.
        name: String,
        /// Why.
        message: String,
    },
}

/// An error of the SSM API: AWS's name for it, and a message for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct ApiError {
    /// AWS's error name, from the API reference of Systems Manager.
    pub(crate) code: &'static str,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
