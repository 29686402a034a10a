//! `lifeboat backups`: what can be restored, in each region.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalogue::Backups;
use lifeboat_core::{
    Fault, Region,
    backup::{Depth, Kind, RecoveryPoint, Standing, Unproven},
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::{Value, json};

use crate::{
    args::BackupsArgs,
    cloud::{self, recover_machine},
    credentials,
    output::{Failure, say, say_json},
    regions::{Outcome, elsewhere},
};

/// Points of a kind that are shown when nobody asks for more.
const SHOWN: usize = 5;

/// One point with what its manifest says.
struct Row {
    point: RecoveryPoint,
    size_bytes: Option<u64>,
}

/// Lists them.
pub(crate) async fn list(request: BackupsArgs, as_json: bool) -> Result<(), Failure> {
    let BackupsArgs { app, region, all } = request;
    let config = credentials::config().await?;
    let home = cloud::region(&config, region.as_ref().map(Region::as_str))?;
    let here = aws::in_region(&config, &home);
    let plan = Parameters::new(&here).plan(&app).await.map_err(|fault| elsewhere(fault, &home))?;
    let account =
        recover_machine(&here, &home).await.map_err(|fault| elsewhere(fault, &home))?.account;
    let regions: Vec<Region> = match region {
        Some(region) => vec![region],
        None => plan.sites.values().map(|site| site.region.clone()).collect(),
    };
    let now = clock::now();
    let mut answers = Vec::new();
    let mut outcome = Outcome::default();
    for region in &regions {
        let bucket = format!("lifeboat-backups-{account}-{region}");
        let backups = Backups::new(&config, bucket, region.clone());
        let listed = rows(&backups, &app, all).await;
        if let Err(fault) = &listed {
            answers.push(json!({ "region": region, "error": fault.message }));
        }
        match outcome.note(region, "the list of its backups", listed) {
            Some((rows, complete)) if as_json => answers.push(machine(region, &rows, complete)),
            Some((rows, complete)) => table(region, &rows, complete, now),
            None => {}
        }
    }
    if as_json {
        say_json(&json!({ "app": app, "at": now, "regions": answers, "owed": outcome.owed }));
    }
    outcome.settled()
}

async fn rows(
    backups: &Backups,
    app: &lifeboat_core::AppName,
    all: bool,
) -> Result<(Vec<Row>, bool), Fault> {
    let catalogue = backups.catalogue(app, None).await?;
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let mut points: Vec<RecoveryPoint> =
            catalogue.points.iter().filter(|point| point.kind == kind).cloned().collect();
        points.sort_by(|a, b| (b.taken_at, &b.id).cmp(&(a.taken_at, &a.id)));
        points.truncate(if all { usize::MAX } else { SHOWN });
        for point in points {
            let manifest = backups.manifest(app, kind, &point.id).await?;
            let size_bytes =
                manifest.filter(|m| !m.artifacts.is_empty()).map(|manifest| manifest.size_bytes());
            rows.push(Row { point, size_bytes });
        }
    }
    Ok((rows, catalogue.complete))
}

fn machine(region: &Region, rows: &[Row], complete: bool) -> Value {
    let points: Vec<Value> = rows
        .iter()
        .map(|Row { point, size_bytes }| {
            json!({
                "kind": point.kind,
                "point": point.id,
                "taken_at": point.taken_at,
                "size_bytes": size_bytes,
                "standing": point.checks.standing(),
                "checks": point.checks,
            })
        })
        .collect();
    json!({ "region": region, "complete": complete, "points": points })
}

fn table(region: &Region, rows: &[Row], complete: bool, now: Timestamp) {
    say(region.as_str());
    if rows.is_empty() {
        say("  no backups");
    } else {
        say("  KIND              POINT                     AGE      SIZE  STANDING   VERIFIED AT");
    }
    for row in rows {
        say(&line(row, now));
    }
    if rows.iter().any(|row| short(row.point.id.as_str()) != row.point.id.as_str()) {
        say(
            "  names that end in -incr are cut; --json has them whole, as restore --point wants them",
        );
    }
    notes(rows).into_iter().for_each(say);
    if !complete {
        say("  warning: some names are not understood by this version; there may be more");
    }
}

/// One line of at most 84 columns.
fn line(Row { point, size_bytes }: &Row, now: Timestamp) -> String {
    let (word, verified) = match point.checks.standing() {
        Standing::Verified { at } => ("verified", at.strftime("%m-%d %H:%M").to_string()),
        Standing::Unverified => ("unverified", why_not(&point.checks.unproven).to_owned()),
        Standing::Damaged { .. } => ("DAMAGED", String::new()),
    };
    let line = format!(
        "  {:<17} {:<22} {:>6} {:>9}  {word:<10} {verified}",
        point.kind,
        short(point.id.as_str()),
        age(now.duration_since(point.taken_at)),
        size_bytes.map_or_else(|| "-".to_owned(), size),
    );
    line.trim_end().to_owned()
}

const CANNOT_TELL: &str = "cannot tell";
const TOO_LARGE: &str = "too large";

