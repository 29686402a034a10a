//! What the function needs of the world.

use std::future::Future;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region, SiteName,
    backup::{Catalogue, Kind, Manifest, PointId},
    plan_file::AppPlan,
};
use lifeboat_hosts::HostWork;

/// The plans of this region.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// The ledger, as far as it can be seen from here.
pub trait Sites {
    /// The site that is active under the newest epoch.
    fn active(&self, plan: &AppPlan) -> impl Future<Output = Result<SiteName, Fault>> + Send;
}

/// The manifests in this region's bucket.
pub trait Manifests {
    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// The points of a kind that were taken since then, with their checks.
    fn catalogue(
        &self,
        app: &AppName,
        kind: Kind,
        since: Timestamp,
    ) -> impl Future<Output = Result<Catalogue, Fault>> + Send;

    /// A point's manifest; none when the backup is not there.
    fn manifest(
        &self,
        app: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> impl Future<Output = Result<Option<Manifest>, Fault>> + Send;

    /// Writes a manifest, unless there is one.
    fn put(&self, manifest: &Manifest) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Why nothing of the app may be deleted; none when nobody holds it.
    fn hold(&self, app: &AppName) -> impl Future<Output = Result<Option<String>, Fault>> + Send;
}

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotStatus {
    /// On its way, with the service's word for it.
    Creating(String),
    /// It can be restored.
    Available,
    /// It never will be, with the service's word for it.
    Failed(String),
}

/// A DB snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its identifier, the same in every region.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// How far it is.
    pub status: SnapshotStatus,
    /// When it was asked for, by the tag that it carries.
    pub started_at: Option<Timestamp>,
    /// Since when the other region has not answered, by the tag that it carries.
    pub alone_since: Option<Timestamp>,
    /// The instance that it was taken of.
    pub instance: String,
    /// The engine's version.
    pub engine_version: String,
}

/// The database that a snapshot is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Database<'a> {
    /// The DB instance identifier.
    pub identifier: &'a str,
}

/// How far back, and how far forward, an instance can be restored to a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// The oldest moment, where RDS says it.
    pub earliest: Option<Timestamp>,
    /// The newest moment; none when nothing can be restored to a point in time.
    pub latest: Option<Timestamp>,
}

/// RDS, here and in the other region.
pub trait Snapshots {
    /// A snapshot of a region; none when there is none.
    fn find(
        &self,
        region: &Region,
        name: &str,
    ) -> impl Future<Output = Result<Option<Snapshot>, Fault>> + Send;

    /// Begins a snapshot of an instance of this region. One of that name that exists is a success;
    /// an instance that is busy is `NotReady`.
    fn create(
        &self,
        database: Database<'_>,
        name: &str,
        tags: &[(&'static str, String)],
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Begins the copy of a snapshot of this region into another one. A copy that exists is a
    /// success.
    fn copy(
        &self,
        snapshot: &Snapshot,
        to: &Region,
        tags: &[(&'static str, String)],
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Leaves a tag on a snapshot of this region.
    fn mark(
        &self,
        snapshot: &Snapshot,
        tag: &'static str,
        value: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// To which points in time the instance of `source` can be restored in this region: from its
    /// own backups here, or from those that are replicated here.
    fn window(
        &self,
        database: Database<'_>,
        source: &Region,
    ) -> impl Future<Output = Result<Window, Fault>> + Send;
}

/// A snapshot of a replication group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSnapshot {
    /// Its name.
    pub name: String,
    /// How far it is; while it is exported it is not available.
    pub status: SnapshotStatus,
    /// The node groups (shards) in it; an export writes one file for each.
    pub node_groups: usize,
}

/// `ElastiCache` of this region, and the staging bucket that it exports into.
pub trait Caches {
    /// The staging bucket's name.
    fn exports(&self) -> &str;

    /// The snapshots of a replication group that somebody asked for: those that it takes by itself
    /// are left out.
    fn of_group(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<Vec<CacheSnapshot>, Fault>> + Send;

    /// Begins a snapshot of a replication group. One of that name that exists is a success; a group
    /// that is busy is `NotReady`.
    fn take(
        &self,
        group: &str,
        name: &str,
        tags: &[(&'static str, String)],
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Begins the export of a snapshot into the staging bucket, under its own name. One that is
    /// under way or done is a success.
    fn export(&self, name: &str) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Whether an object is in the staging bucket; it is whole then.
    fn is_exported(&self, object: &str) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Deletes a snapshot. One that is gone is a success; one that is in use is `NotReady`.
    fn forget(&self, name: &str) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Metrics.
pub trait Meter {
    /// Reports the window that an app has in this region.
    fn report(&self, app: &AppName, window: Window, now: Timestamp);
}

/// All of it.
pub trait World:
    Plans + Sites + Manifests + HostWork + Snapshots + Caches + Meter + Send + Sync
{
}

impl<T: Plans + Sites + Manifests + HostWork + Snapshots + Caches + Meter + Send + Sync> World
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
