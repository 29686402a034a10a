//! `backup-cycle`: every kind taken on its schedule, proven in both regions, and swept.

use std::{collections::BTreeSet, time::Duration};

use lifeboat_core::backup::{Kind, Manifest, PointId};

use super::{
    super::{Finding, Request, evidence::invariant, serving_client},
    Found, KINDS, PROVEN_WITHIN, Steps, TAKEN_WITHIN, VAULT, moment, report,
};
use crate::{
    clock,
    lab::{ACTIVE, APP, Lab, LabError, SITES, STANDBY, backup_bucket},
    report::InvariantResult,
};

/// Until a sweep has run: its schedule ticks when it is turned on.
const SWEPT_WITHIN: Duration = Duration::from_secs(60);
/// How long object lock keeps what the drill plants, in seconds: by then the sweep is still to come.
const PLANTED_FOR: i64 = 2;
/// Backups of a year ago, planted to be swept.
const EXPIRED: [&str; 2] = ["20250901T023000Z-full", "20250902T023000Z-full"];

/// Takes, proves, sweeps.
pub(in crate::drill) async fn run(lab: &Lab, request: Request) -> Result<Finding, LabError> {
    let client = serving_client(Duration::from_secs(4)).await?;
    let epoch = lab.epoch(&STANDBY).await?;
    let mut steps = Steps::begin();
    let absence = lab.absence_is_alarmed().await?;
    moment::replicate(lab).await?;
    take(lab, &mut steps).await?;
    let moment = moment::mark(lab).await?;
    prove(lab, &mut steps).await?;
    let backups = lab.proven(&KINDS).await?;
    let mut invariants = vec![
        absence,
        everything_elsewhere(lab).await?,
        lab.wal_is_proven().await?,
        lab.cache_is_exported().await?,
        lab.stored_safely().await?,
        lab.ages_are_reported().await?,
    ];
    invariants.extend(moment::restore(lab, moment, &mut steps).await?);
    invariants.push(moment::recover(lab, moment, &mut steps).await?);
    invariants.extend(sweep(lab, &mut steps).await?);
    let one = PointId::new(backups.first().map_or("", |backup| backup.point.as_str()))
        .map_err(|error| LabError::from_error("the first backup", &error))?;
    let dump = lab.first_artifact(ACTIVE.region, APP, Kind::DatabaseDump, &one).await?;
    invariants.push(lab.deletion_refused(ACTIVE.region, &dump).await?);
    invariants.push(lab.overwriting_refused(ACTIVE.region, &dump).await?);
    invariants.push(lab.no_secret_in_backups().await);
    invariants.push(lab.bucket_owners_named());
    invariants.push(lab.nothing_left_on_hosts().await?);
    let traffic = client.stop().await;
    let found = Found { steps, backups, invariants, detected_at: None, epoch };
    let (report, dns) = report(lab, request, found, &traffic, &[]).await;
    let trouble = unproven(&report.backups);
    Ok(Finding { report, writes: traffic.writes, dns, trouble })
}

/// The first backup that some region has not proven.
pub(super) fn unproven(backups: &[crate::report::BackupResult]) -> Option<String> {
    let taken: BTreeSet<(&str, &str)> =
        backups.iter().map(|backup| (backup.app.as_str(), backup.kind.as_str())).collect();
    for (app, kind) in KINDS {
        if !taken.contains(&(app, kind.as_str())) {
            return Some(format!("no {kind} of {app} was taken"));
        }
    }
    backups.iter().find(|backup| !backup.complete).map(|backup| {
        format!("{} of {} is not proven everywhere: {:?}", backup.kind, backup.app, backup.proven)
    })
}

/// Turns the schedule of backups on and waits until each kind is there, in both regions.
pub(super) async fn take(lab: &Lab, steps: &mut Steps) -> Result<(), LabError> {
    lab.deploy_app(VAULT).await?;
    for site in SITES {
        lab.let_hosts_serve(&site, VAULT).await?;
    }
    lab.apply_snapshot_plan(VAULT, &[]).await?;
    let began = clock::now();
    lab.turn_schedules(&[("BackupState", true)]).await?;
    for site in SITES {
        let missing = std::sync::Mutex::new(String::new());
        let taken = clock::find(TAKEN_WITHIN, || async {
            let points = lab.points(site.region).await.ok()?;
            let lacks: Vec<&str> = KINDS
                .into_iter()
                .filter(|(app, kind)| !points.keys().any(|(a, k, _)| a == app && k == kind))
                .map(|(_, kind)| kind.as_str())
                .collect();
            if let Ok(mut missing) = missing.lock() {
                *missing = lacks.join(", ");
            }
            lacks.is_empty().then_some(())
        })
        .await;
        if taken.is_none() {
            let missing = missing.lock().map(|missing| missing.clone()).unwrap_or_default();
            return Err(LabError::new(format!(
                "not in {} within {} s: {missing}; see the executions of lifeboat-backup and \
                 target/lab/emulator.log",
                site.region,
                TAKEN_WITHIN.as_secs()
            )));
        }
    }
    steps.done("TakeBackups", began, format!("{} kinds, in both regions", KINDS.len()));
    Ok(())
}

