//! `PING` to Redis. A server that asks for a password (`-NOAUTH`) is a server that works.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Seen, connect, innermost, one_line};

pub(super) async fn check(endpoint: &str) -> Result<Seen, String> {
    let mut stream = connect(endpoint).await?;
    stream.write_all(b"PING\r\n").await.map_err(innermost)?;
    let mut answer = Vec::new();
    // The answer to PING is one line; a server that sends more than this is no Redis.
    while !answer.ends_with(b"\r\n") && answer.len() < 512 {
        if stream.read_buf(&mut answer).await.map_err(innermost)? == 0 {
            return Err("closed the connection without an answer".to_owned());
        }
    }
    if answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH") {
        Ok(Seen::new("answered PING"))
    } else {
        Err(format!("answered PING with: {}", one_line(&answer)))
    }
}
