//! What every operation works with: configuration, state, running servers, background work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::clock;
use crate::config::{POSTGRES_PORT, RdsConfig};
use crate::launcher::Launcher;
use crate::model::{Instance, Key, State, Status};
use crate::postgres::catalogue::Catalogue;
use crate::postgres::running::Running;
use crate::postgres::settings::{self, Upstream};
use crate::postgres::sql::Session;
use crate::postgres::tls::{Authority, ServerCertificate};
use crate::postgres::{Install, PgError};
use crate::query::ApiError;
use crate::store::Store;

/// Bounds every statement that is not expected to wait for anything.
pub(crate) const STATEMENT: Duration = Duration::from_secs(10);

/// Background work on one instance: one piece at a time.
#[derive(Debug, Default)]
struct Work {
    turn: Arc<tokio::sync::Mutex<()>>,
    newest: Option<AbortHandle>,
}

/// The server's inside.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) config: RdsConfig,
    pub(crate) install: Install,
    pub(crate) catalogue: Catalogue,
    pub(crate) authority: Option<Authority>,
    pub(crate) launcher: Launcher,
    pub(crate) store: Store,
    running: Mutex<BTreeMap<Key, Running>>,
    work: Mutex<BTreeMap<Key, Work>>,
    closed: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    pub(crate) fn new(
        config: RdsConfig,
        install: Install,
        catalogue: Catalogue,
        authority: Option<Authority>,
        launcher: Launcher,
        store: Store,
    ) -> Self {
        let (running, work) = (Mutex::default(), Mutex::default());
        let closed = AtomicBool::new(false);
        Self { config, install, catalogue, authority, launcher, store, running, work, closed }
    }

    pub(crate) fn arn(&self, kind: &str, key: &Key) -> String {
        format!("arn:aws:rds:{}:{}:{kind}:{}", key.region, self.config.account_id, key.id)
    }

    /// The key that an identifier or an ARN of `kind` names, seen from `region`.
    pub(crate) fn key(&self, region: &str, kind: &str, text: &str) -> Result<Key, ApiError> {
        if !text.starts_with("arn:") {
            return Ok(Key::new(region, text.to_ascii_lowercase()));
        }
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["arn", "aws", "rds", region, _account, found, id] if *found == kind => {
                Ok(Key::new(*region, id.to_ascii_lowercase()))
            }
            _ => Err(ApiError::value(format!("The ARN {text} does not name a {kind} of RDS."))),
        }
    }

    pub(crate) fn directory(&self, key: &Key) -> PathBuf {
        self.config.data_dir.join(&key.region).join(&key.id)
    }

    pub(crate) fn pgdata(&self, key: &Key) -> PathBuf {
        self.directory(key).join("pgdata")
    }

    pub(crate) fn event(&self, key: &Key, category: &str, message: &str) {
        self.store.event(key, self.arn("db", key), category, message, clock::now());
    }

    /// An address of the region's pool that no instance has. The first free one, so that the
    /// first instance of a region is always at the same place.
    pub(crate) fn free_address(&self, state: &State, region: &str) -> Result<Ipv4Addr, ApiError> {
        let pool = self.config.regions.get(region).ok_or_else(|| {
            ApiError::value(format!("The region {region} is not one of this lab's."))
        })?;
        let taken = |address: &Ipv4Addr| {
            state.instances.values().any(|i| i.key.region == region && i.address == *address)
        };
        let free = pool.addresses().find(|address| !taken(address)).ok_or_else(|| {
            ApiError::new(
                "InstanceQuotaExceeded",
                400,
                format!("The region {region} of this lab holds {} instances.", pool.size),
            )
        })?;
        match TcpListener::bind(SocketAddr::from((free, POSTGRES_PORT))) {
            Ok(_) => Ok(free),
            Err(error) => Err(ApiError::new(
                "InsufficientDBInstanceCapacity",
                400,
                format!("{free}:{POSTGRES_PORT} cannot be used: {error}."),
            )),
        }
    }

    pub(crate) fn running(&self, key: &Key) -> Option<Running> {
        locked(&self.running).get(key).filter(|running| !running.has_ended()).cloned()
    }

    /// All servers that have not ended.
    pub(crate) fn all_running(&self) -> Vec<(Key, Running)> {
        let running = locked(&self.running);
        running
            .iter()
            .filter(|(_, r)| !r.has_ended())
            .map(|(k, r)| (k.clone(), r.clone()))
            .collect()
    }

    /// The instance as it is now; work that outlives its instance ends with this error.
    pub(crate) fn instance(&self, key: &Key) -> Result<Instance, PgError> {
        self.store
            .read(|state| state.instance(key).cloned())
            .map_err(|error| PgError::Sql(error.to_string()))
    }

    /// Writes the instance's configuration, starts its server and waits until it answers.
    pub(crate) async fn boot(&self, key: &Key) -> Result<Session, PgError> {
        let pgdata = self.pgdata(key);
        self.notice_promotion(key, &pgdata);
        let instance = self.instance(key)?;
        let tls = self.certificate(&instance).await;
        settings::write(
            &pgdata,
            instance.address,
            &self.parameters(&instance),
            self.upstream(&instance).as_ref(),
            tls.as_ref(),
        )?;
        let log = self.directory(key).join("postgres.log");
        let running = Running::start(&self.install, &self.launcher, &pgdata, &log).await?;
        // No await between the start and this: work that is aborted must not lose a server.
        locked(&self.running).insert(key.clone(), running.clone());
        if self.closed.load(Ordering::SeqCst) {
            running.kill().await?;
        }
        let session = running.wait_ready(instance.address, &instance.secrets.admin).await?;
        self.store.change(|state| {
            if let Ok(instance) = state.instance_mut(key) {
                instance.group_pending = false;
            }
        });
        Ok(session)
    }

    /// The instance's certificate; without one it serves without TLS.
    async fn certificate(&self, instance: &Instance) -> Option<ServerCertificate> {
        let authority = self.authority.as_ref()?;
        let directory = self.directory(&instance.key);
        match authority.issue(&self.launcher, &directory, instance.address).await {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::warn!(instance = instance.key.id, %error, "no TLS for this instance");
                None
            }
        }
    }

    /// A server that was killed just after it was promoted is no replica, whatever we remember: a
    /// promotion removes `standby.signal`. Made a standby again it would not find its timeline.
    fn notice_promotion(&self, key: &Key, pgdata: &Path) {
        if pgdata.join("standby.signal").exists() {
            return;
        }
        self.store.change(|state| {
            if let Ok(instance) = state.instance_mut(key)
                && instance.created.is_some()
            {
                instance.source = None;
            }
        });
    }

    /// Stops the instance's server, if one runs.
    pub(crate) async fn halt(&self, key: &Key) -> Result<(), PgError> {
        match self.running(key) {
            Some(running) => running.stop().await,
            None => Ok(()),
        }
    }

    /// A superuser's connection.
    pub(crate) async fn session(&self, key: &Key, within: Duration) -> Result<Session, PgError> {
        let instance = self.instance(key)?;
        Session::open(instance.address, &instance.secrets.admin, "postgres", within).await
    }

    /// What the instance's parameter group sets.
    pub(crate) fn parameters(&self, instance: &Instance) -> BTreeMap<String, String> {
        let group = Key::new(&instance.key.region, &instance.group);
        self.store.read(|state| {
            let parameters = state.groups.get(&group).map(|group| group.parameters.iter());
            parameters
                .into_iter()
                .flatten()
                .map(|(name, p)| (name.clone(), p.value.clone()))
                .collect()
        })
    }

    fn upstream(&self, instance: &Instance) -> Option<Upstream> {
        let source =
            self.store.read(|state| state.instances.get(instance.source.as_ref()?).cloned());
        // A replica whose source was deleted stays a replica, with nothing to stream from.
        instance.source.as_ref().map(|_| Upstream {
            address: source
                .map_or(instance.address, |source| self.link(&instance.key.region, &source)),
            application: instance.key.id.clone(),
            password: instance.secrets.replication.clone(),
            slot: instance.slot(),
        })
    }

    /// The address under which `source` is reached from `region`.
    pub(crate) fn link(&self, region: &str, source: &Instance) -> Ipv4Addr {
        let link =
            self.config.replication_links.get(&(region.to_owned(), source.key.region.clone()));
        link.map_or(source.address, |link| link.towards(source.address))
    }

    /// Runs `work` on the instance in the background, after what runs already. When it fails, the
    /// instance gets `on_failure` as its status (if any) and the event log the reason.
    pub(crate) fn begin(
        self: &Arc<Self>,
        key: &Key,
        name: &'static str,
        on_failure: Option<Status>,
        work: impl Future<Output = Result<(), PgError>> + Send + 'static,
    ) {
        let mut works = locked(&self.work);
        let entry = works.entry(key.clone()).or_default();
        let turn = Arc::clone(&entry.turn);
        let (service, key) = (Arc::clone(self), key.clone());
        let task = tokio::spawn(async move {
            let _turn = turn.lock().await;
            let Err(error) = work.await else { return };
            tracing::error!(region = key.region, instance = key.id, %error, "{name} failed");
            let wrong_parameters =
                error.is_about_parameters().then_some(Status::IncompatibleParameters);
            if let Some(status) = wrong_parameters.or(on_failure) {
                service.store.change(|state| {
                    if let Ok(instance) = state.instance_mut(&key) {
                        instance.status = status;
                    }
                });
            }
            service.event(&key, "failure", &format!("{name} failed: {error}"));
        });
        entry.newest = Some(task.abort_handle());
    }

    /// Gives up the work on an instance, so that it can be deleted.
    pub(crate) fn give_up(&self, key: &Key) {
        if let Some(task) = locked(&self.work).get_mut(key).and_then(|work| work.newest.take()) {
            task.abort();
        }
    }

    /// Sets the status and tells the event log.
    pub(crate) fn settle(&self, key: &Key, status: Status, category: &str, message: &str) {
        self.store.change(|state| {
            if let Ok(instance) = state.instance_mut(key) {
                instance.status = status;
                if status == Status::Available && instance.created.is_none() {
                    instance.created = Some(clock::now());
                }
            }
        });
        self.event(key, category, message);
    }

    /// Ends all work and all servers. Replicas and sources stop at the same time: a source waits
    /// for its replicas to take the last of its log, and a replica that stops lets it go.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let tasks: Vec<AbortHandle> =
            locked(&self.work).values_mut().filter_map(|work| work.newest.take()).collect();
        tasks.iter().for_each(AbortHandle::abort);
        let mut stops = tokio::task::JoinSet::new();
        for (key, running) in self.all_running() {
            stops.spawn(async move {
                if let Err(error) = running.stop().await {
                    tracing::error!(region = key.region, instance = key.id, %error, "stop the server");
                }
            });
        }
        stops.join_all().await;
    }

    /// Kills all servers without waiting: for a handle that is dropped.
    pub(crate) fn kill_now(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for (_, running) in self.all_running() {
            running.kill_now();
        }
    }
}

/// Random hexadecimal digits, two for each byte.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    if let Err(error) = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut buffer))
    {
        tracing::error!(%error, "read random bytes");
    }
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}
