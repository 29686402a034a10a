//! Archived WAL: how far it was read, and what came since.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Check, Checks, Depth, Kind, Mark, Outcome, PointId, RecoveryPoint, WalSpan, keys},
};
use serde::{Deserialize, Serialize};

use crate::{Backups, Object, Objects, Span};

/// Sorts behind every name within a prefix: names have letters, digits, dots and dashes.
const BEHIND: char = '~';

/// How far the WAL of one cluster was read, so that each segment is read once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// The cluster's system identifier.
    pub system: String,
    /// Bytes of a segment, as the segments say.
    pub segment_bytes: u64,
    /// How far, by timeline in eight hexadecimal digits.
    pub timelines: BTreeMap<String, Progress>,
}

/// How far one timeline was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The last segment that was read.
    pub through: PointId,
    /// When it was archived.
    pub written_at: Timestamp,
    /// When it was read.
    pub verified_at: Timestamp,
    /// What the reader remembers of the record that goes on in the next segment.
    pub reader: serde_json::Value,
    /// Where segments were missing when the reading went past, the newest last. What arrives there
    /// later was not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// Segments that were not there: all between these two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The last one before it.
    pub after: PointId,
    /// The first one behind it.
    pub before: PointId,
}

impl Watermark {
    /// Nothing was read. The size is PostgreSQL's default (`initdb --wal-segsize`) until a segment
    /// says another.
    #[must_use]
    pub fn new(system: &str) -> Self {
        Self { system: system.to_owned(), segment_bytes: 16 << 20, timelines: BTreeMap::new() }
    }

    /// How far a segment's timeline was read; none when not at all.
    #[must_use]
    pub fn progress(&self, segment: &PointId) -> Option<&Progress> {
        self.timelines.get(segment.as_str().get(..8)?)
    }

    /// When this segment was read; none when it was not.
    #[must_use]
    pub fn verified_at(&self, segment: &PointId) -> Option<Timestamp> {
        let progress = self.progress(segment)?;
        let missed = progress.gaps.iter().any(|gap| gap.after < *segment && *segment < gap.before);
        (*segment <= progress.through && !missed).then_some(progress.verified_at)
    }
}

/// An archived segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The cluster's system identifier.
    pub system: String,
    /// Its name.
    pub id: PointId,
    /// Its object.
    pub object: Object,
}

impl Segment {
    fn read(object: Object) -> Option<Self> {
        let (_, system, id) = keys::read_wal(&object.key)?;
        Some(Self { system: system.to_owned(), id, object })
    }

    /// It as a recovery point. What its own evidence says outweighs that the reading went past it.
    #[must_use]
    pub fn point(
        &self,
        app: &AppName,
        region: &Region,
        mark: &Watermark,
        evidence: &BTreeMap<PointId, Checks>,
    ) -> RecoveryPoint {
        let mut checks = evidence.get(&self.id).copied().unwrap_or_default();
        if let (None, Some(at)) = (checks.read, mark.verified_at(&self.id)) {
            checks.note(Depth::Read, Check { at, outcome: Outcome::Sound });
        }
        let Self { system, id, object } = self;
        // Clusters of an app may have segments of the same name, and evidence does not tell them apart.
        checks.forget_sound_before(object.modified);
        RecoveryPoint {
            app: app.clone(),
            kind: Kind::DatabaseWal,
            id: id.clone(),
            region: region.clone(),
            taken_at: object.modified,
            depends_on: Vec::new(),
            wal: Some(WalSpan { system: system.clone(), first: id.clone(), last: id.clone() }),
            size_bytes: object.size_bytes,
            checks,
            locked_until: None,
            held: false,
        }
    }
}

