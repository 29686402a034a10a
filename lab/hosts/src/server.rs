//! The server: SSM's API and the hosts' service manager on one loopback address, and the library's handle.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::task::JoinSet;

use crate::api::SharedCommand;
use crate::clock::now;
use crate::error::{ApiError, HostsError};
use crate::host::{Host, HostSpec, HostState};
use crate::http::router;
use crate::lock::locked;
use crate::processes::Spawner;
use crate::run::Run;
use crate::service::ServiceState;
use crate::store::{DocumentStore, NewVersion};

/// How the lab's SSM is set up.
#[derive(Debug, Clone)]
pub struct HostsConfig {
    /// Where the API listens, 127.0.0.1:4632 in the lab. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The account that owns the documents.
    pub account_id: String,
    /// The least `TimeoutSeconds` that `SendCommand` takes, in seconds: 30 in AWS. Tests of the timeout set less.
    pub minimum_timeout_seconds: u32,
    /// The most that a page of a list has, and what it has when nothing is said: 50 in AWS (API
    /// reference, `MaxResults`). Tests of pages set less.
    pub largest_page: usize,
}

impl Default for HostsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4632)),
            account_id: "000000000000".to_owned(),
            minimum_timeout_seconds: 30,
            largest_page: 50,
        }
    }
}

/// Everything the server knows.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) config: HostsConfig,
    address: SocketAddr,
    label: String,
    pub(crate) documents: Mutex<DocumentStore>,
    hosts: Mutex<BTreeMap<String, Arc<Host>>>,
    pub(crate) commands: Mutex<Vec<SharedCommand>>,
    sequence: Mutex<u64>,
    tasks: Mutex<JoinSet<()>>,
}

impl Lab {
    /// The hosts of a region.
    pub(crate) fn hosts_in(&self, region: &str) -> Vec<Arc<Host>> {
        locked(&self.hosts).values().filter(|host| host.spec.region == region).cloned().collect()
    }

    /// A host of a region.
    pub(crate) fn host_in(&self, region: &str, id: &str) -> Option<Arc<Host>> {
        locked(&self.hosts).get(id).filter(|host| host.spec.region == region).cloned()
    }

    /// A host of any region.
    pub(crate) fn host(&self, id: &str) -> Result<Arc<Host>, HostsError> {
        locked(&self.hosts).get(id).cloned().ok_or_else(|| HostsError::UnknownHost(id.to_owned()))
    }

    /// A new id in AWS's form. The lab's are in order, so that a log is easy to read.
    pub(crate) fn new_command_id(&self) -> String {
        let mut sequence = locked(&self.sequence);
        *sequence += 1;
        let micros = now().as_microsecond().unsigned_abs();
        format!(
            "{:08x}-{:04x}-4000-8000-{:012x}",
            (micros >> 16) & 0xffff_ffff,
            micros & 0xffff,
            *sequence
        )
    }

    /// Every host.
    pub(crate) fn all_hosts(&self) -> Vec<Arc<Host>> {
        locked(&self.hosts).values().cloned().collect()
    }

