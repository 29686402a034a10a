use proptest::prelude::*;

use super::*;
use crate::{
    guard, plan_file,
    situation::{self, samples},
};

fn app() -> AppPlan {
    plan_file::read(include_str!("../../../../events/plan/queue.toml")).unwrap()
}

fn alarm() -> Trigger {
    Trigger::Alarm { alarm: "down".into(), at: "2026-01-01T12:00:25Z".parse().unwrap() }
}

fn situation(verdict: SiteVerdict, lag: i64, trigger: Trigger) -> Situation {
    Situation {
        scenario: Scenario::RegionOutage,
        trigger,
        target: "b".parse().unwrap(),
        active: "a".parse().unwrap(),
        epoch: Epoch(2),
        continues: false,
        left_at: None,
        no_majority: None,
        observation: samples::observation(verdict, lag),
        looks: 0,
        approval: None,
    }
}

/// Site a down and proven so without a break for so many seconds.
fn down_for(held: i64, trigger: Trigger) -> Situation {
    let mut situation = situation(SiteVerdict::Down, 1, trigger);
    let now = situation.observation.observed_at;
    if let Some(site) = situation.observation.sites.get_mut("a") {
        site.held_since = Some(now - jiff::SignedDuration::from_secs(held));
    }
    situation
}

/// The example without a word on what a verdict has to hold.
fn multi_az() -> AppPlan {
    let mut app = app();
    app.detection.hold_seconds = None;
    app
}

#[test]
fn a_dead_region_with_a_fresh_replica_is_left_unattended() {
    let plan = plan(&situation(SiteVerdict::Down, 2, alarm()), &app());
    assert_eq!(plan.decision, Decision::Proceed, "{}", plan.reason);
    // 12:00:08 to 12:00:32, when the claim is complete, and 3.5 s until the last permit has ended.
    assert_eq!(plan.estimated_loss_seconds, Some(27.5));
    assert_eq!(lint(&plan), Vec::<String>::new());
}

#[test]
fn false_alarms_stand_down_and_say_why() {
    for (verdict, says) in [
        (SiteVerdict::Up, "answers every check"),
        (SiteVerdict::Degraded, "repair it in place"),
        (SiteVerdict::Unknown, "unknown is never down"),
    ] {
        let mut situation = situation(verdict, 0, alarm());
        // An alarm that stays on rings once: nothing is given up at the first look.
        let first = plan(&situation, &app());
        assert_eq!((first.decision, first.wait_seconds), (Decision::Wait, Some(10)));
        situation.looks = 6;
        let last = plan(&situation, &app());
        assert_eq!((last.decision, last.wait_seconds), (Decision::StandDown, None));
        assert!(last.reason.contains(says), "{}", last.reason);
        assert!(last.steps.is_empty());
    }
}

/// A forced Multi-AZ failover: 60 s without a database, and then it is back. Without the hold the
/// first look decides to proceed.
#[test]
fn a_multi_az_failover_of_60_seconds_starts_no_recovery() {
    let mut situation = down_for(60, alarm());
    let decided = plan(&situation, &multi_az());
    assert_eq!((decided.decision, decided.wait_seconds), (Decision::Wait, Some(30)));
    assert!(decided.reason.contains("60 s of the 120 s"), "{}", decided.reason);
    assert_eq!(plan(&situation, &app()).decision, Decision::Proceed);
    // It is back at the next look, and stays.
    for looks in 1..=3 {
        situation.observation = samples::observation(SiteVerdict::Up, 0);
        situation.looks = looks;
        let expected = if looks < 3 { Decision::Wait } else { Decision::StandDown };
        assert_eq!(plan(&situation, &multi_az()).decision, expected, "look {looks}");
    }
}

#[test]
fn a_region_that_stays_dark_is_left_when_the_verdict_has_held() {
    let seconds = |held| plan(&down_for(held, alarm()), &multi_az()).wait_seconds;
    assert_eq!((seconds(0), seconds(100), seconds(119)), (Some(30), Some(20), Some(1)));
    let held = plan(&down_for(120, alarm()), &multi_az());
    assert_eq!(held.decision, Decision::Proceed, "{}", held.reason);
}

#[test]
fn a_site_that_comes_and_goes_is_left_to_a_person() {
    let mut flapping = down_for(30, alarm());
    for looks in 0..18 {
        flapping.looks = looks;
        assert_eq!(plan(&flapping, &multi_az()).decision, Decision::Wait, "look {looks}");
    }
    flapping.looks = 18;
    let asked = plan(&flapping, &multi_az());
    assert_eq!(asked.decision, Decision::AskApproval);
    assert!(asked.reason.contains("comes and goes"), "{}", asked.reason);
}

