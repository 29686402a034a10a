use std::time::Instant;

use jiff::Timestamp;
use lifeboat_core::{
    Epoch, IncidentId, SiteName,
    ledger::{Claimant, EpochClass, HolderState, Opening, open},
    recovery_log::{self, EntryKind, Fact},
};
use serde_json::json;

use super::*;
use crate::testing::{Failure, MemoryStore};

const WEST: &str = "ledger-us-west-2";
const EAST: &str = "ledger-us-east-1";
const WITNESS: &str = "ledger-us-east-2";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

fn region(name: &str) -> Region {
    name.parse().unwrap()
}

fn app() -> AppName {
    "queue".parse().unwrap()
}

fn first() -> ControlRecord {
    ControlRecord::first(app(), "a".parse().unwrap(), at(0))
}

fn store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    store.seed(WEST, &first());
    store.seed(EAST, &first());
    store.seed(WITNESS, &first());
    store
}

fn west(store: &Arc<MemoryStore>) -> Ledger<MemoryStore> {
    let peers = ["us-east-1", "us-west-2", "us-east-2"].map(region).to_vec();
    Ledger::over(Arc::clone(store), "ledger".into(), region("us-west-2"), peers)
}

fn opened(record: &ControlRecord, incident: &str, second: i64) -> ControlRecord {
    let id: IncidentId = incident.parse().unwrap();
    let target = "b".parse().unwrap();
    let claimant = Claimant { incident: &id, execution: incident, target: &target };
    let own = region("us-west-2");
    let registers = Registers::new([(own.clone(), Answer::Holds(record.clone()))]);
    let sites: [SiteName; 2] = ["a", "b"].map(|site| site.parse().unwrap());
    let class = EpochClass::of(&target, &sites).unwrap();
    match open(&own, &registers, &claimant, class, at(second)) {
        Opening::Write(record) => record,
        other @ (Opening::AlreadyOurs(_) | Opening::StandDown(_)) => panic!("{other:?}"),
    }
}

fn authority(incident: &str, epoch: u64, site: &str) -> Authority {
    Authority {
        app: app(),
        incident: incident.parse().unwrap(),
        epoch: Epoch(epoch),
        site: site.parse().unwrap(),
    }
}

fn fact(step: &str) -> Fact {
    Fact {
        app: app(),
        incident: "one".parse().unwrap(),
        epoch: Epoch(2),
        kind: EntryKind::Step,
        body: json!({"step": step, "seconds": 0.1 + 0.2}),
    }
}

/// Nothing stands against a claim.
fn may(_: Option<Timestamp>) -> Result<(), Fault> {
    Ok(())
}

fn newer() -> ControlRecord {
    let site = "b".parse().unwrap();
    ControlRecord { epoch: Epoch(4), highest_reserved: Epoch(4), active_site: site, ..first() }
}

#[tokio::test]
async fn every_register_is_seen_and_the_majority_counts() {
    let store = store();
    store.seed(EAST, &newer());
    let seen = west(&store).look(&app()).await.unwrap();
    assert_eq!(seen.registers.agreed().unwrap().epoch, Epoch(1));
    assert_eq!(seen.registers.newest().unwrap().epoch, Epoch(4));
    assert_eq!(seen.own.unwrap().0, first());
    assert_eq!(seen.registers.silent().count(), 0);
}

#[tokio::test]
async fn a_dark_region_is_named_within_its_deadline_and_fails_nothing() {
    let store = store();
    store.darken(&region("us-east-1"));
    let ledger = west(&store);
    let begun = Instant::now();
    let seen = ledger.look(&app()).await.unwrap();
    assert_eq!(seen.registers.agreed().unwrap().epoch, Epoch(1));
    let silent: Vec<_> = seen.registers.silent().collect();
    assert_eq!(silent, [(&region("us-east-1"), "no answer within 1200 ms")]);
    assert!(begun.elapsed() < ledger.peer_deadline() + Duration::from_millis(200));
    // A majority that has answered waits for nobody.
    let begun = Instant::now();
    assert!(ledger.majority(&app()).await.agreed().is_some());
    assert!(begun.elapsed() < Duration::from_millis(200));
}

