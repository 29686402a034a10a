//! A real PostgreSQL server, ended with its test.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const HOST: &str = "127.0.95.1";
const LIMIT: Duration = Duration::from_secs(20);

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

/// PostgreSQL refuses to run as root, so root runs it in a user namespace in which it is someone
/// else.
fn command(name: &str) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut command = Command::new("unshare");
        command.args(["-U", "--map-user=1000", "--map-group=1000"]).arg(program(name));
        command
    } else {
        Command::new(program(name))
    }
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}): install PostgreSQL's server programs")
    })
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start(at: &Path) -> Self {
        let data = at.join("data");
        run(command("initdb")
            .args(["--no-sync", "--username=admin", "--auth=trust", "--encoding=UTF8"])
            .arg(format!("--pgdata={}", data.display())));
        let port = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("listen_addresses={HOST}"), "-c", &format!("port={port}")])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=8MB"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        let begun = Instant::now();
        while !output(&mut server.psql("SELECT 1")).status.success() {
            assert!(begun.elapsed() < LIMIT, "the server does not start");
        }
        server
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.args([format!("--host={HOST}"), format!("--port={}", self.port)]);
        command.args(["--username=admin", "--dbname=postgres"]);
        command
    }

    fn psql(&self, statements: &str) -> Command {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statements]);
        psql
    }

    pub(crate) fn sql(&self, statements: &str) {
        run(&mut self.psql(statements));
    }

    /// The bytes of a dump that is written to a file.
    pub(crate) fn dump(&self, to: &Path, options: &[&str]) -> Vec<u8> {
        let file = format!("--file={}", to.display());
        run(self.client("pg_dump").args(["--format=custom", &file]).args(options));
        fs::read(to).unwrap()
    }

    /// The bytes of a dump that is written to a pipe.
    pub(crate) fn streamed_dump(&self, options: &[&str]) -> Vec<u8> {
        run(self.client("pg_dump").arg("--format=custom").args(options))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // QUIT ends the server with its children, at once.
        let id = self.process.id().to_string();
        drop(Command::new("kill").args(["-QUIT", &id]).stderr(Stdio::null()).status());
        drop(self.process.wait());
    }
}
