//! Runs a command on one host, as the agent there would.
//!
//! A command waits as `Pending` while its host is off or frozen, and times out undelivered when its delivery timeout
//! and what its steps may take have passed. A host that dies while a
//! command runs reports nothing: the command stays `InProgress` until its time is over, as with a real agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::now;
use crate::command::{Command, Invocation, Status};
use crate::document::{Document, Step};
use crate::error::HostsError;
use crate::host::{Host, HostState};
use crate::interpolation::{environment, interpolate};
use crate::lock::locked;
use crate::parameters::Argument;

/// How long a step may run when its document does not say: AWS's default of `timeoutSeconds`.
const STEP_SECONDS: u64 = 3600;

/// How long the steps of a document may run together.
pub(crate) fn execution_seconds(
    document: &Document,
    arguments: &BTreeMap<String, Argument>,
) -> u64 {
    let seconds = |step: &Step| {
        interpolate(document, &step.inputs, arguments, true).timeout_seconds.unwrap_or(STEP_SECONDS)
    };
    document.main_steps.iter().map(seconds).sum()
}

/// How much of an output is read: more than the characters that AWS returns can take.
const MOST_OUTPUT_BYTES: u64 = 128 * 1024;

/// How a step ended.
enum End {
    Exited(i32, String, String),
    TimedOut(String, String),
    Cancelled,
    /// The host died under it.
    Lost,
    /// The agent could not start it.
    Refused(String),
}

/// One command on one host.
pub(crate) struct Run {
    pub(crate) command: Arc<Mutex<Command>>,
    pub(crate) host: Arc<Host>,
}

impl Run {
    fn update(&self, change: impl FnOnce(&mut Invocation)) {
        if let Some(invocation) =
            locked(&self.command).invocations.get_mut(&self.host.spec.instance_id)
        {
            change(invocation);
        }
    }

    fn finish(&self, status: Status, details: &'static str) {
        self.update(|invocation| {
            invocation.status = status;
            invocation.details = details;
            for step in invocation.steps.iter_mut().filter(|step| !step.status.is_terminal()) {
                step.status = status;
                step.ended = step.started.map(|_| now());
            }
        });
    }

    /// Waits until the command is cancelled for this host.
    async fn cancelled(&self) {
        let mut cancelled = locked(&self.command).cancelled.subscribe();
        // The sender lives as long as the command, which this run holds.
        let _ = cancelled.wait_for(|hosts| hosts.contains(&self.host.spec.instance_id)).await;
    }

    /// Runs the command to its end.
    pub(crate) async fn execute(self) {
        // Not the delivery timeout alone: see `Command::total_seconds`.
        let expires = Instant::now() + Duration::from_secs(locked(&self.command).total_seconds);
        let mut state = self.host.watch();
        let delivered = tokio::select! {
            up = tokio::time::timeout_at(expires, state.wait_for(|state| *state == HostState::Running)) => up.is_ok(),
            () = self.cancelled() => return self.finish(Status::Cancelled, "Cancelled"),
        };
        if !delivered {
            return self.finish(Status::TimedOut, "DeliveryTimedOut");
        }
        self.update(|invocation| {
            invocation.status = Status::InProgress;
            invocation.details = "InProgress";
        });
        let (steps, arguments, document, id) = {
            let command = locked(&self.command);
            (
                command.document.main_steps.clone(),
                command.arguments.clone(),
                command.document.clone(),
                command.id.clone(),
            )
        };
        let variables = if self.host.spec.legacy_agent {
            BTreeMap::new()
        } else {
            environment(&document, &arguments)
        };
        let (mut failed, mut leave) = (false, false);
        for (index, step) in steps.iter().enumerate() {
            if (leave && !step.finally_step) || !step.is_for_linux() {
                self.record(index, Status::Success, 0, "", "Step execution skipped.");
                continue;
            }
            let inputs =
                interpolate(&document, &step.inputs, &arguments, !self.host.spec.legacy_agent);
            self.update(|invocation| {
                if let Some(run) = invocation.steps.get_mut(index) {
                    run.status = Status::InProgress;
                    run.started = Some(now());
                }
            });
            let directory = self.host.spec.home.join("run").join(&id).join(&step.name);
            match self
                .step(
                    &directory,
                    &inputs.script,
                    inputs.working_directory,
                    inputs.timeout_seconds,
                    &variables,
                )
                .await
            {
                End::Exited(0, stdout, stderr) => {
                    self.record(index, Status::Success, 0, &stdout, &stderr);
                    leave |= step.on_success.as_deref() == Some("exit");
                }
                End::Exited(code, stdout, stderr) => {
                    self.record(index, Status::Failed, code, &stdout, &stderr);
                    failed = true;
                    leave |= step.on_failure.as_deref() == Some("exit");
                }
                End::Refused(message) => {
                    self.record(index, Status::Failed, 1, "", &message);
                    failed = true;
                }
                End::TimedOut(stdout, stderr) => {
                    self.record(index, Status::TimedOut, -1, &stdout, &stderr);
                    return self.finish(Status::TimedOut, "ExecutionTimedOut");
                }
                End::Cancelled => return self.finish(Status::Cancelled, "Cancelled"),
                End::Lost => return self.wait_out(expires).await,
            }
        }
        let (status, details) =
            if failed { (Status::Failed, "Failed") } else { (Status::Success, "Success") };
        self.finish(status, details);
    }

