//! A host of the lab: a directory, a clean environment, an agent that runs commands, and services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::process::Child;
use tokio::sync::watch;

use crate::error::HostsError;
use crate::lock::locked;
use crate::processes::{self, Launch, MARK, Spawner};
use crate::service::{Service, ServiceSpec};

/// What programs on a host are looked up in.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A host, as the lab describes it.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// The EC2 form of a name: `i-` and 8 or 17 letters or digits.
    pub instance_id: String,
    /// A name for people.
    pub name: String,
    /// The region whose API knows the host.
    pub region: String,
    /// Tags, which `Targets` of `SendCommand` select by.
    pub tags: BTreeMap<String, String>,
    /// The host's directory: `HOME` and `LIFEBOAT_HOME` of everything on it. Created when missing.
    pub home: PathBuf,
    /// Variables that everything on the host gets besides the clean environment.
    pub env: BTreeMap<String, String>,
    /// What the host's service manager knows.
    pub services: Vec<ServiceSpec>,
    /// A program that runs at boot after the services that start at boot, and must end by itself.
    pub boot_hook: Option<PathBuf>,
    /// Whether the host's agent is older than 3.3.2746.0 and does not know `interpolationType: ENV_VAR`.
    pub legacy_agent: bool,
}

impl HostSpec {
    /// A host with no tags, no services and a current agent.
    #[must_use]
    pub fn new(instance_id: &str, name: &str, region: &str, home: &Path) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            name: name.to_owned(),
            region: region.to_owned(),
            tags: BTreeMap::new(),
            home: home.to_owned(),
            env: BTreeMap::new(),
            services: Vec::new(),
            boot_hook: None,
            legacy_agent: false,
        }
    }
}

/// What a host is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// Added and not booted yet, or killed: nothing runs on it, its agent answers nothing.
    Off,
    /// Up: the agent takes commands.
    Running,
    /// Every process is stopped where it stands, the agent too.
    Frozen,
}

impl HostState {
    /// The state as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Running => "running",
            Self::Frozen => "frozen",
        }
    }
}

/// A host of the lab.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) spec: HostSpec,
    pub(crate) registered: Timestamp,
    /// The value of [`MARK`] of its processes: the host and the server's own number, so that two labs never meet.
    mark: String,
    pub(crate) service_url: SocketAddr,
    state: watch::Sender<HostState>,
    /// Held while a process is being started and while the state changes, so that nothing starts on a host being killed.
    gate: tokio::sync::Mutex<()>,
    roots: Mutex<BTreeSet<u32>>,
    pub(crate) services: BTreeMap<String, Service>,
    /// Grows at every kill: a command that finds it grown was lost with the host.
    losses: Mutex<u64>,
    spawner: Spawner,
}

impl Host {
    pub(crate) fn new(
        spec: HostSpec,
        registered: Timestamp,
        label: &str,
        service_url: SocketAddr,
        spawner: Spawner,
    ) -> Result<Arc<Self>, HostsError> {
        let prepare = |path: &Path| {
            let path = path.to_owned();
            move |source| HostsError::Prepare { path, source }
        };
        for directory in ["bin", "log", "run"] {
            let path = spec.home.join(directory);
            std::fs::create_dir_all(&path).map_err(prepare(&path))?;
        }
        let home = std::fs::canonicalize(&spec.home).map_err(prepare(&spec.home))?;
        let mut spec = spec;
        spec.home = home;
        let services =
            spec.services.iter().map(|s| (s.name.clone(), Service::new(s.clone()))).collect();
        let host = Self {
            mark: format!("{}@{label}", spec.instance_id),
            registered,
            service_url,
            state: watch::Sender::new(HostState::Off),
            gate: tokio::sync::Mutex::new(()),
            roots: Mutex::default(),
            services,
            losses: Mutex::new(0),
            spawner,
            spec,
        };
        host.write_service_script()?;
        Ok(Arc::new(host))
    }

    pub(crate) fn state(&self) -> HostState {
        *self.state.borrow()
    }

    /// A view of the state that can be awaited.
    pub(crate) fn watch(&self) -> watch::Receiver<HostState> {
        self.state.subscribe()
    }

    /// How many times the host was killed.
    pub(crate) fn losses(&self) -> u64 {
        *locked(&self.losses)
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        processes::pids(&self.mark, &locked(&self.roots))
    }

