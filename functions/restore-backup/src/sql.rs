//! What is in a restored database.

use std::time::Duration;

use lifeboat_core::{Fault, backup::question, plan_file::AppPlan};
use lifeboat_parameters::Parameters;
use lifeboat_postgres::{SqlError, Target};
use restore_backup::Seen;

/// To log in: the instance has just said that it is available.
const CONNECT: Duration = Duration::from_secs(5);
/// For the question what it is.
const STATE: Duration = Duration::from_secs(5);
/// For counting one table, or for one check: a restored volume is read from S3 the first time.
const QUERY: Duration = Duration::from_secs(300);

pub(crate) async fn look(
    parameters: &Parameters,
    plan: &AppPlan,
    host: &str,
    port: u16,
) -> Result<Seen, Fault> {
    let secret = parameters.secret(&plan.app, &plan.database.password_secret).await?;
    let target = Target {
        host,
        port,
        database: &plan.database.name,
        user: &plan.database.user,
        password: secret.expose(),
    };
    let doing = format!("look into the restored database at {host}:{port}");
    let failed = |error: SqlError| error.fault(&doing);
    let session = lifeboat_postgres::connect(&target, CONNECT).await.map_err(failed)?;
    let state = session.state(STATE).await.map_err(failed)?;
    session.only_read(STATE).await.map_err(failed)?;
    let mut seen = Seen { in_recovery: state.in_recovery, ..Seen::default() };
    match session.tables(QUERY).await {
        Ok(tables) => seen.tables = tables.into_iter().collect(),
        Err(error) => seen.unreadable.push(answered(error, &doing)?),
    }
    for check in plan.backup.iter().flat_map(|backup| &backup.checks) {
        let answer = session.question(&check.query, QUERY).await.map_err(failed)?;
        seen.checks.push((check.name.clone(), answer));
    }
    Ok(seen)
}

/// What the server said against reading a table, if it tells of the data.
fn answered(error: SqlError, doing: &str) -> Result<String, Fault> {
    match &error {
        SqlError::Failed { code, .. } if question::is_of_the_data(code) => Ok(error.to_string()),
        SqlError::Failed { .. }
        | SqlError::Timeout(_)
        | SqlError::Unreachable(_)
        | SqlError::NotReady(_)
        | SqlError::Denied(_) => Err(error.fault(doing)),
    }
}
