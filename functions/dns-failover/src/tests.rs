//! The handler with fakes: run twice, failed at each call, and every refusal.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use lifeboat_core::{
    AppName, Epoch, ErrorName,
    plan_file::{self, Alias, Destination, RecordKind, Switch, Target},
    vote::{CheckKind, CheckResult, Vote},
};

use super::*;

/// A world with a bucket, a hosted zone and a resolver, whose n-th call fails.
struct World {
    plan: AppPlan,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: usize,
    fail_at: Option<usize>,
    /// The call takes effect and its answer is lost, rather than failing before it.
    answer_lost: bool,
    stale: bool,
    health: VecDeque<Vote>,
    looked_at: Vec<String>,
    marks: BTreeMap<String, Held>,
    writes: usize,
    standing: Standing,
    changes: usize,
    pending_looks: u32,
    answers: Vec<Result<Vec<IpAddr>, String>>,
    /// What load balancers' names answer with.
    names: BTreeMap<(String, RecordKind), Vec<IpAddr>>,
}

impl World {
    fn new(switch: Switch) -> Self {
        let mut plan = plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap();
        plan.dns.switch = switch;
        plan.dns.hosted_zone_id = Some("Z1".into());
        Self { plan, state: Mutex::default() }
    }

    fn with(self, set: impl FnOnce(&mut State)) -> Self {
        set(&mut self.state.lock().unwrap());
        self
    }

    /// The failure of this call, if it is the one to fail.
    fn lost(&self, state: &mut State) -> Option<Fault> {
        let place = state.calls;
        state.calls += 1;
        (state.fail_at == Some(place)).then(|| Fault::transient("a reset"))
    }

    /// Does `work`, unless this is the call that fails before it.
    fn call<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Fault>) -> Result<T, Fault> {
        let state = &mut *self.state.lock().unwrap();
        match self.lost(state) {
            Some(fault) if state.answer_lost => {
                work(state).ok();
                Err(fault)
            }
            Some(fault) => Err(fault),
            None => work(state),
        }
    }
}

impl Plans for World {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        self.call(|_| Ok(self.plan.clone()))
    }
}

impl Authorizer for World {
    async fn authorize(&self, _: &Authority, _: &AppPlan) -> Result<(), Fault> {
        self.call(|state| if state.stale { Err(Fault::stale("epoch 9")) } else { Ok(()) })
    }
}

impl Health for World {
    async fn check(&self, _: CheckKind, endpoint: &str, _: Duration) -> CheckResult {
        let mut state = self.state.lock().unwrap();
        state.looked_at.push(endpoint.to_owned());
        let vote = state.health.pop_front().unwrap_or(Vote::Up);
        CheckResult { vote, detail: "HTTP 503".into(), elapsed_ms: 1 }
    }
}

impl Marks for World {
    async fn read(&self, key: &str) -> Result<Option<Held>, Fault> {
        self.call(|state| Ok(state.marks.get(key).cloned()))
    }

    async fn write(&self, key: &str, mark: &Mark, over: Option<&Held>) -> Result<(), Fault> {
        self.call(|state| {
            if state.marks.get(key).map(|held| &held.version) != over.map(|held| &held.version) {
                return Err(Fault::transient("changed meanwhile"));
            }
            state.writes += 1;
            let version = format!("v{}", state.writes);
            let held = Held { epoch: mark.epoch, change: mark.change.clone(), version };
            state.marks.insert(key.to_owned(), held);
            Ok(())
        })
    }
}

impl Records for World {
    async fn standing(&self, _: &str, _: &str) -> Result<Standing, Fault> {
        self.call(|state| Ok(state.standing.clone()))
    }

    async fn change(&self, change: &RecordChange) -> Result<String, Fault> {
        self.call(|state| {
            if state.standing.guard != change.old_guard {
                return Err(Fault::transient("the batch does not fit"));
            }
            let records = change.records.clone().into_iter().map(|(kind, to)| (kind, vec![to]));
            state.standing =
                Standing { records: records.collect(), guard: Some(change.new_guard.clone()) };
            state.changes += 1;
            Ok(format!("/change/C{}", state.changes))
        })
    }

