//! Starts and stops the gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lifeboat_lab_aws_model::{Models, ModelsError};
use tokio::net::TcpStream;

use super::admin::{Admin, router};
use super::calls::CallLog;
use super::config::GatewayConfig;
use super::connection::{ClientStream, Ending};
use super::faults::Faults;
use super::inspect::Inspector;
use super::proxy::Proxy;
use super::upstreams::Upstreams;
use super::violations::Violations;
use crate::listen::{ListenError, accept_loop, listen, serve_admin};
use crate::tasks::Tasks;

/// The gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A port can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The call log's file can't be opened.
    #[error("open the call log {path}; check that its directory exists and can be written")]
    CallLog {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There are no models.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// Two listeners have the same caller name.
    #[error("caller {0} has two listeners; give each caller one port")]
    DuplicateCaller(String),
}

/// A running gateway. It ends with [`GatewayHandle::stop`], or when the handle is dropped.
#[derive(Debug)]
pub struct GatewayHandle {
    faults: Faults,
    calls: CallLog,
    violations: Violations,
    callers: BTreeMap<String, SocketAddr>,
    admin: SocketAddr,
    tasks: Tasks,
}

/// Opens every port of `config` and serves until the handle is stopped or dropped.
///
/// # Errors
/// [`GatewayError`] names the address or the file that can't be had; nothing is left behind then.
pub async fn start(config: GatewayConfig) -> Result<GatewayHandle, GatewayError> {
    let file = config.call_log.as_deref();
    let calls = CallLog::open(config.call_capacity, file).map_err(|source| {
        GatewayError::CallLog { path: config.call_log.clone().unwrap_or_default(), source }
    })?;
    let models = config.models.as_deref().map(Models::of_venv).transpose()?;
    let inspector = Inspector::new(models);
    let violations = inspector.violations.clone();
    let mut listeners = Vec::new();
    let mut callers = BTreeMap::new();
    for entry in &config.callers {
        let purpose = format!("the gateway's port for callers in {}", entry.caller);
        let (listener, address) = listen(&purpose, entry.listen).await?;
        if callers.insert(entry.caller.clone(), address).is_some() {
            return Err(GatewayError::DuplicateCaller(entry.caller.clone()));
        }
        listeners.push((entry.caller.clone(), listener));
    }
    let (admin_listener, admin) = listen("the gateway's admin API", config.admin).await?;

    let tasks = Tasks::default();
    let upstreams = Upstreams::new(config.upstreams.clone(), tasks.clone());
    let proxy = Proxy::new(&config, calls.clone(), upstreams, inspector);
    let faults = proxy.faults.clone();
    let api = router(Admin {
        faults: faults.clone(),
        calls: calls.clone(),
        violations: violations.clone(),
        authorizer: proxy.authorizer.clone(),
    });

    for (caller, listener) in listeners {
        let caller: Arc<str> = caller.into();
        let proxy = proxy.clone();
        let serve = move |stream| serve_connection(proxy.clone(), Arc::clone(&caller), stream);
        tasks.spawn(accept_loop(listener, tasks.clone(), serve));
    }
    tasks.spawn(accept_loop(admin_listener, tasks.clone(), move |stream| {
        serve_admin(api.clone(), stream)
    }));
    Ok(GatewayHandle { faults, calls, violations, callers, admin, tasks })
}

impl GatewayHandle {
    /// The fault rules.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The calls seen.
    #[must_use]
    pub fn calls(&self) -> &CallLog {
        &self.calls
    }

    /// What did not fit the services' models.
    #[must_use]
    pub fn violations(&self) -> &Violations {
        &self.violations
    }

    /// The address for a caller's clients, by the caller's configured name.
    #[must_use]
    pub fn address(&self, caller: &str) -> Option<SocketAddr> {
        self.callers.get(caller).copied()
    }

    /// The address of the admin API.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Ends every connection, held calls included, and returns when all tasks are gone and all ports free.
    pub async fn stop(self) {
        self.tasks.stop().await;
    }
}

impl Drop for GatewayHandle {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

async fn serve_connection(proxy: Proxy, caller: Arc<str>, stream: TcpStream) {
    let ending = Ending::default();
    let io = TokioIo::new(ClientStream::new(stream, ending.clone()));
    let service = service_fn(move |request| {
        let (proxy, caller, ending) = (proxy.clone(), Arc::clone(&caller), ending.clone());
        async move { proxy.serve(&caller, ending, request).await }
    });
    let served = http1::Builder::new()
        .preserve_header_case(true)
        // The upstream's own Date is the one that the client gets.
        .auto_date_header(false)
        .serve_connection(io, service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a client connection ended");
    }
}
