use lifeboat_core::{
    Epoch, ErrorName, IncidentId,
    contract::Authority,
    ledger::{Claimant, ControlRecord, Opening, open},
    plan_file::{self, Scenario},
    recovery_log,
    recovery_plan::Decision,
    registers::{Answer, Registers},
    situation::{Trigger, samples},
    vote::SiteVerdict,
};
use lifeboat_ledger::testing::{Failure, MemoryStore};

use super::*;

const BUCKET: &str = "ledger-us-west-2";

struct FakePlans {
    fault: Option<Fault>,
}

impl Plans for FakePlans {
    async fn plan(&self, _app: &AppName) -> Result<AppPlan, Fault> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap()),
        }
    }
}

type World = Ports<FakePlans, MemoryStore>;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

fn world() -> World {
    world_of("i-1")
}

/// This recovery is open and activates site `b` under epoch 2.
fn world_of(incident: &str) -> World {
    let store = MemoryStore::default();
    let record = ControlRecord::first("queue".parse().unwrap(), "a".parse().unwrap(), at(0));
    let incident: IncidentId = incident.parse().unwrap();
    let target = "b".parse().unwrap();
    let claimant = Claimant { incident: &incident, execution: "e-1", target: &target };
    let own: Region = "us-west-2".parse().unwrap();
    let registers = Registers::new([(own.clone(), Answer::Holds(record.clone()))]);
    let plan = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
    let class = plan.epochs_of(&target).unwrap();
    let opening = open(&own, &registers, &claimant, class, at(1));
    let Opening::Write(opened) = opening else { panic!("refused") };
    store.seed(BUCKET, &opened);
    store.seed("ledger-us-east-1", &record);
    store.seed("ledger-us-east-2", &record);
    Ports {
        plans: FakePlans { fault: None },
        store: Arc::new(store),
        prefix: "ledger".into(),
        region: "us-west-2".parse().unwrap(),
    }
}

fn request(verdict: SiteVerdict) -> Request {
    Request {
        authority: Authority {
            app: "queue".parse().unwrap(),
            incident: "i-1".parse().unwrap(),
            epoch: Epoch(2),
            site: "b".parse().unwrap(),
        },
        scenario: Scenario::RegionOutage,
        trigger: Trigger::Alarm { alarm: "down".into(), at: at(25) },
        active_site: "a".parse().unwrap(),
        observation: samples::observation(verdict, 2),
        // So often that nothing is waited for any more.
        looks: 6,
        approval: None,
    }
}

async fn log(world: &World) -> Vec<recovery_log::Entry> {
    let ledger = Ledger::over(
        Arc::clone(&world.store),
        world.prefix.clone(),
        world.region.clone(),
        Vec::new(),
    );
    let entries = ledger.entries(&"queue".parse().unwrap(), &"i-1".parse().unwrap()).await.unwrap();
    assert_eq!(recovery_log::verify(&entries), Ok(()));
    entries
}

#[tokio::test]
async fn a_plan_is_decided_logged_and_the_same_when_asked_again() {
    for (verdict, decision) in [
        (SiteVerdict::Down, Decision::Proceed),
        (SiteVerdict::Up, Decision::StandDown),
        (SiteVerdict::Unknown, Decision::StandDown),
    ] {
        let world = world();
        let plan = handle(request(verdict), &world, at(30)).await.unwrap();
        assert_eq!(plan.decision, decision);
        let contents = world.store.contents();
        assert_eq!(handle(request(verdict), &world, at(40)).await.unwrap(), plan);
        assert_eq!(world.store.contents(), contents);
        let log = log(&world).await;
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].kind, EntryKind::Planned);
        assert_eq!(log[0].body, serde_json::to_value(&plan).unwrap());
    }
}

#[tokio::test]
async fn gone_wrong_at_any_call_the_same_request_completes() {
    let clean = world();
    let expected = handle(request(SiteVerdict::Down), &clean, at(30)).await.unwrap();
    let calls = clean.store.calls();
    for failure in [Failure::Before, Failure::AnswerLost] {
        for place in 0..calls {
            let world = world();
            world.store.fail(place, failure);
            match handle(request(SiteVerdict::Down), &world, at(30)).await {
                Ok(plan) => assert_eq!(plan, expected),
                Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "call {place}"),
            }
            world.store.heal();
            let plan = handle(request(SiteVerdict::Down), &world, at(31)).await.unwrap();
            assert_eq!(plan, expected);
            assert_eq!(log(&world).await.len(), 1, "call {place}, {failure:?}");
        }
    }
}

#[tokio::test]
async fn without_a_log_there_is_still_a_plan() {
    let world = world();
    for place in 3..20 {
        world.store.fail(place, Failure::Before);
    }
    let plan = handle(request(SiteVerdict::Down), &world, at(30)).await.unwrap();
    assert_eq!(plan.decision, Decision::Proceed);
}

