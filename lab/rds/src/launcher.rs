//! Starts programs so that they die with this process.
//!
//! Linux sends a parent-death signal when the *thread* that forked ends, not when its process does.
//! An async runtime's threads come and go, so every program is forked by one thread of its own, which
//! ends only when the last [`Launcher`] is dropped.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

type Job = (Command, oneshot::Sender<io::Result<Child>>);

/// Forks programs on its own thread.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    jobs: mpsc::Sender<Job>,
    namespaces: &'static [&'static str],
}

impl Launcher {
    /// Starts the thread. Must be called inside a tokio runtime.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, received) = mpsc::channel::<Job>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("rds-launcher".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            while let Ok((mut command, answer)) = received.recv() {
                // A caller that went away drops the child; `kill_on_drop` then ends it.
                let _gone = answer.send(command.spawn());
            }
        })?;
        Ok(Self { jobs, namespaces: namespaces() })
    }

    /// A command that runs `program` with the death signal set, in its own process group (so that
    /// Ctrl-C reaches only us, and we stop it in order), with nothing inherited but PATH and a locale.
    ///
    /// `unshare` and `setpriv` both exec, so that the pid stays; the signal is set last because a
    /// change of credentials clears it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.namespaces {
            [] => Command::new("setpriv"),
            options => {
                let mut command = Command::new("unshare");
                command.args(options).arg("setpriv");
                command
            }
        };
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// Forks `command` on the launcher's thread.
    pub(crate) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (answer, answered) = oneshot::channel();
        let ended = || io::Error::other("the launcher has ended");
        self.jobs.send((command, answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// What `unshare` is told, or nothing to do without it.
///
/// PostgreSQL refuses to run as root: for root a program gets a user namespace in which it has
/// another uid, and files keep their owner. An IPC namespace comes with it, because a server that is
/// killed would otherwise leave a System V segment; others get one where the system lets them.
fn namespaces() -> &'static [&'static str] {
    const ROOT: &[&str] = &["--user", "--map-user=1000", "--map-group=1000", "--ipc"];
    const USER: &[&str] = &["--user", "--map-current-user", "--ipc"];
    if rustix::process::geteuid().is_root() {
        return ROOT;
    }
    let mut probe = std::process::Command::new("unshare");
    probe.args(USER).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    if probe.status().is_ok_and(|status| status.success()) { USER } else { &[] }
}
