//! Listening sockets: one clear error for an address in use, and one accept loop.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::pause;
use crate::tasks::Tasks;

/// A listening socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process has the address.
    #[error(
        "{purpose} cannot listen on {address}: the address is in use; stop what listens there (ss -ltnp shows it) or choose another address"
    )]
    InUse {
        /// What the socket is for.
        purpose: String,
        /// The address asked for.
        address: SocketAddr,
    },
    /// The operating system refused for another reason.
    #[error("{purpose} cannot listen on {address}; check that the address exists on this machine")]
    Refused {
        /// What the socket is for.
        purpose: String,
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Opens a listening socket for `purpose`. Port 0 takes a free port; the second value is the real address.
pub(crate) async fn listen(
    purpose: &str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let refused = |source: std::io::Error| {
        let purpose = purpose.to_owned();
        if source.kind() == std::io::ErrorKind::AddrInUse {
            ListenError::InUse { purpose, address }
        } else {
            ListenError::Refused { purpose, address, source }
        }
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let real = listener.local_addr().map_err(refused)?;
    Ok((listener, real))
}

/// Accepts for ever and runs `serve` for each connection as a task of `tasks`. Small writes are sent at once.
pub(crate) async fn accept_loop<F, W>(listener: TcpListener, tasks: Tasks, serve: F)
where
    F: Fn(TcpStream) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "set TCP_NODELAY on an accepted connection");
                }
                tasks.spawn(serve(stream));
            }
            Err(error) => {
                // Out of file descriptors or an aborted handshake: neither is mended by spinning.
                tracing::warn!(%error, "accept a connection");
                pause(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Serves one connection of an admin API.
pub(crate) async fn serve_admin(api: Router, stream: TcpStream) {
    let io = TokioIo::new(stream);
    let served = http1::Builder::new().serve_connection(io, TowerToHyperService::new(api)).await;
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection ended");
    }
}
