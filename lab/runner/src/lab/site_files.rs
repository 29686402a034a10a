//! What the plan's `[backup]` section names on the hosts: files of every sort, logs that grow, images.
//!
//! The plan has one list of paths for all sites, so both hosts of the lab see one `/opt/queue`, as from
//! one release; it lies in the lab's own directory.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lifeboat_lab_hosts::ServiceSpec;

use super::{APP, LabError, SiteConfig, aws::run};
use crate::lab::Lab;

/// Where the example plan has the app's files.
const PLANNED: &str = "/opt/queue";
/// The images of the example plan.
const IMAGES: [&str; 2] = ["queue-api:1.4", "queue-worker:1.4"];

/// A file: path, mode, content.
const FILES: [(&str, u32, &str); 10] = [
    ("config/queue.toml", 0o640, "listen = \"0.0.0.0:8080\"\npool = 20\n"),
    ("config/tls/server.key", 0o600, "not a key: the lab's app serves without TLS\n"),
    ("config/tls/server.pem", 0o644, "not a certificate\n"),
    ("config/sites/queue.conf", 0o644, "server { proxy_pass http://127.0.0.1:8080; }\n"),
    // Names need not be ASCII, and files need not hold anything.
    ("config/Öffnungszeiten – Schalter 1.toml", 0o644, "monday = [9, 17]\n"),
    ("config/empty", 0o400, ""),
    ("code/releases/1.4/bin/start", 0o755, "#!/bin/sh\nexec queue-app \"$@\"\n"),
    ("code/releases/1.4/VERSION", 0o644, "1.4\n"),
    ("code/releases/1.3/VERSION", 0o644, "1.3\n"),
    ("logs/queue.log.1", 0o640, "2026-11-23T23:59:59Z rotated\n"),
];
/// A link: path, what it says.
const LINKS: [(&str, &str); 3] = [
    ("config/enabled.conf", "sites/queue.conf"),
    ("code/current", "releases/1.4"),
    // A link may lead nowhere.
    ("code/next", "releases/1.5"),
];
/// The size of the largest file, in words of 4 bytes: 3 MiB, longer than any buffer on its way.
const ASSETS_WORDS: u32 = 3 << 18;

impl Lab {
    /// Where the plan's `/opt/queue` is in this lab.
    #[must_use]
    pub fn files_home(&self) -> PathBuf {
        self.home.join("opt/queue")
    }

    /// Writes files, links and images.
    pub(super) async fn write_site_files(&self) -> Result<(), LabError> {
        let home = self.files_home();
        write(&home).map_err(|e| LabError::from_error(&home.display().to_string(), &e))?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let layout = text(home.join("images"));
        let release = text(home.join("code/releases/1.4"));
        let [api, worker] = IMAGES;
        let old = text(home.join("code/releases/1.3"));
        let script = include_str!("oci-layout.sh");
        let arguments = ["-c", script, "oci-layout", &layout, &release, api, &old, worker];
        run(Path::new("sh"), &arguments, Vec::new(), None).await.map(|_| ())
    }

    /// Rewrites the plan's `[backup]` section: paths of the lab, images saved by skopeo, and base
    /// backups instead of snapshots where RDS does not run the database.
    pub(super) fn set_backup(&self, plan: &mut toml::Table) {
        let Some(backup) = plan.get_mut("backup") else { return };
        if self.options.synchronous
            && let Some(schedule) = backup.get_mut("schedule").and_then(toml::Value::as_table_mut)
        {
            schedule.remove("database-snapshot");
            let every = toml::Table::from_iter([("every".to_owned(), "4h".into())]);
            schedule.insert("database-base".to_owned(), every.into());
        }
        let home = self.files_home().to_string_lossy().into_owned();
        relocate(backup, &home);
        let Some(images) = backup.get_mut("images").and_then(toml::Value::as_table_mut) else {
            return;
        };
        let words = |words: &[String]| {
            toml::Value::Array(words.iter().map(|word| word.clone().into()).collect())
        };
        let copy = ["skopeo", "--insecure-policy", "copy", "--quiet"].map(str::to_owned);
        let places =
            [format!("oci:{home}/images:{{image}}"), "docker-archive:/dev/stdout:{image}".into()];
        images.insert("save".to_owned(), words(&[copy.as_slice(), places.as_slice()].concat()));
        images.insert("load".to_owned(), words(&[format!("{home}/bin/load-image")]));
    }
}

