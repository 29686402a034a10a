//! What the probe needs of the world outside.

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, SiteName,
    plan_file::AppPlan,
    vote::{CheckKind, CheckResult, Vote},
};
use lifeboat_postgres::State;

use crate::{assess::Memory, observe::RoundMetrics};

/// One check to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Of what.
    pub kind: CheckKind,
    /// A URL for `Http`, `host:port` for the others.
    pub endpoint: String,
    /// The role named in the greeting to a PostgreSQL server; it does not log in.
    pub user: String,
    /// The database named in that greeting.
    pub database: String,
}

/// What a check brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The vote.
    pub check: CheckResult,
    /// The body of an HTTP answer.
    pub body: Option<String>,
}

/// Why a database's state could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// `Down` when it refused or did not answer, `Unknown` when it was not asked properly.
    pub vote: Vote,
    /// In words, without secrets.
    pub detail: String,
}

/// The plans of this region.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// The network between this region and the sites.
pub trait Network {
    /// Makes one check, ending it at `limit`.
    fn check(&self, probe: &Probe, limit: Duration) -> impl Future<Output = Answer> + Send;
}

/// The sites' databases, asked by SQL.
pub trait Databases {
    /// The state of the server at `endpoint` (`host:port`).
    fn state(
        &self,
        plan: &AppPlan,
        endpoint: &str,
        limit: Duration,
    ) -> impl Future<Output = Result<State, Unread>> + Send;
}

/// The metrics of this region.
pub trait Metrics {
    /// Keeps a round, in one call.
    fn put(&self, round: &RoundMetrics) -> impl Future<Output = Result<(), Fault>> + Send;

    /// What the metrics hold from `from` until `now`, for these sites and for the replica of
    /// `own`.
    fn recall(
        &self,
        app: &AppName,
        sites: &[SiteName],
        own: &SiteName,
        from: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<Memory, Fault>> + Send;
}

/// Time.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Returns at `at`, at once when that is past.
    fn pause_until(&self, at: Timestamp) -> impl Future<Output = ()> + Send;
}

/// All of it, shared by the checks of a round.
pub trait World: Plans + Network + Databases + Metrics + Clock + Send + Sync + 'static {}

impl<T: Plans + Network + Databases + Metrics + Clock + Send + Sync + 'static> World for T {}
