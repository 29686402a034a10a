//! Tickets: issued once per id, in the database, each with a position.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use crate::clock::uptime;
use crate::database::{Database, DatabaseError, Pool};
use crate::permit::{self, Refusal};
use crate::redis::{Redis, RedisError};
use crate::site::{Site, SiteFiles};

/// How long a write may take, of which Redis may take up to 1 s.
const WRITE_WITHIN: Duration = Duration::from_millis(2500);

/// How long a read may take.
const READ_WITHIN: Duration = Duration::from_millis(5000);

const CREATE: &str = "CREATE TABLE IF NOT EXISTS tickets (id text PRIMARY KEY, position bigint NOT NULL, \
    site text NOT NULL, epoch bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp())";

/// The write carries its own deadline: see [`crate::permit`].
const INSERT: &str = "INSERT INTO tickets (id, position, site, epoch) SELECT $1, $2, $3, $4 \
    WHERE clock_timestamp() < $5 ON CONFLICT (id) DO NOTHING RETURNING id, position, site, epoch";

const FIND: &str = "SELECT id, position, site, epoch FROM tickets WHERE id = $1";

/// A place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ticket {
    /// The caller's id for it.
    pub id: String,
    /// The place, from 1.
    pub position: i64,
    /// The site that issued it.
    pub site: String,
    /// The epoch under which it was issued.
    pub epoch: i64,
}

/// Why no ticket was issued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TicketError {
    #[error("the site is not configured: {0}")]
    NotConfigured(String),
    #[error(transparent)]
    Stale(#[from] Refusal),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl TicketError {
    /// A stable word for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotConfigured(_) => "not_configured",
            Self::Stale(_) => "stale_epoch",
            Self::Database(error) => error.code(),
            Self::Redis(_) => "redis_unavailable",
        }
    }

    /// More about a refusal, as a stable word.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Stale(refusal) => Some(refusal.reason()),
            Self::NotConfigured(_) | Self::Database(_) | Self::Redis(_) => None,
        }
    }
}

/// What the app needs to issue tickets.
#[derive(Debug)]
pub(crate) struct Tickets {
    pub(crate) files: SiteFiles,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
}

fn ticket(row: &Row) -> Result<Ticket, tokio_postgres::Error> {
    Ok(Ticket {
        id: row.try_get(0)?,
        position: row.try_get(1)?,
        site: row.try_get(2)?,
        epoch: row.try_get(3)?,
    })
}

fn is_missing_table(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNDEFINED_TABLE)
}

/// The time as the driver takes it. A time before 1970 is one that is over.
fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::try_from(time.as_duration()).unwrap_or_default()
}

