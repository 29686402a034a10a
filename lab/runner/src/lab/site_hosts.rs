//! The sites' hosts: what runs on them, and as whom.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use lifeboat_lab_hosts::{HostSpec, ServiceSpec};

use super::{
    ACTIVE, APP, LabError, SiteConfig, aws::between, deploy::app_stack, preflight::Tools,
    site_files,
};
use crate::lab::Lab;

/// The longest session of a role, in seconds (IAM's limit): a lab may stay up for a day's work.
const HOST_SESSION_SECONDS: &str = "43200";

impl Lab {
    /// The directory of a site's host.
    #[must_use]
    pub fn host_home(&self, site: &SiteConfig) -> PathBuf {
        self.home.join("hosts").join(site.name)
    }

    pub(super) fn add_host(
        &self,
        site: &SiteConfig,
        tools: &Tools,
        credentials: &[(String, String)],
    ) -> Result<(), LabError> {
        let home = self.host_home(site);
        let password_file = self.prepare(&home)?;
        let redis = home.join("redis");
        fs::create_dir_all(&redis)
            .map_err(|error| LabError::from_error(&redis.display().to_string(), &error))?;
        let mut spec = host_spec(site, tools, &home, &password_file, credentials);
        spec.services.push(site_files::journal(&self.files_home(), site.name));
        if self.options.synchronous {
            spec.services.push(site_files::wal(site, &tools.bin.join("lifeboat"), &home));
        }
        let added = self.hosts.add_host(spec);
        // The guard first: the app takes no write before there is a permit.
        added
            .and_then(|()| self.hosts.write_hooks(site.host, APP, &["guard", "app"]))
            .map_err(|error| LabError::from_error("add a host", &error))
    }

    /// The folder of a host with the app's own in it; the file there that has the app's password.
    pub(super) fn prepare(&self, home: &Path) -> Result<PathBuf, LabError> {
        let folder = home.join(APP);
        let fail =
            |error: std::io::Error| LabError::from_error(&folder.display().to_string(), &error);
        fs::create_dir_all(&folder).map_err(fail)?;
        let password_file = folder.join("db-password");
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&password_file)
            .and_then(|mut file| {
                std::io::Write::write_all(&mut file, self.passwords.app.as_bytes())
            })
            .map_err(fail)?;
        Ok(password_file)
    }

    /// Lets a site's hosts work for an app: attaches the policy of the app's stack to their role.
    pub(crate) async fn let_hosts_serve(
        &self,
        site: &SiteConfig,
        app: &str,
    ) -> Result<(), LabError> {
        let region = site.region;
        let name = app_stack(app);
        let question = [("StackName", name.as_str())];
        let api = ("cloudformation", "2010-05-15");
        let stack = self.aws.query(region, api.0, api.1, "DescribeStacks", &question).await?;
        let policy = stack
            .split_once("<OutputKey>HostPolicyArn<")
            .and_then(|(_, rest)| between(rest, "<OutputValue>", "<"))
            .ok_or_else(|| LabError::new("the stack names no host policy"))?;
        let role = host_role(site);
        let attach = [("RoleName", role.as_str()), ("PolicyArn", policy.as_str())];
        self.aws.query(region, "iam", "2010-05-08", "AttachRolePolicy", &attach).await.map(|_| ())
    }

    /// The instance role of a site's hosts, with the policy of the app's stack and nothing else, and a
    /// session of it for the guard.
    pub(super) async fn host_credentials(
        &self,
        site: &SiteConfig,
    ) -> Result<Vec<(String, String)>, LabError> {
        let region = site.region;
        let name = host_role(site);
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com","AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}]}"#;
        let role = [
            ("RoleName", name.as_str()),
            ("AssumeRolePolicyDocument", trust),
            ("MaxSessionDuration", HOST_SESSION_SECONDS),
        ];
        self.aws.query(region, "iam", "2010-05-08", "CreateRole", &role).await?;
        self.let_hosts_serve(site, APP).await?;
        let arn = format!("arn:aws:iam::000000000000:role/{name}");
        let assume = [
            ("RoleArn", arn.as_str()),
            ("RoleSessionName", site.host),
            ("DurationSeconds", HOST_SESSION_SECONDS),
        ];
        let session = self.aws.query(region, "sts", "2011-06-15", "AssumeRole", &assume).await?;
        let part = |tag: &str| {
            between(&session, &format!("<{tag}>"), "<")
                .ok_or_else(|| LabError::new(format!("STS gave no {tag}")))
        };
        Ok(vec![
            ("AWS_ENDPOINT_URL".to_owned(), format!("http://{}", site.gateway())),
            ("AWS_ACCESS_KEY_ID".to_owned(), part("AccessKeyId")?),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), part("SecretAccessKey")?),
            ("AWS_SESSION_TOKEN".to_owned(), part("SessionToken")?),
            ("AWS_REGION".to_owned(), region.to_owned()),
        ])
    }
}

