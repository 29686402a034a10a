//! What there is, as far as a decision needs it.
//!
//! Names sort by time, and the planner keeps every point that is younger than its kind's days
//! whatever else there is. So of each kind the points are listed from the oldest up to those days,
//! and no further: what is deleted decides what a sweep costs, and not what is stored.
//!
//! Why leaving out the younger points is safe: to the planner a younger point can only be a reason
//! to let an older one go (it may be the newest verified, or one of the minimum, in the older one's
//! place), with two exceptions, which are listed whole. A younger point may be restored on top of an
//! older one, which only base backups are; and it may need WAL, of which the bases' manifests tell.
//! A test holds this: what is planned from a survey is a part of what is planned from everything.
//!
//! So that it is not a smaller part, the newest points are listed as well, backwards until the
//! policy's minimum of verified ones is among them; and with tiers, which count periods, everything.

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalogue::{Backups, Objects, Segment, Span, Version, Versions};
use lifeboat_core::{
    AppName, Fault,
    backup::{Catalogue, Kind, RecoveryPoint, Standing, keys, retention::Retention, stamp},
};

use crate::kinds;

/// How far back the newest points are looked at first: a day's backups and some hours.
const RECENT: SignedDuration = SignedDuration::from_hours(36);

/// What there is.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) catalogue: Catalogue,
    /// For each kind that has objects, the moment before which its points are old enough to go.
    pub(crate) old: Vec<(Kind, Timestamp)>,
    /// The segments of WAL that were listed.
    pub(crate) wal: Vec<Segment>,
}

pub(crate) async fn survey<B: Objects>(
    backups: &Backups<B>,
    app: &AppName,
    retention: &Retention,
    now: Timestamp,
) -> Result<Survey, Fault> {
    let before = |kind| {
        let days = SignedDuration::from_hours(i64::from(retention.days(kind)).saturating_mul(24));
        now.checked_sub(days).unwrap_or(Timestamp::MIN)
    };
    let mut survey = Survey {
        catalogue: Catalogue { complete: true, points: Vec::new() },
        old: Vec::new(),
        wal: Vec::new(),
    };
    for (kind, has_manifests) in kinds_here(backups, app, &mut survey.catalogue.complete).await? {
        survey.old.push((kind, before(kind)));
        if !has_manifests {
            continue;
        }
        let whole = kind == Kind::DatabaseBase || !retention.tiers.is_empty();
        let until = Some(before(kind)).filter(|_| !whole);
        let minimum = usize::try_from(retention.minimum).unwrap_or(usize::MAX);
        let seen = kind_survey(backups, app, kind, until, minimum, now).await?;
        survey.catalogue.complete &= seen.complete;
        survey.catalogue.points.extend(seen.points);
    }
    wal(backups, app, before(Kind::DatabaseWal), &mut survey).await?;
    Ok(survey)
}

/// The old points of a kind, and of the young ones so many of the newest that the minimum is among
/// them. Without `until` every point counts as old.
async fn kind_survey<B: Objects>(
    backups: &Backups<B>,
    app: &AppName,
    kind: Kind,
    until: Option<Timestamp>,
    minimum: usize,
    now: Timestamp,
) -> Result<Catalogue, Fault> {
    let mut seen = backups.catalogue_within(app, Some(kind), &Span { from: None, until }).await?;
    let Some(old) = until.filter(|_| !seen.points.is_empty()) else {
        // Nothing is old enough: there is nothing to decide, and the rest need not be seen.
        return Ok(seen);
    };
    let (mut until, mut length, mut verified) = (None, RECENT, 0_usize);
    while verified < minimum {
        let from = now.checked_sub(length).unwrap_or(old).max(old);
        let span = Span { from: Some(from), until };
        let newer = backups.catalogue_within(app, Some(kind), &span).await?;
        let is_verified =
            |point: &&RecoveryPoint| matches!(point.checks.standing(), Standing::Verified { .. });
        verified += newer.points.iter().filter(is_verified).count();
        seen.complete &= newer.complete;
        seen.points.extend(newer.points);
        if from == old {
            break;
        }
        (until, length) = (Some(from), length.saturating_mul(2));
    }
    Ok(seen)
}

/// WAL, and what the bases need of it.
async fn wal<B: Objects>(
    backups: &Backups<B>,
    app: &AppName,
    before: Timestamp,
    survey: &mut Survey,
) -> Result<(), Fault> {
    let systems = backups.wal_systems(app).await?;
    if systems.is_empty() {
        return Ok(());
    }
    let evidence = backups.wal_evidence(app).await?;
    for system in systems {
        let mark = backups.watermark(app, &system).await?;
        let segments = backups.wal_until(app, &system, None, before).await?;
        let point = |one: &Segment| one.point(app, backups.region(), &mark, &evidence);
        survey.catalogue.points.extend(segments.iter().map(point));
        survey.wal.extend(segments);
    }
    for point in &mut survey.catalogue.points {
        if point.kind == Kind::DatabaseBase {
            // One that went away meanwhile needs nothing that is known, so all WAL stays.
            let manifest = backups.manifest(app, point.kind, &point.id).await?;
            point.wal = manifest.and_then(|manifest| manifest.wal);
        }
    }
    Ok(())
}

/// The kinds that have objects here, and whether they have manifests.
async fn kinds_here<B: Objects>(
    backups: &Backups<B>,
    app: &AppName,
    complete: &mut bool,
) -> Result<Vec<(Kind, bool)>, Fault> {
    let manifests = hop(backups, &format!("manifests/{app}/"), complete).await?;
    // Leftovers of a sweep that was cut off have no manifests.
    let mut others = hop(backups, &format!("artifacts/{app}/"), complete).await?;
    others.extend(hop(backups, &format!("evidence/{app}/"), complete).await?);
    let here = kinds().filter_map(|kind| {
        let has_manifests = manifests.contains(&kind);
        (has_manifests || others.contains(&kind)).then_some((kind, has_manifests))
    });
    Ok(here.collect())
}

/// The kinds under a prefix: from the first key of one to the first key behind it.
async fn hop<B: Objects>(
    backups: &Backups<B>,
    prefix: &str,
    complete: &mut bool,
) -> Result<Vec<Kind>, Fault> {
    let mut kinds = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = backups.bucket().list(prefix, after.as_deref()).await?;
        let Some(first) = page.objects.first() else { return Ok(kinds) };
        let folder = first.key.strip_prefix(prefix).and_then(|rest| rest.split_once('/'));
        let Some((folder, _)) = folder else {
            *complete = false;
            return Ok(kinds);
        };
        match folder.parse::<Kind>() {
            Ok(kind) => kinds.push(kind),
            Err(_) => *complete = false,
        }
        let behind = format!("{prefix}{folder}/~");
        // All that is left is seen: no other folder follows.
        let last = page.objects.last().is_some_and(|last| last.key < behind);
        if last && !page.more {
            return Ok(kinds);
        }
        after = Some(behind);
    }
}

impl Survey {
    /// Every version of every object that is old enough to go, by its name.
    pub(crate) async fn versions<B: Versions>(
        &self,
        backups: &Backups<B>,
        app: &AppName,
    ) -> Result<Vec<Version>, Fault> {
        let mut versions = Vec::new();
        for (kind, before) in &self.old {
            for prefix in [
                keys::manifests(app, *kind),
                keys::artifacts(app, *kind),
                keys::evidences(app, *kind),
            ] {
                let until = format!("{prefix}{}", stamp(*before));
                versions.extend(backups.versions(&prefix, None, Some(&until)).await?);
            }
        }
        Ok(versions)
    }
}
