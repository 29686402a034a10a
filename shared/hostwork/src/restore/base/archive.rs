//! The archived WAL behind a base backup: how far it goes, and how a server replays it.
//!
//! Whether a moment can be reached is found out before anything is unpacked: names in the bucket say
//! where the WAL has a gap, and the last segment before it says when its last transaction ended.

use std::{fs, path::Path, process::Stdio};

use jiff::Timestamp;
use lifeboat_archive::{Gap, SegmentName, gaps};
use lifeboat_core::{
    Fault,
    backup::{Manifest, Reach, WalSpan, can_recover_to, keys},
};

use super::super::server::Folder;
use crate::{Host, program, store::ObjectStore, wal};

/// Segments that are looked through for a transaction, newest first. A server on which nobody writes
/// fills few segments.
const LOOKED_THROUGH: usize = 64;

/// The WAL that a backup needs, by its manifest.
pub(super) fn span(manifest: &Manifest) -> Result<&WalSpan, Fault> {
    manifest.wal.as_ref().ok_or_else(|| {
        Fault::invalid(format!(
            "the manifest of {} does not say of which cluster it is",
            manifest.id
        ))
    })
}

/// Refuses a moment that PostgreSQL could not recover this backup to.
pub(super) async fn judge<S: ObjectStore>(
    host: &Host<S>,
    manifest: &Manifest,
    major: u32,
    to: Timestamp,
) -> Result<(), Fault> {
    let span = span(manifest)?;
    let last_transaction = last_transaction(host, span, major).await?;
    let reach = Reach { complete_at: manifest.ended_at, last_transaction };
    can_recover_to(to, reach).map_err(|why| {
        let (id, region) = (&manifest.id, &host.region);
        Fault::invalid(format!(
            "recover {id} with the WAL of cluster {} in {region}: {why}",
            span.system
        ))
    })
}

/// When the last transaction ended that is archived behind the backup without a gap.
async fn last_transaction<S: ObjectStore>(
    host: &Host<S>,
    span: &WalSpan,
    major: u32,
) -> Result<Option<Timestamp>, Fault> {
    let prefix = keys::wal_prefix(host.app(), &span.system);
    let last = span.last.as_str();
    let after = keys::wal(host.app(), &span.system, last);
    let found = host.store.keys(&prefix, &after).await?;
    let found = found.iter().filter_map(|key| key.strip_prefix(&prefix)?.strip_suffix(".zst"));
    let names: Vec<&str> = found.collect();
    let is_segment = |name: &&&str| name.parse::<SegmentName>().is_ok();
    let Some(first) = names.iter().find(is_segment) else { return Ok(None) };
    let folder = Folder::new(&host.scratch)?;
    let size = fetched(host, &folder, span, first).await?;
    let reached = without_gap(last, &names, size);
    let tool = host.server("pg_waldump", major).await?;
    for name in reached.iter().filter(is_segment).rev().take(LOOKED_THROUGH) {
        fetched(host, &folder, span, name).await?;
        let file = folder.path().join(name);
        let mut command = folder.command(&tool.path);
        command.env("TZ", "UTC").arg("--rmgr=Transaction").arg(&file).stdin(Stdio::null());
        let ended = newest_end(&program::output(command).await?);
        fs::remove_file(&file).map_err(|error| failed(&file, &error))?;
        if ended.is_some() {
            return Ok(ended);
        }
    }
    Ok(None)
}

/// Puts a segment into the folder, under its name; its size.
async fn fetched<S: ObjectStore>(
    host: &Host<S>,
    folder: &Folder,
    span: &WalSpan,
    name: &str,
) -> Result<u64, Fault> {
    let file = folder.path().join(name);
    if !wal::fetch(&*host.store, host.app(), &span.system, name, &file).await? {
        return Err(Fault::transient(format!(
            "{name} was archived and is gone: WAL is deleted now"
        )));
    }
    folder.own(&file).map_err(|error| failed(&file, &error))?;
    let about = fs::metadata(&file).map_err(|error| failed(&file, &error))?;
    Ok(about.len())
}

fn failed(file: &Path, error: &std::io::Error) -> Fault {
    Fault::needs_human(format!("look at {}: {error}", file.display()))
}

