//! `witness-lost` and `peer-lost`: a region that holds a register is dark, and it is not the active
//! site's. Meanwhile every guard of the active site is started again, twice: one that remembers nothing
//! has to find out from the two other registers that its site may write.
//!
//! Nothing may come of it: no failover, and no write refused while a permit is good. Then the region
//! returns, and the register that stood in for it is cut off: the site serves on only if the one that
//! was lost counts again.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::permit::PERMIT_SECONDS;
use lifeboat_lab_gateway::gateway::DarkMode;

use super::{
    Finding, Request,
    evidence::{Returned, dual_writer_seconds, invariant},
    follow::Recovery,
    guards::{Ending, Restart},
    outage::{count, dns_answers, followed, tell},
    served,
};
use crate::{
    client::{Traffic, Write, missing_at},
    clock,
    lab::{ACTIVE, APP, Lab, LabError, Mode, SITES, STANDBY, WITNESS_REGION},
    report::{DnsAnswer, DrillReport, InvariantResult, Parts, Verdict, seconds_between},
};

/// A write may take this long.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// Between two ticks of a guard.
const GUARD_TICKS: Duration = Duration::from_secs(1);
/// How long the region is dark: longer than an outage may take to be detected, which is 20 s.
const DARK_FOR: SignedDuration = SignedDuration::from_secs(22);
/// Until the hosts of the active site have met the darkness, and the return: their guards read each second.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// What a restart in good order may cost: the guard withdraws its permit, and the next one grants one
/// with its first tick.
const RESTARTED_WITHIN_SECONDS: f64 = 1.0;

/// The region that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// That of the third register, in which there is nothing else.
    Witness,
    /// The standby's, with all that is in it.
    Peer,
}

impl Lost {
    const fn region(self) -> &'static str {
        match self {
            Self::Witness => WITNESS_REGION,
            Self::Peer => STANDBY.region,
        }
    }

    /// The region whose register makes the majority meanwhile, with the active site's own.
    const fn stands_in(self) -> &'static str {
        match self {
            Self::Witness => STANDBY.region,
            Self::Peer => WITNESS_REGION,
        }
    }
}

/// Strikes, restarts, brings back, measures.
pub(super) async fn run(lab: &Lab, request: Request, lost: Lost) -> Result<Finding, LabError> {
    let started_at = clock::now();
    let users = served(ANSWERED_WITHIN, None).await?;
    // Nobody's name leads to the further host, and its guard counts as much.
    let beside = ACTIVE.apps().nth(1).map(|app| app.ip());
    let beside = served(ANSWERED_WITHIN, beside).await?;
    let epoch_before = lab.epoch(&ACTIVE).await?;

    let struck_at = clock::now();
    lab.lose(lost).await?;
    lab.hosts_meet(lost.region(), struck_at, false).await?;
    tell(struck_at, clock::now(), "dark", &format!("region {} answers nobody", lost.region()));
    // What was just seen is a guard's tick, right after which the permits are at their longest.
    clock::pause(clock::random_moment(GUARD_TICKS)).await;
    let killed = lab.restart_guards(&ACTIVE, Ending::Killed).await?;
    tell(struck_at, killed.permitted_at, "guards", "killed, and started again by their units");
    let stopped = lab.restart_guards(&ACTIVE, Ending::Stopped).await?;
    tell(struck_at, stopped.permitted_at, "guards", "stopped and started again");
    let mut alarmed = BTreeSet::new();
    while clock::now().duration_since(struck_at) < DARK_FOR {
        alarmed.extend(lab.alarmed(lost).await?);
        clock::pause(Duration::from_millis(500)).await;
    }

    let returned_at = clock::now();
    lab.find_again(lost).await?;
    lab.hosts_meet(lost.region(), returned_at, true).await?;
    tell(struck_at, clock::now(), "returned", &format!("region {} answers", lost.region()));
    let counts = lab.counts_again(lost).await?;
    tell(struck_at, clock::now(), "counts", &counts.evidence);
    let settled = lab.registers_settle(true).await?;
    let unattended = lab.outcomes_of_all().await?;
    let arn = lab.operator_starts("ada", false).await?;
    let (recovery, idle) =
        tokio::join!(followed(lab, arn, struck_at), lab.examine_standby(&STANDBY));
    alarmed.extend(lab.alarmed(lost).await?);
    let (users, beside) = (users.stop().await, beside.stop().await);
    let mut acknowledged = users.acknowledged_ids();
    acknowledged.extend(beside.acknowledged_ids());
    let missing = missing_at(ACTIVE.app(), &acknowledged)
        .await
        .map_err(|error| LabError::from_error("compare the writes", &error))?;
    let facts = Facts {
        started_at,
        struck_at,
        epoch_before,
        restarts: [killed, stopped],
        recovery: recovery?,
        idle,
        users,
        beside,
        missing,
        unattended,
        alarmed,
    };
    measure(lab, request, facts, [counts, settled]).await
}

