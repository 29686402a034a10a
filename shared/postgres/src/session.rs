//! One connection, and the questions that Lifeboat asks over it.

use std::{fmt, time::Duration};

use lifeboat_core::backup::question::{self, Answer};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow, config::SslMode, error::SqlState,
};

use crate::{error::SqlError, lsn::Lsn, tls::Tls};

/// Where to log in, and as whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Host name or address, or the absolute path of the folder of its Unix socket.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// The database's name.
    pub database: &'a str,
    /// The role.
    pub user: &'a str,
    /// Its password. Never printed.
    pub password: &'a str,
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

/// A server as it stood when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether it is a replica (or still replays its WAL), so that nothing can be written.
    pub in_recovery: bool,
    /// Whether a new transaction would be read-only for any reason (`default_transaction_read_only`
    /// on a fenced primary, recovery on a replica).
    pub read_only: bool,
    /// A primary's: the end of the WAL that it has written. A replica's: the end of the WAL that it
    /// has received *or* replayed, because after a restart it replays what it received before and
    /// counts only what it has received since; none before it has either.
    pub position: Option<Lsn>,
    /// Whether a WAL receiver runs: a replica without one gets nothing from its primary.
    pub receives: bool,
}

impl State {
    /// Whether the app can write here.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        !self.in_recovery && !self.read_only
    }
}

/// A table, as it is when it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Schema and name, as in `public.tickets`.
    pub name: String,
    /// The same as SQL writes it.
    quoted: String,
    /// Bytes of its rows, what is stored out of line apart.
    pub bytes: u64,
}

/// An open connection. Closed when dropped.
#[derive(Debug)]
pub struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Logs in to a server within `limit`, encrypted when the server can be.
///
/// # Errors
/// [`SqlError`]; [`SqlError::fault`] names it for the caller.
pub async fn connect(target: &Target<'_>, limit: Duration) -> Result<Session, SqlError> {
    let mut config = Config::new();
    config
        .host(target.host)
        .port(target.port)
        .dbname(target.database)
        .user(target.user)
        .password(target.password)
        .ssl_mode(SslMode::Prefer)
        .application_name("lifeboat");
    let tls = Tls::new().map_err(|error| unreadable(format!("TLS cannot be set up: {error}")))?;
    within(limit, async {
        // An error of the connection reaches whoever asks over it next.
        if target.host.starts_with('/') {
            // A socket on this host has no name to begin TLS with, and needs none.
            let (client, connection) = config.connect(NoTls).await?;
            let connection = tokio::spawn(async move { drop(connection.await) });
            return Ok(Session { client, connection });
        }
        let (client, connection) = config.connect(tls).await?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Session { client, connection })
    })
    .await
}

/// One statement, so that all of it is read at one moment and in one round trip. The functions are
/// volatile, so each branch is evaluated only where it is allowed.
const STATE: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), \
     CASE WHEN pg_is_in_recovery() \
     THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
     ELSE pg_current_wal_lsn() END, EXISTS (SELECT FROM pg_stat_wal_receiver)";

/// PostgreSQL waits this setting's default of 5 s before it asks for WAL again when its primary is
/// lost, and a promotion that arrives during the wait sits it out (measured in 6 of 16 promotions
/// after a kill of the primary; in none with 100 ms). It can be set without a restart, and only a
/// server in recovery reads it.
const SHORTEN_RETRY: [&str; 2] =
    ["ALTER SYSTEM SET wal_retrieve_retry_interval = '100ms'", "SELECT pg_reload_conf()"];

/// Time for each of the two statements above.
const SHORTEN_RETRY_LIMIT: Duration = Duration::from_secs(1);

/// Ordinary tables and partitions, without the server's own; the parent of partitions holds no row.
/// One that is dropped meanwhile has no size.
const TABLES: &str = "SELECT n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname), \
     coalesce(pg_relation_size(c.oid), 0) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
     AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast' \
     ORDER BY 1";

