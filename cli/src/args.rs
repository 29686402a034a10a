//! What can be asked of the command, and the help that teaches it.

mod host;
mod ledger;

use std::path::PathBuf;

use clap::{ArgMatches, Parser, Subcommand};
use lifeboat_archive::Format;
use lifeboat_core::{
    AppName, IncidentId, Region, alike::instead, backup::Kind, regions, round_trip::RoundTrip,
};

pub(crate) use self::host::{
    HostArgs, HostBucket, HostCommand, HostPlace, JoinArgs, RegisterArgs, RestoreTarget, WalCommand,
};

pub(crate) use self::ledger::{ChangeRegisters, LedgerCommand, OfApp};

/// The version, and the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("LIFEBOAT_COMMIT"), ")");

/// Disaster recovery for a web system that lives in one region and must survive losing it.
///
/// A plan file says what to protect; `plan check` finds its mistakes, `plan apply` stores it in
/// every region, `init` brings up the first site and sets the alarms. From then on recovery starts by itself; `recover` starts it by
/// hand. AWS credentials and endpoints come from the usual environment variables and profiles.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version = VERSION, about, long_about, after_long_help = crate::exit::HELP)]
pub(crate) struct Args {
    /// Print JSON for machines instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The profile of ~/.aws/config whose credentials and region are used. Without it, AWS_PROFILE, or
    /// whatever the environment, the container or the instance gives.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check, apply or show a plan file.
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Bring up the app's first site, once, after `plan apply`: the site `initially_active`, epoch 1.
    ///
    /// It orders the site's hosts to start the app, waits until the site serves, and then sets the
    /// alarms, so that from here on its loss is noticed. Safe to repeat. It refuses (exit code 3) when
    /// the register says that another site or a later epoch is active.
    ///
    /// Example: lifeboat init queue.toml
    Init {
        /// The plan file, as it was applied.
        file: PathBuf,
    },
    /// Look whether a recovery would find all that it needs, in every region of the plan; changes
    /// nothing. `plan apply` does the same at its end.
    ///
    /// Each check says ok, warning, FAULT, or unknown when it could not be made, and what to do next.
    /// Exit codes: 0 no fault, 1 a fault, 4 no fault, and something could not be told.
    ///
    /// Example: lifeboat doctor queue.toml
    Doctor {
        /// The plan file, as it was applied.
        file: PathBuf,
    },
    /// Store a secret that the plan names, in every region of the plan.
    ///
    /// At a terminal the value is asked for and not shown; otherwise it is what standard input has. So
    /// it appears in no history and no process list.
    ///
    /// Example: printf %s "$WEBHOOK" | lifeboat secret queue.toml slack-webhook
    Secret {
        /// The plan file that names the secret.
        file: PathBuf,
        /// The secret's name in the plan.
        name: String,
    },
    /// Start a recovery by hand, in the region of the site to activate.
    ///
    /// It is the same machine that the alarm starts, with the same guards: a second recovery stands
    /// down while one is open, and a healthy active site is left alone unless `--override-votes`
    /// asks a person to approve. It is followed to its end; Ctrl-C stops following and nothing else.
    ///
    /// Exit codes: 0 recovered, or active already; 1 it failed; 2 what was given is wrong; 3 it stood
    /// down, was declined, or another recovery is in the way; 130 Ctrl-C.
    ///
    /// Example: lifeboat recover --app queue --region us-west-2
    Recover(RecoverArgs),
    /// Show the registers that say who may write, and mend what a recovery left in them.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Take backups now, beside those of the schedule, in the region of the active site.
    ///
    /// It is the same machine that the schedule starts. A region whose site is not active takes
    /// nothing.
    ///
    /// Example: lifeboat backup --app queue --region us-east-1 --kind database-dump
    Backup(BackupArgs),
    /// Restore a backup, or a database as of a moment: into scratch, to look at it, or into place, to use it
    ///
    /// It runs in the region whose copies it restores, and needs nothing from any other. Only what is
    /// verified is restored; what may not be relied on is answered with the reason and with the
    /// newest older one that may. Scratch is removed whatever happens. Place overwrites nothing: a
    /// database must be empty, and RDS restores into a new instance, to which you then point
    /// sites.X.database of the plan. Into place it asks before it begins (--yes does not), and hosts
    /// refuse while a recovery is open.
    ///
    /// Exit codes: 0 restored and sound, 1 damaged or not restored, 2 what was given is wrong, 3
    /// refused: it may not be relied on, or was not confirmed.
    ///
    /// Examples:
    ///   lifeboat restore --app queue --kind database-dump --region us-west-2
    ///   lifeboat restore --app queue --kind config --point 20261124T030000Z-full --into place
    ///   lifeboat restore --app queue --kind database-snapshot --to 2026-11-24T12:00:00Z --into place
    #[command(verbatim_doc_comment)]
    Restore(crate::restore::RestoreArgs),
    /// Read a backup artifact to its last byte and say what is damaged, and where
    ///
    /// Needs neither PostgreSQL, tar nor Redis. Reads pg_dump archives (custom format), tar, container
    /// image archives, Redis snapshots and append-only files, base backups and WAL segments, plain or
    /// in gzip, zstd or lz4. Exits with 0 when it is sound, 1 when it is damaged, 2 when it could not
    /// be told.
    ///
    /// Examples: lifeboat verify /var/backups/db/daily/full_backup_20260101.dump
    ///           lifeboat verify s3://BUCKET/manifests/queue/config/20261124T120000Z-full.json
    ///           lifeboat verify --record --region us-west-2
    ///             s3://lifeboat-backups-ACCOUNT-us-west-2/manifests/APP/KIND/POINT.json
    #[command(verbatim_doc_comment)]
    Verify(VerifyArgs),
    /// Keep a site's write permit up to date on a host; run it as a service beside the app.
    ///
    /// Each second it reads the registers of this region and of the others, and writes the
    /// permit that the app checks before each write. A host that returns from an outage gets no
    /// permit before another region has confirmed that its epoch is still the newest.
    Guard(GuardArgs),
    /// List what can be restored, in each region of the app, with its age and whether it is proven.
    Backups(BackupsArgs),
    /// Say which recovery points a sweep would keep and delete, and why. Deletes nothing.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// The work of backups on a host: take one, restore one, archive WAL.
    ///
    /// The documents `lifeboat-backup` and `lifeboat-restore` run these on a host of the site; by
    /// hand they do the same. The plan and the database's password are read from this region's
    /// Parameter Store, artifacts are streamed to and from the region's bucket.
    #[command(subcommand)]
    Host(HostCommand),
    /// Print what a shell completes of this command, as a script for that shell.
    ///
    /// Example: lifeboat completions bash > /etc/bash_completion.d/lifeboat
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages: one of the command, one of each of its parts.
    ///
    /// Example: lifeboat man --out /usr/local/share/man/man1
    Man {
        /// The folder; it is made when it is missing.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    /// Run the planner of the sweep on a catalogue from a file, and print each decision.
    ///
    /// Example: lifeboat retention plan --catalog events/retention/newest-corrupt.json --policy
    /// events/retention/newest-corrupt.toml --now 2026-11-24T12:00:00Z
    Plan(crate::retention::PlanArgs),
    /// Print the format of the catalogue, or of the policy, as a JSON schema.
    Schema(crate::retention::SchemaArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Find every mistake in a plan file and say where it is. Touches nothing.
    Check {
        /// The plan file (TOML); `-` is the standard input.
        file: PathBuf,
    },
    /// Store the plan in each of its regions, set its alarms, and write the first register.
    ///
    /// Shows what changes and asks. Safe to repeat; a plan with a mistake is refused before anything is
    /// written. A region that does not answer is left out, said, and ends with exit code 4. The alarms
    /// of a new app are set by `lifeboat init`, when its first site serves.
    Apply {
        /// The plan file (TOML); `-` is the standard input.
        file: PathBuf,
        /// Say what changes, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask; for scripts.
        #[arg(long)]
        yes: bool,
    },
    /// Show the stored plan, and the newest epoch and active site that the registers hold.
    ///
    /// A region whose register cannot be read is said, and ends with exit code 4: it may hold a newer
    /// epoch.
    Show {
        /// The app.
        #[arg(long)]
        app: AppName,
        /// The region to ask; without it, the region of the environment.
        #[arg(long, value_parser = region)]
        region: Option<Region>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackupsArgs {
    /// The app.
    #[arg(long)]
    pub(crate) app: AppName,
    /// The region to list; without it, every region of the plan.
    #[arg(long, value_parser = region)]
    pub(crate) region: Option<Region>,
    /// Every point, not only the newest five of each kind.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RecoverArgs {
    /// The app.
    #[arg(long)]
    pub(crate) app: AppName,
    /// The region of the site to activate.
    #[arg(long, value_parser = region)]
    pub(crate) region: Region,
    /// A name to keep in the log beside the caller's identity, which AWS says.
    #[arg(long, value_parser = name)]
    pub(crate) who: Option<String>,
    /// The recovery's id: that of one to follow, or the name of a new one. Without it, the one that is
    /// under way, or the next attempt, whose name is the same for all who ask.
    #[arg(long)]
    pub(crate) incident: Option<IncidentId>,
    /// Act although the votes do not prove the active site lost. A person must approve.
    #[arg(long)]
    pub(crate) override_votes: bool,
    /// Start it and go. With --json, one object: its incident, its execution, whether it is new.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What names somebody.
fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_one = !text.is_empty() && !text.contains(char::is_control);
    is_one.then(|| text.to_owned()).ok_or_else(|| "give a name, or leave it out".to_owned())
}

#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    #[command(flatten)]
    pub(crate) registers: RegisterArgs,
    /// The site's configuration, whose `epoch` is held against the register's.
    #[arg(long)]
    pub(crate) site_file: PathBuf,
    /// Where the permit is written.
    #[arg(long)]
    pub(crate) permit_file: PathBuf,
    /// The round trip to the other regions in milliseconds, as detection.round_trip_ms in the plan: a
    /// register is read for as long as four of them take.
    #[arg(long, default_value_t = RoundTrip::DEFAULT_MS, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=i64::from(RoundTrip::LONGEST_MS)))]
    pub(crate) round_trip_ms: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// A file, `-` for the standard input, a folder (a base backup, append-only files), or
    /// s3://BUCKET/KEY. Of a backup bucket's
    /// artifact, size and checksum are held against its manifest; of a manifest, every artifact is.
    pub(crate) artifact: String,
    /// The region of the bucket; without it, the region of the environment.
    #[arg(long, value_parser = region)]
    pub(crate) region: Option<Region>,
    /// The format that it must have: pg-dump, tar, image, rdb, aof, base-backup or wal. A file of
    /// another format is then damaged, and no longer something that cannot be told.
    #[arg(long, value_parser = format)]
    pub(crate) format: Option<Format>,
    /// The SHA-256 that its stored bytes must have, as in the manifest of a backup.
    #[arg(long, value_parser = sha256)]
    pub(crate) sha256: Option<String>,
    /// Of a recovery point's manifest in a region's backup bucket: record what was found, as the hourly
    /// verification does. A point that is found sound can be restored at once, one that is found
    /// damaged cannot.
    #[arg(long, conflicts_with_all = ["format", "sha256"])]
    pub(crate) record: bool,
    /// Threads; without it, one for each core.
    #[arg(long)]
    pub(crate) threads: Option<std::num::NonZero<usize>>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The app.
    #[arg(long)]
    pub(crate) app: AppName,
    /// The region of the active site.
    #[arg(long, value_parser = region)]
    pub(crate) region: Region,
    /// A kind that the plan schedules; repeat for each. Without it, all of them.
    #[arg(long = "kind")]
    pub(crate) kinds: Vec<Kind>,
}

/// A region; of what is none, the one that may be meant.
pub(crate) fn region(text: &str) -> Result<Region, String> {
    Region::new(text).map_err(|error| {
        let meant = regions::meant(text).map(|meant| format!("; {meant}")).unwrap_or_default();
        format!("{error}{meant}")
    })
}

/// What there is to say about the regions in the words of a command, which may be new ones.
pub(crate) fn doubts(mut matches: &ArgMatches) -> Vec<String> {
    while let Some((_, part)) = matches.subcommand() {
        matches = part;
    }
    let named = ["region", "peers"].into_iter().flat_map(|id| {
        // A part without such an option has none of it.
        matches.try_get_many::<Region>(id).ok().flatten().into_iter().flatten()
    });
    named.filter_map(regions::doubt).collect()
}

/// A format; of what is none, the one that may be meant.
fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|error| format!("{error}; {}", instead(text, Format::names().into_iter())))
}

/// 64 hexadecimal digits: anything else would be held against the artifact, and call it damaged.
fn sha256(text: &str) -> Result<String, String> {
    let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| text.to_owned()).ok_or_else(|| "give its 64 hexadecimal digits".to_owned())
}
