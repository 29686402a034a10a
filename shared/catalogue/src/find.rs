//! Finding the newest point that counts without listing all of them.
//!
//! S3 lists forwards only, so the search looks at a window of time that ends now, and when nothing
//! in it counts at the window before it, which is twice as long. What is found is the newest,
//! because every newer window was looked at whole.

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, Marks, PointId, RecoveryPoint, Standing, keys},
};

use crate::{Backups, Objects, Span};

/// The first window: it holds a day's backups, so that in a healthy system one look is enough.
const FIRST_WINDOW: SignedDuration = SignedDuration::from_hours(36);
/// Windows that are looked at one by one before the rest is taken at once: 36 h doubled six times
/// is more than 94 days, the longest time that the default policy keeps anything but rarities.
const WINDOWS: u32 = 6;

impl<B: Objects> Backups<B> {
    /// The newest point of a kind that counts: verified, and so is everything that it is restored on
    /// top of. None is the worst news.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn newest_verified(
        &self,
        app: &AppName,
        kind: Kind,
        now: Timestamp,
    ) -> Result<Option<RecoveryPoint>, Fault> {
        self.newest_verified_before(app, kind, None, now).await
    }

    /// The same among the points that were taken before `before`.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn newest_verified_before(
        &self,
        app: &AppName,
        kind: Kind,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<RecoveryPoint>, Fault> {
        let mut until = before;
        let mut length = FIRST_WINDOW;
        for window in 0..=WINDOWS {
            let begins = until.unwrap_or(now).checked_sub(length).ok();
            let from = begins.filter(|_| window < WINDOWS);
            let seen = self.catalogue_within(app, kind.into(), &Span { from, until }).await?;
            let mut points = seen.points;
            points.sort_by(|a, b| b.id.cmp(&a.id));
            for point in points {
                let counts = matches!(point.checks.standing(), Standing::Verified { .. });
                if counts && self.stands(app, kind, &point.id).await? {
                    return Ok(Some(point));
                }
            }
            if from.is_none() {
                break;
            }
            until = from;
            length = length.saturating_mul(2);
        }
        Ok(None)
    }

    /// One point as it is now; none when there is no such point. Two calls, whatever else there is.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn point(
        &self,
        app: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> Result<Option<RecoveryPoint>, Fault> {
        let key = keys::manifest(app, kind, id);
        let manifests = self.list(&key, None, None).await?;
        let evidence =
            self.list(&format!("{}{id}/", keys::evidences(app, kind)), None, None).await?;
        let listed = |objects: Vec<crate::Object>| -> Vec<_> {
            objects.into_iter().map(Into::into).collect()
        };
        let (manifests, evidence) = (listed(manifests), listed(evidence));
        let seen = lifeboat_core::backup::Catalogue::from_listing(
            self.region(),
            &manifests,
            &evidence,
            true,
        );
        Ok(seen.points.into_iter().find(|point| point.id == *id))
    }

    /// What the names of a point's evidence say, and when its manifest was written; none when there is
    /// no such point.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn marks(
        &self,
        app: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> Result<Option<(Marks, Timestamp)>, Fault> {
        let key = keys::manifest(app, kind, id);
        let manifests = self.list(&key, None, None).await?;
        let Some(manifest) = manifests.into_iter().find(|object| object.key == key) else {
            return Ok(None);
        };
        let mut marks = Marks::default();
        let folder = format!("{}{id}/", keys::evidences(app, kind));
        for object in self.list(&folder, None, None).await? {
            if let Some((_, _, _, depth, mark)) = keys::read_evidence(&object.key) {
                marks.add(depth, mark, object.modified);
            }
        }
        Ok(Some((marks, manifest.modified)))
    }

    /// Whether what a point is restored on top of is there and verified.
    async fn stands(&self, app: &AppName, kind: Kind, id: &PointId) -> Result<bool, Fault> {
        let mut next = id.parent();
        while let Some(id) = next {
            match self.point(app, kind, &id).await? {
                Some(point) if matches!(point.checks.standing(), Standing::Verified { .. }) => {}
                Some(_) | None => return Ok(false),
            }
            next = id.parent();
        }
        Ok(true)
    }
}
