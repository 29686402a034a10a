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
//! While nothing counts, nothing is released.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_catalogue::{Backups, LegalHolds, Objects};
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, PointId, keys, verification},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Held {
    keys: BTreeSet<String>,
}

/// Moves the hold to the newest point of a kind that counts at `now`.
///
/// # Errors
/// What the bucket reports. Doing it again goes on where it stopped.
pub async fn move_to_newest<B: Objects + LegalHolds>(
    backups: &Backups<B>,
    app: &AppName,
    kind: Kind,
    now: Timestamp,
) -> Result<(), Fault> {
    if kind == Kind::DatabaseWal || !verification::has_artifacts(kind) {
        return Ok(());
    }
    let Some(newest) = backups.newest_verified(app, kind, now).await? else { return Ok(()) };
    let bucket = backups.bucket();
    let list = keys::held(app, kind);
    let before = match bucket.get(&list).await? {
        None => Held::default(),
        Some(body) => serde_json::from_slice(&body).map_err(|error| {
            Fault::needs_human(format!(
                "{list} cannot be read ({error}); restore an earlier version of the object"
            ))
        })?,
    };
    let wanted = Held { keys: objects_of(backups, app, kind, &newest.id).await? };
    if before == wanted {
        return Ok(());
    }
    let both = Held { keys: before.keys.union(&wanted.keys).cloned().collect() };
    write(backups, &list, &both).await?;
    for key in &wanted.keys {
        bucket.hold(key, true).await?;
    }
    for key in before.keys.difference(&wanted.keys) {
        bucket.hold(key, false).await?;
    }
    write(backups, &list, &wanted).await
}

async fn write<B: Objects>(backups: &Backups<B>, list: &str, held: &Held) -> Result<(), Fault> {
    let body = serde_json::to_vec(held)
        .map_err(|error| Fault::needs_human(format!("{list} is not JSON: {error}")))?;
    backups.bucket().put(list, body).await
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