#[tokio::test]
async fn a_host_goes_on_judging_when_its_own_region_is_dark() {
    let store = store();
    store.seed(EAST, &newer());
    store.seed(WITNESS, &newer());
    store.darken(&region("us-west-2"));
    let registers = west(&store).majority(&app()).await;
    assert_eq!(registers.agreed().unwrap().epoch, Epoch(4));
}

#[tokio::test]
async fn a_claim_holds_once_a_majority_holds_it() {
    let store = store();
    let ledger = west(&store);
    store.seed(WEST, &opened(&first(), "one", 1));
    store.darken(&region("us-east-1"));
    let begun = Instant::now();
    let claimed = ledger.claim(&authority("one", 2, "b"), may, at(2)).await.unwrap();
    assert!(claimed.agreed_at >= at(2));
    assert_eq!(claimed.behind[0].0, region("us-east-1"));
    assert!(begun.elapsed() < Duration::from_millis(800), "a dark region is not waited for");
    assert_eq!(store.record(WITNESS, "queue").unwrap().epoch, Epoch(2));
    let holder = ledger.may_act(&authority("one", 2, "b")).await.unwrap();
    assert_eq!((holder.state, holder.agreed_at), (HolderState::Claimed, Some(claimed.agreed_at)));
    // Again, it answers the same.
    let again = ledger.claim(&authority("one", 2, "b"), may, at(30)).await.unwrap();
    assert_eq!(again.agreed_at, claimed.agreed_at);
    // The dark region comes back and is settled, without the holder of another region.
    store.light(&region("us-east-1"));
    let registers = ledger.registers(&app()).await;
    assert_eq!(ledger.settle(&app(), &registers, at(40)).await, []);
    let settled = store.record(EAST, "queue").unwrap();
    assert_eq!((settled.epoch, settled.recovery), (Epoch(2), None));
}

#[tokio::test]
async fn a_claim_that_was_overtaken_is_stale_and_writes_over_nothing() {
    let store = store();
    let ledger = west(&store);
    store.seed(WEST, &opened(&first(), "one", 1));
    store.seed(EAST, &newer());
    store.darken(&region("us-east-2"));
    let before = store.contents();
    let fault = ledger.claim(&authority("one", 2, "b"), may, at(2)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::StaleEpoch);
    assert_eq!(store.contents(), before, "what is seen before is not written over anywhere");
    // A rival is faster between the read and the write: it stays.
    let store = self::store();
    let ledger = west(&store);
    store.seed(WEST, &opened(&first(), "one", 1));
    store.darken(&region("us-east-2"));
    // Before it, the own register is read twice, this one twice, and the own one written.
    store.rival(5, EAST, "control/queue.json", serde_json::to_vec(&newer()).unwrap());
    let fault = ledger.claim(&authority("one", 2, "b"), may, at(2)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient, "{fault}");
    assert_eq!(store.record(EAST, "queue"), Some(newer()));
}

#[tokio::test]
async fn nothing_is_done_before_the_claim_and_nothing_without_a_majority() {
    let store = store();
    let ledger = west(&store);
    store.seed(WEST, &opened(&first(), "one", 1));
    let fault = ledger.may_act(&authority("one", 2, "b")).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    let (registers, holder) = ledger.held_by(&authority("one", 2, "b")).await.unwrap();
    assert_eq!(registers.agreed().unwrap().site.as_str(), "a");
    assert_eq!(holder.agreed_at, None);
    ledger.claim(&authority("one", 2, "b"), may, at(2)).await.unwrap();
    store.darken(&region("us-east-1"));
    store.darken(&region("us-east-2"));
    let fault = ledger.may_act(&authority("one", 2, "b")).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
}

