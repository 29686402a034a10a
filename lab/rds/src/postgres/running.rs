//! One running PostgreSQL server.

use std::fs::{self, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;

use super::cluster::last_lines;
use super::sql::Session;
use super::{Install, PgError};
use crate::clock;
use crate::launcher::Launcher;
use crate::processes;

/// Crash recovery of a lab's database takes a second at most; a slow disk gets a lot more.
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long a fast shutdown may take: a standby that hangs holds its primary's shutdown up.
const STOP_WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(15);

/// A postmaster and its children.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// The postmaster.
    pub(crate) pid: u32,
    log: PathBuf,
    ended: watch::Receiver<bool>,
}

impl Running {
    /// Starts the server of the cluster in `pgdata`. Its log goes to `log`.
    pub(crate) async fn start(
        install: &Install,
        launcher: &Launcher,
        pgdata: &Path,
        log: &Path,
    ) -> Result<Self, PgError> {
        // Left by a server that was killed. The caller knows that none runs; the pid in it may by
        // now be another process's, which would make the server refuse to start.
        let _absent = fs::remove_file(pgdata.join("postmaster.pid"));
        let file_error = |reason| PgError::File { path: log.to_owned(), reason };
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(file_error)?;
        let mut command = launcher.command(install.bin.join("postgres"));
        command.arg("-D").arg(pgdata);
        // Work that is aborted before it knows the server takes the server with it.
        command.kill_on_drop(true);
        command
            .stdout(Stdio::from(output.try_clone().map_err(file_error)?))
            .stderr(Stdio::from(output));
        let run_error = |reason| PgError::Run { program: "postgres", reason };
        let mut child = launcher.spawn(command).await.map_err(run_error)?;
        let pid = child.id().ok_or_else(|| run_error(std::io::Error::other("it ended at once")))?;
        let (tell, ended) = watch::channel(false);
        tokio::spawn(async move {
            let status = child.wait().await;
            tracing::debug!(pid, ?status, "postgres ended");
            let _nobody = tell.send(true);
        });
        Ok(Self { pid, log: log.to_owned(), ended })
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the server answers queries (a standby: read-only ones).
    pub(crate) async fn wait_ready(
        &self,
        address: Ipv4Addr,
        password: &str,
    ) -> Result<Session, PgError> {
        let begin = Instant::now();
        loop {
            if self.has_ended() {
                let text = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(PgError::Ended { log: last_lines(&text) });
            }
            match Session::open(address, password, "postgres", Duration::from_secs(5)).await {
                Ok(session) => return Ok(session),
                Err(_) if begin.elapsed() < START_WITHIN => clock::pause(LOOK).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Fast shutdown, then SIGKILL when that takes too long. Nothing of it is left afterwards.
    pub(crate) async fn stop(&self) -> Result<(), PgError> {
        if processes::is_stopped(self.pid) {
            return self.kill().await;
        }
        let pids = processes::tree(self.pid);
        processes::signal(self.pid, Signal::INT);
        let late = tokio::time::timeout(STOP_WITHIN, self.wait_ended()).await.is_err();
        if late {
            tracing::warn!(pid = self.pid, "fast shutdown takes too long: killing");
            self.kill().await?;
        }
        Ok(processes::wait_gone(&pids).await?)
    }

    /// SIGKILL for all processes at one moment.
    pub(crate) async fn kill(&self) -> Result<(), PgError> {
        if !self.has_ended() {
            processes::kill(self.pid).await?;
        }
        self.wait_ended().await;
        Ok(())
    }

    /// Waits until the postmaster has been reaped.
    pub(crate) async fn wait_ended(&self) {
        let mut ended = self.ended.clone();
        let _told = ended.wait_for(|ended| *ended).await;
    }

    /// SIGKILL without waiting.
    pub(crate) fn kill_now(&self) {
        let pids = processes::tree(self.pid);
        processes::signal(self.pid, Signal::STOP);
        pids.into_iter().rev().for_each(|pid| processes::signal(pid, Signal::KILL));
    }
}