/// The names, which are sorted, up to the first one that does not follow `last`. The backup has that
/// segment itself, and the history of its timeline.
fn without_gap<'n>(last: &str, names: &[&'n str], segment_bytes: u64) -> Vec<&'n str> {
    let history = format!("{}.history", last.get(..8).unwrap_or_default());
    let own = [history.as_str(), last];
    let gaps = gaps(own.into_iter().chain(names.iter().copied()), segment_bytes);
    let end = gaps.first().map(|gap| match gap {
        Gap::Segments { before, .. } => before.to_string(),
        Gap::Misfit { name } => name.to_string(),
        Gap::History { timeline } => format!("{timeline:08X}"),
    });
    let follows = |name: &&str| end.as_ref().is_none_or(|end| *name < end.as_str());
    names.iter().copied().take_while(follows).collect()
}

/// The latest end of a transaction in what `pg_waldump` writes, whose clock is on UTC.
fn newest_end(said: &str) -> Option<Timestamp> {
    // "... desc: COMMIT 2026-11-24 17:27:11.385778 UTC; inval msgs: ...", or COMMIT_PREPARED 7: 2026...
    let ends = said.lines().filter_map(|line| {
        let (_, what) = line.split_once("desc: ")?;
        let mut words = what.split([' ', ';']);
        let verb = words.next()?;
        if !verb.starts_with("COMMIT") && !verb.starts_with("ABORT") {
            return None;
        }
        let date = words.find(|word| word.len() == 10 && word.split('-').count() == 3)?;
        format!("{date}T{}Z", words.next()?).parse().ok()
    });
    ends.max()
}

/// The settings with which a server fetches archived WAL and recovers, in the order of a file of
/// settings: up to `to`, or to the end of what is archived.
pub(super) fn settings<S>(
    host: &Host<S>,
    system: &str,
    to: Option<Timestamp>,
) -> Vec<(&'static str, String)> {
    let words = host.fetch_wal.iter().map(|word| quoted(word));
    let command: Vec<String> =
        words.chain(["--system", system, "\"%f\"", "\"%p\""].map(str::to_owned)).collect();
    let mut settings = vec![
        ("restore_command", command.join(" ")),
        // After a failover the WAL goes on there.
        ("recovery_target_timeline", "latest".to_owned()),
    ];
    if let Some(to) = to {
        // With an offset: names of time zones, and so `Z`, are not known yet when it is read.
        let time = to.strftime("%Y-%m-%d %H:%M:%S%.f+00").to_string();
        settings.push(("recovery_target_time", time));
        settings.push(("recovery_target_action", "promote".to_owned()));
    }
    settings
}

/// A word for the shell that runs a restore_command, in which `%` has to be doubled.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_end_of_a_transaction_is_read_whatever_kind_it_is() {
        let line = |desc: &str| {
            format!("rmgr: Transaction len (rec/tot): 34/ 34, tx: 7, lsn: 0/0500, desc: {desc}\n")
        };
        let commits = line("COMMIT 2026-11-24 17:27:12.949899 UTC; inval msgs: catcache 82")
            + &line("ABORT 2026-11-24 17:27:11.385778 UTC")
            + &line("PREPARE gid x: 2026-11-24 19:00:00.000000 UTC");
        assert_eq!(newest_end(&commits), Some("2026-11-24T17:27:12.949899Z".parse().unwrap()));
        let prepared = line("COMMIT_PREPARED 755: 2026-11-24 18:00:00.5 UTC");
        let newer = Some("2026-11-24T18:00:00.5Z".parse().unwrap());
        assert_eq!(newest_end(&(commits + &prepared)), newer);
        assert_eq!(newest_end(&line("ASSIGNMENT xtop 7: subxacts: 8")), None);
    }

    #[test]
    fn the_archive_reaches_up_to_its_first_gap() {
        let reached = |last, names: &[&'static str]| without_gap(last, names, 16 << 20);
        let names = [
            "000000010000000000000005",
            "00000002.history",
            "000000020000000000000006",
            "000000020000000000000008",
        ];
        assert_eq!(reached("000000010000000000000004", &names), names[..3]);
        assert!(reached("000000010000000000000003", &names).is_empty());
        assert_eq!(reached("000000020000000000000005", &names[2..]), names[2..3]);
        assert!(reached("000000010000000000000005", &names[2..]).is_empty(), "no history");
    }

    #[test]
    fn a_path_with_blanks_reaches_the_shell_as_one_word() {
        assert_eq!(quoted("/usr/local/bin/lifeboat"), "/usr/local/bin/lifeboat");
        assert_eq!(quoted("/opt/it's 100%/lifeboat"), r"'/opt/it'\''s 100%%/lifeboat'");
    }
}