#[tokio::test]
async fn a_claim_that_cannot_reach_a_majority_writes_nothing() {
    let store = store();
    let ledger = west(&store);
    store.seed(WEST, &opened(&first(), "one", 1));
    store.darken(&region("us-east-1"));
    store.darken(&region("us-east-2"));
    let before = store.contents();
    let fault = ledger.claim(&authority("one", 2, "b"), may, at(2)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient, "{fault}");
    assert!(fault.message.contains("nothing was written"), "{fault}");
    assert_eq!(store.contents(), before);
    store.light(&region("us-east-2"));
    ledger.claim(&authority("one", 2, "b"), may, at(3)).await.unwrap();
}

#[tokio::test]
async fn a_claim_asks_whether_it_may_until_a_majority_holds_it() {
    let store = store();
    let ledger = west(&store);
    store.seed(WEST, &opened(&first(), "one", 1));
    let no = |_: Option<Timestamp>| Err(Fault::refused("the votes are too old"));
    let before = store.contents();
    let fault = ledger.claim(&authority("one", 2, "b"), no, at(2)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Refused);
    assert_eq!(store.contents(), before);
    ledger.claim(&authority("one", 2, "b"), may, at(3)).await.unwrap();
    ledger.claim(&authority("one", 2, "b"), no, at(4)).await.unwrap();
}

#[tokio::test]
async fn the_own_region_must_answer() {
    let store = store();
    for place in 0..2 {
        store.fail(place, Failure::Before);
    }
    assert_eq!(west(&store).look(&app()).await.unwrap_err().name, ErrorName::Transient);
}

