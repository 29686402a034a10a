//! WAL: archived as it is made, and fetched by the server that recovers.
//!
//! `pg_receivewal` streams over a replication slot, so the server keeps what was not received yet;
//! each finished segment is put under its name, once. A segment is removed from the folder when it
//! is in the bucket *and* a newer one is there: the newest is what `pg_receivewal` begins behind
//! after a restart.

mod folder;

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use bytes::Bytes;
use jiff::SignedDuration;
use lifeboat_archive::SegmentName;
use lifeboat_core::{Fault, backup::keys};
use lifeboat_runtime::clock;
use rustix::process::Signal;
use sha2::{Digest, Sha256};

use self::folder::{Waiting, waiting};
use crate::{
    Host,
    database::{self, Cluster, PasswordFile, conninfo},
    download::blocking,
    program::{self, Running},
    store::{ObjectStore, Put},
    upload::hex,
};

/// Between two looks at the folder.
const LOOK: SignedDuration = SignedDuration::from_secs(1);
/// The longest pause after a failed upload. The first is a second, each next one twice as long.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// zstd's default level.
const LEVEL: i32 = 3;

/// Something that happened while WAL was archived, for a line of the service's log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WalEvent {
    /// A file is in the bucket.
    Archived {
        /// Its name.
        file: String,
    },
    /// Segments between two that follow each other here were never received: no recovery goes past
    /// the gap, and a new base backup is needed.
    Gap {
        /// The last segment before it.
        after: String,
        /// The first one behind it.
        before: String,
    },
    /// The bucket did not take a file; it is tried again.
    Waiting {
        /// Its name.
        file: String,
        /// Why.
        reason: String,
    },
}

/// The slot that keeps an app's WAL on the server until it is received.
#[must_use]
pub fn slot(app: &lifeboat_core::AppName) -> String {
    // A slot's name has lower-case letters, digits and underscores (manual, "Replication Slots").
    format!("lifeboat_{}", app.as_str().replace('-', "_"))
}

/// Receives WAL and archives it, until it is asked to stop or `pg_receivewal` ends.
///
/// `folder` is this app's alone and outlives restarts. Each event is told to `tell`.
///
/// # Errors
/// The server cannot be reached, or `pg_receivewal` ended with its own words: start again. A file
/// that the bucket has already with other bytes: `NeedsHuman`, and nothing is removed.
pub async fn receive<S: ObjectStore>(
    host: &Host<S>,
    folder: &Path,
    mut tell: impl FnMut(&WalEvent),
) -> Result<(), Fault> {
    let target = host.database()?;
    let session = database::login(&target).await?;
    let cluster = database::cluster(&session).await?;
    drop(session);
    std::fs::create_dir_all(folder)
        .map_err(|error| Fault::needs_human(format!("make {}: {error}", folder.display())))?;
    let tool = host.client("pg_receivewal", cluster.major).await?;
    let password = PasswordFile::new(target.password)?;
    let command = || {
        let mut command = tokio::process::Command::new(&tool.path);
        command
            .args(["--no-password", "--slot", &slot(host.app())])
            .arg(format!("--dbname={}", conninfo(&target, password.path())))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    };
    let mut create = command();
    create.args(["--create-slot", "--if-not-exists"]);
    program::output(create).await?;
    let mut receive = command();
    // Without --synchronous the server hears of what was flushed every ten seconds.
    receive.args(["--no-loop", "--synchronous", "--directory"]).arg(folder);
    let running = program::start(receive)?;
    let mut archive = Archive { host, folder, cluster, newest: None, pause: LOOK };
    let ended = archive.follow(running, &mut tell).await;
    // What was received last is in the bucket as well, when it can be.
    archive.pass(&mut tell).await?;
    ended
}

struct Archive<'a, S> {
    host: &'a Host<S>,
    folder: &'a Path,
    cluster: Cluster,
    /// The newest segment that is in the bucket.
    newest: Option<SegmentName>,
    pause: SignedDuration,
}

