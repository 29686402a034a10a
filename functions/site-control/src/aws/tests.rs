//! The adapter against the lab's Run Command, which runs the real document on real processes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ssm::config::Credentials;
use lifeboat_core::{
    Epoch,
    contract::DatabaseAddress,
    hosts::{Activation, Fencing, activation, fencing},
};
use lifeboat_lab_hosts::{HostSpec, HostsConfig, HostsServer};
use site_control::{Action, HostFailure};

use super::*;

const HOST: &str = "i-0000000000000000b";
const DOCUMENT_TEXT: &str = include_str!("../../../../infra/documents/site-control.yaml");

async fn config(endpoint: SocketAddr) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(format!("http://{endpoint}"))
        .region(aws_config::Region::new("us-west-2"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await
}

async fn adapter(endpoint: SocketAddr) -> SiteHosts {
    SiteHosts::new(config(endpoint).await, region())
}

fn region() -> Region {
    "us-west-2".parse().unwrap()
}

/// A server with one running host of site b, whose hooks exit with this code.
async fn server(home: &Path, exit_code: u8) -> HostsServer {
    let listen = ([127, 0, 0, 1], 0).into();
    let server = HostsServer::start(HostsConfig { listen, ..HostsConfig::default() });
    let server = server.await.unwrap();
    server.install_document("us-west-2", DOCUMENT, DOCUMENT_TEXT).unwrap();
    let hooks = home.join("queue/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for hook in ["start", "stop"] {
        let path = hooks.join(hook);
        let script = format!("#!/bin/sh\necho the {hook} hook speaks >&2\nexit {exit_code}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let tags = BTreeMap::from([("lifeboat-site".to_owned(), "queue-b".to_owned())]);
    let spec = HostSpec { tags, ..HostSpec::new(HOST, "app-b", "us-west-2", home) };
    server.add_host(spec).unwrap();
    server.boot_host(HOST).await.unwrap();
    server
}

fn tag(value: &str) -> HostTag {
    HostTag::new("lifeboat-site", value)
}

fn order(action: Action, epoch: u64) -> Order {
    let database = DatabaseAddress { host: "127.0.2.20".into(), port: 5432, name: "queue".into() };
    Order {
        action,
        app: "queue".parse().unwrap(),
        site: "b".parse().unwrap(),
        epoch: Epoch(epoch),
        database: (action == Action::Activate).then_some(database),
        hook_seconds: None,
    }
}

/// Asks about a command until it has ended.
async fn ended(hosts: &SiteHosts, command: &str) -> Answers {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answers) = hosts.answers(&region(), command).await.unwrap()
            && answers.ended
        {
            return answers;
        }
        assert!(Instant::now() < until, "the command does not end");
        tick.tick().await;
    }
}

/// Sends an order and asks until it has ended.
async fn carried_out(hosts: &SiteHosts, value: &str, order: &Order) -> Answers {
    let command = hosts.send(&region(), &tag(value), order).await.unwrap();
    ended(hosts, &command).await
}

fn failures(answers: &Answers) -> Vec<HostFailure> {
    assert_eq!(answers.done(), 0, "{answers:?}");
    answers.failures().cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_activates_fences_and_refuses_an_old_epoch() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let mut server = server(&home, 0).await;
    let hosts = adapter(server.address()).await;

    for _ in 0..2 {
        let answers = carried_out(&hosts, "queue-b", &order(Action::Activate, 2)).await;
        assert_eq!((answers.targets, answers.done()), (1, 1), "{answers:?}");
    }
    let site: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.join("queue/site.json")).unwrap()).unwrap();
    assert_eq!((site["role"].as_str(), site["epoch"].as_u64()), (Some("active"), Some(2)));
    assert_eq!(site["database"]["host"], "127.0.2.20");

    let fenced = carried_out(&hosts, "queue-b", &order(Action::Fence, 3)).await;
    assert_eq!(fencing(&fenced), Fencing::Done { hosts: 1 });
    let stale = carried_out(&hosts, "queue-b", &order(Action::Activate, 2)).await;
    assert!(matches!(activation(&stale, None), Activation::Stale(_)), "{stale:?}");
    let failures = failures(&stale);
    assert!(failures[0].exit_code == Some(3), "{failures:?}");
    assert!(failures[0].last_line.contains("epoch 3"), "{failures:?}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_fails_is_told_with_its_exit_code_and_last_line() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let mut server = server(&home, 9).await;
    let hosts = adapter(server.address()).await;
    let answers = carried_out(&hosts, "queue-b", &order(Action::Activate, 2)).await;
    let failures = failures(&answers);
    assert_eq!(failures[0].host, HOST);
    assert_eq!(failures[0].exit_code, Some(4));
    assert_eq!(failures[0].last_line, "the hook failed with exit code 9");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_takes_the_hooks_time_and_no_more_than_a_recovery_waits() {
    let home = tempfile::tempdir().unwrap();
    let mut server = server(&home.path().canonicalize().unwrap(), 0).await;
    let hosts = adapter(server.address()).await;
    for seconds in [10, 180] {
        let order = order(Action::Activate, 2)
            .on(&HostTag { hook_seconds: Some(seconds), ..tag("queue-b") });
        assert!(order.parameters().contains(&("HookSeconds", seconds.to_string())));
        assert_eq!(carried_out(&hosts, "queue-b", &order).await.done(), 1);
    }
    for seconds in [9, 181] {
        let order = Order { hook_seconds: Some(seconds), ..order(Action::Activate, 2) };
        assert!(hosts.send(&region(), &tag("queue-b"), &order).await.is_err(), "{seconds}");
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_no_host_has_ends_without_hosts() {
    let home = tempfile::tempdir().unwrap();
    let mut server = server(&home.path().canonicalize().unwrap(), 0).await;
    let hosts = adapter(server.address()).await;
    let answers = carried_out(&hosts, "queue-z", &order(Action::Activate, 2)).await;
    assert_eq!(activation(&answers, None), Activation::NoHosts);
    server.stop().await.unwrap();
}

/// A region that takes connections and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_far_region_that_hangs_is_given_up_within_one_attempt() {
    let dark = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let hosts = adapter(dark.local_addr().unwrap()).await;
    let begun = Instant::now();
    let far: Region = "us-east-1".parse().unwrap();
    let fault = hosts.send(&far, &tag("queue-a"), &order(Action::Fence, 2)).await.unwrap_err();
    assert!(begun.elapsed() < FAR + Duration::from_millis(400), "{:?}", begun.elapsed());
    assert_eq!(fault.name, lifeboat_core::ErrorName::Transient);
    // The attempt's limit and the read's are the same: either may be told.
    assert!(fault.message.starts_with("send lifeboat-site-control to us-east-1 failed"), "{fault}");
}
