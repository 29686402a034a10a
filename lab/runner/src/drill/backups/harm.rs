//! What nobody, or nobody but the sweep, may do, tried under every role that there is.

use std::collections::BTreeMap;

use super::super::evidence::invariant;
use crate::{
    lab::{FUNCTIONS, Lab, LabError, SITES, backup_bucket},
    report::InvariantResult,
};

/// Every function's role, and the hosts'.
const ROLES: usize = FUNCTIONS.len() + 1;
/// The role that may delete what no rule keeps.
const SWEEP: &str = "lifeboat-retention-sweep";

impl Lab {
    /// Tries to delete one version of an object under the role of every function, and of the hosts; all must be refused, the sweep too, because the object is locked.
    pub(super) async fn deletion_refused(
        &self,
        region: &str,
        key: &str,
    ) -> Result<InvariantResult, LabError> {
        let bucket = backup_bucket(region);
        let version = self.aws.versions(region, &bucket, key).await?.into_iter().next();
        let (key, version) = version.ok_or_else(|| LabError::new(format!("{key} is not there")))?;
        let mut refused = Vec::new();
        let mut allowed = Vec::new();
        for (who, keys) in self.roles(region).await? {
            for operation in [
                vec!["delete-object", "--bucket", &bucket, "--key", &key],
                vec!["delete-object", "--bucket", &bucket, "--key", &key, "--version-id", &version],
            ] {
                // A delete marker takes nothing away, and is the sweep's to write.
                if who == SWEEP && operation.len() == 5 {
                    continue;
                }
                let versioned = operation.len() > 5;
                let mut arguments = vec!["s3api"];
                arguments.extend(operation);
                match self.aws.cli_as(region, &keys, &arguments).await {
                    Err(error) if error.to_string().contains("AccessDenied") => {
                        refused.push(who.clone());
                    }
                    Err(error) => return Err(error),
                    Ok(_) => {
                        let what = if versioned { "a version" } else { "the object" };
                        allowed.push(format!("{who} deleted {what}"));
                    }
                }
            }
        }
        refused.dedup();
        Ok(invariant(
            "5-nobody-deletes",
            allowed.is_empty() && refused.len() == ROLES,
            if allowed.is_empty() {
                format!("{} roles were refused: {}", refused.len(), refused.join(", "))
            } else {
                allowed.join(", ")
            },
        ))
    }

    /// Tries to write over an object of a backup under the same roles; all must be refused, those
    /// that take backups too. The older version would survive, and no restore would read it.
    pub(super) async fn overwriting_refused(
        &self,
        region: &str,
        key: &str,
    ) -> Result<InvariantResult, LabError> {
        let bucket = backup_bucket(region);
        let body = self.home.join("instead-of-a-backup");
        std::fs::write(&body, "not a backup")
            .map_err(|error| LabError::from_error("write a file", &error))?;
        let body = body.display().to_string();
        let put = ["s3api", "put-object", "--bucket", &bucket, "--key", key, "--body", &body];
        let (mut refused, mut allowed) = (0_usize, Vec::new());
        for (who, keys) in self.roles(region).await? {
            match self.aws.cli_as(region, &keys, &put).await {
                Err(error) if error.to_string().contains("AccessDenied") => refused += 1,
                Err(error) => return Err(error),
                Ok(_) => allowed.push(who.clone()),
            }
            // The way in which backups are written: whoever may, finds that one is there.
            let mut once = put.to_vec();
            once.extend(["--if-none-match", "*"]);
            match self.aws.cli_as(region, &keys, &once).await {
                Err(error)
                    if ["AccessDenied", "PreconditionFailed"]
                        .iter()
                        .any(|code| error.to_string().contains(code)) => {}
                Err(error) => return Err(error),
                Ok(_) => allowed.push(format!("{who}, conditionally")),
            }
        }
        Ok(invariant(
            "5-nobody-overwrites",
            allowed.is_empty() && refused == ROLES,
            if allowed.is_empty() {
                format!("{refused} roles were refused to write over {key}")
            } else {
                format!("{key} was written over by {}", allowed.join(", "))
            },
        ))
    }

    /// The credentials of each function in this region, as its process has them, and of the region's
    /// host.
    async fn roles(
        &self,
        region: &str,
    ) -> Result<BTreeMap<String, Vec<(String, String)>>, LabError> {
        // A function that has nothing to do has no process; what it is asked is no request of it.
        for function in FUNCTIONS {
            let path = format!("/2015-03-31/functions/lifeboat-{function}/invocations");
            let post = reqwest::Method::POST;
            self.aws.rest(post, region, "lambda", &path, "{}".to_owned()).await?;
        }
        let mut roles = BTreeMap::new();
        for (function, pid) in self.function_processes(region).await? {
            let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
            let variables = environment.split(|byte| *byte == 0).filter_map(|variable| {
                let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
                let wanted = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
                wanted.contains(&name).then(|| (name.to_owned(), value.to_owned()))
            });
            roles.insert(function, variables.collect());
        }
        if let Some(site) = SITES.iter().find(|site| site.region == region) {
            roles.insert(format!("host {}", site.host), self.host_session(site).await?);
        }
        Ok(roles)
    }
}
