//! The hosts with real processes, and their API as boto3 sees it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a function of a test fails the test"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_lab_aws_model::{Answer, Models, Wire};
use lifeboat_lab_hosts::{
    HostSpec, HostState, HostsConfig, HostsError, HostsServer, ServiceSpec, ServiceState,
};

const HOST: &str = "i-0000000000000000b";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn service(name: &str, script: &str) -> ServiceSpec {
    ServiceSpec { args: vec!["-c".to_owned(), script.to_owned()], ..ServiceSpec::new(name, "sh") }
}

fn host(home: &Path, services: Vec<ServiceSpec>) -> HostSpec {
    let tags = BTreeMap::from([("lifeboat:site".to_owned(), "b".to_owned())]);
    HostSpec { tags, services, ..HostSpec::new(HOST, "app-b", "us-west-2", home) }
}

async fn server() -> HostsServer {
    let config = HostsConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        minimum_timeout_seconds: 1,
        ..HostsConfig::default()
    };
    HostsServer::start(config).await.expect("the server starts")
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().canonicalize().expect("it exists");
    (directory, path)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what} does not come true");
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        tick.tick().await;
        tick.tick().await;
    }
}

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("it has a state")
}

/// Runs `aws ssm` and returns what it says, or its error.
async fn aws(server: &HostsServer, arguments: &[&str]) -> Result<String, String> {
    let output = tokio::process::Command::new(repository().join("target/tools/venv/bin/aws"))
        .args([
            "--endpoint-url",
            &format!("http://{}", server.address()),
            "--region",
            "us-west-2",
            "--output",
            "text",
            "ssm",
        ])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        // AWS's least timeout is checked by the client too; a test of the timeout cannot wait that long.
        .env("AWS_CONFIG_FILE", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws.config"))
        .output()
        .await
        .expect("the aws CLI is in target/tools/venv");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

const SHELL: &str = "
schemaVersion: '2.2'
parameters:
  Lines: {type: StringList}
  Seconds: {type: String, default: '60'}
mainSteps:
  - {action: 'aws:runShellScript', name: run, inputs: {timeoutSeconds: '{{ Seconds }}', runCommand: ['{{ Lines }}']}}
";

async fn send(server: &HostsServer, line: &str, timeout: &str) -> String {
    // What a script may take counts with what its delivery may.
    let parameters = serde_json::json!({ "Lines": [line], "Seconds": [timeout] }).to_string();
    let arguments = [
        "send-command",
        "--document-name",
        "shell",
        "--instance-ids",
        HOST,
        "--parameters",
        &parameters,
        "--timeout-seconds",
        timeout,
        "--query",
        "Command.CommandId",
    ];
    aws(server, &arguments).await.expect("the command is taken")
}

async fn status(server: &HostsServer, command: &str) -> String {
    let query = "[Status,StatusDetails]";
    let arguments = [
        "get-command-invocation",
        "--command-id",
        command,
        "--instance-id",
        HOST,
        "--query",
        query,
    ];
    aws(server, &arguments).await.expect("the command is known").replace('\t', " ")
}

async fn until_status(server: &HostsServer, command: &str, wanted: &str) {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let now = status(server, command).await;
        if now == wanted {
            return;
        }
        assert!(Instant::now() < end, "the command is {now}, not {wanted}");
    }
}

/// What of the answers in a file does not fit the model of Systems Manager.
fn misfits(answers: &Path) -> Vec<String> {
    let models = Models::of_venv(&repository().join("target/tools/venv")).expect("botocore");
    let answers = std::fs::read_to_string(answers).expect("every answer is written down");
    let mut found = Vec::new();
    for line in answers.lines() {
        let answer: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| answer[key].as_str().expect("a text");
        let status = answer["status"].as_u64().and_then(|status| status.try_into().ok());
        let violations = models.answer(&Answer {
            service: "ssm",
            operation: text("operation"),
            wire: Wire::Json,
            status: status.expect("a status"),
            body: text("body").as_bytes(),
        });
        found.extend(violations.iter().map(ToString::to_string));
    }
    assert!(answers.lines().count() > 50, "the script makes more calls");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_command_is_that_of_aws() {
    let (_directory, home) = temporary();
    let mut server = server().await;
    server
        .add_host(host(&home, vec![service("app", "exec sleep 1000")]))
        .expect("the host is added");
    server.boot_host(HOST).await.expect("the host boots");
    server.write_hooks(HOST, "queue", &["app"]).expect("the hooks are written");
    let output = tokio::process::Command::new(repository().join("target/tools/venv/bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run_command.py"))
        .arg(format!("http://{}", server.address()))
        .arg(repository().join("infra/documents/site-control.yaml"))
        .arg(&home)
        .arg(HOST)
        .arg(home.join("answers"))
        .output()
        .await
        .expect("python is in target/tools/venv");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(misfits(&home.join("answers")), [""; 0]);
    server.stop().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_the_same_on_an_old_agent() {
    let (_directory, home) = temporary();
    let mut server = server().await;
    let spec =
        HostSpec { legacy_agent: true, ..host(&home, vec![service("app", "exec sleep 1000")]) };
    server.add_host(spec).expect("the host is added");
    server.boot_host(HOST).await.expect("the host boots");
    server.write_hooks(HOST, "queue", &["app"]).expect("the hooks are written");
    let document = std::fs::read_to_string(repository().join("infra/documents/site-control.yaml"))
        .expect("it is there");
    server.install_document("us-west-2", "lifeboat-site-control", &document).expect("it is good");
    server
        .install_document("us-west-2", "lifeboat-site-control", &document)
        .expect("twice is once");
    let parameters =
        "Action=activate,App=queue,Site=b,Epoch=3,DatabaseHost=127.0.2.20,DatabaseName=queue";
    let arguments =
        ["send-command", "--document-name", "lifeboat-site-control", "--instance-ids", HOST];
    let arguments =
        [&arguments[..], &["--parameters", parameters, "--query", "Command.CommandId"]].concat();
    let command = aws(&server, &arguments).await.expect("the command is taken");
    until_status(&server, &command, "Success Success").await;
    let site = std::fs::read_to_string(home.join("queue/site.json")).expect("it is written");
    assert!(site.contains("\"epoch\": 3"), "{site}");
    assert!(matches!(server.service_state(HOST, "app"), Ok(ServiceState::Running(_))));
    server.stop().await.expect("everything ends");
}

/// Where `lifeboat host restore` would be started, its arguments are written down.
fn with_lifeboat(home: &Path) -> (PathBuf, BTreeMap<String, String>) {
    use std::os::unix::fs::PermissionsExt;
    let (program, said) = (home.join("lifeboat"), home.join("said"));
    let script = format!("#!/bin/sh\necho \"$@\" > {}\n", said.display());
    std::fs::write(&program, script).expect("it is written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("it is ours");
    let program = program.to_string_lossy().into_owned();
    (said, BTreeMap::from([("LIFEBOAT_BIN".to_owned(), program)]))
}

async fn restore(server: &HostsServer, to: &str) -> Result<String, String> {
    let parameters = format!(
        "App=queue,Site=b,Region=us-west-2,Bucket=lifeboat-backups-000000000000-us-west-2,Kind=database-base,\
         Point=20261124T120000Z-full,Target=place{to}"
    );
    let arguments = ["send-command", "--document-name", "lifeboat-restore", "--instance-ids", HOST];
    let more = ["--parameters", parameters.as_str(), "--query", "Command.CommandId"];
    aws(server, &[&arguments[..], &more].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_of_restores_passes_a_moment_on_and_nothing_else() {
    for legacy_agent in [false, true] {
        let (_directory, home) = temporary();
        let mut server = server().await;
        let (said, env) = with_lifeboat(&home);
        let services = vec![service("app", "exec sleep 1000")];
        let spec = HostSpec { legacy_agent, env, ..host(&home, services) };
        server.add_host(spec).expect("the host is added");
        server.boot_host(HOST).await.expect("the host boots");
        let document = std::fs::read_to_string(repository().join("infra/documents/restore.yaml"))
            .expect("it is there");
        server.install_document("us-west-2", "lifeboat-restore", &document).expect("it is good");
        for (to, ends) in
            [("", "--target place"), (",To=2026-11-24T16:05:00Z", " --to 2026-11-24T16:05:00Z")]
        {
            let command = restore(&server, to).await.expect("the command is taken");
            until_status(&server, &command, "Success Success").await;
            let said = std::fs::read_to_string(&said).expect("it was started");
            assert!(said.trim_end().ends_with(ends), "{said}");
            std::fs::remove_file(home.join("said")).expect("it is there");
        }
        let refused = restore(&server, ",To=now").await.expect_err("it has a pattern");
        assert!(refused.contains("InvalidParameters"), "{refused}");
        // A copy without the pattern.
        let pattern = "    allowedPattern: '^([0-9]{4}-";
        let lines = document.lines().filter(|line| !line.starts_with(pattern));
        let copy: Vec<&str> = lines.collect();
        assert_eq!(copy.len() + 1, document.lines().count());
        server
            .install_document("us-west-2", "lifeboat-restore", &copy.join("\n"))
            .expect("it is good");
        let command = restore(&server, ",To=2026-11-24T16:05:00Z1").await.expect("it is taken");
        until_status(&server, &command, "Failed Failed").await;
        assert!(!said.exists(), "nothing was started");
        server.stop().await.expect("everything ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_runs_nothing_and_a_booted_one_takes_its_commands() {
    let (_directory, home) = temporary();
    let mut server = server().await;
    let at_boot = ServiceSpec { start_at_boot: true, ..service("app", "sleep 1000 & wait") };
    server.add_host(host(&home, vec![at_boot])).expect("the host is added");
    server.install_document("us-west-2", "shell", SHELL).expect("it is good");

    // Off: the command waits, and times out undelivered.
    let expired = send(&server, "true", "1").await;
    until_status(&server, &expired, "TimedOut DeliveryTimedOut").await;
    let waits = send(&server, "echo delivered", "60").await;
    assert_eq!(status(&server, &waits).await, "Pending Pending");
    server.boot_host(HOST).await.expect("the host boots");
    until_status(&server, &waits, "Success Success").await;

    // A daemon that leaves its session and its parent is found by the host's mark.
    let daemon = send(&server, "(setsid sleep 1001 </dev/null >/dev/null 2>&1 &)", "60").await;
    until_status(&server, &daemon, "Success Success").await;
    let running = send(&server, "sleep 1002", "60").await;
    until_status(&server, &running, "InProgress InProgress").await;
    until("the processes run", || server.pids(HOST).is_ok_and(|pids| pids.len() >= 5)).await;
    let pids = server.pids(HOST).expect("the host is known");
    server.kill_host(HOST).await.expect("everything ends");
    assert!(pids.iter().all(|pid| !alive(*pid)), "{pids:?}");
    assert_eq!(server.pids(HOST).expect("the host is known"), Vec::<u32>::new());
    assert_eq!(server.host_state(HOST).expect("the host is known"), HostState::Off);
    assert!(matches!(server.start_service(HOST, "app").await, Err(HostsError::NotRunning { .. })));
    // Nobody reports the end of what ran on it.
    assert_eq!(status(&server, &running).await, "InProgress InProgress");

    server.boot_host(HOST).await.expect("the host boots again");
    server.kill_host(HOST).await.expect("everything ends");
    server.boot_host(HOST).await.expect("a boot right after a kill starts everything");
    server.boot_host(HOST).await.expect("a host that is on stays on");
    assert!(
        matches!(server.service_state(HOST, "app"), Ok(ServiceState::Running(pid)) if alive(pid))
    );
    let pids = server.pids(HOST).expect("the host is known");
    server.stop().await.expect("everything ends");
    server.stop().await.expect("twice is once");
    assert!(!pids.is_empty() && pids.iter().all(|pid| !alive(*pid)), "{pids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_several_hosts_is_told_host_by_host_and_page_by_page() {
    let (_directory, home) = temporary();
    let mut server = HostsServer::start(HostsConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        minimum_timeout_seconds: 1,
        largest_page: 2,
        ..HostsConfig::default()
    })
    .await
    .expect("the server starts");
    server.install_document("us-west-2", "shell", SHELL).expect("it is good");
    for (id, boots) in [(HOST, true), ("i-0000000000000000c", true), ("i-0000000000000000d", false)]
    {
        let spec = host(&home.join(id), Vec::new());
        let spec = HostSpec { instance_id: id.to_owned(), ..spec };
        server.add_host(spec).expect("the host is added");
        if boots {
            server.boot_host(id).await.expect("the host boots");
        }
    }
    let line = format!("[ $AWS_SSM_INSTANCE_ID = {HOST} ]");
    let parameters = serde_json::json!({ "Lines": [line], "Seconds": ["1"] }).to_string();
    let arguments = [
        ["--document-name", "shell", "--targets", "Key=tag:lifeboat:site,Values=b"],
        ["--parameters", &parameters, "--max-errors", "100%"],
        ["--timeout-seconds", "1", "--query", "Command.CommandId"],
    ];
    let command = aws(&server, &[&["send-command"], arguments.concat().as_slice()].concat()).await;
    let command = command.expect("the command is taken");
    let counts = "Commands[0].[Status,StatusDetails,TargetCount,CompletedCount,ErrorCount,DeliveryTimedOutCount]";
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let arguments = ["list-commands", "--command-id", &command, "--query", counts];
        let told = aws(&server, &arguments).await.expect("the command is known");
        if told.split_whitespace().nth(3) == Some("3") {
            assert_eq!(told.replace('\t', " "), "Success Incomplete 3 3 1 1");
            break;
        }
        assert!(Instant::now() < end, "it does not end: {told}");
    }
    let list = ["list-command-invocations", "--command-id", &command];
    let page = [&list[..], &["--no-paginate", "--query", "[length(CommandInvocations),NextToken]"]];
    let page = aws(&server, &page.concat()).await.expect("it is listed");
    assert_eq!(page.replace('\t', " "), "2 2", "two of three, and where to go on");
    let all = [&list[..], &["--query", "CommandInvocations[].StatusDetails"]].concat();
    let all = aws(&server, &all).await.expect("it is listed");
    let mut all: Vec<&str> = all.split_whitespace().collect();
    all.sort_unstable();
    assert_eq!(all, ["DeliveryTimedOut", "Failed", "Success"]);
    server.stop().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_host_stands_still() {
    let (_directory, home) = temporary();
    let mut server = server().await;
    server
        .add_host(host(&home, vec![service("app", "sleep 1000 & wait")]))
        .expect("the host is added");
    server.install_document("us-west-2", "shell", SHELL).expect("it is good");
    server.boot_host(HOST).await.expect("the host boots");
    let ServiceState::Running(pid) = server.start_service(HOST, "app").await.expect("it starts")
    else {
        panic!("the service runs")
    };
    server.freeze_host(HOST).await.expect("it freezes");
    let pids = server.pids(HOST).expect("the host is known");
    assert!(pids.contains(&pid) && pids.iter().all(|pid| state(*pid) == 'T'), "{pids:?}");
    let waits = send(&server, "true", "60").await;
    assert_eq!(status(&server, &waits).await, "Pending Pending");
    server.thaw_host(HOST).await.expect("it thaws");
    until_status(&server, &waits, "Success Success").await;
    assert_eq!(server.service_state(HOST, "app").expect("it is known"), ServiceState::Running(pid));
    server.freeze_host(HOST).await.expect("it freezes");
    server.kill_host(HOST).await.expect("a frozen host can be killed");
    assert!(pids.iter().all(|pid| !alive(*pid)), "{pids:?}");
    server.stop().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_start_once_and_stop_whole() {
    let (_directory, home) = temporary();
    let mut server = server().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("it has an address");
    let deaf = "trap '' TERM; while :; do sleep 1000; done";
    let python = "import socket, sys, time; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); time.sleep(1000)";
    let ready = ServiceSpec {
        program: "python3".to_owned(),
        args: vec![
            "-c".to_owned(),
            python.to_owned(),
            port.ip().to_string(),
            port.port().to_string(),
        ],
        ready: Some(port),
        ..service("ready", "")
    };
    let ends = ServiceSpec { ready: Some(port), ..service("ends", "echo wrong; exit 4") };
    server
        .add_host(host(&home, vec![service("deaf", deaf), ends, ready]))
        .expect("the host is added");
    assert!(matches!(server.add_host(host(&home, Vec::new())), Err(HostsError::DuplicateHost(_))));
    server.boot_host(HOST).await.expect("the host boots");

    let (first, second) =
        tokio::join!(server.start_service(HOST, "deaf"), server.start_service(HOST, "deaf"));
    assert_eq!(first.expect("it starts"), second.expect("it runs already"));
    let error = server.start_service(HOST, "ends").await.expect_err("it ends at once");
    assert!(matches!(&error, HostsError::Ended { status, .. } if status.contains('4')), "{error}");
    assert_eq!(server.service_state(HOST, "ends").expect("it is known"), ServiceState::Stopped);
    server.start_service(HOST, "ready").await.expect("it starts");
    tokio::net::TcpStream::connect(port).await.expect("a started service is ready");
    let pids = server.pids(HOST).expect("the host is known");
    server.stop_service(HOST, "deaf").await.expect("SIGKILL ends it");
    server.stop_service(HOST, "deaf").await.expect("twice is once");
    server.stop_service(HOST, "ready").await.expect("it stops");
    assert!(pids.iter().all(|pid| !alive(*pid)), "{pids:?}");
    let unknown = server.stop_service(HOST, "nothing").await.expect_err("there is no such service");
    assert!(unknown.to_string().contains("deaf, ends, ready"), "{unknown}");
    server.stop().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_puts_nothing_in_order_and_can_be_started_again() {
    let (_directory, home) = temporary();
    let mut server = server().await;
    let tidy = "trap 'touch in-order; exit' TERM; while :; do sleep 1000 & wait; done";
    server.add_host(host(&home, vec![service("tidy", tidy)])).expect("the host is added");
    server.boot_host(HOST).await.expect("the host boots");
    let first = server.start_service(HOST, "tidy").await.expect("it starts");
    server.kill_service(HOST, "tidy").await.expect("SIGKILL ends it");
    server.kill_service(HOST, "tidy").await.expect("twice is once");
    assert_eq!(server.service_state(HOST, "tidy").expect("it is known"), ServiceState::Stopped);
    assert_eq!(server.pids(HOST).expect("the host is known"), Vec::<u32>::new());
    assert!(!home.join("in-order").exists());
    let second = server.start_service(HOST, "tidy").await.expect("it starts again");
    assert_ne!(first, second);
    server.stop().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_server_takes_its_services_along() {
    let (_directory, home) = temporary();
    let server = server().await;
    server
        .add_host(host(&home, vec![service("app", "exec sleep 1000")]))
        .expect("the host is added");
    server.boot_host(HOST).await.expect("the host boots");
    let ServiceState::Running(pid) = server.start_service(HOST, "app").await.expect("it starts")
    else {
        panic!("the service runs")
    };
    drop(server);
    until("the service ends", || !alive(pid)).await;
}
