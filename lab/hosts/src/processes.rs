//! Processes of a host: starting them so that they die with the lab, and finding all of them again.
//!
//! Two things keep the promise that a killed host runs nothing and that a stopped lab leaves nothing:
//!
//! - Every child is started from one thread that lives as long as the server, behind `setpriv --pdeathsig`. The
//!   kernel sends that signal when the *thread* that forked ends, so a runtime's worker thread would not do.
//! - Everything on a host inherits the environment variable [`MARK`]. A look through `/proc` finds what carries it,
//!   whatever is in a process group or a session of ours, and all descendants of those. A program that clears
//!   its environment, leaves its session and loses its parent is not found: such programs belong in a service.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::clock::pause;
use crate::lock::locked;

/// The environment variable that marks the processes of a host.
pub(crate) const MARK: &str = "LIFEBOAT_LAB_HOST";

/// How often `/proc` is read again while processes end.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How many times it is read before the lab gives up: 5 s.
const LOOKS: u32 = 500;

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: std::path::PathBuf,
    pub(crate) stdout: std::fs::File,
    pub(crate) stderr: std::fs::File,
}

type Request = (Launch, oneshot::Sender<io::Result<Child>>);

/// The thread that starts every process of every host.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    /// None once the lab stops: the thread then ends, and the kernel kills its children.
    requests: Arc<Mutex<Option<mpsc::UnboundedSender<Request>>>>,
}

impl Spawner {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (requests, mut incoming) = mpsc::unbounded_channel::<Request>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("host-processes".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            while let Some((launch, answer)) = incoming.blocking_recv() {
                // A caller that no longer waits drops the child; it is found through /proc when its host ends.
                let _ = answer.send(launch.spawn());
            }
        })?;
        Ok(Self { requests: Arc::new(Mutex::new(Some(requests))) })
    }

    /// Ends the thread, whoever else holds the spawner.
    pub(crate) fn close(&self) {
        *locked(&self.requests) = None;
    }

    /// Starts a process in a process group of its own.
    pub(crate) async fn spawn(&self, launch: Launch) -> io::Result<Child> {
        let (answer, child) = oneshot::channel();
        let gone = || io::Error::other("the lab is stopping");
        let requests = locked(&self.requests).clone().ok_or_else(gone)?;
        requests.send((launch, answer)).map_err(|_| gone())?;
        drop(requests);
        child.await.map_err(|_| gone())?
    }
}

impl Launch {
    fn spawn(self) -> io::Result<Child> {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.program)
            .args(self.args)
            .env_clear()
            .envs(self.environment)
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .stdout(self.stdout)
            .stderr(self.stderr)
            .process_group(0)
            .spawn()
    }
}

/// What `/proc` says of one process.
#[derive(Debug, Clone, Copy)]
struct Entry {
    parent: u32,
    group: u32,
    session: u32,
    state: char,
}

fn read_entry(pid: u32) -> Option<Entry> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name is in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    let mut number = || fields.next()?.parse::<u32>().ok();
    Some(Entry { state, parent: number()?, group: number()?, session: number()? })
}

/// Whether a process runs: it is there and has not ended.
pub(crate) fn is_alive(pid: u32) -> bool {
    read_entry(pid).is_some_and(|entry| !matches!(entry.state, 'Z' | 'X'))
}

fn carries_mark(pid: u32, mark: &str) -> bool {
    let wanted = format!("{MARK}={mark}");
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    })
}

/// The living processes of a host: those with its mark (unless it is empty), those in the groups or sessions of `roots`, and all descendants.
fn members(mark: &str, roots: &BTreeSet<u32>) -> BTreeMap<u32, Entry> {
    let mut all = BTreeMap::new();
    let Ok(directory) = std::fs::read_dir("/proc") else { return all };
    for entry in directory.flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            && let Some(entry) = read_entry(pid)
            // A zombie runs nothing; its parent, or tokio, collects it.
            && !matches!(entry.state, 'Z' | 'X')
        {
            all.insert(pid, entry);
        }
    }
    let mut found: BTreeSet<u32> = all
        .iter()
        .filter(|(pid, entry)| {
            roots.contains(pid)
                || roots.contains(&entry.group)
                || roots.contains(&entry.session)
                || (!mark.is_empty() && carries_mark(**pid, mark))
        })
        .map(|(pid, _)| *pid)
        .collect();
    loop {
        let children: Vec<u32> = all
            .iter()
            .filter(|(pid, entry)| found.contains(&entry.parent) && !found.contains(*pid))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    all.retain(|pid, _| found.contains(pid));
    all
}

/// The process ids of a host.
pub(crate) fn pids(mark: &str, roots: &BTreeSet<u32>) -> Vec<u32> {
    members(mark, roots).into_keys().collect()
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Already gone is what we want; anything else shows as a survivor.
        let _ = kill_process(pid, signal);
    }
}

/// Sends a signal to one process.
pub(crate) fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Kills every process of a host without waiting, for a lab that is dropped. A few looks catch what forks meanwhile.
pub(crate) fn kill_now(mark: &str, roots: &BTreeSet<u32>) {
    for _ in 0..20 {
        let left = pids(mark, roots);
        if left.is_empty() {
            break;
        }
        left.into_iter().for_each(|pid| signal(pid, Signal::KILL));
    }
}

/// Kills every process of a host; returns those that would not end.
pub(crate) async fn kill_all(mark: &str, roots: &BTreeSet<u32>) -> Vec<u32> {
    repeat(mark, roots, Signal::KILL, |_| false).await
}

/// Stops every process of a host where it stands; returns those that run on.
pub(crate) async fn freeze_all(mark: &str, roots: &BTreeSet<u32>) -> Vec<u32> {
    repeat(mark, roots, Signal::STOP, |state| matches!(state, 'T' | 't')).await
}

/// Lets every process of a host run on.
pub(crate) fn thaw_all(mark: &str, roots: &BTreeSet<u32>) {
    for pid in pids(mark, roots) {
        signal(pid, Signal::CONT);
    }
}

/// Signals all members until a look finds none for which `done` is false: one that forks meanwhile is caught by the next look.
async fn repeat(
    mark: &str,
    roots: &BTreeSet<u32>,
    what: Signal,
    done: fn(char) -> bool,
) -> Vec<u32> {
    let mut left = Vec::new();
    for _ in 0..LOOKS {
        left = members(mark, roots)
            .into_iter()
            .filter(|(_, entry)| !done(entry.state))
            .map(|(pid, _)| pid)
            .collect();
        if left.is_empty() {
            break;
        }
        left.iter().for_each(|pid| signal(*pid, what));
        pause(LOOK_EVERY).await;
    }
    left
}

/// Opens a file to which a process appends what it says.
pub(crate) fn log_file(path: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)
}
