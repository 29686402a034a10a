use proptest::prelude::*;

use super::*;
use crate::backup::{Check, Checks, Outcome};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str) -> BackupSchedule {
    toml::from_str(text).unwrap()
}

fn point(kind: Kind, id: PointId) -> RecoveryPoint {
    RecoveryPoint {
        app: AppName::new("queue").unwrap(),
        kind,
        taken_at: id.time().unwrap(),
        depends_on: id.parent().into_iter().collect(),
        id,
        region: Region::new("us-east-1").unwrap(),
        wal: None,
        size_bytes: 1,
        checks: Checks::default(),
        locked_until: None,
        held: false,
    }
}

/// What is due, as text, after these points.
fn due_after(schedule: &BackupSchedule, points: &[RecoveryPoint], now: &str) -> Vec<String> {
    let app = AppName::new("queue").unwrap();
    let region = Region::new("us-east-1").unwrap();
    let catalogue = Catalogue { complete: true, points: points.to_vec() };
    due(schedule, &app, &region, &catalogue, Incremental::Allowed, at(now))
        .into_iter()
        .map(|(kind, id)| format!("{kind} {id}"))
        .collect()
}

const DAILY_DUMP: &str = "[database-dump]\nevery = \"24h\"\nat = \"02:30\"";
const BASES: &str = "[database-base]\nevery = \"4h\"\nfull_every = \"1d\"";

#[test]
fn a_slot_is_due_once_whenever_it_is_asked_for() {
    let schedule = schedule(DAILY_DUMP);
    let name = "database-dump 20261124T023000Z-full";
    for now in ["2026-11-24T02:30:00Z", "2026-11-24T12:00:00.5Z", "2026-11-25T02:29:59.9Z"] {
        assert_eq!(due_after(&schedule, &[], now), [name], "{now}");
    }
    assert_eq!(
        due_after(&schedule, &[], "2026-11-24T02:29:59Z"),
        ["database-dump 20261123T023000Z-full"]
    );
    let served = [point(Kind::DatabaseDump, PointId::full(at("2026-11-24T02:30:00Z")))];
    assert!(due_after(&schedule, &served, "2026-11-24T12:00:00Z").is_empty());
    assert_eq!(due_after(&schedule, &served, "2026-11-25T02:30:00Z").len(), 1);
}

#[test]
fn base_backups_stand_on_the_newest_until_a_full_one_is_due() {
    let schedule = schedule(BASES);
    let full = PointId::full(at("2026-11-24T00:00:00Z"));
    let mut points = vec![point(Kind::DatabaseBase, full.clone())];
    let first = "database-base 20261124T040000Z-incr-20261124T000000Z-full";
    assert_eq!(due_after(&schedule, &points, "2026-11-24T05:00:00Z"), [first]);
    let child = PointId::incremental(at("2026-11-24T04:00:00Z"), &full);
    points.push(point(Kind::DatabaseBase, child));
    assert!(due_after(&schedule, &points, "2026-11-24T05:00:00Z").is_empty());
    assert_eq!(
        due_after(&schedule, &points, "2026-11-24T08:00:00Z"),
        ["database-base 20261124T080000Z-incr-20261124T040000Z-incr-20261124T000000Z-full"]
    );
    // A day after the full one it is time for the next.
    assert_eq!(
        due_after(&schedule, &points, "2026-11-25T00:00:00Z"),
        ["database-base 20261125T000000Z-full"]
    );
}

#[test]
fn nothing_is_put_on_top_of_a_damaged_chain_or_one_with_a_hole() {
    let schedule = schedule(BASES);
    let full = PointId::full(at("2026-11-24T00:00:00Z"));
    let child = PointId::incremental(at("2026-11-24T04:00:00Z"), &full);
    let mut damaged = point(Kind::DatabaseBase, full);
    damaged.checks.read = Some(Check { at: at("2026-11-24T06:00:00Z"), outcome: Outcome::Damaged });
    let child = point(Kind::DatabaseBase, child);
    for points in [vec![damaged, child.clone()], vec![child]] {
        assert_eq!(
            due_after(&schedule, &points, "2026-11-24T08:00:00Z"),
            ["database-base 20261124T080000Z-full"]
        );
    }
}

#[test]
fn a_server_that_cannot_do_it_gets_full_backups() {
    let app = AppName::new("queue").unwrap();
    let region = Region::new("us-east-1").unwrap();
    let points = vec![point(Kind::DatabaseBase, PointId::full(at("2026-11-24T00:00:00Z")))];
    let catalogue = Catalogue { complete: true, points };
    let now = at("2026-11-24T04:00:00Z");
    let found = due(&schedule(BASES), &app, &region, &catalogue, Incremental::NotAllowed, now);
    assert_eq!(found, [(Kind::DatabaseBase, PointId::full(now))]);
}

