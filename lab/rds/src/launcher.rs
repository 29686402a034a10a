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
    root: bool,
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
        Ok(Self { jobs, root: rustix::process::geteuid().is_root() })
    }

    /// A command that runs `program` with the death signal set, in its own process group (so that
    /// Ctrl-C reaches only us, and we stop it in order), with nothing inherited but PATH and a locale.
    ///
    /// PostgreSQL refuses to run as root. For root the program gets a user namespace in which it
    /// has another uid; files keep their owner. It gets an IPC namespace too, because a killed server
    /// would otherwise leave a System V segment. `unshare` and `setpriv` both exec, so that the pid stays;
    /// the signal is set last because a change of credentials clears it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = if self.root {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-user=1000", "--map-group=1000", "--ipc", "setpriv"]);
            command
        } else {
            Command::new("setpriv")
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
