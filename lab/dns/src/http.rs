//! One HTTP/1.1 exchange with its own deadlines: for the control plane, alarms and health checks.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// How long each part of an exchange may take, and how much of the body is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    /// From the connection to the status line.
    pub(crate) status: Duration,
    /// From the status line to the end of what is read.
    pub(crate) body: Duration,
    /// Bytes of the body that are read; the rest is left.
    pub(crate) body_bytes: usize,
}

/// What an endpoint answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// Why there was no answer. The texts are those of a health checker's report.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    #[error("connection timed out")]
    ConnectTimeout,
    #[error("connection failed: {0}")]
    Connect(#[source] std::io::Error),
    #[error("the endpoint did not respond in time")]
    StatusTimeout,
    #[error("the response body did not arrive in time")]
    BodyTimeout,
    #[error("the response is not HTTP: {0}")]
    Http(#[from] hyper::Error),
}

/// Opens a TCP connection within `limit`.
pub(crate) async fn connect(
    address: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, ExchangeError> {
    match timeout(limit, TcpStream::connect(address)).await {
        Err(_) => Err(ExchangeError::ConnectTimeout),
        Ok(Err(error)) => Err(ExchangeError::Connect(error)),
        Ok(Ok(stream)) => Ok(stream),
    }
}

/// Sends `request` to `address` on a connection of its own.
pub(crate) async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    limits: Limits,
) -> Result<Answer, ExchangeError> {
    let stream = connect(address, limits.connect).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Dropping the set ends the connection, whatever happens below.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let sent = timeout(limits.status, sender.send_request(request)).await;
    let response = sent.map_err(|_| ExchangeError::StatusTimeout)??;
    let status = response.status();
    let mut stream = response.into_body();
    let read = async {
        let mut body = Vec::new();
        while body.len() < limits.body_bytes
            && let Some(frame) = stream.frame().await
        {
            if let Ok(data) = frame?.into_data() {
                body.extend_from_slice(&data);
            }
        }
        body.truncate(limits.body_bytes);
        Ok::<_, hyper::Error>(body)
    };
    let body = timeout(limits.body, read).await.map_err(|_| ExchangeError::BodyTimeout)??;
    Ok(Answer { status, body })
}
