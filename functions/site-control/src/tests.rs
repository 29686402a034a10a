//! The handler with fakes: run twice, failed at each call, and every answer of the hosts.

use std::{
    future::pending,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use lifeboat_core::{
    Epoch,
    contract::DatabaseAddress,
    hosts::{Answer, FENCE_PATIENCE},
    ledger::{self, ControlRecord},
    plan_file,
    registers::{self, Registers},
};

use super::*;

/// A world in which the n-th call fails, and which remembers what was sent.
#[derive(Default)]
struct World {
    calls: AtomicUsize,
    fail_at: Option<usize>,
    stale: bool,
    hang: bool,
    /// What the hosts answer; one that did it, without this.
    answers: Option<Answers>,
    enough: Option<u32>,
    sent: Mutex<Vec<(String, Order)>>,
    no_hosts_in_plan: bool,
}

impl World {
    fn call(&self) -> Result<(), Fault> {
        let place = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.fail_at == Some(place) { Err(Fault::transient("a reset")) } else { Ok(()) }
    }

    fn sent(&self) -> Vec<(String, Order)> {
        self.sent.lock().unwrap().clone()
    }
}

impl Plans for &World {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        self.call()?;
        let text = include_str!("../../../events/plan/queue.toml");
        let mut plan = plan_file::read(text).unwrap();
        for site in plan.sites.values_mut() {
            if self.no_hosts_in_plan {
                site.hosts = None;
            } else if let Some(hosts) = &mut site.hosts {
                hosts.enough = self.enough;
            }
        }
        Ok(plan)
    }
}

impl Authorizer for &World {
    async fn authorize(&self, _: &Authority, _: &AppPlan) -> Result<(), Fault> {
        self.call()?;
        if self.stale { Err(Fault::stale("epoch 9 exists")) } else { Ok(()) }
    }

    async fn first(&self, plan: &AppPlan, site: &SiteName) -> Result<(), Fault> {
        self.call()?;
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let mut record = ControlRecord::first(plan.app.clone(), "a".parse().unwrap(), now);
        if self.stale {
            record.epoch = Epoch(9);
        }
        let answers =
            plan.registers().map(|r| (r.clone(), registers::Answer::Holds(record.clone())));
        ledger::first_activation(&plan.app, &Registers::new(answers), site, now)
    }
}

impl Hosts for &World {
    async fn send(&self, region: &Region, _: &HostTag, order: &Order) -> Result<String, Fault> {
        if self.hang {
            pending::<()>().await;
        }
        self.call()?;
        let mut sent = self.sent.lock().unwrap();
        sent.push((region.to_string(), order.clone()));
        Ok(format!("command-{}", sent.len()))
    }

    async fn answers(&self, _: &Region, _: &str) -> Result<Option<Answers>, Fault> {
        self.call()?;
        Ok(Some(self.answers.clone().unwrap_or_else(|| answers(&[("i-1", Answer::Done)]))))
    }
}

fn ports(world: &World) -> Ports<&World, &World, &World> {
    Ports { region: "us-west-2".parse().unwrap(), plans: world, authorizer: world, hosts: world }
}

fn authority(site: &str) -> Authority {
    Authority {
        app: "queue".parse().unwrap(),
        incident: "queue-region-outage".parse().unwrap(),
        epoch: Epoch(2),
        site: site.parse().unwrap(),
    }
}

fn activate(commands: &[&str]) -> Request {
    Request::Activate {
        authority: authority("b"),
        database: DatabaseAddress { host: "127.0.2.20".into(), port: 5432, name: "queue".into() },
        commands: commands.iter().map(|id| (*id).to_owned()).collect(),
    }
}

fn fence(commands: &[&str]) -> Request {
    Request::Fence {
        authority: authority("b"),
        old_site: "a".parse().unwrap(),
        commands: commands.iter().map(|id| (*id).to_owned()).collect(),
    }
}

