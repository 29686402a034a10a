//! Certificates: one authority for the lab, one server certificate for each instance.
//!
//! RDS refuses connections without TLS by default from PostgreSQL 15 on, so clients must be able to
//! use it here. Without the `openssl` program there is no TLS, and the log says so.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::PgError;
use super::cluster::last_lines;
use super::settings::secret_file;
use crate::launcher::Launcher;

/// Longer than any lab lives.
const DAYS: &str = "365";
/// Elliptic keys are made in milliseconds; RSA keys can take a second.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// The lab's authority.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    certificate: PathBuf,
    key: PathBuf,
}

/// The files that a server needs.
#[derive(Debug, Clone)]
pub(crate) struct ServerCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Opens the authority in `dir`, or makes it.
    pub(crate) async fn open(launcher: &Launcher, dir: &Path) -> Result<Self, PgError> {
        let authority = Self { certificate: dir.join("ca.pem"), key: dir.join("ca.key") };
        if authority.certificate.exists() && authority.key.exists() {
            return Ok(authority);
        }
        secret_file(&authority.key, "")?;
        let mut arguments = vec!["req", "-x509"];
        arguments.extend(KEY);
        arguments.extend([
            "-days",
            DAYS,
            "-subj",
            "/CN=Lifeboat lab RDS",
            "-addext",
            "keyUsage=keyCertSign",
        ]);
        openssl(
            launcher,
            &arguments,
            &[("-keyout", &authority.key), ("-out", &authority.certificate)],
        )
        .await?;
        Ok(authority)
    }

    /// The certificate that clients trust.
    pub(crate) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Makes a certificate for the server on `address`. Its files are put into `dir`.
    pub(crate) async fn issue(
        &self,
        launcher: &Launcher,
        dir: &Path,
        address: Ipv4Addr,
    ) -> Result<ServerCertificate, PgError> {
        let server =
            ServerCertificate { certificate: dir.join("server.pem"), key: dir.join("server.key") };
        if server.certificate.exists() && server.key.exists() {
            return Ok(server);
        }
        secret_file(&server.key, "")?;
        let (name, subject) = (format!("subjectAltName=IP:{address}"), format!("/CN={address}"));
        let mut arguments = vec!["req", "-x509"];
        arguments.extend(KEY);
        arguments.extend([
            "-days",
            DAYS,
            "-subj",
            &subject,
            "-addext",
            &name,
            "-addext",
            "basicConstraints=critical,CA:false",
        ]);
        let files = [
            ("-CA", &self.certificate),
            ("-CAkey", &self.key),
            ("-keyout", &server.key),
            ("-out", &server.certificate),
        ];
        openssl(launcher, &arguments, &files).await?;
        Ok(server)
    }
}

async fn openssl(
    launcher: &Launcher,
    arguments: &[&str],
    files: &[(&str, &PathBuf)],
) -> Result<(), PgError> {
    let failed = |reason| PgError::Run { program: "openssl", reason };
    let mut command = launcher.command("openssl");
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    for (option, path) in files {
        command.arg(option).arg(path);
    }
    let output =
        launcher.spawn(command).await.map_err(failed)?.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    // A half-made pair would be taken for a whole one the next time.
    for (_, path) in files.iter().filter(|(option, _)| matches!(*option, "-out" | "-keyout")) {
        let _absent = fs::remove_file(path);
    }
    Err(PgError::Program {
        program: "openssl",
        output: last_lines(&String::from_utf8_lossy(&output.stderr)),
    })
}
