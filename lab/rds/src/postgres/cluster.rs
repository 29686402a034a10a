//! Makes clusters: empty ones, and copies of a running one.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::settings::secret_file;
use super::{ADMIN, Install, PgError};
use crate::config::POSTGRES_PORT;
use crate::launcher::Launcher;

/// A slow disk takes seconds for an empty cluster; a lab's database is small.
const WITHIN: Duration = Duration::from_secs(300);

/// Makes an empty cluster with checksums, whose superuser has `password`.
pub(crate) async fn create(
    install: &Install,
    launcher: &Launcher,
    pgdata: &Path,
    password: &str,
) -> Result<(), PgError> {
    let pwfile = pgdata.with_extension("pw");
    secret_file(&pwfile, password)?;
    let mut command = launcher.command(install.bin.join("initdb"));
    command.arg("--pgdata").arg(pgdata).arg("--pwfile").arg(&pwfile);
    command.args([
        "--username",
        ADMIN,
        "--auth",
        "scram-sha-256",
        "--encoding",
        "UTF8",
        "--locale",
        "C.UTF-8",
    ]);
    // Nothing in a new cluster is worth a sync; the server syncs what it writes later.
    command.args(["--data-checksums", "--no-sync", "--no-instructions"]);
    let result = run("initdb", launcher, command).await;
    let _absent = std::fs::remove_file(&pwfile);
    result
}

/// What to copy from and how.
#[derive(Debug)]
pub(crate) struct Copy<'a> {
    pub(crate) from: Ipv4Addr,
    pub(crate) role: &'a str,
    pub(crate) password: &'a str,
    /// Made on the source before the copy begins, so that no write-ahead log is missed between
    /// the copy and the stream.
    pub(crate) slot: Option<&'a str>,
}

/// Copies a running cluster with the write-ahead log that makes it consistent.
pub(crate) async fn copy(
    install: &Install,
    launcher: &Launcher,
    pgdata: &Path,
    copy: &Copy<'_>,
) -> Result<(), PgError> {
    let mut command = launcher.command(install.bin.join("pg_basebackup"));
    command.env("PGPASSWORD", copy.password).env("PGCONNECT_TIMEOUT", "5");
    command.arg("--pgdata").arg(pgdata).args([
        "--host",
        &copy.from.to_string(),
        "--port",
        &POSTGRES_PORT.to_string(),
    ]);
    command.args([
        "--username",
        copy.role,
        "--no-password",
        "--checkpoint",
        "fast",
        "--wal-method",
        "stream",
        "--no-sync",
    ]);
    if let Some(slot) = copy.slot {
        command.args(["--create-slot", "--slot", slot]);
    }
    run("pg_basebackup", launcher, command).await
}

/// Removes a directory with all that is in it; none is fine.
pub(crate) async fn remove(path: &Path) -> Result<(), PgError> {
    match tokio::fs::remove_dir_all(path).await {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
            Err(PgError::File { path: path.to_owned(), reason })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes an empty directory; what was there goes.
pub(crate) async fn fresh(path: &Path) -> Result<(), PgError> {
    remove(path).await?;
    let made = tokio::fs::create_dir_all(path).await;
    made.map_err(|reason| PgError::File { path: path.to_owned(), reason })
}

/// Copies the files of a cluster that no server works on. Where the file system can share blocks,
/// this takes no time and no room.
pub(crate) async fn duplicate(launcher: &Launcher, from: &Path, to: &Path) -> Result<(), PgError> {
    let mut command = launcher.command("cp");
    command.args([
        "--recursive",
        "--no-target-directory",
        "--reflink=auto",
        "--preserve=mode,timestamps",
    ]);
    command.arg(from).arg(to);
    run("cp", launcher, command).await
}

/// Gives files that nobody changes any more a second place, without copying them.
pub(crate) async fn link(launcher: &Launcher, from: &Path, to: &Path) -> Result<(), PgError> {
    let mut command = launcher.command("cp");
    command.args(["--recursive", "--link", "--no-target-directory"]).arg(from).arg(to);
    run("cp", launcher, command).await
}

async fn run(
    program: &'static str,
    launcher: &Launcher,
    mut command: Command,
) -> Result<(), PgError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |reason| PgError::Run { program, reason };
    let child = launcher.spawn(command).await.map_err(failed)?;
    let late = PgError::Late { what: program, within: WITHIN };
    let output = tokio::time::timeout(WITHIN, child.wait_with_output())
        .await
        .map_err(|_| late)?
        .map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(PgError::Program { program, output: last_lines(&text) })
}

/// The last lines of a log on one line.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(4).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