    /// Runs a command on a host until its end, or until the server stops.
    pub(crate) fn run(&self, run: Run) {
        let mut tasks = locked(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(run.execute());
    }
}

/// The lab's SSM and its hosts.
///
/// [`HostsServer::stop`] ends every process of every host and waits for that; a drop ends them without waiting. When this
/// program is killed, the kernel kills services and running commands, but not what those started themselves.
#[derive(Debug)]
pub struct HostsServer {
    lab: Arc<Lab>,
    spawner: Spawner,
    server: tokio::task::JoinHandle<()>,
}

impl HostsServer {
    /// Starts the server, with no host and no document.
    ///
    /// # Errors
    /// [`HostsError::Listen`] when the address cannot be had.
    pub async fn start(config: HostsConfig) -> Result<Self, HostsError> {
        let listen = |source| HostsError::Listen { address: config.listen, source };
        let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let spawner = Spawner::start().map_err(listen)?;
        let lab = Arc::new(Lab {
            label: format!("{}-{}", std::process::id(), address.port()),
            config,
            address,
            documents: Mutex::default(),
            hosts: Mutex::default(),
            commands: Mutex::default(),
            sequence: Mutex::default(),
            tasks: Mutex::default(),
        });
        let router = router(Arc::clone(&lab));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the lab's SSM stopped");
            }
        });
        Ok(Self { lab, spawner, server })
    }

    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.lab.address
    }

    /// Adds a host, which is off until [`HostsServer::boot_host`].
    ///
    /// # Errors
    /// [`HostsError::DuplicateHost`], or [`HostsError::Prepare`] when its directory cannot be written.
    pub fn add_host(&self, spec: HostSpec) -> Result<(), HostsError> {
        let mut hosts = locked(&self.lab.hosts);
        if hosts.contains_key(&spec.instance_id) {
            return Err(HostsError::DuplicateHost(spec.instance_id));
        }
        let id = spec.instance_id.clone();
        hosts.insert(
            id,
            Host::new(spec, now(), &self.lab.label, self.lab.address, self.spawner.clone())?,
        );
        Ok(())
    }

    /// Creates a document or makes its new content the default version; the same content again changes nothing.
    ///
    /// # Errors
    /// [`HostsError::Document`] with what AWS would say of it.
    pub fn install_document(&self, region: &str, name: &str, yaml: &str) -> Result<(), HostsError> {
        let refused = |error: ApiError| HostsError::Document {
            name: name.to_owned(),
            message: error.to_string(),
        };
        let new = NewVersion { content: yaml, format: "YAML", version_name: None, now: now() };
        let mut store = locked(&self.lab.documents);
        if store.get(region, name).is_err() {
            return store.create(region, name, &new, json!([])).map(|_| ()).map_err(refused);
        }
        match store.update(region, name, None, &new) {
            Ok(_) => store.set_default(region, name, "$LATEST").map(|_| ()).map_err(refused),
            Err(error) if error.code == "DuplicateDocumentContent" => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    /// Turns a host on: its boot services, its boot hook; commands that wait for it are delivered. One that is on stays as it is.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`], or what kept a service or the hook from starting.
    pub async fn boot_host(&self, id: &str) -> Result<(), HostsError> {
        self.lab.host(id)?.boot().await
    }

    /// Kills every process of a host with SIGKILL, as a power cut does, and leaves it off. Returns when nothing of it runs.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`], or [`HostsError::Survivors`] when something would not end.
    pub async fn kill_host(&self, id: &str) -> Result<(), HostsError> {
        self.lab.host(id)?.kill().await
    }

    /// Stops every process of a host where it stands (SIGSTOP): its ports stay open and nothing answers.
    ///
    /// # Errors
    /// As [`HostsServer::kill_host`].
    pub async fn freeze_host(&self, id: &str) -> Result<(), HostsError> {
        self.lab.host(id)?.freeze().await
    }

    /// Lets a frozen host run on; commands that wait for it are delivered.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`].
    pub async fn thaw_host(&self, id: &str) -> Result<(), HostsError> {
        self.lab.host(id)?.thaw().await;
        Ok(())
    }

    /// Starts a service and waits until it is ready. One that runs is left alone.
    ///
    /// # Errors
    /// What kept it from starting, with its log.
    pub async fn start_service(&self, id: &str, service: &str) -> Result<ServiceState, HostsError> {
        self.lab.host(id)?.start_service(service).await
    }

    /// Stops a service: SIGTERM, then SIGKILL after 5 s.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`] or [`HostsError::UnknownService`].
    pub async fn stop_service(&self, id: &str, service: &str) -> Result<(), HostsError> {
        self.lab.host(id)?.stop_service(service).await
    }

    /// Kills a service with SIGKILL, as a crash ends it. Nothing starts it again by itself.
    ///
    /// # Errors
    /// As [`HostsServer::stop_service`].
    pub async fn kill_service(&self, id: &str, service: &str) -> Result<(), HostsError> {
        self.lab.host(id)?.kill_service(service).await
    }

    /// What a service is doing.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`] or [`HostsError::UnknownService`].
    pub fn service_state(&self, id: &str, service: &str) -> Result<ServiceState, HostsError> {
        Ok(self.lab.host(id)?.service(service)?.state())
    }

    /// What a host is doing.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`].
    pub fn host_state(&self, id: &str) -> Result<HostState, HostsError> {
        Ok(self.lab.host(id)?.state())
    }

    /// Writes an app's hooks `start`, `stop`, `restart` and `status`, which start these services in this order and stop
    /// them in the reverse order; `status` is that of the first. An operator's own hooks take their place on a real host.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`], [`HostsError::UnknownService`] or [`HostsError::Prepare`].
    pub fn write_hooks(&self, id: &str, app: &str, services: &[&str]) -> Result<(), HostsError> {
        self.lab.host(id)?.write_hooks(app, services)
    }

    /// The process ids of everything that runs on a host.
    ///
    /// # Errors
    /// [`HostsError::UnknownHost`].
    pub fn pids(&self, id: &str) -> Result<Vec<u32>, HostsError> {
        Ok(self.lab.host(id)?.pids())
    }

    /// Stops the server and every process of every host. Safe to repeat.
    ///
    /// # Errors
    /// [`HostsError::Survivors`] when something would not end.
    pub async fn stop(&mut self) -> Result<(), HostsError> {
        self.server.abort();
        locked(&self.lab.tasks).abort_all();
        let mut result = Ok(());
        for host in self.lab.all_hosts() {
            result = result.and(host.kill().await);
        }
        self.spawner.close();
        result
    }
}

impl Drop for HostsServer {
    fn drop(&mut self) {
        self.server.abort();
        locked(&self.lab.tasks).abort_all();
        // A process that has not yet asked for the signal of its parent's end would miss it, so that is not enough.
        self.spawner.close();
        self.lab.all_hosts().iter().for_each(|host| host.kill_now());
    }
}
