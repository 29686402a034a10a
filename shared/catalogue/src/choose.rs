//! Which recovery point to restore, from what this region's bucket holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault,
    backup::{Base, Choice, Kind, Look, PointId, archived_until, choose, choose_base},
};

use crate::{Backups, Objects};

impl<B: Objects> Backups<B> {
    /// The point asked for, or the newest, if it may be relied on; with `to`, a base backup that can
    /// be restored to that moment.
    ///
    /// # Errors
    /// `InvalidInput` when a moment is asked of another kind; otherwise what the store reports.
    pub async fn choose(
        &self,
        app: &AppName,
        kind: Kind,
        asked: Option<&PointId>,
        to: Option<Timestamp>,
    ) -> Result<Choice, Fault> {
        let catalogue = self.catalogue(app, Some(kind)).await?;
        let Some(to) = to else { return Ok(choose(&catalogue, app, kind, asked)) };
        if kind != Kind::DatabaseBase {
            return Err(Fault::invalid(format!("no archived WAL follows a {kind} backup")));
        }
        let mut bases = BTreeMap::new();
        // Each round knows of one point more.
        loop {
            match choose_base(&catalogue, app, asked, to, &bases) {
                Ok(choice) => return Ok(choice),
                Err(Look(id)) => {
                    let base = self.base(app, &id, to).await?;
                    bases.insert(id, base);
                }
            }
        }
    }

    /// What a choice has to know of a base backup; none when its manifest is gone.
    async fn base(
        &self,
        app: &AppName,
        id: &PointId,
        to: Timestamp,
    ) -> Result<Option<Base>, Fault> {
        let manifest = self.manifest(app, Kind::DatabaseBase, id).await?;
        let Some(manifest) = manifest else { return Ok(None) };
        let archived_until = match &manifest.wal {
            None => None,
            Some(span) => {
                let mark = self.watermark(app, &span.system).await?;
                let log = self.wal_until(app, &span.system, Some(&span.last), to).await?;
                let log: Vec<(PointId, Timestamp)> =
                    log.into_iter().map(|segment| (segment.id, segment.object.modified)).collect();
                archived_until(&span.last, &log, mark.segment_bytes)
            }
        };
        Ok(Some(Base { ended_at: manifest.ended_at, archived_until }))
    }
}
