use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use lifeboat_core::{
    Epoch, ErrorName, IncidentId,
    contract::recovery_log::StepTaken,
    ledger::{Ending, HolderState},
    plan_file::{self, Scenario},
    recovery_log,
    situation::Trigger,
};
use lifeboat_ledger::testing::{Failure, MemoryStore};

use super::*;

mod events;
mod repeat;
mod rules;

const WEST: &str = "ledger-us-west-2";
const EAST: &str = "ledger-us-east-1";

#[derive(Default)]
struct FakePlans {
    fails_once: AtomicBool,
}

impl Plans for FakePlans {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        if self.fails_once.swap(false, Ordering::Relaxed) {
            return Err(Fault::transient("no answer"));
        }
        let plan = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
        if plan.app == *app { Ok(plan) } else { Err(Fault::invalid("no plan")) }
    }
}

#[derive(Default)]
struct FakeMeter(Mutex<Vec<(String, String, f64)>>);

impl Meter for FakeMeter {
    fn recovered(&self, app: &AppName, site: &SiteName, seconds: f64, _now: Timestamp) {
        self.0.lock().unwrap().push((app.to_string(), site.to_string(), seconds));
    }
}

impl FakeMeter {
    fn seen(&self) -> Vec<(String, String, f64)> {
        self.0.lock().unwrap().clone()
    }
}

type World = Ports<FakePlans, MemoryStore, FakeMeter>;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

/// Two regions, `a` active under epoch 1, nothing open; this function runs in us-west-2, where
/// site `b` is.
fn world() -> World {
    let store = MemoryStore::default();
    let record = ControlRecord::first("queue".parse().unwrap(), "a".parse().unwrap(), at(0));
    store.seed(WEST, &record);
    store.seed(EAST, &record);
    Ports {
        plans: FakePlans::default(),
        store: Arc::new(store),
        meter: FakeMeter::default(),
        prefix: "ledger".into(),
        region: "us-west-2".parse().unwrap(),
    }
}

fn authority() -> Authority {
    Authority {
        app: "queue".parse().unwrap(),
        incident: "i-1".parse().unwrap(),
        epoch: Epoch(2),
        site: "b".parse().unwrap(),
    }
}

fn open(execution: &str) -> Request {
    Request::Open {
        app: "queue".parse().unwrap(),
        incident: "i-1".parse().unwrap(),
        execution: execution.into(),
        scenario: Scenario::RegionOutage,
        trigger: Trigger::Alarm { alarm: "lifeboat-queue-site-a-down".into(), at: at(20) },
    }
}

fn record_approval() -> Request {
    let body = json!({"approver": "ada"});
    Request::Record { authority: authority(), kind: EntryKind::Approval, body }
}

fn claim() -> Request {
    Request::Claim { authority: authority(), peers_answer: true }
}

fn close(ending: Ending) -> Request {
    Request::Close {
        authority: authority(),
        ending,
        reason: "clients are served from b".into(),
        detected_at: Some(at(20)),
        estimated_loss_seconds: Some(1.5),
        steps: vec![StepTaken {
            name: "FencePrimary".into(),
            started_at: at(24),
            ended_at: at(25),
            outcome: "unfenced".into(),
        }],
    }
}

/// A world in which these requests were made, a second apart from second 30 on.
async fn after(requests: &[Request]) -> World {
    let world = world();
    for (second, request) in (30..).zip(requests) {
        handle(request.clone(), &world, at(second)).await.unwrap();
    }
    world
}

fn control(world: &World, bucket: &str) -> ControlRecord {
    world.store.record(bucket, "queue").unwrap()
}

/// The log of the incident, which must be one unbroken chain.
async fn log(world: &World) -> Vec<Entry> {
    let ledger = Ledger::over(
        Arc::clone(&world.store),
        world.prefix.clone(),
        world.region.clone(),
        Vec::new(),
    );
    let app = "queue".parse().unwrap();
    let incident: IncidentId = "i-1".parse().unwrap();
    let entries = ledger.entries(&app, &incident).await.unwrap();
    assert_eq!(recovery_log::verify(&entries), Ok(()));
    entries
}

fn kinds(entries: &[Entry]) -> Vec<EntryKind> {
    entries.iter().map(|entry| entry.kind).collect()
}

#[tokio::test]
async fn a_recovery_from_open_to_close() {
    let world = world();
    let opened = handle(open("e-1"), &world, at(30)).await.unwrap();
    assert_eq!(
        opened,
        Response::Opened {
            site: "b".parse().unwrap(),
            epoch: Epoch(2),
            active_site: "a".parse().unwrap(),
            active_epoch: Epoch(1),
            peers_answer: true,
        }
    );
    assert_eq!(control(&world, WEST).epoch, Epoch(1), "opening changes nothing but a counter");
    let recorded = handle(record_approval(), &world, at(31)).await.unwrap();
    assert_eq!(recorded, Response::Recorded { sequence: 1 });
    let claimed = handle(claim(), &world, at(32)).await.unwrap();
    assert_eq!(claimed, Response::Claimed { epoch: Epoch(2) });
    for bucket in [WEST, EAST] {
        let record = control(&world, bucket);
        assert_eq!((record.active_site.as_str(), record.epoch), ("b", Epoch(2)), "{bucket}");
    }
    let closed = handle(close(Ending::Recovered), &world, at(50)).await.unwrap();
    assert_eq!(
        closed,
        Response::Closed {
            ending: Ending::Recovered,
            recovery_seconds: Some(30.0),
            log: "s3://ledger-us-west-2/log/queue/i-1/".into(),
        }
    );
    assert_eq!(control(&world, WEST).recovery, None);
    assert_eq!(control(&world, EAST), control(&world, WEST));
    assert_eq!(world.meter.seen(), [("queue".into(), "b".into(), 30.0)]);
    let log = log(&world).await;
    assert_eq!(
        kinds(&log),
        [EntryKind::Opened, EntryKind::Approval, EntryKind::Claimed, EntryKind::Closed]
    );
    assert_eq!(log[0].body["trigger"]["by"], "alarm");
    assert_eq!(log[3].body["steps"][0]["name"], "FencePrimary");
    assert_eq!(log[3].body["recovery_seconds"], 30.0);
}

#[tokio::test]
async fn a_dark_peer_fails_nothing_and_costs_less_than_a_second() {
    let world = world();
    world.store.darken(&"us-east-1".parse().unwrap());
    for (request, second) in [(open("e-1"), 30), (claim(), 32), (close(Ending::Recovered), 50)] {
        let begun = Instant::now();
        handle(request.clone(), &world, at(second)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(900), "{request:?}");
    }
    assert_eq!(control(&world, WEST).active_site.as_str(), "b");
    assert_eq!(log(&world).await[0].body["unreachable"], json!(["us-east-1"]));
}
