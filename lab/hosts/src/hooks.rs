//! The scripts that the lab puts on a host: its service manager's command, and hooks for an app whose services the lab runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::HostsError;
use crate::host::Host;

impl Host {
    /// Writes `bin/service`, with which a hook starts and stops what the lab runs for the host, as with systemctl.
    pub(crate) fn write_service_script(&self) -> Result<(), HostsError> {
        let script = format!(
            r#"#!/bin/bash
# The service manager of this lab host. Usage: service start|stop|restart|status NAME
# Prints one line of JSON. Exit code: 0 done (status: running), 3 not running, 1 failed, 2 wrong usage.
case "$1" in start|stop|restart|status) ;; *) echo "usage: service start|stop|restart|status NAME" >&2; exit 2 ;; esac
case "$2" in ''|*[!a-zA-Z0-9_.-]*) echo "usage: service start|stop|restart|status NAME" >&2; exit 2 ;; esac
exec 3<>/dev/tcp/{address}/{port} || {{ echo "the lab's service manager does not answer" >&2; exit 1; }}
printf 'POST /lab/hosts/{id}/services/%s/%s HTTP/1.0\r\nHost: lab\r\nContent-Length: 0\r\n\r\n' "$2" "$1" >&3
IFS=' ' read -r _ code _ <&3
while IFS= read -r line <&3; do [ "${{line%$'\r'}}" = "" ] && break; done
body=$(cat <&3)
case "$code" in
  200) echo "$body"; case "$1:$body" in status:*'"running"'*|start:*|stop:*|restart:*) exit 0 ;; *) exit 3 ;; esac ;;
  *) echo "$body" >&2; exit 1 ;;
esac
"#,
            address = self.service_url.ip(),
            port = self.service_url.port(),
            id = self.spec.instance_id,
        );
        write_executable(&self.spec.home.join("bin/service"), &script)
    }

    /// Writes the hooks of an app whose services the lab runs.
    pub(crate) fn write_hooks(&self, app: &str, services: &[&str]) -> Result<(), HostsError> {
        for service in services {
            self.service(service)?;
        }
        let line = |action: &str, service: &str| {
            format!("\"$LIFEBOAT_HOME/bin/service\" {action} {service}\n")
        };
        let start: String = services.iter().map(|service| line("start", service)).collect();
        let stop: String = services.iter().rev().map(|service| line("stop", service)).collect();
        let status = services.first().map_or_else(String::new, |service| line("status", service));
        let restart = format!("{stop}{start}");
        let directory = self.spec.home.join(app).join("hooks");
        std::fs::create_dir_all(&directory)
            .map_err(|source| HostsError::Prepare { path: directory.clone(), source })?;
        for (name, lines) in
            [("start", start), ("stop", stop), ("restart", restart), ("status", status)]
        {
            write_executable(&directory.join(name), &format!("#!/bin/sh\nset -e\n{lines}"))?;
        }
        Ok(())
    }
}

fn write_executable(path: &Path, text: &str) -> Result<(), HostsError> {
    let prepare = |source| HostsError::Prepare { path: path.to_owned(), source };
    std::fs::write(path, text).map_err(prepare)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(prepare)
}
