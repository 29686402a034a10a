//! The legal hold on the newest point that counts, and on all that it is restored with.
//!
//! `holds/APP/KIND.json` lists the keys that may be under a hold of ours. The order keeps two things
//! true after every single call: the newest point that counted at the last check is held whole, and
//! every key that is held is in the list, so that none stays held for ever.
//!
//! 1. The list becomes the old keys and the new ones.
//! 2. The new keys are held, each of them.
//! 3. The old ones that are not among the new are released.
//! 4. The list becomes the new keys.
//!
//! Keys that are in the list already are held again: S3 carries changes of a hold from an object to
//! its copies (user guide, "Replicating metadata changes"), so a region that goes on to a newer
//! point lifts the hold of the older one's copy in the other region, where it may be the newest.
//!
//! While nothing counts, nothing is released. The list is written on the condition that it is the
//! one that was read, because checks of one kind may end at the same time; who finds that another
//! was faster begins again, with what it has touched in the list.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_catalogue::{Backups, LegalHolds, Objects, Shared};
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, PointId, keys, verification},
};
use serde::{Deserialize, Serialize};

/// How often a check begins again; as many as the state machine runs at the same time.
const ATTEMPTS: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Held {
    keys: BTreeSet<String>,
}

/// Moves the hold to the newest point of a kind that counts at `now`.
///
/// # Errors
/// What the bucket reports. Doing it again goes on where it stopped.
pub async fn move_to_newest<B: Objects + LegalHolds + Shared>(
    backups: &Backups<B>,
    app: &AppName,
    kind: Kind,
    now: Timestamp,
) -> Result<(), Fault> {
    if kind == Kind::DatabaseWal || !verification::has_artifacts(kind) {
        return Ok(());
    }
    let Some(newest) = backups.newest_verified(app, kind, now).await? else { return Ok(()) };
    let wanted = Held { keys: objects_of(backups, app, kind, &newest.id).await? };
    let list = keys::held(app, kind);
    let bucket = backups.bucket();
    // What this call has held or released: in the list again, if somebody else's write lost it.
    let mut touched = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        let (before, etag) = read(backups, &list).await?;
        if before == wanted && touched.is_subset(&wanted.keys) {
            for key in &wanted.keys {
                bucket.hold(key, true).await?;
            }
            return Ok(());
        }
        let mut both = before.keys;
        both.extend(wanted.keys.iter().chain(&touched).cloned());
        let both = Held { keys: both };
        let Some(etag) = write(backups, &list, etag.as_deref(), &both).await? else { continue };
        touched.extend(both.keys.iter().cloned());
        for key in &wanted.keys {
            bucket.hold(key, true).await?;
        }
        for key in both.keys.difference(&wanted.keys) {
            bucket.hold(key, false).await?;
        }
        if write(backups, &list, Some(&etag), &wanted).await?.is_some() {
            return Ok(());
        }
    }
    Err(Fault::transient(format!("{list} changes all the time; check again")))
}

async fn read<B: Shared>(
    backups: &Backups<B>,
    list: &str,
) -> Result<(Held, Option<String>), Fault> {
    let Some((body, etag)) = backups.bucket().look(list).await? else {
        return Ok((Held::default(), None));
    };
    let held = serde_json::from_slice(&body).map_err(|error| {
        Fault::needs_human(format!(
            "{list} cannot be read ({error}); restore an earlier version of the object"
        ))
    })?;
    Ok((held, Some(etag)))
}

async fn write<B: Shared>(
    backups: &Backups<B>,
    list: &str,
    etag: Option<&str>,
    held: &Held,
) -> Result<Option<String>, Fault> {
    let body = serde_json::to_vec(held)
        .map_err(|error| Fault::needs_human(format!("{list} is not JSON: {error}")))?;
    backups.bucket().replace(list, etag, body).await
}

/// The objects of a point, of what it is restored on top of, and the WAL that they need.
async fn objects_of<B: Objects>(
    backups: &Backups<B>,
    app: &AppName,
    kind: Kind,
    id: &PointId,
) -> Result<BTreeSet<String>, Fault> {
    let mut objects = BTreeSet::new();
    let mut next = Some(id.clone());
    while let Some(id) = next {
        let manifest = backups.manifest(app, kind, &id).await?.ok_or_else(|| {
            Fault::transient(format!("{kind} {id} of {app} went away meanwhile; look again"))
        })?;
        objects.insert(keys::manifest(app, kind, &id));
        objects
            .extend(manifest.artifacts.iter().map(|one| keys::artifact(app, kind, &id, &one.name)));
        if let Some(wal) = &manifest.wal {
            let prefix = keys::wal_prefix(app, &wal.system);
            let key = |id: &PointId| keys::wal(app, &wal.system, id.as_str());
            let (first, last) = (key(&wal.first), key(&wal.last));
            let listed = backups.list(&prefix, Some(&first), Some(&last)).await?;
            objects.extend(listed.into_iter().map(|object| object.key));
            // The ends may not be archived yet: a backup brings its own WAL, too.
            for end in [first, last] {
                let found = backups.list(&end, None, None).await?;
                objects.extend(found.into_iter().map(|object| object.key));
            }
        }
        next = id.parent();
    }
    Ok(objects)
}
