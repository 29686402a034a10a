//! The protocol of registers, claims, permits and the wait, searched: every order of the steps of two guards
//! and two recoveries over three registers, with links that are cut in each direction, answers that are
//! lost, and time that passes in between, up to a depth.
//!
//! Every judgement is that of the real functions in `lifeboat_core`. What is written here is only what
//! the world may do between two of their calls. That the search can find something is shown by rules that
//! are wrong on purpose: each is one that the project had, or could have, and each must be found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail where it stands"
)]

#[path = "model/search.rs"]
mod search;
#[path = "model/world.rs"]
mod world;

use search::{explore, walk};
use world::{Rules, Step, World};

/// States that are looked at, at the most; what a minute of a small machine is good for.
const STATES: usize = 1_200_000;
/// Steps of one random walk.
const STEPS: usize = 120;
/// Random walks, each from its own seed.
const WALKS: u64 = 10_000;

fn must_find(rules: Rules, what: &str) {
    let found = explore(World::begins(), rules, STATES);
    let trace = found.broken.unwrap_or_else(|| {
        panic!("{what}: nothing is found in {} states to depth {}", found.states, found.depth)
    });
    println!("{what}, found after {} states:\n  {}", found.states, trace.join("\n  "));
}

#[test]
fn no_two_sites_write_and_no_epoch_is_taken_twice() {
    let found = explore(World::begins(), Rules::REAL, STATES);
    println!("{} states, every one to depth {}", found.states, found.depth);
    assert!(found.broken.is_none(), "{:#?}", found.broken);
    assert!(found.states >= STATES / 2, "the search ends early, after {} states", found.states);
}

#[test]
fn a_long_random_walk_finds_nothing_either() {
    let rules = Rules { fine: true, cuts: 12, recoveries: 4, ..Rules::REAL };
    let begins = World::begins();
    let mut recovered = 0;
    for seed in 0..WALKS {
        let (end, broken) = walk(&begins, rules, seed, STEPS);
        if let Some(trace) = broken {
            panic!("seed {seed}: {trace:#?}");
        }
        recovered += u64::from(end.has_recovered());
    }
    println!("{recovered} of {WALKS} walks of {STEPS} steps opened a database");
    assert!(recovered * 20 > WALKS, "the walks seldom come as far as a promotion: {recovered}");
}

fn a_walk_must_find(rules: Rules, what: &str) {
    let rules = Rules { fine: true, cuts: 12, recoveries: 4, ..rules };
    let begins = World::begins();
    let found = (0..WALKS).find_map(|seed| Some((seed, walk(&begins, rules, seed, STEPS).1?)));
    let (seed, trace) =
        found.unwrap_or_else(|| panic!("{what}: nothing is found in {WALKS} walks"));
    println!("{what}, found by walk {seed}:\n  {}", trace.join("\n  "));
}

/// The newest claim, as far as it is seen, as the one that counts: one that reached its own register alone
/// makes its site the active one for whoever is left when the other region is lost.
#[test]
fn a_site_that_is_active_by_the_newest_claim_is_found() {
    a_walk_must_find(Rules { active_by_newest: true, ..Rules::REAL }, "active by the newest claim");
}

/// A recovery that stands down as if nothing had been before it.
#[test]
fn a_stand_down_that_forgets_an_unfinished_claim_is_found() {
    a_walk_must_find(Rules { forgets: true, ..Rules::REAL }, "an unfinished claim is forgotten");
}

/// A holder that blocks every other recovery until its time is up, though it died.
#[test]
fn a_holder_that_died_and_is_never_released_is_found() {
    a_walk_must_find(Rules { dead_holders_stay: true, ..Rules::REAL }, "a dead holder stays");
}

/// A recovery that goes on from a claim that another one has overtaken meanwhile: what the old site has
/// acknowledged since then is lost, and nobody has counted it. Too long a way for the walks.
#[test]
fn an_old_claim_that_counts_for_ever_loses_what_nobody_counted() {
    use Step::{
        Activate, Agree, ClaimOther, ClaimOwn, Fail, Link, Open, Permit, Promote, Read, Tick, Wait,
    };
    let before = [
        // b claims, and its recovery fails; the next one opens, and waits for an approval.
        &[Open(1), ClaimOwn(1), ClaimOther(1, 2, false), Agree(1), Fail(1), Open(1)][..],
        // a does not see that, takes the site back, serves, and writes.
        &[Link(0, 1), Open(0), ClaimOwn(0), ClaimOther(0, 2, false), Agree(0), Wait(7)],
        &[Promote(0), Activate(0), Tick(0), Read(0, 0), Read(0, 2), Permit(0), Wait(1)],
    ];
    // b's recovery goes on.
    let goes_on = [ClaimOwn(1), ClaimOther(1, 2, false), Agree(1), Wait(7), Promote(1)];
    let real = Rules { fine: true, ..Rules::REAL };
    let wrong = Rules { old_claims_count: true, ..real };
    let mut world = World::begins().remove(0);
    for step in before.concat() {
        world = world.after(step, real).unwrap_or_else(|| panic!("{step:?}"));
        assert_eq!(world.broken(), None, "{step:?}");
    }
    let looks_again = world.after(goes_on[0], real).unwrap();
    assert!(looks_again.after(goes_on[1], real).is_none(), "nothing was claimed");
    for step in goes_on {
        assert_eq!(world.broken(), None, "{step:?}");
        world = world.after(step, wrong).unwrap_or_else(|| panic!("{step:?}"));
    }
    assert!(world.broken().is_some_and(|what| what.contains("beyond the moment")));
}

/// A site whose recovery opens at once, while a permit of the old one is good for three seconds more.
#[test]
fn a_promotion_that_does_not_wait_for_permits_is_found() {
    must_find(Rules { waits: false, ..Rules::REAL }, "no wait");
}

/// A permit by the own region's register alone, as a site had it that could see no other.
#[test]
fn a_permit_by_one_register_is_found() {
    must_find(Rules { permits_by_own: true, ..Rules::REAL }, "one register permits");
}

/// A claim that counts once its own region's register holds it.
#[test]
fn a_claim_without_a_majority_is_found() {
    must_find(Rules { claims_alone: true, ..Rules::REAL }, "no majority claims");
}

/// A permit that counts from when the answer was there, and not from before it was asked for.
#[test]
fn a_permit_that_counts_from_the_answer_is_found() {
    must_find(Rules { permits_from_answer: true, ..Rules::REAL }, "a permit from its answer on");
}

/// Epochs that are one above the newest that was seen, whoever takes them.
#[test]
fn epochs_of_no_class_are_found() {
    must_find(Rules { one_class: true, ..Rules::REAL }, "one epoch for two sites");
}
