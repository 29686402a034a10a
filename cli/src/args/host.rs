//! The arguments of `lifeboat host`, and of whatever restores.

use std::path::PathBuf;

use aws_config::SdkConfig;
use clap::Subcommand;
use jiff::Timestamp;
use lifeboat_core::{
    AppName, Region, SiteName,
    backup::{Kind, PointId},
};
use lifeboat_ledger::Ledger;

use crate::fetch::FetchArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Take a backup and stream it to the bucket
    ///
    /// Its manifest is written last; without it there is no backup. Taking one that is there already
    /// changes nothing.
    ///
    /// The last line printed is {"outcome":"complete","manifest":{...}}; its list of tables ends
    /// with the 200 largest, the one in the bucket has all. Exit codes: 0 it is there, 1 it could
    /// not be taken (the last line of the errors says why), 2 what was given is wrong, 3 refused.
    ///
    /// Example: lifeboat host backup --app queue --site a --region us-east-1
    /// --bucket lifeboat-backups-123456789012-us-east-1 --kind database-dump
    /// --point 20261124T120000Z-full
    #[command(verbatim_doc_comment)]
    Backup {
        #[command(flatten)]
        host: HostArgs,
        /// The bucket that ElastiCache exports into, where it runs the site's cache.
        #[arg(long)]
        exports: Option<String>,
    },
    /// Restore a backup: into scratch, to prove it, or into place, to use it
    ///
    /// Scratch is a server or folder of its own that is removed whatever happens; what is in it is
    /// held against the manifest. The last line printed is the result as JSON; that the backup is
    /// damaged is an answer (exit code 0), that this could not be told is not (1). Place refuses (3)
    /// what would overwrite: a database with tables, a data directory or a cache with data.
    ///
    /// A base backup in place has everything in it that recovers it: start its server, which fetches
    /// the archived WAL from this region's bucket, replays it up to --to or to its end, and then
    /// takes writes.
    ///
    /// Example: lifeboat host restore --app queue --site b --region us-west-2
    /// --bucket lifeboat-backups-123456789012-us-west-2 --kind database-base
    /// --point 20261124T120000Z-full --target place --to 2026-11-24T16:05:00Z
    #[command(verbatim_doc_comment)]
    Restore {
        #[command(flatten)]
        host: HostArgs,
        /// Where to.
        #[arg(long, value_enum, default_value_t = RestoreTarget::Scratch)]
        target: RestoreTarget,
        /// Recover to this moment (UTC), with the archived WAL: no later transaction is in what is
        /// restored. Only for database-base. Without it, scratch recovers with the WAL inside the
        /// backup alone, and place with all that is archived.
        #[arg(long, value_name = "TIME")]
        to: Option<Timestamp>,
    },
    /// Archive WAL, or fetch it back.
    #[command(subcommand)]
    Wal(WalCommand),
    /// Bring this host into its site: write site.json, and run the start hook where the site is active
    ///
    /// It goes by the registers of every region. Run it at boot (the unit `lifeboat-join@`): a
    /// host that is launched after an activation gets no command of it.
    ///
    /// Safe to repeat, and never older than what the host knows. While it cannot be told who is
    /// active, site.json says standby and the exit code is 1: run it again. Exit codes: 0 joined, as
    /// active or as standby; 1 it cannot be told yet, or site.json cannot be written; 2 what was given
    /// is wrong, or the host belongs to another site; 4 the hook failed (site.json is written).
    ///
    /// Example: lifeboat host join --app queue --site b --region us-west-2 --peer us-east-1,us-east-2
    /// --ledger-prefix lifeboat-ledger-123456789012
    #[command(verbatim_doc_comment)]
    Join(JoinArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) registers: RegisterArgs,
    /// The folder with the app's own, which has site.json and hooks/start in it: LIFEBOAT_HOME of the
    /// Systems Manager agent.
    #[arg(long, default_value = "/opt/lifeboat")]
    pub(crate) home: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalCommand {
    /// Archive the database's WAL as it is made; run it as a service, with restarts, on one host.
    ///
    /// It runs pg_receivewal over the replication slot lifeboat_APP (made when missing, so the server
    /// keeps what was not received: set max_slot_wal_keep_size) and puts each finished segment into
    /// the bucket once, for as long as it takes. A line of JSON tells each segment, each gap, and each
    /// failed try.
    Receive {
        #[command(flatten)]
        place: HostBucket,
        /// The folder that WAL is received in: this app's alone, kept over restarts.
        #[arg(long)]
        directory: PathBuf,
    },
    /// Fetch an archived file of WAL, as a recovering server's restore_command
    ///
    /// Exit codes: 0 fetched, 1 there is no such file, 200 everything else, wrong words included: it could
    /// not be told, and PostgreSQL then stops rather than end the recovery early.
    ///
    /// Example: restore_command = 'lifeboat host wal fetch --app queue --region us-west-2 --bucket
    /// lifeboat-backups-123456789012-us-west-2 --system 7300000000000000000 %f %p'
    #[command(verbatim_doc_comment)]
    Fetch(FetchArgs),
}

/// A host, by its app, its site and its region.
#[derive(Debug, clap::Args)]
pub(crate) struct HostPlace {
    /// The app.
    #[arg(long)]
    pub(crate) app: AppName,
    /// The site of this host.
    #[arg(long)]
    pub(crate) site: SiteName,
    /// The region of this host.
    #[arg(long, value_parser = crate::args::region)]
    pub(crate) region: Region,
}

/// A host, and the registers that say who is active.
#[derive(Debug, clap::Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    pub(crate) host: HostPlace,
    /// Another region that has a register of the app; repeat for each, or put commas between.
    #[arg(long = "peer", required = true, value_delimiter = ',', value_parser = crate::args::region)]
    pub(crate) peers: Vec<Region>,
    /// The common name of the buckets of the registers: `lifeboat-ledger-ACCOUNT`.
    #[arg(long)]
    pub(crate) ledger_prefix: String,
}

impl RegisterArgs {
    /// The registers, as this host's region sees them.
    pub(crate) fn ledger(&self, config: &SdkConfig) -> Ledger {
        let Self { host, peers, ledger_prefix } = self;
        Ledger::new(config, ledger_prefix.clone(), host.region.clone(), peers.clone())
    }
}

/// A host, and the bucket of its region.
#[derive(Debug, clap::Args)]
pub(crate) struct HostBucket {
    #[command(flatten)]
    pub(crate) host: HostPlace,
    /// The backup bucket of this region.
    #[arg(long)]
    pub(crate) bucket: String,
}

/// Where a backup is restored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RestoreTarget {
    /// A scratch server or folder, removed afterwards.
    Scratch,
    /// Where the site uses it.
    Place,
}

impl From<RestoreTarget> for lifeboat_core::contract::restore_backup::Target {
    fn from(target: RestoreTarget) -> Self {
        match target {
            RestoreTarget::Scratch => Self::Scratch,
            RestoreTarget::Place => Self::Place,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    pub(crate) place: HostBucket,
    /// What to back up or restore: database-dump, database-base, config, code, logs, images, cache.
    #[arg(long)]
    pub(crate) kind: Kind,
    /// The recovery point, such as 20261124T120000Z-full.
    #[arg(long)]
    pub(crate) point: PointId,
    /// The folder for scratch; a restore test of a database needs room for the database in it.
    /// Without it, the system's temporary folder.
    #[arg(long)]
    pub(crate) scratch: Option<PathBuf>,
}
