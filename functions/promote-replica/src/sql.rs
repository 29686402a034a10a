//! The database itself, over SQL.

use std::time::Duration;

use lifeboat_core::Fault;
use lifeboat_parameters::Parameters;
use lifeboat_postgres::{Session, SqlError, Target};
use promote_replica::{Database, State};

/// To log in: a server next door answers in milliseconds or is in trouble.
const CONNECT: Duration = Duration::from_secs(2);
/// For the question what it is.
const STATE: Duration = Duration::from_secs(2);
/// What a promotion is waited for before the answer is `NotReady`: it takes a tenth of a second
/// when the WAL is replayed already (measured), and the function has other work to do.
const PROMOTE: Duration = Duration::from_secs(4);

/// A server that RDS or the replica's own SQL calls a primary, or that is asked to become one.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) parameters: Parameters,
}

impl Sql {
    /// What the server says that it is.
    pub(crate) async fn state(&self, database: &Database) -> Result<State, Fault> {
        let session = match self.connect(database).await? {
            Ok(session) => session,
            Err(error) => return changing(database, &error),
        };
        match session.state(STATE).await {
            Ok(state) if state.in_recovery => Ok(State::Replica),
            Ok(state) if state.is_writable() => Ok(State::Primary { promoted_by: None }),
            Ok(_) => Ok(State::Broken(
                "it is a primary, but its transactions are read-only (it was fenced?); set \
                 default_transaction_read_only = off"
                    .to_owned(),
            )),
            Err(error) => changing(database, &error),
        }
    }

    /// Promotes it and waits a little.
    pub(crate) async fn promote(&self, database: &Database) -> Result<(), Fault> {
        let doing = format!("promote {}", place(database));
        let session = self.connect(database).await?.map_err(|error| error.fault(&doing))?;
        let done = session.promote(PROMOTE).await.map_err(|error| error.fault(&doing))?;
        if !done {
            tracing::info!(database = database.identifier, "the promotion is still under way");
        }
        Ok(())
    }

    /// The outer error is the secret's, the inner one the server's.
    async fn connect(&self, database: &Database) -> Result<Result<Session, SqlError>, Fault> {
        let secret = self.parameters.secret(&database.app, &database.password_secret).await?;
        let target = Target {
            host: &database.host,
            port: database.port,
            database: &database.name,
            user: &database.user,
            password: secret.expose(),
        };
        Ok(lifeboat_postgres::connect(&target, CONNECT).await)
    }
}

/// A server that does not answer may be restarting, as RDS does when it promotes: it is asked again
/// for as long as the state machine waits.
fn changing(database: &Database, error: &SqlError) -> Result<State, Fault> {
    match error {
        SqlError::Timeout(_) | SqlError::Unreachable(_) | SqlError::NotReady(_) => {
            Ok(State::Changing(format!("{} does not answer SQL yet: {error}", place(database))))
        }
        SqlError::Denied(_) | SqlError::Failed { .. } => {
            Err(error.fault(&format!("ask {} what it is", place(database))))
        }
    }
}

fn place(database: &Database) -> String {
    format!("{} ({}:{})", database.identifier, database.host, database.port)
}
