use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, ErrorName, Fault, IncidentId, Region,
    contract::{
        Authority,
        promote_replica::{Outcome, Request, Response},
    },
    ledger::{Holder, HolderState},
    permit::PERMITS_END,
    plan_file::{self, AppPlan, Engine},
};

use crate::{Authorizer, Database, Plans, Replica, State, handle};

/// Every call that a promotion can make, in its order.
const CALLS: [&str; 5] = ["plan", "authorize", "state", "promote", "state"];

/// One site's database, and everything around it. A server that promotes at once, or only after
/// some looks at it, as RDS does.
struct Fake {
    plan: AppPlan,
    /// When a majority held the claim.
    agreed_at: Timestamp,
    /// The call that fails, by its place, and whether it takes effect nevertheless.
    fails: Option<(usize, bool)>,
    calls: Mutex<Vec<&'static str>>,
    state: Mutex<State>,
    /// Looks that see it on its way after it was promoted.
    changes_for: Mutex<u32>,
    asked: Mutex<Vec<Database>>,
}

fn now() -> Timestamp {
    "2026-01-01T12:03:20Z".parse().unwrap()
}

fn replica(changes_for: u32) -> Fake {
    Fake {
        plan: plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap(),
        agreed_at: now() - PERMITS_END,
        fails: None,
        calls: Mutex::default(),
        state: Mutex::new(State::Replica),
        changes_for: Mutex::new(changes_for),
        asked: Mutex::default(),
    }
}

impl Fake {
    /// Notes the call; true when its answer is lost, an error when it never arrives.
    fn call(&self, name: &'static str) -> Result<bool, Fault> {
        let mut calls = self.calls.lock().unwrap();
        let place = calls.len();
        calls.push(name);
        match self.fails {
            Some((at, false)) if at == place => Err(Fault::transient("refused")),
            fails => Ok(fails == Some((place, true))),
        }
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn lost<T>(answer_is_lost: bool, answer: T) -> Result<T, Fault> {
    if answer_is_lost { Err(Fault::transient("the answer was lost")) } else { Ok(answer) }
}

impl Plans for Fake {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        lost(self.call("plan")?, self.plan.clone())
    }
}

impl Authorizer for Fake {
    async fn authorize(&self, authority: &Authority, _: &AppPlan) -> Result<Holder, Fault> {
        let answer_is_lost = self.call("authorize")?;
        if authority.epoch.0 == 2 {
            let holder = Holder {
                incident: authority.incident.clone(),
                execution: "arn".into(),
                target: authority.site.clone(),
                epoch: authority.epoch,
                opened_at: self.agreed_at,
                state: HolderState::Claimed,
                agreed_at: Some(self.agreed_at),
                agreed_before: None,
            };
            lost(answer_is_lost, holder)
        } else {
            Err(Fault::stale("a newer epoch exists"))
        }
    }
}

impl Replica for Fake {
    async fn state(&self, database: &Database) -> Result<State, Fault> {
        let answer_is_lost = self.call("state")?;
        self.asked.lock().unwrap().push(database.clone());
        let mut changes_for = self.changes_for.lock().unwrap();
        let state = self.state.lock().unwrap().clone();
        if matches!(state, State::Primary { .. }) && *changes_for > 0 {
            *changes_for -= 1;
            return lost(answer_is_lost, State::Changing("RDS says modifying".into()));
        }
        lost(answer_is_lost, state)
    }

    async fn promote(&self, _: &Database, incident: &IncidentId) -> Result<(), Fault> {
        let answer_is_lost = self.call("promote")?;
        *self.state.lock().unwrap() = State::Primary { promoted_by: Some(incident.clone()) };
        lost(answer_is_lost, ())
    }
}

fn event(text: &str) -> Request {
    serde_json::from_str(text).unwrap()
}

fn automatic() -> Request {
    event(include_str!("../../../events/promote-replica/automatic.json"))
}

async fn ask(world: &Fake, request: Request) -> Result<Response, Fault> {
    let region: Region = "us-west-2".parse().unwrap();
    handle(request, world, world, world, &region, now()).await
}

#[tokio::test]
async fn a_replica_is_promoted_once_however_often_it_is_asked() {
    let world = replica(0);
    let first = ask(&world, automatic()).await.unwrap();
    assert_eq!(world.calls(), CALLS);
    assert_eq!(first.outcome, Outcome::Promoted);
    assert_eq!((first.database.host.as_str(), first.database.port), ("127.0.2.20", 5432));
    assert_eq!(first.database.name, "queue");

    assert_eq!(ask(&world, automatic()).await.unwrap(), first);
    assert_eq!(world.calls(), ["plan", "authorize", "state"]);
}

#[tokio::test]
async fn a_promotion_that_takes_time_is_not_ready_and_is_not_started_again() {
    let world = replica(2);
    for _ in 0..2 {
        let fault = ask(&world, automatic()).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NotReady);
        assert!(fault.message.contains("modifying"), "{fault}");
    }
    assert_eq!(ask(&world, automatic()).await.unwrap().outcome, Outcome::Promoted);
    assert_eq!(world.calls().iter().filter(|call| **call == "promote").count(), 1);
}

