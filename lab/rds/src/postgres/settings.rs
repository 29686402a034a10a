//! The configuration files of a cluster.
//!
//! `postgresql.conf` is written by us as a whole: first what an instance needs, then the parameter
//! group's file, then what must not be overridden by a group. `standby.conf` says where to stream from.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::tls::ServerCertificate;
use super::{PgError, REPLICATOR};
use crate::config::POSTGRES_PORT;

/// Parameters that belong to the lab: a group that sets one is refused, as RDS refuses to modify them.
pub(crate) const RESERVED: [&str; 21] = [
    "archive_command",
    "archive_library",
    "archive_mode",
    "archive_timeout",
    "config_file",
    "data_directory",
    "dynamic_shared_memory_type",
    "external_pid_file",
    "hba_file",
    "hot_standby",
    "ident_file",
    "listen_addresses",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "shared_memory_type",
    "ssl",
    "ssl_cert_file",
    "ssl_key_file",
    "unix_socket_directories",
    "wal_level",
];

/// Where a replica streams from.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    /// The source's address, or the link's towards it.
    pub(crate) address: Ipv4Addr,
    /// The replica's identifier, which `synchronous_standby_names` of the source can name.
    pub(crate) application: String,
    pub(crate) password: String,
    pub(crate) slot: String,
}

/// Where a server archives its log.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    /// The directory of the segments. While it does not exist nothing is archived, so that archiving
    /// can begin and end without a restart.
    pub(crate) segments: PathBuf,
    pub(crate) every: Duration,
}

impl Archive {
    /// The tail of a segment that is switched early is zeros: `--sparse` makes it take no room. The
    /// time of a segment's last write is kept: its log reaches up to then.
    fn command(&self) -> String {
        let to = shell_quoted(&self.segments.to_string_lossy()).replace('%', "%%");
        format!(
            "test ! -d {to} || {{ cp --sparse=always --preserve=timestamps %p {to}/.%f && mv {to}/.%f {to}/%f; }}"
        )
    }
}

/// What a restored cluster replays, and up to when.
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    /// The directory of the archived segments.
    pub(crate) segments: PathBuf,
    /// The last time that is replayed; `None` replays all there is.
    pub(crate) until: Option<Timestamp>,
}

/// Makes the cluster replay an archive at its next start, and be a primary then.
pub(crate) fn write_recovery(pgdata: &Path, recovery: &Recovery) -> Result<(), PgError> {
    let from = shell_quoted(&recovery.segments.to_string_lossy()).replace('%', "%%");
    let command = quoted(&format!("cp {from}/%f %p"));
    let target = recovery
        .until
        .map(|until| {
            // PostgreSQL takes no `T` and no `Z` here.
            let until = until.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
            format!("recovery_target_time = {}\n", quoted(&until))
        })
        .unwrap_or_default();
    let text = format!(
        "restore_command = {command}\n{target}recovery_target_action = 'promote'\nrecovery_target_timeline = 'latest'\n"
    );
    secret_file(&pgdata.join("standby.conf"), &text)?;
    secret_file(&pgdata.join("recovery.signal"), "")
}