    /// The environment of everything on the host.
    fn environment(&self) -> BTreeMap<String, String> {
        let home = self.spec.home.display().to_string();
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), format!("{home}/bin:{PATH}")),
            ("HOME".to_owned(), home.clone()),
            ("LIFEBOAT_HOME".to_owned(), home),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ]);
        environment.extend(self.spec.env.clone());
        environment.insert(MARK.to_owned(), self.mark.clone());
        environment
    }

    /// Starts a program on the host, which must be running.
    pub(crate) async fn spawn(
        &self,
        program: &str,
        args: &[String],
        variables: &BTreeMap<String, String>,
        directory: &Path,
        output: (std::fs::File, std::fs::File),
    ) -> Result<Child, HostsError> {
        let _gate = self.gate.lock().await;
        let id = || self.spec.instance_id.clone();
        if self.state() != HostState::Running {
            return Err(HostsError::NotRunning { host: id(), state: self.state().as_str() });
        }
        let mut environment = self.environment();
        environment.extend(variables.clone());
        let launch = Launch {
            program: program.to_owned(),
            args: args.to_vec(),
            environment,
            directory: directory.to_owned(),
            stdout: output.0,
            stderr: output.1,
        };
        let child = self.spawner.spawn(launch).await.map_err(|source| HostsError::Spawn {
            host: id(),
            program: program.to_owned(),
            source,
        })?;
        if let Some(pid) = child.id() {
            locked(&self.roots).insert(pid);
        }
        Ok(child)
    }

    /// Forgets the group of a process that has ended, once nothing is left in it: its number may be used again.
    pub(crate) fn forget(&self, pid: u32) {
        let alone = BTreeSet::from([pid]);
        if processes::pids("", &alone).is_empty() {
            locked(&self.roots).remove(&pid);
        }
    }

    /// Kills what runs in the group of one process of the host, and its descendants.
    pub(crate) async fn kill_group(&self, pid: u32) {
        // The mark of no host: only this group and what descends from it.
        let _ = processes::kill_all("", &BTreeSet::from([pid])).await;
        locked(&self.roots).remove(&pid);
    }

    pub(crate) async fn kill(&self) -> Result<(), HostsError> {
        let _gate = self.gate.lock().await;
        self.state.send_replace(HostState::Off);
        *locked(&self.losses) += 1;
        let roots = locked(&self.roots).clone();
        let survivors = processes::kill_all(&self.mark, &roots).await;
        locked(&self.roots).clear();
        // A boot that follows at once must not take the dead for the living.
        self.services.values().for_each(Service::forget);
        self.survivors("SIGKILL", survivors)
    }

    /// Kills what runs now, for a lab that is dropped and cannot wait.
    pub(crate) fn kill_now(&self) {
        self.state.send_replace(HostState::Off);
        processes::kill_now(&self.mark, &locked(&self.roots));
    }

    pub(crate) async fn freeze(&self) -> Result<(), HostsError> {
        let _gate = self.gate.lock().await;
        if self.state() != HostState::Running {
            return Ok(());
        }
        self.state.send_replace(HostState::Frozen);
        let roots = locked(&self.roots).clone();
        let survivors = processes::freeze_all(&self.mark, &roots).await;
        self.survivors("SIGSTOP", survivors)
    }

    pub(crate) async fn thaw(&self) {
        let _gate = self.gate.lock().await;
        if self.state() == HostState::Frozen {
            let roots = locked(&self.roots).clone();
            processes::thaw_all(&self.mark, &roots);
            self.state.send_replace(HostState::Running);
        }
    }

    /// Turns the host on: the agent takes commands again, the services of boot start, then the boot hook runs.
    pub(crate) async fn boot(self: &Arc<Self>) -> Result<(), HostsError> {
        if self.state() != HostState::Off {
            return Ok(());
        }
        self.state.send_replace(HostState::Running);
        for service in self.spec.services.iter().filter(|service| service.start_at_boot) {
            self.start_service(&service.name).await?;
        }
        if let Some(hook) = &self.spec.boot_hook {
            let log = self.spec.home.join("log/boot.log");
            let open = || {
                processes::log_file(&log)
                    .map_err(|source| HostsError::Prepare { path: log.clone(), source })
            };
            let program = hook.display().to_string();
            let mut child = self
                .spawn(&program, &[], &BTreeMap::new(), &self.spec.home, (open()?, open()?))
                .await?;
            let status = child.wait().await.map_err(|source| HostsError::Spawn {
                host: self.spec.instance_id.clone(),
                program: program.clone(),
                source,
            })?;
            if !status.success() {
                return Err(HostsError::Ended {
                    host: self.spec.instance_id.clone(),
                    service: program,
                    status: status.to_string(),
                    log,
                });
            }
        }
        Ok(())
    }

    fn survivors(&self, action: &'static str, pids: Vec<u32>) -> Result<(), HostsError> {
        if pids.is_empty() {
            return Ok(());
        }
        Err(HostsError::Survivors {
            host: self.spec.instance_id.clone(),
            action,
            count: pids.len(),
            pids,
        })
    }
}
