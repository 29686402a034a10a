//! Every request made twice, and gone wrong at every call.

use super::*;

/// Each request, with what must have been asked before it.
fn cases() -> Vec<(Vec<Request>, Request)> {
    let open = open("e-1");
    vec![
        (vec![], open.clone()),
        (vec![open.clone()], record_approval()),
        (vec![open.clone()], claim()),
        (vec![open.clone()], close(Ending::StoodDown)),
        (vec![open.clone()], close(Ending::Failed)),
        (vec![open.clone(), claim()], close(Ending::Recovered)),
        (vec![open, claim()], close(Ending::Failed)),
    ]
}

/// A record without the times at which it was written, which a repeated request may move.
fn timeless(record: ControlRecord) -> ControlRecord {
    let recovery = record.recovery.map(|mut holder| {
        holder.opened_at = at(0);
        holder.agreed_at = holder.agreed_at.map(|_| at(0));
        holder
    });
    ControlRecord { recovery, updated_at: at(0), ..record }
}

/// A response without what the other regions did at that moment, which is no promise.
fn without_others(mut response: Response) -> Response {
    if let Response::Claimed { agreed_at, behind, .. } = &mut response {
        *agreed_at = at(0);
        behind.clear();
    }
    response
}

#[tokio::test]
async fn made_twice_every_request_is_done_once() {
    for (before, request) in cases() {
        let world = after(&before).await;
        let first = handle(request.clone(), &world, at(50)).await.unwrap();
        let contents = world.store.contents();
        let second = handle(request.clone(), &world, at(60)).await.unwrap();
        assert_eq!(second, first, "{request:?}");
        assert_eq!(world.store.contents(), contents, "{request:?}");
        assert!(world.meter.seen().len() <= 1, "{request:?}");
    }
}

#[tokio::test]
async fn gone_wrong_at_any_call_every_request_completes_when_made_again() {
    for (before, request) in cases() {
        let clean = after(&before).await;
        let calls_before = clean.store.calls();
        let expected = handle(request.clone(), &clean, at(50)).await.unwrap();
        let calls = clean.store.calls() - calls_before;
        assert!(calls > 0);
        for failure in [Failure::Before, Failure::AnswerLost] {
            for place in 0..calls {
                let label = format!("{request:?}, call {place}, {failure:?}");
                let world = after(&before).await;
                world.store.fail(place, failure);
                match handle(request.clone(), &world, at(50)).await {
                    Ok(response) => {
                        assert_eq!(
                            without_others(response),
                            without_others(expected.clone()),
                            "{label}"
                        );
                    }
                    Err(fault) => assert_eq!(fault.name, ErrorName::Transient, "{label}"),
                }
                world.store.heal();
                let response = handle(request.clone(), &world, at(50)).await.unwrap();
                assert_eq!(without_others(response), without_others(expected.clone()), "{label}");
                let (found, wanted) = (control(&world, WEST), control(&clean, WEST));
                assert_eq!(timeless(found), timeless(wanted), "{label}, {WEST}");
                // One of the others may lag: a majority is enough.
                let epoch = control(&clean, WEST).epoch;
                let others = [EAST, WITNESS].map(|bucket| control(&world, bucket).epoch == epoch);
                assert!(others.contains(&true), "{label}");
                assert_eq!(kinds(&log(&world).await), kinds(&log(&clean).await), "{label}");
            }
        }
    }
}

#[tokio::test]
async fn an_unread_plan_changes_nothing_and_is_read_the_next_time() {
    for (before, request) in cases() {
        let world = after(&before).await;
        let contents = world.store.contents();
        world.plans.fails_once.store(true, Ordering::Relaxed);
        let fault = handle(request.clone(), &world, at(50)).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Transient);
        assert_eq!(world.store.contents(), contents);
        handle(request.clone(), &world, at(51)).await.unwrap();
    }
}

#[tokio::test]
async fn the_log_is_lost_and_the_registers_are_changed_all_the_same() {
    // The calls on the registers come first; all that follow, the log's, fail.
    let calls = {
        let alone = after(&[open("e-1")]).await;
        let before = alone.store.calls();
        let plan = alone.plans.plan(&"queue".parse().unwrap()).await.unwrap();
        alone.ledger(&plan).claim(&authority(), |_| Ok(()), at(40)).await.unwrap();
        alone.store.calls() - before
    };
    let world = after(&[open("e-1")]).await;
    for place in calls..calls + 20 {
        world.store.fail(place, Failure::Before);
    }
    handle(claim(), &world, at(40)).await.unwrap();
    assert_eq!(control(&world, WEST).recovery.unwrap().state, HolderState::Claimed);
    world.store.heal();
    assert_eq!(kinds(&log(&world).await), [EntryKind::Opened]);
    assert_eq!(control(&world, EAST).active_site.as_str(), "b");
    handle(claim(), &world, at(41)).await.unwrap();
    assert_eq!(kinds(&log(&world).await), [EntryKind::Opened, EntryKind::Claimed]);
}

#[tokio::test]
async fn the_achieved_time_is_that_of_the_first_close() {
    let world = after(&[open("e-1"), claim()]).await;
    // The release fails; the log has the entry by then.
    let calls = {
        let clean = after(&[open("e-1"), claim()]).await;
        let before = clean.store.calls();
        handle(close(Ending::Recovered), &clean, at(50)).await.unwrap();
        clean.store.calls() - before
    };
    for place in calls - 4..calls {
        world.store.fail(place, Failure::Before);
    }
    handle(close(Ending::Recovered), &world, at(50)).await.unwrap_err();
    world.store.heal();
    let closed = handle(close(Ending::Recovered), &world, at(70)).await.unwrap();
    assert!(matches!(closed, Response::Closed { recovery_seconds: Some(30.0), .. }), "{closed:?}");
    assert_eq!(world.meter.seen().len(), 1);
    assert_eq!(control(&world, WEST).recovery, None);
}
