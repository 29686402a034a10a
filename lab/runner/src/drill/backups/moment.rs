//! A moment between backups, restored in the other region from what is replicated there: by RDS, and
//! of a database that one runs oneself by a host, from a base backup and the archived WAL.
//!
//! The operator's command does it: into scratch, where the plan's own questions say what is there
//! and what is not, and by RDS into a new instance that is kept, too, where the drill looks itself.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::backup::{Kind, rds};
use serde_json::Value;

use super::{super::evidence::invariant, Steps, VAULT};
use crate::{
    clock,
    lab::{ACTIVE, APP, Lab, LabError, STANDBY, backup_bucket},
    report::InvariantResult,
};

/// Until the copy of the log has reached a moment: it is archived every 30 s.
const COPIED_WITHIN: Duration = Duration::from_secs(60);
/// Until a segment of WAL that has ended is in the other region.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(60);
/// Until the instance that is kept is there: RDS began before the scratch one.
const KEPT_WITHIN: Duration = Duration::from_secs(60);
/// The questions of the plan, while the moment is restored.
const CHECKS: [(&str, &str); 2] = [
    ("what was written before is there", "SELECT EXISTS (SELECT FROM moments WHERE at = 'before')"),
    ("what was written after is not", "SELECT NOT EXISTS (SELECT FROM moments WHERE at = 'after')"),
];

/// Turns the replication of automated backups on, as an operator does once.
pub(super) async fn replicate(lab: &Lab) -> Result<(), LabError> {
    let source = format!("arn:aws:rds:{}:000000000000:db:{}", ACTIVE.region, ACTIVE.instance);
    let form = [("SourceDBInstanceArn", source.as_str())];
    query(lab, "StartDBInstanceAutomatedBackupsReplication", &form).await.map(|_| ())
}

/// Writes a row, lets a whole second pass, and writes another; the moment between them.
pub(super) async fn mark(lab: &Lab) -> Result<Timestamp, LabError> {
    let client = lab.database(&ACTIVE).await?;
    let write = async |statement: &str| {
        let written = client.batch_execute(statement).await;
        written.map_err(|error| LabError::from_error("write around a moment", &error))
    };
    write("CREATE TABLE moments (at text); INSERT INTO moments VALUES ('before')").await?;
    let second = clock::now().as_second().saturating_add(1);
    let to = Timestamp::from_second(second)
        .map_err(|error| LabError::from_error("the moment between two rows", &error))?;
    let past = to + SignedDuration::from_millis(200);
    clock::find(Duration::from_secs(5), || async { (clock::now() > past).then_some(()) }).await;
    write("INSERT INTO moments VALUES ('after')").await?;
    Ok(to)
}

/// Restores it in the other region.
pub(super) async fn restore(
    lab: &Lab,
    to: Timestamp,
    steps: &mut Steps,
) -> Result<Vec<InvariantResult>, LabError> {
    let began = clock::now();
    lab.apply_snapshot_plan(VAULT, &CHECKS).await?;
    clock::find(COPIED_WITHIN, || async {
        let id = [("DBInstanceIdentifier", ACTIVE.instance)];
        let answer = query(lab, "DescribeDBInstanceAutomatedBackups", &id).await.ok()?;
        let latest = text(&answer, "LatestTime")?.parse::<Timestamp>().ok()?;
        (latest >= to).then_some(())
    })
    .await
    .ok_or_else(|| LabError::new(format!("{} does not reach {to}", STANDBY.region)))?;

    // The region that the database is in might as well be lost.
    lab.cut_off(STANDBY.region, ACTIVE.region)?;
    let kept_too =
        command(lab, VAULT, Kind::DatabaseSnapshot, to, &["--into", "place", "--yes", "--no-wait"])
            .await;
    let answer = command(lab, VAULT, Kind::DatabaseSnapshot, to, &[]).await;
    let kept = kept(lab, to).await;
    lab.rejoin();
    kept_too?;
    let answer = answer?;
    let seconds = clock::now().duration_since(began).as_secs();
    steps.done("RestoreMoment", began, format!("{to} in {}, in {seconds} s", STANDBY.region));
    let Told { sound, facts, reason } = told(&answer);
    let replicated = reason.contains("replicated here");
    Ok(vec![
        invariant(
            "6-moment-restored-elsewhere",
            sound && replicated,
            format!(
                "{to} into scratch in {}, {} not answering: {facts}; {reason}",
                STANDBY.region, ACTIVE.region
            ),
        ),
        kept?,
    ])
}

