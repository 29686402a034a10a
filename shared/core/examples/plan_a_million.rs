//! Plans the retention of a million recovery points, in several shapes, and says what it took.
//!
//! `cargo run --release -p lifeboat-core --example plan_a_million [POINTS]`
//!
//! One line of JSON a shape: the seconds of the planning alone, by the clock and on a processor,
//! and the most memory that the whole process has held so far (the catalogue included). Exits with
//! 1 beyond 2 s by the clock, or 1 GiB.

use std::{error::Error, io::Write, process::ExitCode, time::Instant};

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Region,
    backup::{
        Catalogue, Check, Checks, Kind, Outcome, PointId, RecoveryPoint, WalSpan,
        retention::{Circumstances, Limit, Retention, Seen, Tiers, plan},
    },
};

/// The promise: seconds.
const SECONDS: f64 = 2.0;
/// The promise: KiB of the process.
const KIB: u64 = 1024 * 1024;

type Shape = fn(u64) -> Result<Vec<RecoveryPoint>, Box<dyn Error>>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let count = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 1_000_000,
    };
    let mut out = std::io::stdout().lock();
    let mut kept_promise = true;
    let shapes: [(&str, Shape); 4] =
        [("mixed", mixed), ("wal", wal), ("dumps", dumps), ("chains", chains)];
    for (name, make) in shapes {
        let mut points = make(count)?;
        scatter(&mut points);
        let catalogue = Catalogue { complete: true, points };
        let retention = Retention {
            tiers: Tiers { daily: 14, weekly: 8, monthly: 12, yearly: 5 },
            minimum: 3,
            limit: Limit { deletions: u32::MAX, bytes: None },
            ..Retention::default()
        };
        let circumstances =
            Circumstances { now: now()?, recovery: Seen::Absent, hold: Seen::Absent };
        let busy = processor_seconds()?;
        let begun = Instant::now();
        let plan = plan(&catalogue, &retention, &circumstances);
        let seconds = begun.elapsed().as_secs_f64();
        let busy = processor_seconds()? - busy;
        let kib = peak_kib()?;
        kept_promise &= seconds <= SECONDS && kib <= KIB;
        writeln!(
            out,
            "{{\"shape\":\"{name}\",\"points\":{},\"deleted\":{},\"seconds\":{seconds:.3},\
             \"processor_seconds\":{busy:.3},\"peak_mib\":{}}}",
            plan.decisions.len(),
            plan.deletions.len(),
            kib / 1024
        )?;
    }
    Ok(if kept_promise { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn now() -> Result<Timestamp, jiff::Error> {
    "2026-11-24T12:00:00Z".parse()
}

/// The time that this process has had a processor, which other work on the machine cannot stretch.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos: f64 = status.split_whitespace().next().ok_or("no schedstat")?.parse()?;
    Ok(nanos / 1e9)
}

/// The most memory that this process has held so far.
fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let value = line.and_then(|line| line.split_whitespace().nth(1)).ok_or("no VmHWM")?;
    Ok(value.parse()?)
}

/// Puts the points in no particular order, the same each time.
fn scatter<T>(points: &mut [T]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for place in (1..points.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (place as u64 + 1)).unwrap_or(0);
        points.swap(place, other);
    }
}

/// A point of the n-th app, so many minutes ago; one in 50 damaged, one in 5 unverified.
fn point(
    app: u64,
    kind: Kind,
    minutes_ago: u64,
    id: PointId,
) -> Result<RecoveryPoint, Box<dyn Error>> {
    let taken_at = now()? - SignedDuration::from_mins(i64::try_from(minutes_ago)?);
    let check = |outcome| Some(Check { at: taken_at, outcome });
    let read = match minutes_ago % 50 {
        7 => check(Outcome::Damaged),
        rest if rest % 5 == 3 => None,
        _ => check(Outcome::Sound),
    };
    Ok(RecoveryPoint {
        app: AppName::new(format!("app-{app}"))?,
        kind,
        id,
        region: Region::new(if app.is_multiple_of(2) { "us-east-1" } else { "us-west-2" })?,
        taken_at,
        depends_on: Vec::new(),
        wal: None,
        size_bytes: 16 << 20,
        checks: Checks { present: read, read, ..Checks::default() },
        locked_until: None,
        held: false,
    })
}