/// A service that writes a line to the app's log each second, so that a log grows while it is read.
pub(super) fn journal(files_home: &Path, site: &str) -> ServiceSpec {
    let log = files_home.join("logs").join(format!("queue-{site}.log"));
    let script =
        r#"n=0; while sleep 1; do n=$((n + 1)); echo "$n tickets were called" >>"$1"; done"#;
    ServiceSpec {
        args: vec!["-c".into(), script.into(), "journal".into(), log.to_string_lossy().into()],
        start_at_boot: true,
        ..ServiceSpec::new("journal", "sh")
    }
}

/// The service that archives a self-managed database's log: one site's at a time, once the plan is there.
pub(super) fn wal(site: &SiteConfig, lifeboat: &Path, home: &Path) -> ServiceSpec {
    let bucket = format!("lifeboat-backups-000000000000-{}", site.region);
    let directory = home.join("wal").to_string_lossy().into_owned();
    let place = ["--app", APP, "--site", site.name, "--region", site.region, "--bucket", &bucket];
    let words = ["host", "wal", "receive"].into_iter().chain(place);
    let words = words.chain(["--directory", &directory]);
    ServiceSpec {
        args: words.map(str::to_owned).collect(),
        ..ServiceSpec::new("wal", &lifeboat.to_string_lossy())
    }
}

fn write(home: &Path) -> io::Result<()> {
    for (path, mode, content) in FILES {
        put(&home.join(path), mode, content.as_bytes())?;
    }
    // No two blocks alike, and not compressible to nothing.
    let assets: Vec<u8> = (0..ASSETS_WORDS)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b1).rotate_left(n % 31).to_le_bytes())
        .collect();
    put(&home.join("code/releases/1.4/assets.bin"), 0o644, &assets)?;
    put(&home.join("bin/load-image"), 0o755, include_bytes!("load-image.sh"))?;
    for (path, target) in LINKS {
        symlink(target, home.join(path))?;
    }
    fs::hard_link(home.join("config/queue.toml"), home.join("config/queue.toml.same"))?;
    fs::create_dir_all(home.join("config/empty.d"))?;
    fs::set_permissions(home.join("config/tls"), Permissions::from_mode(0o700))
}

fn put(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Puts `home` where a text begins with the planned place.
fn relocate(value: &mut toml::Value, home: &str) {
    match value {
        toml::Value::String(text) => {
            if let Some(rest) = text.strip_prefix(PLANNED)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                *text = format!("{home}{rest}");
            }
        }
        toml::Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, home)),
        toml::Value::Table(table) => {
            table.iter_mut().for_each(|(_, value)| relocate(value, home));
        }
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planned_places_move_into_the_lab() {
        let mut plan: toml::Value = toml::from_str::<toml::Table>(
            "paths = ['/opt/queue/config', '/opt/queue', '/opt/queues', '/etc/x']\n[a]\nb = 1",
        )
        .unwrap()
        .into();
        relocate(&mut plan, "/lab");
        let found: Vec<_> =
            plan["paths"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(found, ["/lab/config", "/lab", "/opt/queues", "/etc/x"]);
    }

    #[test]
    fn files_have_their_modes_and_links() {
        let home = std::env::temp_dir().join(format!("lifeboat-files-{}", std::process::id()));
        write(&home).unwrap();
        let mode = |path: &str| fs::metadata(home.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("config/tls/server.key"), 0o600);
        assert_eq!(mode("code/releases/1.4/bin/start"), 0o755);
        assert_eq!(fs::read_link(home.join("code/current")).unwrap(), Path::new("releases/1.4"));
        assert!(home.join("code/current/VERSION").exists() && !home.join("code/next").exists());
        fs::remove_dir_all(&home).unwrap();
    }
}
