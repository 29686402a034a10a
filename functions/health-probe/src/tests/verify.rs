use lifeboat_core::vote::Vote;
use lifeboat_postgres::State;

use super::{
    fake::{Fake, primary, replica},
    *,
};

/// Site b after its recovery under epoch 2.
fn recovered() -> Fake {
    let mut world = Fake::warm_standby();
    world.votes.get_mut().unwrap().clear();
    world.databases.get_mut().unwrap().insert("127.0.22.20".into(), primary(200));
    says(&mut world, r#"{"status":"up","site":"b","epoch":2,"role":"active","checks":{}}"#);
    world
}

fn says(world: &mut Fake, body: &str) {
    world.bodies.insert("127.0.22.10".into(), body.into());
}

async fn missing(world: Fake, what: &str) {
    let fault = ask(&world.shared(), VERIFY).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NotReady);
    assert!(fault.message.contains(what), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_site_that_serves_under_the_epoch_is_verified_however_often() {
    let mut silent = recovered();
    silent.bodies.clear();
    let mut other_words = recovered();
    says(&mut other_words, "all is well");
    for world in [recovered(), silent, other_words] {
        let world = world.shared();
        for _ in 0..2 {
            let response = ask(&world, VERIFY).await.unwrap();
            let Response::Verify { site, checks } = response else { panic!("not a verification") };
            assert_eq!((site.as_str(), checks.len()), ("b", 3));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_failing_check_is_missing() {
    for (host, kind) in
        [("127.0.22.10", "http"), ("127.0.22.20", "postgres"), ("127.0.22.30", "redis")]
    {
        let world = recovered();
        world.votes.lock().unwrap().insert(host.into(), Vote::Down);
        missing(world, &format!("{kind}: of the fake")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_of_another_site_or_epoch_does_not_serve() {
    let mut world = recovered();
    says(&mut world, r#"{"site":"a","epoch":2}"#);
    missing(world, "it is site a").await;
    let mut world = recovered();
    says(&mut world, r#"{"site":"b","epoch":1}"#);
    missing(world, "epoch 1, not 2").await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_takes_no_writes_does_not_serve() {
    let database = |state: Option<State>| {
        let world = recovered();
        let mut databases = world.databases.lock().unwrap();
        databases.remove("127.0.22.20");
        databases.extend(state.map(|state| ("127.0.22.20".to_owned(), state)));
        drop(databases);
        world
    };
    missing(database(Some(replica(200))), "in recovery").await;
    missing(database(Some(State { read_only: true, ..primary(200) })), "read-only").await;
    missing(database(None), "connection refused").await;
}

#[tokio::test(start_paused = true)]
async fn a_site_that_the_plan_does_not_know_is_invalid() {
    let world = recovered().shared();
    let request = r#"{"action":"verify","app":"queue","site":"c","epoch":2}"#;
    assert_eq!(ask(&world, request).await.unwrap_err().name, ErrorName::InvalidInput);
}
