//! `lifeboat host`: the work of backups on a host.

use std::{path::PathBuf, sync::Arc};

use lifeboat_core::{
    ErrorName, Fault, Region,
    backup::{Kind, Manifest},
    contract::restore_backup::Target,
};
use lifeboat_hostwork::{
    Host, S3, Stop,
    wal::{self, WalEvent},
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{HostArgs, HostBucket, HostCommand, HostPlace, WalCommand},
    credentials, fetch, join,
    output::{Failure, complain, say},
};

/// Bytes of the last line: Run Command keeps 24,000 characters of the output (Systems Manager
/// quotas).
const LONGEST_LINE: usize = 20_000;
/// The environment variable that names a folder of PostgreSQL's programs, for a host whose own are
/// neither on the PATH of its agent nor where packages put them.
const PROGRAMS: &str = "LIFEBOAT_POSTGRESQL";
/// Tables named in the last line.
const TABLES: usize = 200;

/// Does one of the host's works, until it is done or SIGTERM or Ctrl-C ends it.
pub(crate) async fn run(command: HostCommand) -> Result<(), Failure> {
    let line = match command {
        HostCommand::Join(args) => {
            // It ends when its hook has: half a start is nothing to leave behind.
            let _asked = signals()?;
            return join::run(args).await;
        }
        // Any signal ends it at once, and tells its server which one.
        HostCommand::Wal(WalCommand::Fetch(args)) => return fetch::run(args).await,
        HostCommand::Backup { host: args, exports } => {
            let host = host(&args.place, args.kind, scratch(&args), signals()?).await?;
            let exports = match exports {
                Some(bucket) => Some(Arc::new(bucket_in(&args.place.host.region, bucket).await?)),
                None => None,
            };
            let host = Host { exports, ..host };
            let manifest = lifeboat_hostwork::backup(&host, args.kind, &args.point).await;
            last_line(manifest.map_err(failure)?)?
        }
        HostCommand::Restore { host: args, target, to } => {
            let target = Target::from(target);
            let host = host(&args.place, args.kind, scratch(&args), signals()?).await?;
            let (kind, point) = (args.kind, &args.point);
            let result = lifeboat_hostwork::restore(&host, kind, point, target, to).await;
            compact(&result.map_err(failure)?)?
        }
        HostCommand::Wal(WalCommand::Receive { place, directory }) => {
            let host = host(&place, Kind::DatabaseWal, std::env::temp_dir(), signals()?).await?;
            let tell = |event: &WalEvent| match serde_json::to_string(event) {
                Ok(line) => say(&line),
                Err(error) => complain(&error.to_string()),
            };
            return wal::receive(&host, &directory, tell).await.map_err(failure);
        }
    };
    say(&line);
    Ok(())
}

/// SIGTERM and Ctrl-C ask the work to stop, and end nothing by themselves from now on.
fn signals() -> Result<Stop, Failure> {
    let (stopper, stop) = lifeboat_hostwork::stop();
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| Failure::work(format!("listen for SIGTERM: {error}")))?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stopper.stop();
        // Kept: a dropped stopper would never stop.
        std::future::pending::<()>().await;
    });
    Ok(stop)
}

/// This very program as a recovering server's restore_command, for this region's bucket.
fn fetch_wal(place: &HostBucket) -> Result<Vec<String>, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::work(format!("find this program's own path: {error}")))?;
    let program = program.into_os_string().into_string().map_err(|path| {
        Failure::work(format!("{} is not UTF-8, and PostgreSQL has to start it", path.display()))
    })?;
    let HostBucket { host: HostPlace { app, region, .. }, bucket } = place;
    let words = [&program, "host", "wal", "fetch", "--app", app.as_str(), "--region"];
    let words = words.into_iter().chain([region.as_str(), "--bucket", bucket]);
    Ok(words.map(str::to_owned).collect())
}

fn scratch(args: &HostArgs) -> PathBuf {
    args.scratch.clone().unwrap_or_else(std::env::temp_dir)
}

