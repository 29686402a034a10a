//! The sites' databases over SQL, with a connection kept to each between rounds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use health_probe::Unread;
use lifeboat_core::{ErrorName, plan_file::AppPlan, vote::Vote};
use lifeboat_parameters::{Parameters, Secret};
use lifeboat_postgres::{Session, SqlError, State, Target};

/// A server and who logs in to it.
type Place = (String, String, String);

/// Sessions and passwords that one process keeps. A secret is read again when it is refused, so a
/// rotation needs no restart.
#[derive(Debug)]
pub(crate) struct SqlDatabases {
    parameters: Parameters,
    sessions: Mutex<HashMap<Place, Arc<Session>>>,
    secrets: Mutex<HashMap<String, Arc<Secret>>>,
}

impl SqlDatabases {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self { parameters, sessions: Mutex::default(), secrets: Mutex::default() }
    }

    pub(crate) async fn state(
        &self,
        plan: &AppPlan,
        endpoint: &str,
        limit: Duration,
    ) -> Result<State, Unread> {
        tokio::time::timeout(limit, self.ask(plan, endpoint, limit)).await.unwrap_or_else(|_| {
            // The session may never answer again; the next round opens another.
            self.forget(&place(plan, endpoint));
            Err(down(format!("no answer within {} ms", limit.as_millis())))
        })
    }

    async fn ask(&self, plan: &AppPlan, endpoint: &str, limit: Duration) -> Result<State, Unread> {
        let ends = Instant::now() + limit;
        let rest = || ends.saturating_duration_since(Instant::now());
        let place = place(plan, endpoint);
        let kept = lock(&self.sessions).get(&place).cloned();
        if let Some(session) = kept {
            match session.state(rest()).await {
                Ok(state) => return Ok(state),
                // A kept session may have ended since the last round (a restart, a promotion on
                // RDS, a frozen process): that says nothing of the server.
                Err(_) => self.forget(&place),
            }
        }
        let session = self.connect(plan, endpoint, rest()).await?;
        let state = session.state(rest()).await.map_err(|error| unread(&error))?;
        lock(&self.sessions).insert(place, Arc::new(session));
        Ok(state)
    }

    async fn connect(
        &self,
        plan: &AppPlan,
        endpoint: &str,
        limit: Duration,
    ) -> Result<Session, Unread> {
        let (host, port) = endpoint
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .ok_or_else(|| unknown(format!("`{endpoint}` is not host:port")))?;
        let secret = self.secret(plan).await?;
        let target = Target {
            host: host.trim_matches(['[', ']']),
            port,
            database: &plan.database.name,
            user: &plan.database.user,
            password: secret.expose(),
        };
        lifeboat_postgres::connect(&target, limit).await.map_err(|error| {
            if matches!(error, SqlError::Denied(_)) {
                lock(&self.secrets).remove(&secret_key(plan));
            }
            unread(&error)
        })
    }

    async fn secret(&self, plan: &AppPlan) -> Result<Arc<Secret>, Unread> {
        let key = secret_key(plan);
        let kept = lock(&self.secrets).get(&key).cloned();
        if let Some(secret) = kept {
            return Ok(secret);
        }
        let read = self.parameters.secret(&plan.app, &plan.database.password_secret).await;
        let secret = Arc::new(read.map_err(|fault| match fault.name {
            ErrorName::Transient | ErrorName::NotReady => {
                unknown(format!("its password cannot be read now: {}", fault.message))
            }
            ErrorName::InvalidInput
            | ErrorName::Refused
            | ErrorName::StaleEpoch
            | ErrorName::NeedsHuman => unknown(format!("it has no password: {}", fault.message)),
        })?);
        lock(&self.secrets).insert(key, Arc::clone(&secret));
        Ok(secret)
    }

    fn forget(&self, place: &Place) {
        lock(&self.sessions).remove(place);
    }
}

/// A panic while the lock was held leaves a whole map behind: nothing is changed in two steps.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(plan: &AppPlan, endpoint: &str) -> Place {
    (endpoint.to_owned(), plan.database.name.clone(), plan.database.user.clone())
}

fn secret_key(plan: &AppPlan) -> String {
    format!("{}/{}", plan.app, plan.database.password_secret)
}

fn unread(error: &SqlError) -> Unread {
    match error {
        SqlError::Timeout(_) | SqlError::Unreachable(_) | SqlError::NotReady(_) => {
            down(error.to_string())
        }
        SqlError::Denied(_) | SqlError::Failed { .. } => unknown(error.to_string()),
    }
}

fn down(detail: String) -> Unread {
    Unread { vote: Vote::Down, detail }
}

fn unknown(detail: String) -> Unread {
    Unread { vote: Vote::Unknown, detail }
}
