//! Snapshots that RDS takes.

use jiff::SignedDuration;
use lifeboat_core::ErrorName;

use super::{super::*, fake::*};

const KIND: Kind = Kind::DatabaseSnapshot;
const NAME: &str = "lifeboat-queue-20261124t120000z";

async fn asked(ports: &Ports<Fake>, at: Timestamp) -> Result<Response, ErrorName> {
    handle(poll(KIND, &[]), ports, at).await.map_err(|fault| fault.name)
}

fn started() -> Response {
    Response::Started { commands: Vec::new() }
}

#[tokio::test]
async fn a_snapshot_is_taken_copied_and_then_has_its_manifest() {
    let ports = ports(Fake::default());
    for _ in 0..2 {
        assert_eq!(handle(start(KIND), &ports, now()).await, Ok(started()));
    }
    assert_eq!(ports.world.snapshots_in("us-east-1"), [NAME]);
    assert!(ports.world.snapshots_in("us-west-2").is_empty(), "not before it is available");
    assert_eq!(asked(&ports, now()).await, Err(ErrorName::NotReady));

    ports.world.become_all(SnapshotStatus::Available);
    for _ in 0..2 {
        assert_eq!(asked(&ports, now()).await, Err(ErrorName::NotReady));
        assert_eq!(ports.world.snapshots_in("us-west-2"), [NAME]);
        assert!(ports.world.manifests.lock().unwrap().is_empty(), "no copy, no manifest");
    }

    ports.world.become_all(SnapshotStatus::Available);
    let later = now() + SignedDuration::from_mins(5);
    let done = Response::Complete { not_elsewhere: None };
    assert_eq!(asked(&ports, later).await, Ok(done.clone()));
    let manifest = ports.world.manifests.lock().unwrap()[&(KIND, point())].clone();
    assert_eq!((manifest.started_at, manifest.ended_at), (now(), later));
    assert_eq!(manifest.versions["server"], "16.4");
    assert!(manifest.source.contains(NAME) && manifest.source.contains("queue-a"));
    assert_eq!(handle(start(KIND), &ports, later).await.unwrap(), done);
}

#[tokio::test]
async fn a_failure_at_any_call_of_any_step_leaves_a_snapshot_that_is_completed_later() {
    for place in 0..40 {
        let ports = ports(Fake { fail_at: Some(place), ..Fake::default() });
        let mut done = None;
        for _ in 0..12 {
            match handle(start(KIND), &ports, now()).await {
                Ok(Response::Complete { not_elsewhere }) => {
                    done = Some(not_elsewhere);
                    break;
                }
                Ok(_) => ports.world.become_all(SnapshotStatus::Available),
                Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
            }
        }
        let not_elsewhere = done.unwrap_or_else(|| panic!("call {place} stops it"));
        assert_eq!(not_elsewhere, None, "call {place}");
        assert_eq!(ports.world.snapshots_in("us-west-2"), [NAME]);
    }
}

#[tokio::test]
async fn a_dark_region_delays_the_manifest_by_the_grace_and_is_then_told_of() {
    let ports = ports(Fake { dark: true, ..Fake::default() });
    handle(start(KIND), &ports, now()).await.unwrap();
    ports.world.become_all(SnapshotStatus::Available);
    // However long the snapshot took, the grace begins when the region is first missed.
    let missed = now() + SignedDuration::from_hours(3);
    for minutes in [0, 5, 9] {
        let at = missed + SignedDuration::from_mins(minutes);
        assert_eq!(asked(&ports, at).await, Err(ErrorName::NotReady), "{minutes}");
    }
    let late = missed + crate::snapshot::GRACE;
    let Ok(Response::Complete { not_elsewhere }) = asked(&ports, late).await else {
        panic!("the snapshot that is here counts")
    };
    let reason = not_elsewhere.unwrap();
    assert!(reason.contains("us-east-1 alone: no answer in time"), "{reason}");
    assert_eq!(ports.world.manifests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failed_snapshot_is_no_backup_and_a_failed_copy_is_told_of() {
    let world = ports(Fake::default());
    handle(start(KIND), &world, now()).await.unwrap();
    world.world.become_all(SnapshotStatus::Failed("failed".into()));
    assert_eq!(asked(&world, now()).await, Err(ErrorName::NeedsHuman));
    assert!(world.world.manifests.lock().unwrap().is_empty());

    let world = ports(Fake::default());
    handle(start(KIND), &world, now()).await.unwrap();
    world.world.become_all(SnapshotStatus::Available);
    asked(&world, now()).await.unwrap_err();
    let far = SnapshotStatus::Failed("failed".into());
    {
        let mut rds = world.world.rds.lock().unwrap();
        rds.get_mut("us-west-2").unwrap().get_mut(NAME).unwrap().status = far;
    }
    let Ok(Response::Complete { not_elsewhere }) = asked(&world, now()).await else {
        panic!("the snapshot that is here counts")
    };
    assert!(not_elsewhere.unwrap().contains("its copy in us-west-2 is failed"));
}

#[tokio::test]
async fn a_database_of_ones_own_has_no_snapshots() {
    let ports = ports(Fake { self_managed: true, ..Fake::default() });
    let fault = handle(start(KIND), &ports, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput, "{fault}");
}
