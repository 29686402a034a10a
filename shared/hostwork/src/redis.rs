//! Redis as a backup needs it: a few commands over one connection, each with a deadline.

use std::{collections::BTreeMap, time::Duration};

use lifeboat_core::Fault;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpStream, UnixStream},
};

/// For one command. None that is used here works for long; a server that loads answers at once too.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of one answer. `INFO` and `CONFIG GET *` have some tens of kilobytes.
const LONGEST: usize = 16 << 20;

/// A connection, over TCP or a Unix socket.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// One connection.
pub(crate) struct Redis {
    address: String,
    stream: BufStream<Box<dyn Wire>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("address", &self.address).finish_non_exhaustive()
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+` or `$`.
    Text(String),
    /// `:`.
    Number(i64),
    /// `*`: its texts, one behind the other.
    List(Vec<String>),
    /// `-`: the server refuses.
    Refused(String),
}

impl Redis {
    /// Connects to `host:port`, or to the absolute path of a socket.
    pub(crate) async fn connect(address: &str) -> Result<Self, Fault> {
        let failed = |error| Fault::transient(format!("reach Redis at {address}: {error}"));
        let wire: Box<dyn Wire> = if address.starts_with('/') {
            Box::new(UnixStream::connect(address).await.map_err(failed)?)
        } else {
            let connected = tokio::time::timeout(WITHIN, TcpStream::connect(address)).await;
            Box::new(
                connected
                    .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
                    .map_err(failed)?,
            )
        };
        Ok(Self { address: address.to_owned(), stream: BufStream::new(wire) })
    }

    /// Sends a command and reads its answer, a refusal included.
    pub(crate) async fn ask(&mut self, words: &[&str]) -> Result<Reply, Fault> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let exchange = async {
            self.stream.write_all(request.as_bytes()).await?;
            self.stream.flush().await?;
            self.read().await
        };
        let answered = tokio::time::timeout(WITHIN, exchange).await;
        answered
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| Fault::transient(format!("ask Redis at {}: {error}", self.address)))
    }

    /// The answer's text; a refusal, or anything else, is a fault.
    pub(crate) async fn text(&mut self, words: &[&str]) -> Result<String, Fault> {
        match self.ask(words).await? {
            Reply::Text(text) => Ok(text),
            Reply::Number(number) => Ok(number.to_string()),
            Reply::List(list) => Ok(list.join(" ")),
            Reply::Refused(why) => Err(Fault::needs_human(format!(
                "Redis at {} refuses {}: {why}",
                self.address,
                words.join(" ")
            ))),
        }
    }

    /// `INFO` of a section, by field.
    pub(crate) async fn info(&mut self, section: &str) -> Result<BTreeMap<String, String>, Fault> {
        let text = self.text(&["INFO", section]).await?;
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Settings whose names match.
    pub(crate) async fn config(
        &mut self,
        pattern: &str,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let Reply::List(list) = self.ask(&["CONFIG", "GET", pattern]).await? else {
            return Err(Fault::needs_human(format!(
                "Redis at {} does not show its settings (CONFIG GET)",
                self.address
            )));
        };
        let mut settings = BTreeMap::new();
        let mut words = list.into_iter();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            settings.insert(name, value);
        }
        Ok(settings)
    }

    /// Keys of each database that has some, by the number of the database.
    pub(crate) async fn keys(&mut self) -> Result<BTreeMap<String, u64>, Fault> {
        let spaces = self.info("keyspace").await?;
        Ok(spaces
            .iter()
            .filter_map(|(name, value)| {
                // "db0:keys=3,expires=0,avg_ttl=0"
                let keys = value.split(',').next()?.strip_prefix("keys=")?.parse().ok()?;
                Some((name.strip_prefix("db")?.to_owned(), keys))
            })
            .collect())
    }

    async fn read(&mut self) -> std::io::Result<Reply> {
        let (kind, rest) = self.line().await?;
        match kind {
            '+' => Ok(Reply::Text(rest)),
            '-' => Ok(Reply::Refused(rest)),
            ':' => Ok(Reply::Number(rest.parse().map_err(|_| malformed())?)),
            '$' => Ok(Reply::Text(self.bulk(&rest).await?)),
            '*' => {
                let count: usize = rest.parse().map_err(|_| malformed())?;
                let mut list = Vec::new();
                for _ in 0..count {
                    let (kind, rest) = self.line().await?;
                    list.push(if kind == '$' { self.bulk(&rest).await? } else { rest });
                }
                Ok(Reply::List(list))
            }
            _ => Err(malformed()),
        }
    }

    async fn line(&mut self) -> std::io::Result<(char, String)> {
        let mut line = String::new();
        (&mut self.stream).take(LONGEST as u64).read_line(&mut line).await?;
        let line = line.strip_suffix("\r\n").ok_or_else(malformed)?;
        let mut chars = line.chars();
        let kind = chars.next().ok_or_else(malformed)?;
        Ok((kind, chars.as_str().to_owned()))
    }

    async fn bulk(&mut self, length: &str) -> std::io::Result<String> {
        let length: usize = length.parse().map_err(|_| malformed())?;
        if length > LONGEST {
            return Err(malformed());
        }
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).await?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn malformed() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is not that of a Redis")
}
