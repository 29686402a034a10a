//! The operator's command as a person runs it: what it prints, and with which exit code.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "command/cloud.rs"]
mod cloud;
#[path = "command/plan.rs"]
mod plan;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use lifeboat_tests::root;

/// Exit code, standard output, standard error. No AWS can be reached: what needs one must fail.
fn lifeboat(arguments: &[&str]) -> (i32, String, String) {
    lifeboat_at("http://127.0.0.1:9", arguments)
}

/// The same with something at this address that answers as AWS.
fn lifeboat_at(endpoint: &str, arguments: &[&str]) -> (i32, String, String) {
    lifeboat_given(endpoint, "", arguments)
}

/// The same with this on standard input.
fn lifeboat_given(endpoint: &str, input: &str, arguments: &[&str]) -> (i32, String, String) {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("lifeboat");
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that asks for nothing may have ended by now.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
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
fn what_a_plan_configures_and_never_takes_is_noted_beside_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("less.toml");
    let good = std::fs::read_to_string(root().join("events/plan/postgres.toml")).unwrap();
    let less = good.replace("logs = { every = \"4h\" }\n", "");
    std::fs::write(&file, &less).unwrap();
    let line = less.lines().position(|line| line == "[backup.files.logs]").unwrap() + 1;
    let (code, out, err) = lifeboat(&["plan", "check", file.to_str().unwrap(), "--json"]);
    assert_eq!(code, 0, "{err}");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["plan"]["app"], "shop");
    assert_eq!(answer["warnings"][0]["path"], "backup.files.logs");
    assert_eq!(answer["warnings"][0]["line"], line);
    assert!(answer["needs"][0].as_str().unwrap().contains("S3 Block Public Access"), "{answer}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.starts_with("lifeboat: warning: "), "{err}");
    assert!(
        err.contains(&format!("less.toml:{line}:")) && err.contains("backup.files.logs: "),
        "{err}"
    );
}

#[test]
fn a_wrong_plan_is_refused_with_every_mistake_in_its_place_and_nothing_is_asked_of_aws() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    let good = std::fs::read_to_string(root().join("events/plan/queue.toml")).unwrap();
    let wrong = good
        .replace("region = \"us-west-2\"", "region = \"us-east-1\"")
        .replace("ttl_seconds = 5", "ttl_seconds = 90")
        .replace("rpo_seconds = 30", "rpo_seconds = 0");
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
fn all_that_does_not_fit_a_plan_is_told_at_once_in_the_words_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typed.toml");
    let good = std::fs::read_to_string(root().join("events/plan/queue.toml")).unwrap();
    let typed = good
        .replace("ttl_seconds = 5", "ttl_second = 5")
        .replace("quorum = 2", "quorum = \"two\"")
        .replace("logs = { every = \"4h\" }", "logs = \"4h\"");
    std::fs::write(&file, typed).unwrap();
    let (code, out, err) = lifeboat(&["plan", "check", file.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    for says in ["did you mean `ttl_seconds`?", "detection.quorum: ", "backup.schedule.logs: "] {
        assert!(err.contains(says), "{says}: {err}");
    }
    assert!(!err.contains("struct") && !err.contains("u32"), "{err}");
    assert!(err.ends_with("4 mistakes; nothing was written\n"), "{err}");
}

#[test]
fn without_aws_the_command_fails_in_a_line_for_each_region_that_says_what_it_was_doing() {
    let (code, _, err) = lifeboat(&["plan", "apply", "events/plan/queue.toml"]);
    assert_eq!(code, 1);
    for region in ["us-east-1", "us-west-2"] {
        assert!(err.contains(&format!("list machines in {region}")), "{err}");
    }
    assert_eq!(err.lines().count(), 3, "{err}");
}

#[test]
fn a_sweep_is_explained_for_people_and_for_machines() {
    let files = |policy: &'static str| {
        let catalogue = "events/retention/newest-corrupt.json";
        let now = "2026-11-24T12:00:00Z";
        vec!["retention", "plan", "--catalog", catalogue, "--policy", policy, "--now", now]
    };
    let (code, out, err) = lifeboat(&files("events/retention/newest-corrupt.toml"));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("20261122T000000Z-full  newest verified\n"), "{out}");
    assert!(out.contains("20261123T000000Z-full  damaged, and older than its 1 day\n"), "{out}");
    assert!(out.contains("the newest verified one, 20261122T000000Z-full, is kept\n"), "{out}");

    let mut arguments = files("events/retention/newest-corrupt.toml");
    arguments.push("--json");
    let (code, out, _) = lifeboat(&arguments);
    assert_eq!(code, 0);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["deletions"].as_array().unwrap().len(), 3);
    assert_eq!(answer["summary"]["notes"][0]["code"], "newest-unusable");
    let kept = answer["decisions"].as_array().unwrap().iter().find(|of| of["action"] == "keep");
    assert_eq!(kept.unwrap()["reason"]["code"], "newest-verified");
}