#[test]
fn what_is_not_known_to_have_held_is_not_left_unattended() {
    let mut unread = down_for(500, alarm());
    if let Some(site) = unread.observation.sites.get_mut("a") {
        site.held_since = None;
    }
    let asked = plan(&unread, &multi_az());
    assert_eq!(asked.decision, Decision::AskApproval);
    assert!(asked.reason.contains("not known for how long"), "{}", asked.reason);
}

#[test]
fn an_operator_does_not_wait_and_is_told() {
    let ada = Trigger::Operator { who: "ada".into(), override_votes: false };
    let now = plan(&down_for(20, ada.clone()), &multi_az());
    assert_eq!(now.decision, Decision::Proceed);
    assert!(now.reason.contains("now it is for 20 s"), "{}", now.reason);
    let later = plan(&down_for(120, ada), &multi_az());
    assert!(!later.reason.contains("an alarm would have waited"), "{}", later.reason);
}

#[test]
fn a_loss_beyond_the_rpo_or_an_unknown_one_asks_a_person() {
    let late = plan(&situation(SiteVerdict::Down, 6, alarm()), &app());
    assert_eq!(late.decision, Decision::AskApproval);
    assert!(late.reason.contains("31.5 s"), "{}", late.reason);

    let mut blind = situation(SiteVerdict::Down, 0, alarm());
    blind.observation.replica.caught_up_at = None;
    let blind = plan(&blind, &app());
    assert_eq!(blind.decision, Decision::AskApproval);
    assert!(blind.reason.contains("unknown amount"), "{}", blind.reason);
}

#[test]
fn an_approval_counts_for_what_was_shown_while_the_site_is_still_down() {
    let given = |shown| guard::ApprovalGiven {
        approver: "ada".into(),
        approved_at: "2026-01-01T12:00:20Z".parse().unwrap(),
        shown_loss_seconds: shown,
    };
    let mut approved = situation(SiteVerdict::Down, 6, alarm());
    approved.approval = Some(given(Some(19.5)));
    let goes_on = plan(&approved, &app());
    assert_eq!(goes_on.decision, Decision::Proceed, "{}", goes_on.reason);
    assert_eq!(goes_on.approved_by.as_deref(), Some("ada"));
    assert_eq!(lint(&goes_on), Vec::<String>::new());
    // No figure was shown where there is one: nobody approved it.
    approved.approval = Some(given(None));
    assert_eq!(plan(&approved, &app()).decision, Decision::AskApproval);
    // The site is back meanwhile: what was approved is not needed any more.
    let mut back = situation(SiteVerdict::Up, 6, alarm());
    back.approval = Some(given(Some(19.5)));
    back.looks = 9;
    assert_eq!(plan(&back, &app()).decision, Decision::StandDown);
    // Approved long before, it costs more than anyone saw.
    let mut late = situation(SiteVerdict::Down, 6, alarm());
    late.observation.observed_at += jiff::SignedDuration::from_mins(10);
    late.approval = Some(given(Some(19.5)));
    assert_eq!(plan(&late, &app()).decision, Decision::AskApproval);
}

#[test]
fn without_a_usable_replica_a_person_is_paged() {
    let mut lost = situation(SiteVerdict::Down, 0, alarm());
    lost.observation.replica.vote = Vote::Down;
    lost.observation.replica.detail = "connection refused".into();
    let plan = plan(&lost, &app());
    assert_eq!(plan.decision, Decision::Blocked);
    assert!(plan.reason.contains("connection refused"));
}

#[test]
fn an_operator_may_override_the_votes_only_with_approval() {
    let by = |override_votes| Trigger::Operator { who: "ada".into(), override_votes };
    assert_eq!(
        plan(&situation(SiteVerdict::Up, 0, by(false)), &app()).decision,
        Decision::StandDown
    );
    assert_eq!(
        plan(&situation(SiteVerdict::Up, 0, by(true)), &app()).decision,
        Decision::AskApproval
    );
}

#[test]
fn a_synchronous_standby_that_followed_loses_nothing() {
    let mut app = app();
    app.database.engine = Engine::Postgres;
    app.database.replication = plan_file::Replication::Synchronous;
    let followed = plan(&situation(SiteVerdict::Down, 9, alarm()), &app);
    assert_eq!(
        (followed.decision, followed.estimated_loss_seconds),
        (Decision::Proceed, Some(0.0))
    );
    // One that had fallen behind was synchronous in name only.
    let behind = plan(&situation(SiteVerdict::Down, 100, alarm()), &app);
    assert_eq!(behind.decision, Decision::AskApproval);
}

#[test]
fn a_database_that_went_its_own_way_is_no_replica() {
    let mut diverged = situation(SiteVerdict::Down, 1, alarm());
    diverged.observation.replica.in_recovery = Some(false);
    let blocked = plan(&diverged, &app());
    assert_eq!(blocked.decision, Decision::Blocked);
    assert!(blocked.reason.contains("primary already"), "{}", blocked.reason);
}

