//! Programs that are run, and found.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use lifeboat_core::Fault;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

/// Lines of a program's errors that are kept for its message.
const LINES: usize = 50;
/// Bytes of a line that are kept.
const LINE: usize = 400;

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    errors: JoinHandle<Vec<String>>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether it succeeded.
    pub(crate) success: bool,
    /// The last lines of its errors.
    pub(crate) errors: Vec<String>,
    name: String,
    status: String,
}

impl Ended {
    /// Nothing when it succeeded.
    ///
    /// # Errors
    /// `NeedsHuman` with its own words otherwise.
    pub(crate) fn check(self) -> Result<(), Fault> {
        if self.success { Ok(()) } else { Err(self.fault()) }
    }

    /// Its failure, in its own words.
    pub(crate) fn fault(&self) -> Fault {
        let said: Vec<&str> = self.errors.iter().rev().take(3).map(String::as_str).collect();
        let said: Vec<&str> = said.into_iter().rev().collect();
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said.join("; ") };
        Fault::needs_human(format!("{} failed ({}): {said}", self.name, self.status))
    }
}

/// Starts a program whose errors are gathered. Standard input is closed unless the caller pipes it.
///
/// # Errors
/// `NeedsHuman` when it cannot be started.
pub(crate) fn start(mut command: Command) -> Result<Running, Fault> {
    let name = Path::new(command.as_std().get_program())
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    command.stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| Fault::needs_human(format!("{name} cannot be started: {error}")))?;
    let errors = child.stderr.take();
    let errors = tokio::spawn(async move {
        let mut kept = VecDeque::new();
        if let Some(errors) = errors {
            let mut lines = BufReader::new(errors).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(line.get(..LINE).unwrap_or(&line)).into_owned();
                if kept.len() == LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        }
        kept.into()
    });
    Ok(Running { name, child, errors })
}

impl Running {
    /// Its standard output, which the caller has piped, for a blocking reader.
    pub(crate) fn output(&mut self) -> Result<std::fs::File, Fault> {
        let failed = |error| Fault::needs_human(format!("{}: its output: {error}", self.name));
        let output =
            self.child.stdout.take().ok_or_else(|| failed(std::io::Error::other("not piped")))?;
        Ok(output.into_owned_fd().map_err(failed)?.into())
    }

    /// Its standard input, which the caller has piped, for a blocking writer.
    pub(crate) fn input(&mut self) -> Result<std::fs::File, Fault> {
        let failed = |error| Fault::needs_human(format!("{}: its input: {error}", self.name));
        let input =
            self.child.stdin.take().ok_or_else(|| failed(std::io::Error::other("not piped")))?;
        Ok(input.into_owned_fd().map_err(failed)?.into())
    }

    /// Sends it a signal and waits for its end, or kills it after five seconds. For a destructor,
    /// which cannot await.
    pub(crate) fn end_now(&mut self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return };
        // It may have ended by itself.
        let _ended = kill_process(pid, signal);
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ended = kill_process(pid, Signal::KILL);
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> Result<Ended, Fault> {
        let status = self.child.wait().await.map_err(|error| {
            Fault::needs_human(format!("{} cannot be waited for: {error}", self.name))
        })?;
        let errors = (&mut self.errors).await.unwrap_or_default();
        let name = self.name.clone();
        Ok(Ended { success: status.success(), errors, name, status: status.to_string() })
    }
}

/// Runs a program to its end and gives its output.
///
/// # Errors
/// `NeedsHuman` with its own words when it fails.
pub(crate) async fn output(mut command: Command) -> Result<String, Fault> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = start(command)?;
    let mut output = running.child.stdout.take();
    let mut text = Vec::new();
    if let Some(output) = &mut output {
        let read = tokio::io::AsyncReadExt::read_to_end(output, &mut text).await;
        read.map_err(|error| Fault::needs_human(format!("{}: {error}", running.name)))?;
    }
    running.end().await?.check()?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A program of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// As it says itself: `15.18`.
    pub(crate) version: String,
    /// The first number of it.
    pub(crate) major: u32,
}

/// The folders that packages of PostgreSQL put their programs in, by version: Debian's and the
/// PostgreSQL project's RPMs.
const INSTALLED: [&str; 2] = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"];

/// Which versions of a program will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Of this major version or a newer one: for what is asked of a server.
    AtLeast(u32),
    /// Of this major version and no other: for what opens a cluster's files.
    Exactly(u32),
}

impl Version {
    fn fits(self, tool: &Tool) -> bool {
        match self {
            Self::AtLeast(major) => tool.major >= major,
            Self::Exactly(major) => tool.major == major,
        }
    }