impl Session {
    /// What the server is and how far its WAL goes.
    ///
    /// # Errors
    /// [`SqlError`] when it does not answer within `limit`; open another session then.
    pub async fn state(&self, limit: Duration) -> Result<State, SqlError> {
        let row = self.row(STATE, limit).await?;
        Ok(State {
            in_recovery: column(&row, 0)? == Some("t"),
            read_only: column(&row, 1)? != Some("off"),
            position: column(&row, 2)?
                .map(str::parse)
                .transpose()
                .map_err(|error: crate::LsnError| unreadable(error.to_string()))?,
            receives: column(&row, 3)? == Some("t"),
        })
    }

    /// Makes a replica a primary and waits up to `wait` (whole seconds, at least one) until it is.
    /// True when it is one; false when it will be (ask [`Session::state`] again). A server that is
    /// a primary already is left alone.
    ///
    /// # Errors
    /// [`SqlError`]. After [`SqlError::Timeout`] and [`SqlError::Unreachable`] the promotion may
    /// have been started; promoting again is safe.
    pub async fn promote(&self, wait: Duration) -> Result<bool, SqlError> {
        for statement in SHORTEN_RETRY {
            if let Err(error) = self.row(statement, SHORTEN_RETRY_LIMIT).await {
                // Without it promotion may take 5 s longer, which is better than none.
                tracing::warn!(%error, statement, "promotion is not prepared to be fast");
                break;
            }
        }
        let seconds = wait.as_secs().max(1);
        let statement = format!("SELECT pg_promote(true, {seconds})");
        let limit = Duration::from_secs(seconds) + SHORTEN_RETRY_LIMIT;
        match self.row(&statement, limit).await {
            Ok(row) => Ok(column(&row, 0)? == Some("t")),
            // "recovery is not in progress": an earlier call's promotion is done.
            Err(SqlError::Failed { code, .. }) if code == "55000" => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Every statement of this session from now on is refused if it would write.
    ///
    /// # Errors
    /// [`SqlError`] when the server does not answer within `limit`.
    pub async fn only_read(&self, limit: Duration) -> Result<(), SqlError> {
        self.row("SET default_transaction_read_only = on", limit).await.map(|_| ())
    }

    /// The server ends every statement of this session from now on that takes longer, although nobody
    /// may wait for it any more.
    ///
    /// # Errors
    /// [`SqlError`] when the server does not answer within `limit`.
    pub async fn end_statements_after(
        &self,
        longest: Duration,
        limit: Duration,
    ) -> Result<(), SqlError> {
        let statement = format!("SET statement_timeout = {}", longest.as_millis());
        self.row(&statement, limit).await.map(|_| ())
    }

    /// The tables of this database that are not the server's own, by schema and name.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn tables(&self, limit: Duration) -> Result<Vec<Table>, SqlError> {
        let mut tables = Vec::new();
        for row in self.rows(TABLES, limit).await? {
            let [Some(name), Some(quoted), Some(bytes)] = &*row else {
                return Err(unreadable("a table without a name".to_owned()));
            };
            let bytes = bytes.parse().map_err(|_| unreadable(format!("no size of {name}")))?;
            tables.push(Table { name: name.clone(), quoted: quoted.clone(), bytes });
        }
        Ok(tables)
    }

    /// The rows of a table, counted one by one, which reads all of them.
    ///
    /// # Errors
    /// [`SqlError`], also when a row cannot be read; [`SqlError::Timeout`] when it takes too long.
    pub async fn count(&self, table: &Table, limit: Duration) -> Result<u64, SqlError> {
        self.number(&format!("SELECT count(*) FROM {}", table.quoted), &table.name, limit).await
    }

    /// The rows in a part of a table's pages, which reads no other ones (PostgreSQL manual, `SELECT`,
    /// on `TABLESAMPLE SYSTEM`); the same pages for the same `seed`.
    ///
    /// # Errors
    /// As [`Session::count`].
    pub async fn sample(
        &self,
        table: &Table,
        (millionths, seed): (u32, u32),
        limit: Duration,
    ) -> Result<u64, SqlError> {
        let (percent, quoted) = (f64::from(millionths) / 10_000.0, &table.quoted);
        let statement = format!(
            "SELECT count(*) FROM {quoted} TABLESAMPLE SYSTEM ({percent:.4}) REPEATABLE ({seed})"
        );
        self.number(&statement, &table.name, limit).await
    }

    async fn number(&self, statement: &str, of: &str, limit: Duration) -> Result<u64, SqlError> {
        let row = self.row(statement, limit).await.map_err(|error| in_time(error, limit))?;
        let count = column(&row, 0)?.and_then(|text| text.parse().ok());
        count.ok_or_else(|| unreadable(format!("no count of {of}")))
    }

    /// What a query of one row and one boolean column answers.
    ///
    /// # Errors
    /// [`SqlError`] when the server does not answer at all, [`SqlError::Timeout`] when the query takes
    /// too long; what the server says against the query is an answer.
    pub async fn question(&self, query: &str, limit: Duration) -> Result<Answer, SqlError> {
        match self.rows(query, limit).await.map_err(|error| in_time(error, limit)) {
            Ok(rows) => Ok(question::answer(&rows)),
            Err(SqlError::Failed { code, message }) => Ok(question::refusal(&code, &message)),
            // Class 28, the other one of this name, ends a login and no query.
            Err(SqlError::Denied(message)) => {
                Ok(question::refusal(SqlState::INSUFFICIENT_PRIVILEGE.code(), &message))
            }
            Err(
                error @ (SqlError::Timeout(_) | SqlError::Unreachable(_) | SqlError::NotReady(_)),
            ) => Err(error),
        }
    }

    /// The rows of the answer, as text; a null is none. Several statements give all their rows.
    ///
    /// # Errors
    /// [`SqlError`]. After [`SqlError::Timeout`] the statement may still run: drop the session.
    pub async fn rows(
        &self,
        statement: &str,
        limit: Duration,
    ) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        let rows = self.answer(statement, limit).await?;
        rows.map(|row| {
            (0..row.len())
                .map(|at| Ok(row.try_get(at)?.map(str::to_owned)))
                .collect::<Result<Vec<_>, SqlError>>()
        })
        .collect()
    }

