//! `queue-app`: the lab's virtual-queue app. See `queue-app --help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use lifeboat_site_app::site::SiteFiles;
use lifeboat_site_app::{AppConfig, router};
use tokio::signal::unix::{SignalKind, signal};

/// How long requests in progress may take to end after SIGTERM.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// A virtual queue: tickets in PostgreSQL, positions in Redis, writes only under a valid permit.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The site's configuration, written by the document lifeboat-site-control. It is read again for each request.
    #[arg(long)]
    site_file: PathBuf,
    /// The write permit, kept by the host's guard. It is read again for each write.
    #[arg(long)]
    permit_file: PathBuf,
    /// Address and port to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Redis, as host:port.
    #[arg(long)]
    redis: String,
    /// The database's user.
    #[arg(long)]
    db_user: String,
    /// A file that holds the password of the database's user.
    #[arg(long)]
    db_password_file: PathBuf,
    /// While this file exists, the number of milliseconds in it is added to each answer.
    #[arg(long)]
    slow_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("read the password from {path}")]
    Password { path: PathBuf, source: std::io::Error },
    #[error("listen on {address}: end the program that holds it, or choose another address")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("serve requests")]
    Serve(#[source] std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            tracing::error!("{error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), StartError> {
    let path = arguments.db_password_file;
    let password =
        std::fs::read_to_string(&path).map_err(|source| StartError::Password { path, source })?;
    let address = arguments.listen;
    let listen = |source| StartError::Listen { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Serve)?;
    let app = router(AppConfig {
        files: SiteFiles { site: arguments.site_file, permit: arguments.permit_file },
        redis: arguments.redis,
        db_user: arguments.db_user,
        db_password: password.trim_end_matches('\n').to_owned(),
        slow_file: arguments.slow_file,
    });
    tracing::info!(%address, "serving");
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let mut stopping = stopping;
        // The sender lives until the end of this function.
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    tokio::select! {
        served = server.into_future() => served.map_err(StartError::Serve),
        () = async {
            terminate.recv().await;
            stop.send_replace(true);
            // A client that keeps its connection open must not keep the site from being fenced.
            let _ = tokio::time::timeout(DRAIN_WITHIN, std::future::pending::<()>()).await;
        } => Ok(()),
    }
}