/// A command that has just been sent, and what these hosts answer to it.
fn answers(hosts: &[(&str, Answer)]) -> Answers {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let open = |answer: &Answer| matches!(answer, Answer::Silent | Answer::Working);
    Answers {
        sent_at: now,
        asked_at: now,
        targets: u32::try_from(hosts.len()).unwrap(),
        ended: !hosts.iter().any(|(_, answer)| open(answer)),
        hosts: hosts.iter().map(|(host, answer)| ((*host).to_owned(), answer.clone())).collect(),
    }
}

fn failed(exit_code: Option<i32>) -> Answer {
    Answer::NotDone(HostFailure {
        host: "i-1".into(),
        status: "Failed".into(),
        exit_code,
        last_line: "the hook failed with exit code 1".into(),
    })
}

async fn run(world: &World, request: Request) -> Result<Response, Fault> {
    handle(request, &ports(world)).await
}

fn unfenced(response: Response) -> String {
    match response {
        Response::Unfenced { reason } => reason,
        Response::Done { .. } | Response::InProgress { .. } => panic!("{response:?}"),
    }
}

#[tokio::test]
async fn activating_twice_is_activating_once_more_with_the_same_result() {
    let world = World::default();
    let first = run(&world, activate(&[])).await.unwrap();
    let second = run(&world, activate(&[])).await.unwrap();
    assert_eq!(first, Response::done(1));
    assert_eq!(first, second);
    let sent = world.sent();
    assert_eq!(sent[0], sent[1]);
    assert_eq!(sent[0].0, "us-west-2");
    let parameters = sent[0].1.parameters();
    let expected = [
        ("Action", "activate"),
        ("App", "queue"),
        ("Site", "b"),
        ("Epoch", "2"),
        ("DatabaseHost", "127.0.2.20"),
        ("DatabasePort", "5432"),
        ("DatabaseName", "queue"),
    ];
    assert_eq!(parameters, expected.map(|(name, value)| (name, value.to_owned())));
}

#[tokio::test]
async fn a_failure_at_any_call_leaves_a_request_that_succeeds_later() {
    for request in [activate(&[]), activate(&["command-1"])] {
        for place in 0.. {
            let world = World { fail_at: Some(place), ..World::default() };
            match run(&world, request.clone()).await {
                Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
                // Past the last call.
                Ok(_) => break,
            }
            assert_eq!(run(&world, request.clone()).await, Ok(Response::done(1)));
        }
    }
}

#[tokio::test]
async fn fencing_never_fails_for_the_reason_that_a_call_did() {
    for request in [fence(&[]), fence(&["command-1"])] {
        for place in 0.. {
            let world = World { fail_at: Some(place), ..World::default() };
            match run(&world, request.clone()).await.unwrap() {
                Response::Unfenced { reason } => assert_eq!(reason, "a reset"),
                // The command had left: it is asked about again.
                Response::InProgress { commands } => assert_eq!(commands, ["command-1"]),
                // Past the last call.
                Response::Done { .. } => break,
            }
            assert_eq!(run(&world, request.clone()).await, Ok(Response::done(1)));
        }
    }
}

#[tokio::test]
async fn a_command_that_goes_on_is_asked_about_and_not_sent_again() {
    let world = World { answers: Some(answers(&[("i-1", Answer::Silent)])), ..World::default() };
    for request in [activate(&[]), activate(&["command-1"])] {
        let response = run(&world, request).await.unwrap();
        assert_eq!(response, Response::InProgress { commands: vec!["command-1".into()] });
    }
    assert_eq!(world.sent().len(), 1);
    let response = run(&world, fence(&["command-1"])).await.unwrap();
    assert_eq!(response, Response::InProgress { commands: vec!["command-1".into()] });
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test]
async fn a_host_that_knows_a_newer_epoch_stops_the_recovery() {
    for request in [activate(&[]), fence(&[])] {
        let world =
            World { answers: Some(answers(&[("i-1", failed(Some(3)))])), ..World::default() };
        let fault = run(&world, request).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::StaleEpoch);
        assert!(fault.message.contains("host i-1"), "{fault}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_authority() {
    for request in [activate(&[]), fence(&[])] {
        let world = World { stale: true, ..World::default() };
        let fault = run(&world, request).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::StaleEpoch);
        assert!(world.sent().is_empty());
    }
}

