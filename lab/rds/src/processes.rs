//! Looks at process trees and signals them.
//!
//! Each PostgreSQL child is in a session and process group of its own, so a group signal reaches
//! only the postmaster: the tree is read from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::error::DisasterError;

/// How long processes may take to stop, continue or die; the kernel needs milliseconds.
const BOUND: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

/// One line of the process table.
struct Entry {
    pid: u32,
    parent: u32,
    state: char,
}

/// Reads `/proc/<pid>/stat`; `None` when there is no such process.
fn entry(pid: u32) -> Option<Entry> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command may hold spaces and brackets: the fields after it begin behind the last bracket.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Entry { pid, parent, state })
}

fn all_pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process and all its descendants that have not ended, lowest pid first.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let table: Vec<Entry> = all_pids().filter_map(entry).filter(|e| e.state != 'Z').collect();
    let mut found: BTreeSet<u32> = table.iter().filter(|e| e.pid == root).map(|e| e.pid).collect();
    loop {
        let before = found.len();
        found.extend(
            table.iter().filter(|e| found.contains(&e.parent)).map(|e| e.pid).collect::<Vec<_>>(),
        );
        if found.len() == before {
            return found.into_iter().collect();
        }
    }
}

/// PostgreSQL's processes whose cluster is below `dir`: a cluster is its server's working directory.
pub(crate) fn postgres_below(dir: &Path) -> Vec<u32> {
    let link = |pid: &u32, name: &str| fs::read_link(format!("/proc/{pid}/{name}"));
    all_pids()
        .filter(|pid| {
            link(pid, "exe").is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "postgres"))
        })
        .filter(|pid| link(pid, "cwd").is_ok_and(|cwd| cwd.starts_with(dir)))
        .collect()
}

/// Sends `signal`; a process that has ended already is no error.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ended = kill_process(pid, signal);
    }
}

fn is_gone(pid: u32) -> bool {
    entry(pid).is_none_or(|e| e.state == 'Z')
}

/// Frozen, or no longer there.
pub(crate) fn is_stopped(pid: u32) -> bool {
    entry(pid).is_none_or(|e| matches!(e.state, 'T' | 't' | 'Z'))
}

async fn wait_all(
    pids: &[u32],
    verb: &'static str,
    done: fn(u32) -> bool,
) -> Result<(), DisasterError> {
    let start = Instant::now();
    loop {
        let pending: Vec<u32> = pids.iter().copied().filter(|pid| !done(*pid)).collect();
        if pending.is_empty() {
            return Ok(());
        }
        if start.elapsed() > BOUND {
            return Err(DisasterError::Stubborn { verb, pids: pending, seconds: BOUND.as_secs() });
        }
        clock::pause(LOOK).await;
    }
}

/// Waits until none of the processes is left.
pub(crate) async fn wait_gone(pids: &[u32]) -> Result<(), DisasterError> {
    wait_all(pids, "end", is_gone).await
}

/// Stops the whole tree (SIGSTOP), root first so that it starts nothing new meanwhile.
pub(crate) async fn freeze(root: u32) -> Result<Vec<u32>, DisasterError> {
    signal(root, Signal::STOP);
    wait_all(&[root], "stop", is_stopped).await?;
    // A child may fork before its own stop arrives, so look until nothing new runs.
    loop {
        let pids = tree(root);
        if pids.iter().all(|pid| is_stopped(*pid)) {
            return Ok(pids);
        }
        pids.iter().for_each(|pid| signal(*pid, Signal::STOP));
        wait_all(&pids, "stop", is_stopped).await?;
    }
}

/// Lets a frozen tree go on, the root last.
pub(crate) fn thaw(root: u32) {
    tree(root).into_iter().filter(|pid| *pid != root).for_each(|pid| signal(pid, Signal::CONT));
    signal(root, Signal::CONT);
}

/// Kills the whole tree (SIGKILL) at one moment: it is frozen first, so nothing is respawned, and
/// no process sees another one's death.
pub(crate) async fn kill(root: u32) -> Result<(), DisasterError> {
    let pids = freeze(root).await?;
    pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
    wait_gone(&pids).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_this_process_holds_a_child_of_it() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let pids = tree(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(pids.contains(&child.id()) && pids.contains(&std::process::id()), "{pids:?}");
        assert!(is_gone(child.id()));
    }
}
