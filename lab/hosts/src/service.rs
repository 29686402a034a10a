//! The service manager of a host: named programs that outlive the command that starts them.
//!
//! It restarts nothing by itself, so that a fault of the lab stays a fault.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::pause;
use crate::error::HostsError;
use crate::host::Host;
use crate::processes;

/// How long a service may take to accept connections.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// How long a service may take to end after SIGTERM, before SIGKILL. systemd gives 90 s; a recovery cannot wait for that.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How often a port is tried while a service starts.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A long-running program of a host.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// The name that hooks use.
    pub name: String,
    /// The program, by path or by name in the host's `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables, besides the host's environment.
    pub env: BTreeMap<String, String>,
    /// Whether it starts when the host boots.
    pub start_at_boot: bool,
    /// Where it accepts connections once it is ready; a start waits for that, 15 s at most.
    pub ready: Option<SocketAddr>,
}

/// What a service is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceState {
    /// It runs with this process id.
    Running(u32),
    /// It is not running.
    Stopped,
}

/// A service and its process.
#[derive(Debug)]
pub(crate) struct Service {
    spec: ServiceSpec,
    /// The process, and None when it has ended.
    state: watch::Sender<Option<u32>>,
    /// Held during a start or stop: two hooks that start the same service start it once.
    change: tokio::sync::Mutex<()>,
}

impl Service {
    pub(crate) fn new(spec: ServiceSpec) -> Self {
        Self { spec, state: watch::Sender::new(None), change: tokio::sync::Mutex::new(()) }
    }

    /// What the service is doing. A process that has ended and was not collected yet does not run.
    pub(crate) fn state(&self) -> ServiceState {
        match *self.state.borrow() {
            Some(pid) if processes::is_alive(pid) => ServiceState::Running(pid),
            Some(_) | None => ServiceState::Stopped,
        }
    }

    /// Forgets the process: the host was killed.
    pub(crate) fn forget(&self) {
        self.state.send_replace(None);
    }
}

impl ServiceSpec {
    /// A service that starts when it is told to, with no arguments.
    #[must_use]
    pub fn new(name: &str, program: &str) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            start_at_boot: false,
            ready: None,
        }
    }
}

impl Host {
    pub(crate) fn service(&self, name: &str) -> Result<&Service, HostsError> {
        self.services.get(name).ok_or_else(|| HostsError::UnknownService {
            host: self.spec.instance_id.clone(),
            service: name.to_owned(),
            known: self.services.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Starts a service and waits until it is ready. One that runs already is left alone.
    pub(crate) async fn start_service(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<ServiceState, HostsError> {
        let service = self.service(name)?;
        let _change = service.change.lock().await;
        if let running @ ServiceState::Running(_) = service.state() {
            return Ok(running);
        }
        let log = self.spec.home.join("log").join(format!("{name}.log"));
        let open = || {
            processes::log_file(&log)
                .map_err(|source| HostsError::Prepare { path: log.clone(), source })
        };
        let spec = &service.spec;
        let mut child = self
            .spawn(&spec.program, &spec.args, &spec.env, &self.spec.home, (open()?, open()?))
            .await?;
        let pid = child.id();
        service.state.send_replace(pid);
        let (host, ended_name) = (Arc::clone(self), name.to_owned());
        let (ended, mut end) = watch::channel(None);
        tokio::spawn(async move {
            let status = child
                .wait()
                .await
                .map_or_else(|error| error.to_string(), |status| status.to_string());
            if let Ok(service) = host.service(&ended_name) {
                // A start after the end may have put its own process here.
                service.state.send_if_modified(|now| *now == pid && now.take().is_some());
            }
            if let Some(pid) = pid {
                host.forget(pid);
            }
            tracing::info!(
                host = host.spec.instance_id,
                service = ended_name,
                status,
                "service ended"
            );
            ended.send_replace(Some(status));
        });
        let Some(address) = spec.ready else { return Ok(service.state()) };
        let wait = async {
            loop {
                if tokio::net::TcpStream::connect(address).await.is_ok() {
                    return;
                }
                pause(TRY_EVERY).await;
            }
        };
        tokio::select! {
            ready = tokio::time::timeout(READY_WITHIN, wait) => match ready {
                Ok(()) => Ok(service.state()),
                Err(_) => Err(HostsError::NotReady {
                    host: self.spec.instance_id.clone(),
                    service: name.to_owned(),
                    address,
                    seconds: READY_WITHIN.as_secs(),
                    log,
                }),
            },
            status = end.wait_for(Option::is_some) => Err(HostsError::Ended {
                host: self.spec.instance_id.clone(),
                service: name.to_owned(),
                status: status.map_or_else(|_| "no status".to_owned(), |status| status.clone().unwrap_or_default()),
                log,
            }),
        }
    }

    /// Stops a service: SIGTERM, then SIGKILL after 5 s. Returns when nothing of it runs.
    pub(crate) async fn stop_service(&self, name: &str) -> Result<(), HostsError> {
        let service = self.service(name)?;
        let _change = service.change.lock().await;
        let ServiceState::Running(pid) = service.state() else { return Ok(()) };
        processes::terminate(pid);
        let mut state = service.state.subscribe();
        let ended = tokio::time::timeout(STOP_WITHIN, state.wait_for(|now| *now != Some(pid)))
            .await
            .is_ok();
        if !ended {
            tracing::warn!(
                host = self.spec.instance_id,
                service = name,
                "service ignores SIGTERM, killing it"
            );
        }
        self.end(service, pid).await;
        Ok(())
    }

    /// Kills a service with SIGKILL, as a crash ends it: it puts nothing in order. Returns when nothing of it runs.
    pub(crate) async fn kill_service(&self, name: &str) -> Result<(), HostsError> {
        let service = self.service(name)?;
        let _change = service.change.lock().await;
        if let ServiceState::Running(pid) = service.state() {
            self.end(service, pid).await;
        }
        Ok(())
    }

    async fn end(&self, service: &Service, pid: u32) {
        let mut state = service.state.subscribe();
        self.kill_group(pid).await;
        // The task that waits for the process reports its end; SIGKILL leaves no way round it.
        let _ = tokio::time::timeout(STOP_WITHIN, state.wait_for(|now| *now != Some(pid))).await;
    }
}