/// Writes all files of an instance that listens on `address`.
pub(crate) fn write(
    pgdata: &Path,
    address: Ipv4Addr,
    parameters: &BTreeMap<String, String>,
    upstream: Option<&Upstream>,
    tls: Option<&ServerCertificate>,
    archive: &Archive,
) -> Result<(), PgError> {
    let (archive_command, archive_timeout) = (quoted(&archive.command()), archive.every.as_secs());
    let main = format!(
        "# Written by the lab's RDS server at every start of the instance.\n\
         max_connections = 100\n\
         shared_buffers = 32MB\n\
         max_wal_size = 512MB\n\
         max_wal_senders = 10\n\
         max_replication_slots = 10\n\
         # A base backup makes its slot after its start: another one's checkpoint must not remove the\n\
         # log between (RDS keeps 2 GB).\n\
         wal_keep_size = 128MB\n\
         # A replica that never returns must not fill the disk.\n\
         max_slot_wal_keep_size = 1GB\n\
         password_encryption = 'scram-sha-256'\n\
         log_line_prefix = '%m [%p] %q%u@%d '\n\
         log_timezone = 'UTC'\n\
         timezone = 'UTC'\n\
         include = 'parameters.conf'\n\
         include = 'standby.conf'\n\
         listen_addresses = '{address}'\n\
         port = {POSTGRES_PORT}\n\
         wal_level = 'replica'\n\
         hot_standby = on\n\
         archive_mode = on\n\
         archive_command = {archive_command}\n\
         archive_timeout = {archive_timeout}\n\
         # No socket: its path would be too long below a deep directory (107 bytes).\n\
         unix_socket_directories = ''\n\
         # A server that is killed leaves nothing outside of its directory.\n\
         dynamic_shared_memory_type = 'mmap'\n"
    );
    let tls = tls.map_or_else(String::new, |tls| {
        let path = |path: &Path| quoted(&path.to_string_lossy());
        let (certificate, key) = (path(&tls.certificate), path(&tls.key));
        format!("ssl = on\nssl_cert_file = {certificate}\nssl_key_file = {key}\n")
    });
    secret_file(&pgdata.join("postgresql.conf"), &(main + &tls))?;
    write_parameters(pgdata, parameters)?;
    write_upstream(pgdata, upstream)?;
    // The first matching line decides.
    let hba = format!(
        // A role still needs the attribute: RDS gives it to none, an administrator of the lab may.
        "host replication all 127.0.0.0/8 scram-sha-256\n\
         host all {REPLICATOR} 127.0.0.0/8 reject\n\
         host all all 127.0.0.0/8 scram-sha-256\n"
    );
    secret_file(&pgdata.join("pg_hba.conf"), &hba)
}

/// Writes what the parameter group sets.
pub(crate) fn write_parameters(
    pgdata: &Path,
    parameters: &BTreeMap<String, String>,
) -> Result<(), PgError> {
    let lines: String =
        parameters.iter().map(|(name, value)| format!("{name} = {}\n", quoted(value))).collect();
    secret_file(&pgdata.join("parameters.conf"), &lines)
}

/// Makes the cluster a standby of `upstream`, or a primary.
pub(crate) fn write_upstream(pgdata: &Path, upstream: Option<&Upstream>) -> Result<(), PgError> {
    let signal = pgdata.join("standby.signal");
    let Some(upstream) = upstream else {
        match fs::remove_file(&signal) {
            Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
                return Err(PgError::File { path: signal, reason });
            }
            Ok(()) | Err(_) => {}
        }
        return secret_file(&pgdata.join("standby.conf"), "");
    };
    // keepalives: a hanging link is noticed in 15 s rather than in hours.
    let conninfo = format!(
        "host={} port={POSTGRES_PORT} user={REPLICATOR} password={} application_name={} connect_timeout=5 keepalives_idle=5 keepalives_interval=5 keepalives_count=2",
        upstream.address, upstream.password, upstream.application
    );
    let text = format!(
        "primary_conninfo = {}\nprimary_slot_name = {}\n",
        quoted(&conninfo),
        quoted(&upstream.slot)
    );
    secret_file(&pgdata.join("standby.conf"), &text)?;
    secret_file(&signal, "")
}

/// A value in a configuration file.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n"))
}

/// A word in a shell's command.
fn shell_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Writes a file that only the owner can read.
pub(crate) fn secret_file(path: &Path, text: &str) -> Result<(), PgError> {
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|reason| PgError::File { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        assert_eq!(quoted("a'b\\c\nd"), "'a''b\\\\c\\nd'");
    }

    #[test]
    fn a_promoted_cluster_forgets_its_upstream() {
        let dir = tempfile::tempdir().unwrap();
        let upstream = Upstream {
            address: Ipv4Addr::LOCALHOST,
            application: "b".to_owned(),
            password: "p".to_owned(),
            slot: "lab_b".to_owned(),
        };
        let archive = Archive { segments: "/it's".into(), every: Duration::from_secs(300) };
        assert!(archive.command().starts_with(r"test ! -d '/it'\''s' || {"));
        write(dir.path(), Ipv4Addr::LOCALHOST, &BTreeMap::new(), Some(&upstream), None, &archive)
            .unwrap();
        assert!(dir.path().join("standby.signal").exists());
        write_upstream(dir.path(), None).unwrap();
        write_upstream(dir.path(), None).unwrap();
        assert!(!dir.path().join("standby.signal").exists());
        assert_eq!(fs::read_to_string(dir.path().join("standby.conf")).unwrap(), "");
    }
}
