//! `partition`: the regions do not reach each other, and both sites live.
//!
//! Whoever sees a majority of the registers may write, and nobody else. One client follows the name, and
//! one keeps to the old site: what they were acknowledged says who wrote when.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    Finding, Heals, Request, WitnessSeen,
    evidence::{Returned, chain, dual_writer_seconds, estimated_loss, invariant},
    follow::Recovery,
    outage::{count, dns_answers, followed, tell},
    served,
};
use crate::{
    client::{ClientHandle, SUSTAINED, Traffic, Write, missing_at},
    clock,
    lab::{ACTIVE, Lab, LabError, STANDBY, SiteConfig, WITNESS_REGION},
    report::{DrillReport, InvariantResult, Parts, Verdict, seconds_between},
};

/// A write may take this long.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// How long the sites go on as they are before the link is back.
const SETTLES_FOR: Duration = Duration::from_secs(4);
/// Until users are served again after that.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// The state in which the recovery lets the permits of the old site run out: it has claimed its epoch,
/// and could not reach the old site to fence it.
const WAITS: &str = "WaitForPermits";
/// Since the disaster; as far as a permit reaches, and half a second for the answer.
const STOPS_WITHIN_SECONDS: f64 = 3.5;

/// Who serves while the regions are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// The standby's site takes over.
    Standby,
    /// The active site goes on.
    Active,
    /// Nobody may.
    Nobody,
}

impl Serves {
    const fn with(witness: WitnessSeen) -> Self {
        match witness {
            // The standby's region finds the other one dark and has a majority; who took the other
            // register first would win in a race, and the active site starts none.
            WitnessSeen::Both | WitnessSeen::Standby => Self::Standby,
            WitnessSeen::Active => Self::Active,
            WitnessSeen::Neither => Self::Nobody,
        }
    }
}

/// The directions that are cut.
fn cuts(witness: WitnessSeen) -> Vec<(&'static str, &'static str)> {
    let mut cuts = vec![(ACTIVE.region, STANDBY.region), (STANDBY.region, ACTIVE.region)];
    if matches!(witness, WitnessSeen::Standby | WitnessSeen::Neither) {
        cuts.push((ACTIVE.region, WITNESS_REGION));
    }
    if matches!(witness, WitnessSeen::Active | WitnessSeen::Neither) {
        cuts.push((STANDBY.region, WITNESS_REGION));
    }
    cuts
}

/// Cuts, watches, heals, measures.
pub(super) async fn run(lab: &Lab, request: Request) -> Result<Finding, LabError> {
    let started_at = clock::now();
    let by_name = served(ANSWERED_WITHIN, None).await?;
    let faithful = served(ANSWERED_WITHIN, Some(ACTIVE.app().ip())).await?;
    let epoch_before = lab.epoch(&STANDBY).await?;
    let cuts = cuts(request.witness);
    let struck_at = clock::now();
    lab.part(&cuts)?;
    tell(
        struck_at,
        clock::now(),
        "parted",
        &format!("the regions are apart; the witness is seen by {}", request.witness.as_str()),
    );
    let serves = Serves::with(request.witness);
    let heal = || {
        let healed_at = clock::now();
        lab.reunite(&cuts);
        tell(struck_at, healed_at, "healed", "the regions see each other again");
        healed_at
    };
    let arn = lab.next_execution(&STANDBY).await;
    let (recovery, healed_at) = match request.heals {
        Heals::Settled => {
            let recovery = followed(lab, arn, struck_at).await?;
            if serves == Serves::Standby {
                sustained(&by_name, clock::now()).await;
            }
            clock::pause(SETTLES_FOR).await;
            (recovery, heal())
        }
        Heals::Waiting => {
            let waits = async {
                let Some(arn) = &arn else { return Ok(heal()) };
                lab.enters(&STANDBY, arn, WAITS).await.map(|()| heal())
            };
            let (recovery, healed_at) = tokio::join!(followed(lab, arn.clone(), struck_at), waits);
            (recovery?, healed_at?)
        }
    };
    let opened_at = recovery.last_end("PromoteReplica").unwrap_or(struck_at);
    let again = sustained(&by_name, healed_at.max(opened_at)).await;
    // The site that is not to write is offered writes.
    let returned = match serves {
        Serves::Standby => lab.examine_returned(&ACTIVE, opened_at).await?,
        Serves::Active | Serves::Nobody => lab.examine_standby(&STANDBY).await,
    };
    let (by_name, faithful) = (by_name.stop().await, faithful.stop().await);
    let mut acknowledged = by_name.acknowledged_ids();
    acknowledged.extend(faithful.acknowledged_ids());
    let serving = if serves == Serves::Standby { STANDBY } else { ACTIVE };
    let missing = missing_at(serving.app(), &acknowledged)
        .await
        .map_err(|error| LabError::from_error("compare the writes", &error))?;
    let settled = lab.registers_settle(serves == Serves::Standby).await?;
    let times = Times { started_at, struck_at, healed_at };
    let facts =
        Facts { times, serves, epoch_before, recovery, returned, by_name, faithful, missing };
    let again = again && facts.acknowledged_at(&serving).any(|write| write.sent_at > healed_at);
    measure(lab, request, facts, again, settled).await
}