    const fn major(self) -> u32 {
        match self {
            Self::AtLeast(major) | Self::Exactly(major) => major,
        }
    }
}

/// A program of PostgreSQL of a version that will do: the first of `folder` and PATH, or the newest
/// that is installed.
///
/// # Errors
/// `NeedsHuman`, which says what to install.
pub(crate) async fn postgresql(
    folder: Option<&Path>,
    name: &str,
    version: Version,
) -> Result<Tool, Fault> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = folder.map(|folder| folder.join(name)).into_iter().collect();
    places.extend(std::env::split_paths(&path).take(64).map(|dir| dir.join(name)));
    let mut unfit: Option<Tool> = None;
    for place in places {
        if let Some(tool) = probe(&place).await {
            if version.fits(&tool) {
                return Ok(tool);
            }
            unfit = Some(tool);
        }
    }
    let mut newest: Option<Tool> = None;
    for place in INSTALLED.iter().flat_map(|pattern| installed(pattern, name)) {
        let Some(tool) = probe(&place).await else { continue };
        if !version.fits(&tool) {
            unfit = Some(tool);
        } else if newest.as_ref().is_none_or(|known| known.major < tool.major) {
            newest = Some(tool);
        }
    }
    let major = version.major();
    match (newest, unfit) {
        (Some(tool), _) => Ok(tool),
        (None, Some(tool)) => Err(Fault::needs_human(format!(
            "the server is PostgreSQL {major} and {name} on this host is {} ({}): install the \
             package postgresql-client-{major} (Debian; for restores postgresql-{major}) or \
             postgresql{major} (RPM; postgresql{major}-server)",
            tool.version,
            tool.path.display()
        ))),
        (None, None) => Err(Fault::needs_human(format!(
            "there is no {name} on this host: install the package postgresql-client-{major} \
             (for restores postgresql-{major}; RPM: postgresql{major}-server)"
        ))),
    }
}

fn installed(pattern: &str, name: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return Vec::new() };
    let (folder, prefix) = before.rsplit_once('/').unwrap_or_default();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')).join(name))
        .collect()
}

async fn probe(path: &Path) -> Option<Tool> {
    if !path.is_file() {
        return None;
    }
    let mut command = Command::new(path);
    command.arg("--version");
    // "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let said = output(command).await.ok()?;
    let version = said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?.to_owned();
    let major = major(&version)?;
    Some(Tool { path: path.to_owned(), version, major })
}

/// The first number of a version: 15 of `15.18`, 18 of `18beta2`.
pub(crate) fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A command that does not outlive this program, and as root is run by a user without rights: only
/// for programs that work on what was restored.
pub(crate) fn unprivileged(program: impl AsRef<OsStr>, user: Option<User>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(User { uid, gid }) = user {
        command.args([
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".to_owned(),
            "--no-new-privs".to_owned(),
        ]);
    }
    command.args(["--pdeathsig", "KILL"]).arg(program).stdin(Stdio::null());
    command
}

/// A user without rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    /// Its number.
    pub(crate) uid: u32,
    /// Its group's.
    pub(crate) gid: u32,
}

/// Whom root runs servers as (PostgreSQL refuses root): `postgres` where there is one, or `nobody`.
/// None for everybody else.
pub(crate) fn server_user() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            let mut numbers = fields.skip(1).map(str::parse::<u32>);
            Some(User { uid: numbers.next()?.ok()?, gid: numbers.next()?.ok()? })
        })
    };
    // The kernel's overflow user, where the file has none.
    Some(find("postgres").or_else(|| find("nobody")).unwrap_or(User { uid: 65534, gid: 65534 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside PostgreSQL 18, which `lab/setup.sh` brings, the system's own is installed.
    #[tokio::test]
    async fn a_clusters_files_are_opened_by_its_own_version_and_a_server_is_asked_by_a_newer_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let newest = root.join("target/tools/postgresql-18/bin");
        let find = |version| postgresql(Some(&newest), "pg_controldata", version);
        let asked = find(Version::AtLeast(15)).await.unwrap();
        assert_eq!((asked.major, asked.path), (18, newest.join("pg_controldata")));
        assert_eq!(find(Version::Exactly(18)).await.unwrap().major, 18);
        let other = postgresql(None, "pg_controldata", Version::AtLeast(1)).await.unwrap();
        assert_eq!(find(Version::Exactly(other.major)).await.unwrap(), other);
        let fault = find(Version::Exactly(9)).await.unwrap_err();
        assert!(fault.message.contains("for restores postgresql-9"), "{fault}");
    }
}