#[test]
fn a_chain_stays_short_and_its_names_fit() {
    let schedule = schedule("[database-base]\nevery = \"1h\"\nfull_every = \"7d\"");
    let mut points = Vec::new();
    let mut longest = 0;
    for hour in 0..48 {
        let now = at("2026-11-24T00:00:00Z") + SignedDuration::from_hours(hour);
        let name = due_after(&schedule, &points, &now.to_string()).remove(0);
        let id = PointId::new(name.strip_prefix("database-base ").unwrap()).unwrap();
        longest = longest.max(id.as_str().matches("-incr-").count());
        points.push(point(Kind::DatabaseBase, id));
    }
    assert_eq!(longest, LONGEST_CHAIN);
}

#[test]
fn mistakes_are_found() {
    let found = |text: &str| {
        check(&schedule(text), &Retention::default())
            .into_iter()
            .map(|problem| format!("{}: {}", problem.path.join("."), problem.message))
            .collect::<Vec<_>>()
    };
    assert!(found(&format!("{DAILY_DUMP}\n{BASES}")).is_empty());
    for (text, says) in [
        ("[config]\nevery = \"7h\"", "config.every: 7h divides no day"),
        ("[config]\nevery = \"31d\"", "config.every: a point is kept for 30 days"),
        ("[database-wal]\nevery = \"1h\"", "database-wal.every: WAL is archived continuously"),
        ("[database-base]\nevery = \"4d\"", "database-base.every: WAL is kept for 3 days"),
        (
            "[database-base]\nevery = \"4h\"\nfull_every = \"2h\"",
            "database-base.full_every: use at least 4h",
        ),
        ("[logs]\nevery = \"4h\"\nfull_every = \"8h\"", "logs.full_every: only base backups"),
    ] {
        let found = found(text);
        assert!(found.iter().any(|problem| problem.starts_with(says)), "{text}: {found:?}");
    }
}

#[test]
fn what_is_no_time_is_refused() {
    for wrong in ["", "h", "0h", "4", "4 h", "-4h", "+4h", "1w", "99999999d", "4ä"] {
        assert!(wrong.parse::<Every>().is_err(), "{wrong}");
    }
    for wrong in ["", "2:30", "24:00", "02:60", "02-30", "02:30:00", "+2:30"] {
        assert!(wrong.parse::<DayTime>().is_err(), "{wrong}");
    }
    for good in ["15m", "4h", "24h", "2d"] {
        assert_eq!(good.parse::<Every>().unwrap().to_string(), good);
    }
    assert_eq!("02:30".parse::<DayTime>().unwrap().to_string(), "02:30");
}

proptest! {
    #[test]
    fn a_slot_holds_its_moment_and_is_the_same_for_all_of_it(
        second in 0_i64..4_000_000_000, minutes in 1_u32..4000, at_minute in 0_u32..1440
    ) {
        let slots = Slots {
            every: Every { seconds: minutes * 60 },
            at: Some(DayTime { minutes: at_minute }),
            full_every: None,
        };
        let now = Timestamp::from_second(second).unwrap();
        let start = slots.current(now);
        let length = SignedDuration::from_secs(i64::from(minutes) * 60);
        prop_assert!(start <= now && now < start + length);
        prop_assert_eq!(slots.current(start), start);
        let last = start + length - SignedDuration::from_nanos(1);
        prop_assert_eq!(slots.current(last), start);
    }
}

#[test]
fn a_snapshot_that_outlives_its_slot_is_looked_for_two_days_back_and_in_few_slots() {
    let slots = |every: &str| Slots { every: every.parse().unwrap(), at: None, full_every: None };
    let now: Timestamp = "2026-11-24T12:03:00Z".parse().unwrap();
    let before = |every| slots(every).before(now).map(|at| at.to_string()).collect::<Vec<_>>();
    assert_eq!(before("24h"), ["2026-11-23T00:00:00Z"]);
    assert_eq!(before("12h").len(), 3, "not what began two days ago and more");
    assert_eq!(before("1h").len(), 6);
    assert_eq!(before("1h")[0], "2026-11-24T11:00:00Z");
}

#[test]
fn what_cannot_be_begun_is_told_with_the_first_tick_and_then_each_hour() {
    let start: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let told = |seconds| is_told(start, start + SignedDuration::from_secs(seconds));
    assert!(told(0) && told(299));
    assert!(!told(300) && !told(3_599));
    assert!(told(3_600) && !told(3_900));
    let hours = (0..24 * 12).filter(|tick| told(tick * 300 + 137)).count();
    assert_eq!(hours, 24, "whenever within its five minutes a tick comes");
}