/// Another bucket than that of the backups.
async fn bucket_in(region: &Region, bucket: String) -> Result<S3, Failure> {
    let config = credentials::config().await?;
    Ok(S3::new(&aws::in_region(&config, region.as_str()), bucket))
}

/// What the work needs, from this region alone.
async fn host(
    place: &HostBucket,
    kind: Kind,
    scratch: PathBuf,
    stop: Stop,
) -> Result<Host<S3>, Failure> {
    let HostBucket { host: HostPlace { app, site, region }, bucket } = place;
    let config = aws::in_region(&credentials::config().await?, region.as_str());
    let parameters = Parameters::new(&config);
    let plan = parameters.plan(app).await.map_err(failure)?;
    if plan.sites.get(site).is_none_or(|here| here.region != *region) {
        return Err(Failure::input(format!("the plan of {app} has no site {site} in {region}")));
    }
    let password = match kind {
        Kind::DatabaseDump | Kind::DatabaseBase | Kind::DatabaseWal => {
            let secret = parameters.secret(app, &plan.database.password_secret).await;
            Some(secret.map_err(failure)?)
        }
        Kind::DatabaseSnapshot
        | Kind::Config
        | Kind::Code
        | Kind::Logs
        | Kind::Images
        | Kind::Cache => None,
    };
    Ok(Host {
        store: Arc::new(S3::new(&config, bucket)),
        exports: None,
        plan,
        site: site.clone(),
        region: region.clone(),
        password,
        scratch,
        programs: std::env::var_os(PROGRAMS).map(PathBuf::from),
        fetch_wal: fetch_wal(place)?,
        clock: clock::now,
        stop,
    })
}

/// The exit code says what the caller does next.
fn failure(fault: Fault) -> Failure {
    let code = match fault.name {
        ErrorName::InvalidInput => 2,
        ErrorName::Refused | ErrorName::StaleEpoch => 3,
        ErrorName::Transient | ErrorName::NotReady | ErrorName::NeedsHuman => 1,
    };
    Failure { lines: vec![fault.message], code }
}

fn compact(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::work(format!("the answer cannot be written as JSON: {error}")))
}

/// The manifest on one line that Run Command keeps whole, with the largest tables.
fn last_line(mut manifest: Manifest) -> Result<String, Failure> {
    let mut tables = TABLES;
    loop {
        if manifest.tables.len() > tables {
            manifest.tables.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.table.cmp(&b.table)));
            manifest.tables.truncate(tables);
        }
        let line = compact(&json!({ "outcome": "complete", "manifest": manifest }))?;
        if line.len() < LONGEST_LINE || tables == 0 {
            return Ok(line);
        }
        tables /= 2;
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_core::backup::TableCount;

    use super::*;

    fn manifest(tables: u64) -> Manifest {
        let json = json!({
            "app": "queue", "kind": "database-dump", "id": "20261124T120000Z-full", "site": "a",
            "region": "us-east-1", "source": "a database", "versions": {},
            "started_at": "2026-11-24T12:00:00Z", "ended_at": "2026-11-24T12:00:01Z",
        });
        let mut manifest: Manifest = serde_json::from_value(json).unwrap();
        manifest.tables = (0..tables)
            .map(|rows| TableCount {
                table: format!("a_rather_long_schema.table_{rows}"),
                rows: Some(rows),
            })
            .collect();
        manifest
    }

    #[test]
    fn the_last_line_is_kept_whole_and_names_the_largest_tables() {
        let line = last_line(manifest(5000)).unwrap();
        assert!(line.len() < LONGEST_LINE && !line.contains('\n'), "{}", line.len());
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let read: Manifest = serde_json::from_value(value["manifest"].clone()).unwrap();
        assert_eq!(read.tables.len(), TABLES);
        assert_eq!(read.tables[0].rows, Some(4999));
        assert_eq!(value["outcome"], "complete");
    }

    #[test]
    fn a_short_list_of_tables_is_left_as_it_is() {
        let value: serde_json::Value =
            serde_json::from_str(&last_line(manifest(3)).unwrap()).unwrap();
        assert_eq!(value["manifest"]["tables"][0]["rows"], 0);
    }
}