    /// The host is gone and will never report: the command expires, and says of it that it was not
    /// delivered, though it was (API reference, `Command`, `ExpiresAfter`).
    async fn wait_out(&self, expires: Instant) {
        if tokio::time::timeout_at(expires, self.cancelled()).await.is_ok() {
            self.finish(Status::Cancelled, "Cancelled");
        } else {
            self.finish(Status::TimedOut, "DeliveryTimedOut");
        }
    }

    fn record(&self, index: usize, status: Status, code: i32, stdout: &str, stderr: &str) {
        self.update(|invocation| {
            if let Some(run) = invocation.steps.get_mut(index) {
                let time = now();
                run.status = status;
                run.code = code;
                run.started.get_or_insert(time);
                run.ended = Some(time);
                stdout.clone_into(&mut run.stdout);
                stderr.clone_into(&mut run.stderr);
            }
        });
    }

    /// Runs one script: written to the host's directory and run with `sh -c`, as the agent does.
    async fn step(
        &self,
        directory: &Path,
        script: &str,
        working_directory: Option<String>,
        timeout_seconds: Option<u64>,
        variables: &BTreeMap<String, String>,
    ) -> End {
        let mut variables = variables.clone();
        variables.insert("AWS_SSM_INSTANCE_ID".to_owned(), self.host.spec.instance_id.clone());
        variables.insert("AWS_SSM_REGION_NAME".to_owned(), self.host.spec.region.clone());
        variables.insert("AWS_SSM_PLATFORM_NAME".to_owned(), "Lifeboat Lab Linux".to_owned());
        let losses = self.host.losses();
        let work = working_directory.map_or_else(|| self.host.spec.home.clone(), PathBuf::from);
        let mut child = loop {
            let files = match write_script(directory, script) {
                Ok(files) => files,
                Err(error) => {
                    return End::Refused(format!(
                        "write the script to {}: {error}",
                        directory.display()
                    ));
                }
            };
            let arguments = ["-c".to_owned(), files.script.display().to_string()];
            match self
                .host
                .spawn("sh", &arguments, &variables, &work, (files.stdout, files.stderr))
                .await
            {
                Ok(child) => break child,
                Err(_) if self.host.losses() != losses => return End::Lost,
                Err(HostsError::NotRunning { .. }) => {
                    // Frozen before the step: its agent goes on when the host does, and never if it dies.
                    let mut state = self.host.watch();
                    tokio::select! {
                        _ = state.wait_for(|state| *state != HostState::Frozen) => {}
                        () = self.cancelled() => return End::Cancelled,
                    }
                }
                Err(error) => return End::Refused(error.to_string()),
            }
        };
        let pid = child.id();
        let limit = Duration::from_secs(timeout_seconds.unwrap_or(STEP_SECONDS));
        let ended = tokio::select! {
            status = tokio::time::timeout(limit, child.wait()) => status.ok(),
            () = self.cancelled() => {
                self.end_group(pid).await;
                return End::Cancelled;
            }
        };
        if self.host.losses() != losses {
            return End::Lost;
        }
        if ended.is_none() {
            self.end_group(pid).await;
        } else if let Some(pid) = pid {
            self.host.forget(pid);
        }
        let read = |name: &str| read_output(&directory.join(name));
        let (stdout, stderr) = (read("stdout"), read("stderr"));
        match ended {
            // A script that a signal ended has no exit code; AWS shows -1 for it.
            Some(Ok(status)) => End::Exited(status.code().unwrap_or(-1), stdout, stderr),
            Some(Err(error)) => End::Refused(error.to_string()),
            None => End::TimedOut(stdout, stderr),
        }
    }

    async fn end_group(&self, pid: Option<u32>) {
        if let Some(pid) = pid {
            self.host.kill_group(pid).await;
        }
    }
}

/// What a script wrote, as far as anybody can ask for it.
fn read_output(path: &Path) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // A file that cannot be read to its end is shown as far as it goes.
        let _ = file.take(MOST_OUTPUT_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Files {
    script: PathBuf,
    stdout: std::fs::File,
    stderr: std::fs::File,
}

fn write_script(directory: &Path, script: &str) -> std::io::Result<Files> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(directory)?;
    let path = directory.join("_script.sh");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    Ok(Files {
        script: path,
        stdout: std::fs::File::create(directory.join("stdout"))?,
        stderr: std::fs::File::create(directory.join("stderr"))?,
    })
}
