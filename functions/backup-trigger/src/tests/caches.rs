//! Caches that ElastiCache runs.

use lifeboat_core::{ErrorName, backup::schedule::Slots, plan_file::Backup};
use lifeboat_hosts::Progress;

use super::{super::*, fake::*};

const KIND: Kind = Kind::Cache;
const NAME: &str = "lifeboat-queue-20261124t120000z";
const OBJECT: &str = "lifeboat-queue-20261124t120000z-0001.rdb";

fn world() -> Fake {
    let every = Slots { every: "4h".parse().unwrap(), at: None, full_every: None };
    let backup = Backup { schedule: [(KIND, every)].into(), ..Backup::default() };
    Fake { managed_cache: true, backup: Some(backup), ..Fake::default() }
}

fn started(commands: &[&str]) -> Response {
    Response::Started { commands: commands.iter().map(|id| (*id).to_owned()).collect() }
}

async fn asked(ports: &Ports<Fake>) -> Result<Response, ErrorName> {
    handle(poll(KIND, &[]), ports, now()).await.map_err(|fault| fault.name)
}

async fn is_due(ports: &Ports<Fake>) -> bool {
    match handle(Request::Due { app: app() }, ports, now()).await.unwrap() {
        Response::Due { due, .. } => !due.is_empty(),
        other @ (Response::Started { .. } | Response::Complete { .. }) => panic!("{other:?}"),
    }
}

impl Fake {
    fn caches_become(&self, status: &SnapshotStatus) {
        let mut caches = self.caches.lock().unwrap();
        caches.values_mut().for_each(|snapshot| snapshot.status = status.clone());
    }

    fn cache_snapshots(&self) -> Vec<String> {
        self.caches.lock().unwrap().keys().cloned().collect()
    }

