//! `standby-blind`, `slow-primary` and `multi-az-failover`: trouble that must not become a failover.

use std::time::Duration;

use jiff::Timestamp;

use super::{Finding, Request, evidence::invariant, outage::dns_answers, serving_client};
use crate::{
    clock,
    lab::{ACTIVE, APP, Lab, LabError, STANDBY},
    report::{DrillReport, Palette, Parts, Verdict, live_line},
    say,
};

/// How long the trouble lasts: twice the time in which an outage has to be detected.
const LASTS: Duration = Duration::from_secs(40);
/// How late the slow site answers, in milliseconds: beyond the deadline of a check.
const SLOW: Duration = Duration::from_millis(3000);

/// How long the database is away: longer than the lab's own alarm takes, which is 16 s.
const AWAY: Duration = Duration::from_secs(25);
/// What a verdict has to hold meanwhile, in seconds: as RDS's 120 s are to its 60 to 120.
const HOLDS: u32 = 60;

/// The trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The standby region sees nothing.
    Blind,
    /// The active site answers late.
    Slow,
    /// The active site's database is away for [`AWAY`], and comes back by itself.
    DatabaseAway,
}

/// Makes the trouble, looks that nothing moves, and has an operator ask for a recovery all the same:
/// the machine stands down and says why.
pub(super) async fn run(
    lab: &Lab,
    request: Request,
    trouble: Trouble,
) -> Result<Finding, LabError> {
    let started_at = clock::now();
    let client = serving_client(Duration::from_secs(8)).await?;
    let epoch_before = lab.epoch(&STANDBY).await?;
    if trouble == Trouble::DatabaseAway {
        lab.hold(HOLDS).await?;
    }
    let struck_at = clock::now();
    let what = match trouble {
        Trouble::Blind => {
            lab.blind(STANDBY.region);
            "region us-west-2 sees nothing any more, its own site included"
        }
        Trouble::Slow => {
            lab.slow_down(&ACTIVE, SLOW)?;
            "site a answers in 3 s"
        }
        Trouble::DatabaseAway => {
            lab.take_database_away(&ACTIVE).await?;
            "the database of site a is away, as in a failover within its region"
        }
    };
    tell(struck_at, "trouble", what);
    let alarm = format!("lifeboat-site-down-{APP}--{}", ACTIVE.name);
    let mut alarmed = false;
    let began = std::time::Instant::now();
    let mut away = trouble == Trouble::DatabaseAway;
    while began.elapsed() < LASTS {
        if away && began.elapsed() >= AWAY {
            lab.give_database_back(&ACTIVE).await?;
            tell(struck_at, "back", "the database of site a is back");
            away = false;
        }
        alarmed |= lab.alarm_state(STANDBY.region, &alarm).await? == "ALARM";
        clock::pause(Duration::from_millis(500)).await;
    }
    let unattended = lab.executions(&STANDBY).await?.len();
    tell(
        struck_at,
        "nothing",
        &format!("alarm went off: {alarmed}; recoveries started: {unattended}"),
    );
    let arn = lab.operator_starts("ada", false).await?;
    let arn = arn.ok_or_else(|| LabError::new("the operator's recovery did not start"))?;
    let recovery = lab.follow(&STANDBY, &arn, struck_at).await?;
    tell(struck_at, "machine", &format!("{}: {}", recovery.outcome(), recovery.reason()));
    let epoch_after = lab.epoch(&STANDBY).await?;
    let traffic = client.stop().await;
    let failed = traffic.writes.iter().filter(|write| !write.acknowledged).count();
    let says = match trouble {
        Trouble::Blind => "unknown is never down",
        Trouble::Slow => "repair it in place",
        Trouble::DatabaseAway => "answers every check",
    };
    let last = traffic.writes.last().is_some_and(|write| write.acknowledged);
    let (id, undisturbed) = match trouble {
        Trouble::Blind | Trouble::Slow => ("users-undisturbed", failed == 0),
        // A failover within the region disturbs them, and that is all.
        Trouble::DatabaseAway => ("users-served-again", failed > 0 && last),
    };
    let invariants = vec![
        invariant(
            "7-no-failover-without-proof",
            !alarmed && unattended == 0,
            format!(
                "in {} s the alarm went off: {alarmed}; recoveries started: {unattended}",
                LASTS.as_secs()
            ),
        ),
        invariant(
            "7-the-machine-stands-down",
            recovery.outcome() == "stood_down" && recovery.reason().contains(says),
            format!("asked by an operator, it said: {}", recovery.reason()),
        ),
        invariant(
            "8-epoch-unchanged",
            epoch_after == epoch_before,
            format!("epoch {epoch_before} before, {epoch_after} after"),
        ),
        invariant(id, undisturbed, format!("{failed} of {} writes failed", traffic.writes.len())),
        lab.no_secret_shown(&recovery).await,
    ];
    let report = DrillReport {
        scenario: request.scenario.as_str().to_owned(),
        started_at,
        struck_at,
        detected_at: None,
        served_at: None,
        rto_target_seconds: None,
        achieved_rto_seconds: None,
        rpo_target_seconds: None,
        achieved_rpo_seconds: Some(0.0),
        writes_acknowledged: u64::try_from(traffic.acknowledged().len()).unwrap_or(0),
        writes_lost: 0,
        writes_after_recovery: 0,
        stale_writes_accepted: 0,
        dual_writer_seconds: 0.0,
        loss_shown_seconds: None,
        epoch_before,
        epoch_after,
        parts: Parts::default(),
        steps: recovery.steps.clone(),
        notifications: lab.notifications(&["started", "stood_down"]).await,
        invariants,
        verdict: Verdict::Fail,
        leftover_resources: 0,
        mode: "false-alarm".to_owned(),
        reason: recovery.reason().to_owned(),
        writes_lost_ids: Vec::new(),
        backups: Vec::new(),
    };
    Ok(Finding { report, writes: traffic.writes, dns: dns_answers(lab), trouble: None })
}

fn tell(zero: Timestamp, name: &str, what: &str) {
    let since = clock::now().duration_since(zero);
    say::line(&live_line(Palette::detect(), since, name, what, None));
}