/// Turns the schedule of verification on and waits until each region has proven what it owes.
pub(super) async fn prove(lab: &Lab, steps: &mut Steps) -> Result<(), LabError> {
    let began = clock::now();
    lab.turn_schedules(&[("VerifyState", true)]).await?;
    let proven = clock::find(PROVEN_WITHIN, || async {
        let backups = lab.proven(&KINDS).await.ok()?;
        backups.iter().all(|backup| backup.complete).then_some(backups.len())
    })
    .await;
    let count = match proven {
        Some(count) => count,
        None => {
            let why = unproven(&lab.proven(&KINDS).await?).unwrap_or_default();
            let seconds = PROVEN_WITHIN.as_secs();
            return Err(LabError::new(format!("not proven within {seconds} s: {why}")));
        }
    };
    steps.done(
        "ProveBackups",
        began,
        format!("{count} backups read and restored, in both regions"),
    );
    Ok(())
}

/// What a recovery without any replica needs is in the other region, proven there.
async fn everything_elsewhere(lab: &Lab) -> Result<InvariantResult, LabError> {
    let backups = lab.proven(&KINDS).await?;
    let here = STANDBY.region;
    let lacks: Vec<&str> = backups
        .iter()
        .filter(|backup| {
            !backup.proven.get(here).is_some_and(|words| words.contains("restored sound"))
        })
        .map(|backup| backup.kind.as_str())
        .collect();
    Ok(invariant(
        "6-proven-in-the-other-region",
        lacks.is_empty() && !backups.is_empty(),
        if lacks.is_empty() {
            format!("{} backups restored in {here} from its own copies", backups.len())
        } else {
            format!("not restored in {here}: {}", lacks.join(", "))
        },
    ))
}

/// Plants expired backups, lets the sweep run on its schedule, and looks what went and what stayed.
async fn sweep(lab: &Lab, steps: &mut Steps) -> Result<Vec<InvariantResult>, LabError> {
    let began = clock::now();
    let bucket = backup_bucket(ACTIVE.region);
    for id in EXPIRED {
        plant(lab, id).await?;
    }
    let before = lab.points(ACTIVE.region).await?;
    let planted = |id: &PointId| EXPIRED.contains(&id.as_str());
    lab.turn_schedules(&[("SweepState", true)]).await?;
    let swept = clock::find(SWEPT_WITHIN, || async {
        let points = lab.points(ACTIVE.region).await.ok()?;
        (!points.keys().any(|(_, _, id)| planted(id))).then_some(())
    })
    .await;
    let why = match swept {
        Some(()) => None,
        None => Some(lab.last_words(ACTIVE.region, "lifeboat-sweep").await?),
    };
    let after = lab.points(ACTIVE.region).await?;
    let mut left = Vec::new();
    for prefix in ["manifests", "artifacts"] {
        let prefix = format!("{prefix}/{APP}/{}/2025", Kind::DatabaseDump);
        left.extend(lab.aws.versions(ACTIVE.region, &bucket, &prefix).await?);
    }
    let lost: Vec<String> = before
        .keys()
        .filter(|at| !planted(&at.2) && !after.contains_key(*at))
        .map(|(_, kind, id)| format!("{kind} {id}"))
        .collect();
    steps.done(
        "SweepBackups",
        began,
        match &why {
            None => "2 expired backups deleted".to_owned(),
            Some(why) => format!("failed: {why}"),
        },
    );
    Ok(vec![
        invariant(
            "5-expired-is-deleted",
            why.is_none() && left.is_empty(),
            format!(
                "2 expired backups were planted; {} versions of them are left{}",
                left.len(),
                why.map(|why| format!("; {why}")).unwrap_or_default()
            ),
        ),
        invariant(
            "5-kept-is-kept",
            lost.is_empty(),
            if lost.is_empty() {
                format!("all {} other backups are there after the sweep", after.len())
            } else {
                format!("deleted: {}", lost.join(", "))
            },
        ),
    ])
}

/// A dump as it was a year ago. Its lock is short: object lock cannot be set into the past.
async fn plant(lab: &Lab, id: &str) -> Result<(), LabError> {
    let points = lab.points(ACTIVE.region).await?;
    let newest = points
        .keys()
        .rev()
        .find(|(app, kind, _)| app == APP && *kind == Kind::DatabaseDump)
        .map(|(_, _, id)| id.clone())
        .ok_or_else(|| LabError::new("there is no dump to plant an old one from"))?;
    let from = lab.manifest(ACTIVE.region, APP, Kind::DatabaseDump, &newest).await?;
    let id = PointId::new(id).map_err(|error| LabError::from_error("plant a backup", &error))?;
    let bucket = backup_bucket(ACTIVE.region);
    let until = clock::now() + jiff::SignedDuration::from_secs(PLANTED_FOR);
    let until = format!("{until:.0}");
    let lock = [
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", until.as_str()),
    ];
    for artifact in &from.artifacts {
        let key =
            |id: &PointId| format!("artifacts/{APP}/{}/{id}/{}", Kind::DatabaseDump, artifact.name);
        let bytes = lab.aws.object(ACTIVE.region, &bucket, &key(&newest)).await?;
        lab.aws.put_object(ACTIVE.region, &bucket, &key(&id), bytes, &lock).await?;
    }
    let manifest = Manifest { id: id.clone(), ..from };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|error| LabError::from_error("plant a backup", &error))?;
    let key = format!("manifests/{APP}/{}/{id}.json", Kind::DatabaseDump);
    lab.aws.put_object(ACTIVE.region, &bucket, &key, bytes, &lock).await?;
    // Until the locks of what was planted have ended.
    let ends = clock::now() + jiff::SignedDuration::from_secs(PLANTED_FOR);
    clock::find(Duration::from_secs(10), || async { (clock::now() > ends).then_some(()) }).await;
    Ok(())
}