/// Whether writes are acknowledged in a row after this moment.
async fn sustained(client: &ClientHandle, since: Timestamp) -> bool {
    client
        .wait_for(SERVED_WITHIN, |writes| {
            let tail: Vec<&Write> = writes.iter().filter(|write| write.sent_at > since).collect();
            tail.len() > SUSTAINED && tail.iter().rev().take(SUSTAINED).all(|w| w.acknowledged)
        })
        .await
}

struct Times {
    started_at: Timestamp,
    struck_at: Timestamp,
    healed_at: Timestamp,
}

struct Facts {
    times: Times,
    serves: Serves,
    epoch_before: u64,
    recovery: Recovery,
    returned: Returned,
    by_name: Traffic,
    faithful: Traffic,
    missing: BTreeSet<String>,
}

impl Facts {
    /// When the new site's database took writes; the disaster when it never did.
    fn opened_at(&self) -> Timestamp {
        self.recovery.last_end("PromoteReplica").unwrap_or(self.times.struck_at)
    }

    /// Every acknowledged write of a site.
    fn acknowledged_at(&self, site: &SiteConfig) -> impl Iterator<Item = &Write> {
        let address = site.app().ip();
        let writes = self.by_name.writes.iter().chain(&self.faithful.writes);
        writes.filter(move |write| write.acknowledged && write.address == Some(address))
    }
}

async fn measure(
    lab: &Lab,
    request: Request,
    facts: Facts,
    again: bool,
    settled: InvariantResult,
) -> Result<Finding, LabError> {
    let dual = dual_writer_seconds([&facts.by_name.writes, &facts.faithful.writes]);
    let entries = lab.log_entries(&STANDBY).await?;
    let epoch_after = lab.agreed_epoch().await?;
    let shown = estimated_loss(&entries);
    let mut invariants = vec![
        invariant(
            "1-one-writer",
            dual == 0.0 && facts.returned.stale_writes == 0 && facts.returned.fenced.is_some(),
            format!(
                "both sites acknowledged writes for {dual:.3} s; the idle site took {} of {} writes that \
                 it was offered after the link was back; its guard: {}",
                facts.returned.stale_writes,
                facts.returned.offered,
                facts.returned.fenced.as_deref().unwrap_or("permits them"),
            ),
        ),
        stopped_in_time(&facts, request.heals),
        chain(&entries),
        settled,
        lab.no_secret_shown(&facts.recovery).await,
        lab.bucket_owners_named(),
    ];
    let lost: Vec<&Write> = facts
        .acknowledged_at(&ACTIVE)
        .chain(facts.acknowledged_at(&STANDBY))
        .filter(|write| facts.missing.contains(&write.id))
        .collect();
    let window = match (
        lost.iter().map(|write| write.ended_at).min(),
        lost.iter().map(|write| write.ended_at).max(),
    ) {
        (Some(first), Some(last)) => seconds_between(first, last).max(0.001),
        (None, _) | (_, None) => 0.0,
    };
    invariants.push(match facts.serves {
        Serves::Standby => invariant(
            "2-estimate-covers-the-loss",
            shown.is_some_and(|shown| window <= shown),
            format!(
                "lost {} writes of the last {window:.1} s; the plan had said at most {} s",
                lost.len(),
                shown.map_or_else(|| "unknown".to_owned(), |shown| format!("{shown:.1}"))
            ),
        ),
        Serves::Active | Serves::Nobody => invariant(
            "2-nothing-is-lost",
            lost.is_empty(),
            format!("lost {} acknowledged writes", lost.len()),
        ),
    });
    if request.heals == Heals::Waiting {
        invariants.push(healed_in_the_wait(&facts));
    }
    let expected = if facts.serves == Serves::Standby { "recovered" } else { "FAILED" };
    let outcome = facts.recovery.outcome().to_owned();
    let stages: &[&str] = match facts.serves {
        Serves::Standby => &["started", "recovered"],
        Serves::Active | Serves::Nobody => &["started", "failed"],
    };
    let trouble = if outcome != expected {
        Some(format!(
            "the machine ended with {outcome} and not {expected}: {}",
            facts.recovery.reason()
        ))
    } else if !again {
        Some("users were not served after the link was back".to_owned())
    } else {
        None
    };
    let outage = facts.by_name.outage();
    let report = DrillReport {
        scenario: request.scenario.as_str().to_owned(),
        started_at: facts.times.started_at,
        struck_at: facts.times.struck_at,
        detected_at: facts.recovery.alarm_at(),
        served_at: outage.map(|outage| outage.until),
        rto_target_seconds: (facts.serves == Serves::Standby).then_some(60.0),
        achieved_rto_seconds: outage.map(|outage| seconds_between(outage.from, outage.until)),
        rpo_target_seconds: Some(30.0),
        achieved_rpo_seconds: Some(window),
        writes_acknowledged: count(
            facts.by_name.acknowledged().len() + facts.faithful.acknowledged().len(),
        ),
        writes_lost: count(lost.len()),
        writes_after_recovery: count(
            facts.by_name.acknowledged_since(facts.times.healed_at.max(facts.opened_at())),
        ),
        stale_writes_accepted: facts.returned.stale_writes,
        dual_writer_seconds: dual,
        loss_shown_seconds: shown,
        epoch_before: facts.epoch_before,
        epoch_after,
        parts: Parts::default(),
        steps: facts.recovery.steps.clone(),
        notifications: lab.notifications(stages).await,
        invariants,
        verdict: Verdict::Fail,
        leftover_resources: 0,
        mode: match request.heals {
            Heals::Settled => format!("witness seen by {}", request.witness.as_str()),
            Heals::Waiting => {
                format!("witness seen by {}, healed in the wait", request.witness.as_str())
            }
        },
        reason: String::new(),
        writes_lost_ids: lost.iter().map(|write| write.id.clone()).collect(),
        backups: Vec::new(),
    };
    let dns = dns_answers(lab);
    let mut writes = facts.by_name.writes;
    writes.extend(facts.faithful.writes);
    writes.sort_by_key(|write| write.sent_at);
    Ok(Finding { report, writes, dns, trouble })
}

