//! `corrupt-backup`: a byte is flipped in the newest backup of each kind. It is found, located and
//! alarmed, and a restore asks for the next older verified one.

use std::time::Duration;

use lifeboat_core::{
    backup::{Depth, Kind, Outcome, PointId},
    contract::restore_backup::Response,
};
use serde_json::json;

use super::{
    super::{Finding, Request, evidence::invariant, serving_client},
    Found, KINDS, PROVEN_WITHIN, Steps, TAKEN_WITHIN, cycle, report,
};
use crate::{
    clock,
    lab::{ACTIVE, APP, Lab, LabError, SITES, STANDBY, backup_bucket},
    report::InvariantResult,
};

/// Until people are told of what was found.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// One backup that was damaged.
struct Victim {
    kind: Kind,
    /// The damaged one.
    id: PointId,
    /// The sound one before it.
    older: PointId,
    /// Where the byte was flipped.
    at: String,
}

/// Takes two generations, damages the newer one, and looks who notices.
pub(in crate::drill) async fn run(lab: &Lab, request: Request) -> Result<Finding, LabError> {
    let client = serving_client(Duration::from_secs(4)).await?;
    let epoch = lab.epoch(&STANDBY).await?;
    let mut steps = Steps::begin();
    cycle::take(lab, &mut steps).await?;
    cycle::prove(lab, &mut steps).await?;
    // The next tick of the schedule is an hour away: nothing looks while the harm is done.
    let first: Vec<(Kind, PointId)> = newest(lab).await?;
    take_again(lab, &mut steps, &first).await?;
    let began = clock::now();
    let victims = corrupt(lab, &first).await?;
    let told: Vec<String> =
        victims.iter().map(|victim| format!("{} {}", victim.kind, victim.at)).collect();
    steps.done("FlipBytes", began, told.join(", "));

    let began = clock::now();
    for site in SITES {
        lab.start_machine(site.region, "lifeboat-verify").await?;
    }
    let mut invariants = vec![found_and_located(lab, &victims).await?];
    steps.done("FindDamage", began, "every damaged backup was looked for");
    let detected_at = Some(clock::now());
    invariants.push(people_were_told(lab, &victims).await);
    invariants.push(restore_asks_for_the_older(lab, &victims).await?);
    invariants.push(a_person_sees_it_too(lab, &victims).await);
    invariants.push(lab.nothing_left_on_hosts().await?);
    let backups = lab.proven(&KINDS).await?;
    let traffic = client.stop().await;
    let found = Found { steps, backups, invariants, detected_at, epoch };
    let (report, dns) = report(lab, request, found, &traffic, &[]).await;
    Ok(Finding { report, writes: traffic.writes, dns, trouble: None })
}

/// The newest point of each kind that has bytes.
async fn newest(lab: &Lab) -> Result<Vec<(Kind, PointId)>, LabError> {
    let points = lab.points(ACTIVE.region).await?;
    let kinds = KINDS.into_iter().filter(|(app, _)| *app == APP);
    Ok(kinds
        .filter_map(|(_, kind)| {
            let of_kind = points.keys().filter(|(app, k, _)| app == APP && *k == kind);
            Some((kind, of_kind.map(|(_, _, id)| id).max()?.clone()))
        })
        .collect())
}

/// An operator takes every kind again.
async fn take_again(
    lab: &Lab,
    steps: &mut Steps,
    first: &[(Kind, PointId)],
) -> Result<(), LabError> {
    let began = clock::now();
    lab.lifeboat(&["backup", "--app", APP, "--region", ACTIVE.region]).await?;
    for site in SITES {
        clock::find(TAKEN_WITHIN, || async {
            let points = lab.points(site.region).await.ok()?;
            let newer = |(kind, id): &(Kind, PointId)| {
                points.keys().any(|(app, k, other)| app == APP && k == kind && other > id)
            };
            first.iter().all(newer).then_some(())
        })
        .await
        .ok_or_else(|| {
            LabError::new(format!("not every kind was taken again in {}", site.region))
        })?;
    }
    steps.done("TakeAgain", began, format!("{} kinds, asked for by an operator", first.len()));
    Ok(())
}

/// Flips a bit in the middle of the largest object of the newest point of each kind. Replication
/// carries the harm to the other region, as it carries everything.
async fn corrupt(lab: &Lab, first: &[(Kind, PointId)]) -> Result<Vec<Victim>, LabError> {
    let bucket = backup_bucket(ACTIVE.region);
    let mut victims = Vec::new();
    for ((kind, older), (_, id)) in first.iter().zip(newest(lab).await?) {
        let manifest = lab.manifest(ACTIVE.region, APP, *kind, &id).await?;
        let largest = manifest.artifacts.iter().max_by_key(|artifact| artifact.size_bytes);
        let artifact =
            largest.ok_or_else(|| LabError::new(format!("{kind} {id} has no object")))?;
        let key = format!("artifacts/{APP}/{kind}/{id}/{}", artifact.name);
        let mut bytes = lab.aws.object(ACTIVE.region, &bucket, &key).await?;
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 0x10;
        }
        lab.aws.put_object(ACTIVE.region, &bucket, &key, bytes, &[]).await?;
        let at = format!("{} byte {middle}", artifact.name);
        victims.push(Victim { kind: *kind, id, older: older.clone(), at });
    }
    Ok(victims)
}

