//! What holds of every plan, on catalogues made at random and judged by code that knows nothing of
//! the planner's: sets, and loops over all points.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::backup::{Check, Checks, Outcome, Standing, WalSpan};

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn hours_ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn days_ago(days: u32) -> Timestamp {
    hours_ago(i64::from(days) * 24)
}

/// What a point is made of.
#[derive(Debug, Clone)]
struct Seed {
    app: bool,
    region: bool,
    kind: Kind,
    hours_ago: i64,
    parent: Option<usize>,
    wal_length: u64,
    read: u8,
    restored: u8,
    locked: bool,
    held: bool,
    twin: bool,
    size: u64,
}

fn one_in(n: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(1.0 / f64::from(n))
}

fn seed() -> impl Strategy<Value = Seed> {
    let kind = prop_oneof![
        3 => Just(Kind::DatabaseBase),
        4 => Just(Kind::DatabaseWal),
        2 => Just(Kind::DatabaseDump),
        1 => Just(Kind::Config),
    ];
    // Some of them from the future.
    let hours = prop_oneof![20 => 0_i64..900, 1 => -48_i64..0];
    let first = (one_in(6), one_in(5), kind, hours, prop::option::weighted(0.6, 0_usize..60));
    let second = (0_u64..3, 0_u8..8, 0_u8..12, one_in(30), one_in(30), one_in(40), 0_u64..100);
    (first, second).prop_map(
        |(
            (app, region, kind, hours_ago, parent),
            (wal_length, read, restored, locked, held, twin, size),
        )| Seed {
            app,
            region,
            kind,
            hours_ago,
            parent,
            wal_length,
            read,
            restored,
            locked,
            held,
            twin,
            size,
        },
    )
}

/// The segment that was written so many hours ago: one each four hours, and a second timeline for
/// the last 50 hours.
fn segment(hours_ago: i64) -> PointId {
    let number = u64::try_from((1000 - hours_ago).max(0) / 4).unwrap();
    let timeline = if hours_ago < 50 { 2 } else { 1 };
    PointId::new(format!("{timeline:08X}{:08X}{:08X}", number >> 8, number & 0xFF)).unwrap()
}

fn check(code: u8, at: Timestamp) -> Option<Check> {
    let outcome = match code {
        0 | 1 => return None,
        2 => Outcome::Damaged,
        _ => Outcome::Sound,
    };
    Some(Check { at, outcome })
}

fn catalogue_of(seeds: &[Seed], complete: bool) -> Catalogue {
    let mut points: Vec<RecoveryPoint> = Vec::new();
    let mut names = BTreeSet::new();
    for seed in seeds {
        let app = AppName::new(if seed.app { "desk" } else { "queue" }).unwrap();
        let region = Region::new(if seed.region { "us-west-2" } else { "us-east-1" }).unwrap();
        let taken_at = hours_ago(seed.hours_ago);
        let parent = seed.parent.and_then(|place| points.get(place)).filter(|parent| {
            seed.kind == Kind::DatabaseBase
                && (&parent.app, parent.kind, &parent.region) == (&app, seed.kind, &region)
                && parent.taken_at < taken_at
                && parent.id.as_str().len() < 120
        });
        let id = match (seed.kind, parent) {
            (Kind::DatabaseWal, _) => segment(seed.hours_ago),
            (_, Some(parent)) => PointId::incremental(taken_at, &parent.id),
            (_, None) => PointId::full(taken_at),
        };
        let depends_on = parent.map(|parent| parent.id.clone()).into_iter().collect();
        let wal = match seed.kind {
            Kind::DatabaseWal => {
                Some(WalSpan { system: "7".into(), first: id.clone(), last: id.clone() })
            }
            Kind::DatabaseBase => {
                let last = seed.hours_ago - 4 * i64::try_from(seed.wal_length).unwrap();
                let (first, last) = (segment(seed.hours_ago), segment(last));
                Some(WalSpan { system: "7".into(), first, last })
            }
            Kind::DatabaseSnapshot
            | Kind::DatabaseDump
            | Kind::Config
            | Kind::Code
            | Kind::Logs
            | Kind::Images
            | Kind::Cache => None,
        };
        // Names are there twice only where that is what is tested.
        if !names.insert((app.clone(), region.clone(), seed.kind, id.clone())) {
            continue;
        }
        let point = RecoveryPoint {
            app,
            kind: seed.kind,
            id,
            region,
            taken_at,
            depends_on,
            wal,
            size_bytes: seed.size,
            checks: Checks {
                present: None,
                unproven: crate::backup::Unproven::default(),
                read: check(seed.read, taken_at),
                restored: check(
                    if seed.restored == 2 { 3 } else { seed.restored.min(3) },
                    taken_at,
                ),
            },
            locked_until: seed.locked.then(|| now() + SignedDuration::from_hours(24)),
            held: seed.held,
        };
        if seed.twin {
            points.push(point.clone());
        }
        points.push(point);
    }
    Catalogue { complete, points }
}