#[tokio::test]
async fn only_the_holder_of_the_ledger_gets_a_plan() {
    let world = world();
    let mut stale = request(SiteVerdict::Down);
    stale.authority.epoch = Epoch(1);
    let fault = handle(stale, &world, at(30)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::StaleEpoch);
    // Even when there is no plan to be had: a stale caller has to stop, not to mend anything.
    let world = Ports { plans: FakePlans { fault: Some(Fault::invalid("none")) }, ..world };
    let mut stale = request(SiteVerdict::Down);
    stale.authority.incident = "i-2".parse().unwrap();
    assert_eq!(handle(stale, &world, at(30)).await.unwrap_err().name, ErrorName::StaleEpoch);
    let fault = handle(request(SiteVerdict::Down), &world, at(30)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
    assert_eq!(log(&world).await, []);
}

#[tokio::test]
async fn a_site_that_the_plan_does_not_have_is_invalid() {
    let world = world();
    let mut other = request(SiteVerdict::Down);
    other.active_site = "c".parse().unwrap();
    let mut observed = request(SiteVerdict::Down);
    let site = observed.observation.sites.remove("a").unwrap();
    observed.observation.sites.insert("d".parse().unwrap(), site);
    for (request, says) in [(other, "no site c"), (observed, "no site d")] {
        let fault = handle(request, &world, at(30)).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::InvalidInput);
        assert!(fault.message.contains(says), "{fault}");
    }
}

/// What the example events' names say.
#[tokio::test]
async fn the_example_events_do_what_they_are_called() {
    macro_rules! event {
        ($name:literal) => {
            include_str!(concat!("../../../events/plan-recovery/", $name, ".json"))
        };
    }
    let cases = [
        (event!("region-outage-proceeds"), Ok(Decision::Proceed)),
        (event!("lag-beyond-rpo-asks-approval"), Ok(Decision::AskApproval)),
        (event!("unknown-lag-asks-approval"), Ok(Decision::AskApproval)),
        (event!("operator-overrides-votes"), Ok(Decision::AskApproval)),
        (event!("replica-lost-is-blocked"), Ok(Decision::Blocked)),
        (event!("not-down-for-long-waits"), Ok(Decision::Wait)),
        (event!("healthy-site-stands-down"), Ok(Decision::StandDown)),
        (event!("blind-observer-stands-down"), Ok(Decision::StandDown)),
        (event!("stale-epoch"), Err(ErrorName::StaleEpoch)),
        (event!("unknown-site-is-invalid"), Err(ErrorName::InvalidInput)),
    ];
    for (event, expected) in cases {
        let request: Request = serde_json::from_str(event).unwrap();
        let world = world_of(request.authority.incident.as_str());
        let answer = handle(request, &world, at(30)).await;
        let answer = answer.map(|plan| plan.decision).map_err(|fault| fault.name);
        assert_eq!(answer, expected, "{event}");
    }
}

#[test]
fn a_plan_that_breaks_a_rule_is_not_handed_out() {
    let app = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
    let situation = Situation {
        scenario: Scenario::RegionOutage,
        trigger: Trigger::Alarm { alarm: "down".into(), at: at(25) },
        target: "b".parse().unwrap(),
        active: "a".parse().unwrap(),
        epoch: Epoch(2),
        continues: false,
        left_at: None,
        no_majority: None,
        observation: samples::observation(SiteVerdict::Down, 1),
        looks: 0,
        approval: None,
    };
    let mut decided = plan(&situation, &app);
    assert_eq!(check_plan(&decided), Ok(()));
    decided.steps.remove(0);
    let fault = check_plan(&decided).unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("does not claim the epoch"), "{fault}");
}

#[tokio::test]
async fn only_a_claim_that_a_majority_holds_is_gone_on_with() {
    let world = world();
    let mine = world.store.record(BUCKET, "queue").unwrap();
    let claimed = ControlRecord { epoch: Epoch(2), active_site: "b".parse().unwrap(), ..mine };
    world.store.seed(BUCKET, &claimed);
    let decided = handle(request(SiteVerdict::Up), &world, at(30)).await.unwrap();
    assert_eq!(decided.decision, Decision::StandDown, "{}", decided.reason);
    let told = ControlRecord { recovery: None, ..claimed };
    world.store.seed("ledger-us-east-2", &told);
    let decided = handle(request(SiteVerdict::Up), &world, at(31)).await.unwrap();
    assert_eq!(decided.decision, Decision::Proceed, "{}", decided.reason);
}

#[tokio::test]
async fn without_a_majority_of_registers_nothing_is_claimed_and_they_are_asked_again() {
    let world = world();
    for dark in ["us-east-1", "us-east-2"] {
        world.store.darken(&dark.parse().unwrap());
    }
    let asked = request(SiteVerdict::Down);
    let first = Request { looks: 0, ..asked.clone() };
    let waits = handle(first, &world, at(30)).await.unwrap();
    assert_eq!(waits.decision, Decision::Wait, "{}", waits.reason);
    assert!(waits.reason.contains("us-east-2: no answer"), "{}", waits.reason);
    let gives_up = handle(asked, &world, at(90)).await.unwrap();
    assert_eq!(gives_up.decision, Decision::Blocked, "{}", gives_up.reason);
}
