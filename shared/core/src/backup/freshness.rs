//! How old the newest backup is that can be relied on.
//!
//! A kind without any verified point is as old as its schedule: before the first slot is due nobody can
//! have one, and when it stays away the alarm fires as it does when the second one does. What not even
//! that is known of has no age, rather than a large one or a small one: the metric is then missing, and
//! its alarm, which takes missing data for a breach, fires.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Catalogue, Kind, PointId, RecoveryPoint, Standing, catalogue::counts};
use crate::ids::{AppName, Region};

/// What there is of one kind of backup of one app, in one region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Freshness {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// The region.
    pub region: Region,
    /// The newest point that was verified, with all that it is restored on top of; none when none
    /// is.
    pub newest_verified: Option<PointId>,
    /// The moment that it restores to.
    pub taken_at: Option<Timestamp>,
    /// How long before `now` that is, in seconds; the metric of the alarm.
    pub age_seconds: Option<f64>,
    /// The newest point, verified or not.
    pub newest_taken: Option<PointId>,
    /// The moment that the newest point restores to.
    pub newest_taken_at: Option<Timestamp>,
    /// Points that were never read or restored.
    pub unverified: u64,
    /// Points that are damaged.
    pub damaged: u64,
}

/// The freshness of these kinds of an app's backups in one region, in the order of `kinds`; points
/// of other apps and regions in the catalogue do not matter, and points from the future do not
/// count: how old they are is not known.
#[must_use]
pub fn freshness(
    catalogue: &Catalogue,
    app: &AppName,
    region: &Region,
    kinds: &[Kind],
    now: Timestamp,
) -> Vec<Freshness> {
    let here =
        || catalogue.points.iter().filter(|point| point.app == *app && point.region == *region);
    let by_name: BTreeMap<(Kind, &str), &RecoveryPoint> =
        here().map(|point| ((point.kind, point.id.as_str()), point)).collect();
    let mut seen: BTreeMap<Kind, Counts<'_>> = BTreeMap::new();
    for point in here().filter(|point| point.taken_at <= now) {
        let parent = |id: &PointId| by_name.get(&(point.kind, id.as_str())).copied();
        seen.entry(point.kind).or_default().add(point, counts(point, parent));
    }
    kinds
        .iter()
        .map(|kind| {
            let counts = seen.get(kind).copied().unwrap_or_default();
            Freshness {
                app: app.clone(),
                kind: *kind,
                region: region.clone(),
                newest_verified: counts.verified.map(|point| point.id.clone()),
                taken_at: counts.verified.map(|point| point.taken_at),
                age_seconds: counts
                    .verified
                    .map(|point| now.duration_since(point.taken_at).as_secs_f64()),
                newest_taken: counts.taken.map(|point| point.id.clone()),
                newest_taken_at: counts.taken.map(|point| point.taken_at),
                unverified: counts.unverified,
                damaged: counts.damaged,
            }
        })
        .collect()
}

/// Since when the plan schedules this kind without a break, from the versions of the plan as they are
/// stored, the oldest first; none when it does not schedule it now. WAL goes with its base backups. A
/// version that cannot be read breaks: what it scheduled is not known.
#[must_use]
pub fn scheduled_since(history: &[(Timestamp, String)], kind: Kind) -> Option<Timestamp> {
    let kind = if kind == Kind::DatabaseWal { Kind::DatabaseBase } else { kind };
    let schedules = |stored: &str| {
        let plan: serde_json::Value = serde_json::from_str(stored).unwrap_or_default();
        plan.pointer(&format!("/backup/schedule/{kind}")).is_some()
    };
    let newest_first = history.iter().rev();
    newest_first.take_while(|(_, stored)| schedules(stored)).last().map(|(at, _)| *at)
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts<'a> {
    verified: Option<&'a RecoveryPoint>,
    taken: Option<&'a RecoveryPoint>,
    unverified: u64,
    damaged: u64,
}

impl<'a> Counts<'a> {
    fn add(&mut self, point: &'a RecoveryPoint, counts: bool) {
        let newer = |known: Option<&'a RecoveryPoint>| {
            known.is_none_or(|known| (known.taken_at, &known.id) < (point.taken_at, &point.id))
        };
        if newer(self.taken) {
            self.taken = Some(point);
        }
        match point.checks.standing() {
            Standing::Verified { .. } => {
                if counts && newer(self.verified) {
                    self.verified = Some(point);
                }
            }
            Standing::Unverified => self.unverified = self.unverified.saturating_add(1),
            Standing::Damaged { .. } => self.damaged = self.damaged.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Check, Checks, Outcome};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn point(kind: Kind, taken_at: &str, read: Option<Outcome>) -> RecoveryPoint {
        let taken_at = at(taken_at);
        RecoveryPoint {
            app: AppName::new("queue").unwrap(),
            kind,
            id: PointId::full(taken_at),
            region: Region::new("us-west-2").unwrap(),
            taken_at,
            depends_on: Vec::new(),
            wal: None,
            size_bytes: 1,
            checks: Checks {
                read: read.map(|outcome| Check { at: taken_at, outcome }),
                ..Checks::default()
            },
            locked_until: None,
            held: false,
        }
    }

