//! `region-outage`, `double-start`, `abort` and `promotion-stuck`: the active region dies, and users must be served again.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use lifeboat_core::{
    objective::{Loss, Outage},
    recovery_log::{Entry, EntryKind},
};

use super::{
    Finding, Request, Scenario,
    abort::stop_and_go_on,
    approval::{APPROVER, start_and_approve},
    evidence::{Returned, chain, dual_writer_seconds, invariant, loss_was_known},
    follow::Recovery,
    hosts::know_their_site,
    serving_client,
    stuck::{OVERDUE, hold_until_paged},
};
use crate::{
    client::{SUSTAINED, Traffic, missing_at, samples},
    clock,
    lab::{ACTIVE, ALIASED_RTO_SECONDS, Lab, LabError, Mode, SITES, STANDBY},
    report::{
        DnsAnswer, DrillReport, InvariantResult, Palette, Parts, Verdict, live_line,
        seconds_between,
    },
    say,
};

/// The objectives, as `events/plan/queue.toml` has them.
const RTO_SECONDS: f64 = 60.0;
const RPO_SECONDS: f64 = 30.0;
/// Until the client is served again once the machine says so: its resolver's cache.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// The alarm's period. A lab comes up in step with it, and a disaster does not: without a random
/// moment, every drill would measure the same favourable detection.
const ALARM_PERIOD: Duration = Duration::from_secs(10);
/// How long the client goes on at the new site before the old one returns.
const SETTLES_FOR: Duration = Duration::from_secs(4);

/// The RTO of the lab's plan.
#[expect(clippy::cast_precision_loss, reason = "two minutes fit an f64 exactly")]
fn rto_seconds(request: Request) -> f64 {
    if request.options.aliased { ALIASED_RTO_SECONDS as f64 } else { RTO_SECONDS }
}

/// Strikes, watches, measures.
pub(super) async fn run(lab: &Lab, request: Request) -> Result<Finding, LabError> {
    let started_at = clock::now();
    let client = serving_client(Duration::from_secs(2)).await?;
    let epoch_before = lab.epoch(&STANDBY).await?;

    clock::pause(clock::random_moment(ALARM_PERIOD)).await;
    if !request.stall.is_zero() {
        lab.stall_replication(true)?;
        clock::pause(request.stall).await;
    }
    let struck_at = clock::now();
    let strikes = request.scenario != Scenario::Approval;
    if strikes {
        lab.strike(&ACTIVE, request.mode).await?;
        tell(struck_at, clock::now(), "struck", &format!("region {} is dark", ACTIVE.region));
    }
    let (arn, starts) = match request.scenario {
        Scenario::Approval => (start_and_approve(lab).await?, Vec::new()),
        Scenario::DoubleStart => start_twice(lab).await?,
        Scenario::Abort => stop_and_go_on(lab, struck_at).await?,
        Scenario::PromotionStuck => hold_until_paged(lab, struck_at).await?,
        Scenario::RegionOutage
        | Scenario::StandbyBlind
        | Scenario::SlowPrimary
        | Scenario::Partition
        | Scenario::WitnessLost
        | Scenario::PeerLost
        | Scenario::MultiAzFailover
        | Scenario::BackupCycle
        | Scenario::CorruptBackup => (lab.next_execution(&STANDBY).await, Vec::new()),
    };
    let recovery = followed(lab, arn, struck_at).await?;
    let kept_longer = Duration::from_secs_f64(rto_seconds(request) - RTO_SECONDS);
    let served_within = SERVED_WITHIN + kept_longer;
    let served = client
        .wait_for(served_within, |writes| {
            let tail = samples(writes);
            tail.len() > SUSTAINED && tail.iter().rev().take(SUSTAINED).all(|s| s.acknowledged)
        })
        .await;
    if served {
        tell(struck_at, clock::now(), "client", "served again");
        lab.boot_late(&STANDBY).await?;
        tell(struck_at, clock::now(), "late host", "joined");
    }
    clock::pause(SETTLES_FOR).await;

    lab.stall_replication(false)?;
    // The new site is open from the moment at which its database takes writes.
    let opened_at = recovery.last_end("PromoteReplica").unwrap_or(struck_at);
    if strikes {
        lab.bring_back(&ACTIVE, request.mode).await?;
        tell(struck_at, clock::now(), "returned", &format!("region {} is back", ACTIVE.region));
    }
    let returned = lab.examine_returned(&ACTIVE, opened_at).await?;
    tell(
        struck_at,
        clock::now(),
        "old site",
        &format!("took {} of {} writes", returned.stale_writes, returned.offered),
    );
    lab.lighten_route53();
    let traffic = client.stop().await;
    let missing = missing_at(STANDBY.app(), &traffic.acknowledged_ids())
        .await
        .map_err(|error| LabError::from_error("compare the writes", &error))?;
    let facts = Facts { started_at, struck_at, epoch_before, recovery, returned, traffic, missing };
    measure(lab, request, facts, &starts).await
}

