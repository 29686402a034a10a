//! What is due.

use lifeboat_core::{
    ErrorName, backup::schedule::Slots, contract::backup_trigger::Due, plan_file::Backup,
};

use jiff::SignedDuration;
use lifeboat_hosts::Progress;

use super::{super::*, fake::*};

fn slots(every: &str, full_every: Option<&str>) -> Slots {
    Slots {
        every: every.parse().unwrap(),
        at: None,
        full_every: full_every.map(|text| text.parse().unwrap()),
    }
}

/// A plan that takes a snapshot and the configuration each four hours.
fn scheduled() -> Fake {
    let schedule = [(Kind::DatabaseSnapshot, slots("4h", None)), (Kind::Config, slots("4h", None))];
    Fake {
        backup: Some(Backup { schedule: schedule.into(), ..Backup::default() }),
        ..Fake::default()
    }
}

async fn due(ports: &Ports<Fake>) -> Vec<(Kind, String)> {
    match handle(Request::Due { app: app() }, ports, now()).await.unwrap() {
        Response::Due { due, .. } => {
            due.into_iter().map(|Due { kind, id, .. }| (kind, id.to_string())).collect()
        }
        other @ (Response::Started { .. } | Response::Complete { .. }) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_has_no_manifest_in_its_slot_is_due_until_it_is_under_way_or_done() {
    let ports = ports(scheduled());
    let both = [(Kind::DatabaseSnapshot, point().to_string()), (Kind::Config, point().to_string())];
    assert_eq!(due(&ports).await, both);
    assert_eq!(due(&ports).await, both);
    assert_eq!(*ports.world.windows.lock().unwrap(), ["us-east-1"; 2]);

    for kind in [Kind::Config, Kind::DatabaseSnapshot] {
        handle(start(kind), &ports, now()).await.unwrap();
    }
    // The host's work is watched; the snapshot's is taken further by each tick.
    assert_eq!(due(&ports).await, both[..1]);
    for kind in [Kind::Config, Kind::DatabaseSnapshot] {
        ports.world.manifests.lock().unwrap().insert((kind, point()), manifest(kind));
    }
    assert!(due(&ports).await.is_empty());
}

#[tokio::test]
async fn what_failed_is_not_tried_with_every_tick() {
    let mut world = scheduled();
    world.ends = Some(failed("no room"));
    let ports = ports(world);
    handle(start(Kind::Config), &ports, now()).await.unwrap();
    handle(start(Kind::DatabaseSnapshot), &ports, now()).await.unwrap();
    ports.world.become_all(SnapshotStatus::Failed("failed".into()));
    assert!(due(&ports).await.is_empty());
}

#[tokio::test]
async fn the_region_of_a_standby_owes_nothing_and_says_who_is_active() {
    let mut world = scheduled();
    world.active = Some("b");
    let ports = ports(world);
    let answer = handle(Request::Due { app: app() }, &ports, now()).await.unwrap();
    assert_eq!(answer, Response::Due { site: "b".parse().unwrap(), due: Vec::new() });
    // What is replicated here is watched from here.
    assert_eq!(*ports.world.windows.lock().unwrap(), ["us-west-2"]);
}

#[tokio::test]
async fn a_plan_without_a_schedule_owes_nothing() {
    let ports = ports(Fake::default());
    assert!(due(&ports).await.is_empty());
}

#[tokio::test]
async fn a_dark_region_does_not_keep_backups_from_being_due() {
    let mut world = scheduled();
    world.dark = true;
    let ports = ports(world);
    assert_eq!(due(&ports).await.len(), 2);
}

#[tokio::test]
async fn a_snapshot_that_outlives_its_slot_is_taken_further_until_it_is_a_backup() {
    let ports = ports(scheduled());
    let earlier = PointId::new("20261124T080000Z-full").unwrap();
    let request = Request::Start { app: app(), kind: Kind::DatabaseSnapshot, id: earlier.clone() };
    let then = now() - SignedDuration::from_hours(4);
    handle(request.clone(), &ports, then).await.unwrap();
    let has_it = |due: &[(Kind, String)]| due.iter().any(|(_, id)| id == earlier.as_str());
    assert!(has_it(&due(&ports).await));
    for _ in 0..3 {
        ports.world.become_all(SnapshotStatus::Available);
        handle(request.clone(), &ports, now()).await.unwrap();
    }
    assert!(ports.world.manifests.lock().unwrap().keys().any(|(_, id)| *id == earlier));
    assert!(!has_it(&due(&ports).await));
}

#[tokio::test]
async fn a_host_makes_few_backups_at_once() {
    let kinds = [Kind::Config, Kind::Code, Kind::Logs, Kind::Cache, Kind::DatabaseDump];
    let schedule = kinds.map(|kind| (kind, slots("4h", None))).into();
    let backup = Some(Backup { schedule, ..Backup::default() });
    let ports = ports(Fake { backup, ends: Some(Progress::Pending), ..Fake::default() });
    assert_eq!(due(&ports).await.len(), kinds.len(), "the machine takes them by threes");
    for kind in &kinds[..2] {
        handle(start(*kind), &ports, now()).await.unwrap();
    }
    assert_eq!(due(&ports).await.len(), 3);
    handle(start(kinds[2]), &ports, now()).await.unwrap();
    assert!(due(&ports).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_begun_is_not_told_with_every_tick() {
    let ports = ports(scheduled());
    for (minutes, expected) in [(0, true), (5, false), (60, true)] {
        let at = now() + SignedDuration::from_mins(minutes);
        let answer = handle(Request::Due { app: app() }, &ports, at).await.unwrap();
        let Response::Due { due, .. } = answer else { panic!("{answer:?}") };
        assert!(due.iter().all(|due| due.tell == expected), "{minutes}: {due:?}");
    }
}

#[tokio::test]
async fn a_failure_at_any_call_is_transient_and_leaves_nothing_behind() {
    for place in 0.. {
        let mut world = scheduled();
        world.fail_at = Some(place);
        let ports = ports(world);
        match handle(Request::Due { app: app() }, &ports, now()).await {
            Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
            Ok(_) if ports.world.calls.load(std::sync::atomic::Ordering::SeqCst) <= place => break,
            // The windows are only watched.
            Ok(_) => {}
        }
        assert_eq!(due(&ports).await.len(), 2);
    }
}

#[tokio::test]
async fn base_backups_are_incremental_when_the_server_is_new_enough() {
    for (version, expected) in
        [(Some("17.2"), "incr"), (Some("18.0"), "incr"), (Some("16.4"), "full"), (None, "full")]
    {
        let mut world = scheduled();
        let slots = slots("4h", Some("1d"));
        let schedule = [(Kind::DatabaseBase, slots)].into();
        world.backup = Some(Backup { schedule, ..Backup::default() });
        let base = PointId::new("20261124T080000Z-full").unwrap();
        let mut taken = manifest(Kind::DatabaseBase);
        taken.id = base.clone();
        if let Some(version) = version {
            taken.versions.insert("server".into(), version.into());
        }
        world.manifests.lock().unwrap().insert((Kind::DatabaseBase, base), taken);
        let found = due(&ports(world)).await;
        assert_eq!(found.len(), 1);
        assert!(found[0].1.contains(expected), "{version:?}: {}", found[0].1);
    }
}
