//! A real PostgreSQL server for tests, ended with its test.

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
    pub(crate) archive: PathBuf,
}

impl Server {
    /// A server whose WAL is archived beneath `at`, in segments of 1 MiB: tests read them often.
    pub(crate) fn start(at: &Path) -> Self {
        let (data, archive) = (at.join("data"), at.join("archive"));
        fs::create_dir(&archive).unwrap();
        run(command("initdb")
            .args(["--no-sync", "--username=admin", "--auth=trust", "--encoding=UTF8"])
            .arg("--wal-segsize=1")
            .arg(format!("--pgdata={}", data.display())));
        let port = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("listen_addresses={HOST}"), "-c", &format!("port={port}")])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=8MB"])
            // What writes WAL by the clock would make each run's another one.
            .args(["-c", "autovacuum=off", "-c", "checkpoint_timeout=1d"])
            .args(["-c", "archive_mode=on", "-c"])
            .arg(format!("archive_command=cp %p {}/%f", archive.display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port, archive };
        // It is this server, and not another test's that was given the same port.
        let is_this = format!(
            "DO $$ BEGIN ASSERT current_setting('data_directory') = '{}'; END $$",
            data.display()
        );
        let begun = Instant::now();
        while !output(&mut server.psql(&is_this)).status.success() {
            assert!(begun.elapsed() < LIMIT, "the server does not start");
        }
        server
    }

    fn address(&self) -> [String; 3] {
        [format!("--host={HOST}"), format!("--port={}", self.port), "--username=admin".to_owned()]
    }

    fn psql(&self, statements: &str) -> Command {
        let mut command = Command::new(program("psql"));
        command
            .args(self.address())
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--dbname=postgres", "--command", statements]);
        command
    }

    pub(crate) fn sql(&self, statements: &str) {
        run(&mut self.psql(statements));
    }

    /// A dump in the custom format; to standard output unless the options name a file.
    fn pg_dump(&self, options: &[&str]) -> Vec<u8> {
        run(Command::new(program("pg_dump"))
            .args(self.address())
            .args(["--dbname=postgres", "--format=custom"])
            .args(options))
    }

    /// The bytes of a dump that is written to a file.
    pub(crate) fn dump(&self, to: &Path, options: &[&str]) -> Vec<u8> {
        let file = format!("--file={}", to.display());
        self.pg_dump(&[&[&*file], options].concat());
        fs::read(to).unwrap()
    }

    /// The bytes of a dump that is written to a pipe.
    pub(crate) fn streamed_dump(&self, options: &[&str]) -> Vec<u8> {
        self.pg_dump(options)
    }

    /// Takes a base backup.
    pub(crate) fn back_up(&self, arguments: &[&str]) {
        run(command("pg_basebackup")
            .args(self.address())
            .args(["--no-sync", "--checkpoint=fast"])
            .args(arguments));
    }

    /// Ends the current segment, and returns its name. The next one begins with a record.
    pub(crate) fn switch_wal(&self) -> String {
        let mut psql = self.psql("SELECT pg_walfile_name(pg_switch_wal())");
        let name = run(psql.args(["--tuples-only", "--no-align"]));
        String::from_utf8(name).unwrap().trim().to_owned()
    }

    /// Waits until this segment and those before it are in the archive, whole.
    pub(crate) fn await_archive(&self, segment: &str) {
        let begun = Instant::now();
        let wanted = format!(
            "DO $$ BEGIN ASSERT (SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver); \
             END $$"
        );
        while !output(&mut self.psql(&wanted)).status.success() {
            assert!(begun.elapsed() < LIMIT, "the WAL is not archived");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        // QUIT ends the server with its children, at once.
        drop(Command::new("kill").args(["-QUIT", &id]).stderr(Stdio::null()).status());
        drop(self.process.wait());
    }
}
