//! A real PostgreSQL server and a host of a plan, for tests.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use jiff::Timestamp;
use lifeboat_core::plan_file::{self, AppPlan};
use lifeboat_hostwork::{Host, Stopper, testing::MemoryStore};
use lifeboat_parameters::Secret;
use lifeboat_runtime::clock;

pub(crate) const ADDRESS: &str = "127.0.93.1";
/// With what a password file has to escape.
pub(crate) const PASSWORD: &str = r"a:pass\word";

/// PostgreSQL 18, which `lab/setup.sh` puts there.
pub(crate) fn postgres_18() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let programs = root.canonicalize().unwrap().join("target/tools/postgresql-18/bin");
    assert!(
        programs.join("postgres").exists(),
        "run lab/setup.sh: {} lacks it",
        programs.display()
    );
    programs
}

/// A server program: the newest of Debian's, or PATH's.
pub(crate) fn program(name: &str) -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = installed
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// The user that root runs servers as.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0")
}

/// A command that dies with the test and is not root's.
fn command(program: &Path, user: u32) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        let user = [format!("--reuid={user}"), format!("--regid={user}")];
        command.args(user).arg("--clear-groups");
    }
    command.args(["--pdeathsig", "KILL"]).arg(program).current_dir("/");
    command
}

pub(crate) fn run(command: &mut Command) {
    let output = command.env("PGPASSWORD", PASSWORD).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server on loopback. Ended when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_of(None, &[])
    }

    /// A server of these programs instead of the system's, with settings of its own.
    pub(crate) fn start_of(programs: Option<&Path>, settings: &[&str]) -> Self {
        let program = |name: &str| programs.map_or_else(|| program(name), |dir| dir.join(name));
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            chown(&password, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        run(command(&program("initdb"), NOBODY)
            .args(["--no-sync", "--username=lifeboat", "--auth=scram-sha-256", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display())));
        let hba = data.join("pg_hba.conf");
        let rules = fs::read_to_string(&hba).unwrap();
        fs::write(&hba, rules + "\nhost replication all 127.0.0.0/8 scram-sha-256\n").unwrap();
        let mut server = Self::on(&data, &program("postgres"), settings);
        server._folder = Some(folder);
        server.sql("postgres", "CREATE DATABASE queue");
        server
    }

    /// A server on a cluster that is there, as the user whom it belongs to.
    pub(crate) fn on(data: &Path, postgres: &Path, settings: &[&str]) -> Self {
        let port = TcpListener::bind((ADDRESS, 0)).unwrap().local_addr().unwrap().port();
        let log = data.with_extension("log");
        let process = command(postgres, fs::metadata(data).unwrap().uid())
            .arg("-D")
            .arg(data)
            .args(["-c", &format!("listen_addresses={ADDRESS}"), "-c", &format!("port={port}")])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "wal_level=replica"])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { process, port, _folder: None };
        while !server.psql("postgres").arg("-c").arg("SELECT 1").status().unwrap().success() {
            let ended = server.process.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(&log).unwrap());
        }
        server
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(program("psql"));
        command
            .args([format!("--host={ADDRESS}"), format!("--port={}", self.port)])
            .args(["--username=lifeboat", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--no-align", "--tuples-only", "--dbname", database])
            .env("PGPASSWORD", PASSWORD)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs statements and gives their output.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        let mut command = self.psql(database);
        command.args(["--command", statements]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        drop(Command::new("kill").args(["-QUIT", &id]).status());
        drop(self.process.wait());
    }
}

/// The lab's plan, with the database on `port`.
pub(crate) fn plan(port: u16) -> AppPlan {
    let mut plan = plan_file::read(include_str!("../../../../events/plan/queue.toml")).unwrap();
    for site in plan.sites.values_mut() {
        site.database.host = ADDRESS.to_owned();
        site.database.port = port;
    }
    // The databases of these tests are not the queue's, and its questions are of its tables.
    if let Some(backup) = &mut plan.backup {
        backup.checks.clear();
    }
    plan
}

/// A host of the plan's first site, with an empty bucket and a scratch folder of its own.
pub(crate) fn host(plan: AppPlan, scratch: &Path) -> (Host<MemoryStore>, Stopper) {
    let (stopper, stop) = lifeboat_hostwork::stop();
    let host = Host {
        store: Arc::new(MemoryStore::default()),
        exports: None,
        plan,
        site: "a".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        password: Some(Secret::new(PASSWORD)),
        scratch: scratch.to_owned(),
        programs: None,
        // No server of a test that does not set it recovers with archived WAL.
        fetch_wal: vec!["false".to_owned()],
        clock: clock::now,
        stop,
    };
    (host, stopper)
}

/// A point of noon.
pub(crate) fn noon() -> lifeboat_core::backup::PointId {
    lifeboat_core::backup::PointId::full("2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap())
}

/// A folder that everybody may enter, as scratch has to be.
pub(crate) fn scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}