impl<B: Objects> Backups<B> {
    /// The clusters whose WAL is archived here. One call for each, and one.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn wal_systems(&self, app: &AppName) -> Result<Vec<String>, Fault> {
        let prefix = format!("wal/{app}/");
        let mut systems: Vec<String> = Vec::new();
        loop {
            let after = systems.last().map(|system| format!("{prefix}{system}/{BEHIND}"));
            let page = self.bucket().list(&prefix, after.as_deref()).await?;
            let Some(first) = page.objects.first() else { return Ok(systems) };
            let system = first.key.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'));
            match system {
                Some((system, _)) if systems.last().is_none_or(|last| last != system) => {
                    systems.push(system.to_owned());
                }
                _ => {
                    return Err(Fault::needs_human(format!(
                        "{} is no archived WAL; move it away",
                        first.key
                    )));
                }
            }
        }
    }

    /// How far a cluster's WAL was read.
    ///
    /// # Errors
    /// What the store reports; `NeedsHuman` when the mark cannot be read by this version.
    pub async fn watermark(&self, app: &AppName, system: &str) -> Result<Watermark, Fault> {
        let key = keys::watermark(app, system);
        let Some(body) = self.bucket().get(&key).await? else { return Ok(Watermark::new(system)) };
        serde_json::from_slice(&body).map_err(|error| {
            Fault::needs_human(format!(
                "{key} cannot be read by this version ({error}); copy an earlier version of the \
                 object over it, and the WAL is read again from there"
            ))
        })
    }

    /// Writes down how far a cluster's WAL was read.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn put_watermark(&self, app: &AppName, mark: &Watermark) -> Result<(), Fault> {
        let body = serde_json::to_vec(mark)
            .map_err(|error| Fault::needs_human(format!("the watermark is not JSON: {error}")))?;
        self.bucket().put(&keys::watermark(app, &mark.system), body).await
    }

    /// The segments that were not read, in order: of each timeline the first thousand at most.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn unread_wal(&self, app: &AppName, mark: &Watermark) -> Result<Vec<Segment>, Fault> {
        let prefix = keys::wal_prefix(app, &mark.system);
        let mut segments = Vec::new();
        let mut looks = Vec::new();
        for (timeline, progress) in &mark.timelines {
            let after = keys::wal(app, &mark.system, progress.through.as_str());
            looks.push((format!("{prefix}{timeline}"), Some(after)));
        }
        let newest = mark.timelines.keys().next_back();
        looks.push((prefix.clone(), newest.map(|newest| format!("{prefix}{newest}{BEHIND}"))));
        for (prefix, after) in looks {
            let page = self.bucket().list(&prefix, after.as_deref()).await?;
            segments.extend(page.objects.into_iter().filter_map(Segment::read));
        }
        Ok(segments)
    }

    /// What the evidence of segments says, by segment.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn wal_evidence(&self, app: &AppName) -> Result<BTreeMap<PointId, Checks>, Fault> {
        let mut all: BTreeMap<PointId, Checks> = BTreeMap::new();
        for object in self.evidence(app, Some(Kind::DatabaseWal), &Span::default()).await? {
            if let Some((_, _, id, depth, Mark::Ended(outcome))) = keys::read_evidence(&object.key)
            {
                let check = Check { at: object.modified, outcome };
                all.entry(id).or_default().note(depth, check);
            }
        }
        Ok(all)
    }

    /// The end of the archived WAL as recovery points: the last segments that were read, and those
    /// that were not. What was read before them is left out; it makes nothing newer.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn wal_end(&self, app: &AppName) -> Result<Vec<RecoveryPoint>, Fault> {
        let systems = self.wal_systems(app).await?;
        if systems.is_empty() {
            return Ok(Vec::new());
        }
        let evidence = self.wal_evidence(app).await?;
        let mut points = Vec::new();
        for system in systems {
            let mark = self.watermark(app, &system).await?;
            let last = mark.timelines.values().map(|progress| Segment {
                system: system.clone(),
                id: progress.through.clone(),
                object: Object {
                    key: keys::wal(app, &system, progress.through.as_str()),
                    modified: progress.written_at,
                    size_bytes: 0,
                },
            });
            let segments: Vec<Segment> = last.chain(self.unread_wal(app, &mark).await?).collect();
            let point = |segment: &Segment| segment.point(app, self.region(), &mark, &evidence);
            points.extend(segments.iter().map(point));
        }
        Ok(points)
    }

    /// The segments of a cluster, from the oldest (or the one behind `after`) until one that was
    /// archived at `until` or later: that one's page is given whole.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn wal_until(
        &self,
        app: &AppName,
        system: &str,
        after: Option<&PointId>,
        until: Timestamp,
    ) -> Result<Vec<Segment>, Fault> {
        let prefix = keys::wal_prefix(app, system);
        let mut segments = Vec::new();
        let mut after = after.map(|segment| keys::wal(app, system, segment.as_str()));
        loop {
            let page = self.bucket().list(&prefix, after.as_deref()).await?;
            let reached = page.objects.iter().any(|object| object.modified >= until);
            after = page.objects.last().map(|object| object.key.clone());
            segments.extend(page.objects.into_iter().filter_map(Segment::read));
            if !page.more || reached || after.is_none() {
                return Ok(segments);
            }
        }
    }
}
