//! Who may do what, and what is answered to whom.

use super::*;

fn reason(response: Response) -> String {
    match response {
        Response::StandDown { reason } => reason,
        Response::Opened { .. }
        | Response::Recorded { .. }
        | Response::Claimed { .. }
        | Response::Settled { .. }
        | Response::Closed { .. } => panic!("{response:?}"),
    }
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
    assert!(reason(again).contains(&format!("execution {winner}")));
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
    let reason = reason(handle(next, &world, at(60)).await.unwrap());
    assert!(reason.contains("b is the active site already"), "{reason}");
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
        let reason = reason(handle(open("e-1"), &world, at(60)).await.unwrap());
        assert!(reason.contains("start another execution"), "{reason}");
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