    #[test]
    fn the_age_is_that_of_the_newest_verified_point_and_absence_has_none() {
        let elsewhere = RecoveryPoint {
            region: Region::new("us-east-1").unwrap(),
            ..point(Kind::DatabaseDump, "2026-11-24T11:00:00Z", Some(Outcome::Sound))
        };
        let catalogue = Catalogue {
            complete: true,
            points: vec![
                point(Kind::DatabaseDump, "2026-11-22T00:00:00Z", Some(Outcome::Sound)),
                point(Kind::DatabaseDump, "2026-11-23T00:00:00Z", Some(Outcome::Sound)),
                point(Kind::DatabaseDump, "2026-11-23T12:00:00Z", None),
                point(Kind::DatabaseDump, "2026-11-24T00:00:00Z", Some(Outcome::Damaged)),
                point(Kind::DatabaseDump, "2026-11-25T00:00:00Z", Some(Outcome::Sound)),
                point(Kind::Config, "2026-11-24T00:00:00Z", None),
                elsewhere,
            ],
        };
        let app = AppName::new("queue").unwrap();
        let region = Region::new("us-west-2").unwrap();
        let kinds = [Kind::DatabaseDump, Kind::Config, Kind::Cache];
        let found = freshness(&catalogue, &app, &region, &kinds, at("2026-11-24T12:00:00Z"));
        let brief: Vec<_> = found
            .iter()
            .map(|of| {
                let id = of.newest_verified.as_ref().map(PointId::as_str);
                (of.kind, id, of.age_seconds, of.unverified, of.damaged)
            })
            .collect();
        assert_eq!(
            brief,
            [
                (Kind::DatabaseDump, Some("20261123T000000Z-full"), Some(129_600.0), 1, 1),
                (Kind::Config, None, None, 1, 0),
                (Kind::Cache, None, None, 0, 0),
            ]
        );
        assert_eq!(found[0].newest_taken, Some(PointId::full(at("2026-11-24T00:00:00Z"))));
    }

    #[test]
    fn a_kind_is_as_old_as_its_schedule_has_been_without_a_break() {
        let plan = |kinds: &[&str]| {
            let slots: Vec<String> =
                kinds.iter().map(|kind| format!("\"{kind}\":{{\"every\":\"4h\"}}")).collect();
            format!("{{\"backup\":{{\"schedule\":{{{}}}}}}}", slots.join(","))
        };
        let history = [
            (at("2026-11-20T00:00:00Z"), plan(&["config", "logs"])),
            (at("2026-11-21T00:00:00Z"), plan(&["logs"])),
            (at("2026-11-22T00:00:00Z"), plan(&["config", "logs"])),
            (at("2026-11-23T00:00:00Z"), plan(&["config", "logs", "database-base"])),
        ];
        let since = |kind| scheduled_since(&history, kind).map(|at| at.to_string());
        assert_eq!(since(Kind::Logs).as_deref(), Some("2026-11-20T00:00:00Z"));
        assert_eq!(since(Kind::Config).as_deref(), Some("2026-11-22T00:00:00Z"));
        assert_eq!(since(Kind::DatabaseWal).as_deref(), Some("2026-11-23T00:00:00Z"));
        assert_eq!(since(Kind::Cache), None);
        assert_eq!(scheduled_since(&[(history[0].0, "{".into())], Kind::Logs), None);
    }

    #[test]
    fn an_increment_counts_only_when_its_base_does() {
        let id = |text: &str| PointId::new(text).unwrap();
        let base = id("20261124T000000Z-full");
        let child = id("20261124T040000Z-incr-20261124T000000Z-full");
        let of = |id: &PointId, read| RecoveryPoint {
            id: id.clone(),
            ..point(Kind::DatabaseBase, &id.time().unwrap().to_string(), read)
        };
        let app = AppName::new("queue").unwrap();
        let region = Region::new("us-west-2").unwrap();
        let newest = |points: Vec<RecoveryPoint>| {
            let catalogue = Catalogue { complete: true, points };
            let now = at("2026-11-24T12:00:00Z");
            freshness(&catalogue, &app, &region, &[Kind::DatabaseBase], now)
                .remove(0)
                .newest_verified
        };
        let (sound, damaged) = (Some(Outcome::Sound), Some(Outcome::Damaged));
        assert_eq!(newest(vec![of(&base, sound), of(&child, sound)]), Some(child.clone()));
        assert_eq!(newest(vec![of(&base, sound), of(&child, None)]), Some(base.clone()));
        assert_eq!(newest(vec![of(&base, damaged), of(&child, sound)]), None);
        assert_eq!(newest(vec![of(&base, None), of(&child, sound)]), None);
        assert_eq!(newest(vec![of(&child, sound)]), None);
    }
}
