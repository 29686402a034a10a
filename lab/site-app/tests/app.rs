//! The app as its users see it, over a real PostgreSQL, a real standby and a real Redis.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a function of a test fails the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// PostgreSQL's programs: the newest installed, where Debian and Ubuntu put them.
fn postgres() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .max()
        .map(|(_, path)| path.join("bin"))
        .expect("PostgreSQL is installed: make setup")
}

/// The addresses of these tests. They share nothing with the lab's, which may be up.
const APP: &str = "127.0.91.10:8080";
const PRIMARY: &str = "127.0.91.20";
const STANDBY: &str = "127.0.92.20";
const REDIS: &str = "127.0.91.30";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        if name == "STOP" {
            until_stopped(self.0.id());
        }
    }
}

/// The signal is sent before each thread has stood still: proc(5), `/proc/pid/task/tid/stat`, the state
/// after the name, which ends with the last bracket.
fn until_stopped(pid: u32) {
    let is_stopped =
        |stat: &str| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']));
    loop {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
        let all = tasks.flatten().all(|task| {
            std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| is_stopped(&stat))
        });
        if all {
            return;
        }
        std::thread::yield_now();
    }
}

/// A program that PostgreSQL's own rule against root allows to run.
fn unprivileged(program: &str) -> Command {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    let program = postgres().join(program);
    if id.stdout.starts_with(b"0\n") {
        let mut command = Command::new("unshare");
        command.args(["-U", "--map-user=1000", "--map-group=1000"]).arg(&program);
        command
    } else {
        Command::new(program)
    }
}

fn run(mut command: Command) {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a program behind the signal that ends it with this test, whatever ends the test.
fn start(command: &Command, log: &Path) -> Running {
    let log = std::fs::File::create(log).expect("the log can be made");
    let mut guarded = Command::new("setpriv");
    guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    guarded.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    Running(guarded.spawn().expect("it starts"))
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} does not come true");
    }
}

