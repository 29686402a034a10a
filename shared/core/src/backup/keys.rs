//! The names of objects in the backup bucket.
//!
//! ```text
//! manifests/APP/KIND/POINT.json                    the recovery points: what there is
//! artifacts/APP/KIND/POINT/SITE/NAME               their bytes, by the site that wrote them
//! wal/APP/SYSTEM/SEGMENT.zst                       archived WAL, by the cluster's system identifier
//! evidence/APP/KIND/POINT/DEPTH-OUTCOME.json       what was checked, one object a depth and outcome
//! evidence/APP/KIND/POINT/DEPTH-undecided-RUN.json a run whose check of this depth could not tell
//! evidence/APP/KIND/POINT/DEPTH-skipped.json       the point is too large for a check of this depth
//! evidence/APP/database-wal/SYSTEM.json            how far the WAL of a cluster was read
//! holds/APP/KIND.json                              the objects that are under the hold of the newest
//! holds/APP.json                                   while it is there, nothing of the app is deleted
//! ```
//!
//! Points sort by time, so a listing can start at what is expired and end where nothing can be.

use jiff::Timestamp;

use super::{Depth, Kind, Mark, Outcome, PointId, point};
use crate::ids::AppName;

/// The prefix of an app's manifests of one kind.
#[must_use]
pub fn manifests(app: &AppName, kind: Kind) -> String {
    format!("manifests/{app}/{kind}/")
}

/// A recovery point's manifest.
#[must_use]
pub fn manifest(app: &AppName, kind: Kind, id: &PointId) -> String {
    format!("manifests/{app}/{kind}/{id}.json")
}

/// The prefix of an app's artifacts of one kind.
#[must_use]
pub fn artifacts(app: &AppName, kind: Kind) -> String {
    format!("artifacts/{app}/{kind}/")
}

/// An artifact of a recovery point.
#[must_use]
pub fn artifact(app: &AppName, kind: Kind, id: &PointId, name: &str) -> String {
    format!("artifacts/{app}/{kind}/{id}/{name}")
}

/// The prefix of a cluster's archived WAL.
#[must_use]
pub fn wal_prefix(app: &AppName, system: &str) -> String {
    format!("wal/{app}/{system}/")
}

/// An archived file of WAL: a segment, or a timeline's history.
#[must_use]
pub fn wal(app: &AppName, system: &str, file: &str) -> String {
    format!("wal/{app}/{system}/{file}.zst")
}

/// The prefix of an app's evidence of one kind.
#[must_use]
pub fn evidences(app: &AppName, kind: Kind) -> String {
    format!("evidence/{app}/{kind}/")
}

/// The evidence of a check. A later check of the same depth and outcome replaces it.
#[must_use]
pub fn evidence(app: &AppName, kind: Kind, id: &PointId, depth: Depth, outcome: Outcome) -> String {
    format!("evidence/{app}/{kind}/{id}/{depth}-{outcome}.json")
}

/// The record of a check that has no verdict: of the run that could not tell, or, without one, that
/// the check is not made.
#[must_use]
pub fn undecided(
    app: &AppName,
    kind: Kind,
    id: &PointId,
    depth: Depth,
    run: Option<Timestamp>,
) -> String {
    let folder = evidences(app, kind);
    match run {
        Some(run) => format!("{folder}{id}/{depth}-undecided-{}.json", point::stamp(run)),
        None => format!("{folder}{id}/{depth}-skipped.json"),
    }
}

/// How far the WAL of a cluster was read. It lies among the evidence of its app's WAL.
#[must_use]
pub fn watermark(app: &AppName, system: &str) -> String {
    format!("{}{system}.json", evidences(app, Kind::DatabaseWal))
}

/// Whether this key names a watermark of WAL; its cluster.
#[must_use]
pub fn read_watermark(key: &str) -> Option<(AppName, &str)> {
    let (app, kind, rest) = parts(key.strip_prefix("evidence/")?)?;
    let system = rest.strip_suffix(".json").filter(|system| is_system(system))?;
    (kind == Kind::DatabaseWal).then_some((app, system))
}

/// The cluster and the segment whose archived file this key names; none for other files.
#[must_use]
pub fn read_wal(key: &str) -> Option<(AppName, &str, PointId)> {
    let (app, rest) = key.strip_prefix("wal/")?.split_once('/')?;
    let (system, file) = rest.split_once('/')?;
    let id = PointId::new(file.strip_suffix(".zst")?).ok().filter(|id| id.time().is_none())?;
    Some((AppName::new(app).ok()?, Some(system).filter(|system| is_system(system))?, id))
}