/// Makes the table. Two that make it at the same time collide in the catalogue: the other one has made it.
async fn create(client: &Client) -> Result<(), tokio_postgres::Error> {
    match client.batch_execute(CREATE).await {
        Err(error)
            if matches!(
                error.code(),
                Some(&SqlState::UNIQUE_VIOLATION | &SqlState::DUPLICATE_TABLE)
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

async fn find(client: &Client, id: &str) -> Result<Option<Ticket>, tokio_postgres::Error> {
    client.query_opt(FIND, &[&id]).await?.as_ref().map(ticket).transpose()
}

impl Tickets {
    /// Issues the ticket of this id, or returns the one that was issued before.
    pub(crate) async fn issue(&self, id: &str) -> Result<Ticket, TicketError> {
        let site = self.files.site().map_err(TicketError::NotConfigured)?;
        let permit = self.files.permit();
        let now = uptime().map_err(|why| Refusal::NoPermit(why.to_string()))?;
        let permit = permit::check(&site, permit.as_ref().map_err(String::as_str), &now)?;
        let valid_until = permit.valid_until;
        let pool = self.database.pool(site.database.as_ref())?;
        let written =
            tokio::time::timeout(WRITE_WITHIN, self.write(&pool, &site, id, valid_until)).await;
        let issued = written.unwrap_or(Err(DatabaseError::Timeout(WRITE_WITHIN).into()))?;
        if uptime().is_ok_and(|now| !permit.has_ended(&now)) {
            return Ok(issued);
        }
        Err(Refusal::Unconfirmed { valid_until }.into())
    }

    async fn write(
        &self,
        pool: &Pool,
        site: &Site,
        id: &str,
        valid_until: Timestamp,
    ) -> Result<Ticket, TicketError> {
        let lease = pool.lease().await?;
        let client = &lease.client;
        let known = match find(client, id).await {
            Err(error) if is_missing_table(&error) => {
                create(client).await.map_err(DatabaseError::from)?;
                None
            }
            known => known.map_err(DatabaseError::from)?,
        };
        let issued = match known {
            Some(known) => Some(known),
            None => {
                let position = self.position(client, &site.app, pool.generation).await?;
                let deadline = system_time(valid_until);
                let inserted = client
                    .query_opt(INSERT, &[&id, &position, &site.site, &site.epoch, &deadline])
                    .await;
                match inserted.map_err(DatabaseError::from)? {
                    Some(row) => Some(ticket(&row).map_err(DatabaseError::from)?),
                    // Nothing inserted: the same id came in between, or the permit was over.
                    None => find(client, id).await.map_err(DatabaseError::from)?,
                }
            }
        };
        lease.keep();
        issued.ok_or_else(|| Refusal::TooLate { valid_until }.into())
    }

    /// The next position: Redis counts, from the highest position in the database on.
    async fn position(
        &self,
        client: &Client,
        app: &str,
        database: u64,
    ) -> Result<i64, TicketError> {
        let key = format!("{app}:position");
        if let Some(position) = self.redis.next(&key, database, None).await? {
            return Ok(position);
        }
        let highest = client.query_one("SELECT coalesce(max(position), 0) FROM tickets", &[]).await;
        let highest: i64 = highest.and_then(|row| row.try_get(0)).map_err(DatabaseError::from)?;
        let position = self.redis.next(&key, database, Some(highest)).await?;
        position
            .ok_or_else(|| RedisError::Refused("the counter could not be raised".to_owned()).into())
    }

    /// Which of these ids have no ticket. Any site answers this, from its own database.
    pub(crate) async fn missing(&self, ids: Vec<String>) -> Result<Vec<String>, TicketError> {
        let site = self.files.site().map_err(TicketError::NotConfigured)?;
        let pool = self.database.pool(site.database.as_ref())?;
        let read = async {
            let lease = pool.lease().await?;
            let found = match lease
                .client
                .query("SELECT id FROM tickets WHERE id = ANY($1)", &[&ids])
                .await
            {
                Err(error) if is_missing_table(&error) => Vec::new(),
                rows => rows?,
            };
            lease.keep();
            found
                .iter()
                .map(|row| row.try_get::<_, String>(0))
                .collect::<Result<std::collections::HashSet<_>, _>>()
                .map_err(DatabaseError::from)
        };
        let found = tokio::time::timeout(READ_WITHIN, read)
            .await
            .unwrap_or(Err(DatabaseError::Timeout(READ_WITHIN)))?;
        Ok(ids.into_iter().filter(|id| !found.contains(id)).collect())
    }

    /// How many tickets there are, and the highest position.
    pub(crate) async fn summary(&self, site: &Site) -> Result<(i64, i64), DatabaseError> {
        let pool = self.database.pool(site.database.as_ref())?;
        let read = async {
            let lease = pool.lease().await?;
            let query = "SELECT count(*), coalesce(max(position), 0) FROM tickets";
            let row = match lease.client.query_one(query, &[]).await {
                Err(error) if is_missing_table(&error) => None,
                row => Some(row?),
            };
            lease.keep();
            row.map_or(Ok((0, 0)), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
        };
        tokio::time::timeout(READ_WITHIN, read)
            .await
            .unwrap_or(Err(DatabaseError::Timeout(READ_WITHIN)))
    }
}