#[test]
fn wrong_files_of_a_sweep_are_refused_where_they_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = std::fs::read_to_string(root().join("events/retention/hold.json")).unwrap();
    let policy = write("policy.toml", "");
    let plan = |catalogue: &str, policy: &str| {
        let now = "2026-11-24T12:00:00Z";
        lifeboat(&["retention", "plan", "--catalog", catalogue, "--policy", policy, "--now", now])
    };
    let catalogue = write("good.json", &good);
    assert_eq!(plan(&catalogue, &policy).0, 0);
    // As it stands in a plan, and the plan itself.
    let section = "[backup.retention]\nminimum = 3\nkeep_days = { database-dump = 30 }\n";
    assert_eq!(plan(&catalogue, &write("section.toml", section)).0, 0);
    let whole = root().join("events/plan/postgres.toml");
    assert_eq!(plan(&catalogue, whole.to_str().unwrap()).0, 0);
    for (name, text, says) in [
        ("kind.json", good.replace("database-dump", "tapes"), "kind.json:4:"),
        ("field.json", good.replace("\"region\"", "\"place\""), "points[0]"),
        ("cut.json", good[..good.len() / 2].to_owned(), "cut.json:"),
        ("twice.json", format!("{good}{good}"), "something follows the catalogue"),
    ] {
        let (code, out, err) = plan(&write(name, &text), &policy);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(says) && err.ends_with("nothing was planned\n"), "{err}");
    }
    for (name, text, says) in [
        ("p.toml", "minimum = 3\n[limit]\ndeletions = 0", "p.toml:3:1: limit.deletions: "),
        (
            "p.toml",
            "minimun = 3",
            "p.toml:1:1: minimun: unknown key `minimun`; did you mean `minimum`?",
        ),
        (
            "p.toml",
            "[backup.retention]\nminimum = 0",
            "p.toml:2:1: backup.retention.minimum: use 1",
        ),
        ("p.json", "{\"minimum\": 0}", "p.json:minimum: use 1 to"),
        ("p.json", "{\n\"minimum\": true}", "p.json:2:"),
    ] {
        let (code, out, err) = plan(&catalogue, &write(name, text));
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(says), "{err}");
    }
    assert_eq!(plan("nowhere.json", &policy).0, 2);
}

/// A bucket of one file of WAL, another that it does not give, and nothing else. Its address; it ends
/// with the test.
fn bucket() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A frame of zstd with one raw block (RFC 8878, section 3.1.1).
    let frame = b"\x28\xb5\x2f\xfd\x20\x07\x39\x00\x00segment".to_vec();
    let error = |code: &str| format!("<Error><Code>{code}</Code></Error>").into_bytes();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let (status, body) = match request.split(['?', ' ']).nth(1) {
                Some(
                    "/lifeboat-backups-123456789012-us-west-2/wal/queue/73/000000010000000000000005.zst",
                ) => ("200 OK", frame.clone()),
                Some(
                    "/lifeboat-backups-123456789012-us-west-2/wal/queue/73/00000002.history.zst",
                ) => ("403 Forbidden", error("AccessDenied")),
                _ => ("404 Not Found", error("NoSuchKey")),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            drop((&stream).write_all(&[head.as_bytes(), &body].concat()));
        }
    });
    address
}

#[test]
fn a_recovering_server_can_tell_that_there_is_no_more_wal_from_that_it_cannot_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{}", bucket());
    let fetch_from = |bucket: &str, file: &str| {
        let to = folder.path().join("RECOVERYXLOG");
        let (code, out, err) = lifeboat_at(
            &endpoint,
            &[
                "host",
                "wal",
                "fetch",
                "--app",
                "queue",
                "--region",
                "us-west-2",
                "--bucket",
                bucket,
                "--system",
                "73",
                file,
                to.to_str().unwrap(),
            ],
        );
        assert_eq!(out, "");
        (code, err, std::fs::read_to_string(to).ok())
    };
    let fetch = |file: &str| fetch_from("lifeboat-backups-123456789012-us-west-2", file);
    let (code, err, there) = fetch("000000010000000000000006");
    assert_eq!((code, there), (1, None), "{err}");
    let (code, err, there) = fetch("00000002.history");
    assert_eq!((code, there), (200, None), "{err}");
    let (code, err, there) = fetch("000000010000000000000005");
    assert_eq!((code, there.as_deref()), (0, Some("segment")), "{err}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // Whose it is cannot be told: nobody is asked, and the server must not take it for the end.
    let (code, err, _) = fetch_from("backups", "000000010000000000000006");
    assert_eq!(code, 200, "{err}");
    assert!(err.contains("bucket backups has no account in its name"), "{err}");
}

