//! The host's side of backups: `lifeboat host` calls it, through the SSM documents.
//!
//! # The order that makes a backup
//! 1. If the manifest is there, the backup is: nothing is done.
//! 2. Artifacts are streamed to the bucket. Nothing of them touches the host's disk, each becomes
//!    visible only when the program that made it has succeeded, and none is ever overwritten: a run
//!    that finds the remains of an earlier one writes beside them.
//! 3. The manifest is written last, unless another one is there.
//!
//! A run that ends anywhere before 3 leaves nothing that looks like a backup.
//!
//! # What a restore test can say
//! *Damaged* is said of bytes that are wrong, cut or missing, and of content that is not what the
//! manifest says. That the test could not be carried out (no network, no disk, a missing program) is
//! an error and says nothing of the backup.

mod artifact;
mod backup;
mod database;
mod download;
mod program;
mod redis;
mod restore;
mod s3;
mod stop;
mod store;
pub mod testing;
mod upload;
pub mod wal;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use lifeboat_core::{AppName, Fault, Region, SiteName, plan_file::AppPlan};
use lifeboat_parameters::Secret;

use self::program::{Tool, Version};

pub use backup::backup;
pub use restore::restore;
pub use s3::S3;
pub use stop::{Stop, Stopper, stop};
pub use store::{ObjectStore, Part, Put};

/// The artifact of `config`, `code` and `logs`.
const FILES: &str = "files.tar.zst";

/// A host of a site, and what it works with.
#[derive(Debug)]
pub struct Host<S> {
    /// The backup bucket of the host's region.
    pub store: Arc<S>,
    /// The staging bucket that `ElastiCache` of the host's region exports into; needed where it runs
    /// the site's cache.
    pub exports: Option<Arc<S>>,
    /// The app's plan.
    pub plan: AppPlan,
    /// The site that the host belongs to.
    pub site: SiteName,
    /// The region that it is in.
    pub region: Region,
    /// The password of `database.user`; only work on the database needs it.
    pub password: Option<Secret>,
    /// The folder that scratch folders are made in. A restore test of a database needs room for it.
    pub scratch: PathBuf,
    /// A folder of PostgreSQL's programs that is looked into before PATH and the packages' places.
    pub programs: Option<PathBuf>,
    /// Program and arguments that fetch a file of this app's WAL from `store`: what a server that
    /// recovers runs. `--system`, the cluster's system identifier, the file's name and where to put
    /// it are added. The server's user runs it.
    pub fetch_wal: Vec<String>,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Ends the work early, with everything cleared away.
    pub stop: Stop,
}

impl<S> Host<S> {
    fn app(&self) -> &AppName {
        &self.plan.app
    }

    /// A program of PostgreSQL that speaks with a server of this major version.
    async fn client(&self, name: &str, major: u32) -> Result<Tool, Fault> {
        program::postgresql(self.programs.as_deref(), name, Version::AtLeast(major)).await
    }

    /// A program of PostgreSQL that opens the files of a cluster of this major version.
    async fn server(&self, name: &str, major: u32) -> Result<Tool, Fault> {
        program::postgresql(self.programs.as_deref(), name, Version::Exactly(major)).await
    }

    /// The database of this host's site, and how to log in.
    fn database(&self) -> Result<lifeboat_postgres::Target<'_>, Fault> {
        let site = self.plan.sites.get(&self.site).ok_or_else(|| {
            Fault::invalid(format!("the plan of {} has no site {}", self.plan.app, self.site))
        })?;
        let password = self.password.as_ref().ok_or_else(|| {
            Fault::invalid("the password of the database was not read from Parameter Store")
        })?;
        Ok(lifeboat_postgres::Target {
            host: &site.database.host,
            port: site.database.port,
            database: &self.plan.database.name,
            user: &self.plan.database.user,
            password: password.expose(),
        })
    }
}
