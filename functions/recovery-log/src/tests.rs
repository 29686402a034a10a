use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use lifeboat_core::{
    Epoch, ErrorName, IncidentId,
    contract::recovery_log::{HeldBy, StandDownReason, StepTaken},
    guard::ApprovalGiven,
    ledger::{ControlRecord, Ending, HolderState},
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
const WITNESS: &str = "ledger-us-east-2";

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
struct FakeMeter(Mutex<Vec<(String, String, f64)>>, Mutex<Vec<usize>>);

impl Meter for FakeMeter {
    fn recovered(&self, app: &AppName, site: &SiteName, seconds: f64, _now: Timestamp) {
        self.0.lock().unwrap().push((app.to_string(), site.to_string(), seconds));
    }

    fn registers_missing(&self, _: &AppName, site: &SiteName, missing: usize, _: Timestamp) {
        assert_eq!(site.as_str(), "b", "the site of this region");
        self.1.lock().unwrap().push(missing);
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

/// Three registers, `a` active under epoch 1, nothing open; this function runs in us-west-2, where
/// site `b` is.
fn world() -> World {
    let store = MemoryStore::default();
    let record = ControlRecord::first("queue".parse().unwrap(), "a".parse().unwrap(), at(0));
    store.seed(WEST, &record);
    store.seed(EAST, &record);
    store.seed(WITNESS, &record);
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
    claim_that_loses(Some(1.5), None, None)
}

fn claim_that_loses(
    seconds: Option<f64>,
    since: Option<Timestamp>,
    approval: Option<ApprovalGiven>,
) -> Request {
    Request::Claim {
        authority: authority(),
        observed_at: at(30),
        scenario: Scenario::RegionOutage,
        estimated_loss_seconds: seconds,
        loss_since: since,
        approval,
    }
}

fn release(incident: &str, epoch: u64) -> Request {
    Request::Release {
        app: "queue".parse().unwrap(),
        incident: incident.parse().unwrap(),
        epoch: Epoch(epoch),
        has_recovered: false,
    }
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
        }
    );
    assert_eq!(control(&world, WEST).epoch, Epoch(1), "opening changes nothing but a counter");
    let recorded = handle(record_approval(), &world, at(31)).await.unwrap();
    assert_eq!(recorded, Response::Recorded { sequence: 1 });
    let claimed = handle(claim(), &world, at(32)).await.unwrap();
    let Response::Claimed { epoch: Epoch(2), agreed_at, behind } = claimed else {
        panic!("{claimed:?}")
    };
    assert!(behind.is_empty() && agreed_at >= at(32) && agreed_at < at(33), "{agreed_at}");
    for bucket in [WEST, EAST, WITNESS] {
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
async fn a_dark_region_fails_nothing_and_costs_less_than_a_second() {
    let world = world();
    world.store.darken(&"us-east-1".parse().unwrap());
    for (request, second) in [(open("e-1"), 30), (claim(), 32), (close(Ending::Recovered), 50)] {
        let begun = Instant::now();
        handle(request.clone(), &world, at(second)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(900), "{request:?}");
    }
    assert_eq!(control(&world, WEST).active_site.as_str(), "b");
    assert_eq!(control(&world, WITNESS).active_site.as_str(), "b");
    assert_eq!(log(&world).await[0].body["unreachable"], json!(["us-east-1"]));
}

#[tokio::test]
async fn a_claim_that_no_majority_holds_is_none_and_can_be_completed_or_overtaken() {
    // The others are read, and no write reaches them any more.
    let world = after(&[open("e-1")]).await;
    let app = "queue".parse().unwrap();
    let alone = ledger::claim(&control(&world, WEST), &authority().incident, Epoch(2), at(40));
    world.store.seed(WEST, &alone.unwrap());
    for region in ["us-east-1", "us-east-2"] {
        world.store.darken(&region.parse().unwrap());
    }
    let fault = handle(claim(), &world, at(41)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    assert!(fault.message.contains("needs a majority"), "{fault}");
    let holder = control(&world, WEST).recovery.unwrap();
    assert_eq!((holder.state, holder.agreed_at), (HolderState::Claimed, None));
    // One of them answers again: the same call completes it.
    world.store.light(&"us-east-2".parse().unwrap());
    let claimed = handle(claim(), &world, at(50)).await.unwrap();
    assert!(
        matches!(&claimed, Response::Claimed { behind, .. } if behind.len() == 1),
        "{claimed:?}"
    );
    // What lagged is settled by the next look, which tells how many are missing.
    let settle = Request::Settle { app };
    handle(settle.clone(), &world, at(55)).await.unwrap();
    world.store.light(&"us-east-1".parse().unwrap());
    for second in [60, 61] {
        let settled = handle(settle.clone(), &world, at(second)).await.unwrap();
        assert_eq!(settled, Response::Settled { behind: vec![] });
    }
    assert_eq!(*world.meter.1.lock().unwrap(), [1, 1, 0]);
    assert_eq!(control(&world, EAST).epoch, Epoch(2));
    assert_eq!(control(&world, EAST).recovery, None, "another region's holder is not copied");

    let world = after(&[open("e-1")]).await;
    let newer =
        ControlRecord { epoch: Epoch(3), highest_reserved: Epoch(3), ..control(&world, EAST) };
    world.store.seed(WITNESS, &newer);
    let fault = handle(claim(), &world, at(40)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::StaleEpoch);
    assert_eq!(control(&world, WITNESS), newer);
}

#[tokio::test]
async fn old_votes_claim_nothing() {
    let world = after(&[open("e-1")]).await;
    let contents = world.store.contents();
    let fault = handle(claim(), &world, at(91)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    assert!(fault.message.contains("61 s old"), "{fault}");
    assert_eq!(world.store.contents(), contents);
    // A claim that is complete is answered again, however late.
    handle(claim(), &world, at(89)).await.unwrap();
    let once = control(&world, WEST);
    handle(claim(), &world, at(9_000)).await.unwrap();
    assert_eq!(control(&world, WEST), once);
}