/// Waits: a permit ends by the clock, and nothing else tells when.
#[expect(clippy::disallowed_methods, reason = "a permit is valid in real time")]
async fn after(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn accepts(address: &str) -> Option<()> {
    tokio::net::TcpStream::connect(address).await.ok().map(|_| ())
}

struct Site {
    directory: PathBuf,
    http: reqwest::Client,
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn postgres(&self, name: &str, host: &str) -> Running {
        let mut command = unprivileged("postgres");
        command.arg("-D").arg(self.path(name)).args(["-h", host, "-p", "5432", "-c", "fsync=off"]);
        command.args(["-c", "unix_socket_directories="]);
        start(&command, &self.path(&format!("{name}.log")))
    }

    fn redis(&self) -> Running {
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", REDIS, "--port", "6379", "--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.directory);
        start(&command, &self.path("redis.log"))
    }

    fn app(&self) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_queue-app"));
        command.args(["--listen", APP, "--redis", &format!("{REDIS}:6379"), "--db-user", "app"]);
        for (option, file) in [
            ("--site-file", "site.json"),
            ("--permit-file", "permit.json"),
            ("--db-password-file", "password"),
            ("--slow-file", "slow"),
        ] {
            command.arg(option).arg(self.path(file));
        }
        start(&command, &self.path("app.log"))
    }

    fn write(&self, name: &str, value: &Value) {
        let new = self.path("new");
        std::fs::write(&new, value.to_string()).expect("the file can be written");
        std::fs::rename(new, self.path(name)).expect("it can be moved");
    }

    fn activate(&self, role: &str, epoch: i64, host: &str) {
        let database = json!({"host": host, "port": 5432, "name": "postgres"});
        self.write("site.json", &json!({"app": "queue", "site": "a", "epoch": epoch, "role": role, "database": database}));
    }

    #[expect(clippy::disallowed_methods, reason = "a permit is valid in real time")]
    fn permit(&self, epoch: i64, valid: Duration) {
        let until = format!("{:.3}", jiff::Timestamp::now() + valid);
        let read = |file| std::fs::read_to_string(file).expect("it can be read");
        let uptime = read("/proc/uptime");
        // Two decimals: hundredths of a second.
        let hundredths = uptime.split_whitespace().next().expect("an uptime").replace('.', "");
        let now: u64 = hundredths.parse::<u64>().expect("a number") * 10;
        let valid = u64::try_from(valid.as_millis()).expect("it is short");
        self.write(
            "permit.json",
            &json!({
                "app": "queue", "site": "a", "epoch": epoch, "valid_until": until,
                "valid_until_uptime_ms": now + valid,
                "boot_id": read("/proc/sys/kernel/random/boot_id").trim(),
            }),
        );
    }

    async fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.http.post(format!("http://{APP}{path}")).body(body.to_string());
        let response = request.send().await.ok()?;
        Some((response.status().as_u16(), response.json().await.ok()?))
    }

    async fn take(&self, id: &str) -> (u16, Value) {
        self.post("/tickets", &json!({ "id": id })).await.expect("the app answers")
    }

    async fn refused(&self, id: &str, error: &str, reason: &Value) {
        let (status, body) = self.take(id).await;
        assert_eq!(
            (status, &body["error"], &body["reason"]),
            (503, &json!(error), reason),
            "{body}"
        );
    }

    async fn issued(&self, id: &str, position: i64, epoch: i64) {
        let ticket = json!({"id": id, "position": position, "site": "a", "epoch": epoch});
        assert_eq!(self.take(id).await, (201, ticket));
    }

    async fn health(&self) -> (u16, Value) {
        let response =
            self.http.get(format!("http://{APP}/health")).send().await.expect("the app answers");
        (response.status().as_u16(), response.json().await.expect("it is JSON"))
    }

    async fn until_issued(&self, id: &str) -> Value {
        until("a ticket is issued", || async {
            let (status, body) = self.post("/tickets", &json!({ "id": id })).await?;
            (status == 201).then_some(body)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_serves_and_never_writes_without_a_permit() {
    let temporary = tempfile::tempdir().expect("there is room for a directory");
    let http =
        reqwest::Client::builder().timeout(Duration::from_secs(6)).build().expect("a client");
    let site = Site { directory: temporary.path().canonicalize().expect("it exists"), http };
    std::fs::write(site.path("password"), "secret\n").expect("the file can be written");
    let mut initdb = unprivileged("initdb");
    initdb
        .args(["-U", "app", "-A", "scram-sha-256", "--no-sync", "--pwfile"])
        .arg(site.path("password"));
    initdb.arg("-D").arg(site.path("primary"));
    run(initdb);
    let hba =
        "host all all 127.0.0.0/8 scram-sha-256\nhost replication all 127.0.0.0/8 scram-sha-256\n";
    std::fs::write(site.path("primary/pg_hba.conf"), hba).expect("it can be written");
    let primary = site.postgres("primary", PRIMARY);
    let mut redis = site.redis();
    let app = site.app();
    until("the app listens", || accepts(APP)).await;
    until("the database listens", || accepts("127.0.91.20:5432")).await;
    until("redis listens", || accepts("127.0.91.30:6379")).await;

    // Not configured, then without a permit, then with one.
    site.refused("t1", "not_configured", &Value::Null).await;
    let (status, health) = site.health().await;
    assert_eq!(
        (status, &health["status"], &health["site"]),
        (503, &json!("down"), &Value::Null),
        "{health}"
    );
    site.activate("active", 4, PRIMARY);
    site.refused("t1", "stale_epoch", &json!("no_permit")).await;
    site.permit(3, Duration::from_secs(60));
    site.refused("t1", "stale_epoch", &json!("wrong_epoch")).await;
    site.permit(4, Duration::from_secs(600));
    site.until_issued("t1").await;
    site.issued("t2", 2, 4).await;
    site.issued("t1", 1, 4).await;
    site.issued("t3", 3, 4).await;
    let (status, health) = site.health().await;
    assert_eq!(
        (status, &health["status"], &health["epoch"], &health["role"]),
        (200, &json!("ok"), &json!(4), &json!("active"))
    );
    assert_eq!(health["checks"]["database"]["in_recovery"], json!(false));
    let asked = site
        .post("/tickets/exists", &json!({"ids": ["t1", "nobody", "t3"]}))
        .await
        .expect("the app answers");
    assert_eq!(asked, (200, json!({"missing": ["nobody"]})));
    let (status, body) = site.post("/tickets", &json!({"id": ""})).await.expect("the app answers");
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    let page = site
        .http
        .get(format!("http://{APP}/"))
        .send()
        .await
        .expect("it answers")
        .text()
        .await
        .expect("it is text");
    assert!(page.contains("Queue at site a") && page.contains("active, epoch 4"), "{page}");

    // A Redis that lost everything continues where the tickets are.
    drop(redis);
    let (status, health) = site.health().await;
    assert_eq!(
        (status, &health["status"], &health["checks"]["redis"]["status"]),
        (503, &json!("degraded"), &json!("down"))
    );
    assert_eq!(health["checks"]["database"]["status"], json!("ok"), "{health}");
    site.refused("t4", "redis_unavailable", &Value::Null).await;
    redis = site.redis();
    assert_eq!(site.until_issued("t4").await["position"], json!(4));
    // One that hangs is named within its own deadline.
    redis.signal("STOP");
    let asked = Instant::now();
    let (_, health) = site.health().await;
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    assert!(
        health["checks"]["redis"]["detail"].as_str().expect("a text").contains("does not answer"),
        "{health}"
    );
    assert_eq!(health["checks"]["database"]["status"], json!("ok"), "{health}");
    redis.signal("CONT");
    site.until_issued("t5").await;

    // A slow answer is late and otherwise the same.
    std::fs::write(site.path("slow"), "700").expect("it can be written");
    let asked = Instant::now();
    assert_eq!(site.health().await.0, 200);
    assert!(asked.elapsed() >= Duration::from_millis(700));
    std::fs::remove_file(site.path("slow")).expect("it is there");

    // A statement that reaches its turn after the permit's end inserts nothing, although the check before it was good.
    let (holder, connection) = tokio_postgres::connect(
        &format!("host={PRIMARY} user=app password=secret dbname=postgres"),
        tokio_postgres::NoTls,
    )
    .await
    .expect("the database answers");
    let connection = tokio::spawn(connection);
    holder
        .batch_execute("BEGIN; LOCK TABLE tickets IN EXCLUSIVE MODE")
        .await
        .expect("the lock is free");
    site.permit(4, Duration::from_millis(800));
    let over = after(Duration::from_millis(850));
    let (refusal, ()) = tokio::join!(site.take("held"), async {
        over.await;
        holder.batch_execute("COMMIT").await.expect("the lock is given back");
    });
    assert_eq!((refusal.0, &refusal.1["reason"]), (503, &json!("too_late")), "{}", refusal.1);
    let held = holder
        .query("SELECT 1 FROM tickets WHERE id = 'held'", &[])
        .await
        .expect("the database answers");
    assert!(held.is_empty(), "a ticket was written after the permit's end");
    drop(holder);
    connection.abort();

    // Many at once have positions of their own.
    site.permit(4, Duration::from_secs(600));
    let many: Vec<_> = (0..40)
        .map(|number| {
            let request = site
                .http
                .post(format!("http://{APP}/tickets"))
                .body(json!({"id": format!("m{number}")}).to_string());
            tokio::spawn(async move {
                request.send().await.expect("the app answers").json::<Value>().await
            })
        })
        .collect();
    let mut positions = std::collections::BTreeSet::new();
    for one in many {
        let ticket = one.await.expect("the task ends").expect("it is JSON");
        positions.insert(ticket["position"].as_i64().expect("a position"));
    }
    assert_eq!(positions.len(), 40);

    // A database that hangs is given up, and the write that it never saw is not there when it goes on.
    let postgres = freeze(&primary);
    site.permit(4, Duration::from_millis(700));
    let late = site.take("late").await;
    assert_eq!((late.0, &late.1["error"]), (503, &json!("database_timeout")), "{}", late.1);
    signal_all("CONT", &postgres);
    site.refused("later", "stale_epoch", &json!("permit_expired")).await;
    let asked = until("the database answers", || async {
        site.post("/tickets/exists", &json!({"ids": ["late", "t5"]}))
            .await
            .filter(|(status, _)| *status == 200)
    });
    assert_eq!(asked.await.1, json!({"missing": ["late"]}));

    // A frozen app that reads a request after its permit's end refuses it.
    site.permit(4, Duration::from_millis(1500));
    app.signal("STOP");
    let sent = tokio::spawn({
        let request = site
            .http
            .post(format!("http://{APP}/tickets"))
            .body(json!({"id": "frozen"}).to_string());
        async move { request.send().await }
    });
    after(Duration::from_millis(1600)).await;
    app.signal("CONT");
    let answer = sent.await.expect("the task ends").expect("the app answers");
    assert_eq!(answer.status().as_u16(), 503);
    site.permit(4, Duration::from_secs(600));
    site.until_issued("t6").await;

    // Failover to the standby: read only before the promotion, the next position after it.
    let mut backup = unprivileged("pg_basebackup");
    backup.args([
        "-h",
        PRIMARY,
        "-U",
        "app",
        "--write-recovery-conf",
        "--checkpoint=fast",
        "--no-sync",
        "-D",
    ]);
    backup.arg(site.path("standby")).env("PGPASSWORD", "secret");
    run(backup);
    let _standby = site.postgres("standby", STANDBY);
    until("the standby listens", || accepts("127.0.92.20:5432")).await;
    site.activate("active", 5, STANDBY);
    site.permit(5, Duration::from_secs(600));
    let degraded = until("the standby is seen", || async {
        let (status, health) = site.health().await;
        (health["checks"]["database"]["in_recovery"] == json!(true)).then_some((status, health))
    })
    .await;
    assert_eq!((degraded.0, &degraded.1["status"]), (503, &json!("degraded")), "{}", degraded.1);
    site.refused("t7", "database_read_only", &Value::Null).await;
    let mut promote = unprivileged("pg_ctl");
    promote.args(["promote", "-w", "-D"]).arg(site.path("standby"));
    run(promote);
    let before = site.take("t6").await.1["position"].as_i64().expect("a number");
    let after = site.until_issued("t7").await;
    assert_eq!(
        (&after["epoch"], after["position"].as_i64() > Some(before)),
        (&json!(5), true),
        "{after}"
    );

    // Fenced: no more writes, whatever the permit says.
    site.activate("standby", 6, STANDBY);
    site.refused("t8", "stale_epoch", &json!("standby")).await;
    let (status, health) = site.health().await;
    assert_eq!(
        (status, &health["checks"]["epoch"]["reason"]),
        (503, &json!("standby")),
        "{health}"
    );

    // SIGTERM ends the app although clients hold connections open.
    let mut app = app;
    app.signal("TERM");
    let status = until("the app ends", || {
        let ended = app.0.try_wait().expect("it is ours");
        async move { ended }
    });
    assert!(status.await.success());
}

/// Stops every process of a database, so that its connections hang as those to a frozen machine do.
fn freeze(primary: &Running) -> Vec<u32> {
    let mut pids = vec![primary.0.id()];
    let children = Command::new("pgrep")
        .args(["-P", &primary.0.id().to_string()])
        .output()
        .expect("pgrep runs");
    pids.extend(
        String::from_utf8_lossy(&children.stdout)
            .lines()
            .filter_map(|line| line.parse::<u32>().ok()),
    );
    signal_all("STOP", &pids);
    pids.iter().copied().for_each(until_stopped);
    pids
}

fn signal_all(name: &str, pids: &[u32]) {
    let sent =
        Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).status();
    assert!(sent.expect("kill runs").success());
}
