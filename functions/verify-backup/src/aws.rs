//! The ports on AWS: Parameter Store, the backup bucket, RDS, CloudWatch's embedded metrics.

use aws_sdk_rds::{Client, error::ProvideErrorMetadata};
use jiff::Timestamp;
use lifeboat_catalogue::{Backups, S3Bucket};
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{PointId, rds},
    contract::verify_backup::KindFreshness,
    plan_file::AppPlan,
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{
    aws, clock, env,
    metrics::{self, Metric, Unit},
};
use verify_backup::{Metrics, Plans, Ports, Snapshot, Snapshots};

/// The ports of this deployment.
pub(crate) async fn ports() -> Result<Ports<PlanStore, S3Bucket, Rds, Embedded>, Fault> {
    let region = Region::new(env::required("AWS_REGION")?)
        .map_err(|error| Fault::needs_human(error.to_string()))?;
    let config = aws::config().await;
    Ok(Ports {
        plans: PlanStore(Parameters::new(&config)),
        backups: Backups::new(&config, env::required("BACKUP_BUCKET")?, region),
        snapshots: Rds(Client::new(&config)),
        metrics: Embedded,
        clock: clock::now,
    })
}

/// Plans in Parameter Store.
pub(crate) struct PlanStore(Parameters);

impl Plans for PlanStore {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.0.plan(app).await
    }

    async fn history(&self, app: &AppName) -> Result<Vec<(Timestamp, String)>, Fault> {
        self.0.plan_history(app).await
    }
}

/// RDS in this region.
pub(crate) struct Rds(Client);

impl Snapshots for Rds {
    async fn snapshot(&self, app: &AppName, id: &PointId) -> Result<Snapshot, Fault> {
        let name = rds::snapshot(app, id)
            .ok_or_else(|| Fault::invalid(format!("{id} is not the name of a snapshot")))?;
        let answer = self.0.describe_db_snapshots().db_snapshot_identifier(&name).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            // The query protocol sends the code without the suffix of the API reference.
            Err(error)
                if matches!(
                    error.code(),
                    Some("DBSnapshotNotFound" | "DBSnapshotNotFoundFault")
                ) =>
            {
                return Ok(Snapshot::Missing);
            }
            Err(error) => return Err(aws::fault(&format!("describe DB snapshot {name}"), error)),
        };
        let Some(found) = answer.db_snapshots().first() else { return Ok(Snapshot::Missing) };
        let gigabytes = found.allocated_storage().and_then(|size| u64::try_from(size).ok());
        let size_bytes = gigabytes.unwrap_or_default() << 30;
        Ok(read_status(found.status().unwrap_or_default(), size_bytes))
    }
}

/// What a snapshot's status means (RDS user guide, "Viewing the status of a DB snapshot"; the API
/// names `creating`, `copying`, `available`, `deleting`, `failed`). One that is not known may pass.
fn read_status(status: &str, size_bytes: u64) -> Snapshot {
    match status {
        "available" => Snapshot::Available { size_bytes },
        "failed" | "deleting" | "incompatible-restore" | "incompatible-parameters" => {
            Snapshot::Broken(status.to_owned())
        }
        _ => Snapshot::Pending(status.to_owned()),
    }
}

/// Metrics as lines of the log.
pub(crate) struct Embedded;

impl Metrics for Embedded {
    fn emit(&self, app: &AppName, kind: &KindFreshness, now: Timestamp) {
        let mut points = vec![
            Metric::new("UnverifiedBackups", f64::from(kind.unverified), Unit::Count),
            Metric::new("DamagedBackups", f64::from(kind.damaged), Unit::Count),
        ];
        if let Some(age) = kind.age_seconds {
            points.push(Metric::new("VerifiedBackupAgeSeconds", age, Unit::Seconds));
        }
        let dimensions = [("app", app.as_str()), ("kind", kind.kind.as_str())];
        metrics::emf(now, &dimensions, &points);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_available_snapshot_counts_and_only_a_final_state_is_damage() {
        assert_eq!(read_status("available", 7), Snapshot::Available { size_bytes: 7 });
        for status in ["creating", "copying", "a status of next year", ""] {
            assert_eq!(read_status(status, 7), Snapshot::Pending(status.into()));
        }
        for status in ["failed", "deleting"] {
            assert_eq!(read_status(status, 7), Snapshot::Broken(status.into()));
        }
    }
}