#[test]
fn a_restore_that_makes_no_sense_is_refused_before_anybody_is_asked() {
    let restore = |more: &[&str]| {
        let all = ["restore", "--app", "queue", "--region", "us-west-2", "--kind"];
        lifeboat(&[&all, more].concat())
    };
    for (more, says) in [
        (&["cache", "--to", "2026-11-24T12:00:00Z"][..], "no moments between its backups"),
        (&["database-base", "--to", "2999-01-01T00:00:00Z"], "has not come yet"),
        (&["database-wal"], "give --kind database-base --to TIME"),
        // Nobody sits at this test.
        (&["config", "--into", "place"], "give --yes"),
        (&["config", "--point", "yesterday"], "is not the name of a recovery point"),
    ] {
        let (code, out, err) = restore(more);
        assert_eq!((code, out.as_str()), (2, ""), "{more:?}: {err}");
        assert!(err.contains(says), "{more:?}: {err}");
    }
    let (code, out, err) = restore(&["config", "--into", "place", "--yes"]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("list machines in us-west-2"), "{err}");
    let (code, help, _) = lifeboat(&["restore", "--help"]);
    assert_eq!(code, 0);
    for taught in ["--to", "Exit codes:", "new instance", "--into place"] {
        assert!(help.contains(taught), "{taught} is not in {help}");
    }
}

#[test]
fn a_checksum_that_is_none_is_refused_and_damages_nothing() {
    let file = root().join("Cargo.toml");
    let (code, out, err) = lifeboat(&["verify", file.to_str().unwrap(), "--sha256", "zz"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("give its 64 hexadecimal digits"), "{err}");
}

/// The registers of regions, and the plan, as S3 and Parameter Store give them to `lifeboat host
/// join`. A region without a record here answers nobody.
fn registers(records: &[(&str, u64, &str)]) -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let plan = lifeboat_core::plan_file::read(
        &std::fs::read_to_string(root().join("events/plan/queue.toml")).unwrap(),
    )
    .unwrap();
    let parameter = serde_json::json!({ "Parameter": {
        "Name": "/lifeboat/plans/queue", "Type": "String",
        "Value": serde_json::to_string(&plan).unwrap(),
    } });
    let records: Vec<(String, String)> = records
        .iter()
        .map(|(region, epoch, site)| {
            let record = serde_json::json!({
                "app": "queue", "epoch": epoch, "highest_reserved": epoch, "active_site": site,
                "recovery": null, "updated_at": "2026-11-24T12:00:00Z",
            });
            (
                format!("/lifeboat-ledger-123456789012-{region}/control/queue.json"),
                record.to_string(),
            )
        })
        .collect();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let (mut request, mut length) = (String::new(), 0_u64);
            let _ = reader.read_line(&mut request);
            for line in reader.by_ref().lines().map_while(Result::ok) {
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let _ = std::io::copy(&mut reader.take(length), &mut std::io::sink());
            let path = request.split(['?', ' ']).nth(1).unwrap_or_default();
            let found = records.iter().find(|(key, _)| key == path);
            let body = match found {
                _ if path == "/" => parameter.to_string(),
                Some((_, record)) => record.clone(),
                // A reset, as a dark region's.
                None => continue,
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            drop((&stream).write_all(format!("{head}{body}").as_bytes()));
        }
    });
    address
}

