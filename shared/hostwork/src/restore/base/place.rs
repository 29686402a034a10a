//! A base backup in the site's own data directory, which a server then recovers.
//!
//! The directory has to be empty or absent. A file beside it says that a restore is under way, and is
//! locked by it; a restore that finds the file of one that has died takes away what that one left.
//! The server is not started: who restores looks at the configuration first, and starts it as the
//! service that it is.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use lifeboat_core::{Fault, backup::Manifest};
use rustix::fs::{FlockOperation, flock};

use super::{
    super::{Seen, dump::server_major},
    archive, chain, equipped, is_of,
};
use crate::{
    Host,
    program::{self, User},
    store::ObjectStore,
};

/// A server writes this file when it starts, and no backup has it.
const STARTED: &str = "postmaster.opts";
/// What the file beside the directory says to people.
const MARKED: &[u8] =
    b"A restore of Lifeboat fills the folder beside this file. When it has died, the \
    next one empties the folder first; remove this file to keep what is in it.\n";
/// Settings of an earlier life that a recovery must not inherit.
const STALE: [&str; 5] = [
    "recovery_",
    "restore_command",
    "archive_cleanup_command",
    "primary_conninfo",
    "primary_slot_name",
];

/// Unpacks into the data directory of the plan, with all that a server needs to recover.
pub(in super::super) async fn place<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    to: Option<Timestamp>,
) -> Result<Seen, Fault> {
    let plan = host.plan.backup.as_ref().and_then(|backup| backup.base.as_ref());
    let data = plan.map(|base| PathBuf::from(&base.data_directory)).ok_or_else(|| {
        Fault::invalid(format!(
            "the plan of {} does not say where: add [backup.base] data_directory",
            host.app()
        ))
    })?;
    let system = archive::span(manifest)?.system.clone();
    let major = server_major(manifest)?;
    look(&data, marker(&data).exists())?;
    equipped(host, major).await?;
    let mut seen = Seen::default();
    let Some(members) = chain::members(host, manifest, &mut seen).await? else { return Ok(seen) };
    if let Some(to) = to {
        archive::judge(host, manifest, major, to).await?;
    }
    // From here on what is in the directory is ours.
    let claim = Claim::of(&data)?;
    let made = async {
        let whole = chain::make(host, &members, major, &data, claim.owner, &mut seen).await?
            && is_of(host, &data, claim.owner, &system, major, &mut seen).await?;
        if whole {
            configure(&data, &archive::settings(host, &system, to), claim.owner)
                .map_err(|error| failed("configure", &data, &error))?;
        }
        Ok::<_, Fault>(whole)
    }
    .await;
    if !matches!(made, Ok(true)) {
        claim.give_up()?;
        return made.map(|_| seen);
    }
    claim.keep()?;
    facts(&data, manifest, to, &mut seen);
    Ok(seen)
}

/// What the person who restores does next.
fn facts(data: &Path, manifest: &Manifest, to: Option<Timestamp>, seen: &mut Seen) {
    let end = match to {
        Some(to) => format!("up to {to}"),
        None => "as far as it is archived".to_owned(),
    };
    let lsn = manifest.lsn.as_deref().unwrap_or("the backup's end");
    seen.facts.push(format!(
        "{} is in place: start its server. It is consistent at {lsn}, then replays the archived WAL \
         {end} and takes writes",
        data.display()
    ));
    if !data.join("postgresql.conf").exists() {
        seen.facts.push(format!(
            "{} has no postgresql.conf: the cluster keeps its configuration elsewhere, and needs it \
             before it starts",
            data.display()
        ));
    }
    seen.facts.push(
        "SELECT pg_last_xact_replay_timestamp(), pg_last_wal_replay_lsn() then says how far it has \
         come; take a new base backup"
            .to_owned(),
    );
}