struct Facts {
    started_at: Timestamp,
    struck_at: Timestamp,
    epoch_before: u64,
    /// By killing, and in good order.
    restarts: [Restart; 2],
    /// The one that an operator asked for at the end.
    recovery: Recovery,
    idle: Returned,
    users: Traffic,
    beside: Traffic,
    missing: BTreeSet<String>,
    /// Executions of the recovery that nobody asked for, with their outcomes.
    unattended: Vec<(String, String)>,
    /// The alarms that went off and would move the active site.
    alarmed: BTreeSet<String>,
}

impl Facts {
    fn writes(&self) -> impl Iterator<Item = &Write> {
        self.users.writes.iter().chain(&self.beside.writes)
    }
}

async fn measure(
    lab: &Lab,
    request: Request,
    facts: Facts,
    registers: [InvariantResult; 2],
) -> Result<Finding, LabError> {
    let dual = dual_writer_seconds([&facts.users.writes, &facts.beside.writes]);
    let epoch_after = lab.agreed_epoch().await?;
    let dns = dns_answers(lab);
    let mut invariants = vec![
        invariant(
            "1-one-writer",
            dual == 0.0 && facts.idle.stale_writes == 0 && facts.idle.fenced.is_some(),
            format!(
                "both sites acknowledged writes for {dual:.3} s; the standby's took {} of {} that it was \
                 offered",
                facts.idle.stale_writes, facts.idle.offered
            ),
        ),
        invariant(
            "2-nothing-is-lost",
            facts.missing.is_empty(),
            format!("lost {} acknowledged writes", facts.missing.len()),
        ),
    ];
    invariants.extend(served_on(&facts));
    invariants.extend(registers);
    invariants.extend([
        nobody_failed_over(&facts, &dns),
        invariant(
            "7-the-machine-stands-down",
            facts.recovery.outcome() == "stood_down"
                && facts.recovery.reason().contains("answers every check"),
            format!("asked by an operator, it said: {}", facts.recovery.reason()),
        ),
        invariant(
            "8-epoch-unchanged",
            epoch_after == facts.epoch_before,
            format!("epoch {} before, {epoch_after} after", facts.epoch_before),
        ),
        lab.no_secret_shown(&facts.recovery).await,
        lab.bucket_owners_named(),
    ]);
    let report = DrillReport {
        scenario: request.scenario.as_str().to_owned(),
        started_at: facts.started_at,
        struck_at: facts.struck_at,
        detected_at: None,
        served_at: None,
        rto_target_seconds: None,
        achieved_rto_seconds: None,
        rpo_target_seconds: None,
        achieved_rpo_seconds: facts.missing.is_empty().then_some(0.0),
        writes_acknowledged: count(facts.writes().filter(|write| write.acknowledged).count()),
        writes_lost: count(facts.missing.len()),
        writes_after_recovery: 0,
        stale_writes_accepted: facts.idle.stale_writes,
        dual_writer_seconds: dual,
        loss_shown_seconds: None,
        epoch_before: facts.epoch_before,
        epoch_after,
        parts: Parts::default(),
        steps: facts.recovery.steps.clone(),
        notifications: lab.notifications(&["started", "stood_down"]).await,
        invariants,
        verdict: Verdict::Fail,
        leftover_resources: 0,
        mode: "hang".to_owned(),
        reason: String::new(),
        writes_lost_ids: facts.missing.into_iter().collect(),
        backups: Vec::new(),
    };
    let mut writes = facts.users.writes;
    writes.extend(facts.beside.writes);
    writes.sort_by_key(|write| write.sent_at);
    Ok(Finding { report, writes, dns, trouble: None })
}

/// A guard that crashes costs no write, and one that is stopped those of its restart.
fn served_on(facts: &Facts) -> [InvariantResult; 2] {
    let [killed, stopped] = facts.restarts;
    let during = |write: &&Write| {
        write.ended_at >= stopped.ended_at && write.sent_at <= stopped.permitted_at
    };
    let failed: Vec<&Write> = facts.writes().filter(|write| !write.acknowledged).collect();
    let (refused, beyond): (Vec<&Write>, Vec<&Write>) = failed.into_iter().partition(|w| during(w));
    let span = |writes: &[&Write]| {
        let first = writes.iter().map(|write| write.sent_at).min();
        let last = writes.iter().map(|write| write.ended_at).max();
        first.zip(last).map_or(0.0, |(first, last)| seconds_between(first, last))
    };
    let good_for = seconds_between(killed.permitted_at, killed.left_until);
    let why = beyond.first().map_or_else(String::new, |write| {
        format!(
            ", the first {:.1} s after the region went dark: {}",
            seconds_between(facts.struck_at, write.sent_at),
            write.failure.as_deref().unwrap_or("no reason")
        )
    });
    let total = facts.writes().count();
    let cost = span(&refused);
    [
        invariant(
            "5-serves-through-the-loss-of-a-register",
            beyond.is_empty(),
            format!(
                "writes failed that no stopped guard accounts for: {} of {total}{why}; new permits {:.2} s \
                 after the guards were killed, the old ones good for {good_for:.2} s more",
                beyond.len(),
                seconds_between(killed.ended_at, killed.permitted_at)
            ),
        ),
        invariant(
            "5-restart-costs-its-own-time",
            cost <= RESTARTED_WITHIN_SECONDS,
            format!(
                "writes refused while the guards were stopped and started in good order: {}, within \
                 {cost:.2} s; new permits after {:.2} s",
                refused.len(),
                seconds_between(stopped.ended_at, stopped.permitted_at)
            ),
        ),
    ]
}

