//! `lifeboat ledger`: what the registers say, and the two changes of them that are a person's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

mod support;

use serde_json::{Value, json};
use support::{Aws, Execution, HERE, record};

fn command(what: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    ["ledger", what, "--app", "queue", "--region", HERE]
        .into_iter()
        .chain(more.iter().copied())
        .collect()
}

fn holder(state: &str) -> Value {
    json!({
        "incident": "queue-by-alarm", "target": "b", "epoch": 2, "state": state,
        "execution": format!("arn:aws:states:{HERE}:123456789012:execution:lifeboat-recover:by-alarm"),
        // Far from now, so that it is never too old.
        "opened_at": "2999-01-01T00:00:00Z",
    })
}

/// Site a serves under epoch 1; the register here says something else.
fn aws(here: Value) -> Aws {
    let aws = Aws::start();
    let mut world = aws.world();
    world.record = Some(record("a", 1, &Value::Null));
    world.registers.insert(HERE.to_owned(), here);
    drop(world);
    aws
}

fn execution(status: &'static str) -> Execution {
    Execution { status, ..Execution::default() }
}

#[test]
fn what_each_register_says_is_shown_with_the_next_command() {
    let aws = aws(record("b", 2, &holder("failed")));
    let (code, out, err) = aws.lifeboat(&command("show", &[]));
    assert_eq!(code, 0, "{err}");
    for says in [
        "us-west-2  site b under epoch 2",
        "us-east-1  site a under epoch 1",
        "together  site a may write under epoch 1",
        "next  lifeboat ledger abandon --app queue --region us-west-2",
        "next  lifeboat recover --app queue --region us-west-2",
    ] {
        assert!(out.contains(says), "{says}\n{out}");
    }
    let (_, out, _) = aws.lifeboat(&command("show", &["--json"]));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&shown["agreed"]["site"], shown["notices"].as_array().unwrap().len()),
        (&json!("a"), 2)
    );
}

#[test]
fn a_region_that_does_not_answer_is_owed() {
    let aws = aws(record("a", 1, &Value::Null));
    aws.world().dark = vec!["us-east-1"];
    let (code, out, err) = aws.lifeboat(&command("show", &[]));
    assert!(code == 4 && out.contains("us-east-1 does not answer"), "{code} {out}{err}");
}

#[test]
fn a_recovery_is_released_once_its_execution_has_ended() {
    let aws = aws(record("a", 2, &holder("open")));
    aws.world().executions.insert("by-alarm".into(), execution("RUNNING"));
    let (code, _, err) = aws.lifeboat(&command("release", &["--yes"]));
    assert!(code == 3 && err.contains("stop-execution --region us-west-2"), "{err}");
    aws.world().executions.insert("by-alarm".into(), execution("ABORTED"));
    let (code, _, err) = aws.lifeboat(&command("release", &[]));
    assert!(code == 2 && err.contains("nothing was written"), "{err}");
    assert_eq!(aws.world().registers[HERE]["recovery"]["state"], "open");
    let (code, out, err) = aws.lifeboat(&command("release", &["--yes"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("lifeboat recover --app queue --region us-west-2"), "{out}");
    assert_eq!(aws.world().registers[HERE]["recovery"]["state"], "failed");
    let (code, _, err) = aws.lifeboat(&command("release", &["--yes"]));
    assert!(code == 3 && err.contains("nothing to release"), "{err}");
}

#[test]
fn a_claim_without_a_majority_is_given_up() {
    let aws = aws(record("b", 2, &holder("claimed")));
    let (code, _, err) = aws.lifeboat(&command("abandon", &["--yes"]));
    assert!(code == 3 && err.contains("may complete its claim"), "{err}");
    aws.world().registers.insert(HERE.to_owned(), record("b", 2, &holder("failed")));
    let (code, out, err) = aws.lifeboat(&command("abandon", &["--yes"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("us-west-2  site b under epoch 2 is given up"), "{out}");
    let put_back = aws.world().registers[HERE].clone();
    assert_eq!(
        (&put_back["active_site"], &put_back["epoch"], &put_back["highest_reserved"]),
        (&json!("a"), &json!(1), &json!(2))
    );
    let (code, _, err) = aws.lifeboat(&command("abandon", &["--yes"]));
    assert!(code == 3 && err.contains("nothing to give up"), "{err}");
}
