//! What every operation works with: configuration, state, running servers, background work.

mod servers;
mod work;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::config::{POSTGRES_PORT, RdsConfig};
use crate::launcher::Launcher;
use crate::model::{Instance, Key, State};
use crate::postgres::catalogue::Catalogue;
use crate::postgres::running::Running;
use crate::postgres::tls::Authority;
use crate::postgres::{Install, PgError};
use crate::query::ApiError;
use crate::store::Store;
use work::Work;

/// Bounds every statement that is not expected to wait for anything.
pub(crate) const STATEMENT: Duration = Duration::from_secs(10);

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

    /// The instance as it is now; work that outlives its instance ends with this error.
    pub(crate) fn instance(&self, key: &Key) -> Result<Instance, PgError> {
        self.store
            .read(|state| state.instance(key).cloned())
            .map_err(|error| PgError::Sql(error.to_string()))
    }
}

/// Random hexadecimal digits, two for each byte.
pub(crate) fn random_hex(bytes: usize) -> Result<String, ApiError> {
    let mut buffer = vec![0; bytes];
    match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut buffer)) {
        Ok(()) => Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect()),
        Err(error) => {
            Err(ApiError::new("InternalFailure", 500, format!("No random bytes: {error}.")))
        }
    }
}
