//! `lifeboat host join`: a host that boots takes its site's role.
//!
//! The judgement is `lifeboat_core::join`; this reads, writes and runs the hook, with the same file,
//! the same lock and the same variables as the document `lifeboat-site-control`.

use std::{
    fs::{File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use jiff::SignedDuration;
use lifeboat_core::{
    contract::DatabaseAddress,
    join::{Hook, Joiner, Joining, Role, SiteFile, join},
    registers::Registers,
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};
use serde_json::json;

use crate::{
    args::{HostPlace, JoinArgs},
    credentials, exit,
    output::{Failure, say},
};

/// How long another action may hold the host's lock, as in the document.
const LOCK_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// Between two tries for the lock.
const LOCK_TRY: SignedDuration = SignedDuration::from_millis(100);

/// Joins once; whoever starts it starts it again while it cannot be told.
pub(crate) async fn run(args: JoinArgs) -> Result<(), Failure> {
    let host = &args.registers.host;
    let config = aws::in_region(&credentials::config().await?, host.region.as_str());
    let ledger = args.registers.ledger(&config);
    let parameters = Parameters::new(&config);
    let (registers, database) =
        tokio::join!(ledger.registers(&host.app), planned(&parameters, host));
    let home = Home::new(&args);
    let _lock = home.lock().await?;
    take(&args, &home, &registers, database.as_ref().map_err(String::as_str))
}

/// The site's database in the plan; or why the plan could not be read.
async fn planned(parameters: &Parameters, host: &HostPlace) -> Result<DatabaseAddress, String> {
    let HostPlace { app, site, region } = host;
    let plan = parameters.plan(app).await.map_err(|fault| fault.message)?;
    let here = plan.sites.get(site).filter(|here| here.region == *region);
    let site = here.ok_or_else(|| format!("the plan of {app} has no site {site} in {region}"))?;
    Ok(DatabaseAddress {
        host: site.database.host.clone(),
        port: site.database.port,
        name: plan.database.name,
    })
}

/// Does what is judged, with what the host has now: an order may have come while the records were
/// read.
fn take(
    args: &JoinArgs,
    home: &Home,
    registers: &Registers,
    database: Result<&DatabaseAddress, &str>,
) -> Result<(), Failure> {
    let host = &args.registers.host;
    let current = home.read()?;
    let joiner = Joiner { app: &host.app, site: &host.site, current: current.as_ref(), database };
    match join(&joiner, registers) {
        Joining::Foreign(why) => Err(Failure::input(format!("{}: {why}", home.file().display()))),
        Joining::CannotTell { file, why } => {
            if let Some(file) = &file {
                home.write(file)?;
            }
            let now = file.or(current);
            let (site, is) = (&host.site, now.map_or(Role::Standby, |file| file.role));
            Err(Failure::work(format!(
                "{why}; this host of site {site} stays {} until it can be told: run it again",
                word(is)
            )))
        }
        Joining::Take { file, hook } => {
            let changed = current.as_ref() != Some(&file);
            if changed {
                home.write(&file)?;
            }
            if let Some(hook) = hook {
                home.hook(hook, &file, changed)?;
            }
            say(&json!({
                "outcome": "joined", "app": file.app, "site": file.site, "epoch": file.epoch,
                "role": file.role, "changed": changed, "hook": hook.map(name),
            })
            .to_string());
            Ok(())
        }
    }
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Standby => "standby",
    }
}

const fn name(hook: Hook) -> &'static str {
    match hook {
        Hook::Start => "start",
        Hook::Stop => "stop",
    }
}

/// The app's folder on the host.
struct Home(PathBuf);

impl Home {
    fn new(args: &JoinArgs) -> Self {
        Self(args.home.join(args.registers.host.app.as_str()))
    }

    fn file(&self) -> PathBuf {
        self.0.join("site.json")
    }

    fn fail(path: &Path) -> impl FnOnce(std::io::Error) -> Failure + use<> {
        let path = path.display().to_string();
        move |error| Failure::work(format!("{path}: {error}"))
    }

    /// One action at a time on a host: the document holds the same lock (flock) while it works.
    async fn lock(&self) -> Result<File, Failure> {
        std::fs::create_dir_all(self.0.join("hooks")).map_err(Self::fail(&self.0))?;
        let path = self.0.join(".site-control.lock");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(Self::fail(&path))?;
        let until = clock::now() + LOCK_WITHIN;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(Self::fail(&path)(error)),
                Err(TryLockError::WouldBlock) if clock::now() >= until => {
                    return Err(Failure::work(format!(
                        "another action holds {} for more than {} s",
                        path.display(),
                        LOCK_WITHIN.as_secs()
                    )));
                }
                Err(TryLockError::WouldBlock) => clock::pause_until(clock::now() + LOCK_TRY).await,
            }
        }
    }

    /// What site.json says; none when there is none.
    fn read(&self) -> Result<Option<SiteFile>, Failure> {
        let file = self.file();
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::fail(&file)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Failure::work(format!(
                "{}: {error}; look at it, and move it away only if no newer epoch is active",
                file.display()
            ))
        })
    }

    /// Replaces site.json, so that a reader or a power cut sees the old one or the new one.
    fn write(&self, site: &SiteFile) -> Result<(), Failure> {
        let draft = self.0.join(".site.json.new");
        let text = serde_json::to_string_pretty(site)
            .map_err(|error| Failure::work(format!("site.json cannot be written: {error}")))?;
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
        written
            .and_then(|()| std::fs::rename(&draft, self.file()))
            .and_then(|()| File::open(&self.0)?.sync_all())
            .map_err(Self::fail(&self.file()))
    }

    /// Runs the operator's script; what it prints goes to standard error.
    fn hook(&self, hook: Hook, site: &SiteFile, changed: bool) -> Result<(), Failure> {
        let path = self.0.join("hooks").join(name(hook));
        let ended = Command::new(&path)
            .current_dir(&self.0)
            .env("LIFEBOAT_APP", site.app.as_str())
            .env("LIFEBOAT_SITE", site.site.as_str())
            .env("LIFEBOAT_EPOCH", site.epoch.to_string())
            .env("LIFEBOAT_ROLE", word(site.role))
            .env("LIFEBOAT_SITE_FILE", self.file())
            .env("LIFEBOAT_CHANGED", changed.to_string())
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .status();
        let failed = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("{}: {status}", path.display()),
            Err(error) => format!("{}: {error}", path.display()),
        };
        let line = format!("{failed}; site.json is written: mend the hook, then run it again");
        Err(Failure { lines: vec![line], code: exit::PARTLY })
    }
}

#[cfg(test)]
mod tests;