    async fn in_sync(&self, change: &str) -> Result<bool, Fault> {
        self.call(|state| {
            assert_eq!(change, format!("/change/C{}", state.changes));
            let pending = state.pending_looks > 0;
            state.pending_looks = state.pending_looks.saturating_sub(1);
            Ok(!pending)
        })
    }
}

impl Resolvers for World {
    async fn ask(
        &self,
        _: Option<SocketAddr>,
        name: &str,
        kind: RecordKind,
    ) -> Result<Vec<IpAddr>, String> {
        let mut state = self.state.lock().unwrap();
        if name != "queue.example.test" {
            let found = state.names.get(&(name.to_owned(), kind));
            return found.cloned().ok_or_else(|| "it answers NXDomain".to_owned());
        }
        if state.answers.is_empty() { Ok(vec![ip("127.0.2.10")]) } else { state.answers.remove(0) }
    }
}

fn to_site_a() -> BTreeMap<RecordKind, Vec<Destination>> {
    [(RecordKind::A, vec![Destination::Address(ip("127.0.1.10"))])].into()
}

/// Both sites behind dual-stack load balancers.
fn balanced(switch: Switch) -> World {
    let mut world = World::new(switch);
    for (name, site) in &mut world.plan.sites {
        let dns_name = format!("lb-{name}.elb.test");
        let alias = Alias { dns_name, zone_id: "ZELB".into(), ipv6: true };
        site.target = Some(Target { alias: Some(alias), ..Target::default() });
    }
    world.with(|state| {
        for (site, number) in [("a", 1), ("b", 2)] {
            let name = format!("lb-{site}.elb.test");
            let four = vec![ip(&format!("10.{number}.0.1")), ip(&format!("10.{number}.0.2"))];
            state.names.insert((name.clone(), RecordKind::A), four);
            state.names.insert((name, RecordKind::Aaaa), vec![ip(&format!("2001:db8::{number}"))]);
        }
    })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn authority(site: &str, epoch: u64) -> Authority {
    Authority {
        app: "queue".parse().unwrap(),
        incident: "queue-e2".parse().unwrap(),
        epoch: Epoch(epoch),
        site: site.parse().unwrap(),
    }
}

fn place(region: &str) -> Place {
    Place { region: region.parse().unwrap(), bucket: Some(format!("switch-{region}")) }
}

async fn switch(world: &World, epoch: u64) -> Result<Response, Fault> {
    let request = Request::Switch { authority: authority("b", epoch) };
    handle(request, &place("us-west-2"), world).await
}

async fn confirm(world: &World) -> Result<Response, Fault> {
    let request = Request::Confirm { authority: authority("b", 2) };
    handle(request, &place("us-west-2"), world).await
}

fn changed(response: &Response) -> bool {
    match response {
        Response::Switch { changed, .. } => *changed,
        Response::Confirm { .. } => panic!("{response:?}"),
    }
}

fn undo(response: Response) -> String {
    match response {
        Response::Switch { undo, .. } => undo,
        Response::Confirm { .. } => panic!("{response:?}"),
    }
}

fn held(epoch: u64) -> Held {
    Held { epoch: Epoch(epoch), change: None, version: "old".into() }
}

const ACTIVE: &str = "queue/site-b-active";

#[tokio::test]
async fn switching_twice_is_switching_once() {
    for way in [Switch::HealthCheck, Switch::Record] {
        let world = World::new(way);
        let first = switch(&world, 2).await.unwrap();
        let writes = world.state.lock().unwrap().writes;
        let second = switch(&world, 2).await.unwrap();
        assert!(changed(&first) && !changed(&second));
        assert_eq!(undo(first), undo(second));
        let state = world.state.lock().unwrap();
        assert_eq!(state.writes, writes);
        assert_eq!(state.changes, usize::from(way == Switch::Record));
    }
}

#[tokio::test]
async fn a_call_that_fails_or_loses_its_answer_leaves_a_switch_that_succeeds_later() {
    for way in [Switch::HealthCheck, Switch::Record] {
        for answer_lost in [false, true] {
            for call in 0.. {
                let world = World::new(way).with(|state| {
                    state.fail_at = Some(call);
                    state.answer_lost = answer_lost;
                });
                match switch(&world, 2).await {
                    Err(fault) => assert_eq!(fault.name, ErrorName::Transient),
                    // Past the last call.
                    Ok(_) => break,
                }
                switch(&world, 2).await.unwrap();
                confirm(&world).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn the_object_says_who_moved_clients_and_how_to_undo_it() {
    let world = World::new(Switch::HealthCheck);
    let response = switch(&world, 2).await.unwrap();
    assert_eq!(
        undo(response),
        "aws s3 rm s3://switch-us-west-2/queue/site-b-active --region us-west-2"
    );
    assert_eq!(world.state.lock().unwrap().marks[ACTIVE].epoch, Epoch(2));
    let mark = Mark::of(&authority("b", 2), None);
    assert_eq!(mark.text(), "active\nepoch=2\nincident=queue-e2\n");
}

#[tokio::test]
async fn without_a_switch_bucket_only_records_move_clients() {
    let place = Place { region: "us-west-2".parse().unwrap(), bucket: None };
    let ask = async |world: &World| {
        let request = Request::Switch { authority: authority("b", 2) };
        handle(request, &place, world).await
    };
    let world = World::new(Switch::HealthCheck);
    let fault = ask(&world).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("HealthCheckSwitch=ENABLED"), "{fault}");
    assert_eq!(world.state.lock().unwrap().writes, 0);
    let world = World::new(Switch::Record);
    assert!(changed(&ask(&world).await.unwrap()));
    let state = world.state.lock().unwrap();
    assert_eq!(state.marks.keys().collect::<Vec<_>>(), ["dns/queue/record-change"]);
    assert!(state.marks.keys().all(|key| is_note(key)));
    // An app may have any name.
    let app = "dns".parse().unwrap();
    assert!(!is_note(&active_key(&app, &"b".parse().unwrap())) && is_note(&change_key(&app)));
}

#[tokio::test]
async fn an_older_object_is_replaced_and_a_newer_one_stops_the_recovery() {
    let world = World::new(Switch::HealthCheck).with(|state| {
        state.marks.insert(ACTIVE.into(), held(1));
    });
    assert!(changed(&switch(&world, 2).await.unwrap()));

    let world = World::new(Switch::HealthCheck).with(|state| {
        state.marks.insert(ACTIVE.into(), held(3));
    });
    assert_eq!(switch(&world, 2).await.unwrap_err().name, ErrorName::StaleEpoch);
    assert_eq!(world.state.lock().unwrap().writes, 0);
}

#[tokio::test]
async fn nobody_is_sent_to_a_site_that_fails_its_checks() {
    for way in [Switch::HealthCheck, Switch::Record] {
        let world = World::new(way).with(|state| state.health = vec![Vote::Down; 6].into());
        let fault = switch(&world, 2).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused);
        assert!(fault.message.contains("http: HTTP 503"), "{fault}");
        let state = world.state.lock().unwrap();
        assert_eq!((state.writes, state.changes), (0, 0));
    }
}

#[tokio::test]
async fn the_site_is_looked_at_by_the_names_that_this_region_uses() {
    let world = World::new(Switch::HealthCheck);
    switch(&world, 2).await.unwrap();
    let looked_at = world.state.lock().unwrap().looked_at.clone();
    assert_eq!(
        looked_at,
        ["http://127.0.22.10:8080/health", "127.0.22.20:5432", "127.0.22.30:6379"]
    );
}

#[tokio::test]
async fn one_failed_look_is_not_a_refusal() {
    let world = World::new(Switch::HealthCheck).with(|state| state.health = [Vote::Down].into());
    assert!(changed(&switch(&world, 2).await.unwrap()));
}

#[tokio::test]
async fn without_authority_nothing_is_changed() {
    for way in [Switch::HealthCheck, Switch::Record] {
        let world = World::new(way).with(|state| state.stale = true);
        assert_eq!(switch(&world, 2).await.unwrap_err().name, ErrorName::StaleEpoch);
        assert_eq!(confirm(&world).await.unwrap_err().name, ErrorName::StaleEpoch);
        let state = world.state.lock().unwrap();
        assert_eq!((state.writes, state.changes), (0, 0));
    }
}

#[tokio::test]
async fn the_primary_is_not_reached_by_an_object() {
    let world = World::new(Switch::HealthCheck);
    let request = Request::Switch { authority: authority("a", 3) };
    let fault = handle(request, &place("us-east-1"), &world).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    let command = "aws s3 rm s3://switch-us-west-2/queue/site-b-active --region us-west-2";
    assert!(fault.message.ends_with(command), "{fault}");
}

#[tokio::test]
async fn a_request_in_the_wrong_region_is_invalid() {
    let world = World::new(Switch::HealthCheck);
    let request = Request::Switch { authority: authority("a", 2) };
    let fault = handle(request, &place("us-west-2"), &world).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
}

#[tokio::test]
async fn records_are_guarded_by_the_epoch_beside_them() {
    let guarded = |values: &str| {
        World::new(Switch::Record).with(|state| {
            let guard = Guard { values: vec![values.into()], ttl_seconds: 60 };
            state.standing = Standing { records: to_site_a(), guard: Some(guard) };
        })
    };
    assert!(changed(&switch(&guarded("\"epoch=1\""), 2).await.unwrap()));
    let newer = switch(&guarded("\"epoch=3\""), 2).await.unwrap_err();
    assert_eq!(newer.name, ErrorName::StaleEpoch);
    let foreign = switch(&guarded("\"v=spf1 -all\""), 2).await.unwrap_err();
    assert_eq!(foreign.name, ErrorName::NeedsHuman);
    assert!(foreign.message.contains("_lifeboat.queue.example.test"), "{foreign}");
}

#[tokio::test]
async fn a_record_that_someone_turned_back_is_changed_again() {
    let world = World::new(Switch::Record);
    switch(&world, 2).await.unwrap();
    world.state.lock().unwrap().standing.records = to_site_a();
    assert!(changed(&switch(&world, 2).await.unwrap()));
}

#[tokio::test]
async fn the_undo_of_a_record_change_is_a_command() {
    let response = switch(&World::new(Switch::Record), 2).await.unwrap();
    assert_eq!(
        undo(response),
        "aws route53 change-resource-record-sets --hosted-zone-id Z1 --change-batch \
         '{\"Changes\":[{\"Action\":\"UPSERT\",\"ResourceRecordSet\":{\"Name\":\
         \"queue.example.test\",\"ResourceRecords\":[{\"Value\":\"127.0.1.10\"}],\"TTL\":5,\
         \"Type\":\"A\"}}]}'"
    );
}

#[tokio::test]
async fn records_need_a_hosted_zone() {
    let mut world = World::new(Switch::Record);
    world.plan.dns.hosted_zone_id = None;
    assert_eq!(switch(&world, 2).await.unwrap_err().name, ErrorName::InvalidInput);
}

#[tokio::test]
async fn a_switch_is_confirmed_when_every_resolver_agrees() {
    let world = World::new(Switch::HealthCheck);
    let confirmed = Response::Confirm { answers: vec![ip("127.0.2.10")] };
    assert_eq!(confirm(&world).await, Ok(confirmed.clone()));
    assert_eq!(confirm(&world).await, Ok(confirmed));

    let mut two = World::new(Switch::HealthCheck);
    two.plan.dns.resolvers.push("127.0.0.2:53".parse().unwrap());
    let two = two.with(|state| {
        state.answers = vec![Ok(vec![ip("127.0.2.10")]), Ok(vec![ip("127.0.1.10")])];
    });
    let fault = confirm(&two).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NotReady);
    assert_eq!(
        fault.message,
        "queue.example.test is not 127.0.2.10 yet: 127.0.0.2:53 gives 127.0.1.10"
    );
}

#[tokio::test]
async fn an_answer_that_mixes_sites_or_is_none_confirms_nothing() {
    for answer in [
        Ok(vec![ip("127.0.2.10"), ip("127.0.1.10")]),
        Ok(Vec::new()),
        Err("no answer within 1000 ms".to_owned()),
    ] {
        let world = World::new(Switch::HealthCheck).with(|state| state.answers = vec![answer]);
        assert_eq!(confirm(&world).await.unwrap_err().name, ErrorName::NotReady);
    }
}

#[tokio::test]
async fn a_record_change_is_confirmed_only_in_sync() {
    let world = World::new(Switch::Record);
    let early = confirm(&world).await.unwrap_err();
    assert_eq!(early.name, ErrorName::InvalidInput, "{early}");
    switch(&world, 2).await.unwrap();
    let world = world.with(|state| state.pending_looks = 1);
    assert_eq!(confirm(&world).await.unwrap_err().name, ErrorName::NotReady);
    confirm(&world).await.unwrap();
}

#[test]
fn the_events_are_requests() {
    for text in [
        include_str!("../../../events/dns-failover/switch.json"),
        include_str!("../../../events/dns-failover/confirm.json"),
    ] {
        serde_json::from_str::<Request>(text).unwrap();
    }
}

#[tokio::test]
async fn aliases_are_changed_both_at_once_and_turned_back_by_a_command() {
    let world = balanced(Switch::Record);
    let response = switch(&world, 2).await.unwrap();
    assert!(changed(&response) && !changed(&switch(&world, 2).await.unwrap()));
    let standing = world.state.lock().unwrap().standing.clone();
    let to = |site: &str| Destination::Alias {
        dns_name: format!("lb-{site}.elb.test"),
        zone_id: "ZELB".into(),
    };
    let expected = [(RecordKind::A, vec![to("b")]), (RecordKind::Aaaa, vec![to("b")])];
    assert_eq!(standing.records, expected.into());
    let undo = undo(response);
    let batch = undo.split('\'').nth(1).unwrap();
    let batch: serde_json::Value = serde_json::from_str(batch).unwrap();
    for (at, kind) in ["A", "AAAA"].into_iter().enumerate() {
        let set = &batch["Changes"][at]["ResourceRecordSet"];
        assert_eq!(
            (&set["Type"], &set["AliasTarget"]["DNSName"]),
            (&kind.into(), &"lb-a.elb.test".into())
        );
        // Route 53 refuses an alias with a time to live.
        assert_eq!(set.get("TTL"), None);
    }
}

#[tokio::test]
async fn an_alias_is_confirmed_by_what_its_own_name_answers() {
    let answered = async |four: &str, six: &str| {
        let (four, six) = (Ok(vec![ip(four)]), Ok(vec![ip(six)]));
        let world = balanced(Switch::HealthCheck).with(|state| state.answers = vec![four, six]);
        confirm(&world).await
    };
    let moved = answered("10.2.0.2", "2001:db8::2").await.unwrap();
    assert_eq!(moved, Response::Confirm { answers: vec![ip("10.2.0.2"), ip("2001:db8::2")] });
    for (four, six) in [("10.1.0.1", "2001:db8::2"), ("10.2.0.1", "2001:db8::1")] {
        let fault = answered(four, six).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::NotReady);
        assert!(fault.message.contains("is not lb-b.elb.test yet"), "{fault}");
    }
    // The lost region's name may be lost with it.
    let world = balanced(Switch::HealthCheck).with(|state| {
        state.names.retain(|(name, _), _| !name.starts_with("lb-a"));
        state.answers = vec![Ok(vec![ip("10.2.0.1")]), Ok(vec![ip("2001:db8::2")])];
    });
    confirm(&world).await.unwrap();
}

#[tokio::test]
async fn records_that_the_plan_does_not_know_are_not_left_behind() {
    let world = World::new(Switch::Record).with(|state| {
        let six = vec![Destination::Address(ip("2001:db8::1"))];
        state.standing.records = to_site_a();
        state.standing.records.insert(RecordKind::Aaaa, six);
    });
    let fault = switch(&world, 2).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
    assert!(fault.message.contains("AAAA"), "{fault}");
    assert_eq!(world.state.lock().unwrap().changes, 0);
}