    /// The first row of the answer, or an empty answer's nothing as an error.
    async fn row(&self, statement: &str, limit: Duration) -> Result<Row, SqlError> {
        Ok(self.answer(statement, limit).await?.next())
    }

    async fn answer(
        &self,
        statement: &str,
        limit: Duration,
    ) -> Result<impl Iterator<Item = SimpleQueryRow>, SqlError> {
        let messages =
            within(limit, async { Ok(self.client.simple_query(statement).await?) }).await?;
        Ok(messages.into_iter().filter_map(|message| {
            if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None }
        }))
    }
}

/// `ALTER SYSTEM` answers without a row.
type Row = Option<SimpleQueryRow>;

fn column(row: &Row, index: usize) -> Result<Option<&str>, SqlError> {
    let row = row.as_ref().ok_or_else(|| unreadable("the server sent no row".to_owned()))?;
    row.try_get(index).map_err(SqlError::from)
}

fn unreadable(message: String) -> SqlError {
    SqlError::Failed { code: "none".to_owned(), message }
}

/// A statement that the server has ended because it took too long, as the time-out that it is.
fn in_time(error: SqlError, limit: Duration) -> SqlError {
    let is_ended = matches!(
        &error,
        SqlError::Failed { code, .. } if code == SqlState::QUERY_CANCELED.code()
    );
    if is_ended { SqlError::Timeout(limit) } else { error }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(SqlError::Timeout(limit)))
}
