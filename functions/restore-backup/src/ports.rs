//! What the function needs of the world.

use std::future::Future;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Catalogue, Kind, Manifest, PointId},
    plan_file::AppPlan,
};
use lifeboat_hosts::HostWork;

use crate::Seen;

/// The plans of this region.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// This region's backups.
pub trait Backups {
    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// All points of a kind, with their checks.
    fn catalogue(
        &self,
        app: &AppName,
        kind: Kind,
    ) -> impl Future<Output = Result<Catalogue, Fault>> + Send;

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
    /// The point that it was restored from, by the tag that only scratch instances carry.
    pub scratch_of: Option<String>,
    /// When its restore was asked for, by its tag.
    pub started_at: Option<Timestamp>,
}

/// What became of the request to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoring {
    /// It is under way.
    Begun,
    /// There is no such snapshot in this region.
    NoSnapshot,
}

/// Scratch instances of this region.
pub trait Scratch {
    /// An instance; none when there is none.
    fn instance(&self, name: &str) -> impl Future<Output = Result<Option<Instance>, Fault>> + Send;

    /// Begins to restore a snapshot into an instance of this name, in the network of the site's own
    /// instance. One of that name that exists is a success.
    fn restore(
        &self,
        snapshot: &str,
        name: &str,
        like: &str,
        tags: &[(&'static str, String)],
    ) -> impl Future<Output = Result<Restoring, Fault>> + Send;

    /// Begins to delete an instance without a final snapshot. One that is gone, or going, is a
    /// success.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A restored database.
pub trait Sql {
    /// What is in it. `NotReady` when it does not take connections yet.
    fn look(
        &self,
        plan: &AppPlan,
        host: &str,
        port: u16,
    ) -> impl Future<Output = Result<Seen, Fault>> + Send;
}

/// All of it.
pub trait World: Plans + Backups + HostWork + Outputs + Scratch + Sql + Send + Sync {}

impl<T: Plans + Backups + HostWork + Outputs + Scratch + Sql + Send + Sync> World for T {}

/// Where the function is, and what it reaches.
#[derive(Debug)]
pub struct Ports<W> {
    /// The region that it runs in.
    pub region: Region,
    /// Everything outside.
    pub world: W,
}