/// Adds the settings to those that the server's own commands have written, and says that it has to
/// recover.
fn configure(data: &Path, settings: &[(&str, String)], owner: Option<User>) -> io::Result<()> {
    let path = data.join("postgresql.auto.conf");
    let before = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let is_stale = |line: &&str| STALE.iter().any(|name| line.trim_start().starts_with(name));
    let kept = before.lines().filter(|line| !is_stale(line)).map(str::to_owned);
    let ours =
        settings.iter().map(|(name, value)| format!("{name} = '{}'", value.replace('\'', "''")));
    let lines: Vec<String> = kept.chain(ours).collect();
    for (path, content) in
        [(path, lines.join("\n") + "\n"), (data.join("recovery.signal"), String::new())]
    {
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        if let Some(User { uid, gid }) = owner {
            chown(&path, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::needs_human(format!("{doing} {}: {error}", path.display()))
}

/// The file that says that a restore into `data` is under way.
fn marker(data: &Path) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".lifeboat-restoring");
    PathBuf::from(name)
}

/// Refuses a directory that something is in, unless a restore has left it. Touches nothing.
fn look(data: &Path, has_marker: bool) -> Result<(), Fault> {
    let refuse = |why: String| Err(Fault::refused(format!("{} {why}", data.display())));
    let mut entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = data.parent().unwrap_or(data);
            if above.is_dir() {
                return Ok(());
            }
            return Err(Fault::needs_human(format!(
                "there is no {}: make it first",
                above.display()
            )));
        }
        Err(error) => return Err(failed("look into", data, &error)),
    };
    let Some(entry) = entries.next() else { return Ok(()) };
    let entry = entry.map_err(|error| failed("look into", data, &error))?;
    // What a restore that has died left; a server that was started on it is nobody's remains.
    if has_marker && !data.join(STARTED).exists() {
        return Ok(());
    }
    refuse(format!(
        "is not empty ({} is in it): stop its server and move it aside first",
        entry.file_name().to_string_lossy()
    ))
}

/// A data directory that this restore fills. Emptied again when dropped, unless it is kept.
struct Claim {
    data: PathBuf,
    /// Whether the directory was not there.
    is_new: bool,
    /// Whom it belongs to, where we are root.
    owner: Option<User>,
    is_open: bool,
    // Locked while it is open.
    _lock: File,
}

impl Claim {
    fn of(data: &Path) -> Result<Self, Fault> {
        let path = marker(data);
        let mut options = File::options();
        let made = options.append(true).create_new(true).open(&path);
        let was_there = matches!(&made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
        let opened = if was_there { File::options().append(true).open(&path) } else { made };
        let mut lock = opened.map_err(|error| failed("write", &path, &error))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let data = data.display();
            return Err(Fault::refused(format!("another restore into {data} is under way")));
        }
        // Again, now that no other restore can be at it.
        let looked = look(data, was_there);
        if looked.is_err() && !was_there {
            fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        looked?;
        lock.write_all(MARKED).map_err(|error| failed("write", &path, &error))?;
        let is_new = !data.exists();
        let claim = Self { data: data.to_owned(), is_new, owner: None, is_open: true, _lock: lock };
        claim.begin().map_err(|error| failed("prepare", data, &error))
    }

    /// Makes the directory where it is missing and empties it where a restore has died. Its owner
    /// stays, and so does its mode where a server accepts it.
    fn begin(mut self) -> io::Result<Self> {
        if self.is_new {
            fs::create_dir(&self.data)?;
        }
        empty(&self.data)?;
        let about = fs::metadata(&self.data)?;
        // A server that root started ends at once; so the directory is no root's.
        self.owner = program::server_user().map(|user| match (self.is_new, about.uid()) {
            (true, _) | (_, 0) => user,
            (false, uid) => User { uid, gid: about.gid() },
        });
        if let Some(User { uid, gid }) = self.owner {
            chown(&self.data, Some(uid), Some(gid))?;
        }
        // The two that a server accepts (manual, `initdb --allow-group-access`).
        if !matches!(about.mode() & 0o777, 0o700 | 0o750) {
            fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700))?;
        }
        Ok(self)
    }

    /// Everything is in place.
    fn keep(mut self) -> Result<(), Fault> {
        self.is_open = false;
        let path = marker(&self.data);
        fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))
    }

    /// Leaves the directory as it was found.
    fn give_up(mut self) -> Result<(), Fault> {
        self.is_open = false;
        self.undo().map_err(|error| failed("empty", &self.data, &error))?;
        let path = marker(&self.data);
        fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))
    }

    fn undo(&self) -> io::Result<()> {
        empty(&self.data)?;
        if self.is_new { fs::remove_dir(&self.data) } else { Ok(()) }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A thread may still be writing: the marker stays, so that the next restore finds what is left.
        if self.is_open
            && let Err(error) = self.undo()
        {
            tracing::warn!(directory = %self.data.display(), %error, "it could not be emptied");
        }
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
