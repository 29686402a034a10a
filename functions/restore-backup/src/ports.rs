//! What the function needs of the world.

use std::future::Future;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Automated, Choice, Kind, Manifest, PointId, Window},
    plan_file::AppPlan,
    registers::Registers,
};
use lifeboat_hosts::HostWork;

use crate::Seen;

/// The plans of this region.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// Who knows which site is active, and whether a recovery is open.
pub trait Ledgers {
    /// What every region's register says.
    fn registers(&self, plan: &AppPlan) -> impl Future<Output = Result<Registers, Fault>> + Send;
}

/// This region's backups.
pub trait Backups {
    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// The point to restore: the one asked for, or the newest that may be relied on; with `to`, a
    /// base backup that reaches that moment.
    fn choose(
        &self,
        app: &AppName,
        kind: Kind,
        asked: Option<&PointId>,
        to: Option<Timestamp>,
    ) -> impl Future<Output = Result<Choice, Fault>> + Send;

    /// A point's manifest; none when the backup is not there.
    fn manifest(
        &self,
        app: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> impl Future<Output = Result<Option<Manifest>, Fault>> + Send;
}

/// What a restore answers.
pub trait Outputs {
    /// What the host wrote to standard output in a command that has ended.
    fn output(&self, command: &str) -> impl Future<Output = Result<String, Fault>> + Send;
}

/// What an instance is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceState {
    /// On its way, or busy, with RDS's word for it.
    Busy(String),
    /// It takes connections here.
    Available {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// It is being deleted.
    Deleting,
    /// It never will be available, with RDS's word for it.
    Failed(String),
}

/// A DB instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What it is doing.
    pub state: InstanceState,
    /// What it was restored from, by the tag that only scratch instances carry.
    pub scratch_of: Option<String>,
    /// What it was restored from, by the tag of those that are kept.
    pub restored_from: Option<String>,
    /// When its restore was asked for, by its tag.
    pub started_at: Option<Timestamp>,
    /// Its master user.
    pub master: String,
}

/// What became of the request to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoring {
    /// It is under way.
    Begun,
    /// There is no such snapshot in this region.
    NoSnapshot,
}

/// What RDS restores from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A snapshot, by its name.
    Snapshot(String),
    /// Automated backups, at a moment in whole seconds.
    Moment(Automated, Timestamp),
}

/// An instance to restore into.
#[derive(Debug)]
pub struct NewInstance<'a> {
    /// Its identifier.
    pub name: &'a str,
    /// The site's own instance of this region, whose class and network it gets.
    pub like: &'a str,
    /// Whether it is kept: then it also gets the other's parameters, its standby and its protection.
    pub keep: bool,
    /// Its tags.
    pub tags: Vec<(&'static str, String)>,
}

/// RDS of this region.
pub trait Instances {
    /// An instance; none when there is none.
    fn instance(&self, name: &str) -> impl Future<Output = Result<Option<Instance>, Fault>> + Send;

    /// What automated backups that lie in this region hold of the plan's databases.
    fn windows(&self, plan: &AppPlan) -> impl Future<Output = Result<Vec<Window>, Fault>> + Send;

    /// Begins to restore. An instance of that name that exists is a success.
    fn restore(
        &self,
        source: &Source,
        into: NewInstance<'_>,
    ) -> impl Future<Output = Result<Restoring, Fault>> + Send;

    /// Begins to give a scratch instance's master user a password of its own, which [`Login::Master`]
    /// knows. Doing it again changes nothing.
    fn set_own_password(
        &self,
        plan: &AppPlan,
        name: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Begins to delete an instance without a final snapshot. One that is gone, or going, is a
    /// success.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// As whom a restored database is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login<'a> {
    /// As the plan's user, with the plan's secret.
    Plan,
    /// As the master user of a scratch instance that has got a password of its own.
    Master {
        /// The user.
        user: &'a str,
        /// The instance.
        instance: &'a str,
    },
}

/// Where a restored database takes connections, and how it is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit<'a> {
    /// Host name or address.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// As whom.
    pub login: Login<'a>,
    /// What picks the pages of samples.
    pub seed: u32,
}

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// All of what is looked at.
    Whole(Seen),
    /// The time of one call ran out; how far it came. The next call finds more of the volume loaded.
    Unfinished(String),
    /// The login was refused, with the server's words.
    Denied(String),
}

/// A restored database.
pub trait Sql {
    /// What is in it, as far as one call comes. `NotReady` when it does not take connections yet.
    fn look(
        &self,
        plan: &AppPlan,
        visit: Visit<'_>,
    ) -> impl Future<Output = Result<Looked, Fault>> + Send;
}

/// All of it.
pub trait World:
    Plans + Ledgers + Backups + HostWork + Outputs + Instances + Sql + Send + Sync
{
}

impl<T: Plans + Ledgers + Backups + HostWork + Outputs + Instances + Sql + Send + Sync> World
    for T
{
}

/// Where the function is, and what it reaches.
#[derive(Debug)]
pub struct Ports<W> {
    /// The region that it runs in.
    pub region: Region,
    /// Everything outside.
    pub world: W,
}
