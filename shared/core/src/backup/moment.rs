//! A moment between backups, to restore a database to.
//!
//! A base backup reaches a moment when it ended before it and the archived log goes on from the
//! backup's own to the moment without a gap. Listing tells neither, so the choice asks for what it
//! has to know of a point ([`Look`]) and is made again: pure, and no more is read than it needs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Catalogue, Choice, Kind, PointId,
    choice::{Question, choose_by},
};
use crate::ids::AppName;

/// What is known of a base backup beside its checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// When it ended: no earlier moment can be restored with it.
    pub ended_at: Timestamp,
    /// Until when the archived log goes on from it without a gap; none when it does not go on.
    pub archived_until: Option<Timestamp>,
}

/// The point of which more has to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look(pub PointId);

/// The moment in whole seconds, as hosts and RDS take it.
///
/// # Errors
/// There are no moments between backups of this kind, or it has not come yet; the text says what
/// to do.
pub fn whole_moment(kind: Kind, to: Timestamp, now: Timestamp) -> Result<Timestamp, String> {
    match kind {
        Kind::DatabaseSnapshot | Kind::DatabaseBase => {}
        Kind::DatabaseWal => {
            return Err(format!(
                "{kind} is restored with the base backup that it follows: ask for {} to a moment",
                Kind::DatabaseBase
            ));
        }
        Kind::DatabaseDump
        | Kind::Config
        | Kind::Code
        | Kind::Logs
        | Kind::Images
        | Kind::Cache => {
            return Err(format!(
                "{kind} has no moments between its backups: name a point (`lifeboat backups` lists \
                 them), or restore {} (RDS) or {} to a moment",
                Kind::DatabaseSnapshot,
                Kind::DatabaseBase
            ));
        }
    }
    if to > now {
        return Err(format!("{to} has not come yet (it is {now:.0}): give a moment in the past"));
    }
    // Down: a moment before a harm must not become one behind it.
    Timestamp::from_second(to.as_second()).map_err(|error| format!("{to}: {error}"))
}

/// As [`choose`](super::choose), of base backups that can be restored to a moment. `bases` is what
/// is known; a point that is in it with nothing has lost its manifest.
///
/// # Errors
/// The answer depends on a point of which nothing is known: look, and ask again.
pub fn choose_base(
    catalogue: &Catalogue,
    app: &AppName,
    asked: Option<&PointId>,
    to: Timestamp,
    bases: &BTreeMap<PointId, Option<Base>>,
) -> Result<Choice, Look> {
    let wanted = format!("verified and can be restored to {to:.0}");
    let question = Question { app, kind: Kind::DatabaseBase, asked, wanted };
    choose_by(catalogue, &question, |point| {
        // The slot in its name began before the backup did, so it need not be looked at.
        if point.taken_at > to {
            return Ok(Some(format!("it was taken after {to:.0}")));
        }
        let known = bases.get(&point.id).ok_or_else(|| Look(point.id.clone()))?;
        let Some(base) = known else { return Ok(Some("its manifest is gone".to_owned())) };
        Ok(match base.archived_until {
            _ if base.ended_at > to => {
                Some(format!("it ended at {:.0}, after {to:.0}", base.ended_at))
            }
            None => Some("no archived WAL follows it".to_owned()),
            Some(until) if until < to => {
                Some(format!("the WAL that follows it reaches {until:.0} and not {to:.0}"))
            }
            Some(_) => None,
        })
    })
}

/// Until when the archived log goes on without a gap behind the last segment of a base backup, on
/// the backup's own timeline: the time at which the last segment of the row was archived, before
/// which whatever is in it was committed. What the row ends short of within a segment, the restore
/// itself finds.
///
/// `segments` are names with the time of archiving, in the order of names.
#[must_use]
pub fn archived_until(
    last: &PointId,
    segments: &[(PointId, Timestamp)],
    segment_bytes: u64,
) -> Option<Timestamp> {
    let (timeline, mut number) = place(last, segment_bytes)?;
    let mut until = None;
    for (id, archived_at) in segments {
        match place(id, segment_bytes) {
            Some((of, at)) if of == timeline && at > number => {
                if at != number.checked_add(1)? {
                    break;
                }
                number = at;
                until = Some(*archived_at);
            }
            _ => {}
        }
    }
    until
}