#[tokio::test]
async fn of_two_writers_one_wins_and_the_other_has_to_read_again() {
    let store = store();
    let ledger = west(&store);
    let (_, etag) = ledger.require(&app()).await.unwrap();
    let (one, two) = (opened(&first(), "one", 1), opened(&first(), "two", 1));
    let (won, lost) =
        tokio::join!(ledger.write(&one, Some(&etag)), ledger.write(&two, Some(&etag)));
    assert!(won.is_ok());
    let fault = lost.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    assert!(fault.message.contains("changed meanwhile"), "{fault}");
    assert_eq!(store.record(WEST, "queue"), Some(one));

    // The same for the first record of an app.
    let other = ControlRecord { app: "other".parse().unwrap(), ..first() };
    let late = ControlRecord { updated_at: at(9), ..other.clone() };
    assert!(ledger.write(&other, None).await.is_ok());
    assert_eq!(ledger.write(&late, None).await.unwrap_err().name, ErrorName::Transient);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_a_success_and_one_that_failed_is_not() {
    for (failure, succeeds) in [(Failure::AnswerLost, true), (Failure::Before, false)] {
        let store = store();
        let ledger = west(&store);
        let (_, etag) = ledger.require(&app()).await.unwrap();
        let record = opened(&first(), "one", 1);
        store.fail(0, failure);
        let written = ledger.write(&record, Some(&etag)).await;
        assert_eq!(written.is_ok(), succeeds, "{written:?}");
        if let Ok(etag) = written {
            let next = ControlRecord { updated_at: at(2), ..record };
            ledger.write(&next, Some(&etag)).await.unwrap();
        }
    }
    // A retry inside the client meets its own first attempt.
    let store = store();
    let ledger = west(&store);
    let (_, etag) = ledger.require(&app()).await.unwrap();
    let record = opened(&first(), "one", 1);
    store.seed(WEST, &record);
    assert!(ledger.write(&record, Some(&etag)).await.is_ok());
}

#[tokio::test]
async fn only_the_holder_is_authorized_and_only_for_its_site() {
    let store = store();
    let ledger = west(&store);
    let refused = async |authority: Authority| ledger.authorize(&authority).await.unwrap_err().name;
    assert_eq!(refused(authority("one", 2, "b")).await, ErrorName::StaleEpoch);
    let record = opened(&first(), "one", 1);
    store.seed(WEST, &record);
    let (read, holder) = ledger.authorize(&authority("one", 2, "b")).await.unwrap();
    assert_eq!((read, holder.epoch), (record, Epoch(2)));
    assert_eq!(refused(authority("one", 1, "b")).await, ErrorName::StaleEpoch);
    assert_eq!(refused(authority("two", 2, "b")).await, ErrorName::StaleEpoch);
    assert_eq!(refused(authority("one", 2, "a")).await, ErrorName::InvalidInput);
    let unknown = Authority { app: "other".parse().unwrap(), ..authority("one", 2, "b") };
    assert_eq!(refused(unknown).await, ErrorName::InvalidInput);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_needs_a_human_and_says_which() {
    let store = store();
    store.force(WEST, "control/queue.json", b"{".to_vec());
    let fault = west(&store).look(&app()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NeedsHuman);
    assert!(fault.message.contains("s3://ledger-us-west-2/control/queue.json"), "{fault}");
    // In another region it is one that does not help, no more.
    store.seed(WEST, &first());
    store.force(EAST, "control/queue.json", b"{".to_vec());
    assert_eq!(west(&store).look(&app()).await.unwrap().registers.silent().count(), 1);
}

#[tokio::test]
async fn a_fact_is_logged_once_and_the_chain_holds() {
    let store = store();
    let ledger = west(&store);
    for (step, second) in [("fence", 1), ("promote", 2), ("fence", 3), ("activate", 4)] {
        ledger.append(fact(step), at(second)).await.unwrap();
    }
    let entries = ledger.entries(&app(), &"one".parse().unwrap()).await.unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(recovery_log::verify(&entries), Ok(()));
    assert_eq!(ledger.entries(&app(), &"two".parse().unwrap()).await, Ok(vec![]));
}

#[tokio::test]
async fn writers_of_the_log_take_turns() {
    let store = store();
    let ledger = west(&store);
    let (one, two) =
        tokio::join!(ledger.append(fact("copy"), at(1)), ledger.append(fact("start"), at(1)));
    assert_ne!(one.unwrap().sequence, two.unwrap().sequence);
    // A rival takes the place between the listing and the write.
    let rival = recovery_log::append(
        ledger.entries(&app(), &"one".parse().unwrap()).await.unwrap().last(),
        fact("rival"),
        at(2),
    );
    let calls_before_the_write = 3;
    store.rival(
        calls_before_the_write,
        WEST,
        "log/queue/one/000002.json",
        serde_json::to_vec(&rival).unwrap(),
    );
    assert_eq!(ledger.append(fact("later"), at(3)).await.unwrap().sequence, 3);
    let entries = ledger.entries(&app(), &"one".parse().unwrap()).await.unwrap();
    assert_eq!(recovery_log::verify(&entries), Ok(()));
}

#[tokio::test]
async fn an_append_that_goes_wrong_anywhere_can_be_made_again() {
    for failure in [Failure::Before, Failure::AnswerLost] {
        for place in 0..6 {
            let store = store();
            let ledger = west(&store);
            ledger.append(fact("first"), at(1)).await.unwrap();
            store.fail(place, failure);
            let once = ledger.append(fact("second"), at(2)).await;
            store.heal();
            let entry = ledger.append(fact("second"), at(3)).await.unwrap();
            assert_eq!(entry.sequence, 1);
            if let Ok(once) = once {
                assert_eq!(once, entry);
            }
            let entries = ledger.entries(&app(), &"one".parse().unwrap()).await.unwrap();
            assert_eq!(entries.len(), 2);
            assert_eq!(recovery_log::verify(&entries), Ok(()));
        }
    }
}

#[tokio::test]
async fn a_register_is_replaced_only_as_it_was_seen() {
    let store = store();
    let ledger = west(&store);
    let east = region("us-east-1");
    store.seed(EAST, &newer());
    ledger.replace(&east, &newer(), &first()).await.unwrap();
    assert_eq!(store.record(EAST, "queue"), Some(first()));
    ledger.replace(&east, &newer(), &first()).await.unwrap();
    let other = ControlRecord { updated_at: at(9), ..newer() };
    store.seed(EAST, &other);
    let fault = ledger.replace(&east, &newer(), &first()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    assert_eq!(store.record(EAST, "queue"), Some(other));
}