/// The active site wrote on for as long as it saw a majority, and not beyond its permit.
fn stopped_in_time(facts: &Facts, heals: Heals) -> InvariantResult {
    let id = "5-serves-where-a-majority-is-seen";
    let Times { struck_at, healed_at, .. } = facts.times;
    let during = |site: &SiteConfig| {
        facts
            .acknowledged_at(site)
            .filter(|w| w.sent_at > struck_at && w.ended_at < healed_at)
            .count()
    };
    // A site that was left never writes again; one that only stopped does, once it sees a majority.
    let left = facts.serves == Serves::Standby;
    let last = facts
        .acknowledged_at(&ACTIVE)
        .map(|write| write.ended_at)
        .filter(|at| left || *at < healed_at)
        .max();
    let last = last.map_or(0.0, |at| seconds_between(struck_at, at));
    let (a, b) = (during(&ACTIVE), during(&STANDBY));
    match facts.serves {
        Serves::Standby => {
            let claimed = facts.recovery.last_end("ClaimEpoch");
            let after = claimed.map_or(f64::MAX, |at| last - seconds_between(struck_at, at));
            // Nobody serves while it is waited, and afterwards the regions are no longer apart.
            let serves = b > 0 || heals == Heals::Waiting;
            invariant(
                id,
                serves && after <= STOPS_WITHIN_SECONDS,
                format!(
                    "{b} writes at site b while the regions were apart; the last one at site a {after:.1} s \
                     after the claim"
                ),
            )
        }
        Serves::Active => {
            let failed = facts.by_name.writes.iter().filter(|write| !write.acknowledged).count();
            invariant(
                id,
                failed == 0 && b == 0,
                format!(
                    "{a} writes at site a while the regions were apart, {failed} failed; {b} at b"
                ),
            )
        }
        Serves::Nobody => invariant(
            id,
            b == 0 && last <= STOPS_WITHIN_SECONDS,
            format!("no majority was seen: site a stopped after {last:.1} s; {b} writes at site b"),
        ),
    }
}

/// What the drill is for: the link was back after the claim and before anything was promoted.
fn healed_in_the_wait(facts: &Facts) -> InvariantResult {
    let healed_at = facts.times.healed_at;
    let promotes_at = facts.recovery.steps.iter().find(|step| step.name == "PromoteReplica");
    let before = promotes_at.map(|step| seconds_between(healed_at, step.started_at));
    let fence = facts.recovery.steps.iter().rev().find(|step| step.name == "FencePrimary");
    let fence = fence.map_or("no fence", |step| step.outcome.as_str());
    invariant(
        "healed-in-the-wait",
        before.is_some_and(|before| before > 0.0),
        before.map_or_else(
            || "nothing was promoted".to_owned(),
            |before| {
                format!("the link was back {before:.1} s before the promotion; fencing: {fence}")
            },
        ),
    )
}
