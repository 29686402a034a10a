//! The drills, end to end: real functions, real state machines, real PostgreSQL, Redis and DNS.
//!
//! Each runs the lab's own program as a person would and reads the JSON that it writes. They run one
//! after the other, because the lab has fixed addresses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use lifeboat_tests::{json, root};
use serde_json::Value;

/// One lab at a time, also under test runners that use threads.
static LAB: Mutex<()> = Mutex::new(());

fn lab(arguments: &[&str]) -> (bool, String) {
    // This test lies in target/<profile>/deps, the programs one folder above.
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("lifeboat-lab");
    let _alone = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), said)
}

/// Runs a drill that must pass, and answers its report.
fn drill(arguments: &[&str]) -> Value {
    let scenario = arguments[0];
    let file = root().join(format!("target/drill/{scenario}.json"));
    let _ = fs::remove_file(&file);
    let mut all = vec!["drill"];
    all.extend(arguments);
    let (passed, said) = lab(&all);
    assert!(passed, "{said}");
    let report = json(&file).unwrap();
    assert_eq!(report["verdict"], "pass", "{said}");
    assert_eq!(report["leftover_resources"], 0);
    for page in ["html", "calls.jsonl"] {
        let page = root().join(format!("target/drill/{scenario}.{page}"));
        assert!(fs::metadata(&page).unwrap().len() > 0, "{}", page.display());
    }
    report
}

