//! A scratch PostgreSQL server: in a folder of its own, on a socket in it, without TCP, as a user
//! without rights. It runs what a dump says, and a dump may say anything.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::Fault;
use lifeboat_postgres::{Session, SqlError, Target, connect};
use lifeboat_runtime::clock;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Host,
    program::{self, Running, Tool, User, unprivileged},
};

/// The superuser of scratch servers.
pub(super) const SUPERUSER: &str = "lifeboat_scratch";
/// A scratch server answers within this time, unless it has WAL to replay.
const START: SignedDuration = SignedDuration::from_mins(2);
/// Between two looks at a server that starts.
const LOOK: SignedDuration = SignedDuration::from_millis(50);
/// For a login while it starts.
const LOGIN: Duration = Duration::from_secs(5);

/// Nothing of it has to survive, so nothing is synchronised or logged for a crash.
const SETTINGS: &str = "listen_addresses=
fsync=off
synchronous_commit=off
full_page_writes=off
autovacuum=off
max_wal_size=4GB
checkpoint_timeout=1h
maintenance_work_mem=128MB
shared_buffers=128MB
max_connections=10
max_worker_processes=4
archive_mode=off
shared_preload_libraries=
log_min_messages=warning
";

/// A private folder, owned by who runs the server. Removed with all that is in it.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    /// Who owns it; none when it is we.
    pub(super) user: Option<User>,
}

impl Folder {
    /// Makes it below `scratch`.
    pub(super) fn new(scratch: &Path) -> Result<Self, Fault> {
        Self::of(scratch, program::server_user())
    }

    /// The same for somebody else.
    pub(super) fn of(scratch: &Path, user: Option<User>) -> Result<Self, Fault> {
        let failed =
            |error| Fault::needs_human(format!("make a folder in {}: {error}", scratch.display()));
        let folder = tempfile::Builder::new()
            .prefix("lifeboat-scratch-")
            .tempdir_in(scratch)
            .map_err(failed)?;
        let made = Self { folder, user };
        made.own(made.path()).map_err(failed)?;
        Ok(made)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a path in it to its user.
    pub(super) fn own(&self, path: &Path) -> std::io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        match self.user {
            Some(User { uid, gid }) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// A command of its user.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = unprivileged(program, self.user);
        command.current_dir(self.path());
        command
    }
}

/// A server that runs. Ended, with its children, when dropped.
#[derive(Debug)]
pub(super) struct Server {
    running: Running,
    socket: PathBuf,
    /// The server's program.
    pub(super) tool: Tool,
    // Last: removed when the server is gone.
    folder: Folder,
    _sockets: Folder,
}

impl Server {
    /// Makes a cluster and starts its server, at least of version `major`.
    pub(super) async fn fresh<S>(host: &Host<S>, major: u32) -> Result<Self, Fault> {
        let folder = Folder::new(&host.scratch)?;
        let initdb = host.client("initdb", major).await?;
        // Both are of one package, whichever version it has.
        let tool = host.server("postgres", initdb.major).await?;
        let data = folder.path().join("data");
        let mut command = folder.command(&initdb.path);
        command
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-instructions",
            ])
            .arg(format!("--username={SUPERUSER}"))
            .arg(format!("--pgdata={}", data.display()));
        program::output(command).await?;
        Self::start(folder, &data, tool, &[])
    }

    /// Starts the server of the cluster in `data` with our settings, and these, instead of its own.
    pub(super) fn start(
        folder: Folder,
        data: &Path,
        tool: Tool,
        settings: &[String],
    ) -> Result<Self, Fault> {
        // A socket's path ends at 107 bytes (unix(7)), so it is not below a deep scratch folder.
        let sockets = Folder::new(&std::env::temp_dir())?;
        let socket = sockets.path().to_owned();
        // The cluster's own files may ask for certificates, libraries and memory of another host, and
        // let nobody in.
        let (config, hba) = (folder.path().join("server.conf"), folder.path().join("hba.conf"));
        for (path, content) in [(&config, ""), (&hba, "local all all trust\n")] {
            let failed = |error| Fault::needs_human(format!("write {}: {error}", path.display()));
            fs::write(path, content).map_err(failed)?;
            folder.own(path).map_err(failed)?;
        }
        let mut command = folder.command(&tool.path);
        command.arg("-D").arg(data);
        command.args(["-c", &format!("config_file={}", config.display())]);
        command.args(["-c", &format!("hba_file={}", hba.display())]);
        for setting in SETTINGS.lines().chain(settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command.args(["-c", &format!("unix_socket_directories={}", socket.display())]);
        command.stdout(Stdio::null()).process_group(0);
        let running = program::start(command)?;
        Ok(Self { running, socket, tool, folder, _sockets: sockets })
    }

    /// Where to log in.
    pub(super) fn target<'a>(&'a self, database: &'a str) -> Result<Target<'a>, Fault> {
        let host = self
            .socket
            .to_str()
            .ok_or_else(|| Fault::invalid(format!("{} is not UTF-8", self.socket.display())))?;
        Ok(Target { host, port: 5432, database, user: SUPERUSER, password: "" })
    }

    /// A session, as soon as the server takes one; up to two minutes from `began`.
    pub(super) async fn session(
        &mut self,
        database: &str,
        began: Timestamp,
    ) -> Result<Session, Fault> {
        self.session_as(SUPERUSER, database, began + START).await
    }

    /// The same for another role, and until another moment.
    pub(super) async fn session_as(
        &mut self,
        user: &str,
        database: &str,
        until: Timestamp,
    ) -> Result<Session, Fault> {
        loop {
            let late = clock::now() > until;
            match connect(&Target { user, ..self.target(database)? }, LOGIN).await {
                Ok(session) => return Ok(session),
                Err(SqlError::Unreachable(_) | SqlError::NotReady(_)) if !late => {}
                Err(error) => return Err(error.fault("log in to the scratch server")),
            }
            tokio::select! {
                ended = self.running.end() => {
                    return Err(Fault::needs_human(format!(
                        "the scratch server ended: {}", last_lines(&ended?.errors)
                    )));
                }
                () = clock::pause_until(clock::now() + LOOK) => {}
            }
        }
    }

    /// A command of the server's user.
    pub(super) fn command(&self, program: &Path) -> Command {
        self.folder.command(program)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Immediate shutdown (manual, "Shutting Down the Server"): the server ends its children, and
        // is waited for, so that nothing writes into the folder while it is removed.
        self.running.end_now(Signal::QUIT);
    }
}

/// Why a server ended, by its log: its last severe words, or its last ones. That it does not let
/// anybody in yet is none of it.
fn last_lines(lines: &[String]) -> String {
    let is_severe = |line: &&String| {
        ["FATAL:", "PANIC:", "ERROR:"].iter().any(|word| line.contains(word))
            && !line.contains("the database system is")
    };
    let severe: Vec<&String> = lines.iter().filter(is_severe).collect();
    let told = if severe.is_empty() { lines.iter().collect() } else { severe };
    let last: Vec<&str> = told.iter().rev().take(4).map(|line| line.as_str()).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_servers_end_is_told_and_not_what_follows_from_it() {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        let log = [
            "FATAL:  the database system is starting up",
            "FATAL:  could not restore file \"0001\" from archive: child process exited with exit code 200",
            "LOG:  startup process (PID 7) exited with exit code 1",
            "LOG:  database system is shut down",
        ];
        assert_eq!(last_lines(&lines(&log)), log[1]);
        assert_eq!(last_lines(&lines(&log[2..])), log[2..].join("; "));
    }
}