#[tokio::test]
async fn a_host_that_fails_to_activate_needs_a_human_and_says_its_last_words() {
    let world = World { answers: Some(answers(&[("i-1", failed(Some(4)))])), ..World::default() };
    let fault = run(&world, activate(&[])).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(
        fault.message.contains("host i-1: Failed, exit code 4: the hook failed with exit code 1"),
        "{fault}"
    );

    let world = World { answers: Some(answers(&[("i-1", failed(Some(4)))])), ..World::default() };
    let reason = unfenced(run(&world, fence(&[])).await.unwrap());
    assert!(reason.contains("exit code 4"), "{reason}");
}

#[tokio::test]
async fn enough_hosts_are_a_site_and_the_others_are_named() {
    let hosts = answers(&[
        ("i-1", failed(Some(4))),
        ("i-2", Answer::Done),
        ("i-3", Answer::Done),
        ("i-4", Answer::Silent),
    ]);
    let world = World { answers: Some(hosts.clone()), ..World::default() };
    let Response::Done { hosts: 2, without } = run(&world, activate(&[])).await.unwrap() else {
        panic!("half of them are enough")
    };
    assert!(without[0].starts_with("host i-1: Failed, exit code 4"), "{without:?}");
    assert_eq!(without[1], "host i-4: has not taken the order");

    // The plan says how many: three may still come, four never will.
    let world = World { answers: Some(hosts.clone()), enough: Some(3), ..World::default() };
    let response = run(&world, activate(&["command-1"])).await.unwrap();
    assert_eq!(response, Response::InProgress { commands: vec!["command-1".into()] });
    let old = Answers { asked_at: hosts.sent_at + FENCE_PATIENCE * 2, ..hosts };
    let world = World { answers: Some(old), enough: Some(4), ..World::default() };
    let fault = run(&world, activate(&["command-1"])).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(
        fault.message.contains("4 hosts are enough and 2 of 4 hosts did it; host i-1"),
        "{fault}"
    );
}

#[tokio::test]
async fn one_host_that_did_not_confirm_leaves_the_site_unfenced_by_name() {
    let hosts = answers(&[("i-2", Answer::Done), ("i-3", Answer::Silent)]);
    let world = World { answers: Some(hosts.clone()), ..World::default() };
    let response = run(&world, fence(&[])).await.unwrap();
    assert_eq!(response, Response::InProgress { commands: vec!["command-1".into()] });
    let old = Answers { asked_at: hosts.sent_at + FENCE_PATIENCE, ..hosts };
    let world = World { answers: Some(old), ..World::default() };
    let reason = unfenced(run(&world, fence(&["command-1"])).await.unwrap());
    assert_eq!(reason, "1 of 2 hosts did it; host i-3: has not taken the order");
}

#[tokio::test]
async fn a_tag_that_no_host_has_is_told_by_name() {
    let world = World { answers: Some(answers(&[])), ..World::default() };
    let fault = run(&world, activate(&[])).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("no host has tag lifeboat-site=queue-b"), "{fault}");

    let reason = unfenced(run(&world, fence(&[])).await.unwrap());
    assert_eq!(reason, "no host in us-east-1 has tag lifeboat-site=queue-a");
}