/// A system identifier is a 64-bit number in decimal.
fn is_system(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The hold on everything of an app.
#[must_use]
pub fn hold(app: &AppName) -> String {
    format!("holds/{app}.json")
}

/// The list of objects that may be under the legal hold of the newest point that counts.
#[must_use]
pub fn held(app: &AppName, kind: Kind) -> String {
    format!("holds/{app}/{kind}.json")
}

/// The recovery point whose manifest this key names.
#[must_use]
pub fn read_manifest(key: &str) -> Option<(AppName, Kind, PointId)> {
    let (app, kind, rest) = parts(key.strip_prefix("manifests/")?)?;
    Some((app, kind, PointId::new(rest.strip_suffix(".json")?).ok()?))
}

/// The recovery point that this key holds bytes of, and their name in its manifest.
#[must_use]
pub fn read_artifact(key: &str) -> Option<(AppName, Kind, PointId, &str)> {
    let (app, kind, rest) = parts(key.strip_prefix("artifacts/")?)?;
    let (id, name) = rest.split_once('/')?;
    Some((app, kind, PointId::new(id).ok()?, Some(name).filter(|name| !name.is_empty())?))
}

/// The check that this key names the evidence of, and how it ended.
#[must_use]
pub fn read_evidence(key: &str) -> Option<(AppName, Kind, PointId, Depth, Mark)> {
    let (app, kind, rest) = parts(key.strip_prefix("evidence/")?)?;
    let (id, name) = rest.split_once('/')?;
    let (depth, ending) = name.strip_suffix(".json")?.split_once('-')?;
    let mark = match ending.split_once('-') {
        None if ending == "skipped" => Mark::Skipped,
        None => Mark::Ended(ending.parse().ok()?),
        Some(("undecided", run)) => Mark::Undecided(point::read_stamp(run)?),
        Some(_) => return None,
    };
    Some((app, kind, PointId::new(id).ok()?, depth.parse().ok()?, mark))
}

fn parts(path: &str) -> Option<(AppName, Kind, &str)> {
    let (app, rest) = path.split_once('/')?;
    let (kind, rest) = rest.split_once('/')?;
    Some((AppName::new(app).ok()?, kind.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let app = AppName::new("queue").unwrap();
        let id = PointId::new("20261124T160000Z-incr-20261124T120000Z-full").unwrap();
        let key = manifest(&app, Kind::DatabaseBase, &id);
        assert!(key.starts_with(&manifests(&app, Kind::DatabaseBase)));
        assert_eq!(read_manifest(&key), Some((app.clone(), Kind::DatabaseBase, id.clone())));
        let key = artifact(&app, Kind::DatabaseBase, &id, "a/base.tar.zst");
        let read = Some((app.clone(), Kind::DatabaseBase, id.clone(), "a/base.tar.zst"));
        assert_eq!(read_artifact(&key), read);
        assert_eq!(read_artifact(&artifact(&app, Kind::DatabaseBase, &id, "")), None);
        for depth in Depth::ALL {
            for outcome in [Outcome::Sound, Outcome::Damaged] {
                let key = evidence(&app, Kind::Cache, &id, depth, outcome);
                let mark = Mark::Ended(outcome);
                let read = Some((app.clone(), Kind::Cache, id.clone(), depth, mark));
                assert_eq!(read_evidence(&key), read);
            }
            let run: Timestamp = "2026-11-24T13:00:00Z".parse().unwrap();
            for (run, mark) in [(Some(run), Mark::Undecided(run)), (None, Mark::Skipped)] {
                let key = undecided(&app, Kind::Cache, &id, depth, run);
                let read = Some((app.clone(), Kind::Cache, id.clone(), depth, mark));
                assert_eq!(read_evidence(&key), read, "{key}");
            }
        }
        for odd in ["read-undecided-monday", "read-undecided", "read-sound-2", "read-lost"] {
            let key = format!("evidence/queue/cache/{id}/{odd}.json");
            assert_eq!(read_evidence(&key), None, "{odd}");
        }
        let mark = watermark(&app, "7421");
        assert_eq!(read_watermark(&mark), Some((app.clone(), "7421")));
        assert_eq!(read_evidence(&mark), None);
        let segment = PointId::new("00000001000000000000002A").unwrap();
        let key = wal(&app, "7421", segment.as_str());
        assert_eq!(read_wal(&key), Some((app.clone(), "7421", segment)));
        assert_eq!(read_wal("wal/queue/7421/00000002.history.zst"), None);
        assert_eq!(read_manifest("manifests/queue/tapes/20261124T120000Z-full.json"), None);
        assert_eq!(read_manifest("manifests/queue/config/../../x.json"), None);
    }
}
