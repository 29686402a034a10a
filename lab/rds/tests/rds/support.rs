//! A server of its own addresses, and boto3 to call it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lifeboat_lab_aws_model::{Answer, Models, Wire};
use lifeboat_lab_rds::{AddressPool, RdsConfig};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

pub(crate) const EAST: &str = "us-east-1";
pub(crate) const WEST: &str = "us-west-2";

/// A configuration whose instances are at 127.77.`third`.20 and 127.77.`third + 1`.20.
pub(crate) fn config(data_dir: &Path, third: u8) -> RdsConfig {
    let pool = |third| AddressPool { first: Ipv4Addr::new(127, 77, third, 20), size: 5 };
    RdsConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        regions: BTreeMap::from([
            (EAST.to_owned(), pool(third)),
            (WEST.to_owned(), pool(third + 1)),
        ]),
        replication_links: BTreeMap::new(),
        min_free_bytes: 200 << 20,
        ..RdsConfig::lab(data_dir)
    }
}

pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/venv/bin")
}

/// An error that the API answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) status: u64,
    pub(crate) message: String,
}

/// Every answer fits the model of RDS: boto3 skips over what it does not know.
#[track_caller]
fn check_model(raw: &Value) {
    static MODELS: LazyLock<Models> =
        LazyLock::new(|| Models::of_venv(&tools().join("..")).unwrap());
    let text = |key: &str| raw[key].as_str().unwrap_or_else(|| panic!("no {key}: {raw}"));
    let violations = MODELS.answer(&Answer {
        service: "rds",
        operation: text("operation"),
        wire: Wire::Query,
        status: raw["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap(),
        body: text("body").as_bytes(),
    });
    let shown: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{shown:?} in {}", text("body"));
}

/// boto3 in a process of its own.
pub(crate) struct Boto {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Boto {
    pub(crate) fn new(endpoint: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rds/boto.py");
        let mut command = Command::new(tools().join("python"));
        command.arg(script).arg(endpoint).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("the tools are absent, make builds them: {e}"));
        let (stdin, stdout) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    pub(crate) fn call(
        &mut self,
        region: &str,
        call: &str,
        with: &Value,
    ) -> Result<Value, Refusal> {
        writeln!(self.stdin, "{}", json!({ "region": region, "call": call, "with": with }))
            .unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let mut result: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{call}: {e}: {line}"));
        check_model(&result["raw"]);
        match result["code"].as_str() {
            None => Ok(result["answer"].take()),
            Some(code) => Err(Refusal {
                code: code.to_owned(),
                status: result["status"].as_u64().unwrap(),
                message: result["message"].as_str().unwrap().to_owned(),
            }),
        }
    }

    pub(crate) fn ok(&mut self, region: &str, call: &str, with: &Value) -> Value {
        self.call(region, call, with).unwrap_or_else(|e| panic!("{call} {with}: {e:?}"))
    }

    /// The code and HTTP status of a call that must fail.
    pub(crate) fn refused(&mut self, region: &str, call: &str, with: &Value) -> (String, u64) {
        let refusal = self.call(region, call, with).expect_err("must be refused");
        (refusal.code, refusal.status)
    }

    pub(crate) fn instance(&mut self, region: &str, id: &str) -> Value {
        self.ok(region, "describe_db_instances", &json!({ "DBInstanceIdentifier": id }))["DBInstances"][0].take()
    }

    /// Waits for a status, which must come after nothing but the given ones.
    pub(crate) async fn wait(
        &mut self,
        region: &str,
        id: &str,
        over: &[&str],
        status: &str,
    ) -> Value {
        let begin = Instant::now();
        loop {
            let instance = self.instance(region, id);
            let now = instance["DBInstanceStatus"].as_str().unwrap().to_owned();
            if now == status {
                tell(id, status, begin);
                return instance;
            }
            if !over.contains(&now.as_str()) {
                let events = self.ok(region, "describe_events", &json!({}));
                panic!("{id} is {now} on its way over {over:?} to {status}: {events}");
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{id} is still {now}");
            tick(40).await;
        }
    }

    pub(crate) async fn wait_gone(&mut self, region: &str, id: &str) {
        let begin = Instant::now();
        loop {
            match self.call(region, "describe_db_instances", &json!({ "DBInstanceIdentifier": id }))
            {
                Err(refusal) => {
                    assert_eq!(
                        (refusal.code.as_str(), refusal.status),
                        ("DBInstanceNotFound", 404)
                    );
                    tell(id, "gone", begin);
                    return;
                }
                Ok(answer) => assert_eq!(answer["DBInstances"][0]["DBInstanceStatus"], "deleting"),
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{id} is still there");
            tick(40).await;
        }
    }
}

impl Drop for Boto {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[expect(
    clippy::print_stdout,
    reason = "with --nocapture the tests tell how long the server takes"
)]
fn tell(id: &str, status: &str, begin: Instant) {
    println!("{id}: {status} after {} ms", begin.elapsed().as_millis());
}

/// A moment between two looks at something.
pub(crate) async fn tick(milliseconds: u64) {
    let mut interval = tokio::time::interval(Duration::from_millis(milliseconds));
    interval.tick().await;
    interval.tick().await;
}

/// What a minimal `create_db_instance` needs.
pub(crate) fn create(id: &str) -> Value {
    json!({
        "DBInstanceIdentifier": id, "Engine": "postgres", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": 20,
        "MasterUsername": "postgres", "MasterUserPassword": "not-a-secret", "DBName": "queue",
    })
}

/// Connects as an app does: as the master user, to the address that the API says.
pub(crate) async fn connect(
    instance: &Value,
    password: &str,
) -> Result<Client, tokio_postgres::Error> {
    let endpoint = &instance["Endpoint"];
    let text = format!(
        "host={} port={} user=postgres password={password} dbname=queue connect_timeout=2",
        endpoint["Address"].as_str().unwrap(),
        endpoint["Port"],
    );
    let (client, connection) = tokio_postgres::connect(&text, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub(crate) async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM ticket", &[]).await.map_or(-1, |row| row.get(0))
}

/// Waits until the client sees this many tickets.
pub(crate) async fn wait_count(client: &Client, wanted: i64) {
    wait_until(&format!("{wanted} tickets"), async || count(client).await == wanted).await;
}

/// Waits until `is_so`.
pub(crate) async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tick(40).await;
    }
}

/// Pids of the processes that work below a directory.
pub(crate) fn servers_below(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let below = |e: &std::fs::DirEntry| {
        std::fs::read_link(e.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    };
    entries.filter(below).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}
