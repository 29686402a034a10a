//! `lifeboat host wal fetch`: a recovering server's `restore_command`, with the exit codes that this
//! server understands.
//!
//! PostgreSQL takes every code from 1 to 125 for "the archive has no such file", with which a recovery ends
//! and the server takes writes; of one above 125 it stops instead (manual, "Archive Recovery",
//! `restore_command`: an error of the shell). So one code says that the file is absent, and everything else
//! that is no success is above 125: words that make no command, and a fault in this program, too. SIGTERM
//! is left to end the process: that is how the server tells it of its own shutdown.

use std::{ffi::OsString, path::PathBuf};

use lifeboat_core::{AppName, Fault, Region};
use lifeboat_hostwork::{S3, wal};
use lifeboat_runtime::aws;

use crate::{credentials, output::Failure};

/// There is no such file in the archive.
const ABSENT: u8 = crate::exit::FAILED;
/// It could not be told: above 125.
const UNKNOWN: u8 = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct FetchArgs {
    /// The app.
    #[arg(long)]
    app: AppName,
    /// The region of the bucket.
    #[arg(long, value_parser = crate::args::region)]
    region: Region,
    /// The backup bucket of this region.
    #[arg(long)]
    bucket: String,
    /// The cluster's system identifier, as in the base backup's manifest.
    #[arg(long)]
    system: String,
    /// The file's name (%f).
    name: String,
    /// Where to write it (%p).
    destination: PathBuf,
}

/// Whether these words ask for a fetch, however wrong the rest of them is: its names are among them, in
/// this order. To take another command for one does no harm.
pub(crate) fn is_asked(words: &[OsString]) -> bool {
    let mut words = words.iter();
    ["host", "wal", "fetch"].into_iter().all(|name| words.any(|word| word == name))
}

/// A failure that says nothing of the archive.
pub(crate) fn untold(failure: Failure) -> Failure {
    Failure { code: UNKNOWN, ..failure }
}

/// Fetches the file.
///
/// # Errors
/// With the code [`ABSENT`] there is no such file; with every other one it could not be told.
pub(crate) async fn run(args: FetchArgs) -> Result<(), Failure> {
    let FetchArgs { app, region, bucket, system, name, destination } = args;
    let config = credentials::config().await.map_err(untold)?;
    let store = S3::new(&aws::in_region(&config, region.as_str()), bucket);
    let file = name.clone();
    answer(&file, async move { wal::fetch(&store, &app, &system, &name, &destination).await }).await
}

/// What a fetch of this file comes to: true when it is there, false when there is none.
async fn answer(
    file: &str,
    fetch: impl Future<Output = Result<bool, Fault>> + Send + 'static,
) -> Result<(), Failure> {
    // In a task of its own: the code of a panic is one that PostgreSQL takes for an absent file.
    match tokio::spawn(fetch).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => {
            Err(Failure { lines: vec![format!("{file} is not archived")], code: ABSENT })
        }
        Ok(Err(fault)) => Err(untold(Failure::work(fault.message))),
        Err(error) => {
            let line = format!("fetching {file} broke off, which is a defect of lifeboat: {error}");
            Err(untold(Failure::work(line)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> bool {
        is_asked(&words.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_fetch_is_known_in_whatever_is_wrong_with_it() {
        for words in [
            "host wal fetch",
            "host wal fetch --app",
            "host wal fetch --app Queue --region nowhere f p q r",
            "--profile wal host wal fetch --colour --bucket b",
            "--json host --wrong wal --json fetch",
        ] {
            assert!(asked(words), "{words}");
        }
        for words in ["host wal receive", "wal fetch", "fetch wal host", ""] {
            assert!(!asked(words), "{words}");
        }
    }

    #[tokio::test]
    async fn only_an_absent_file_has_a_code_that_ends_a_recovery() {
        let code = |answer: Result<(), Failure>| answer.unwrap_err().code;
        let file = "000000010000000000000005";
        assert!(answer(file, async { Ok(true) }).await.is_ok());
        assert_eq!(code(answer(file, async { Ok(false) }).await), 1);
        for fault in [Fault::transient("x"), Fault::invalid("x"), Fault::needs_human("x")] {
            assert!(code(answer(file, async { Err(fault) }).await) > 125);
        }
        let broken = answer(file, async { panic!("a defect") }).await.unwrap_err();
        assert!(broken.code > 125 && broken.lines[0].contains("defect"), "{broken:?}");
    }
}
