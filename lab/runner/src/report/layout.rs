//! Where things go in the timeline: plain geometry of times, without a drawing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{DrillEvidence, DrillReport};
use crate::client::Write;

/// The client's view is drawn in pieces of this length: five writes at the drill's rate.
pub(super) const BUCKET: Duration = Duration::from_millis(250);
/// At most this many pieces, so that a page of a long drill stays small.
const MOST_BUCKETS: usize = 4_000;
/// Around the outage, this share of it is shown, so that its ends are seen to be ends.
const AROUND: f64 = 0.12;
/// What comes after service is back is shown up to this share of the outage.
const AFTER: f64 = 0.5;

/// What the client saw in one piece of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    /// When it begins.
    pub(super) from: Timestamp,
    /// The writes sent in it.
    pub(super) sent: u32,
    /// Those of them that were acknowledged.
    pub(super) acknowledged: u32,
}

/// The writes by when they were sent, in pieces of [`BUCKET`] from `from` on. A piece in which
/// nothing was sent is there with zero.
pub(super) fn buckets(writes: &[Write], from: Timestamp, until: Timestamp) -> Vec<Bucket> {
    let place = |at: Timestamp| {
        let millis = at.duration_since(from).as_millis();
        let length = i128::try_from(BUCKET.as_millis()).unwrap_or(1);
        usize::try_from(millis.div_euclid(length)).ok().filter(|place| *place < MOST_BUCKETS)
    };
    let count = place(until).unwrap_or(if until > from { MOST_BUCKETS - 1 } else { 0 }) + 1;
    let mut begins = from;
    let mut buckets: Vec<Bucket> = Vec::with_capacity(count);
    for _ in 0..count {
        buckets.push(Bucket { from: begins, sent: 0, acknowledged: 0 });
        begins = begins.checked_add(BUCKET).unwrap_or(begins);
    }
    for write in writes.iter().filter(|write| write.sent_at <= until) {
        if let Some(bucket) = place(write.sent_at).and_then(|place| buckets.get_mut(place)) {
            bucket.sent += 1;
            bucket.acknowledged += u32::from(write.acknowledged);
        }
    }
    buckets
}

/// The time that the timeline shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Window {
    /// The disaster and the recovery, with a little around them.
    pub(super) fn of(evidence: &DrillEvidence) -> Self {
        let report = &evidence.report;
        let last_write = evidence.writes.iter().map(|write| write.ended_at).max();
        let last_step = report.steps.iter().filter_map(|step| step.ended_at).max();
        let core_end =
            report.served_at.or(last_write).or(last_step).unwrap_or(report.struck_at).max(
                report.struck_at.checked_add(Duration::from_secs(1)).unwrap_or(report.struck_at),
            );
        let core = core_end.duration_since(report.struck_at);
        let latest = add(core_end, scaled(core, AFTER));
        let end = last_step.map_or(core_end, |step| step.clamp(core_end, latest));
        let until = add(end, scaled(core, AROUND));
        let from = add(report.struck_at, -scaled(core, AROUND));
        Self { from, until }
    }

    pub(super) fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until
    }

    pub(super) fn seconds(self) -> f64 {
        self.until.duration_since(self.from).as_secs_f64()
    }
}

/// The recovery alone: from its first step to the end of its last. None without steps.
pub(super) fn recovery_window(report: &DrillReport) -> Option<Window> {
    let first = report.steps.iter().map(|step| step.started_at).min()?;
    let last = report.steps.iter().map(|step| step.ended_at.unwrap_or(step.started_at)).max()?;
    let from = report.detected_at.filter(|at| *at < first).unwrap_or(first);
    let length = last.duration_since(from);
    (length > SignedDuration::ZERO)
        .then(|| Window { from, until: add(last, scaled(length, AROUND)) })
}

fn add(at: Timestamp, length: SignedDuration) -> Timestamp {
    at.checked_add(length).unwrap_or(at)
}

fn scaled(length: SignedDuration, share: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(length.as_secs_f64() * share).unwrap_or_default()
}

/// Times to places from left to right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) window: Window,
    pub(super) width: f64,
}

impl Scale {
    /// The place of a time; what lies outside is at the nearer edge.
    pub(super) fn x(self, at: Timestamp) -> f64 {
        let since = at.duration_since(self.window.from).as_secs_f64();
        (since / self.window.seconds().max(0.001)).clamp(0.0, 1.0) * self.width
    }

    /// The times of the axis, `room` apart at least, as seconds from `zero`, with their places.
    pub(super) fn ticks(self, zero: Timestamp, room: f64) -> Vec<(f64, f64)> {
        const STEPS: [f64; 12] =
            [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 900.0];
        let seconds = self.window.seconds();
        let per_second = self.width / seconds.max(0.001);
        let step = STEPS.into_iter().find(|step| step * per_second >= room).unwrap_or(3600.0);
        let first = self.window.from.duration_since(zero).as_secs_f64();
        let mut at = (first / step).ceil();
        let mut ticks = Vec::new();
        while at * step <= first + seconds {
            ticks.push((at * step, (at * step - first) * per_second));
            at += 1.0;
        }
        ticks
    }
}
