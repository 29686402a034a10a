use proptest::prelude::*;

use super::*;
use crate::{
    plan_file,
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
        observation: samples::observation(verdict, lag),
    }
}

#[test]
fn a_dead_region_with_a_fresh_replica_is_left_unattended() {
    let plan = plan(&situation(SiteVerdict::Down, 2, alarm()), &app());
    assert_eq!(plan.decision, Decision::Proceed, "{}", plan.reason);
    assert_eq!(plan.estimated_loss_seconds, Some(2.0));
    assert_eq!(lint(&plan), Vec::<String>::new());
}

#[test]
fn false_alarms_stand_down_and_say_why() {
    for (verdict, says) in [
        (SiteVerdict::Up, "answers every check"),
        (SiteVerdict::Degraded, "repair it in place"),
        (SiteVerdict::Unknown, "unknown is never down"),
    ] {
        let plan = plan(&situation(verdict, 0, alarm()), &app());
        assert_eq!(plan.decision, Decision::StandDown);
        assert!(plan.reason.contains(says), "{}", plan.reason);
        assert!(plan.steps.is_empty());
    }
}

#[test]
fn a_loss_beyond_the_rpo_or_an_unknown_one_asks_a_person() {
    let late = plan(&situation(SiteVerdict::Down, 6, alarm()), &app());
    assert_eq!(late.decision, Decision::AskApproval);
    assert!(late.reason.contains("6.0 s"), "{}", late.reason);

    let mut blind = situation(SiteVerdict::Down, 0, alarm());
    blind.observation.replica.caught_up_at = None;
    let blind = plan(&blind, &app());
    assert_eq!(blind.decision, Decision::AskApproval);
    assert!(blind.reason.contains("unknown amount"), "{}", blind.reason);
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
    (verdict, replica, -5i64..30, any::<bool>(), who, 0u32..10, any::<[bool; 3]>()).prop_map(
        |(verdict, replica, lag, known, who, rpo, [same, required, record])| {
            let trigger = match who {
                None => alarm(),
                Some(override_votes) => Trigger::Operator { who: "ada".into(), override_votes },
            };
            let mut situation = situation(verdict, lag, trigger);
            situation.observation.replica.vote = replica;
            if !known {
                situation.observation.replica.caught_up_at = None;
            }
            if same {
                situation.target = situation.active.clone();
            }
            let mut app = app();
            for policy in app.scenarios.values_mut() {
                policy.rpo_seconds = rpo;
                policy.approval = if required { Approval::Required } else { Approval::Automatic };
            }
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
            let loss = situation::estimated_loss_seconds(
                &situation.observation, &situation.active, app.database.replication);
            prop_assert!(loss.is_some_and(|loss| loss <= f64::from(plan.rpo_seconds)));
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
    assert!(broken(|p| p.steps[0].reason.clear()).contains("no reason"));
}
