//! Hosts as a function needs them.

use std::future::Future;

use jiff::Timestamp;
use lifeboat_core::{Fault, plan_file::HostTag};

use crate::{Found, Order, Progress};

/// The hosts of this region's site, through Run Command.
pub trait HostWork {
    /// The commands of a document that were sent since then, the newest first.
    fn recent(
        &self,
        document: &'static str,
        since: Timestamp,
    ) -> impl Future<Output = Result<Vec<Found>, Fault>> + Send;

    /// The online host with this tag that does work for all; none when none is online.
    fn pick(&self, tag: &HostTag) -> impl Future<Output = Result<Option<String>, Fault>> + Send;

    /// Sends a command to one host and gives its id.
    fn send(&self, host: &str, order: &Order)
    -> impl Future<Output = Result<String, Fault>> + Send;

    /// How far a command is.
    fn progress(&self, command: &str) -> impl Future<Output = Result<Progress, Fault>> + Send;
}
