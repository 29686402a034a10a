//! The operator's command as a person runs it: what it prints, and with which exit code.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{path::Path, process::Command};

use lifeboat_tests::root;

/// Exit code, standard output, standard error. No AWS can be reached: what needs one must fail.
fn lifeboat(arguments: &[&str]) -> (i32, String, String) {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("lifeboat");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_plan_is_described() {
    let (code, out, err) = lifeboat(&["plan", "check", "events/plan/queue.toml"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("RTO 60 s") && out.ends_with("no mistakes found\n"), "{out}");
}

#[test]
fn a_wrong_plan_is_refused_with_every_mistake_in_its_place_and_nothing_is_asked_of_aws() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    let good = std::fs::read_to_string(root().join("events/plan/queue.toml")).unwrap();
    let wrong = good
        .replace("region = \"us-west-2\"", "region = \"us-east-1\"")
        .replace("ttl_seconds = 5", "ttl_seconds = 90")
        .replace("rpo_seconds = 5", "rpo_seconds = 0");
    std::fs::write(&file, &wrong).unwrap();
    let line_of = |text: &str| wrong.lines().position(|line| line.starts_with(text)).unwrap() + 1;
    // `apply` would fail another way, with another exit code, had it asked AWS anything first.
    for verb in ["check", "apply"] {
        let (code, out, err) = lifeboat(&["plan", verb, file.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        for (line, says) in [
            (line_of("ttl_seconds"), "dns.ttl_seconds"),
            (line_of("rpo_seconds"), "scenarios.region-outage.rpo_seconds"),
        ] {
            assert!(err.contains(&format!("wrong.toml:{line}:1: {says}: ")), "{err}");
        }
        assert!(err.contains("sites.b.region") && err.ends_with("mistakes; nothing was written\n"));
    }
}

#[test]
fn without_aws_the_command_fails_in_one_line_that_says_what_it_was_doing() {
    let (code, _, err) = lifeboat(&["plan", "apply", "events/plan/queue.toml"]);
    assert_eq!(code, 1);
    assert!(err.lines().count() == 1 && err.contains("list machines in us-east-1"), "{err}");
}