/// The recovery that was started, followed to its end, which is told.
pub(super) async fn followed(
    lab: &Lab,
    arn: Option<String>,
    struck_at: Timestamp,
) -> Result<Recovery, LabError> {
    let arn = arn.ok_or_else(|| LabError::new("the alarm started no recovery within 60 s"))?;
    let recovery = lab.follow(&STANDBY, &arn, struck_at).await?;
    let ended = format!("{} {}", recovery.outcome(), recovery.reason());
    tell(struck_at, clock::now(), "machine", &ended);
    Ok(recovery)
}

struct Facts {
    started_at: Timestamp,
    struck_at: Timestamp,
    epoch_before: u64,
    recovery: Recovery,
    returned: Returned,
    traffic: Traffic,
    missing: BTreeSet<String>,
}

async fn measure(
    lab: &Lab,
    request: Request,
    facts: Facts,
    starts: &[InvariantResult],
) -> Result<Finding, LabError> {
    let Facts { started_at, struck_at, epoch_before, recovery, returned, traffic, missing } = facts;
    let outage = traffic.outage();
    let loss = outage.map(|outage| traffic.loss(&missing, outage.from));
    let detected_at = recovery.alarm_at();
    let served_at = outage.map(|outage| outage.until);
    let moved_at = dns_moved(lab, struck_at);
    let confirmed = recovery.last_end("ConfirmTraffic").unwrap_or(struck_at);
    let epoch_after = lab.epoch(&STANDBY).await?;
    let entries = lab.log_entries(&STANDBY).await?;
    let mut invariants = vec![
        invariant(
            "1-one-writer",
            returned.stale_writes == 0 && returned.fenced.is_some(),
            match &returned.fenced {
                Some(reason) => format!(
                    "old site took 0 of {} writes offered on its return; its guard: {reason}",
                    returned.offered
                ),
                None => "the old site's guard still permits writes".to_owned(),
            },
        ),
        loss_was_known(&entries, RPO_SECONDS),
        chain(&entries),
        invariant(
            "8-an-epoch-for-each-recovery",
            epoch_after == last_epoch(epoch_before, &entries),
            format!("epoch {epoch_before} before, {epoch_after} after"),
        ),
        lab.no_secret_shown(&recovery).await,
        lab.bucket_owners_named(),
    ];
    if let Some(loss) = &loss {
        let achieved = window_seconds(loss);
        let estimate = super::evidence::estimated_loss(&entries);
        let approved = entries.iter().any(|entry| entry.kind == EntryKind::Approval);
        invariants.push(invariant(
            "2-estimate-covers-the-loss",
            estimate.map_or(approved, |estimate| achieved <= estimate),
            format!(
                "lost {} writes of the last {achieved:.1} s; the plan had said at most {} s",
                loss.ids.len(),
                estimate.map_or_else(|| "unknown".to_owned(), |estimate| format!("{estimate:.1}"))
            ),
        ));
    }
    invariants.extend(know_their_site(lab, &STANDBY, &recovery, epoch_after));
    if request.scenario == Scenario::Approval {
        invariants.extend(approved_and_fenced(&recovery, &entries));
    } else if !request.options.switch_by_record {
        invariants.insert(2, lab.needed_nothing_lost(struck_at, confirmed));
    }
    invariants.extend_from_slice(starts);
    let is_stuck = request.scenario == Scenario::PromotionStuck;
    let stages: &[&str] =
        if is_stuck { &["started", OVERDUE, "recovered"] } else { &["started", "recovered"] };
    let report = DrillReport {
        scenario: request.scenario.as_str().to_owned(),
        started_at,
        struck_at,
        detected_at,
        served_at,
        // What is rehearsed is that it takes longer.
        rto_target_seconds: (!is_stuck).then(|| rto_seconds(request)),
        achieved_rto_seconds: outage.map(|outage| seconds_between(outage.from, outage.until)),
        rpo_target_seconds: Some(if request.options.synchronous { 0.0 } else { RPO_SECONDS }),
        achieved_rpo_seconds: loss.as_ref().map(window_seconds),
        writes_acknowledged: count(traffic.acknowledged().len()),
        writes_lost: count(loss.as_ref().map_or(0, |loss| loss.ids.len())),
        writes_after_recovery: served_at.map_or(0, |at| count(traffic.acknowledged_since(at))),
        stale_writes_accepted: returned.stale_writes,
        dual_writer_seconds: dual_writer_seconds([&traffic.writes]),
        loss_shown_seconds: super::evidence::estimated_loss(&entries),
        epoch_before,
        epoch_after,
        parts: parts(&recovery, struck_at, moved_at, outage),
        steps: recovery.steps.clone(),
        notifications: lab.notifications(stages).await,
        invariants,
        verdict: Verdict::Fail,
        leftover_resources: 0,
        mode: match request.mode {
            Mode::Kill => "kill".to_owned(),
            Mode::Hang => "hang".to_owned(),
        },
        reason: String::new(),
        writes_lost_ids: loss.map(|loss| loss.ids).unwrap_or_default(),
        backups: Vec::new(),
    };
    let dns = dns_answers(lab);
    let succeeded = recovery.outcome() == "recovered";
    let trouble = (!succeeded)
        .then(|| format!("the machine ended with {}: {}", recovery.outcome(), recovery.reason()));
    Ok(Finding { report, writes: traffic.writes, dns, trouble })
}

