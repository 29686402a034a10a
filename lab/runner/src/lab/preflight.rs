//! What the machine must have, checked before anything is started: one clear line for each lack.

use std::{
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
};

use super::{LabError, config};

/// The programs that the lab runs.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Redis.
    pub(crate) redis: PathBuf,
    /// Where our own binaries are.
    pub(crate) bin: PathBuf,
}

/// The functions that the template deploys.
pub(crate) const FUNCTIONS: [&str; 11] = [
    "backup-trigger",
    "dns-failover",
    "health-probe",
    "notify",
    "plan-recovery",
    "promote-replica",
    "recovery-log",
    "restore-backup",
    "retention-sweep",
    "site-control",
    "verify-backup",
];

/// Checks programs and addresses.
pub(crate) fn check(root: &Path) -> Result<Tools, LabError> {
    let venv = root.join("target/tools/venv/bin");
    for tool in [venv.join("python"), venv.join("aws")] {
        if !tool.exists() {
            return Err(LabError::new(format!(
                "{} is missing: run `make setup` once",
                tool.display()
            )));
        }
    }
    let redis = in_path("redis-server").ok_or_else(|| {
        LabError::new(
            "redis-server is missing: run `make setup`, or install the package redis-server",
        )
    })?;
    if in_path("skopeo").is_none() {
        return Err(LabError::new(
            "skopeo is missing: run `make setup`, or install the package skopeo",
        ));
    }
    let bin = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_path_buf))
        .ok_or_else(|| LabError::new("where this program lies cannot be told"))?;
    // A test binary lies one folder deeper than the programs.
    let bin = if bin.ends_with("deps") { bin.join("..") } else { bin };
    for program in FUNCTIONS.into_iter().chain(["queue-app", "lifeboat"]) {
        if !bin.join(program).exists() {
            return Err(LabError::new(format!(
                "the program {program} is not built: run `cargo build --workspace --bins`"
            )));
        }
    }
    for (what, address) in config::listeners() {
        let taken = TcpListener::bind(address).is_err()
            || (address == config::DNS && UdpSocket::bind(address).is_err());
        if taken {
            return Err(LabError::new(format!(
                "{address} is in use, and {what} needs it: stop what listens there (`ss -ltnp` \
                 shows it; another lab may be up)"
            )));
        }
    }
    Ok(Tools { redis, bin })
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists())
}
