use std::os::unix::fs::PermissionsExt;

use lifeboat_core::{Epoch, ledger::ControlRecord, registers::Answer};

use super::*;
use crate::args::RegisterArgs;

/// A host of site b, with hooks that write down what they were told.
struct Host {
    folder: tempfile::TempDir,
    args: JoinArgs,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args = JoinArgs {
            registers: RegisterArgs {
                host: HostPlace {
                    app: "queue".parse().unwrap(),
                    site: "b".parse().unwrap(),
                    region: "us-west-2".parse().unwrap(),
                },
                peers: vec!["us-east-1".parse().unwrap()],
                ledger_prefix: "ledger".into(),
            },
            home: folder.path().to_owned(),
        };
        let hooks = folder.path().join("queue/hooks");
        std::fs::create_dir_all(&hooks).unwrap();
        let host = Self { folder, args };
        host.hooks(0);
        host
    }

    fn hooks(&self, exit_code: u8) {
        for hook in ["start", "stop"] {
            let path = self.folder.path().join("queue/hooks").join(hook);
            let said = "$LIFEBOAT_APP $LIFEBOAT_SITE $LIFEBOAT_EPOCH $LIFEBOAT_ROLE \
                        $LIFEBOAT_CHANGED $PWD";
            let script = format!("#!/bin/sh\necho {hook} {said} >> said\nexit {exit_code}\n");
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Joins with the registers of its region and of the two others, who hold the same; `None` is a region
    /// that does not answer.
    fn join(&self, own: Option<ControlRecord>, peer: Option<ControlRecord>) -> Result<(), Failure> {
        let witness = "us-east-2".parse().unwrap();
        let own_region = &self.args.registers.host.region;
        let peers = &self.args.registers.peers;
        let answers = [(own_region, own), (&peers[0], peer.clone()), (&witness, peer)];
        let seen = Registers::new(answers.into_iter().map(|(region, record)| {
            let silent = || Answer::Silent("dark".into());
            (region.clone(), record.map_or_else(silent, Answer::Holds))
        }));
        let database =
            DatabaseAddress { host: "127.0.2.20".into(), port: 5432, name: "queue".into() };
        take(&self.args, &Home::new(&self.args), &seen, Ok(&database))
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("queue").join(name)).unwrap_or_default()
    }
}

fn record(epoch: u64, active: &str) -> Option<ControlRecord> {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let first = ControlRecord::first("queue".parse().unwrap(), active.parse().unwrap(), now);
    Some(ControlRecord { epoch: Epoch(epoch), highest_reserved: Epoch(epoch), ..first })
}

#[test]
fn a_host_of_the_active_site_is_started_as_the_document_would() {
    let host = Host::new();
    host.join(record(2, "b"), record(2, "b")).unwrap();
    // As the document writes it, to the byte: each takes the other's for its own.
    let text = "{\n  \"app\": \"queue\",\n  \"site\": \"b\",\n  \"epoch\": 2,\n  \"role\": \"active\",\n  \
                \"database\": {\n    \"host\": \"127.0.2.20\",\n    \"port\": 5432,\n    \
                \"name\": \"queue\"\n  }\n}\n";
    assert_eq!(host.read("site.json"), text);
    host.join(record(2, "b"), record(2, "b")).unwrap();
    let home = std::fs::canonicalize(host.folder.path().join("queue")).unwrap();
    let said = format!(
        "start queue b 2 active true {0}\nstart queue b 2 active false {0}\n",
        home.display()
    );
    assert_eq!(host.read("said"), said);
}

#[test]
fn a_host_that_cannot_be_told_is_standby_and_starts_nothing() {
    let host = Host::new();
    let failure = host.join(record(2, "b"), None).unwrap_err();
    assert_eq!(failure.code, 1);
    assert!(failure.lines[0].contains("us-east-1"), "{failure:?}");
    assert!(failure.lines[0].ends_with("stays standby until it can be told: run it again"));
    let site: SiteFile = serde_json::from_str(&host.read("site.json")).unwrap();
    assert_eq!((site.role, site.epoch), (Role::Standby, Epoch(0)));
    assert_eq!(host.read("said"), "");
    // The other region was newer all along.
    host.join(record(2, "b"), record(3, "a")).unwrap();
    let site: SiteFile = serde_json::from_str(&host.read("site.json")).unwrap();
    assert_eq!((site.role, site.epoch), (Role::Standby, Epoch(3)));
    assert_eq!(host.read("said"), "");
}

#[test]
fn a_hook_that_fails_is_told_after_site_json_is_written() {
    let host = Host::new();
    host.hooks(9);
    let failure = host.join(record(2, "b"), record(2, "b")).unwrap_err();
    assert_eq!(failure.code, exit::PARTLY);
    assert!(failure.lines[0].contains("hooks/start: exit status: 9"), "{failure:?}");
    assert!(host.read("site.json").contains("active"));
    std::fs::remove_file(host.folder.path().join("queue/hooks/start")).unwrap();
    assert_eq!(host.join(record(2, "b"), record(2, "b")).unwrap_err().code, exit::PARTLY);
}

#[test]
fn what_is_there_and_not_ours_or_not_readable_is_left_alone() {
    let host = Host::new();
    let file = host.folder.path().join("queue/site.json");
    for (text, code) in
        [(r#"{"app":"queue","site":"a","epoch":1,"role":"active"}"#, 2), ("garbage", 1)]
    {
        std::fs::write(&file, text).unwrap();
        let failure = host.join(record(2, "b"), record(2, "b")).unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert_eq!(host.read("site.json"), text);
    }
}

#[tokio::test]
async fn one_action_at_a_time_works_on_a_host() {
    let host = Host::new();
    let home = Home::new(&host.args);
    let held = home.lock().await.unwrap();
    let other = home.lock();
    tokio::pin!(other);
    let early = tokio::time::timeout(std::time::Duration::from_millis(250), &mut other).await;
    assert!(early.is_err(), "it is held");
    drop(held);
    other.await.unwrap();
}