/// The epoch of the last of the recoveries in the log: the standby's site takes 2, 4, 6.
fn last_epoch(before: u64, entries: &[Entry]) -> u64 {
    let opened: BTreeSet<u64> =
        entries.iter().filter(|e| e.kind == EntryKind::Opened).map(|e| e.epoch.0).collect();
    let recoveries = count(opened.len());
    before + recoveries * 2 - 1
}

/// Who approved is in the log, and a site that can be reached is stopped before the other is opened.
fn approved_and_fenced(recovery: &Recovery, entries: &[Entry]) -> [InvariantResult; 2] {
    let approval = entries.iter().find(|entry| entry.kind == EntryKind::Approval);
    let approver = approval.and_then(|entry| entry.body.get("approver")?.as_str());
    let fence = recovery.steps.iter().rev().find(|step| step.name == "FencePrimary");
    let fence = fence.map_or("no fence", |step| step.outcome.as_str());
    [
        invariant(
            "2-approved-by-a-person",
            approver == Some(APPROVER),
            format!("the log names {}", approver.unwrap_or("nobody")),
        ),
        invariant("1-reachable-site-is-fenced", fence == "done", format!("fencing: {fence}")),
    ]
}

/// The alarm and an operator at the same moment, and the operator again.
async fn start_twice(lab: &Lab) -> Result<(Option<String>, Vec<InvariantResult>), LabError> {
    let first = lab.next_execution(&STANDBY).await;
    let (one, two) =
        tokio::join!(lab.operator_starts("ada", false), lab.operator_starts("ada", false));
    let mut started: Vec<String> = Vec::new();
    for answer in [one?, two?] {
        started.extend(answer);
    }
    started.dedup();
    let same = started.len() == 1;
    let mut invariants = vec![invariant(
        "3-operator-twice-is-once",
        same,
        format!("two starts by the operator gave {} execution(s)", started.len()),
    )];
    let Some(alarm) = first else { return Ok((None, invariants)) };
    // The operator joins the alarm's execution when it holds the ledger by then. Of two, one holds it,
    // and the other stands down at once.
    let mut executions = started;
    if !executions.contains(&alarm) {
        executions.push(alarm.clone());
    }
    let mut leader = alarm;
    let mut stood_down = 0;
    for arn in &executions {
        let outcome = lab.outcome_soon(&STANDBY, arn).await?;
        if outcome.as_deref() == Some("stood_down") {
            stood_down += 1;
        } else {
            leader.clone_from(arn);
        }
    }
    invariants.push(invariant(
        "3-two-starts-recover-once",
        stood_down + 1 == executions.len(),
        format!("{} executions, {stood_down} stood down", executions.len()),
    ));
    Ok((Some(leader), invariants))
}