#[tokio::test]
async fn a_site_without_hosts_is_activated_by_nothing_and_fenced_by_nobody() {
    let world = World { no_hosts_in_plan: true, ..World::default() };
    assert_eq!(run(&world, activate(&[])).await, Ok(Response::done(0)));
    let reason = unfenced(run(&world, fence(&[])).await.unwrap());
    assert_eq!(reason, "the plan names no hosts for site a");
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn fencing_goes_to_the_old_region_and_leaves_its_database_alone() {
    let world = World::default();
    assert_eq!(run(&world, fence(&[])).await, Ok(Response::done(1)));
    let sent = world.sent();
    assert_eq!(sent[0].0, "us-east-1");
    assert_eq!((sent[0].1.action, sent[0].1.epoch), (Action::Fence, Epoch(2)));
    assert_eq!(sent[0].1.site.as_str(), "a");
    assert_eq!(sent[0].1.database, None);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_hangs_costs_no_more_than_the_limit() {
    let world = World { hang: true, ..World::default() };
    let begun = tokio::time::Instant::now();
    let reason = unfenced(run(&world, fence(&[])).await.unwrap());
    assert_eq!(reason, "sending the command to us-east-1: no answer within 800 ms");
    assert!(begun.elapsed() <= std::time::Duration::from_millis(801));
}

#[tokio::test]
async fn requests_that_do_not_fit_the_plan_are_invalid() {
    let world = World::default();
    let wrong = [
        Request::Fence {
            authority: authority("b"),
            old_site: "b".parse().unwrap(),
            commands: Vec::new(),
        },
        Request::Fence {
            authority: authority("b"),
            old_site: "c".parse().unwrap(),
            commands: Vec::new(),
        },
        Request::Activate {
            authority: authority("a"),
            database: DatabaseAddress { host: "h".into(), port: 1, name: "n".into() },
            commands: Vec::new(),
        },
    ];
    for request in wrong {
        let fault = run(&world, request).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::InvalidInput, "{fault}");
    }
    assert!(world.sent().is_empty());
}

fn first(site: &str, commands: &[&str]) -> Request {
    Request::ActivateFirst {
        app: "queue".parse().unwrap(),
        site: site.parse().unwrap(),
        commands: commands.iter().map(|id| (*id).to_owned()).collect(),
    }
}

/// The world as the first site's region sees it.
async fn run_at_first(world: &World, request: Request) -> Result<Response, Fault> {
    let region = "us-east-1".parse().unwrap();
    handle(request, &Ports { region, ..ports(world) }).await
}

#[tokio::test]
async fn the_first_site_is_activated_as_often_as_it_is_asked_for_under_the_first_epoch() {
    for place in 0.. {
        let world = World { fail_at: Some(place), ..World::default() };
        match run_at_first(&world, first("a", &[])).await {
            Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
            Ok(_) => break,
        }
        let again = run_at_first(&world, first("a", &[])).await;
        assert_eq!(again, Ok(Response::done(1)));
        let (region, order) = world.sent().pop().unwrap();
        assert_eq!((region.as_str(), order.action), ("us-east-1", Action::Activate));
        assert_eq!((order.site.as_str(), order.epoch), ("a", Epoch(1)));
        assert_eq!(order.database.unwrap().host, "127.0.1.20");
    }
}

#[tokio::test]
async fn the_first_activation_is_refused_where_it_is_none_and_nothing_is_sent() {
    for (world, site, says) in [
        (World::default(), "b", "site a of queue is the active one"),
        (World { stale: true, ..World::default() }, "a", "epoch 9"),
    ] {
        let fault = run_at_first(&world, first(site, &[])).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused);
        assert!(fault.message.contains(says), "{fault}");
        assert!(world.sent().is_empty());
    }
    let world = World::default();
    let elsewhere = run(&world, first("a", &[])).await.unwrap_err();
    assert_eq!(elsewhere.name, ErrorName::InvalidInput);
    assert!(world.sent().is_empty());
}

#[test]
fn every_event_is_a_request() {
    for text in [
        include_str!("../../../events/site-control/activate.json"),
        include_str!("../../../events/site-control/activate-poll.json"),
        include_str!("../../../events/site-control/activate-first.json"),
        include_str!("../../../events/site-control/fence.json"),
        include_str!("../../../events/site-control/fence-poll.json"),
    ] {
        serde_json::from_str::<Request>(text).unwrap();
    }
}
