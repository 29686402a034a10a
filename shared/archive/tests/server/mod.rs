//! A real PostgreSQL server for tests, ended with its test.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}): install PostgreSQL's server programs")
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) struct Server {
    process: Child,
    port: u16,
    pub(crate) archive: PathBuf,
}

impl Server {
    /// A server whose WAL is archived beneath `at`, in segments of so many MiB.
    pub(crate) fn start(at: &Path, segment_mib: u64) -> Self {
        let (data, archive) = (at.join("data"), at.join("archive"));
        fs::create_dir(&archive).unwrap();
        run(command("initdb")
            .args(["--no-sync", "--username=admin", "--auth=trust", "--encoding=UTF8"])
            .arg(format!("--wal-segsize={segment_mib}"))
            .arg(format!("--pgdata={}", data.display())));
        let port = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("listen_addresses={HOST}"), "-c", &format!("port={port}")])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=8MB"])
            .args(["-c", "archive_mode=on", "-c"])
            .arg(format!("archive_command=cp %p {}/%f", archive.display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port, archive };
        let begun = Instant::now();
        while !server.psql("SELECT 1").output().unwrap().status.success() {
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

    /// Takes a base backup.
    pub(crate) fn back_up(&self, arguments: &[&str]) {
        run(command("pg_basebackup")
            .args(self.address())
            .args(["--no-sync", "--checkpoint=fast"])
            .args(arguments));
    }

    /// Takes a base backup as one tar, which holds its own manifest.
    pub(crate) fn stream(&self) -> Vec<u8> {
        let output = command("pg_basebackup")
            .args(self.address())
            .args(["--checkpoint=fast", "--format=tar", "--wal-method=fetch", "--pgdata=-"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Waits until the newest whole segment is in the archive.
    pub(crate) fn await_archive(&self) {
        let begun = Instant::now();
        let wanted = "DO $$ BEGIN ASSERT (SELECT last_archived_wal >= pg_walfile_name(\
                      pg_current_wal_lsn() - pg_size_bytes(current_setting('wal_segment_size')) - 1)\
                      FROM pg_stat_archiver); END $$";
        while !self.psql(wanted).output().unwrap().status.success() {
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
