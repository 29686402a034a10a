//! Files and images, and what becomes of a run that fails.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{host, noon, plan, scratch};
use bytes::Bytes;
use lifeboat_core::{
    ErrorName,
    backup::{Kind, Outcome},
    contract::restore_backup::Target,
    plan_file::{Backup, Files, Images},
};
use lifeboat_hostwork::{
    Host, Stopper, backup, restore,
    testing::{Failure, MemoryStore},
};

const MANIFEST: &str = "manifests/queue/config/20261124T120000Z-full.json";
const ARTIFACT: &str = "artifacts/queue/config/20261124T120000Z-full/a/files.tar.zst";

/// A host whose plan backs up what is in `root`.
fn with_files(root: &Path, scratch: &Path) -> (Host<MemoryStore>, Stopper) {
    let mut plan = plan(1);
    let files = Files {
        paths: vec![root.join("etc").to_str().unwrap().to_owned()],
        exclude: vec![root.join("etc/cache").to_str().unwrap().to_owned()],
    };
    plan.backup = Some(Backup { files: [(Kind::Config, files)].into(), ..Backup::default() });
    host(plan, scratch)
}

/// Files to back up; `noise` bytes of them cannot be compressed.
fn write_files(root: &Path, noise: usize) {
    fs::create_dir_all(root.join("etc/cache")).unwrap();
    fs::write(root.join("etc/app.toml"), "port = 8080\n").unwrap();
    fs::set_permissions(root.join("etc/app.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(root.join("etc/cache/big"), "left out").unwrap();
    std::os::unix::fs::symlink("/nowhere", root.join("etc/link")).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(noise / 8)
    .flatten()
    .collect();
    fs::write(root.join("etc/noise"), noise).unwrap();
}

#[tokio::test]
async fn files_are_taken_and_unpacked_in_scratch_and_in_place() {
    let (root, scratch) = (scratch(), scratch());
    write_files(root.path(), 1 << 20);
    let (host, _stopper) = with_files(root.path(), scratch.path());
    let manifest = backup(&host, Kind::Config, &noon()).await.unwrap();
    assert_eq!(manifest.entries, Some(4), "etc, app.toml, link, noise");

    let result = restore(&host, Kind::Config, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);

    fs::remove_file(root.path().join("etc/app.toml")).unwrap();
    restore(&host, Kind::Config, &noon(), Target::Place, None).await.unwrap();
    let back = root.path().join("etc/app.toml");
    assert_eq!(fs::read_to_string(&back).unwrap(), "port = 8080\n");
    assert_eq!(fs::metadata(&back).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn two_sites_in_one_slot_do_not_mix() {
    let (root, scratch) = (scratch(), scratch());
    write_files(root.path(), 8);
    let (mut host, _stopper) = with_files(root.path(), scratch.path());
    // The other site was lost before its manifest; its object arrives late.
    let theirs = "artifacts/queue/config/20261124T120000Z-full/b/files.tar.zst";
    host.store.set(theirs, Bytes::from_static(b"of the other site"));
    let manifest = backup(&host, Kind::Config, &noon()).await.unwrap();
    assert_eq!(manifest.artifacts[0].name, "a/files.tar.zst");
    assert_eq!(host.store.object(theirs).unwrap(), "of the other site");
    let result = restore(&host, Kind::Config, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    // What the own site left half done is not built upon either.
    host.store.remove(MANIFEST);
    host.store.set(ARTIFACT, Bytes::from_static(b"half done"));
    let again = backup(&host, Kind::Config, &noon()).await.unwrap();
    assert!(again.artifacts[0].name.starts_with("a/run-"), "{again:?}");
    // The one backup of the slot is the one whose manifest is there, wherever it is asked for.
    host.site = "b".parse().unwrap();
    assert_eq!(backup(&host, Kind::Config, &noon()).await.unwrap(), again);
}

#[tokio::test]
async fn an_archive_of_other_paths_is_not_put_into_place() {
    let (root, scratch) = (scratch(), scratch());
    write_files(root.path(), 8);
    let (mut host, _stopper) = with_files(root.path(), scratch.path());
    backup(&host, Kind::Config, &noon()).await.unwrap();
    if let Some(files) = host.plan.backup.as_mut().unwrap().files.get_mut(&Kind::Config) {
        files.paths = vec![root.path().join("etc/app.toml").to_str().unwrap().to_owned()];
    }
    let refused = restore(&host, Kind::Config, &noon(), Target::Place, None).await.unwrap_err();
    assert_eq!(refused.name, ErrorName::Refused);
    assert!(refused.message.contains("outside the plan's"), "{refused}");
}

#[tokio::test]
async fn damage_is_found_and_a_failing_bucket_is_not_damage() {
    let (root, scratch) = (scratch(), scratch());
    write_files(root.path(), 1 << 20);
    let (host, _stopper) = with_files(root.path(), scratch.path());
    backup(&host, Kind::Config, &noon()).await.unwrap();
    let whole = host.store.object(ARTIFACT).unwrap();
    for at in [10, whole.len() / 2, whole.len() - 2] {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1;
        host.store.set(ARTIFACT, Bytes::from(flipped));
        let result = restore(&host, Kind::Config, &noon(), Target::Scratch, None).await.unwrap();
        assert_eq!(result.outcome, Outcome::Damaged, "byte {at}");
        assert!(result.findings.iter().all(|f| f.file == "a/files.tar.zst"), "{result:?}");
    }
    host.store.set(ARTIFACT, whole.slice(..whole.len() / 2));
    let result = restore(&host, Kind::Config, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!(result.outcome, Outcome::Damaged, "cut");
    host.store.remove(ARTIFACT);
    let result = restore(&host, Kind::Config, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!(result.findings[0].message, "the object is missing");
    host.store.set(ARTIFACT, whole);
    host.store.fail(1, Failure::Before);
    restore(&host, Kind::Config, &noon(), Target::Scratch, None).await.unwrap_err();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// Every call of a run fails once, before or after its effect; the run after it succeeds, and no
/// failing run has left a manifest or an upload behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_at_any_call_leaves_no_backup_and_the_next_one_is_whole() {
    let (root, scratch) = (scratch(), scratch());
    write_files(root.path(), 9 << 20);
    let calls = {
        let (host, _stopper) = with_files(root.path(), scratch.path());
        backup(&host, Kind::Config, &noon()).await.unwrap();
        host.store.calls()
    };
    assert!(calls >= 7, "a manifest, a listing, begin, two parts, complete, the manifest");
    for failure in [Failure::Before, Failure::AnswerLost] {
        for at in 0..calls {
            let (host, _stopper) = with_files(root.path(), scratch.path());
            host.store.fail(at, failure);
            let first = backup(&host, Kind::Config, &noon()).await;
            let there = host.store.keys().contains(&MANIFEST.to_owned());
            assert!(first.is_ok() || !there || failure == Failure::AnswerLost, "call {at}");
            assert_eq!(
                host.store.open_uploads(),
                usize::from(
                    // Nobody knows the name of an upload whose beginning was not answered.
                    failure == Failure::AnswerLost && at == 2
                ),
                "call {at} {failure:?}"
            );
            host.store.heal();
            let manifest = backup(&host, Kind::Config, &noon()).await.unwrap();
            assert_eq!(manifest.artifacts.len(), 1);
            // Every second one, because reading takes as long as writing.
            if at % 2 == 0 {
                let result =
                    restore(&host, Kind::Config, &noon(), Target::Scratch, None).await.unwrap();
                assert_eq!(result.outcome, Outcome::Sound, "call {at} {failure:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_and_not_there_is_no_backup() {
    let (root, scratch) = (scratch(), scratch());
    let (host, _stopper) = with_files(root.path(), scratch.path());
    let fault = backup(&host, Kind::Config, &noon()).await.unwrap_err();
    assert!(fault.message.contains("not on this host"), "{fault}");
    assert!(host.store.keys().is_empty());
    let fault = backup(&host, Kind::Logs, &noon()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::InvalidInput);
}

/// Runs with a program of the plan that writes an image.
async fn image(script: &str) -> (Host<MemoryStore>, Result<(), lifeboat_core::Fault>) {
    let scratch = scratch();
    let mut plan = plan(1);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    plan.backup = Some(Backup {
        images: Some(Images {
            names: vec!["queue-api:1.4".to_owned()],
            save: words(&["sh", "-c", script, "save", "{image}"]),
            load: words(&["cat"]),
        }),
        ..Backup::default()
    });
    let (host, _stopper) = host(plan, scratch.path());
    let taken = backup(&host, Kind::Images, &noon()).await.map(|_| ());
    (host, taken)
}

#[tokio::test]
async fn a_program_that_fails_after_its_last_byte_leaves_no_backup() {
    let (host, taken) =
        image("head -c 30000000 /dev/urandom; echo 'disk on fire' >&2; exit 3").await;
    let fault = taken.unwrap_err();
    assert!(fault.message.contains("disk on fire"), "{fault}");
    assert!(host.store.keys().is_empty());
    assert_eq!(host.store.open_uploads(), 0);
    // A small one is put in one call, and is not put either.
    let (host, taken) = image("echo small; exit 1").await;
    taken.unwrap_err();
    assert!(host.store.keys().is_empty());
    let (host, taken) = image("exit 0").await;
    assert!(taken.unwrap_err().message.contains("nothing was written"));
    assert!(!host.store.keys().iter().any(|key| key.starts_with("manifests/")));
}

#[tokio::test]
async fn the_name_reaches_the_program_as_one_word() {
    let (host, taken) = image("printf '%s' \"$1\"").await;
    taken.unwrap();
    let key = "artifacts/queue/images/20261124T120000Z-full/a/queue-api_1.4.tar.zst";
    let stored = host.store.object(key).unwrap();
    assert_eq!(zstd::decode_all(&*stored).unwrap(), b"queue-api:1.4");
    // What it wrote is no image, and a restore test says so.
    let result = restore(&host, Kind::Images, &noon(), Target::Scratch, None).await.unwrap();
    assert_eq!(result.outcome, Outcome::Damaged);
}

#[tokio::test]
async fn a_signal_ends_the_work_and_leaves_nothing() {
    let scratch = scratch();
    let mut plan = plan(1);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    plan.backup = Some(Backup {
        images: Some(Images {
            names: vec!["endless".to_owned()],
            save: words(&["cat", "/dev/urandom"]),
            load: Vec::new(),
        }),
        ..Backup::default()
    });
    let (host, stopper) = host(plan, scratch.path());
    let point = noon();
    let taking = backup(&host, Kind::Images, &point);
    let stop = async {
        while host.store.open_uploads() == 0 {
            tokio::task::yield_now().await;
        }
        stopper.stop();
    };
    let (taken, ()) = tokio::join!(taking, stop);
    assert!(taken.unwrap_err().message.contains("stopped"));
    assert_eq!((host.store.keys().len(), host.store.open_uploads()), (0, 0));
}

/// Writes what `docker save` writes: a layer, its configuration and the manifest, as a tar.
fn write_image(folder: &Path) {
    fs::create_dir(folder.join("layer")).unwrap();
    fs::write(folder.join("layer/app"), "the app\n").unwrap();
    tar(folder, &["-cf", "layer.tar", "layer"]);
    let digest = sha256(&folder.join("layer.tar"));
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let config = format!("{}.json", sha256(&folder.join("config.json")));
    fs::rename(folder.join("config.json"), folder.join(&config)).unwrap();
    let manifest = serde_json::json!([
        {"Config": config, "RepoTags": ["queue-api:1.4"], "Layers": ["layer.tar"]}
    ]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    tar(folder, &["-cf", "image.tar", &config, "layer.tar", "manifest.json"]);
}

fn tar(folder: &Path, arguments: &[&str]) {
    let mut tar = std::process::Command::new("tar");
    assert!(tar.args(arguments).current_dir(folder).status().unwrap().success());
}

fn sha256(file: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[tokio::test]
async fn an_image_is_handed_whole_to_the_program_that_loads_it() {
    let (folder, scratch) = (scratch(), scratch());
    write_image(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let loading = |script: &str| -> Vec<String> {
        ["sh", "-c", script, "load", &path("loaded")].map(str::to_owned).into()
    };
    let mut plan = plan(1);
    plan.backup = Some(Backup {
        images: Some(Images {
            names: vec!["queue-api:1.4".to_owned()],
            save: vec!["cat".to_owned(), path("image.tar")],
            load: loading("cat > \"$1\""),
        }),
        ..Backup::default()
    });
    let (mut host, _stopper) = host(plan, scratch.path());
    backup(&host, Kind::Images, &noon()).await.unwrap();
    // Damaged, it never comes to the program.
    let key = "artifacts/queue/images/20261124T120000Z-full/a/queue-api_1.4.tar.zst";
    let whole = host.store.object(key).unwrap();
    let mut flipped = whole.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    host.store.set(key, Bytes::from(flipped));
    let result = restore(&host, Kind::Images, &noon(), Target::Place, None).await.unwrap();
    assert_eq!(result.outcome, Outcome::Damaged);
    assert!(!folder.path().join("loaded").exists());
    host.store.set(key, whole);
    let result = restore(&host, Kind::Images, &noon(), Target::Place, None).await.unwrap();
    assert_eq!((result.outcome, &result.findings), (Outcome::Sound, &vec![]));
    assert!(result.facts.iter().any(|fact| fact.contains("is loaded")), "{:?}", result.facts);
    let (loaded, saved) = (fs::read(path("loaded")).unwrap(), fs::read(path("image.tar")).unwrap());
    assert!(loaded == saved);
    // A program that fails says so, and nothing is said of the backup.
    let images = host.plan.backup.as_mut().unwrap().images.as_mut().unwrap();
    images.load = loading("cat > /dev/null; echo 'no space' >&2; exit 1");
    let fault = restore(&host, Kind::Images, &noon(), Target::Place, None).await.unwrap_err();
    assert!(fault.message.contains("no space"), "{fault}");
}

#[tokio::test]
async fn damaged_files_are_not_put_into_place() {
    let (root, scratch) = (scratch(), scratch());
    write_files(root.path(), 1 << 20);
    let (host, _stopper) = with_files(root.path(), scratch.path());
    backup(&host, Kind::Config, &noon()).await.unwrap();
    fs::remove_file(root.path().join("etc/app.toml")).unwrap();
    let whole = host.store.object(ARTIFACT).unwrap();
    // In the middle, and in the checksum at the end: what is before it was unpacked by then.
    for at in [whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1;
        host.store.set(ARTIFACT, Bytes::from(flipped));
        let result = restore(&host, Kind::Config, &noon(), Target::Place, None).await.unwrap();
        assert_eq!(result.outcome, Outcome::Damaged, "byte {at}");
        assert!(!root.path().join("etc/app.toml").exists(), "byte {at}");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}
