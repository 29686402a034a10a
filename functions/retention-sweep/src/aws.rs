//! The ports on AWS: Parameter Store, the ledgers of all regions, the backup bucket, RDS.

use aws_config::SdkConfig;
use aws_sdk_rds::{Client, error::ProvideErrorMetadata};
use lifeboat_catalogue::{Backups, S3Bucket};
use lifeboat_core::{
    AppName, Fault, IncidentId, Region,
    backup::{PointId, rds, retention::Seen},
    plan_file::AppPlan,
    registers::Registers,
    round_trip::RoundTrip,
};
use lifeboat_ledger::Ledger;
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, env};
use retention_sweep::{Gone, Plans, Ports, Recoveries, Snapshots};

/// The ports of this deployment.
pub(crate) async fn ports() -> Result<Ports<PlanStore, Ledgers, S3Bucket, Rds>, Fault> {
    let region = Region::new(env::required("AWS_REGION")?)
        .map_err(|error| Fault::needs_human(error.to_string()))?;
    let config = aws::config().await;
    Ok(Ports {
        plans: PlanStore(Parameters::new(&config)),
        backups: Backups::new(&config, env::required("BACKUP_BUCKET")?, region.clone()),
        snapshots: Rds(Client::new(&config)),
        recoveries: Ledgers { prefix: env::required("LEDGER_BUCKET_PREFIX")?, region, config },
    })
}

/// Plans in Parameter Store.
pub(crate) struct PlanStore(Parameters);

impl Plans for PlanStore {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.0.plan(app).await
    }
}

/// The registers of every region.
pub(crate) struct Ledgers {
    config: SdkConfig,
    prefix: String,
    region: Region,
}

impl Recoveries for Ledgers {
    async fn open(&self, app: &AppName, regions: Vec<Region>) -> Seen<IncidentId> {
        let ledger = Ledger::new(&self.config, self.prefix.clone(), self.region.clone(), regions)
            // Nobody waits for a sweep.
            .over_a_round_trip(RoundTrip::from_ms(RoundTrip::LONGEST_MS));
        read(&ledger.registers(app).await, &self.region)
    }
}

/// What the registers that could be read say together.
fn read(registers: &Registers, own: &Region) -> Seen<IncidentId> {
    let open = registers.held().find_map(|(_, record)| record.recovery.as_ref());
    match (open, registers.silent().next(), registers.of(own)) {
        (Some(holder), _, _) => Seen::Present(holder.incident.clone()),
        (None, Some((region, _)), _) => {
            Seen::Unknown(format!("whether a recovery is open is not known: {region} is silent"))
        }
        (None, None, None) => Seen::Unknown(
            "whether a recovery is open is not known: this region has no register; run \
             `lifeboat plan apply`"
                .to_owned(),
        ),
        (None, None, Some(_)) => Seen::Absent,
    }
}

/// RDS in this region.
pub(crate) struct Rds(Client);

impl Snapshots for Rds {
    async fn list(&self, app: &AppName) -> Result<Vec<PointId>, Fault> {
        let mut pages =
            self.0.describe_db_snapshots().snapshot_type("manual").into_paginator().send();
        let mut points = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::fault("list DB snapshots", error))?;
            let names = page.db_snapshots.unwrap_or_default().into_iter();
            let names = names.filter_map(|snapshot| snapshot.db_snapshot_identifier);
            points.extend(names.filter_map(|name| point_of(app, &name)));
        }
        Ok(points)
    }

    async fn delete(&self, app: &AppName, id: &PointId) -> Result<Gone, Fault> {
        let name = rds::snapshot(app, id)
            .ok_or_else(|| Fault::invalid(format!("{id} is not the name of a snapshot")))?;
        let answer = self.0.delete_db_snapshot().db_snapshot_identifier(&name).send().await;
        // The query protocol sends the code without the suffix of the API reference.
        let code = |error: &aws_sdk_rds::error::SdkError<_, _>| {
            ProvideErrorMetadata::code(error).map(|code| code.trim_end_matches("Fault").to_owned())
        };
        match answer {
            Ok(_) => Ok(Gone::Gone),
            Err(error) => match code(&error).as_deref() {
                Some("DBSnapshotNotFound") => Ok(Gone::Gone),
                Some("InvalidDBSnapshotState") => {
                    Ok(Gone::Kept("RDS does not let it go in its state".to_owned()))
                }
                _ => Err(aws::fault(&format!("delete DB snapshot {name}"), error)),
            },
        }
    }
}

/// The recovery point that a snapshot of ours has the name of.
fn point_of(app: &AppName, name: &str) -> Option<PointId> {
    let stamp = name.strip_prefix(&format!("lifeboat-{app}-"))?.to_uppercase();
    let id = PointId::new(format!("{stamp}-full")).ok()?;
    (rds::snapshot(app, &id).as_deref() == Some(name)).then_some(id)
}

#[cfg(test)]
mod tests {
    use lifeboat_core::{ledger::ControlRecord, registers::Answer};

    use super::*;

    #[test]
    fn only_snapshots_of_this_app_are_ours() {
        let app: AppName = "queue".parse().unwrap();
        let id = PointId::new("20261124T120000Z-full").unwrap();
        assert_eq!(point_of(&app, "lifeboat-queue-20261124t120000z"), Some(id));
        for other in [
            "lifeboat-queue-2-20261124t120000z",
            "lifeboat-queue-before-upgrade",
            "queue-20261124t120000z",
            "lifeboat-scratch-queue-20261124120000",
        ] {
            assert_eq!(point_of(&app, other), None, "{other}");
        }
    }

    #[test]
    fn silence_is_not_the_absence_of_a_recovery() {
        let app: AppName = "queue".parse().unwrap();
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let first = Answer::Holds(ControlRecord::first(app, "a".parse().unwrap(), now));
        let (east, west): (Region, Region) =
            ("us-east-1".parse().unwrap(), "us-west-2".parse().unwrap());
        let of = |own: Answer, peer: Answer| {
            read(&Registers::new([(east.clone(), own), (west.clone(), peer)]), &east)
        };
        assert_eq!(of(first.clone(), first.clone()), Seen::Absent);
        assert!(matches!(of(first.clone(), Answer::Silent("dark".into())), Seen::Unknown(_)));
        assert!(matches!(of(Answer::Absent, first), Seen::Unknown(_)));
    }
}
