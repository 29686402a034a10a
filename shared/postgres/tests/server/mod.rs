//! Real PostgreSQL servers for tests, each ended with its test.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lifeboat_postgres::{Session, SqlError, Target, connect};

pub(crate) const HOST: &str = "127.0.94.1";
pub(crate) const LIMIT: Duration = Duration::from_secs(5);
const PASSWORD: &str = "a password";

/// Where the server programs are: PATH, or Debian's place for them.
fn program(name: &str) -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = installed
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// A command for a server program. PostgreSQL refuses to run as root, so root runs it in a user
/// namespace in which it is someone else.
fn command(name: &str) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut command = Command::new("unshare");
        command.args(["-U", "--map-user=1000", "--map-group=1000"]).arg(program(name));
        command
    } else {
        Command::new(program(name))
    }
}

fn run(command: &mut Command) {
    let output = command.env("PGPASSWORD", PASSWORD).output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}): install PostgreSQL's server programs")
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) struct Server {
    process: Child,
    data: PathBuf,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn primary(at: &Path) -> Self {
        let password = at.join("password");
        fs::write(&password, PASSWORD).unwrap();
        let data = at.join("primary");
        run(command("initdb")
            .args(["--no-sync", "--username=admin", "--auth=scram-sha-256", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display())));
        Self::start(data)
    }

    pub(crate) fn replica(at: &Path, primary: &Self) -> Self {
        let data = at.join("replica");
        run(command("pg_basebackup")
            .args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--username=admin"])
            .args([format!("--host={HOST}"), format!("--port={}", primary.port)])
            .arg(format!("--pgdata={}", data.display())));
        Self::start(data)
    }

    fn start(data: PathBuf) -> Self {
        let port = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("listen_addresses={HOST}"), "-c", &format!("port={port}")])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=8MB"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, data, port }
    }

    pub(crate) fn target<'a>(&self, user: &'a str, password: &'a str) -> Target<'a> {
        Target { host: HOST, port: self.port, database: "postgres", user, password }
    }

    /// A session of the superuser, as soon as the server takes one.
    pub(crate) async fn session(&self) -> Session {
        let begun = Instant::now();
        loop {
            match connect(&self.target("admin", PASSWORD), LIMIT).await {
                Ok(session) => return session,
                Err(error @ (SqlError::Unreachable(_) | SqlError::NotReady(_))) => {
                    assert!(begun.elapsed() < LIMIT * 4, "the server does not start: {error}");
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Runs statements as the superuser.
    pub(crate) fn sql(&self, statements: &str) {
        run(Command::new(program("psql"))
            .args([format!("--host={HOST}"), format!("--port={}", self.port)])
            .args(["--username=admin", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--dbname=postgres", "--command", statements]));
    }

    pub(crate) fn signal(&self, name: &str) {
        run(Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]));
    }

    /// Restarts it so that it speaks TLS and takes nobody in clear.
    pub(crate) fn insist_on_tls(mut self) -> Self {
        let (key, certificate) = (self.data.join("server.key"), self.data.join("server.crt"));
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=another name"])
            .arg("-keyout")
            .arg(key)
            .arg("-out")
            .arg(certificate));
        let rules = self.data.join("pg_hba.conf");
        let clear = fs::read_to_string(&rules).unwrap();
        let encrypted = clear.replace("\nhost ", "\nhostssl ");
        assert_ne!(clear, encrypted);
        fs::write(rules, encrypted).unwrap();
        self.sql("ALTER SYSTEM SET ssl = on");
        self.signal("INT");
        self.process.wait().unwrap();
        Self::start(self.data.clone())
    }

    /// What was set by `ALTER SYSTEM`.
    pub(crate) fn settings(&self) -> String {
        fs::read_to_string(self.data.join("postgresql.auto.conf")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // QUIT ends the server with its children, at once; a stopped one hears it when continued.
        for signal in ["-QUIT", "-CONT"] {
            let id = self.process.id().to_string();
            drop(Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status());
        }
        drop(self.process.wait());
    }
}