/// The timeline of a segment, and its number on it (PostgreSQL's `xlog_internal.h`, `XLogFileName`).
fn place(segment: &PointId, segment_bytes: u64) -> Option<(&str, u64)> {
    let name = segment.as_str();
    let part = |from, to| u64::from_str_radix(name.get(from..to)?, 16).ok();
    let per_log = (1_u64 << 32).checked_div(segment_bytes)?;
    Some((name.get(..8)?, part(8, 16)?.checked_mul(per_log)?.checked_add(part(16, 24)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Check, Checks, Depth, Outcome, RecoveryPoint};

    fn at(text: &str) -> Timestamp {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    fn segment(name: &str) -> PointId {
        PointId::new(name).unwrap()
    }

    #[test]
    fn only_what_has_moments_takes_one_and_it_is_cut_to_seconds() {
        let now = at("12:00:00");
        for kind in [Kind::DatabaseSnapshot, Kind::DatabaseBase] {
            assert_eq!(whole_moment(kind, at("11:59:59.9"), now), Ok(at("11:59:59")));
            assert!(whole_moment(kind, at("12:00:01"), now).unwrap_err().contains("not come yet"));
        }
        for kind in [Kind::DatabaseWal, Kind::DatabaseDump, Kind::Cache] {
            let why = whole_moment(kind, now, now).unwrap_err();
            assert!(why.contains("database-base"), "{why}");
        }
    }

    #[test]
    fn the_log_reaches_as_far_as_it_has_no_gap() {
        let last = segment("0000000100000000000000FE");
        let log = |names: &[(&str, &str)]| {
            let row: Vec<_> = names.iter().map(|(name, time)| (segment(name), at(time))).collect();
            archived_until(&last, &row, 16 << 20)
        };
        let own = ("0000000100000000000000FE", "10:00:00");
        let one = ("0000000100000000000000FF", "10:05:00");
        // The next log begins at zero.
        let two = ("000000010000000100000000", "10:10:00");
        let far = ("000000010000000100000002", "10:20:00");
        let branch = ("000000020000000100000001", "10:30:00");
        assert_eq!(log(&[]), None);
        assert_eq!(log(&[own]), None, "it is in the backup");
        assert_eq!(log(&[own, one, two]), Some(at("10:10:00")));
        assert_eq!(log(&[one, two, far, branch]), Some(at("10:10:00")), "one is missing");
        assert_eq!(log(&[two, far]), None, "the first is missing");
    }

    #[test]
    fn the_newest_base_whose_log_reaches_the_moment_is_chosen() {
        let app: AppName = "queue".parse().unwrap();
        let id = |hour| PointId::full(at(hour));
        let [old, good, late, after] = ["04:00:00", "08:00:00", "11:00:00", "12:30:00"].map(id);
        let point = |id: &PointId| {
            let mut checks = Checks::default();
            checks.note(Depth::Read, Check { at: at("13:00:00"), outcome: Outcome::Sound });
            RecoveryPoint {
                app: app.clone(),
                kind: Kind::DatabaseBase,
                region: "us-west-2".parse().unwrap(),
                taken_at: id.time().unwrap(),
                depends_on: Vec::new(),
                id: id.clone(),
                wal: None,
                size_bytes: 0,
                checks,
                locked_until: None,
                held: false,
            }
        };
        let points = [&old, &good, &late, &after].map(point).to_vec();
        let catalogue = Catalogue { complete: true, points };
        let base = |ended, until: Option<&str>| {
            Some(Base { ended_at: at(ended), archived_until: until.map(at) })
        };
        let known = BTreeMap::from([
            (old.clone(), base("04:10:00", Some("12:40:00"))),
            (good.clone(), base("08:10:00", Some("12:40:00"))),
            (late.clone(), base("12:10:00", Some("12:40:00"))),
        ]);
        let to = at("12:00:00");
        // It asks for what it has to know, the newest first, and not for one that began later.
        let (mut bases, mut looks) = (BTreeMap::new(), Vec::new());
        let choice = loop {
            match choose_base(&catalogue, &app, None, to, &bases) {
                Ok(choice) => break choice,
                Err(Look(id)) => {
                    bases.insert(id.clone(), known[&id].clone());
                    looks.push(id);
                }
            }
        };
        assert_eq!(looks, [late.clone(), good.clone()]);
        let Choice::Reliable { id, reason } = choice else { panic!("{choice:?}") };
        assert_eq!(id, good);
        assert!(reason.contains("taken after") && reason.contains("ended at"), "{reason}");

        // Asked for by name, it says why not, and names the one that would do.
        let asked = choose_base(&catalogue, &app, Some(&late), to, &known).unwrap();
        let Choice::Unreliable { reason, instead } = asked else { panic!("{asked:?}") };
        assert_eq!(instead, Some(good.clone()));
        assert!(reason.contains("it ended at 2026-11-24T12:10:00Z"), "{reason}");

        let far = choose_base(&catalogue, &app, None, at("12:50:00"), &{
            let mut all = known.clone();
            all.insert(after, None);
            all.insert(old, base("04:10:00", None));
            all
        });
        let Ok(Choice::Unreliable { reason, .. }) = far else { panic!("{far:?}") };
        for why in ["manifest is gone", "reaches 2026-11-24T12:40:00Z", "restored to 2026"] {
            assert!(reason.contains(why), "{reason}");
        }
    }
}
