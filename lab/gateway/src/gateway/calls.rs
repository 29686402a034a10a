//! The call log: the newest calls in memory, and all of them in a file when one is configured.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::call::Call;
use crate::clock::now;

/// The calls that a gateway saw; clones share them.
#[derive(Clone, Debug)]
pub struct CallLog(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    calls: VecDeque<CallRecord>,
    capacity: usize,
    next: u64,
    file: Option<(PathBuf, File)>,
}

/// One call, logged when its answer begins, or when it is certain that there will be none.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CallRecord {
    /// The call's number, from 1.
    pub seq: u64,
    /// When the call arrived: RFC 3339 with milliseconds, UTC.
    pub time: String,
    /// The caller: a region, or `operator`.
    pub source: String,
    /// The region that the call goes to.
    pub region: String,
    /// The service's signing name.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// What the call is about, when cheap to tell.
    pub resource: Option<String>,
    /// The session's principal when known, else the access key id.
    pub role: Option<String>,
    /// The owner that the call expects its bucket to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bucket_owner: Option<String>,
    /// The program that calls, as its SDK names itself: `aws-sdk-rust/1.3.9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The HTTP status of the answer; `null` when the caller got none.
    pub status: Option<u16>,
    /// From the arrival of the head to the answer's head, in milliseconds.
    pub duration_ms: f64,
    /// The fault that the call met, as `action:rule id`.
    pub fault: Option<String>,
    /// What went wrong in the gateway or behind it, when that is not an injected fault.
    pub error: Option<String>,
    /// What of the request does not fit the service's model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
}

impl CallLog {
    /// A log of the newest `capacity` calls, appended to `file` as well when there is one.
    pub(super) fn open(capacity: usize, file: Option<&Path>) -> std::io::Result<Self> {
        let file = match file {
            Some(path) => {
                Some((path.to_owned(), OpenOptions::new().create(true).append(true).open(path)?))
            }
            None => None,
        };
        Ok(Self(Arc::new(Mutex::new(Inner {
            calls: VecDeque::new(),
            capacity: capacity.max(1),
            next: 1,
            file,
        }))))
    }

    /// The remembered calls with a number above `seq`, oldest first.
    #[must_use]
    pub fn since(&self, seq: u64) -> Vec<CallRecord> {
        let inner = self.lock();
        inner.calls.iter().filter(|call| call.seq > seq).cloned().collect()
    }

    /// The number of the newest call; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.lock().next - 1
    }

    /// Forgets the calls in memory. Numbers go on, and the file keeps what it has.
    pub fn clear(&self) {
        self.lock().calls.clear();
    }

    fn push(&self, mut record: CallRecord) {
        let mut inner = self.lock();
        record.seq = inner.next;
        inner.next += 1;
        // One write of one short line to the page cache: cheaper than a task that would do it later,
        // and the line is there when the caller has its answer.
        let failed = inner.file.as_mut().and_then(|(_, file)| {
            let mut line = serde_json::to_vec(&record).ok()?;
            line.push(b'\n');
            file.write_all(&line).err()
        });
        if let Some(error) = failed
            && let Some((path, _)) = inner.file.take()
        {
            tracing::error!(%error, path = %path.display(), "stop writing the call log: the file takes no more");
        }
        if inner.calls.len() == inner.capacity {
            inner.calls.pop_front();
        }
        inner.calls.push_back(record);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call being served. It is logged exactly once: by `answered`, or, when the call ends in any other
/// way (reset, client gone, gateway stopped), by being dropped.
#[derive(Debug)]
pub(super) struct OpenRecord {
    log: CallLog,
    call: Arc<Call>,
    arrived: jiff::Timestamp,
    started: Instant,
    fault: Option<String>,
    error: Option<String>,
    violations: Vec<String>,
    status: Option<u16>,
}

impl OpenRecord {
    /// Starts the record of a call whose head arrived at `started`.
    pub(super) fn new(log: CallLog, call: Arc<Call>, arrived: (jiff::Timestamp, Instant)) -> Self {
        let (arrived, started) = arrived;
        let (fault, error, status) = (None, None, None);
        Self { log, call, arrived, started, fault, error, violations: Vec::new(), status }
    }

    /// Notes the fault that the call met; several (a delay, then a reset) are joined.
    pub(super) fn fault(&mut self, action: &str, id: &str) {
        let note = format!("{action}:{id}");
        match &mut self.fault {
            Some(fault) if fault.split('+').any(|known| known == note) => {}
            Some(fault) => {
                fault.push('+');
                fault.push_str(&note);
            }
            None => self.fault = Some(note),
        }
    }

    /// Notes a failure that was not injected.
    pub(super) fn error(&mut self, error: String) {
        self.error = Some(error);
    }

    /// Notes what does not fit the service's model.
    pub(super) fn violations(&mut self, texts: Vec<String>) {
        self.violations = texts;
    }

    /// Logs the call with the status of its answer.
    pub(super) fn answered(mut self, status: u16) {
        self.status = Some(status);
    }
}

/// The time when a call arrived, for the record and for its duration.
pub(super) fn arrival() -> (jiff::Timestamp, Instant) {
    (now(), Instant::now())
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        let call = &self.call;
        let milliseconds = self.started.elapsed().as_secs_f64() * 1000.0;
        self.log.push(CallRecord {
            seq: 0,
            time: format!("{:.3}", self.arrived),
            source: call.caller.clone(),
            region: call.region.clone(),
            service: call.service.clone(),
            operation: call.operation.clone(),
            resource: call.resource.clone(),
            role: call.role.clone(),
            expected_bucket_owner: call.expected_bucket_owner.clone(),
            agent: call.agent.clone(),
            status: self.status,
            duration_ms: (milliseconds * 1000.0).round() / 1000.0,
            fault: self.fault.take(),
            error: self.error.take(),
            violations: std::mem::take(&mut self.violations),
        });
    }
}