#[tokio::test]
async fn every_call_may_fail_or_lose_its_answer_and_the_same_request_succeeds_later() {
    for place in 0..CALLS.len() {
        for takes_effect in [false, true] {
            let mut world = replica(0);
            world.fails = Some((place, takes_effect));
            let fault = ask(&world, automatic()).await.unwrap_err();
            assert_eq!(fault.name, ErrorName::Transient, "{}", CALLS[place]);
            assert_eq!(world.calls(), CALLS[..=place]);
            world.fails = None;
            let response = ask(&world, automatic()).await.unwrap();
            assert_eq!(response.outcome, Outcome::Promoted, "{} {takes_effect}", CALLS[place]);
        }
    }
}

#[tokio::test]
async fn nothing_is_asked_of_a_database_for_a_stale_recovery() {
    let world = replica(0);
    let mut request = automatic();
    request.authority.epoch = lifeboat_core::Epoch(1);
    assert_eq!(ask(&world, request).await.unwrap_err().name, ErrorName::StaleEpoch);
    assert_eq!(world.calls(), ["plan", "authorize"]);
}

#[tokio::test]
async fn more_than_the_rpo_is_lost_only_with_leave() {
    let world = replica(0);
    for loss in [Some(30.1), None] {
        let request = Request { estimated_loss_seconds: loss, ..automatic() };
        assert_eq!(ask(&world, request).await.unwrap_err().name, ErrorName::Refused);
    }
    assert_eq!(world.calls(), ["plan", "authorize"].repeat(2));
    for approved in [
        include_str!("../../../events/promote-replica/approved.json"),
        include_str!("../../../events/promote-replica/approved-unknown-loss.json"),
    ] {
        assert_eq!(ask(&world, event(approved)).await.unwrap().outcome, Outcome::Promoted);
    }
}

#[tokio::test]
async fn a_primary_of_another_making_is_a_primary_already() {
    for promoted_by in [None, Some("another".parse().unwrap())] {
        let world = replica(0);
        *world.state.lock().unwrap() = State::Primary { promoted_by };
        assert_eq!(ask(&world, automatic()).await.unwrap().outcome, Outcome::AlreadyPrimary);
    }
}

#[tokio::test]
async fn a_broken_database_needs_a_human() {
    let world = replica(0);
    *world.state.lock().unwrap() = State::Broken("RDS says failed".into());
    let fault = ask(&world, automatic()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("queue-b cannot be promoted: RDS says failed"), "{fault}");
}

#[tokio::test]
async fn only_the_database_of_this_region_is_asked_as_this_region_reaches_it() {
    let world = replica(0);
    ask(&world, automatic()).await.unwrap();
    for database in world.asked.lock().unwrap().iter() {
        assert_eq!((database.host.as_str(), database.port), ("127.0.22.20", 5432));
        assert_eq!((database.identifier.as_str(), database.engine), ("queue-b", Engine::Rds));
    }

    let elsewhere: Region = "us-east-1".parse().unwrap();
    let fault = handle(automatic(), &world, &world, &world, &elsewhere, now()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
    let mut unknown = automatic();
    unknown.authority.site = "c".parse().unwrap();
    assert_eq!(ask(&world, unknown).await.unwrap_err().name, ErrorName::InvalidInput);
}

#[tokio::test]
async fn a_scenario_without_objectives_is_invalid() {
    let mut world = replica(0);
    world.plan.scenarios.clear();
    assert_eq!(ask(&world, automatic()).await.unwrap_err().name, ErrorName::InvalidInput);
}

#[tokio::test]
async fn nothing_is_promoted_while_a_permit_of_the_old_site_may_be_good() {
    let mut world = replica(0);
    world.agreed_at = now() - PERMITS_END + SignedDuration::from_millis(1);
    let fault = ask(&world, automatic()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NotReady);
    assert_eq!(world.calls(), ["plan", "authorize"]);
    world.agreed_at = now() - PERMITS_END;
    ask(&world, automatic()).await.unwrap();
}

#[tokio::test]
async fn the_loss_is_measured_again_at_the_claim() {
    // Within the RPO of 30 s as it was planned, and not when the claim took longer.
    let world = replica(0);
    let since = |seconds| Some(now() - SignedDuration::from_secs(seconds));
    let request = |seconds| Request { loss_since: since(seconds), ..automatic() };
    let fault = ask(&world, request(31)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    assert!(fault.message.contains("31.0 s"), "{fault}");
    assert_eq!(world.calls(), ["plan", "authorize"]);
    ask(&world, request(30)).await.unwrap();
}