/// The name of the role of a site's hosts.
pub(crate) fn host_role(site: &SiteConfig) -> String {
    format!("queue-host-{}", site.name)
}

/// The tags of a site's host.
pub(super) fn tags(site: &SiteConfig) -> BTreeMap<String, String> {
    [("lifeboat-site".to_owned(), format!("queue-{}", site.name))].into()
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The app on one of a site's hosts.
pub(super) fn app(
    site: &SiteConfig,
    tools: &Tools,
    home: &Path,
    password_file: &Path,
    listen: SocketAddr,
) -> ServiceSpec {
    let folder = home.join(APP);
    ServiceSpec {
        name: "app".into(),
        program: path(&tools.bin.join("queue-app")),
        args: text(&[
            "--site-file",
            &path(&folder.join("site.json")),
            "--permit-file",
            &path(&folder.join("permit.json")),
            "--listen",
            &listen.to_string(),
            "--redis",
            &site.redis().to_string(),
            "--db-user",
            "app",
            "--db-password-file",
            &path(password_file),
            "--slow-file",
            &path(&home.join("slow")),
        ]),
        env: BTreeMap::new(),
        // A warm standby's app is started by the recovery.
        start_at_boot: *site == ACTIVE,
        ready: Some(listen),
    }
}

/// The guard on one of a site's hosts.
pub(super) fn guard(site: &SiteConfig, tools: &Tools, home: &Path) -> ServiceSpec {
    let folder = home.join(APP);
    ServiceSpec {
        name: "guard".into(),
        program: path(&tools.bin.join("lifeboat")),
        args: text(&[
            "guard",
            "--app",
            APP,
            "--site",
            site.name,
            "--region",
            site.region,
            "--peer",
            &site.peers(),
            "--ledger-prefix",
            "lifeboat-ledger-000000000000",
            "--site-file",
            &path(&folder.join("site.json")),
            "--permit-file",
            &path(&folder.join("permit.json")),
        ]),
        env: BTreeMap::new(),
        start_at_boot: *site == ACTIVE,
        ready: None,
    }
}

/// What everything on a host finds in its environment: its role's credentials, as through the
/// metadata service, and where our program is.
pub(super) fn environment(
    tools: &Tools,
    credentials: &[(String, String)],
) -> BTreeMap<String, String> {
    let bin = ("LIFEBOAT_BIN".to_owned(), path(&tools.bin.join("lifeboat")));
    credentials.iter().cloned().chain([bin]).collect()
}

fn host_spec(
    site: &SiteConfig,
    tools: &Tools,
    home: &Path,
    password_file: &Path,
    credentials: &[(String, String)],
) -> HostSpec {
    let redis = ServiceSpec {
        name: "redis".into(),
        program: path(&tools.redis),
        args: text(&[
            "--bind",
            &site.redis().ip().to_string(),
            "--port",
            &site.redis().port().to_string(),
            "--dir",
            &path(&home.join("redis")),
            // Snapshots only when one is asked for.
            "--save",
            "",
            "--dbfilename",
            "dump.rdb",
            // One with a log and one without, so that both are backed up in rehearsals.
            "--appendonly",
            if *site == ACTIVE { "yes" } else { "no" },
            "--protected-mode",
            "no",
        ]),
        env: BTreeMap::new(),
        start_at_boot: true,
        ready: Some(site.redis()),
    };
    HostSpec {
        instance_id: site.host.to_owned(),
        name: format!("queue-{}", site.name),
        region: site.region.to_owned(),
        tags: tags(site),
        home: home.to_path_buf(),
        env: environment(tools, credentials),
        services: vec![
            redis,
            guard(site, tools, home),
            app(site, tools, home, password_file, site.app()),
        ],
        boot_hook: None,
        legacy_agent: false,
    }
}
