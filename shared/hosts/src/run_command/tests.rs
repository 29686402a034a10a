//! The calls against the lab's Run Command, which runs the document on real processes.

use std::{collections::BTreeMap, path::Path, time::Instant};

use aws_config::BehaviorVersion;
use aws_sdk_ssm::config::Credentials;
use jiff::SignedDuration;
use lifeboat_lab_hosts::{HostSpec, HostsConfig, HostsServer};

use super::*;

const DOCUMENT: &str = "lifeboat-echo";
const TEXT: &str = r#"
schemaVersion: '2.2'
description: Says its word, and fails when the word is fail.
parameters:
  Word:
    type: String
    allowedPattern: '^[a-z]{1,20}$'
    interpolationType: ENV_VAR
mainSteps:
  - action: aws:runShellScript
    name: echo
    inputs:
      timeoutSeconds: '60'
      runCommand:
        - |
          echo "the word is $SSM_Word"
          [ "$SSM_Word" != fail ] || { echo "the word was fail" >&2; exit 1; }
"#;

const HARSH: &str = "lifeboat-harsh";
const HARSH_TEXT: &str = r#"
schemaVersion: '2.2'
description: Fails on the host that it is given.
parameters:
  Host: {type: String, allowedPattern: '^i-[0-9a-f]+$', interpolationType: ENV_VAR}
mainSteps:
  - action: aws:runShellScript
    name: run
    inputs:
      timeoutSeconds: '2'
      runCommand:
        - |
          [ "$SSM_Host" != "$AWS_SSM_INSTANCE_ID" ] || { echo "not on this host" >&2; exit 9; }
"#;

fn region() -> Region {
    "us-west-2".parse().unwrap()
}

fn tag() -> HostTag {
    HostTag::new("lifeboat-site", "queue-b")
}

fn order(word: &str) -> Order {
    Order {
        document: DOCUMENT,
        parameters: vec![("Word", word.to_owned())],
        comment: "x".repeat(200),
        delivery_seconds: 30,
    }
}

