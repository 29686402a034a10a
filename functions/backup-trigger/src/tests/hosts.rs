//! Backups that a host makes.

use lifeboat_core::ErrorName;
use lifeboat_hosts::Progress;

use super::{super::*, fake::*};

const KIND: Kind = Kind::Config;

fn started(commands: &[&str]) -> Response {
    Response::Started { commands: commands.iter().map(|id| (*id).to_owned()).collect() }
}

#[tokio::test]
async fn starting_twice_sends_one_command_to_one_host() {
    let ports = ports(Fake::default());
    for _ in 0..2 {
        let response = handle(start(KIND), &ports, now()).await.unwrap();
        assert_eq!(response, started(&["command-1"]));
    }
    let sent = ports.world.sent.lock().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, "i-1");
    let parameters: Vec<(&str, &str)> =
        sent[0].1.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let expected = [
        ("Action", "backup"),
        ("App", "queue"),
        ("Site", "a"),
        ("Region", "us-east-1"),
        ("Bucket", "lifeboat-backups-000000000000-us-east-1"),
        ("Kind", "config"),
        ("Point", "20261124T120000Z-full"),
    ];
    assert_eq!(parameters, expected);
}

#[tokio::test]
async fn wal_is_archived_and_never_taken() {
    let ports = ports(Fake::default());
    let fault = handle(start(Kind::DatabaseWal), &ports, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput, "{fault}");
    assert_eq!(ports.world.sent(), 0);
}

#[tokio::test]
async fn a_backup_whose_manifest_is_there_is_complete_and_is_not_taken_again() {
    let world = Fake::default();
    world.manifests.lock().unwrap().insert((KIND, point()), manifest(KIND));
    let ports = ports(world);
    for request in [start(KIND), poll(KIND, &["command-1"]), poll(KIND, &[])] {
        let response = handle(request, &ports, now()).await.unwrap();
        assert!(matches!(response, Response::Complete { .. }), "{response:?}");
    }
    assert_eq!(ports.world.sent(), 0);
}

#[tokio::test]
async fn a_failure_at_any_call_leaves_a_request_that_succeeds_later() {
    for place in 0.. {
        let ports = ports(Fake { fail_at: Some(place), ..Fake::default() });
        match handle(start(KIND), &ports, now()).await {
            Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
            // Past the last call.
            Ok(_) => break,
        }
        let again = handle(start(KIND), &ports, now()).await.unwrap();
        assert_eq!(again, started(&["command-1"]));
        assert_eq!(ports.world.sent(), 1, "call {place}");
    }
}

#[tokio::test]
async fn a_command_that_goes_on_is_not_ready_and_one_that_failed_tells_its_last_line() {
    let world = ports(Fake::default());
    let fault = handle(poll(KIND, &["command-1"]), &world, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NotReady);

    let line = "cannot read /etc/queue: permission denied";
    let world = ports(Fake { ends: Some(failed(line)), ..Fake::default() });
    let fault = handle(poll(KIND, &["command-1"]), &world, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains(line) && fault.message.contains("exit code 1"), "{fault}");

    for ends in [Progress::Succeeded { hosts: 1 }, Progress::NoHosts] {
        let world = ports(Fake { ends: Some(ends), ..Fake::default() });
        let fault = handle(poll(KIND, &["command-1"]), &world, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NeedsHuman, "no manifest, no backup: {fault}");
    }
}

#[tokio::test]
async fn only_the_active_site_is_backed_up() {
    for kind in [KIND, Kind::DatabaseSnapshot] {
        let ports = ports(Fake { active: Some("b"), ..Fake::default() });
        let fault = handle(start(kind), &ports, now()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused, "{fault}");
        assert_eq!(ports.world.sent(), 0);
        assert!(ports.world.snapshots_in("us-east-1").is_empty());
    }
}

#[tokio::test]
async fn what_nobody_can_do_is_told_by_name() {
    let offline = ports(Fake { offline: true, ..Fake::default() });
    let fault = handle(start(KIND), &offline, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("lifeboat-site=queue-a"), "{fault}");

    let without = ports(Fake { no_hosts: true, ..Fake::default() });
    let fault = handle(start(KIND), &without, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput, "{fault}");

    let unknown = handle(poll(KIND, &[]), &ports(Fake::default()), now()).await.unwrap_err();
    assert_eq!(unknown.name, ErrorName::InvalidInput, "{unknown}");
}
