//! What is in a restored database, as far as one call comes.

use std::time::Duration;

use lifeboat_core::{
    Fault,
    backup::{
        question,
        sample::{self, Way},
    },
    plan_file::AppPlan,
};
use lifeboat_parameters::Parameters;
use lifeboat_postgres::{Session, SqlError, Table, Target};
use restore_backup::{Login, Looked, Rows, Seen, Visit};
use tokio::time::Instant;

use crate::password;

/// To log in: the instance has just said that it is available.
const CONNECT: Duration = Duration::from_secs(5);
/// For the question what it is, and for settings.
const STATE: Duration = Duration::from_secs(5);
/// For one statement. The server ends it then, so that none is left behind.
const STATEMENT: Duration = Duration::from_secs(300);
/// For all statements of one call; the function has 900 s. The next call begins again, on a volume
/// that has loaded what this one read.
const CALL: Duration = Duration::from_secs(600);

pub(crate) async fn look(
    parameters: &Parameters,
    plan: &AppPlan,
    visit: Visit<'_>,
) -> Result<Looked, Fault> {
    let Visit { host, port, login, seed } = visit;
    let secret = parameters.secret(&plan.app, &plan.database.password_secret).await?;
    let own;
    let (user, password) = match login {
        Login::Plan => (plan.database.user.as_str(), secret.expose()),
        Login::Master { user, instance } => {
            own = password::of_scratch(secret.expose(), instance)?;
            (user, own.as_str())
        }
    };
    let target = Target { host, port, database: &plan.database.name, user, password };
    let doing = format!("look into the restored database at {host}:{port}");
    let session = match lifeboat_postgres::connect(&target, CONNECT).await {
        Ok(session) => session,
        Err(SqlError::Denied(words)) => return Ok(Looked::Denied(words)),
        Err(error) => return Err(error.fault(&doing)),
    };
    let mut seen = Seen::default();
    match read(&session, plan, seed, Instant::now() + CALL, &mut seen).await {
        Ok(None) => Ok(Looked::Whole(seen)),
        Ok(Some(so_far)) => Ok(Looked::Unfinished(so_far)),
        Err(error) => Err(error.fault(&doing)),
    }
}

/// Reads all that is looked at; when the time runs out, how far it came.
async fn read(
    session: &Session,
    plan: &AppPlan,
    seed: u32,
    until: Instant,
    seen: &mut Seen,
) -> Result<Option<String>, SqlError> {
    seen.in_recovery = session.state(STATE).await?.in_recovery;
    session.only_read(STATE).await?;
    session.end_statements_after(STATEMENT, STATE).await?;
    // The server has the first word about a statement that is too long.
    let left = || (STATEMENT + STATE).min(until.saturating_duration_since(Instant::now()));
    let backup = plan.backup.clone().unwrap_or_default();
    let tables = session.tables(left()).await?;
    let bytes: Vec<u64> = tables.iter().map(|table| table.bytes).collect();
    let ways = sample::ways(&bytes, backup.verify.count_up_to_bytes());
    for (table, way) in tables.iter().zip(ways) {
        match rows(session, table, way, seed, left()).await {
            Ok(rows) => drop(seen.tables.insert(table.name.clone(), rows)),
            Err(SqlError::Timeout(after)) => {
                return Ok(Some(format!(
                    "{} of {} tables are read, and {} of {} bytes not within {} s; what is restored \
                     is loaded while it is read",
                    seen.tables.len(),
                    tables.len(),
                    table.name,
                    table.bytes,
                    after.as_secs()
                )));
            }
            Err(error) => {
                seen.unreadable.push(answered(error)?);
                break;
            }
        }
    }
    for check in &backup.checks {
        match session.question(&check.query, left()).await {
            Ok(answer) => seen.checks.push((check.name.clone(), answer)),
            Err(SqlError::Timeout(after)) => {
                return Ok(Some(format!(
                    "check `{}` of the plan is not answered within {} s",
                    check.name,
                    after.as_secs()
                )));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn rows(
    session: &Session,
    table: &Table,
    way: Way,
    seed: u32,
    limit: Duration,
) -> Result<Rows, SqlError> {
    Ok(match way {
        Way::Count => Rows::Counted(session.count(table, limit).await?),
        Way::Sample { millionths } => {
            let rows = session.sample(table, (millionths, seed), limit).await?;
            Rows::Sampled { rows, millionths, bytes: table.bytes }
        }
    })
}

/// What the server said against reading a table, if it tells of the data.
fn answered(error: SqlError) -> Result<String, SqlError> {
    match &error {
        SqlError::Failed { code, .. } if question::is_of_the_data(code) => Ok(error.to_string()),
        SqlError::Failed { .. }
        | SqlError::Timeout(_)
        | SqlError::Unreachable(_)
        | SqlError::NotReady(_)
        | SqlError::Denied(_) => Err(error),
    }
}
