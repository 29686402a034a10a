//! The append-only files, as they stand together at one moment.
//!
//! The way of Redis's manual ("Backing up AOF persistence"): rewriting is switched off, hard links
//! hold the files, rewriting is switched on again, and the links are copied at leisure.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::SignedDuration;
use lifeboat_archive::pack;
use lifeboat_core::Fault;
use lifeboat_runtime::clock;

use super::{AOF, LOOK, carried, is_on};
use crate::{
    backup::Run,
    redis::Redis,
    store::ObjectStore,
    upload::{Compression, stopped},
};

/// The setting that rewrites the files by itself.
const REWRITE: &str = "auto-aof-rewrite-percentage";
/// A rewrite that is under way gets this long to end.
const REWRITE_ENDS: SignedDuration = SignedDuration::from_hours(1);

/// Takes the files.
pub(super) async fn take<S: ObjectStore>(
    run: &mut Run<'_, S>,
    redis: &mut Redis,
    settings: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    let setting = |name: &str| settings.get(name).cloned().unwrap_or_default();
    let (folder, before) = (PathBuf::from(setting("dir")), setting(REWRITE));
    // Redis 7 has a folder of files; older ones have one file.
    let from = match setting("appenddirname") {
        name if name.is_empty() => folder.join(setting("appendfilename")),
        name => folder.join(name),
    };
    redis.text(&["CONFIG", "SET", REWRITE, "0"]).await?;
    let held = tokio::select! {
        held = hold(redis, &folder, &from) => held,
        () = run.host.stop.asked() => Err(stopped()),
    };
    // Whatever happened.
    redis.text(&["CONFIG", "SET", REWRITE, &before]).await?;
    let links = held?;
    let path = links.0.clone();
    run.artifact(
        AOF,
        Compression::Zstd,
        move |into| pack(&[path], &[] as &[&Path], into).map(drop).map_err(carried),
        async { Ok(()) },
    )
    .await
}

/// A folder of links, removed when dropped.
struct Links(PathBuf);

impl Drop for Links {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "links could not be removed");
        }
    }
}

/// Links the files when no rewrite is under way.
async fn hold(redis: &mut Redis, folder: &Path, from: &Path) -> Result<Links, Fault> {
    let late = clock::now() + REWRITE_ENDS;
    loop {
        let state = redis.info("persistence").await?;
        if !is_on(&state, "aof_rewrite_in_progress") && !is_on(&state, "aof_rewrite_scheduled") {
            break;
        }
        if clock::now() > late {
            return Err(Fault::transient("Redis has rewritten its append-only file for an hour"));
        }
        clock::pause_until(clock::now() + LOOK).await;
    }
    link(folder, from).map_err(|error| {
        Fault::needs_human(format!("hold {} for the backup: {error}", from.display()))
    })
}

fn link(folder: &Path, from: &Path) -> io::Result<Links> {
    let links = Links(folder.join(format!("lifeboat-aof-{}", std::process::id())));
    fs::create_dir(&links.0)?;
    if from.is_file() {
        fs::hard_link(from, links.0.join(from.file_name().unwrap_or_default()))?;
        return Ok(links);
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::hard_link(entry.path(), links.0.join(entry.file_name()))?;
        }
    }
    Ok(links)
}
