//! Brings up the two sites, as an operator would before handing them to Lifeboat.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use lifeboat_lab_hosts::{HostSpec, ServiceSpec};
use serde_json::{Value, json};

use super::{
    ACTIVE, APP, LabError, SITES, STANDBY, SiteConfig, aws::run, config, preflight::Tools,
};
use crate::{clock, lab::Lab, say::Work};

/// The role that Lifeboat logs in as: the instances' master user.
const MASTER: &str = "lifeboat";
/// Until an instance is available: initdb and a base backup take a few seconds.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(90);
/// Until a command has run on a host.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
/// Until clients are sent to the first site, and it serves.
const SERVES_WITHIN: Duration = Duration::from_secs(60);

/// What the lab must not show.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// Of the instances' master user.
    pub(crate) master: String,
    /// Of the app's database user.
    pub(crate) app: String,
    /// The secret part of the webhook's URL.
    pub(crate) webhook: String,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(***)")
    }
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, LabError> {
        Ok(Self { master: random_word()?, app: random_word()?, webhook: random_word()? })
    }

    pub(crate) fn all(&self) -> [&str; 3] {
        [&self.master, &self.app, &self.webhook]
    }
}

fn random_word() -> Result<String, LabError> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| LabError::from_error("/dev/urandom", &error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Lab {
    pub(crate) async fn start_sites(&self, tools: &Tools) -> Result<(), LabError> {
        let work =
            Work::begin("create the databases: a primary, and a replica that streams from it");
        self.create_databases().await?;
        work.done();

        let work = Work::begin("start the hosts, and the app on site a");
        let zone = self.create_dns().await?;
        for site in SITES {
            self.add_host(&site, tools)?;
            self.hosts
                .boot_host(site.host)
                .await
                .map_err(|error| LabError::from_error("boot a host", &error))?;
        }
        self.activate_first_site().await?;
        work.done();

        let work = Work::begin("store the secrets and apply the plan (lifeboat plan apply)");
        self.apply_plan(tools, &zone).await?;
        self.start_observing().await?;
        work.done();

        let work = Work::begin("wait until clients reach site a by name, and region b watches it");
        self.wait_until_served().await?;
        self.wait_until_watched().await?;
        work.done();
        Ok(())
    }

    async fn create_databases(&self) -> Result<(), LabError> {
        let master = self.passwords.master.as_str();
        let primary = [
            ("DBInstanceIdentifier", ACTIVE.instance),
            ("Engine", "postgres"),
            ("DBInstanceClass", "db.t4g.micro"),
            ("AllocatedStorage", "20"),
            ("MasterUsername", MASTER),
            ("MasterUserPassword", master),
            ("DBName", APP),
            ("BackupRetentionPeriod", "7"),
        ];
        self.aws.query(ACTIVE.region, "rds", "2014-10-31", "CreateDBInstance", &primary).await?;
        self.wait_available(&ACTIVE).await?;
        self.create_app_role().await?;
        let source = format!("arn:aws:rds:{}:000000000000:db:{}", ACTIVE.region, ACTIVE.instance);
        let replica = [
            ("DBInstanceIdentifier", STANDBY.instance),
            ("SourceDBInstanceIdentifier", source.as_str()),
            ("DBInstanceClass", "db.t4g.micro"),
        ];
        self.aws
            .query(STANDBY.region, "rds", "2014-10-31", "CreateDBInstanceReadReplica", &replica)
            .await?;
        self.wait_available(&STANDBY).await?;
        if self.options.synchronous {
            self.make_synchronous().await?;
        }
        Ok(())
    }

    /// What an administrator of a self-managed pair does: the grants that `shared/postgres` asks
    /// for, and a primary that waits for its standby.
    async fn make_synchronous(&self) -> Result<(), LabError> {
        let statements = format!(
            "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO {MASTER};
             GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {MASTER};
             GRANT ALTER SYSTEM ON PARAMETER wal_retrieve_retry_interval TO {MASTER};"
        );
        self.rds
            .administer(ACTIVE.region, ACTIVE.instance, APP, &statements)
            .await
            .map_err(|error| LabError::from_error("grant promotion", &error))?;
        let group = "queue-synchronous";
        let standby = format!("\"{}\"", STANDBY.instance);
        let family = self.parameter_family().await?;
        let create = [
            ("DBParameterGroupName", group),
            ("DBParameterGroupFamily", family.as_str()),
            ("Description", "waits for the standby"),
        ];
        let modify = [
            ("DBParameterGroupName", group),
            ("Parameters.Parameter.1.ParameterName", "synchronous_standby_names"),
            ("Parameters.Parameter.1.ParameterValue", standby.as_str()),
            ("Parameters.Parameter.1.ApplyMethod", "immediate"),
        ];
        let attach = [
            ("DBInstanceIdentifier", ACTIVE.instance),
            ("DBParameterGroupName", group),
            ("ApplyImmediately", "true"),
        ];
        for (action, form) in [("CreateDBParameterGroup", &create), ("ModifyDBInstance", &attach)] {
            self.aws.query(ACTIVE.region, "rds", "2014-10-31", action, form).await?;
        }
        let action = "ModifyDBParameterGroup";
        self.aws.query(ACTIVE.region, "rds", "2014-10-31", action, &modify).await?;
        self.wait_available(&ACTIVE).await?;
        self.wait_until_synchronous().await
    }

    /// The family of parameter groups that fits the installed PostgreSQL, such as `postgres15`.
    async fn parameter_family(&self) -> Result<String, LabError> {
        let id = [("DBInstanceIdentifier", ACTIVE.instance)];
        let action = "DescribeDBInstances";
        let answer = self.aws.query(ACTIVE.region, "rds", "2014-10-31", action, &id).await?;
        let major = answer
            .split_once("<EngineVersion>")
            .and_then(|(_, rest)| rest.split(['.', '<']).next())
            .ok_or_else(|| LabError::new("RDS names no engine version"))?;
        Ok(format!("postgres{major}"))
    }

    async fn wait_until_synchronous(&self) -> Result<(), LabError> {
        let client = self.connect(&ACTIVE, MASTER, &self.passwords.master).await?;
        clock::find(AVAILABLE_WITHIN, || async {
            let query = "SELECT sync_state FROM pg_stat_replication WHERE sync_state = 'sync'";
            (!client.query(query, &[]).await.ok()?.is_empty()).then_some(())
        })
        .await
        .ok_or_else(|| LabError::new("the standby did not become synchronous"))
    }

    async fn wait_available(&self, site: &SiteConfig) -> Result<(), LabError> {
        let id = [("DBInstanceIdentifier", site.instance)];
        clock::find(AVAILABLE_WITHIN, || async {
            let answer = self
                .aws
                .query(site.region, "rds", "2014-10-31", "DescribeDBInstances", &id)
                .await
                .ok()?;
            answer.contains("<DBInstanceStatus>available<").then_some(())
        })
        .await
        .ok_or_else(|| LabError::new(format!("{} did not become available", site.instance)))
    }

    /// The app logs in as a role of its own, which owns its tables and nothing else.
    async fn create_app_role(&self) -> Result<(), LabError> {
        let client = self.connect(&ACTIVE, MASTER, &self.passwords.master).await?;
        client
            .batch_execute(&format!(
                "CREATE ROLE app LOGIN PASSWORD '{}'; GRANT CREATE, USAGE ON SCHEMA public TO app;",
                self.passwords.app
            ))
            .await
            .map_err(|error| LabError::from_error("create the app's role", &error))
    }

    /// A connection to a site's database as the app's role.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn database(&self, site: &SiteConfig) -> Result<tokio_postgres::Client, LabError> {
        self.connect(site, "app", &self.passwords.app).await
    }

    async fn connect(
        &self,
        site: &SiteConfig,
        user: &str,
        password: &str,
    ) -> Result<tokio_postgres::Client, LabError> {
        let doing = format!("connect to {}", site.instance);
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(site.postgres().ip().to_string())
            .port(site.postgres().port())
            .user(user)
            .password(password)
            .dbname(APP)
            .connect_timeout(Duration::from_secs(5));
        let (client, connection) = settings
            .connect(tokio_postgres::NoTls)
            .await
            .map_err(|error| LabError::from_error(&doing, &error))?;
        tokio::spawn(async move {
            // It ends with the client, or with the server: the client's next query says so.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// The directory of a site's host.
    #[must_use]
    pub fn host_home(&self, site: &SiteConfig) -> PathBuf {
        self.home.join("hosts").join(site.name)
    }

    fn add_host(&self, site: &SiteConfig, tools: &Tools) -> Result<(), LabError> {
        let home = self.host_home(site);
        let folder = home.join(APP);
        let fail =
            |error: std::io::Error| LabError::from_error(&folder.display().to_string(), &error);
        fs::create_dir_all(folder.join("hooks")).map_err(fail)?;
        fs::create_dir_all(home.join("redis")).map_err(fail)?;
        for (name, verb) in [("start", "start"), ("stop", "stop"), ("restart", "restart")] {
            let order = if verb == "stop" { ["app", "guard"] } else { ["guard", "app"] };
            let script =
                order.map(|service| format!("\"$LIFEBOAT_HOME/bin/service\" {verb} {service}"));
            hook(&folder.join("hooks").join(name), &script.join("\n")).map_err(fail)?;
        }
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
        let spec = host_spec(site, tools, &home, &folder, &password_file);
        self.hosts.add_host(spec).map_err(|error| LabError::from_error("add a host", &error))
    }

    /// What the operator does once: the first site serves under epoch 1.
    async fn activate_first_site(&self) -> Result<(), LabError> {
        let (host, port) = (ACTIVE.postgres().ip().to_string(), ACTIVE.postgres().port());
        let sent = self
            .aws
            .json(
                ACTIVE.region,
                "ssm",
                "AmazonSSM.SendCommand",
                &json!({
                    "DocumentName": "lifeboat-site-control",
                    "InstanceIds": [ACTIVE.host],
                    "Parameters": {
                        "Action": ["activate"], "App": [APP], "Site": [ACTIVE.name], "Epoch": ["1"],
                        "DatabaseHost": [host], "DatabasePort": [port.to_string()],
                        "DatabaseName": [APP],
                    },
                }),
            )
            .await?;
        let question =
            json!({ "CommandId": sent.pointer("/Command/CommandId"), "InstanceId": ACTIVE.host });
        let ended = clock::find(COMMAND_WITHIN, || async {
            let target = "AmazonSSM.GetCommandInvocation";
            let answer = self.aws.json(ACTIVE.region, "ssm", target, &question).await.ok()?;
            let status = answer.get("Status")?.as_str()?.to_owned();
            (!["Pending", "InProgress"].contains(&status.as_str())).then_some((status, answer))
        })
        .await;
        match ended {
            Some((status, _)) if status == "Success" => Ok(()),
            Some((status, answer)) => Err(LabError::new(format!(
                "site a was not activated: {status}: {}",
                answer
                    .get("StandardErrorContent")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .trim()
            ))),
            None => Err(LabError::new("site a was not activated within 30 s")),
        }
    }

    async fn apply_plan(&self, tools: &Tools, zone: &str) -> Result<(), LabError> {
        let example = self.root.join("events/plan/queue.toml");
        let text = fs::read_to_string(&example)
            .map_err(|error| LabError::from_error(&example.display().to_string(), &error))?;
        let plan = self.home.join("queue.toml");
        fs::write(&plan, self.plan_text(&text, zone)?)
            .map_err(|error| LabError::from_error(&plan.display().to_string(), &error))?;
        let plan = plan.to_string_lossy().into_owned();
        let lifeboat = tools.bin.join("lifeboat");
        let environment = || self.aws.environment(STANDBY.region);
        let webhook = format!("http://{}/slack/{}", config::CAPTURE, self.passwords.webhook);
        for (name, value) in
            [("database", self.passwords.master.as_str()), ("slack-webhook", &webhook)]
        {
            run(&lifeboat, &["secret", &plan, name], environment(), Some(value)).await?;
        }
        run(&lifeboat, &["plan", "apply", &plan], environment(), None).await.map(|_| ())
    }

    /// Runs the operator's command; what it printed.
    ///
    /// # Errors
    /// The command failed; its own words.
    pub async fn lifeboat(&self, arguments: &[&str]) -> Result<String, LabError> {
        let environment = self.aws.environment(STANDBY.region);
        run(&self.bin.join("lifeboat"), arguments, environment, None).await
    }

    /// The example plan, with what this lab was started with.
    fn plan_text(&self, text: &str, zone: &str) -> Result<String, LabError> {
        let mut plan: toml::Table = toml::from_str(text)
            .map_err(|error| LabError::from_error("events/plan/queue.toml", &error))?;
        let mut set = |table: &str, key: &str, value: &str| {
            if let Some(toml::Value::Table(table)) = plan.get_mut(table) {
                table.insert(key.to_owned(), value.into());
            }
        };
        if self.options.switch_by_record {
            set("dns", "switch", "record");
            set("dns", "hosted_zone_id", zone);
        }
        if self.options.synchronous {
            set("database", "engine", "postgres");
            set("database", "replication", "synchronous");
        }
        toml::to_string(&plan).map_err(|error| LabError::from_error("the lab's plan", &error))
    }

    async fn wait_until_served(&self) -> Result<(), LabError> {
        let client = reqwest::Client::new();
        let last = std::sync::Mutex::new(String::new());
        clock::find(SERVES_WITHIN, || async {
            match self.look_at_site(&client).await {
                Ok(()) => Some(()),
                Err(why) => {
                    if let Ok(mut last) = last.lock() {
                        *last = why;
                    }
                    None
                }
            }
        })
        .await
        .ok_or_else(|| {
            let why = last.lock().map(|last| last.clone()).unwrap_or_default();
            LabError::new(format!("site a does not serve: {why}"))
        })
    }

    /// Whether the first site is healthy and its name leads to it; if not, why.
    async fn look_at_site(&self, client: &reqwest::Client) -> Result<(), String> {
        let health = format!("http://{}/health", ACTIVE.app());
        let answer = client
            .get(health)
            .timeout(Duration::from_secs(2))
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let healthy = answer.status().is_success();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if !healthy {
            return Err(text);
        }
        let wanted = ACTIVE.app().ip().to_string();
        match self.dns.resolve("queue.example.test", "A") {
            Some(reply) if format!("{reply:?}").contains(&wanted) => Ok(()),
            other => Err(format!("its name does not lead to it: {other:?}")),
        }
    }

    /// The alarm on site a has left INSUFFICIENT_DATA: votes arrive, and an outage would be seen.
    async fn wait_until_watched(&self) -> Result<(), LabError> {
        let name = format!("lifeboat-site-down-{APP}-{}", ACTIVE.name);
        let state = clock::find(SERVES_WITHIN, || async {
            let state = self.alarm_state(STANDBY.region, &name).await.ok()?;
            (state == "OK").then_some(())
        })
        .await;
        state.ok_or_else(|| {
            LabError::new(format!(
                "alarm {name} did not become OK within {} s: do the functions run? see \
                 target/lab/emulator.log and the executions of lifeboat-observe",
                SERVES_WITHIN.as_secs()
            ))
        })
    }

    /// The state of an alarm.
    ///
    /// # Errors
    /// CloudWatch does not answer.
    pub async fn alarm_state(&self, region: &str, name: &str) -> Result<String, LabError> {
        let target = "GraniteServiceVersion20100801.DescribeAlarms";
        let body = json!({ "AlarmNames": [name] });
        let answer = self.aws.json(region, "monitoring", target, &body).await?;
        let state = answer.pointer("/MetricAlarms/0/StateValue").and_then(Value::as_str);
        Ok(state.unwrap_or("absent").to_owned())
    }

    /// Everything that must appear in no log, plan, event or error.
    #[must_use]
    pub fn secrets(&self) -> [&str; 3] {
        self.passwords.all()
    }
}

fn hook(path: &Path, script: &str) -> std::io::Result<()> {
    fs::write(path, format!("#!/bin/sh\nset -eu\n{script}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn host_spec(
    site: &SiteConfig,
    tools: &Tools,
    home: &Path,
    folder: &Path,
    password_file: &Path,
) -> HostSpec {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let app = ServiceSpec {
        name: "app".into(),
        program: path(&tools.bin.join("queue-app")),
        args: text(&[
            "--site-file",
            &path(&folder.join("site.json")),
            "--permit-file",
            &path(&folder.join("permit.json")),
            "--listen",
            &site.app().to_string(),
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
        ready: Some(site.app()),
    };
    let guard = ServiceSpec {
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
            site.peer_region,
            "--ledger-prefix",
            "lifeboat-ledger-000000000000",
            "--site-file",
            &path(&folder.join("site.json")),
            "--permit-file",
            &path(&folder.join("permit.json")),
        ]),
        env: [
            ("AWS_ENDPOINT_URL".to_owned(), format!("http://{}", site.gateway())),
            ("AWS_ACCESS_KEY_ID".to_owned(), "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "test".to_owned()),
            ("AWS_REGION".to_owned(), site.region.to_owned()),
        ]
        .into(),
        start_at_boot: *site == ACTIVE,
        ready: None,
    };
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
            "--save",
            "",
            "--appendonly",
            "no",
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
        tags: [("lifeboat-site".to_owned(), format!("queue-{}", site.name))].into(),
        home: home.to_path_buf(),
        env: BTreeMap::new(),
        services: vec![redis, guard, app],
        boot_hook: None,
        legacy_agent: false,
    }
}
