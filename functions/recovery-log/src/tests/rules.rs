//! Who may do what, and what is answered to whom.

use super::*;

fn reason(response: Response) -> String {
    let Response::StandDown { reason, .. } = response else { panic!("{response:?}") };
    reason
}

/// Why, for the machine, and the holder that it may ask about.
fn why(response: Response) -> (StandDownReason, Option<HeldBy>) {
    let Response::StandDown { why, holder, .. } = response else { panic!("{response:?}") };
    (why, holder)
}

async fn refused(world: &World, request: Request) -> Fault {
    let contents = world.store.contents();
    let fault = handle(request, world, at(60)).await.unwrap_err();
    assert_eq!(world.store.contents(), contents, "a refusal changes nothing");
    fault
}

#[tokio::test]
async fn an_app_without_a_record_says_to_apply_its_plan() {
    let world = Ports { store: Arc::default(), ..world() };
    for request in [open("e-1"), record_approval(), claim(), close(Ending::Failed)] {
        let fault = refused(&world, request).await;
        assert_eq!(fault.name, ErrorName::InvalidInput);
        assert!(fault.message.contains("lifeboat plan apply"), "{fault}");
    }
}

#[tokio::test]
async fn a_region_without_a_site_cannot_be_activated() {
    let world = Ports { region: "eu-central-1".parse().unwrap(), ..world() };
    let fault = refused(&world, open("e-1")).await;
    assert_eq!(fault.name, ErrorName::InvalidInput);
    assert!(fault.message.contains("no site in eu-central-1"), "{fault}");
}

#[tokio::test]
async fn of_two_executions_one_opens_and_the_other_stands_down() {
    let world = world();
    let (one, two) =
        tokio::join!(handle(open("e-1"), &world, at(30)), handle(open("e-2"), &world, at(30)));
    let won = |result: &Result<Response, Fault>| matches!(result, Ok(Response::Opened { .. }));
    assert_ne!(won(&one), won(&two), "{one:?} {two:?}");
    let (winner, loser) = if won(&one) { ("e-1", "e-2") } else { ("e-2", "e-1") };
    let again = handle(open(loser), &world, at(31)).await.unwrap();
    assert!(reason(again.clone()).contains(&format!("execution {winner}")));
    let (why, holder) = why(again);
    assert_eq!(why, StandDownReason::Held);
    assert_eq!(holder.unwrap().execution, winner);
    assert_eq!(control(&world, WEST).highest_reserved, Epoch(2));
}