fn moment(minutes_ago: u64) -> Result<Timestamp, Box<dyn Error>> {
    Ok(now()? - SignedDuration::from_mins(i64::try_from(minutes_ago)?))
}

fn full(minutes_ago: u64) -> Result<PointId, Box<dyn Error>> {
    Ok(PointId::full(moment(minutes_ago)?))
}

fn segment(number: u64) -> Result<PointId, Box<dyn Error>> {
    Ok(PointId::new(format!("00000001{:08X}{:08X}", number >> 8, number & 0xFF))?)
}

const SYSTEM: &str = "7401234567890123456";

/// WAL of one cluster, a segment a minute up to now.
fn segments(app: u64, count: u64) -> Result<Vec<RecoveryPoint>, Box<dyn Error>> {
    let mut points = Vec::new();
    for number in 0..count {
        let id = segment(number)?;
        let wal = WalSpan { system: SYSTEM.into(), first: id.clone(), last: id.clone() };
        let minutes_ago = count - number;
        points.push(RecoveryPoint {
            wal: Some(wal),
            ..point(app, Kind::DatabaseWal, minutes_ago, id)?
        });
    }
    Ok(points)
}

/// Base backups each four hours, a full one and five on top of it.
fn bases(app: u64, minutes: u64) -> Result<Vec<RecoveryPoint>, Box<dyn Error>> {
    let mut points = Vec::new();
    let mut parent: Option<PointId> = None;
    for (turn, minutes_ago) in (0..=minutes).rev().step_by(240).enumerate() {
        let (id, depends_on) = match &parent {
            Some(parent) if !turn.is_multiple_of(6) => {
                (PointId::incremental(moment(minutes_ago)?, parent), vec![parent.clone()])
            }
            _ => (full(minutes_ago)?, Vec::new()),
        };
        let first = minutes - minutes_ago;
        let wal = WalSpan {
            system: SYSTEM.into(),
            first: segment(first)?,
            last: segment(first.saturating_add(1).min(minutes.saturating_sub(1)))?,
        };
        points.push(RecoveryPoint {
            depends_on,
            wal: Some(wal),
            ..point(app, Kind::DatabaseBase, minutes_ago, id.clone())?
        });
        parent = Some(id);
    }
    Ok(points)
}

/// Ten apps with WAL, base backups, and everything else each hour.
fn mixed(count: u64) -> Result<Vec<RecoveryPoint>, Box<dyn Error>> {
    let mut points = Vec::new();
    let each = count / 10;
    for app in 0..10 {
        let minutes = each * 3 / 4;
        points.extend(segments(app, minutes)?);
        points.extend(bases(app, minutes)?);
        let mut hour = 0;
        while (points.len() as u64) < each * (app + 1) {
            for kind in [Kind::DatabaseDump, Kind::Config, Kind::Logs, Kind::Cache] {
                points.push(point(app, kind, hour * 60 + 7, full(hour * 60 + 7)?)?);
            }
            hour += 1;
        }
    }
    points.truncate(usize::try_from(count)?);
    Ok(points)
}

/// One cluster's WAL and base backups.
fn wal(count: u64) -> Result<Vec<RecoveryPoint>, Box<dyn Error>> {
    let mut points = bases(1, count)?;
    points.extend(segments(1, count - points.len() as u64)?);
    Ok(points)
}

/// One kind, a point a minute.
fn dumps(count: u64) -> Result<Vec<RecoveryPoint>, Box<dyn Error>> {
    (0..count).map(|minutes| point(1, Kind::DatabaseDump, minutes, full(minutes)?)).collect()
}

/// Incremental backups each minute, seven on top of each full one.
fn chains(count: u64) -> Result<Vec<RecoveryPoint>, Box<dyn Error>> {
    let mut points = Vec::new();
    let mut parent: Option<PointId> = None;
    for minutes_ago in (0..count).rev() {
        let depth = minutes_ago % 8;
        let (id, depends_on) = match &parent {
            Some(parent) if depth != 0 => {
                (PointId::incremental(moment(minutes_ago)?, parent), vec![parent.clone()])
            }
            _ => (full(minutes_ago)?, Vec::new()),
        };
        points.push(RecoveryPoint { depends_on, ..point(1, Kind::Logs, minutes_ago, id.clone())? });
        parent = Some(id);
    }
    Ok(points)
}