/// What keeps a point from being verified, as far as it is known.
fn why_not(unproven: &Unproven) -> &'static str {
    let failed = Depth::ALL.into_iter().any(|depth| unproven.attempts(depth).is_some());
    match unproven.too_large_to_read {
        _ if failed => CANNOT_TELL,
        Some(_) => TOO_LARGE,
        None => "",
    }
}

/// What the words mean that stand where a verified point has its time.
fn notes(rows: &[Row]) -> Vec<&'static str> {
    let unverified = rows.iter().filter(|row| row.point.checks.standing() == Standing::Unverified);
    let words: BTreeSet<&str> = unverified.map(|row| why_not(&row.point.checks.unproven)).collect();
    [
        (
            TOO_LARGE,
            "  too large: to be read by a function (backup.verify.read_up_to_gib); its restore, or \
             lifeboat verify --record, proves it",
        ),
        (
            CANNOT_TELL,
            "  cannot tell: a check was tried and had no verdict; --json has how often, and \
             evidence/ of the bucket has why",
        ),
    ]
    .into_iter()
    .filter(|(word, _)| words.contains(word))
    .map(|(_, note)| note)
    .collect()
}

/// A chain's name is as long as the chain: its parents are left out.
fn short(id: &str) -> String {
    id.split_once("-incr-").map_or_else(|| id.to_owned(), |(own, _)| format!("{own}-incr"))
}

fn age(age: SignedDuration) -> String {
    match age.as_mins() {
        ..0 => "future".to_owned(),
        minutes @ 0..=119 => format!("{minutes} m"),
        minutes @ 120..=2_879 => format!("{} h", minutes / 60),
        minutes => format!("{} d", minutes / 1_440),
    }
}

fn size(bytes: u64) -> String {
    let steps = [("B", 1_u64), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let last = ("TB", 1_000_000_000_000);
    let (unit, one) =
        steps.into_iter().find(|(_, one)| bytes < one.saturating_mul(1_000)).unwrap_or(last);
    if one == 1 {
        return format!("{bytes} {unit}");
    }
    format!("{}.{} {unit}", bytes / one, bytes % one * 10 / one)
}

#[cfg(test)]
mod tests {
    use lifeboat_core::backup::{Attempts, Check, Checks, Depth, Outcome, PointId};

    use super::*;

    #[test]
    fn a_line_fits_a_terminal_and_says_what_counts() {
        let full = PointId::new("20261124T120000Z-full").unwrap();
        let now: Timestamp = "2026-11-26T12:30:00Z".parse().unwrap();
        let mut checks = Checks::default();
        checks.note(Depth::Read, Check { at: now, outcome: Outcome::Sound });
        let id = PointId::incremental("2026-11-24T16:00:00Z".parse().unwrap(), &full);
        let point = RecoveryPoint {
            app: "queue".parse().unwrap(),
            kind: Kind::DatabaseSnapshot,
            taken_at: id.time().unwrap(),
            depends_on: Vec::new(),
            id,
            region: "us-west-2".parse().unwrap(),
            wal: None,
            size_bytes: 0,
            checks,
            locked_until: None,
            held: false,
        };
        let row = Row { point, size_bytes: Some(123_456_789) };
        let shown = line(&row, now);
        assert_eq!(
            shown,
            "  database-snapshot 20261124T160000Z-incr    44 h  123.4 MB  verified   11-26 12:30"
        );
        assert!(shown.len() <= 84, "{}", shown.len());
        assert!(notes(&[row]).is_empty());
        // What is not verified says why, and what that means.
        let mut unproven = Row { size_bytes: Some(99 << 30), ..row_of(&full, now) };
        unproven.point.checks.unproven.too_large_to_read = Some(now);
        assert!(line(&unproven, now).ends_with("106.3 GB  unverified too large"));
        assert!(notes(&[unproven])[0].contains("its restore"));
        let mut unproven = row_of(&full, now);
        let attempts = Some(Attempts { count: 3, last: now });
        unproven.point.checks.unproven.restored = attempts;
        assert!(line(&unproven, now).ends_with("unverified cannot tell"));
        let json = machine(&"us-west-2".parse().unwrap(), &[unproven], true);
        let restored = &json["points"][0]["checks"]["unproven"]["restored"];
        assert_eq!(restored["count"], 3, "{json}");
    }

    /// A point that nobody has checked.
    fn row_of(id: &PointId, now: Timestamp) -> Row {
        let point = RecoveryPoint {
            app: "queue".parse().unwrap(),
            kind: Kind::DatabaseSnapshot,
            taken_at: now,
            depends_on: Vec::new(),
            id: id.clone(),
            region: "us-west-2".parse().unwrap(),
            wal: None,
            size_bytes: 0,
            checks: Checks::default(),
            locked_until: None,
            held: false,
        };
        Row { point, size_bytes: None }
    }

    #[test]
    fn ages_and_sizes_are_short() {
        assert_eq!([size(999), size(1_000), size(1_550_000)], ["999 B", "1.0 kB", "1.5 MB"]);
        assert_eq!(size(u64::MAX).split(' ').next_back(), Some("TB"));
        let of = |minutes| age(SignedDuration::from_mins(minutes));
        assert_eq!([of(5), of(119), of(120), of(2_880)], ["5 m", "119 m", "2 h", "2 d"]);
        assert_eq!(of(-1), "future");
    }
}