#[tokio::test]
async fn a_rival_between_the_read_and_the_write_keeps_the_ledger() {
    let rival = control(&after(&[open("e-2")]).await, WEST);
    let world = world();
    // The calls of an open before its write: three registers read, the log listed.
    world.store.rival(4, WEST, "control/queue.json", serde_json::to_vec(&rival).unwrap());
    let fault = handle(open("e-1"), &world, at(30)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    assert_eq!(control(&world, WEST), rival);
    assert!(reason(handle(open("e-1"), &world, at(31)).await.unwrap()).contains("e-2"));
}

#[tokio::test]
async fn the_active_site_is_not_activated_again() {
    let world = after(&[open("e-1"), claim(), close(Ending::Recovered)]).await;
    let Request::Open { app, scenario, trigger, .. } = open("e-2") else { unreachable!() };
    let incident = "i-2".parse().unwrap();
    let next = Request::Open { app, incident, execution: "e-2".into(), scenario, trigger };
    let answer = handle(next, &world, at(60)).await.unwrap();
    assert_eq!(why(answer.clone()), (StandDownReason::Active, None));
    assert!(reason(answer).contains("b is the active site already"));
}

/// A recovery that stands down must not make the claim of the one before it look finished: when the
/// other region is lost then, nobody would recover, and nobody would hear of it.
#[tokio::test]
async fn an_unfinished_claim_stays_so_when_the_next_recovery_stands_down() {
    for witness_holds_it in [false, true] {
        let world = after(&[open("e-1"), claim(), close(Ending::Failed)]).await;
        if !witness_holds_it {
            // Only its own register holds it: the others were cut off behind the first read.
            let first = control(&super::world(), EAST);
            world.store.seed(EAST, &first);
            world.store.seed(WITNESS, &first);
        }
        handle(open("e-2"), &world, at(60)).await.unwrap();
        let mut down = close(Ending::StoodDown);
        if let Request::Close { authority, .. } = &mut down {
            authority.epoch = Epoch(4);
        }
        handle(down, &world, at(61)).await.unwrap();
        let holder = control(&world, WEST).recovery.unwrap();
        assert_eq!((holder.epoch, holder.state), (Epoch(4), HolderState::Failed));
        world.store.darken(&"us-east-1".parse().unwrap());
        let next = handle(open("e-3"), &world, at(70)).await.unwrap();
        assert!(matches!(next, Response::Opened { epoch: Epoch(6), .. }), "{next:?}");
    }
}

#[tokio::test]
async fn a_site_that_one_register_alone_calls_active_is_not() {
    let world = world();
    let alone = ControlRecord {
        epoch: Epoch(2),
        highest_reserved: Epoch(2),
        active_site: "b".parse().unwrap(),
        ..control(&world, WEST)
    };
    world.store.seed(WEST, &alone);
    world.store.darken(&"us-east-1".parse().unwrap());
    let opened = handle(open("e-1"), &world, at(30)).await.unwrap();
    assert!(
        matches!(&opened, Response::Opened { epoch: Epoch(4), active_site, .. }
            if active_site.as_str() == "a"),
        "{opened:?}"
    );
}

#[tokio::test]
async fn a_claim_that_would_lose_more_than_was_seen_changes_nothing() {
    let world = after(&[open("e-1")]).await;
    // The RPO is 30 s. At second 60 everything since 20 is lost, and 3.5 s until the last permit's end.
    let since = Some(at(20));
    let refusal = refused(&world, claim_that_loses(Some(16.5), since, None)).await;
    assert_eq!(refusal.name, ErrorName::Refused);
    assert!(refusal.message.contains("43.5 s"), "{refusal}");
    assert_eq!(refused(&world, claim_that_loses(None, None, None)).await.name, ErrorName::Refused);
    let given = ApprovalGiven {
        approver: "ada".into(),
        approved_at: at(45),
        shown_loss_seconds: Some(40.0),
    };
    let approved = claim_that_loses(Some(16.5), since, Some(given));
    handle(approved.clone(), &world, at(60)).await.unwrap();
    // Made again much later it is the same claim, and loses no more.
    handle(claim_that_loses(Some(16.5), since, None), &world, at(900)).await.unwrap();
}

/// The first claim has stopped the old site: what comes later loses nothing more, however late it is.
#[tokio::test]
async fn a_recovery_that_goes_on_from_an_unfinished_claim_loses_no_more_than_that() {
    let world = after(&[open("e-1"), claim(), close(Ending::Failed)]).await;
    let first = control(&world, WEST).recovery.unwrap().agreed_at;
    handle(open("e-2"), &world, at(900)).await.unwrap();
    let holder = control(&world, WEST).recovery.unwrap();
    let before = holder.agreed_before.clone().unwrap();
    assert_eq!((holder.agreed_at, before.epoch, Some(before.left_at)), (None, Epoch(2), first));
    let mut again = claim_that_loses(Some(16.5), Some(at(20)), None);
    if let Request::Claim { authority, observed_at, .. } = &mut again {
        (authority.epoch, *observed_at) = (Epoch(4), at(900));
    }
    handle(again, &world, at(901)).await.unwrap();
    let holder = control(&world, WEST).recovery.unwrap();
    assert!(holder.agreed_at > first && holder.left_at(None) == first);
    // Site a was claimed again in between, and has served: it counts anew.
    let world = after(&[open("e-1"), claim(), close(Ending::Failed)]).await;
    for bucket in [EAST, WITNESS] {
        let back = ControlRecord {
            epoch: Epoch(3),
            highest_reserved: Epoch(3),
            active_site: "a".parse().unwrap(),
            ..control(&world, bucket)
        };
        world.store.seed(bucket, &back);
    }
    handle(open("e-2"), &world, at(900)).await.unwrap();
    assert_eq!(control(&world, WEST).recovery.unwrap().agreed_before, None);
}

/// A recovery waits for an approval while the other site is claimed again, serves, and writes.
#[tokio::test]
async fn a_claim_that_was_gone_on_from_counts_no_more_once_the_other_site_was_claimed() {
    let world = after(&[open("e-1"), claim(), close(Ending::Failed)]).await;
    handle(open("e-2"), &world, at(60)).await.unwrap();
    let back = |bucket| ControlRecord {
        epoch: Epoch(3),
        highest_reserved: Epoch(3),
        active_site: "a".parse().unwrap(),
        ..control(&world, bucket)
    };
    for bucket in [EAST, WITNESS] {
        world.store.seed(bucket, &back(bucket));
    }
    let holder = control(&world, WEST).recovery.unwrap();
    let (before, since) = (holder.agreed_before.clone().unwrap(), holder.left_at(None));
    let of = |epoch, site: &str| lifeboat_core::registers::Claim {
        epoch: Epoch(epoch),
        site: site.parse().unwrap(),
    };
    assert_eq!(holder.left_at(Some(&of(2, "b"))), Some(before.left_at));
    assert_eq!((since, holder.left_at(Some(&of(3, "a")))), (None, None));
    let mut late = claim_that_loses(Some(0.0), None, None);
    if let Request::Claim { authority, observed_at, .. } = &mut late {
        (authority.epoch, *observed_at) = (Epoch(4), at(900));
    }
    let refusal = handle(late.clone(), &world, at(900)).await.unwrap_err();
    assert_eq!(refusal.name, ErrorName::Refused);
    assert!(refusal.message.contains("site a was claimed under epoch 3 since"), "{refusal}");
    // It has looked again, and a is lost by now: it goes on, from nothing.
    let holder = control(&world, WEST).recovery.unwrap();
    assert_eq!((holder.state, &holder.agreed_before), (HolderState::Open, &None));
    handle(late, &world, at(901)).await.unwrap();
    let holder = control(&world, WEST).recovery.unwrap();
    assert_eq!(holder.left_at(None), holder.agreed_at);
}

/// A claim that reached its own register alone has moved nobody: the site that it would have left is up,
/// and the recovery ends as it should, marked as unfinished.
#[tokio::test]
async fn a_claim_without_a_majority_can_stand_down_and_one_with_it_cannot() {
    let world = after(&[open("e-1")]).await;
    let alone = ledger::claim(&control(&world, WEST), &authority().incident, Epoch(2), at(40));
    world.store.seed(WEST, &alone.unwrap());
    handle(close(Ending::StoodDown), &world, at(50)).await.unwrap();
    assert_eq!(control(&world, WEST).recovery.unwrap().state, HolderState::Failed);
}

#[tokio::test]
async fn who_had_recovered_and_could_not_close_is_closed_by_the_next() {
    let world = after(&[open("e-1"), claim()]).await;
    let mut ended = release("i-1", 2);
    if let Request::Release { has_recovered, .. } = &mut ended {
        *has_recovered = true;
    }
    handle(ended.clone(), &world, at(60)).await.unwrap();
    assert_eq!(control(&world, WEST).recovery, None);
    let answer = handle(open("e-2"), &world, at(61)).await.unwrap();
    assert_eq!(why(answer), (StandDownReason::Active, None), "the serving site is left alone");
    // Without a claim nothing can have been recovered.
    let world = after(&[open("e-1")]).await;
    handle(ended, &world, at(60)).await.unwrap();
    assert_eq!(control(&world, WEST).recovery.unwrap().state, HolderState::Failed);
}

#[tokio::test]
async fn a_recovery_whose_execution_has_ended_is_released_once() {
    let world = after(&[open("e-1"), claim()]).await;
    let contents = world.store.contents();
    for other in [release("i-2", 2), release("i-1", 4)] {
        assert_eq!(handle(other, &world, at(60)).await.unwrap(), Response::Released {});
        assert_eq!(world.store.contents(), contents, "another recovery's holder stays");
    }
    for _ in 0..2 {
        let released = handle(release("i-1", 2), &world, at(61)).await.unwrap();
        assert_eq!(released, Response::Released {});
        assert_eq!(control(&world, WEST).recovery.unwrap().state, HolderState::Failed);
    }
    // It acts no more, and the next one goes on.
    assert_eq!(refused(&world, claim()).await.name, ErrorName::StaleEpoch);
    let next = handle(open("e-2"), &world, at(62)).await.unwrap();
    assert!(matches!(next, Response::Opened { epoch: Epoch(4), .. }), "{next:?}");
}

#[tokio::test]
async fn what_the_other_registers_hold_counts() {
    let world = world();
    let theirs =
        ControlRecord { epoch: Epoch(3), highest_reserved: Epoch(5), ..control(&world, EAST) };
    world.store.seed(EAST, &theirs);
    // One register is no majority: its epochs are left out, and its claim is not the active one.
    let opened = handle(open("e-1"), &world, at(30)).await.unwrap();
    assert!(
        matches!(opened, Response::Opened { epoch: Epoch(6), active_epoch: Epoch(1), .. }),
        "{opened:?}"
    );
    let world = super::world();
    world.store.seed(EAST, &theirs);
    world.store.seed(WITNESS, &theirs);
    let opened = handle(open("e-1"), &world, at(30)).await.unwrap();
    assert!(
        matches!(opened, Response::Opened { epoch: Epoch(6), active_epoch: Epoch(3), .. }),
        "{opened:?}"
    );
}

#[tokio::test]
async fn an_execution_that_has_ended_does_not_take_the_ledger_again() {
    for before in [
        vec![open("e-1"), close(Ending::StoodDown)],
        vec![open("e-1"), close(Ending::Failed)],
        vec![open("e-1"), claim(), close(Ending::Failed)],
    ] {
        let world = after(&before).await;
        let contents = world.store.contents();
        let answer = handle(open("e-1"), &world, at(60)).await.unwrap();
        assert_eq!(why(answer.clone()), (StandDownReason::Ended, None));
        assert!(reason(answer).contains("start another execution"));
        assert_eq!(world.store.contents(), contents);
        // Another one may go on where it ended.
        let next = handle(open("e-2"), &world, at(61)).await.unwrap();
        // It leaves the same site, although a claim has made its own target the active one.
        assert!(
            matches!(&next, Response::Opened { epoch: Epoch(4), active_site, .. }
                if active_site.as_str() == "a"),
            "{next:?}"
        );
    }
}

#[tokio::test]
async fn an_open_made_again_after_the_claim_still_names_the_site_that_was_active() {
    let world = after(&[open("e-1"), claim()]).await;
    let again = handle(open("e-1"), &world, at(60)).await.unwrap();
    assert!(
        matches!(&again, Response::Opened { active_site, active_epoch: Epoch(1), .. }
            if active_site.as_str() == "a"),
        "{again:?}"
    );
}

#[tokio::test]
async fn whoever_lost_the_ledger_is_stale_and_changes_nothing() {
    // e-1 failed, and e-2 went on under epoch 4.
    let world = after(&[open("e-1"), claim(), close(Ending::Failed), open("e-2")]).await;
    for request in [record_approval(), claim(), close(Ending::Recovered), close(Ending::Failed)] {
        assert_eq!(refused(&world, request).await.name, ErrorName::StaleEpoch);
    }
    // Before anything was opened, nobody holds an epoch.
    let world = after(&[]).await;
    for request in [record_approval(), claim(), close(Ending::StoodDown)] {
        assert_eq!(refused(&world, request).await.name, ErrorName::StaleEpoch);
    }
}

#[tokio::test]
async fn an_ending_must_be_true() {
    let world = after(&[open("e-1")]).await;
    let fault = refused(&world, close(Ending::Recovered)).await;
    assert_eq!(fault.name, ErrorName::InvalidInput);
    assert!(fault.message.contains("never claimed"), "{fault}");
    handle(claim(), &world, at(40)).await.unwrap();
    let fault = refused(&world, close(Ending::StoodDown)).await;
    assert!(fault.message.contains("cannot stand down"), "{fault}");
}

#[tokio::test]
async fn only_a_success_is_measured() {
    for ending in [Ending::StoodDown, Ending::Failed] {
        let world = after(&[open("e-1"), close(ending)]).await;
        assert_eq!(world.meter.seen(), []);
        assert_eq!(log(&world).await.last().unwrap().kind, EntryKind::Closed);
    }
}

#[tokio::test]
async fn what_the_other_actions_write_cannot_be_recorded() {
    let world = after(&[open("e-1")]).await;
    for kind in [EntryKind::Opened, EntryKind::Claimed, EntryKind::Closed] {
        let request = Request::Record { authority: authority(), kind, body: json!({}) };
        assert_eq!(refused(&world, request).await.name, ErrorName::InvalidInput);
    }
}