impl<S: ObjectStore> Archive<'_, S> {
    /// Archives what comes, as long as it comes.
    async fn follow(
        &mut self,
        mut running: Running,
        tell: &mut impl FnMut(&WalEvent),
    ) -> Result<(), Fault> {
        loop {
            match self.pass(tell).await {
                Ok(()) => self.pause = LOOK,
                Err(fault) if fault.name == lifeboat_core::ErrorName::Transient => {
                    self.pause = (self.pause + self.pause).min(LONGEST_PAUSE);
                }
                Err(fault) => return Err(fault),
            }
            tokio::select! {
                ended = running.end() => return ended?.check(),
                () = clock::pause_until(clock::now() + self.pause) => {}
                () = self.host.stop.asked() => {
                    // It flushes what it has.
                    running.end_now(Signal::INT);
                    return Ok(());
                }
            }
        }
    }

    /// Archives what is finished, oldest first.
    async fn pass(&mut self, tell: &mut impl FnMut(&WalEvent)) -> Result<(), Fault> {
        let folder = self.folder.to_owned();
        let segment_bytes = self.cluster.segment_bytes;
        let found = blocking(move || waiting(&folder, segment_bytes)).await?;
        let Waiting { histories, segments } = found.map_err(|error| {
            Fault::needs_human(format!("look into {}: {error}", self.folder.display()))
        })?;
        for history in histories {
            self.archive(&history, tell).await?;
        }
        let last = segments.last().copied();
        for segment in segments {
            if self.newest.is_some_and(|newest| newest >= segment) {
                // Kept to begin behind; removed when there is a newer one.
                self.remove(segment, last)?;
                continue;
            }
            let follows = |newest: &SegmentName| newest.next(segment_bytes) == Some(segment);
            if let Some(newest) = self.newest
                && newest.timeline == segment.timeline
                && !follows(&newest)
            {
                let (after, before) = (newest.to_string(), segment.to_string());
                tell(&WalEvent::Gap { after, before });
            }
            self.archive(&segment.to_string(), tell).await?;
            self.newest = Some(segment);
            self.remove(segment, last)?;
        }
        Ok(())
    }

    fn remove(&self, segment: SegmentName, last: Option<SegmentName>) -> Result<(), Fault> {
        if Some(segment) == last {
            return Ok(());
        }
        let path = self.folder.join(segment.to_string());
        std::fs::remove_file(&path)
            .map_err(|error| Fault::needs_human(format!("remove {}: {error}", path.display())))
    }

    async fn archive(&self, file: &str, tell: &mut impl FnMut(&WalEvent)) -> Result<(), Fault> {
        let stored = self.put(file).await;
        match &stored {
            Ok(()) => tell(&WalEvent::Archived { file: file.to_owned() }),
            Err(fault) => {
                tell(&WalEvent::Waiting { file: file.to_owned(), reason: fault.message.clone() });
            }
        }
        stored
    }

    /// Puts a file under its name, unless the very same is there.
    async fn put(&self, file: &str) -> Result<(), Fault> {
        let path = self.folder.join(file);
        let failed = |error| Fault::needs_human(format!("read {}: {error}", path.display()));
        let read = path.clone();
        let (plain, packed) = blocking(move || {
            let plain = std::fs::read(read)?;
            let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
            encoder.include_checksum(true)?;
            encoder.write_all(&plain)?;
            Ok::<_, std::io::Error>((plain, encoder.finish()?))
        })
        .await?
        .map_err(failed)?;
        let key = keys::wal(self.host.app(), &self.cluster.system, file);
        // Named by its content: a put that is made again after a lost answer finds the same bytes, and
        // another server's segment of this name is never taken for ours.
        let run = format!("wal-{}", hex(&Sha256::digest(&plain)));
        match self.host.store.put(&key, Bytes::from(packed), &run).await? {
            Put::Written => Ok(()),
            Put::Exists => {
                let there = self.host.store.get(&key, None).await?.unwrap_or_default();
                let same = blocking(move || {
                    let mut there = zstd::Decoder::new(&*there)?;
                    let mut bytes = Vec::new();
                    there.by_ref().take(plain.len() as u64 + 1).read_to_end(&mut bytes)?;
                    Ok::<_, std::io::Error>(bytes == plain)
                })
                .await?;
                if same.unwrap_or(false) {
                    return Ok(());
                }
                Err(Fault::needs_human(format!(
                    "{key} is in the bucket with other bytes: two servers of cluster {} have written \
                     the same timeline, or the object is damaged; it was left alone, and so is {}",
                    self.cluster.system,
                    path.display()
                )))
            }
        }
    }
}

/// Fetches an archived file of WAL for a server that recovers; false when there is none.
///
/// # Errors
/// It could not be told, which must not end the recovery as an absent file does: the caller's exit
/// code has to be above 125 (manual, `restore_command`).
pub async fn fetch<S: ObjectStore>(
    store: &S,
    app: &lifeboat_core::AppName,
    system: &str,
    file: &str,
    into: &Path,
) -> Result<bool, Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if file.is_empty() || !file.chars().all(plain) || !system.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::invalid(format!("`{file}` of `{system}` is not a file of WAL")));
    }
    let key = keys::wal(app, system, file);
    let Some(packed) = store.get(&key, None).await? else { return Ok(false) };
    let into: PathBuf = into.to_owned();
    let written = blocking(move || {
        // Under another name first: half a segment must never have the right one.
        let beside = into.with_extension("lifeboat");
        let mut decoder = zstd::Decoder::new(&*packed)?;
        let mut output = std::fs::File::create(&beside)?;
        std::io::copy(&mut decoder, &mut output)?;
        output.sync_all()?;
        std::fs::rename(&beside, &into)
    })
    .await?;
    written.map_err(|error| Fault::needs_human(format!("unpack {key}: {error}")))?;
    Ok(true)
}
