//! A drill as it could have been: the active region dies and the other one takes over.

use jiff::Timestamp;
use lifeboat_core::vote::Vote;

use crate::{
    client::Write,
    report::{
        DnsAnswer, DrillEvidence, DrillReport, InvariantResult, Mark, NotificationResult,
        Observation, Parts, StepResult, Verdict,
    },
};

/// Milliseconds from the disaster on.
pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_771_930_000_250 + ms).unwrap()
}

fn step(name: &str, began: i64, ended: i64, outcome: &str) -> StepResult {
    StepResult {
        name: name.into(),
        started_at: at(began),
        ended_at: Some(at(ended)),
        outcome: outcome.into(),
    }
}

pub(super) fn write(number: u64, sent: i64, failure: Option<&str>) -> Write {
    Write {
        number,
        id: format!("drill-6ab-{number:06}"),
        sent_at: at(sent),
        ended_at: at(sent + if failure.is_some() { 3 } else { 9 }),
        acknowledged: failure.is_none(),
        address: Some([127, 0, 1, 10].into()),
        failure: failure.map(str::to_owned),
    }
}

/// Twenty writes a second from 10 s before to 60 s after; none acknowledged for 31 s, and a few
/// only in the second after that.
fn writes() -> Vec<Write> {
    (0u64..1400)
        .map(|number| {
            let sent = i64::try_from(number).unwrap() * 50 - 10_000;
            let failure = match sent {
                20..=26_000 => Some("Connection refused (os error 111)"),
                26_001..=30_000 => Some("HTTP 503: this site is the standby"),
                30_001..=31_000 if number % 3 != 0 => Some("no answer within 1000 ms"),
                _ => None,
            };
            write(number, sent, failure)
        })
        .collect()
}

pub(super) fn sample() -> DrillEvidence {
    let mut parts = Parts::default();
    for (name, seconds) in [
        ("detection", 16.412),
        ("decision", 1.204),
        ("fence", 1.013),
        ("promotion", 1.618),
        ("activation", 1.902),
        ("verification", 0.451),
        ("dns_switch", 4.73),
        ("client_cache", 3.72),
    ] {
        parts.push(name, seconds);
    }
    let report = DrillReport {
        scenario: "region-outage".into(),
        started_at: at(-10_000),
        struck_at: at(0),
        detected_at: Some(at(16_412)),
        served_at: Some(at(31_059)),
        rto_target_seconds: Some(60.0),
        achieved_rto_seconds: Some(31.009),
        rpo_target_seconds: Some(5.0),
        achieved_rpo_seconds: Some(0.05),
        writes_acknowledged: 785,
        writes_lost: 2,
        writes_after_recovery: 577,
        stale_writes_accepted: 0,
        dual_writer_seconds: 0.0,
        loss_shown_seconds: None,
        epoch_before: 7,
        epoch_after: 8,
        steps: vec![
            step("OpenRecovery", 16_700, 16_910, "epoch 8"),
            step("AssessSituation", 16_910, 17_420, "site a down, replica lag 1.2 KB"),
            step("PlanRecovery", 17_420, 17_616, "promote the replica"),
            step("NotifyStart", 17_620, 17_900, "delivered"),
            step("FencePrimary", 17_616, 18_629, "unfenced: the region does not answer"),
            step("PromoteReplica", 18_629, 20_247, "promoted"),
            step("PointAppAtDatabase", 20_250, 20_700, "site b uses its own database"),
            step("ActivateSite", 20_700, 22_149, "serving"),
            step("VerifySite", 22_149, 22_600, "writable, 4 of 4 checks up"),
            step("SwitchTraffic", 22_600, 27_330, "clients get site b"),
            step("CloseRecovery", 27_330, 27_790, "RTO 31.0 s, RPO 50 ms"),
            step("NotifyEnd", 27_790, 28_080, "delivered"),
        ],
        notifications: vec![
            NotificationResult { channel: "sns".into(), stage: "started".into(), delivered: true },
            NotificationResult {
                channel: "slack".into(),
                stage: "started".into(),
                delivered: true,
            },
            NotificationResult {
                channel: "sns".into(),
                stage: "recovered".into(),
                delivered: true,
            },
            NotificationResult {
                channel: "slack".into(),
                stage: "recovered".into(),
                delivered: true,
            },
        ],
        invariants: vec![
            InvariantResult {
                id: "one-writer".into(),
                held: true,
                evidence: "no write at site a after +18.6 s; epoch 8 alone wrote afterwards".into(),
            },
            InvariantResult {
                id: "stale-site-fences-itself".into(),
                held: true,
                evidence: "site a came back at +45.0 s, found epoch 8, refused 240 of 240 writes"
                    .into(),
            },
            InvariantResult {
                id: "no-call-to-the-lost-region".into(),
                held: true,
                evidence: "0 of 212 calls needed us-east-1 or Route 53's control plane".into(),
            },
            InvariantResult {
                id: "log-is-chained".into(),
                held: true,
                evidence: "14 records, every hash matches".into(),
            },
        ],
        verdict: Verdict::Pass,
        leftover_resources: 0,
        mode: "kill".into(),
        reason: "RTO and RPO are within their targets, and every invariant held.".into(),
        parts,
        writes_lost_ids: vec!["drill-6ab-000198".into(), "drill-6ab-000199".into()],
        backups: Vec::new(),
    };
    let observations = (-3..10)
        .map(|round: i64| Observation {
            at: at(round * 2_900 + 900),
            vote: if round < 0 { Vote::Up } else { Vote::Down },
            detail: if round < 0 { "3 of 3 up" } else { "http, postgres, redis: refused" }.into(),
        })
        .filter(|seen| seen.at < at(20_000))
        .collect();
    DrillEvidence {
        report,
        writes: writes(),
        observations,
        dns: vec![
            DnsAnswer { at: at(-9_990), answer: "site a (127.0.1.10)".into() },
            DnsAnswer { at: at(27_180), answer: "site b (127.0.2.10)".into() },
        ],
        marks: vec![
            Mark { at: at(16_640), label: "recovery started".into() },
            Mark { at: at(45_000), label: "site a returns".into() },
        ],
        command: "make drill SCENARIO=region-outage MODE=kill".into(),
    }
}
