//! Ending a recovery.

use jiff::Timestamp;
use lifeboat_core::{
    Epoch, Fault,
    contract::{
        Authority,
        recovery_log::{Response, StepTaken},
    },
    ledger::{self, Ending},
    recovery_log::{Entry, EntryKind},
    situation::seconds_between,
};
use lifeboat_ledger::{Ledger, Store};
use serde::{Deserialize, Serialize};

use crate::{Meter, fact, settle, tell, told};

/// What the request says of the recovery.
pub(crate) struct Report {
    pub(crate) reason: String,
    pub(crate) detected_at: Option<Timestamp>,
    pub(crate) estimated_loss_seconds: Option<f64>,
    pub(crate) steps: Vec<StepTaken>,
}

/// The body of the log's `closed` entry.
#[derive(Debug, Serialize, Deserialize)]
struct Closed {
    ending: Ending,
    reason: String,
    detected_at: Option<Timestamp>,
    /// From detection to the first close.
    recovery_seconds: Option<f64>,
    estimated_loss_seconds: Option<f64>,
    steps: Vec<StepTaken>,
}

/// Tells the log, then releases the register, then settles those that lag. The log comes first because
/// the achieved time is taken once, at the first close, and a call that is made again reads it there.
pub(crate) async fn close<S: Store, M: Meter>(
    authority: Authority,
    ending: Ending,
    report: Report,
    ledger: &Ledger<S>,
    meter: &M,
    now: Timestamp,
) -> Result<Response, Fault> {
    let (record, etag) = ledger.require(&authority.app).await?;
    let held = (authority.epoch, &authority.site);
    ledger::may_close(&record, &authority.incident, held, ending)?;
    let released = ledger::close(&record, &authority.incident, ending, now)?;

    let entries = told(ledger, &authority.app, &authority.incident).await;
    let recovery_seconds = match closed(&entries, authority.epoch, ending) {
        Some(before) => before.recovery_seconds,
        None => first_close(&authority, ending, report, ledger, meter, now).await,
    };

    if released.recovery != record.recovery {
        ledger.write(&released, Some(&etag)).await?;
    }
    let registers = ledger.registers(&authority.app).await;
    settle(ledger, &authority.app, &registers, now).await;
    Ok(Response::Closed {
        ending,
        recovery_seconds,
        log: ledger.log_location(&authority.app, &authority.incident),
    })
}

/// The seconds from detection until now, told to the log and, for a success, to the metrics.
async fn first_close<S: Store, M: Meter>(
    authority: &Authority,
    ending: Ending,
    report: Report,
    ledger: &Ledger<S>,
    meter: &M,
    now: Timestamp,
) -> Option<f64> {
    let Report { reason, detected_at, estimated_loss_seconds, steps } = report;
    let recovery_seconds =
        detected_at.map(|detected_at| seconds_between(detected_at, now).max(0.0));
    let closed =
        Closed { ending, reason, detected_at, recovery_seconds, estimated_loss_seconds, steps };
    let body = serde_json::to_value(&closed).unwrap_or_default();
    tell(ledger, fact(authority, EntryKind::Closed, body), now).await;
    if let (Ending::Recovered, Some(seconds)) = (ending, recovery_seconds) {
        meter.recovered(&authority.app, &authority.site, seconds, now);
    }
    recovery_seconds
}

/// What an earlier close of the same kind said.
fn closed(entries: &[Entry], epoch: Epoch, ending: Ending) -> Option<Closed> {
    entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Closed && entry.epoch == epoch)
        .filter_map(|entry| Closed::deserialize(&entry.body).ok())
        .find(|closed| closed.ending == ending)
}