fn catalogue() -> impl Strategy<Value = Catalogue> {
    // A run of WAL, as an archive has it, and anything.
    (vec(seed(), 0..60), 0_i64..800, 0_i64..60).prop_map(|(mut seeds, from, length)| {
        let mut run = Vec::new();
        if let Some(first) = seeds.first().cloned() {
            for step in 0..length {
                run.push(Seed {
                    kind: Kind::DatabaseWal,
                    hours_ago: from - step * 4,
                    read: 5,
                    restored: 0,
                    twin: false,
                    locked: false,
                    held: false,
                    ..first.clone()
                });
            }
        }
        seeds.extend(run.into_iter().filter(|seed| seed.hours_ago >= 0));
        catalogue_of(&seeds, true)
    })
}

fn retention() -> impl Strategy<Value = Retention> {
    let days = prop::collection::btree_map(
        prop_oneof![Just(Kind::DatabaseBase), Just(Kind::DatabaseWal), Just(Kind::DatabaseDump)],
        1_u32..12,
        0..3,
    );
    let tiers = (0_u32..4, 0_u32..3, 0_u32..3, 0_u32..2)
        .prop_map(|(daily, weekly, monthly, yearly)| Tiers { daily, weekly, monthly, yearly });
    let bytes = prop::option::weighted(0.2, 1_u64..400);
    (days, tiers, 1_u32..4, prop_oneof![1_u32..8, Just(u32::MAX)], bytes).prop_map(
        |(keep_days, tiers, minimum, deletions, bytes)| Retention {
            keep_days,
            tiers,
            minimum,
            limit: Limit { deletions, bytes },
        },
    )
}

fn quiet() -> Circumstances {
    Circumstances { now: now(), recovery: Seen::Absent, hold: Seen::Absent }
}

type Name<'a> = (&'a AppName, &'a Region, Kind, &'a PointId);

fn name(point: &RecoveryPoint) -> Name<'_> {
    (&point.app, &point.region, point.kind, &point.id)
}

fn like(a: &RecoveryPoint, b: &RecoveryPoint) -> bool {
    (&a.app, &a.region, a.kind) == (&b.app, &b.region, b.kind)
}

fn is_verified(point: &RecoveryPoint) -> bool {
    matches!(point.checks.standing(), Standing::Verified { .. })
}

