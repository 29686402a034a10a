//! The backup bucket of one region: what can be restored, what was checked, and what may go.
//!
//! Names carry what the catalogue needs (see [`keys`]), so listing is enough to know what there is.
//! A listing that could not be made whole is an error and never a shorter list: what is judged from
//! the answer (which backup to restore, which one to delete) would be judged wrong.
//!
//! The role of whoever lists needs `s3:ListBucket` on the bucket, without which S3 answers
//! `AccessDenied` where it means that there is no object, and `s3:GetObject` on `manifests/*`; each
//! port of [`store`] names the rest by what it does.

mod choose;
mod find;
mod list;
pub mod proof;
mod s3;
pub mod source;
pub mod store;
#[doc(hidden)]
pub mod testing;
mod wal;

use std::sync::Arc;

use aws_config::SdkConfig;
use lifeboat_core::{
    AppName, Fault, Region,
    backup::{Catalogue, Evidence, Kind, Listed, Manifest, PointId, Undecided, keys},
};

pub use list::Span;
pub use s3::S3Bucket;
pub use store::{
    Content, DELETE_BATCH, Head, LegalHolds, Marker, Object, Objects, Obstacle, Page, Shared,
    Undeleted, Version, VersionPage, Versions,
};
pub use wal::{Gap, Progress, Segment, Watermark};

/// The backups in one region's bucket.
#[derive(Debug)]
pub struct Backups<B = S3Bucket> {
    bucket: Arc<B>,
    region: Region,
}

impl<B> Clone for Backups<B> {
    fn clone(&self) -> Self {
        Self { bucket: Arc::clone(&self.bucket), region: self.region.clone() }
    }
}

impl Backups<S3Bucket> {
    /// The backups in `bucket`, which is in `region`; `config` may be for any region.
    #[must_use]
    pub fn new(config: &SdkConfig, bucket: String, region: Region) -> Self {
        Self::over(Arc::new(S3Bucket::new(config, bucket, &region)), region)
    }
}

impl<B> Backups<B> {
    /// The backups in any store.
    #[must_use]
    pub fn over(bucket: Arc<B>, region: Region) -> Self {
        Self { bucket, region }
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// The store, for what is not about the catalogue.
    #[must_use]
    pub const fn bucket(&self) -> &Arc<B> {
        &self.bucket
    }
}

impl<B: Objects> Backups<B> {
    /// Everything of an app that can be restored, of one kind or of all, with its checks.
    ///
    /// # Errors
    /// What the store reports. A catalogue that is given is whole as far as this version understands
    /// the names; [`Catalogue::complete`] says whether it understood all of them.
    pub async fn catalogue(&self, app: &AppName, kind: Option<Kind>) -> Result<Catalogue, Fault> {
        self.catalogue_within(app, kind, &Span::default()).await
    }

    /// The part of it that is within a span of time. Needs one kind, because keys sort by time only
    /// within one; without one the span is ignored.
    ///
    /// # Errors
    /// As [`Backups::catalogue`].
    pub async fn catalogue_within(
        &self,
        app: &AppName,
        kind: Option<Kind>,
        span: &Span,
    ) -> Result<Catalogue, Fault> {
        // Manifests first: a point that is written meanwhile is missing whole, and evidence of a
        // point that is not listed does no harm.
        let manifests = self.manifests(app, kind, span).await?;
        let evidence = self.evidence(app, kind, span).await?;
        Ok(Catalogue::from_listing(&self.region, &manifests, &evidence, true))
    }

    /// The manifests of an app, of one kind or of all.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn manifests(
        &self,
        app: &AppName,
        kind: Option<Kind>,
        span: &Span,
    ) -> Result<Vec<Listed>, Fault> {
        let prefix = kind.map_or_else(|| format!("manifests/{app}/"), |k| keys::manifests(app, k));
        self.listed(&prefix, kind, span).await
    }

    /// The evidence of an app's checks, of one kind or of all.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn evidence(
        &self,
        app: &AppName,
        kind: Option<Kind>,
        span: &Span,
    ) -> Result<Vec<Listed>, Fault> {
        let prefix = kind.map_or_else(|| format!("evidence/{app}/"), |k| keys::evidences(app, k));
        self.listed(&prefix, kind, span).await
    }

    /// A recovery point's manifest; none when there is no such point.
    ///
    /// # Errors
    /// `NeedsHuman` when it cannot be read by this version; otherwise what the store reports.
    pub async fn manifest(
        &self,
        app: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> Result<Option<Manifest>, Fault> {
        let key = keys::manifest(app, kind, id);
        let Some(body) = self.bucket.get(&key).await? else { return Ok(None) };
        serde_json::from_slice(&body).map(Some).map_err(|error| {
            Fault::needs_human(format!(
                "the manifest {key} in {} cannot be read by this version ({error}); restore an \
                 earlier version of the object",
                self.region
            ))
        })
    }

    /// Writes down how a check ended.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn record(&self, evidence: &Evidence) -> Result<(), Fault> {
        let Evidence { app, kind, id, depth, outcome, .. } = evidence;
        let body = serde_json::to_vec(evidence)
            .map_err(|error| Fault::needs_human(format!("the evidence is not JSON: {error}")))?;
        self.bucket.put(&keys::evidence(app, *kind, id, *depth, *outcome), body).await
    }

    /// Writes down that a check has no verdict, and why.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn record_undecided(&self, record: &Undecided) -> Result<(), Fault> {
        let Undecided { app, kind, id, depth, run, .. } = record;
        let body = serde_json::to_vec(record)
            .map_err(|error| Fault::needs_human(format!("the record is not JSON: {error}")))?;
        self.bucket.put(&keys::undecided(app, *kind, id, *depth, *run), body).await
    }

    /// Why nothing of the app may be deleted; none when nobody holds it. Any content of the hold's
    /// object holds, an empty one included.
    ///
    /// # Errors
    /// What the store reports: that it could not be told is never that there is none.
    pub async fn hold(&self, app: &AppName) -> Result<Option<String>, Fault> {
        let key = keys::hold(app);
        Ok(self.bucket.get(&key).await?.map(|body| {
            let text = String::from_utf8_lossy(&body);
            let reason: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let reason: String = reason.chars().take(300).collect();
            format!("everything of {app} is held ({key}): {reason}")
        }))
    }
}

#[cfg(test)]
mod tests;
