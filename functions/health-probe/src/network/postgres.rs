//! The greeting of PostgreSQL's protocol, as `pg_isready` uses it: a server that answers takes
//! connections, whatever it thinks of the role, except when it says that it cannot connect *now*.
//!
//! The startup message goes out without asking for TLS first: the answer to that question comes
//! before the server says that it is still starting. A server that insists on TLS refuses the
//! plain greeting with an error, which is an answer. No password is sent.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Seen, connect, innermost, one_line};
use crate::ports::Probe;

/// Protocol version 3.0 (PostgreSQL manual, message formats, `StartupMessage`).
const PROTOCOL: u32 = 196_608;

/// SQLSTATE `cannot_connect_now`: starting up, shutting down, in recovery without hot standby.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// `AuthenticationOk`: no password is asked for, and a session begins.
const LET_IN: [u8; 4] = [0; 4];

/// An error message of a greeting is a few hundred bytes.
const MESSAGE_LIMIT: usize = 16 * 1024;

/// What leaving politely may take.
const FAREWELL_LIMIT: Duration = Duration::from_millis(50);

pub(super) async fn check(probe: &Probe) -> Result<Seen, String> {
    let mut stream = connect(&probe.endpoint).await?;
    stream.write_all(&greeting(&probe.user, &probe.database)).await.map_err(innermost)?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.map_err(|_| closed())?;
    let [kind, length @ ..] = head;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    match kind {
        b'R' if (8..MESSAGE_LIMIT).contains(&length) => {
            // All of it is read: a server whose words are thrown away logs a reset connection.
            let mut body = vec![0; length - 4];
            stream.read_exact(&mut body).await.map_err(|_| closed())?;
            if body.starts_with(&LET_IN) {
                leave(stream).await;
            }
            Ok(Seen::new("takes connections"))
        }
        b'E' if (4..MESSAGE_LIMIT).contains(&length) => {
            let mut body = vec![0; length - 4];
            stream.read_exact(&mut body).await.map_err(|_| closed())?;
            let code = field(&body, b'C');
            let message = field(&body, b'M');
            if code == CANNOT_CONNECT_NOW {
                Err(message)
            } else {
                Ok(Seen::new(format!("takes connections (refused this role: {message})")))
            }
        }
        _ => Err(format!("is not a PostgreSQL server: it answered {}", one_line(&head))),
    }
}

/// Ends a session that the server opened without asking for a password, so that it does not log a
/// lost connection. One that asks for a password logs nothing when the client just goes.
async fn leave(mut stream: TcpStream) {
    let farewell = async {
        stream.write_all(b"X\0\0\0\x04").await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // The vote is cast already: nothing here may hold it up or change it.
    drop(tokio::time::timeout(FAREWELL_LIMIT, farewell).await);
}

fn closed() -> String {
    "closed the connection without an answer".to_owned()
}

/// `StartupMessage`: its length, the version, names and values that each end in a zero byte, and a
/// last zero byte.
fn greeting(user: &str, database: &str) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, "application_name", "lifeboat-probe"] {
        body.extend(text.bytes().filter(|byte| *byte != 0));
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().to_vec(), body].concat()
}

/// A field of an `ErrorResponse`: each is its kind, its text and a zero byte.
fn field(body: &[u8], kind: u8) -> String {
    body.split(|byte| *byte == 0)
        .find_map(|field| match field {
            [first, text @ ..] if *first == kind => Some(one_line(text).to_string()),
            _ => None,
        })
        .unwrap_or_default()
}
