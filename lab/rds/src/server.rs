//! The HTTP side: starts, answers, stops.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::api::{self, Call};
use crate::config::{POSTGRES_PORT, RdsConfig};
use crate::error::StartError;
use crate::launcher::Launcher;
use crate::monitor;
use crate::postgres::tls::Authority;
use crate::postgres::{Install, catalogue};
use crate::processes;
use crate::query::{ApiError, NAMESPACE, Params, VERSION, signed_region};
use crate::service::{Service, random_hex};
use crate::store::Store;
use crate::xml::Element;

/// Starts the lab's RDS.
#[derive(Debug, Clone, Copy)]
pub struct RdsServer;

impl RdsServer {
    /// Listens, and brings back the instances of an earlier run in the same data directory.
    /// Must be called inside a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// An address in use, a missing program, no room: each is one line that says what to do.
    pub async fn start(mut config: RdsConfig) -> Result<RdsHandle, StartError> {
        config.data_dir = prepare_directory(&config)?;
        let lock = lock(&config.data_dir)?;
        let install = Install::find(config.postgres_bin.as_deref())?;
        check_programs()?;
        end_leftovers(&config.data_dir).await?;
        check_addresses(&config)?;
        let listen_error = |reason| StartError::Listen { address: config.listen, reason };
        let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let store = Store::open(config.data_dir.join("state.json"))?;
        let launcher = Launcher::start()
            .map_err(|reason| StartError::Launch { reason: reason.to_string() })?;
        let catalogue = catalogue::load(&install, &launcher).await;
        let catalogue =
            catalogue.map_err(|error| StartError::Launch { reason: error.to_string() })?;
        let authority = match Authority::open(&launcher, &config.data_dir).await {
            Ok(authority) => Some(authority),
            Err(error) => {
                tracing::warn!(%error, "no TLS for databases: is openssl 3 installed?");
                None
            }
        };
        let service =
            Arc::new(Service::new(config, install, catalogue, authority, launcher, store));
        api::start_existing(&service);
        let app = Router::new().fallback(answer).with_state(Arc::clone(&service));
        let http = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "serve the RDS API");
            }
        });
        let monitor = tokio::spawn(monitor::watch(Arc::clone(&service)));
        Ok(RdsHandle { address, service, http, monitor, _lock: lock })
    }
}

/// A running server. Dropping it kills all PostgreSQL servers; [`RdsHandle::stop`] ends them in order.
#[derive(Debug)]
pub struct RdsHandle {
    address: SocketAddr,
    service: Arc<Service>,
    http: JoinHandle<()>,
    monitor: JoinHandle<()>,
    /// Held for as long as the data directory is ours.
    _lock: fs::File,
}

impl RdsHandle {
    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate (PEM) that signs those of all instances, for clients that verify them;
    /// `None` when the lab serves without TLS. Clients may connect without TLS too.
    pub fn ca_certificate(&self) -> Option<&Path> {
        self.service.authority.as_ref().map(Authority::certificate)
    }

    /// Stops answering, ends all work, and stops all PostgreSQL servers: fast shutdown, SIGKILL
    /// for those that take longer than 5 s or are frozen. The data directory stays.
    pub async fn stop(self) {
        self.http.abort();
        self.monitor.abort();
        self.service.close().await;
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }
}

impl Drop for RdsHandle {
    fn drop(&mut self) {
        self.http.abort();
        self.monitor.abort();
        self.service.kill_now();
    }
}

fn prepare_directory(config: &RdsConfig) -> Result<std::path::PathBuf, StartError> {
    let wrong = |reason| StartError::DataDirectory { path: config.data_dir.clone(), reason };
    fs::create_dir_all(&config.data_dir).map_err(wrong)?;
    let path = fs::canonicalize(&config.data_dir).map_err(wrong)?;
    let room = rustix::fs::statvfs(&path).map_err(|error| wrong(error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < config.min_free_bytes {
        return Err(StartError::NoRoom {
            path,
            free_mib: free >> 20,
            needed_mib: config.min_free_bytes >> 20,
        });
    }
    Ok(path)
}

/// Two servers must not share a data directory.
fn lock(data_dir: &Path) -> Result<fs::File, StartError> {
    let path = data_dir.join("lock");
    let wrong = |reason| StartError::DataDirectory { path: data_dir.to_owned(), reason };
    let file = fs::File::create(&path).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StartError::InUse { path: data_dir.to_owned() }),
        Err(fs::TryLockError::Error(reason)) => Err(wrong(reason)),
    }
}

/// Kills PostgreSQL's processes of an earlier run that was killed while its instances were frozen:
/// all others died with it.
async fn end_leftovers(data_dir: &Path) -> Result<(), StartError> {
    let leftovers = processes::postgres_below(data_dir);
    leftovers.iter().for_each(|pid| processes::signal(*pid, rustix::process::Signal::KILL));
    processes::wait_gone(&leftovers)
        .await
        .map_err(|error| StartError::Launch { reason: error.to_string() })
}

fn check_programs() -> Result<(), StartError> {
    let root = rustix::process::geteuid().is_root();
    let needed: &[&'static str] = if root { &["setpriv", "unshare"] } else { &["setpriv"] };
    let there = |program: &str| {
        ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).is_file())
    };
    match needed.iter().find(|program| !there(program)) {
        Some(program) => Err(StartError::ProgramMissing { program }),
        None => Ok(()),
    }
}

/// The first address of each region must be free: there the lab expects its database.
fn check_addresses(config: &RdsConfig) -> Result<(), StartError> {
    for (region, pool) in &config.regions {
        let address = SocketAddr::from((pool.first, POSTGRES_PORT));
        TcpListener::bind(address).map_err(|reason| StartError::InstanceAddress {
            region: region.clone(),
            address,
            reason,
        })?;
    }
    Ok(())
}

async fn answer(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = if body.is_empty() {
        Params::decode(query.unwrap_or_default().as_bytes())
    } else {
        Params::decode(&body)
    };
    let request_id = request_id();
    let action = params.get("Action").unwrap_or_default().to_owned();
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let region = signed_region(authorization, &params);
    let result = call(service, &action, region, params);
    let (status, element) = match result {
        Ok(element) => (StatusCode::OK, envelope(&action, element, &request_id)),
        Err(error) => {
            tracing::debug!(action, %error, "rds call refused");
            (
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST),
                error.element(&request_id),
            )
        }
    };
    match element.document() {
        Ok(document) => (
            status,
            [(header::CONTENT_TYPE, "text/xml")],
            [("x-amzn-requestid", request_id)],
            document,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn call(
    service: Arc<Service>,
    action: &str,
    region: Option<String>,
    params: Params,
) -> api::Answer {
    let Some(region) = region else {
        return Err(ApiError::new(
            "MissingAuthenticationToken",
            403,
            "The request is not signed: its region is unknown.",
        ));
    };
    match params.get("Version") {
        Some(VERSION) => api::dispatch(action, &Call { service, region, params }),
        Some(_) | None => Err(ApiError::new(
            "InvalidAction",
            400,
            format!("Could not find operation {action}: the version must be {VERSION}."),
        )),
    }
}

fn envelope(action: &str, result: Option<Element>, request_id: &str) -> Element {
    let answer = Element::new(format!("{action}Response")).attribute("xmlns", NAMESPACE);
    let answer = match result {
        Some(result) => answer.child(result),
        None => answer,
    };
    answer.child(Element::new("ResponseMetadata").text("RequestId", request_id))
}

/// A UUID's form.
fn request_id() -> String {
    // A request without a name is still answered.
    let digits = random_hex(16).unwrap_or_default();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