#[test]
fn a_recovery_that_failed_after_its_claim_is_completed_whatever_the_votes_say() {
    for verdict in [SiteVerdict::Down, SiteVerdict::Up, SiteVerdict::Unknown] {
        let mut unfinished = situation(verdict, 1, alarm());
        unfinished.continues = true;
        unfinished.observation.replica.in_recovery = Some(false);
        let plan = plan(&unfinished, &app());
        assert_eq!(plan.decision, Decision::Proceed, "{}", plan.reason);
        assert_eq!(lint(&plan), Vec::<String>::new());
    }
}

#[test]
fn the_primary_of_a_failover_pair_is_not_promised_what_no_object_can_do() {
    let mut back = situation(SiteVerdict::Down, 1, alarm());
    std::mem::swap(&mut back.target, &mut back.active);
    back.observation.sites = {
        let mut sites = back.observation.sites;
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (one, two) = (sites.remove("a").unwrap(), sites.remove("b").unwrap());
        [(a, two), (b, one)].into()
    };
    assert_eq!(plan(&back, &app()).decision, Decision::Blocked);
    let mut by_record = app();
    by_record.dns.switch = Switch::Record;
    assert_eq!(plan(&back, &by_record).decision, Decision::Proceed);
}

fn any_situation() -> impl Strategy<Value = (Situation, AppPlan)> {
    let verdict = prop_oneof![
        Just(SiteVerdict::Up),
        Just(SiteVerdict::Degraded),
        Just(SiteVerdict::Down),
        Just(SiteVerdict::Unknown)
    ];
    let replica = prop_oneof![Just(Vote::Up), Just(Vote::Down), Just(Vote::Unknown)];
    let who = proptest::option::of(any::<bool>());
    let held = (proptest::option::of(0i64..200), 0u32..20);
    (verdict, replica, -5i64..30, any::<bool>(), who, 20u32..40, any::<[bool; 3]>(), held).prop_map(
        |(verdict, replica, lag, known, who, rpo, [same, required, record], (held, looks))| {
            let trigger = match who {
                None => alarm(),
                Some(override_votes) => Trigger::Operator { who: "ada".into(), override_votes },
            };
            let mut situation = situation(verdict, lag, trigger);
            situation.observation.replica.vote = replica;
            if !known {
                situation.observation.replica.caught_up_at = None;
            }
            situation.looks = looks;
            if let Some(site) = situation.observation.sites.get_mut("a") {
                let now = situation.observation.observed_at;
                site.held_since = held.map(|held| now - jiff::SignedDuration::from_secs(held));
            }
            if same {
                situation.target = situation.active.clone();
            }
            let mut app = app();
            for policy in app.scenarios.values_mut() {
                policy.rpo_seconds = rpo;
                policy.approval = if required { Approval::Required } else { Approval::Automatic };
            }
            app.detection.hold_seconds = Some(100);
            app.dns.switch = if record { Switch::Record } else { Switch::HealthCheck };
            (situation, app)
        },
    )
}

proptest! {
    #[test]
    fn every_plan_passes_the_linter((situation, app) in any_situation()) {
        prop_assert_eq!(lint(&plan(&situation, &app)), Vec::<String>::new());
    }

    #[test]
    fn nothing_goes_on_unattended_that_is_not_proven_down((situation, app) in any_situation()) {
        let plan = plan(&situation, &app);
        if plan.decision == Decision::Proceed {
            prop_assert!(situation.continues || situation.active_verdict() == SiteVerdict::Down);
            let loss = situation::estimated_loss(
                &situation.observation, &situation.active, app.database.replication);
            prop_assert!(loss.seconds.is_some_and(|loss| loss <= f64::from(plan.rpo_seconds)));
            let held = situation.held_seconds().is_some_and(|held| held >= 100.0);
            let asked_for = matches!(situation.trigger, Trigger::Operator { .. });
            prop_assert!(held || asked_for || situation.continues);
        }
    }
}

#[test]
fn the_linter_finds_each_kind_of_broken_plan() {
    let good = plan(&situation(SiteVerdict::Down, 1, alarm()), &app());
    let broken = |change: fn(&mut RecoveryPlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        lint(&plan).join("; ")
    };
    assert!(broken(|p| p.steps.swap(2, 5)).contains("too early"));
    assert!(
        broken(|p| {
            p.steps.remove(1);
        })
        .contains("does not fence")
    );
    assert!(broken(|p| p.estimated_loss_seconds = None).contains("asks nobody"));
    assert!(broken(|p| p.target = p.old_active.clone()).contains("active"));
    assert!(broken(|p| p.decision = Decision::StandDown).contains("has steps"));
    assert!(broken(|p| p.decision = Decision::Wait).contains("without an end"));
    assert!(broken(|p| p.steps[0].reason.clear()).contains("no reason"));
}