/// All that a point needs of what the catalogue had, itself included.
fn needs<'a>(point: &'a RecoveryPoint, catalogue: &'a Catalogue) -> BTreeSet<Name<'a>> {
    let mut found = BTreeSet::from([name(point)]);
    let mut open = vec![point];
    while let Some(point) = open.pop() {
        for other in &catalogue.points {
            let parent = like(point, other) && point.depends_on.contains(&other.id);
            let wal = point.kind == Kind::DatabaseBase
                && other.kind == Kind::DatabaseWal
                && (&point.app, &point.region) == (&other.app, &other.region)
                && point
                    .wal
                    .as_ref()
                    .is_some_and(|wal| (&wal.first..=&wal.last).contains(&&other.id));
            if (parent || wal) && found.insert(name(other)) {
                open.push(other);
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_prefix_of_the_deletions_leaves_each_other_point_all_that_it_needs(
        catalogue in catalogue(), retention in retention()
    ) {
        let circumstances = quiet();
        let plan = plan(&catalogue, &retention, &circumstances);
        let mut left: BTreeSet<Name<'_>> = catalogue.points.iter().map(name).collect();
        let needs: Vec<(Name<'_>, BTreeSet<Name<'_>>)> =
            catalogue.points.iter().map(|point| (name(point), needs(point, &catalogue))).collect();
        for gone in &plan.deletions {
            left.remove(&name(gone));
            for (point, needs) in &needs {
                if left.contains(point) {
                    prop_assert!(needs.is_subset(&left), "{point:?} after {gone:?}");
                }
            }
        }
    }

    #[test]
    fn the_newest_verified_point_stays_whatever_the_policy_says(
        catalogue in catalogue(), retention in retention()
    ) {
        let circumstances = quiet();
        let plan = plan(&catalogue, &retention, &circumstances);
        let gone: BTreeSet<Name<'_>> = plan.deletions.iter().map(|point| name(point)).collect();
        for point in &catalogue.points {
            let newest = catalogue
                .points
                .iter()
                .filter(|other| like(point, other) && is_verified(other) && other.taken_at <= now())
                .max_by_key(|other| other.taken_at);
            match newest {
                Some(newest) => {
                    prop_assert!(needs(newest, &catalogue).is_disjoint(&gone), "{newest:?}");
                }
                None => prop_assert!(!gone.contains(&name(point)), "{point:?}"),
            }
        }
    }

    #[test]
    fn only_what_is_old_free_and_certain_goes(
        catalogue in catalogue(), retention in retention()
    ) {
        let circumstances = quiet();
        let plan = plan(&catalogue, &retention, &circumstances);
        for point in &plan.deletions {
            prop_assert!(point.taken_at < days_ago(retention.days(point.kind)));
            prop_assert!(!point.held && point.locked_until.is_none());
            let same = catalogue.points.iter().filter(|other| name(other) == name(point)).count();
            prop_assert_eq!(same, 1);
        }
        prop_assert!(plan.deletions.len() <= usize::try_from(retention.limit.deletions).unwrap());
        let bytes: u64 = plan.deletions.iter().map(|point| point.size_bytes).sum();
        prop_assert!(retention.limit.bytes.is_none_or(|most| bytes <= most));
    }

    #[test]
    fn the_minimum_of_verified_points_stays(catalogue in catalogue(), retention in retention()) {
        let circumstances = quiet();
        let plan = plan(&catalogue, &retention, &circumstances);
        let gone: BTreeSet<Name<'_>> = plan.deletions.iter().map(|point| name(point)).collect();
        // Dumps stand alone, so that each that is verified counts.
        let all = || catalogue.points.iter().filter(|p| {
            p.kind == Kind::DatabaseDump && is_verified(p) && p.taken_at <= now()
        });
        for point in all() {
            let like: BTreeSet<Name<'_>> =
                all().filter(|other| like(point, other)).map(name).collect();
            let left = like.difference(&gone).count();
            let least = like.len().min(usize::try_from(retention.minimum).unwrap());
            prop_assert!(left >= least, "{left} of {} left", like.len());
        }
    }

    #[test]
    fn every_moment_of_the_window_can_be_restored_after_as_before(
        catalogue in catalogue(), retention in retention()
    ) {
        let circumstances = quiet();
        let plan = plan(&catalogue, &retention, &circumstances);
        let gone: BTreeSet<Name<'_>> = plan.deletions.iter().map(|point| name(point)).collect();
        let from = days_ago(retention.days(Kind::DatabaseWal));
        // A moment is reached from a base that was taken before it, through the WAL of its
        // timeline and later ones up to it.
        for base in catalogue.points.iter().filter(|point| {
            point.kind == Kind::DatabaseBase && point.depends_on.is_empty() && is_verified(point)
                && point.taken_at <= from
        }) {
            let newer = catalogue.points.iter().any(|other| {
                like(base, other) && is_verified(other) && (from >= other.taken_at)
                    && other.taken_at > base.taken_at
            });
            let names = |point: &RecoveryPoint| name(point).3.as_str().split_at(8).1.to_owned();
            let first = base.wal.as_ref().unwrap().first.clone();
            let wal: Vec<&RecoveryPoint> = catalogue.points.iter().filter(|other| {
                other.kind == Kind::DatabaseWal
                    && (&other.app, &other.region) == (&base.app, &base.region)
            }).collect();
            let live = wal.iter().any(|segment| segment.taken_at >= from && segment.taken_at <= now());
            // The planner may have had better ones, or none that it could use at all.
            let anchored = plan.decisions.iter().any(|decision| {
                like(decision.point, base) && decision.point.id == base.id
                    && !decision.verdict.is_delete()
            });
            if newer || !live || !anchored {
                continue;
            }
            let whole = needs(base, &catalogue).len() as u64
                == base.wal.as_ref().map_or(0, |wal| number(&wal.last) - number(&wal.first)) + 2;
            let damaged = wal.iter().any(|segment| !is_verified(segment));
            let twins = catalogue.points.iter().filter(|other| name(other) == name(base)).count() > 1;
            if !whole || damaged || twins {
                continue;
            }
            for segment in wal {
                let after = segment.id.as_str()[..8] >= first.as_str()[..8]
                    && names(segment).as_str() >= first.as_str().split_at(8).1;
                if after {
                    prop_assert!(!gone.contains(&name(segment)), "{segment:?} after {base:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_goes_while_something_forbids_it_or_may(
        catalogue in catalogue(), retention in retention(), which in 0..5
    ) {
        let incident = IncidentId::new("queue-e2").unwrap();
        let mut circumstances = quiet();
        let mut catalogue = catalogue;
        match which {
            0 => circumstances.recovery = Seen::Present(incident),
            1 => circumstances.recovery = Seen::Unknown("the register does not answer".into()),
            2 => circumstances.hold = Seen::Present("audit".into()),
            3 => circumstances.hold = Seen::Unknown("the bucket does not answer".into()),
            _ => catalogue.complete = false,
        }
        let plan = plan(&catalogue, &retention, &circumstances);
        prop_assert!(plan.deletions.is_empty());
        prop_assert!(plan.decisions.iter().all(|decision| !decision.verdict.is_delete()));
    }

    #[test]
    fn a_plan_names_every_point_once_and_adds_up(
        catalogue in catalogue(), retention in retention()
    ) {
        let circumstances = quiet();
        let plan = plan(&catalogue, &retention, &circumstances);
        prop_assert_eq!(plan.decisions.len(), catalogue.points.len());
        let deleted: BTreeSet<Name<'_>> = plan
            .decisions
            .iter()
            .filter(|decision| decision.verdict.is_delete())
            .map(|decision| name(decision.point))
            .collect();
        let listed: BTreeSet<Name<'_>> = plan.deletions.iter().map(|point| name(point)).collect();
        prop_assert_eq!(listed.len(), plan.deletions.len());
        prop_assert_eq!(&listed, &deleted);
        prop_assert_eq!(plan.summary.deleted.points, u64::try_from(listed.len()).unwrap());
        let bytes: u64 = catalogue.points.iter().map(|point| point.size_bytes).sum();
        prop_assert_eq!(plan.summary.deleted.bytes + plan.summary.kept.bytes, bytes);
    }

    #[test]
    fn the_order_of_the_catalogue_does_not_matter(
        (catalogue, shuffled) in catalogue().prop_flat_map(|catalogue| {
            let points = Just(catalogue.points.clone()).prop_shuffle();
            (Just(catalogue), points)
        }),
        retention in retention(),
    ) {
        let shuffled = Catalogue { complete: catalogue.complete, points: shuffled };
        let circumstances = quiet();
        let one = plan(&catalogue, &retention, &circumstances);
        let other = plan(&shuffled, &retention, &circumstances);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn after_a_plan_was_carried_out_there_is_nothing_left_to_do(
        catalogue in catalogue(), retention in retention()
    ) {
        let retention = Retention {
            limit: Limit { deletions: u32::MAX, bytes: None },
            ..retention
        };
        let circumstances = quiet();
        let first = plan(&catalogue, &retention, &circumstances);
        let gone: BTreeSet<Name<'_>> = first.deletions.iter().map(|point| name(point)).collect();
        let left = Catalogue {
            complete: true,
            points: catalogue.points.iter().filter(|p| !gone.contains(&name(p))).cloned().collect(),
        };
        let second = plan(&left, &retention, &circumstances);
        prop_assert!(second.deletions.is_empty(), "{:?}", second.deletions);
    }
}

fn number(segment: &PointId) -> u64 {
    let text = segment.as_str();
    u64::from_str_radix(&text[8..16], 16).unwrap() * 256
        + u64::from_str_radix(&text[16..], 16).unwrap()
}