    /// Makes what is exported an object, as ElastiCache does in the end.
    fn end_exports(&self) {
        for snapshot in self.caches.lock().unwrap().values_mut() {
            if snapshot.status == SnapshotStatus::Creating("copying".into()) {
                self.exports.lock().unwrap().push(format!("{}-0001.rdb", snapshot.name));
                snapshot.status = SnapshotStatus::Available;
            }
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_taken_exported_and_then_a_host_is_asked_once() {
    let ports = ports(world());
    for _ in 0..2 {
        assert_eq!(handle(start(KIND), &ports, now()).await, Ok(started(&[])));
    }
    assert_eq!(ports.world.cache_snapshots(), [NAME]);
    assert_eq!(asked(&ports).await, Err(ErrorName::NotReady));
    assert!(is_due(&ports).await, "the next tick takes it further");

    ports.world.caches_become(&SnapshotStatus::Available);
    for _ in 0..2 {
        assert_eq!(asked(&ports).await, Err(ErrorName::NotReady));
    }
    assert_eq!(ports.world.sent(), 0, "not before the export is there");
    ports.world.end_exports();
    for _ in 0..2 {
        assert_eq!(asked(&ports).await, Ok(started(&["command-1"])));
        assert_eq!(handle(start(KIND), &ports, now()).await, Ok(started(&["command-1"])));
    }
    assert!(!is_due(&ports).await, "the host's work is watched");
    let sent = ports.world.sent.lock().unwrap();
    let [(_, order)] = sent.as_slice() else { panic!("{sent:?}") };
    let exports = ("Exports", "lifeboat-exports-000000000000-us-east-1".to_owned());
    assert!(order.parameters.contains(&exports), "{order:?}");
}

#[tokio::test]
async fn a_complete_backup_removes_the_older_snapshots_alone() {
    let older = "lifeboat-queue-20261124t080000z";
    let others =
        ["by-hand", "lifeboat-queue-20261124t160000z", "lifeboat-queue-b-20261124t080000z"];
    for held in [false, true] {
        let ports = ports(Fake { held, ..world() });
        for name in others.into_iter().chain([older, NAME]) {
            let status = SnapshotStatus::Available;
            let snapshot = CacheSnapshot { name: name.to_owned(), status, node_groups: 1 };
            ports.world.caches.lock().unwrap().insert(name.to_owned(), snapshot);
        }
        ports.world.exports.lock().unwrap().push(OBJECT.to_owned());
        assert_eq!(handle(start(KIND), &ports, now()).await, Ok(started(&["command-1"])));
        assert_eq!(ports.world.cache_snapshots().len(), 5, "nothing before the backup is there");
        ports.world.manifests.lock().unwrap().insert((KIND, point()), manifest(KIND));
        for _ in 0..2 {
            let answer = handle(poll(KIND, &["command-1"]), &ports, now()).await.unwrap();
            assert!(matches!(answer, Response::Complete { .. }));
            let left = ports.world.cache_snapshots();
            assert_eq!(left.contains(&older.to_owned()), held, "{left:?}");
            assert!(left.contains(&NAME.to_owned()) && left.len() >= 4, "{left:?}");
        }
    }
}

#[tokio::test]
async fn that_older_snapshots_stay_does_not_undo_a_backup() {
    for place in 1..6 {
        let ports = ports(Fake { fail_at: Some(place), ..world() });
        ports.world.manifests.lock().unwrap().insert((KIND, point()), manifest(KIND));
        let answer = handle(poll(KIND, &["command-1"]), &ports, now()).await.unwrap();
        assert!(matches!(answer, Response::Complete { .. }), "call {place}");
    }
}

#[tokio::test]
async fn a_failure_at_any_call_of_any_step_leaves_a_backup_that_is_begun_later() {
    for place in 0..40 {
        let ports = ports(Fake { fail_at: Some(place), ..world() });
        let mut done = false;
        for _ in 0..12 {
            match handle(start(KIND), &ports, now()).await {
                Ok(Response::Started { commands }) if !commands.is_empty() => {
                    done = true;
                    break;
                }
                Ok(_) => {}
                Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
            }
            ports.world.end_exports();
            ports.world.caches_become(&SnapshotStatus::Available);
        }
        assert!(done, "call {place} stops it");
        assert_eq!(ports.world.cache_snapshots(), [NAME], "call {place}");
        assert_eq!(ports.world.sent(), 1, "call {place}");
    }
}

#[tokio::test]
async fn what_cannot_become_a_backup_is_told_once_and_not_begun_again() {
    for (status, node_groups, says) in [
        (SnapshotStatus::Failed("failed".into()), 1, "describe-events"),
        (SnapshotStatus::Available, 3, "3 node groups"),
    ] {
        let ports = ports(world());
        handle(start(KIND), &ports, now()).await.unwrap();
        for snapshot in ports.world.caches.lock().unwrap().values_mut() {
            (snapshot.status, snapshot.node_groups) = (status.clone(), node_groups);
        }
        let fault = handle(poll(KIND, &[]), &ports, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NeedsHuman);
        assert!(fault.message.contains(says), "{fault}");
        assert!(!is_due(&ports).await);
    }
}

#[tokio::test]
async fn a_host_that_failed_is_told_of_and_tried_again_later() {
    let ports = ports(Fake { ends: Some(failed("no room")), ..world() });
    ports.world.exports.lock().unwrap().push(OBJECT.to_owned());
    assert_eq!(handle(start(KIND), &ports, now()).await, Ok(started(&["command-1"])));
    let fault = handle(poll(KIND, &["command-1"]), &ports, now()).await.unwrap_err();
    assert!(fault.name == ErrorName::NeedsHuman && fault.message.contains("no room"), "{fault}");
    assert!(!is_due(&ports).await, "not with every tick");
}

#[tokio::test]
async fn other_kinds_of_the_same_site_and_caches_of_ones_own_are_as_before() {
    for (managed_cache, kind) in [(true, Kind::Config), (false, KIND)] {
        let ports = ports(Fake { managed_cache, ..world() });
        assert_eq!(handle(start(kind), &ports, now()).await, Ok(started(&["command-1"])));
        let sent = ports.world.sent.lock().unwrap();
        assert!(sent.iter().all(|(_, order)| order.parameters.len() == 7), "{sent:?}");
        assert!(ports.world.cache_snapshots().is_empty());
    }
    let standby = ports(Fake { active: Some("b"), ..world() });
    let fault = handle(start(KIND), &standby, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    let pending = ports(Fake { ends: Some(Progress::Pending), ..world() });
    assert_eq!(handle(start(KIND), &pending, now()).await, Ok(started(&[])));
}