/// Recovers the same moment on a host of the other region.
pub(super) async fn recover(
    lab: &Lab,
    to: Timestamp,
    steps: &mut Steps,
) -> Result<InvariantResult, LabError> {
    let began = clock::now();
    let segment = lab.fill_segment().await?;
    let bucket = backup_bucket(STANDBY.region);
    clock::find(ARCHIVED_WITHIN, || async {
        let archived = lab.aws.keys(STANDBY.region, &bucket, &format!("wal/{APP}/")).await.ok()?;
        archived.iter().any(|key| key.ends_with(&format!("{segment}.zst"))).then_some(())
    })
    .await
    .ok_or_else(|| LabError::new(format!("{segment} is not in {bucket}")))?;
    lab.ask_restored(&CHECKS).await?;
    lab.cut_off(STANDBY.region, ACTIVE.region)?;
    let answer = command(lab, APP, Kind::DatabaseBase, to, &[]).await;
    lab.rejoin();
    lab.ask_restored(&[]).await?;
    let Told { sound, facts, reason } = told(&answer?);
    let seconds = clock::now().duration_since(began).as_secs();
    steps.done("RecoverMoment", began, format!("{to} in {}, in {seconds} s", STANDBY.region));
    Ok(invariant(
        "6-moment-recovered-from-wal",
        sound,
        format!("{to} into scratch on a host of {}: {facts}; {reason}", STANDBY.region),
    ))
}

/// What the command says of a restore.
struct Told {
    sound: bool,
    facts: String,
    reason: String,
}

fn told(answer: &Value) -> Told {
    let told = |pointer: &str| answer.pointer(pointer).map(ToString::to_string).unwrap_or_default();
    let facts = told("/result/facts");
    let asked = facts.contains("2 of 2 checks")
        || CHECKS.iter().all(|(name, _)| facts.contains(&format!("check `{name}`: true")));
    Told { sound: told("/result/outcome") == "\"sound\"" && asked, facts, reason: told("/reason") }
}

/// Runs `lifeboat restore` in the other region.
async fn command(
    lab: &Lab,
    app: &str,
    kind: Kind,
    to: Timestamp,
    more: &[&str],
) -> Result<Value, LabError> {
    let moment = to.to_string();
    let words = ["restore", "--app", app, "--kind", kind.as_str(), "--to", &moment, "--json"];
    let words = [&words[..], &["--region", STANDBY.region], more].concat();
    let said = lab.lifeboat(&words).await?;
    serde_json::from_str(&said).map_err(|error| LabError::from_error("lifeboat restore", &error))
}

/// The instance that is kept holds what was written before the moment, and nothing from after it.
/// Then the operator deletes it; nothing of the product can.
async fn kept(lab: &Lab, to: Timestamp) -> Result<InvariantResult, LabError> {
    let app = VAULT.parse().map_err(|error| LabError::from_error("the second app", &error))?;
    let name = rds::restored(&app, rds::Origin::Moment(to))
        .ok_or_else(|| LabError::new("the restored instance has no name"))?;
    let id = [("DBInstanceIdentifier", name.as_str())];
    let found = clock::find(KEPT_WITHIN, || async {
        let answer = query(lab, "DescribeDBInstances", &id).await.ok()?;
        let available = text(&answer, "DBInstanceStatus")? == "available";
        let at = format!("{}:{}", text(&answer, "Address")?, text(&answer, "Port")?);
        let at = at.parse::<std::net::SocketAddr>().ok()?;
        available.then_some((at, answer.contains(rds::RESTORED_TAG)))
    })
    .await;
    let Some((at, tagged)) = found else {
        let why = format!("{name} is not available within {} s", KEPT_WITHIN.as_secs());
        return Ok(invariant("6-moment-restored-to-be-used", false, why));
    };
    let client = lab.database_at(at).await?;
    let rows = client.query("SELECT at FROM moments", &[]).await;
    let rows = rows.map_err(|error| LabError::from_error("look into what was restored", &error))?;
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    drop(client);
    let delete = [id.as_slice(), &[("SkipFinalSnapshot", "true")]].concat();
    query(lab, "DeleteDBInstance", &delete).await?;
    Ok(invariant(
        "6-moment-restored-to-be-used",
        rows == ["before"] && tagged,
        format!("the new instance {name} holds {rows:?} of 'before' and 'after'; tagged: {tagged}"),
    ))
}

async fn query(lab: &Lab, action: &str, form: &[(&str, &str)]) -> Result<String, LabError> {
    lab.aws.query(STANDBY.region, "rds", "2014-10-31", action, form).await
}

/// The text of the first element of this name.
fn text(answer: &str, element: &str) -> Option<String> {
    let rest = answer.split_once(&format!("<{element}>"))?.1;
    Some(rest.split_once('<')?.0.to_owned())
}
