//! Checks without a verdict: written down, and told to a person once.

use jiff::Timestamp;
use lifeboat_catalogue::Objects;
use lifeboat_core::{
    Fault,
    backup::{ATTEMPTS, Depth, Kind, Undecided},
    contract::verify_backup::Response,
};

use crate::{Point, Ports};

impl Point {
    fn undecided<P, B, S, M>(
        &self,
        (depth, run): (Depth, Option<Timestamp>),
        why: String,
        ports: &Ports<P, B, S, M>,
    ) -> Undecided {
        let Self { app, kind, id } = self.clone();
        let region = ports.backups.region().clone();
        Undecided { app, kind, id, region, depth, run, at: (ports.clock)(), why }
    }
}

/// Writes down that a check is not made, because the point is too large for it.
pub(crate) async fn skip<P, B: Objects, S, M>(
    point: &Point,
    depth: Depth,
    why: String,
    ports: &Ports<P, B, S, M>,
) -> Result<Response, Fault> {
    tracing::info!(event = "check_skipped", kind = %point.kind, point = %point.id, "{why}");
    let record = point.undecided((depth, None), why, ports);
    ports.backups.record_undecided(&record).await?;
    Ok(Response::Skipped { record: Box::new(record) })
}

/// Counts an attempt that could not tell. Counting it again changes nothing.
pub(crate) async fn attempt<P, B: Objects, S, M>(
    point: &Point,
    depth: Depth,
    run: Timestamp,
    why: String,
    ports: &Ports<P, B, S, M>,
) -> Result<Response, Fault> {
    let record = Box::new(point.undecided((depth, Some(run)), why, ports));
    // A check of WAL reads all that is new, and is asked for by another segment each time.
    let marks = if point.kind == Kind::DatabaseWal {
        None
    } else {
        ports.backups.marks(&point.app, point.kind, &point.id).await?
    };
    // What cannot be counted is told each time: a person would rather hear it twice than never.
    let Some((marks, written)) = marks else {
        return Ok(Response::Undecided { record, attempt: 1, tell: true });
    };
    let attempt = marks.attempt(depth, run, written);
    // Later ones say nothing new, and would be objects without end.
    if attempt <= ATTEMPTS {
        ports.backups.record_undecided(&record).await?;
    }
    Ok(Response::Undecided { record, attempt, tell: attempt == ATTEMPTS })
}