/// The achieved RTO in its parts, in the order in which they happened. They add up to it, from the
/// disaster on.
fn parts(
    recovery: &Recovery,
    struck_at: Timestamp,
    moved_at: Option<Timestamp>,
    outage: Option<Outage>,
) -> Parts {
    let mut parts = Parts::default();
    let mut last = struck_at;
    let mut until = |name: &str, at: Option<Timestamp>| {
        if let Some(at) = at
            && at >= last
        {
            parts.push(name, seconds_between(last, at));
            last = at;
        }
    };
    until("detection", recovery.alarm_at());
    until("start", recovery.step("OpenRecovery").map(|(began, _)| began));
    until("open_and_assess", recovery.last_end("AssessSituation"));
    until("plan_and_claim", recovery.last_end("ClaimEpoch"));
    until("fence", recovery.last_end("FencePrimary"));
    until("permits", recovery.last_end("WaitForPermits"));
    until("promotion", recovery.last_end("PromoteReplica"));
    until("activation", recovery.last_end("ActivateSite"));
    until("verification", recovery.last_end("VerifySite"));
    until("switch", recovery.last_end("SwitchTraffic"));
    until("dns_health_check", moved_at);
    until("client_cache", outage.map(|outage| outage.until));
    parts
}

/// When the name first led to the standby after the disaster.
fn dns_moved(lab: &Lab, struck_at: Timestamp) -> Option<Timestamp> {
    let wanted = STANDBY.app().ip().to_string();
    dns_answers(lab)
        .into_iter()
        .find(|answer| answer.at > struck_at && answer.answer.contains(&wanted))
        .map(|answer| answer.at)
}

/// What DNS answered, from when on.
pub(super) fn dns_answers(lab: &Lab) -> Vec<DnsAnswer> {
    lab.dns
        .changes()
        .into_iter()
        .filter(|change| change.name.trim_end_matches('.') == "queue.example.test")
        .filter_map(|change| {
            Some(DnsAnswer { at: change.at.to_string().parse().ok()?, answer: named(&change.to) })
        })
        .collect()
}

/// Addresses with the site that each belongs to: `site a (127.0.1.10)`.
fn named(addresses: &[String]) -> String {
    let name = |address: &String| {
        let site = SITES.iter().find(|site| site.app().ip().to_string() == *address);
        site.map_or_else(|| address.clone(), |site| format!("site {} ({address})", site.name))
    };
    addresses.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of an outage fit an f64 exactly")]
pub(super) fn window_seconds(loss: &Loss) -> f64 {
    loss.window_ms as f64 / 1000.0
}

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

pub(super) fn tell(zero: Timestamp, at: Timestamp, name: &str, what: &str) {
    say::line(&live_line(Palette::detect(), at.duration_since(zero), name, what, None));
}