/// A server with these hosts of site b, the first of which is off.
async fn server(home: &Path, hosts: &[&str]) -> (HostsServer, RunCommand) {
    let listen = ([127, 0, 0, 1], 0).into();
    let server = HostsServer::start(HostsConfig {
        listen,
        minimum_timeout_seconds: 1,
        largest_page: 2,
        ..HostsConfig::default()
    });
    let server = server.await.unwrap();
    server.install_document("us-west-2", DOCUMENT, TEXT).unwrap();
    server.install_document("us-west-2", HARSH, HARSH_TEXT).unwrap();
    for (place, host) in hosts.iter().enumerate() {
        let home = home.join(host);
        std::fs::create_dir_all(&home).unwrap();
        let tags = BTreeMap::from([("lifeboat-site".to_owned(), "queue-b".to_owned())]);
        let spec = HostSpec { tags, ..HostSpec::new(host, host, "us-west-2", &home) };
        server.add_host(spec).unwrap();
        if place > 0 {
            server.boot_host(host).await.unwrap();
        }
    }
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(format!("http://{}", server.address()))
        .region(aws_config::Region::new("us-west-2"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await;
    let limit = Duration::from_secs(2);
    (server, RunCommand::new(config, region(), FarLimits { attempt: limit, total: limit }))
}

async fn ended(hosts: &RunCommand, command: &str) -> Progress {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let progress = hosts.progress(&region(), command).await.unwrap();
        if progress != Progress::Pending {
            return progress;
        }
        assert!(Instant::now() < until, "the command does not end");
        tick.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_online_host_is_picked_and_does_the_work_alone() {
    let home = tempfile::tempdir().unwrap();
    let ids = ["i-0000000000000000a", "i-0000000000000000c", "i-0000000000000000b"];
    let (mut server, hosts) = server(&home.path().canonicalize().unwrap(), &ids).await;
    let picked = hosts.pick(&region(), &tag()).await.unwrap();
    assert_eq!(picked.as_deref(), Some("i-0000000000000000b"), "the lowest that is online");
    let nobody = HostTag { value: "queue-z".into(), ..tag() };
    assert_eq!(hosts.pick(&region(), &nobody).await.unwrap(), None);

    let command =
        hosts.send(&region(), To::Host("i-0000000000000000b"), &order("hello")).await.unwrap();
    assert_eq!(ended(&hosts, &command).await, Progress::Succeeded { hosts: 1 });
    let outputs = hosts.outputs(&region(), &command).await.unwrap();
    assert_eq!(outputs, [("i-0000000000000000b".to_owned(), "the word is hello\n".to_owned())]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_several_hosts_is_told_over_every_page() {
    let home = tempfile::tempdir().unwrap();
    let (off, failing) = ("i-0000000000000000a", "i-0000000000000000b");
    let ids = [off, failing, "i-0000000000000000c", "i-0000000000000000d", "i-0000000000000000e"];
    let (mut server, hosts) = server(&home.path().canonicalize().unwrap(), &ids).await;
    let order = Order {
        document: HARSH,
        parameters: vec![("Host", failing.to_owned())],
        comment: String::new(),
        delivery_seconds: 1,
    };
    let command = hosts.send(&region(), To::Tagged(&tag()), &order).await.unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let until = Instant::now() + Duration::from_secs(30);
    let answers = loop {
        if let Some(answers) = hosts.answers(&region(), &command).await.unwrap()
            && answers.ended
        {
            break answers;
        }
        assert!(Instant::now() < until, "the command does not end");
        tick.tick().await;
    };
    assert_eq!((answers.targets, answers.done(), answers.hosts.len()), (5, 3, 5));
    let failures: Vec<String> = answers.failures().map(ToString::to_string).collect();
    assert_eq!(
        failures,
        [
            format!("host {off}: DeliveryTimedOut"),
            format!("host {failing}: Failed, exit code 9: not on this host"),
        ]
    );
    // Run Command itself calls it Incomplete, beside a status that says nothing of it.
    assert!(matches!(hosts.progress(&region(), &command).await.unwrap(), Progress::Failed(_)));
    let since = answers.sent_at - SignedDuration::from_secs(1);
    let recent = hosts.recent(&region(), HARSH, since).await.unwrap();
    assert_eq!(recent[0].succeeded, Some(false));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_found_again_by_its_parameters() {
    let home = tempfile::tempdir().unwrap();
    let ids = ["i-0000000000000000a", "i-0000000000000000b"];
    let (mut server, hosts) = server(&home.path().canonicalize().unwrap(), &ids).await;
    let begun = lifeboat_runtime::clock::now() - SignedDuration::from_secs(1);
    let to = To::Host("i-0000000000000000b");
    let failing = hosts.send(&region(), to, &order("fail")).await.unwrap();
    let done = hosts.send(&region(), to, &order("hello")).await.unwrap();
    let Progress::Failed(failures) = ended(&hosts, &failing).await else { panic!("it failed") };
    assert_eq!(failures[0].exit_code, Some(1));
    assert_eq!(failures[0].last_line, "the word was fail");
    ended(&hosts, &done).await;

    let recent = hosts.recent(&region(), DOCUMENT, begun).await.unwrap();
    let of = |word: &str| -> Vec<(String, Option<bool>)> {
        let found = recent.iter().filter(|found| found.is(&order(word)));
        found.map(|found| (found.id.clone(), found.succeeded)).collect()
    };
    assert_eq!(of("fail"), [(failing, Some(false))]);
    assert_eq!(of("hello"), [(done, Some(true))]);
    assert!(of("other").is_empty());
    let later = begun + SignedDuration::from_hours(1);
    assert!(hosts.recent(&region(), DOCUMENT, later).await.unwrap().is_empty());
    server.stop().await.unwrap();
}