/// Each region's check of depth `read` says damaged, and where.
async fn found_and_located(lab: &Lab, victims: &[Victim]) -> Result<InvariantResult, LabError> {
    let damaged = |at: (String, Kind, PointId), region: &'static str| async move {
        let evidence = lab.evidence(region, &at, Depth::Read, Outcome::Damaged).await.ok()?;
        let finding = evidence.findings.into_iter().find(|finding| !finding.file.is_empty())?;
        Some(format!("{} {} {}", finding.file, finding.place, finding.message))
    };
    let deadline = std::time::Instant::now() + PROVEN_WITHIN;
    let mut missed = Vec::new();
    let mut told = Vec::new();
    for site in SITES {
        for victim in victims {
            let at = || (APP.to_owned(), victim.kind, victim.id.clone());
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match clock::find(left, || damaged(at(), site.region)).await {
                Some(finding) if site == STANDBY => {
                    told.push(format!("{}: {}", victim.kind, finding.trim()));
                }
                Some(_) => {}
                None => missed.push(format!("{} in {}", victim.kind, site.region)),
            }
        }
    }
    Ok(invariant(
        "6-damage-is-found-and-located",
        missed.is_empty() && !victims.is_empty(),
        if missed.is_empty() { told.join("; ") } else { format!("missed: {}", missed.join(", ")) },
    ))
}

/// Each damaged backup was paged.
async fn people_were_told(lab: &Lab, victims: &[Victim]) -> InvariantResult {
    let told = |victim: &Victim| {
        lab.capture.deliveries().iter().any(|delivery| {
            let text = delivery.body.to_string();
            text.contains(victim.id.as_str())
                && text.contains(victim.kind.as_str())
                && text.to_lowercase().contains("damaged")
        })
    };
    clock::find(TOLD_WITHIN, || async { victims.iter().all(told).then_some(()) }).await;
    let missed: Vec<&str> =
        victims.iter().filter(|victim| !told(victim)).map(|victim| victim.kind.as_str()).collect();
    invariant(
        "6-damage-is-paged",
        missed.is_empty(),
        if missed.is_empty() {
            format!("people were told of each of {} damaged backups", victims.len())
        } else {
            format!("nobody was told of {}", missed.join(", "))
        },
    )
}

/// `restore-backup` does not take the damaged one, and names the one before it.
async fn restore_asks_for_the_older(
    lab: &Lab,
    victims: &[Victim],
) -> Result<InvariantResult, LabError> {
    let mut wrong = Vec::new();
    for victim in victims {
        let asked = json!({
            "action": "choose", "app": APP, "kind": victim.kind, "id": victim.id,
        });
        let path = "/2015-03-31/functions/lifeboat-restore-backup/invocations";
        let answer = lab
            .aws
            .rest(reqwest::Method::POST, STANDBY.region, "lambda", path, asked.to_string())
            .await?;
        let answer: Response = serde_json::from_str(&answer)
            .map_err(|error| LabError::from_error("restore-backup", &error))?;
        let right = matches!(
            &answer,
            Response::Unreliable { instead: Some(id), .. } if *id == victim.older
        );
        if !right {
            wrong.push(format!("{}: {answer:?}", victim.kind));
        }
    }
    Ok(invariant(
        "6-restore-takes-the-older-verified",
        wrong.is_empty(),
        if wrong.is_empty() {
            format!("for each of {} kinds the one before it was named", victims.len())
        } else {
            wrong.join("; ")
        },
    ))
}

/// `lifeboat verify s3://` tells the damaged backups from the ones before them, in the other region.
async fn a_person_sees_it_too(lab: &Lab, victims: &[Victim]) -> InvariantResult {
    let bucket = backup_bucket(STANDBY.region);
    let mut wrong = Vec::new();
    for Victim { kind, id, older, .. } in victims {
        for (id, damaged) in [(id, true), (older, false)] {
            let url = format!("s3://{bucket}/manifests/{APP}/{kind}/{id}.json");
            let answer = lab.lifeboat(&["verify", &url, "--region", STANDBY.region]).await;
            let right = match &answer {
                Ok(_) => !damaged,
                Err(error) => damaged && error.to_string().contains("is damaged"),
            };
            if !right {
                wrong.push(format!("{url}: {answer:?}"));
            }
        }
    }
    invariant(
        "6-verify-by-hand",
        wrong.is_empty(),
        if wrong.is_empty() {
            format!(
                "lifeboat verify s3://{bucket}/... told {} damaged and as many sound backups",
                victims.len()
            )
        } else {
            wrong.join("; ")
        },
    )
}