fn nobody_failed_over(facts: &Facts, dns: &[DnsAnswer]) -> InvariantResult {
    let moved = dns.iter().filter(|answer| answer.at > facts.struck_at).count();
    let acted: Vec<String> = facts
        .unattended
        .iter()
        .filter(|(_, outcome)| outcome != "stood_down")
        .map(|(arn, outcome)| format!("{arn} {outcome}"))
        .collect();
    let alarms: Vec<&str> = facts.alarmed.iter().map(String::as_str).collect();
    invariant(
        "7-no-failover-without-proof",
        moved == 0 && acted.is_empty() && alarms.is_empty(),
        format!(
            "times that the name moved: {moved}; recoveries that were started: {}, that acted: {}{}{}",
            facts.unattended.len(),
            acted.len(),
            if acted.is_empty() { String::new() } else { format!(" ({})", acted.join(", ")) },
            if alarms.is_empty() {
                String::new()
            } else {
                format!("; went off: {}", alarms.join(", "))
            }
        ),
    )
}

impl Lab {
    async fn lose(&self, lost: Lost) -> Result<(), LabError> {
        match lost {
            Lost::Witness => {
                self.darken(lost.region(), DarkMode::Hang);
                Ok(())
            }
            Lost::Peer => self.strike(&STANDBY, Mode::Hang).await,
        }
    }

    async fn find_again(&self, lost: Lost) -> Result<(), LabError> {
        match lost {
            Lost::Witness => {
                self.gateway.faults().lighten(lost.region());
                Ok(())
            }
            Lost::Peer => self.bring_back(&STANDBY, Mode::Hang).await,
        }
    }

    /// Waits until a read of the register in this region from the active site's was answered, or hung,
    /// after this moment.
    async fn hosts_meet(
        &self,
        region: &str,
        since: Timestamp,
        is_answered: bool,
    ) -> Result<(), LabError> {
        let first = self.gateway.calls().last_seq();
        let met = clock::find(NOTICED_WITHIN, || async {
            let calls = self.gateway.calls().since(first);
            let meets = calls.iter().any(|call| {
                call.source == ACTIVE.region
                    && call.region == region
                    && call.resource.as_deref().is_some_and(|key| key.contains("/control/"))
                    && call.time.parse::<Timestamp>().is_ok_and(|at| at >= since)
                    && (call.status == Some(200)) == is_answered
            });
            meets.then_some(())
        });
        met.await.ok_or_else(|| {
            let what = if is_answered { "was answered" } else { "hung" };
            LabError::new(format!(
                "no read of the register in {region} from {} {what} within {} s",
                ACTIVE.region,
                NOTICED_WITHIN.as_secs()
            ))
        })
    }

    /// That the register which is back makes a majority with the active site's own: the third is cut off
    /// from the hosts for longer than a permit lasts.
    async fn counts_again(&self, lost: Lost) -> Result<InvariantResult, LabError> {
        let cut = [(ACTIVE.region, lost.stands_in())];
        let cut_at = clock::now();
        self.part(&cut)?;
        let old_ones_end = cut_at.saturating_add(SignedDuration::from_secs(PERMIT_SECONDS));
        let granted = match old_ones_end {
            Ok(end) => self.permitted_from(&ACTIVE, end).await,
            Err(error) => Err(LabError::from_error("the end of the permits", &error)),
        };
        self.reunite(&cut);
        Ok(match granted {
            Ok(at) => invariant(
                "8-register-counts-again",
                true,
                format!(
                    "with the register in {} cut off, every host has a permit after {:.1} s",
                    lost.stands_in(),
                    seconds_between(cut_at, at)
                ),
            ),
            Err(error) => invariant("8-register-counts-again", false, error.0),
        })
    }

    /// The alarm that would move the active site, where it is off and can be asked.
    async fn alarmed(&self, lost: Lost) -> Result<Option<String>, LabError> {
        if lost == Lost::Peer && self.is_dark(STANDBY.region) {
            return Ok(None);
        }
        let alarm = format!("lifeboat-site-down-{APP}--{}", ACTIVE.name);
        let state = self.alarm_state(STANDBY.region, &alarm).await?;
        Ok((state == "ALARM").then_some(alarm))
    }

    fn is_dark(&self, region: &str) -> bool {
        self.gateway.faults().dark().iter().any(|dark| dark.region == region)
    }

    /// Every execution of the recovery in either region, with its outcome.
    async fn outcomes_of_all(&self) -> Result<Vec<(String, String)>, LabError> {
        let mut all = Vec::new();
        for site in SITES {
            for arn in self.executions(&site).await? {
                let outcome = self.outcome_soon(&site, &arn).await?;
                all.push((arn, outcome.unwrap_or_else(|| "has not stood down".to_owned())));
            }
        }
        Ok(all)
    }
}
