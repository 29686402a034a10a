//! What can be restored, in one region.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Depth, Kind, Marks, Outcome, PointId, Unproven, WalSpan, keys, schema};
use crate::ids::{AppName, Region};

/// How a check of a recovery point ended, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// When it ended.
    #[schemars(schema_with = "schema::moment")]
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

/// The newest check of each depth; none where there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checks {
    /// Of [`Depth::Present`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<Check>,
    /// Of [`Depth::Read`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Check>,
    /// Of [`Depth::Restored`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<Check>,
    /// Checks that had no verdict since then.
    #[serde(skip_serializing_if = "Unproven::is_empty")]
    pub unproven: Unproven,
}

/// What the checks of a point say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Read or restored, and nothing is wrong with it; the newest such moment.
    Verified {
        /// When.
        at: Timestamp,
    },
    /// Not read or restored so far. It does not count.
    Unverified,
    /// Its newest check of some depth found it damaged.
    Damaged {
        /// When.
        at: Timestamp,
    },
}

impl Checks {
    /// The newest check of this depth.
    #[must_use]
    pub const fn at_depth(&self, depth: Depth) -> Option<Check> {
        match depth {
            Depth::Present => self.present,
            Depth::Read => self.read,
            Depth::Restored => self.restored,
        }
    }

    /// Forgets that it was found sound before this moment: whoever wrote it anew then wrote
    /// something that nobody has checked. That it was found damaged stays until a check says
    /// otherwise.
    pub fn forget_sound_before(&mut self, written: Timestamp) {
        for slot in [&mut self.present, &mut self.read, &mut self.restored] {
            if slot.is_some_and(|check| check.outcome == Outcome::Sound && check.at < written) {
                *slot = None;
            }
        }
    }

    /// Takes note of a check, unless a newer one of its depth is known.
    pub fn note(&mut self, depth: Depth, check: Check) {
        let slot = match depth {
            Depth::Present => &mut self.present,
            Depth::Read => &mut self.read,
            Depth::Restored => &mut self.restored,
        };
        // Of two at the same moment the bad one counts.
        let older = |known: &Check| {
            known.at < check.at || (known.at == check.at && check.outcome == Outcome::Damaged)
        };
        if slot.as_ref().is_none_or(older) {
            *slot = Some(check);
        }
    }

    /// What they say together. One depth that says damaged outweighs the others: a restore that
    /// worked last week does not mend a byte that is wrong today.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let all = Depth::ALL.into_iter().filter_map(|depth| self.at_depth(depth));
        let damaged = all.filter(|check| check.outcome == Outcome::Damaged).map(|c| c.at).max();
        let sound = [self.read, self.restored].into_iter().flatten().map(|check| check.at).max();
        match (damaged, sound) {
            (Some(at), _) => Standing::Damaged { at },
            (None, Some(at)) => Standing::Verified { at },
            (None, None) => Standing::Unverified,
        }
    }
}

/// Something that can be restored, in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPoint {
    /// The app.
    pub app: AppName,
    /// The kind.
    pub kind: Kind,
    /// Its name.
    pub id: PointId,
    /// The region that this copy is in.
    pub region: Region,
    /// The moment that it restores to; for WAL, the moment at which it was archived.
    #[schemars(schema_with = "schema::moment")]
    pub taken_at: Timestamp,
    /// The points of the same app, kind and region that it is restored on top of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<PointId>,
    /// The WAL that it needs, when it is a physical backup; itself, when it is a segment of WAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<WalSpan>,
    /// Stored bytes; 0 while nobody has looked.
    #[serde(default)]
    pub size_bytes: u64,
    /// The newest checks.
    #[serde(default)]
    pub checks: Checks,
    /// Until when object lock keeps it, whatever anybody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::moment_or_none")]
    pub locked_until: Option<Timestamp>,
    /// Whether someone holds it (a legal hold, or a tag on a snapshot).
    #[serde(default)]
    pub held: bool,
}

/// What can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Whether everything that there is was listed. From an incomplete listing nothing is deleted.
    pub complete: bool,
    /// The points, in no particular order.
    pub points: Vec<RecoveryPoint>,
}

/// An object as a listing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// When it was written.
    pub modified: Timestamp,
}

/// Whether a point counts: it is verified, and so is everything that it is restored on top of.
/// `parent` finds a point of the same app, kind and region by its name; one that is not there
/// proves nothing.
pub(super) fn counts<'a>(
    point: &RecoveryPoint,
    parent: impl Fn(&PointId) -> Option<&'a RecoveryPoint>,
) -> bool {
    let verified =
        |point: &RecoveryPoint| matches!(point.checks.standing(), Standing::Verified { .. });
    let mut next = point.id.parent();
    while let Some(id) = next {
        if !parent(&id).is_some_and(verified) {
            return false;
        }
        next = id.parent();
    }
    verified(point)
}

impl Catalogue {
    /// The catalogue that listings of manifests and of evidence show.
    ///
    /// An object whose name this version does not understand makes it incomplete: somebody newer
    /// may count on it. A manifest that was written after a check is not the one that was checked.
    #[must_use]
    pub fn from_listing(
        region: &Region,
        manifests: &[Listed],
        evidence: &[Listed],
        whole: bool,
    ) -> Self {
        let mut complete = whole;
        let mut marks: BTreeMap<(AppName, Kind, PointId), Marks> = BTreeMap::new();
        for object in evidence {
            let Some((app, kind, id, depth, mark)) = keys::read_evidence(&object.key) else {
                complete &= keys::read_watermark(&object.key).is_some();
                continue;
            };
            marks.entry((app, kind, id)).or_default().add(depth, mark, object.modified);
        }
        let mut points = Vec::with_capacity(manifests.len());
        for object in manifests {
            let Some((app, kind, id)) = keys::read_manifest(&object.key) else {
                complete = false;
                continue;
            };
            let at = (app, kind, id);
            let checks = marks.remove(&at).unwrap_or_default().checks(object.modified);
            let (app, kind, id) = at;
            points.push(RecoveryPoint {
                taken_at: id.time().unwrap_or(object.modified),
                depends_on: id.parent().into_iter().collect(),
                region: region.clone(),
                app,
                kind,
                id,
                wal: None,
                size_bytes: 0,
                checks,
                locked_until: None,
                held: false,
            });
        }
        Self { complete, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_was_written_after_its_check_was_not_checked() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (app, region) = ("queue".parse().unwrap(), "us-west-2".parse().unwrap());
        let id = PointId::full(at("2026-11-24T00:00:00Z"));
        let seen = |written: &str, outcome| {
            let manifest =
                Listed { key: keys::manifest(&app, Kind::Config, &id), modified: at(written) };
            let key = keys::evidence(&app, Kind::Config, &id, Depth::Read, outcome);
            let read = Listed { key, modified: at("2026-11-24T02:00:00Z") };
            let seen = Catalogue::from_listing(&region, &[manifest], &[read], true);
            seen.points[0].checks.standing()
        };
        let checked = at("2026-11-24T02:00:00Z");
        let sound = |written| seen(written, Outcome::Sound);
        assert_eq!(sound("2026-11-24T02:00:00Z"), Standing::Verified { at: checked });
        assert_eq!(sound("2026-11-24T02:00:01Z"), Standing::Unverified);
        // What was found wrong is not mended by a new manifest.
        let damaged = seen("2026-11-24T02:00:01Z", Outcome::Damaged);
        assert_eq!(damaged, Standing::Damaged { at: checked });
    }
}
