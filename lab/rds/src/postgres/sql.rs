//! Talks SQL to an instance as its superuser.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

use super::{ADMIN, PgError};
use crate::config::POSTGRES_PORT;

/// A connection; dropping it closes it.
pub(crate) struct Session {
    client: Client,
    within: Duration,
}

impl Session {
    /// Connects as the superuser. `within` bounds the connect and every later statement.
    pub(crate) async fn open(
        address: Ipv4Addr,
        password: &str,
        database: &str,
        within: Duration,
    ) -> Result<Self, PgError> {
        let mut config = Config::new();
        config
            .host(address.to_string())
            .port(POSTGRES_PORT)
            .user(ADMIN)
            .password(password)
            .dbname(database);
        config.connect_timeout(within).application_name("lab-rds");
        let (client, connection) = bounded("connecting", within, config.connect(NoTls)).await?;
        // Ends when the client is dropped, or with the server.
        tokio::spawn(async move {
            let _closed = connection.await;
        });
        Ok(Self { client, within })
    }

    /// Runs statements without a result.
    pub(crate) async fn run(&self, statements: &str) -> Result<(), PgError> {
        bounded("a statement", self.within, self.client.batch_execute(statements)).await
    }

    /// The first column of all rows, as text.
    pub(crate) async fn texts(&self, query: &str) -> Result<Vec<String>, PgError> {
        use tokio_postgres::SimpleQueryMessage;
        let messages = bounded("a query", self.within, self.client.simple_query(query)).await?;
        let row = |message: &SimpleQueryMessage| {
            if let SimpleQueryMessage::Row(row) = message {
                row.get(0).map(str::to_owned)
            } else {
                None
            }
        };
        Ok(messages.iter().filter_map(row).collect())
    }
}

async fn bounded<T>(
    what: &'static str,
    within: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, PgError> {
    tokio::time::timeout(within, work)
        .await
        .map_err(|_| PgError::Late { what, within })?
        .map_err(PgError::from)
}

/// An identifier in SQL.
pub(crate) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A string in SQL (`standard_conforming_strings` is on by default).
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Makes the roles and the database of a new instance.
///
/// The master user is as on RDS: it is no superuser, but can create roles and databases, and holds
/// the monitoring roles with the right to pass them on.
pub(crate) async fn set_up(
    session: &Session,
    master: &str,
    master_password: &str,
    replication_password: &str,
    database: Option<&str>,
) -> Result<(), PgError> {
    let master = name(master);
    let database = database.filter(|database| *database != "postgres");
    session
        .run(&format!(
            // A failing statement would be logged together with the password in it.
            // A group may ask for a synchronous standby, which a new instance cannot have yet.
            "SET synchronous_commit = local;
             SET log_min_error_statement = 'panic';
             CREATE ROLE rds_superuser NOLOGIN;
             GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;
             CREATE ROLE {replicator} LOGIN REPLICATION PASSWORD {replication_password};
             CREATE ROLE {master} LOGIN CREATEROLE CREATEDB PASSWORD {master_password} IN ROLE rds_superuser;",
            replicator = super::REPLICATOR,
            replication_password = literal(replication_password),
            master_password = literal(master_password),
        ))
        .await?;
    session.run(&format!("ALTER DATABASE postgres OWNER TO {master}")).await?;
    if let Some(database) = database {
        session.run(&format!("CREATE DATABASE {} OWNER {master}", name(database))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_literals_cannot_leave_their_quotes() {
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
    }
}
