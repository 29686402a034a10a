//! `lifeboat recover` against an AWS that answers what each test says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod support;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{Aws, CALLER, Execution, HERE, record, told};

const RECOVER: [&str; 5] = ["recover", "--app", "queue", "--region", HERE];

fn running() -> Execution {
    Execution { status: "RUNNING", states: vec!["ReadRequest", "OpenAndAssess"], ..ended("") }
}

/// An execution that has ended with this outcome, and what went before.
fn ended(outcome: &str) -> Execution {
    let output = json!({ "outcome": outcome, "reason": "site a is up", "site": "b", "epoch": 2 });
    Execution {
        status: "SUCCEEDED",
        output: Some(output.to_string()),
        states: vec!["ReadRequest", "OpenAndAssess", "PlanRecovery", "IsPlanToProceed"],
        ..Execution::default()
    }
}

/// Site a serves under epoch 1, and whatever starts ends like this.
fn aws(next: Execution) -> Aws {
    let aws = Aws::start();
    let mut world = aws.world();
    world.record = Some(record("a", 1, &Value::Null));
    world.next = next;
    drop(world);
    aws
}

fn with(more: &[&'static str]) -> Vec<&'static str> {
    RECOVER.iter().chain(more).copied().collect()
}

fn holder(execution: &str, target: &str) -> Value {
    json!({
        "incident": "queue-by-alarm", "target": target, "epoch": 2, "state": "open",
        "execution": format!("arn:aws:states:{HERE}:123456789012:execution:lifeboat-recover:{execution}"),
        // Far from now, so that it is never too old.
        "opened_at": "2999-01-01T00:00:00Z",
    })
}

#[test]
fn it_is_followed_to_its_end_and_the_exit_code_says_which() {
    let failed = Execution { status: "FAILED", cause: Some("no host".into()), ..ended("") };
    let failed = Execution { output: None, ..failed };
    let stopped = Execution { status: "ABORTED", output: None, ..ended("") };
    for (next, code, says) in [
        (ended("recovered"), 0, "recovered: users are served by site b, epoch 2"),
        (ended("stood_down"), 3, "it stood down: site a is up"),
        (ended("declined"), 3, "declined: site a is up"),
        (failed, 1, "the recovery failed: no host"),
        (stopped, 1, "go on where it ended: lifeboat recover --app queue --region us-west-2"),
    ] {
        let aws = aws(next);
        let (found, out, err) = aws.lifeboat(&RECOVER);
        assert_eq!(found, code, "{out}{err}");
        assert!(out.contains("      2 s  takes the register"), "{out}");
        assert!(
            out.contains("decides what to do") && format!("{out}{err}").contains(says),
            "{err}"
        );
    }
}

#[test]
fn machines_are_told_a_line_at_a_time() {
    let aws = aws(ended("stood_down"));
    let (code, out, err) = aws.lifeboat(&with(&["--json"]));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["started", "state", "state", "ended"], "{out}");
    assert_eq!(lines[1]["at"], "1970-01-01T00:01:42Z");
    assert_eq!(
        (lines[0]["started"].as_bool(), lines[3]["outcome"].as_str()),
        (Some(true), Some("stood_down"))
    );
    let error: Value = serde_json::from_str(&err).unwrap();
    assert_eq!((code, error["error"]["exit_code"].as_i64()), (3, Some(3)));
}

#[test]
fn who_asked_is_the_caller_and_stays_in_the_input() {
    let asked = |more: &[&'static str]| {
        let aws = aws(ended("recovered"));
        aws.lifeboat(&with(more));
        let world = aws.world();
        let input = &world.executions.values().next().unwrap().input;
        serde_json::from_str::<Value>(input).unwrap()["trigger"]["who"].clone()
    };
    assert_eq!(asked(&[]), CALLER);
    assert_eq!(asked(&["--who", "ada"]), format!("ada ({CALLER})"));
    let (code, _, err) = aws(ended("recovered")).lifeboat(&with(&["--who", " "]));
    assert!(code == 2 && err.contains("give a name"), "{err}");
}

#[test]
fn an_attempt_that_has_ended_leaves_the_next_one_to_who_asks_again() {
    let aws = aws(ended("stood_down"));
    for attempt in 1..=3 {
        aws.lifeboat(&with(&["--override-votes"]));
        assert_eq!(aws.world().executions.len(), attempt);
    }
    let names: Vec<String> = aws.world().executions.keys().cloned().collect();
    assert_eq!(names[2], "queue-leaves-epoch-1-attempt-3");
    // One that runs is not joined by another, whoever asks.
    aws.world().next = running();
    let start = |who| aws.lifeboat(&with(&["--no-wait", "--json", "--who", who]));
    let executions: Vec<Value> = ["ada", "grace"]
        .into_iter()
        .map(|who| serde_json::from_str(&start(who).1).unwrap())
        .collect();
    assert_eq!(executions[0]["execution"], executions[1]["execution"]);
    assert_eq!(
        (&executions[0]["started"], &executions[1]["started"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(aws.world().executions.len(), 4);
}

#[test]
fn what_is_active_or_under_way_is_said_and_not_started_again() {
    let aws = aws(ended("recovered"));
    aws.world().record = Some(record("b", 2, &Value::Null));
    let (code, out, _) = aws.lifeboat(&RECOVER);
    assert!(code == 0 && out.contains("site b of queue is the active one already"), "{out}");

    // The alarm's recovery, which has another name, is followed.
    aws.world().record = Some(record("a", 1, &holder("by-alarm", "b")));
    aws.world().executions.insert("by-alarm".into(), running());
    let (code, out, _) = aws.lifeboat(&with(&["--no-wait"]));
    assert!(code == 0 && out.contains("queue-by-alarm was started before"), "{out}");

    aws.world().record = Some(record("b", 1, &holder("by-alarm", "a")));
    let (code, _, err) = aws.lifeboat(&RECOVER);
    assert!(code == 3 && err.contains("activates site a, not b"), "{err}");
    assert!(err.contains("lifeboat ledger release --app queue --region"), "{err}");
    assert_eq!(aws.world().executions.len(), 1);

    // It was stopped, and holds the register: the next one sees that, and releases it.
    aws.world().record = Some(record("a", 1, &holder("by-alarm", "b")));
    aws.world().executions.insert("by-alarm".into(), Execution { status: "ABORTED", ..running() });
    let (code, out, _) = aws.lifeboat(&RECOVER);
    assert!(code == 0 && out.contains("recovered"), "{out}");
    assert_eq!(aws.world().executions.len(), 2);
}

#[test]
fn a_named_recovery_is_followed_also_when_it_has_ended() {
    let aws = aws(ended("recovered"));
    aws.world().executions.insert("mine".into(), ended("stood_down"));
    let (code, _, err) = aws.lifeboat(&with(&["--incident", "mine"]));
    assert!(code == 3 && err.contains("stood down"), "{err}");
    assert_eq!(aws.world().executions.len(), 1);
}

#[test]
fn a_lost_answer_does_not_end_the_following() {
    let aws = aws(ended("recovered"));
    // As often as the SDK tries one call by itself, and more.
    aws.world().lost = 4;
    let (code, out, err) = aws.lifeboat(&RECOVER);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(aws.world().lost, 0);
}

#[test]
fn ctrl_c_stops_following_and_says_how_to_go_on() {
    let aws = aws(running());
    let mut command = aws.command(&RECOVER);
    command.env("AWS_ACCESS_KEY_ID", "AKIAENV").env("AWS_SECRET_ACCESS_KEY", "s");
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("takes the register")));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let (code, _, err) = told(&child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{err}");
    let again = err.lines().last().unwrap().rsplit("lifeboat ").next().unwrap();
    assert_eq!(again, "recover --app queue --region us-west-2 --incident queue-leaves-epoch-1");
    // As it is printed.
    aws.world().executions.insert("queue-leaves-epoch-1".into(), ended("recovered"));
    let (code, _, err) = aws.lifeboat(&again.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 0, "{err}");
}