/// The drill's page shows rounds of the probe with this vote: `good` (up), `bad` (down) or `more`
/// (unknown).
fn shows_votes(scenario: &str, vote: &str) {
    let page = fs::read_to_string(root().join(format!("target/drill/{scenario}.html"))).unwrap();
    assert!(page.contains(&format!(r#"class="vote {vote}""#)), "no vote {vote} in {scenario}.html");
}

fn held(report: &Value, invariant: &str) {
    let found = report["invariants"].as_array().unwrap().iter().find(|i| i["id"] == invariant);
    let found = found.unwrap_or_else(|| panic!("{invariant} was not looked at"));
    assert_eq!(found["held"], true, "{found}");
}

fn recovered(report: &Value) {
    assert!(report["achieved_rto_seconds"].as_f64().unwrap() <= 60.0);
    assert_eq!(report["stale_writes_accepted"], 0);
    assert_eq!(report["epoch_after"], 2);
    assert!(report["writes_after_recovery"].as_u64().unwrap() > 0);
    held(report, "1-one-writer");
    held(report, "2-loss-known-before-promotion");
    held(report, "8-log-is-a-chain");
    held(report, "9-no-secret-shown");
    held(report, "bucket-owners-named");
}

/// Detection, as promised: 20 s from the disaster.
fn detected_in_time(report: &Value) {
    let detection = report["parts"]["detection"].as_f64().unwrap();
    assert!(detection <= 20.0, "detected after {detection} s");
}

#[test]
fn a_canary_of_what_drills_rely_on() {
    let (passed, said) = lab(&["canary"]);
    assert!(passed, "{said}");
}

#[test]
fn region_outage_by_killing() {
    let report = drill(&["region-outage"]);
    shows_votes("region-outage", "bad");
    recovered(&report);
    detected_in_time(&report);
    held(&report, "4-needs-nothing-lost");
    let ours = [
        "start",
        "open_and_assess",
        "plan_and_claim",
        "fence",
        "activation",
        "verification",
        "switch",
    ];
    let ours: f64 = ours.iter().filter_map(|part| report["parts"][part].as_f64()).sum();
    assert!(ours <= 5.0, "our own part took {ours} s");
}

#[test]
fn region_outage_by_hanging() {
    let report = drill(&["region-outage", "--mode", "hang"]);
    recovered(&report);
    detected_in_time(&report);
    held(&report, "4-needs-nothing-lost");
}

#[test]
fn region_outage_with_a_synchronous_standby_loses_nothing() {
    let report = drill(&["region-outage", "--sync"]);
    recovered(&report);
    assert_eq!(report["writes_lost"], 0);
}

#[test]
fn region_outage_switched_by_record() {
    recovered(&drill(&["region-outage", "--switch-by-record"]));
}

#[test]
fn region_outage_behind_load_balancers() {
    let report = drill(&["region-outage", "--alias"]);
    assert_eq!(report["rto_target_seconds"], 120.0);
    assert_eq!((&report["epoch_after"], &report["stale_writes_accepted"]), (&2.into(), &0.into()));
    held(&report, "1-one-writer");
    held(&report, "4-needs-nothing-lost");
}

/// The regions are apart and both live, with the witness seen by these.
fn parted(witness: &str, heals: &str) -> Value {
    let report = drill(&["partition", "--witness", witness, "--heals", heals]);
    assert_eq!(report["dual_writer_seconds"], 0.0);
    assert_eq!(report["stale_writes_accepted"], 0);
    held(&report, "1-one-writer");
    held(&report, "5-serves-where-a-majority-is-seen");
    held(&report, "8-registers-settle");
    report
}

#[test]
fn a_partition_in_which_both_see_the_witness_moves_the_site_and_never_has_two_writers() {
    let report = parted("both", "settled");
    assert_eq!(report["epoch_after"], 2);
    held(&report, "2-estimate-covers-the-loss");
}

#[test]
fn a_partition_in_which_only_the_standby_sees_the_witness_moves_the_site() {
    let report = parted("standby", "settled");
    assert_eq!(report["epoch_after"], 2);
    held(&report, "2-estimate-covers-the-loss");
}

#[test]
fn a_partition_that_heals_while_the_recovery_waits_leaves_one_site_and_one_epoch() {
    let report = parted("both", "waiting");
    assert_eq!(report["epoch_after"], 2);
    held(&report, "2-estimate-covers-the-loss");
    held(&report, "healed-in-the-wait");
}

#[test]
fn a_partition_in_which_only_the_active_site_sees_the_witness_disturbs_nobody_and_pages() {
    let report = parted("active", "settled");
    assert_eq!((&report["epoch_after"], &report["writes_lost"]), (&1.into(), &0.into()));
}

#[test]
fn a_partition_in_which_nobody_sees_the_witness_stops_the_site_and_loses_nothing() {
    let report = parted("neither", "settled");
    assert_eq!((&report["epoch_after"], &report["writes_lost"]), (&1.into(), &0.into()));
}

/// A register's region is dark, and the guards of the active site are started again meanwhile.
fn served_on(scenario: &str) {
    let report = drill(&[scenario]);
    assert_eq!(report["dual_writer_seconds"], 0.0);
    assert_eq!((&report["epoch_after"], &report["writes_lost"]), (&1.into(), &0.into()));
    for invariant in [
        "1-one-writer",
        "2-nothing-is-lost",
        "5-restart-costs-its-own-time",
        "5-serves-through-the-loss-of-a-register",
        "7-no-failover-without-proof",
        "7-the-machine-stands-down",
        "8-register-counts-again",
        "8-registers-settle",
    ] {
        held(&report, invariant);
    }
}

#[test]
fn the_loss_of_the_witness_stops_nobody_and_guards_start_again_without_it() {
    served_on("witness-lost");
}

#[test]
fn the_loss_of_the_standbys_region_stops_nobody_and_guards_start_again_without_it() {
    served_on("peer-lost");
}

#[test]
fn a_failover_within_the_region_is_waited_out() {
    let report = drill(&["multi-az-failover"]);
    held(&report, "7-no-failover-without-proof");
    held(&report, "7-the-machine-stands-down");
    held(&report, "users-served-again");
    assert_eq!(report["epoch_after"], 1);
}

#[test]
fn a_blind_standby_does_not_fail_over() {
    let report = drill(&["standby-blind"]);
    shows_votes("standby-blind", "more");
    held(&report, "7-no-failover-without-proof");
    held(&report, "7-the-machine-stands-down");
    assert_eq!(report["epoch_after"], 1);
}

#[test]
fn a_slow_primary_is_not_failed_over() {
    let report = drill(&["slow-primary"]);
    held(&report, "7-no-failover-without-proof");
    held(&report, "7-the-machine-stands-down");
    assert_eq!(report["epoch_after"], 1);
}

#[test]
fn started_twice_it_recovers_once() {
    let report = drill(&["double-start"]);
    recovered(&report);
    held(&report, "3-two-starts-recover-once");
    held(&report, "3-operator-twice-is-once");
}

#[test]
fn a_recovery_that_is_stopped_behind_each_step_goes_on() {
    let report = drill(&["abort"]);
    assert!(report["achieved_rto_seconds"].as_f64().unwrap() <= 60.0);
    assert_eq!(report["stale_writes_accepted"], 0);
    // The alarm's, which was redriven, and two more.
    assert_eq!(report["epoch_after"], 6);
    held(&report, "1-one-writer");
    held(&report, "3-stopped-it-goes-on");
    held(&report, "8-an-epoch-for-each-recovery");
}

#[test]
fn a_promotion_that_takes_longer_than_the_rto_pages_and_goes_on() {
    let report = drill(&["promotion-stuck"]);
    assert!(report["achieved_rto_seconds"].as_f64().unwrap() > 60.0);
    assert_eq!((&report["stale_writes_accepted"], &report["epoch_after"]), (&0.into(), &2.into()));
    held(&report, "1-one-writer");
    held(&report, "10-overdue-is-paged");
}

#[test]
fn a_site_that_answers_is_left_only_with_approval_and_is_fenced_first() {
    let report = drill(&["approval"]);
    recovered(&report);
    held(&report, "2-approved-by-a-person");
    held(&report, "1-reachable-site-is-fenced");
}

#[test]
fn every_kind_of_backup_is_taken_proven_in_both_regions_and_swept() {
    let report = drill(&["backup-cycle"]);
    let backups = report["backups"].as_array().unwrap();
    let kinds: std::collections::BTreeSet<&str> =
        backups.iter().map(|backup| backup["kind"].as_str().unwrap()).collect();
    let wanted = [
        "cache",
        "code",
        "config",
        "database-base",
        "database-dump",
        "database-snapshot",
        "images",
        "logs",
    ];
    assert_eq!(kinds, wanted.into_iter().collect());
    assert!(backups.iter().all(|backup| backup["complete"] == true), "{backups:?}");
    for invariant in [
        "5-expired-is-deleted",
        "5-kept-is-kept",
        "5-nobody-deletes",
        "5-nobody-overwrites",
        "6-absence-is-alarmed",
        "6-age-of-the-newest-verified",
        "6-managed-cache-is-exported",
        "6-moment-recovered-from-wal",
        "6-moment-restored-elsewhere",
        "6-moment-restored-to-be-used",
        "6-proven-in-the-other-region",
        "6-wal-is-proven",
        "9-encrypted-and-locked",
        "9-no-secret-shown",
        "bucket-owners-named",
        "restores-leave-nothing",
        "users-undisturbed",
    ] {
        held(&report, invariant);
    }
}

#[test]
fn a_flipped_byte_in_the_newest_backup_is_found_paged_and_not_restored() {
    let report = drill(&["corrupt-backup"]);
    held(&report, "6-damage-is-found-and-located");
    held(&report, "6-damage-is-paged");
    held(&report, "6-restore-takes-the-older-verified");
    held(&report, "restores-leave-nothing");
}
