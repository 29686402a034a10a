//! Connections to PostgreSQL: a few, each with deadlines, to the database that `site.json` names.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::site::DatabaseAddress;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_millis(1000);

/// Connections of one pool. The lab's client is one writer; a handful shows queueing without needing it.
const CONNECTIONS: usize = 4;

/// What is wrong with the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("site.json names no database")]
    NotConfigured,
    #[error("the database does not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("connect to the database: {0}")]
    Connect(String),
    #[error("the database is read only: it is a replica that was not promoted")]
    ReadOnly,
    #[error("the database refuses: {0}")]
    Query(String),
}

impl DatabaseError {
    /// A stable word for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotConfigured => "database_not_configured",
            Self::Timeout(_) => "database_timeout",
            Self::Connect(_) => "database_unreachable",
            Self::ReadOnly => "database_read_only",
            Self::Query(_) => "database_error",
        }
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) if *db.code() == SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly,
            Some(db) => Self::Query(format!("{} ({})", db.message(), db.code().code())),
            None => Self::Connect(reasons(&error)),
        }
    }
}

/// An error of the driver with its causes: by itself it says only "error connecting to server".
fn reasons(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The connections to one database.
#[derive(Debug)]
pub(crate) struct Pool {
    address: DatabaseAddress,
    /// Another number for another database, so that what is remembered of one is not used for the next.
    pub(crate) generation: u64,
    config: tokio_postgres::Config,
    idle: Mutex<Vec<Client>>,
    free: Semaphore,
}

/// A connection in use. Dropped without [`Lease::keep`] it is closed, because what it is in the middle of is not known.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    pub(crate) client: Client,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    /// Gives the connection back for the next user.
    pub(crate) fn keep(self) {
        let Self { client, pool, .. } = self;
        if !client.is_closed() {
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        }
    }
}

impl Pool {
    /// A connection: an idle one, or a new one.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>, DatabaseError> {
        let permit =
            self.free.acquire().await.map_err(|error| DatabaseError::Connect(error.to_string()))?;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(client) if client.is_closed() => {}
                Some(client) => return Ok(Lease { client, pool: self, _permit: permit }),
                None => break,
            }
        }
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.config.connect(NoTls)).await;
        let (client, connection) =
            connected.map_err(|_| DatabaseError::Timeout(CONNECT_WITHIN))??;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a database connection ended");
            }
        });
        Ok(Lease { client, pool: self, _permit: permit })
    }
}

/// The database of the site, whichever it is now.
#[derive(Debug)]
pub(crate) struct Database {
    user: String,
    password: String,
    current: Mutex<(u64, Option<Arc<Pool>>)>,
}

impl Database {
    pub(crate) fn new(user: String, password: String) -> Self {
        Self { user, password, current: Mutex::new((0, None)) }
    }

    /// The connections to this address. Those to another are closed as they come back.
    pub(crate) fn pool(
        &self,
        address: Option<&DatabaseAddress>,
    ) -> Result<Arc<Pool>, DatabaseError> {
        let address = address.ok_or(DatabaseError::NotConfigured)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = current.1.as_ref().filter(|pool| pool.address == *address) {
            return Ok(Arc::clone(pool));
        }
        tracing::info!(
            host = address.host,
            port = address.port,
            database = address.name,
            "the site's database"
        );
        let mut config = tokio_postgres::Config::new();
        config
            .host(&address.host)
            .port(address.port)
            .dbname(&address.name)
            .user(&self.user)
            .password(&self.password)
            .application_name("queue-app")
            .connect_timeout(CONNECT_WITHIN);
        // No statement_timeout: with a synchronous standby it would end the wait for the standby and report the
        // commit as done. A statement that takes too long is given up by closing its connection instead.
        current.0 += 1;
        let pool = Arc::new(Pool {
            address: address.clone(),
            generation: current.0,
            config,
            idle: Mutex::default(),
            free: Semaphore::new(CONNECTIONS),
        });
        current.1 = Some(Arc::clone(&pool));
        Ok(pool)
    }
}
