//! The command in a shell: its output, its errors for machines, its standard input.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod support;

use std::{
    fs::File,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use serde_json::Value;
use support::{Aws, Execution, HERE, THERE, plan_file, program, record, run, told};

fn lifeboat(arguments: &[&str]) -> (i32, String, String) {
    told(&run(Command::new(program()).args(arguments).env_clear()))
}

/// The same with this on its standard input.
fn piped(arguments: &[&str], text: &[u8]) -> (i32, String, String) {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without having read all of it.
    drop(child.stdin.take().unwrap().write_all(text));
    told(&child.wait_with_output().unwrap())
}

#[test]
fn what_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let plan = plan_file();
    for arguments in [
        &["plan", "check", &plan][..],
        &["--json", "plan", "check", &plan],
        &["retention", "schema"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(program());
        let output = command.args(arguments).stdin(Stdio::null()).stdout(full).output().unwrap();
        let (code, _, err) = told(&output);
        assert_eq!(code, 1, "{arguments:?}: {err}");
        assert!(err.contains("the answer cannot be written: No space left"), "{err}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(program());
        let output = command.args(arguments).stdin(Stdio::null()).stdout(writer).output().unwrap();
        let (code, _, err) = told(&output);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn errors_are_json_for_who_asks_for_json() {
    for (arguments, code) in [
        (&["--json", "plan", "check", "/nowhere.toml"][..], 2),
        (&["plan", "check", "--json"], 2),
        (&["plan", "chekc", "x", "--json"], 2),
    ] {
        let (found, out, err) = lifeboat(arguments);
        assert_eq!((found, out.as_str(), err.lines().count()), (code, "", 1), "{err}");
        let error: Value = serde_json::from_str(&err).unwrap();
        assert_eq!(error["error"]["exit_code"], code);
        let messages = error["error"]["messages"].as_array().unwrap();
        assert!(messages.iter().all(|message| !message.as_str().unwrap().is_empty()), "{err}");
        assert!(!messages.is_empty() && !err.contains("\\u001b"), "{err}");
    }
}

#[test]
fn a_dash_is_the_standard_input() {
    let plan = std::fs::read(plan_file()).unwrap();
    let (code, out, err) = piped(&["plan", "check", "-"], &plan);
    assert!(code == 0 && out.ends_with("no mistakes found\n"), "{err}");
    let (code, _, err) = piped(&["plan", "check", "-"], b"app = 1");
    assert!(code == 2 && err.contains("standard input:1:"), "{err}");
    let (code, _, err) = piped(&["secret", "-", "database"], &plan);
    assert!(code == 2 && err.contains("standard input is the secret's value"), "{err}");

    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let of = |name: &str| root.join("events/retention").join(name).to_str().unwrap().to_owned();
    let (catalogue, policy) = (of("newest-corrupt.json"), of("newest-corrupt.toml"));
    let sweep = |catalogue: &str, policy: &str, text: &[u8]| {
        let now = "2026-11-24T12:00:00Z";
        let from = ["--catalog", catalogue, "--policy", policy, "--now", now];
        piped(&[&["retention", "plan"][..], &from].concat(), text)
    };
    let files = sweep(&catalogue, &policy, b"");
    assert_eq!(files.0, 0, "{}", files.2);
    assert_eq!(sweep("-", &policy, &std::fs::read(&catalogue).unwrap()), files);
    assert_eq!(sweep(&catalogue, "-", &std::fs::read(&policy).unwrap()), files);
    let (code, _, err) = sweep("-", &policy, b"{\"points\":[{}]}");
    assert!(code == 2 && err.contains("standard input:1:"), "{err}");
    assert_eq!(sweep("-", "-", b"").0, 2);

    // "a" in zstd, as a raw block (RFC 8878, section 3.1.1), then the same with its end cut off.
    let wal = b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00a";
    let (code, out, _) = piped(&["--json", "verify", "-"], wal);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["artifact"].as_str()), (2, Some("standard input")), "{out}");
    let (code, _, err) = piped(&["verify", "-"], &wal[..wal.len() - 1]);
    assert_eq!(code, 1, "{err}");
}

const BUCKET: &str = "lifeboat-backups-123456789012-us-west-2";

/// The words of a restore_command that is right.
const FETCH: [&str; 10] =
    ["host", "wal", "fetch", "--app", "queue", "--region", HERE, "--bucket", BUCKET, "--system=73"];

#[test]
fn postgresql_takes_nothing_but_an_absent_file_for_the_end_of_the_archive() {
    let aws = Aws::start();
    let segment = "000000010000000000000005";
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("RECOVERYXLOG");
    let into = into.to_str().unwrap();
    let right = [&FETCH[..], &[segment, into]].concat();
    let (code, _, err) = aws.lifeboat(&right);
    assert_eq!(
        (code, err.as_str()),
        (1, format!("lifeboat: {segment} is not archived\n").as_str())
    );

    // Words that make no command, in each of their places.
    for wrong in [
        FETCH.to_vec(),
        [&FETCH[..], &[segment]].concat(),
        [&FETCH[..9], &[segment, into]].concat(),
        [&FETCH[..], &[segment, into, "more"]].concat(),
        [&["--wrong"], &right[..]].concat(),
        [&right[..], &["--wrong"]].concat(),
        [&right[..], &["--json", "--wrong"]].concat(),
        right.iter().map(|word| if *word == "queue" { "Queue" } else { word }).collect(),
        right.iter().map(|word| if *word == HERE { "west" } else { word }).collect(),
        right.iter().map(|word| if *word == "--system=73" { "--system=x" } else { word }).collect(),
        right.iter().map(|word| if *word == segment { "../secret" } else { word }).collect(),
    ] {
        let (code, _, err) = aws.lifeboat(&wrong);
        assert!(code > 125 && !err.is_empty(), "{wrong:?}: {code} {err}");
    }

    // A bucket that is none, or that this host may not read.
    for refusal in ["NoSuchBucket", "AccessDenied"] {
        aws.world().refusal = Some(refusal);
        let (code, _, err) = aws.lifeboat(&right);
        assert!(code > 125 && err.contains(refusal), "{code} {err}");
    }
    aws.world().refusal = None;
    aws.world().dark = vec![HERE];
    let (code, _, err) = aws.lifeboat(&right);
    assert!(code > 125 && err.contains("read s3://"), "{code} {err}");

    // The code is all that is left when nothing can be said.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = aws.command(&FETCH).stdin(Stdio::null()).stderr(full).output().unwrap();
    assert!(output.status.code().is_some_and(|code| code > 125), "{:?}", output.status);
}

#[test]
fn a_server_that_shuts_down_ends_its_fetch_by_sigterm() {
    let aws = Aws::start();
    aws.world().hangs = true;
    let mut command = aws.command(&[&FETCH[..], &["000000010000000000000005", "nowhere"]].concat());
    command.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "s");
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while aws.world().asked == 0 {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        std::thread::yield_now();
    }
    let term = run(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    assert!(term.status.success());
    let status = child.wait().unwrap();
    // SIGTERM is signal 15; a code would be an answer about the archive.
    assert_eq!((status.signal(), status.code()), (Some(15), None), "{status}");
}

#[test]
fn a_shell_and_man_learn_every_part() {
    let (code, out, _) = lifeboat(&["completions", "bash"]);
    assert_eq!(code, 0);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("lifeboat.bash");
    std::fs::write(&script, &out).unwrap();
    let complete = format!(
        "source '{}'; COMP_WORDS=(lifeboat rec); COMP_CWORD=1; _lifeboat lifeboat rec lifeboat; \
         echo \"${{COMPREPLY[*]}}\"",
        script.display()
    );
    let (_, out, err) = told(&run(Command::new("bash").args(["--norc", "-c", &complete])));
    assert_eq!(out.trim(), "recover", "{err}");

    let pages = folder.path().join("man1");
    let (code, _, err) = lifeboat(&["man", "--out", pages.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    for page in ["lifeboat.1", "lifeboat-plan-check.1", "lifeboat-host-wal-fetch.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains("SYNOPSIS"), "{page}");
    }
    let text = std::fs::read_to_string(pages.join("lifeboat-recover.1")).unwrap();
    assert!(text.contains("\n.nf\nExample: lifeboat recover "), "{text}");
}

#[test]
fn what_is_asked_for_in_one_second_is_all_taken() {
    let aws = Aws::start();
    aws.world().record = Some(record("a", 1, &Value::Null));
    aws.world().next = Execution { status: "SUCCEEDED", ..Execution::default() };
    // Others have asked in every second that this one can fall into.
    let now = lifeboat_runtime::clock::now();
    for second in 0..120 {
        let at = now + jiff::SignedDuration::from_secs(second);
        let name = at.strftime("queue-%Y%m%dT%H%M%SZ-full").to_string();
        aws.world()
            .executions
            .insert(name, Execution { status: "SUCCEEDED", ..Execution::default() });
    }
    let (code, out, err) =
        aws.lifeboat(&["backup", "--app", "queue", "--region", THERE, "--kind", "config"]);
    assert_eq!(code, 0, "{out}{err}");
    let started: Vec<(String, Execution)> =
        aws.world().executions.clone().into_iter().filter(|(_, it)| !it.input.is_empty()).collect();
    let [(name, execution)] = started.as_slice() else { panic!("{started:?}") };
    assert!(name.ends_with("-full-2") && out.contains(name.as_str()), "{name}: {out}");
    assert!(execution.input.contains("\"kind\":\"config\""), "{}", execution.input);
}

#[test]
fn a_plan_that_is_missing_is_missing_in_a_region_with_a_name() {
    let aws = Aws::start();
    aws.world().plan.clear();
    for arguments in [
        vec!["plan", "show", "--app", "queue", "--region", HERE],
        vec!["recover", "--app", "queue", "--region", HERE],
    ] {
        let (code, _, err) = aws.lifeboat(&arguments);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("no plan for app queue in us-west-2"), "{err}");
    }
}

#[test]
fn of_a_dark_region_it_is_said_what_to_do() {
    let aws = Aws::start();
    aws.world().dark = vec![HERE];
    for (command, says) in [
        (
            "recover",
            "us-west-2 does not answer: no site can be activated there; to recover from its",
        ),
        ("backup", "us-west-2 does not answer: nothing can be taken there; give the same command"),
        ("restore", "us-west-2 does not answer: give --region with that of the other site"),
    ] {
        let mut arguments = vec![command, "--app", "queue", "--region", HERE];
        if command == "restore" {
            arguments.extend(["--kind", "config"]);
        }
        let (code, _, err) = aws.lifeboat(&arguments);
        assert!(code == 1 && err.contains(says), "{err}");
    }
}

#[test]
fn the_version_names_the_commit() {
    let (_, out, _) = lifeboat(&["--version"]);
    let git = run(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]));
    let commit = match git.status.success() {
        true => String::from_utf8(git.stdout).unwrap().trim().to_owned(),
        false => "not from a checkout".to_owned(),
    };
    assert_eq!(out, format!("lifeboat {} ({commit})\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_dark_region_keeps_nobody_from_the_backups_of_the_other() {
    let aws = Aws::start();
    aws.world().record = Some(record("a", 1, &Value::Null));
    aws.world().next = Execution::default();
    let backups = |arguments: &[&str]| {
        let all = [&["backups", "--app", "queue"], arguments].concat();
        let mut command = aws.command(&all);
        let command = command.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "s");
        told(&run(command.env("AWS_REGION", HERE)))
    };
    assert_eq!(backups(&[]).0, 0);
    aws.world().dark = vec![THERE];
    let (code, out, err) = backups(&[]);
    assert_eq!(code, 4, "{err}");
    assert!(out.contains(HERE) && out.contains("no backups"), "{out}");
    assert!(
        err.contains("us-east-1 does not answer; owed there: the list of its backups"),
        "{err}"
    );
    let (code, out, _) = backups(&["--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, answer["owed"][0]["region"].as_str()), (4, Some(THERE)));
    // The one that would tell of the others is dark: who asks has to know the other one.
    aws.world().dark = vec![HERE];
    let (code, _, err) = backups(&[]);
    assert!(code == 1 && err.contains("give --region"), "{err}");
    assert_eq!(backups(&["--region", THERE]).0, 0);
}

#[test]
fn a_plan_is_shown_from_one_region_and_what_the_dark_one_may_hold_is_said() {
    let aws = Aws::start();
    aws.world().record = Some(record("a", 1, &Value::Null));
    let show = |arguments: &[&str]| {
        aws.lifeboat(&[&["plan", "show", "--app", "queue", "--region", HERE], arguments].concat())
    };
    assert_eq!(show(&[]).0, 0);
    aws.world().dark = vec![THERE];
    let (code, out, err) = show(&[]);
    assert_eq!(code, 4, "{err}");
    assert!(out.contains("epoch 1, site a active") && !out.contains("warning"), "{out}");
    assert!(err.contains("us-east-1 does not answer; owed there: its register"), "{err}");
    let (code, out, _) = show(&["--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, answer["control"]["epoch"].as_u64()), (4, Some(1)));
    assert_eq!(answer["owed"][0]["region"], THERE);
    // What was asked does not answer: nothing is known, and the other one is named.
    aws.world().dark = vec![HERE];
    let (code, out, err) = show(&[]);
    assert!(code == 1 && out.is_empty() && err.contains("give --region"), "{err}");
}

#[test]
fn a_value_that_is_none_names_the_one_that_may_be_meant() {
    for (arguments, says) in [
        (
            &["backup", "--app", "queue", "--region", HERE, "--kind", "databse-dump"][..],
            "`database-dump`",
        ),
        (&["restore", "--app", "queue", "--kind", "confg"], "`config`"),
        (&["verify", "x", "--format", "base-bakcup"], "`base-backup`"),
        (&["recover", "--app", "queue", "--region", "uswest-2"], "`us-west-2`"),
        (&["plan", "show", "--app", "queue", "--region", "us_west_2"], "`us-west-2`"),
    ] {
        let (code, _, err) = lifeboat(arguments);
        assert!(
            code == 2 && err.contains(&format!("did you mean {says}?")),
            "{arguments:?}: {err}"
        );
    }
    let (code, _, err) = lifeboat(&["verify", "x", "--format", "zip"]);
    assert!(code == 2 && err.contains("use one of pg-dump, tar, image"), "{err}");
    // A region may be newer than this version: it is tried, and doubted.
    let aws = Aws::start();
    aws.world().record = Some(record("a", 1, &Value::Null));
    let (code, _, err) = aws.lifeboat(&["plan", "show", "--app", "queue", "--region", "us-wets-2"]);
    assert!(code == 0 && err.contains("warning: `us-wets-2` is no region"), "{code} {err}");
    assert!(err.contains("did you mean `us-west-2`?"), "{err}");
}