#[test]
fn a_host_that_boots_takes_its_sites_role_and_starts_the_app_where_it_is_active() {
    use std::os::unix::fs::PermissionsExt;
    let join = |home: &Path, records: &[(&str, u64, &str)]| {
        let home = home.to_str().unwrap();
        let place = ["--app", "queue", "--site", "b", "--region", "us-west-2"];
        let more = [
            "--peer",
            "us-east-1,us-east-2",
            "--ledger-prefix",
            "lifeboat-ledger-123456789012",
            "--home",
            home,
        ];
        let all = [&["host", "join"], &place[..], &more[..]].concat();
        lifeboat_at(&format!("http://{}", registers(records)), &all)
    };
    let host = || {
        let home = tempfile::tempdir().unwrap();
        let hooks = home.path().join("queue/hooks");
        std::fs::create_dir_all(&hooks).unwrap();
        std::fs::write(hooks.join("start"), "#!/bin/sh\necho $LIFEBOAT_EPOCH > started\n").unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(hooks.join("start"), mode).unwrap();
        home
    };
    let site = |home: &Path| -> serde_json::Value {
        let text = std::fs::read(home.join("queue/site.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };

    // Launched after the activation.
    let home = host();
    let active = [("us-west-2", 2, "b"), ("us-east-2", 2, "b")];
    let (code, out, err) = join(home.path(), &active);
    assert_eq!((code, err.as_str()), (0, ""));
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((said["role"].as_str(), said["hook"].as_str()), (Some("active"), Some("start")));
    assert_eq!(site(home.path())["database"]["host"], "127.0.2.20");
    let started = || std::fs::read_to_string(home.path().join("queue/started")).unwrap();
    assert_eq!(started(), "2\n");
    let (code, out, _) = join(home.path(), &active);
    assert_eq!(code, 0);
    assert!(out.contains(r#""changed":false"#), "{out}");

    // The others went on.
    let others = [("us-west-2", 2, "b"), ("us-east-1", 3, "a"), ("us-east-2", 3, "a")];
    let (code, _, err) = join(home.path(), &others);
    assert_eq!(code, 4, "there is no stop hook: {err}");
    assert_eq!(
        (site(home.path())["role"].as_str(), site(home.path())["epoch"].as_u64()),
        (Some("standby"), Some(3))
    );

    // Its own region's register may be the one that was left behind.
    let home = host();
    let (code, out, err) = join(home.path(), &[("us-west-2", 2, "b")]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("us-east-1: no answer") && err.contains("run it again"), "{err}");
    assert_eq!(site(home.path())["role"], "standby");
    assert!(!home.path().join("queue/started").exists());
}

#[test]
fn the_units_start_the_command_with_arguments_that_it_knows() {
    let folder = root().join("packaging/systemd");
    let example = std::fs::read_to_string(folder.join("app.env.example")).unwrap();
    let mut settings: Vec<(&str, &str)> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    settings.extend([("LIFEBOAT_HOME", "/opt/lifeboat"), ("STATE_DIRECTORY", "/var/lib/x")]);
    settings.push(("LIFEBOAT_ROUND_TRIP_MS", "250"));
    for unit in ["guard", "join", "wal"] {
        let text =
            std::fs::read_to_string(folder.join(format!("lifeboat-{unit}@.service"))).unwrap();
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/lifeboat "));
        let mut start = start.unwrap().replace("%i", "queue");
        for (name, value) in &settings {
            start = start.replace(&format!("${{{name}}}"), value);
        }
        assert!(!start.contains(['$', '%']), "{unit}: {start}");
        let mut arguments: Vec<&str> = start.split(' ').collect();
        // The parser is done with them all when it is told to help.
        arguments.push("--help");
        let (code, out, err) = lifeboat(&arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{unit}");
        let options = arguments.iter().filter(|argument| argument.starts_with("--"));
        assert!(options.clone().all(|option| out.contains(option)), "{unit}: {out}");
    }
}

/// Runs what follows it at a terminal of its own, answers the first question, and prints all that the
/// terminal showed.
const AT_A_TERMINAL: &str = r#"
import os, pty, sys, termios
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown, answered = b"", False
while True:
    try:
        got = os.read(terminal, 4096)
    except OSError:
        break
    if not got:
        break
    shown += got
    if b": " in shown and not answered:
        # As people do: they type when they are asked, and by then what is typed is not shown.
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            os.sched_yield()
        os.write(terminal, sys.argv[1].encode() + b"\n")
        answered = True
os.waitpid(child, 0)
sys.stdout.buffer.write(shown)
"#;

#[test]
fn a_secret_that_is_typed_is_asked_for_and_not_shown() {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("lifeboat");
    let output = Command::new("python3")
        .args(["-c", AT_A_TERMINAL, "hunter2"])
        .arg(program)
        .args(["secret", "events/plan/queue.toml", "database"])
        .current_dir(root())
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("Value of database"), "{shown}");
    assert!(shown.contains("the secret database"), "it went on to AWS: {shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
