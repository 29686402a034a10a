//! The positions, in Redis: a client for the three commands that the app needs, each with a deadline.
//!
//! Redis is a cache here: the tickets in the database are the truth. Whenever a connection is new, or the database is another one,
//! the counter is first raised to the highest position in the database, so that a Redis that is empty or behind continues
//! where the tickets are.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// How long one command may take, the connection included.
pub(crate) const WITHIN: Duration = Duration::from_millis(500);

/// Raises a counter to a floor, never lowers it, in one step for Redis.
const RAISE: &str = "local now = tonumber(redis.call('GET', KEYS[1]) or '0') \
    if now < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end return 0";

/// What is wrong with Redis.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedisError {
    #[error("redis at {address} does not answer within {} ms", WITHIN.as_millis())]
    Timeout { address: String },
    #[error("redis at {address}: {source}")]
    Connection { address: String, source: std::io::Error },
    #[error("redis refuses: {0}")]
    Refused(String),
}

#[derive(Debug)]
struct Connection {
    stream: BufStream<TcpStream>,
    /// The database whose highest position the counter was raised to, on this connection.
    raised_for: Option<u64>,
}

/// A reply of Redis that the app can get.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Number(i64),
    Text(String),
}

/// The client: one connection for positions, one for health, so that neither waits for the other.
#[derive(Debug)]
pub(crate) struct Redis {
    address: String,
    positions: Mutex<Option<Connection>>,
    health: Mutex<Option<Connection>>,
}

impl Redis {
    pub(crate) fn new(address: String) -> Self {
        Self { address, positions: Mutex::default(), health: Mutex::default() }
    }

    /// The next position, or None when the counter must be raised first: then ask again with the floor.
    ///
    /// `database` is a number that is another one for another database.
    pub(crate) async fn next(
        &self,
        key: &str,
        database: u64,
        floor: Option<i64>,
    ) -> Result<Option<i64>, RedisError> {
        self.within(async {
            let mut slot = self.positions.lock().await;
            // Taken out: a command that is given up half way leaves no connection with half an answer.
            let mut connection = self.connected(slot.take()).await?;
            if connection.raised_for != Some(database) {
                let Some(floor) = floor else {
                    *slot = Some(connection);
                    return Ok(None);
                };
                self.command(&mut connection, &["EVAL", RAISE, "1", key, &floor.to_string()])
                    .await?;
                connection.raised_for = Some(database);
            }
            let reply = self.command(&mut connection, &["INCR", key]).await?;
            *slot = Some(connection);
            match reply {
                Reply::Number(position) => Ok(Some(position)),
                Reply::Text(text) => Err(RedisError::Refused(text)),
            }
        })
        .await
    }

    /// Whether Redis answers.
    pub(crate) async fn ping(&self) -> Result<(), RedisError> {
        self.within(async {
            let mut slot = self.health.lock().await;
            let mut connection = self.connected(slot.take()).await?;
            let reply = self.command(&mut connection, &["PING"]).await?;
            *slot = Some(connection);
            if reply == Reply::Text("PONG".to_owned()) {
                Ok(())
            } else {
                Err(RedisError::Refused(format!("{reply:?}")))
            }
        })
        .await
    }

    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        let timeout = || RedisError::Timeout { address: self.address.clone() };
        tokio::time::timeout(WITHIN, work).await.unwrap_or_else(|_| Err(timeout()))
    }

    fn broken(&self, source: std::io::Error) -> RedisError {
        RedisError::Connection { address: self.address.clone(), source }
    }

    async fn connected(&self, connection: Option<Connection>) -> Result<Connection, RedisError> {
        if let Some(mut connection) = connection
            && !is_closed(&mut connection.stream)
        {
            return Ok(connection);
        }
        let stream =
            TcpStream::connect(&self.address).await.map_err(|source| self.broken(source))?;
        stream.set_nodelay(true).map_err(|source| self.broken(source))?;
        Ok(Connection { stream: BufStream::new(stream), raised_for: None })
    }

    async fn command(
        &self,
        connection: &mut Connection,
        words: &[&str],
    ) -> Result<Reply, RedisError> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let exchange = async {
            connection.stream.write_all(request.as_bytes()).await?;
            connection.stream.flush().await?;
            read_reply(&mut connection.stream).await
        };
        exchange.await.map_err(|source| self.broken(source))?.map_err(RedisError::Refused)
    }
}

/// Whether the other side has closed an idle connection, as a Redis that was restarted has.
fn is_closed(stream: &mut BufStream<TcpStream>) -> bool {
    let mut one = [0_u8];
    match stream.get_ref().try_read(&mut one) {
        // End of the stream, or an answer that nobody asked for.
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Reads one reply: a number, a text, or Redis's own error.
async fn read_reply(stream: &mut BufStream<TcpStream>) -> std::io::Result<Result<Reply, String>> {
    let malformed = || {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is not that of a redis")
    };
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let line = line.strip_suffix("\r\n").ok_or_else(malformed)?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(malformed)?;
    match kind {
        "+" => Ok(Ok(Reply::Text(rest.to_owned()))),
        "-" => Ok(Err(rest.to_owned())),
        ":" => Ok(Ok(Reply::Number(rest.parse().map_err(|_| malformed())?))),
        "$" => {
            let length: usize = rest.parse().map_err(|_| malformed())?;
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes).await?;
            bytes.truncate(length);
            Ok(Ok(Reply::Text(String::from_utf8(bytes).map_err(|_| malformed())?)))
        }
        _ => Err(malformed()),
    }
}
