//! Brings up the two sites, as an operator would before handing them to Lifeboat.

use std::{fs, io::Read, time::Duration};

use serde_json::{Value, json};

use super::{
    ACTIVE, APP, LabError, SITES, STANDBY, SiteConfig, aws::run, config, preflight::Tools,
};
use crate::{clock, lab::Lab, say::Work};

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
    pub(crate) async fn start_sites(&self, tools: &Tools, zone: &str) -> Result<(), LabError> {
        let work =
            Work::begin("create the databases: a primary, and a replica that streams from it");
        self.create_databases().await?;
        work.done();

        let work = Work::begin("start the hosts");
        self.create_records(zone).await?;
        self.write_site_files().await?;
        for site in SITES {
            let credentials = self.host_credentials(&site).await?;
            self.add_host(&site, tools, &credentials)?;
            self.hosts
                .boot_host(site.host)
                .await
                .map_err(|error| LabError::from_error("boot a host", &error))?;
            self.add_more_hosts(&site, tools, &credentials).await?;
        }
        work.done();

        let work = Work::begin("store the secrets and apply the plan (lifeboat plan apply)");
        let plan = self.apply_plan(tools, zone).await?;
        work.done();

        let work = Work::begin("activate site a (lifeboat init)");
        self.lifeboat(&["init", &plan]).await?;
        if self.options.synchronous {
            self.hosts
                .start_service(ACTIVE.host, "wal")
                .await
                .map_err(|error| LabError::from_error("archive the log", &error))?;
        }
        self.start_observing().await?;
        work.done();

        let work = Work::begin("wait until clients reach site a by name, and region b watches it");
        self.wait_until_served().await?;
        self.wait_until_watched().await?;
        work.done();
        Ok(())
    }

    /// Applies the plan; where its file is.
    async fn apply_plan(&self, tools: &Tools, zone: &str) -> Result<String, LabError> {
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
        run(&lifeboat, &["plan", "apply", "--yes", &plan], environment(), None).await?;
        Ok(plan)
    }

    /// Applies the plan of a second app, which shares database and cache and leaves them to RDS and
    /// ElastiCache: nothing of it is backed up but by snapshots. `checks` are names and questions that
    /// what is restored of it must answer with true.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) async fn apply_snapshot_plan(
        &self,
        app: &str,
        checks: &[(&str, &str)],
    ) -> Result<(), LabError> {
        let example = self.root.join("events/plan/queue.toml");
        let text = fs::read_to_string(&example)
            .map_err(|error| LabError::from_error(&example.display().to_string(), &error))?;
        let mut plan: toml::Table = toml::from_str(&text)
            .map_err(|error| LabError::from_error("events/plan/queue.toml", &error))?;
        plan.insert("app".to_owned(), app.into());
        let schedule = plan.get("backup").and_then(|backup| backup.get("schedule"));
        let schedule = toml::Table::from_iter(
            ["database-snapshot", "cache"]
                .iter()
                .filter_map(|kind| Some(((*kind).to_owned(), schedule?.get(kind)?.clone()))),
        );
        for site in SITES {
            self.manage_cache(&site, &mut plan).await?;
        }
        let backup = toml::Table::from_iter([
            ("schedule".to_owned(), schedule.into()),
            ("checks".to_owned(), self::checks(checks)),
        ]);
        plan.insert("backup".to_owned(), backup.into());
        let text = toml::to_string(&plan)
            .map_err(|error| LabError::from_error("the plan of the second app", &error))?;
        let file = self.home.join(format!("{app}.toml"));
        fs::write(&file, text)
            .map_err(|error| LabError::from_error(&file.display().to_string(), &error))?;
        let file = file.to_string_lossy().into_owned();
        let lifeboat = self.bin.join("lifeboat");
        let environment = || self.aws.environment(STANDBY.region);
        for (name, value) in
            [("database", self.passwords.master.as_str()), ("slack-webhook", "http://127.0.0.1/")]
        {
            run(&lifeboat, &["secret", &file, name], environment(), Some(value)).await?;
        }
        run(&lifeboat, &["plan", "apply", "--yes", &file], environment(), None).await.map(|_| ())
    }

    /// Applies the plan with these questions that a restored database must answer with true; with
    /// none, as it was at first.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) async fn ask_restored(&self, questions: &[(&str, &str)]) -> Result<(), LabError> {
        let first = self.home.join("queue.toml");
        let fail = |error: &dyn std::error::Error| LabError::new(format!("queue.toml: {error}"));
        let text = fs::read_to_string(&first).map_err(|error| fail(&error))?;
        let mut plan: toml::Table = toml::from_str(&text).map_err(|error| fail(&error))?;
        if let Some(backup) = plan.get_mut("backup").and_then(toml::Value::as_table_mut)
            && !questions.is_empty()
        {
            backup.insert("checks".to_owned(), checks(questions));
        }
        let file = self.home.join("queue-asking.toml");
        let text = toml::to_string(&plan).map_err(|error| fail(&error))?;
        fs::write(&file, text).map_err(|error| fail(&error))?;
        self.lifeboat(&["plan", "apply", "--yes", &file.to_string_lossy()]).await.map(|_| ())
    }

    /// Applies the plan with another time for which a verdict has to hold.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) async fn hold(&self, seconds: u32) -> Result<(), LabError> {
        let first = self.home.join("queue.toml");
        let fail = |error: &dyn std::error::Error| LabError::from_error("queue.toml", error);
        let text = fs::read_to_string(&first).map_err(|error| fail(&error))?;
        let mut plan: toml::Table = toml::from_str(&text).map_err(|error| fail(&error))?;
        if let Some(detection) = plan.get_mut("detection").and_then(toml::Value::as_table_mut) {
            detection.insert("hold_seconds".to_owned(), i64::from(seconds).into());
        }
        raise_rto(&mut plan, i64::from(2 * seconds));
        let file = self.home.join("queue-holding.toml");
        let text = toml::to_string(&plan).map_err(|error| fail(&error))?;
        fs::write(&file, text).map_err(|error| fail(&error))?;
        self.lifeboat(&["plan", "apply", "--yes", &file.to_string_lossy()]).await.map(|_| ())
    }

    /// Makes a site's Redis a replication group of ElastiCache, and says so in a plan.
    async fn manage_cache(
        &self,
        site: &SiteConfig,
        plan: &mut toml::Table,
    ) -> Result<(), LabError> {
        let group = site.replication_group();
        let named = [
            ("ReplicationGroupId", group.as_str()),
            ("ReplicationGroupDescription", "the cache of the second app"),
        ];
        let version = "2015-02-02";
        let create = "CreateReplicationGroup";
        match self.aws.query(site.region, "elasticache", version, create, &named).await {
            Err(error) if !error.to_string().contains("ReplicationGroupAlreadyExists") => {
                return Err(error);
            }
            Ok(_) | Err(_) => {}
        }
        let sites = plan.get_mut("sites").and_then(|sites| sites.get_mut(site.name));
        if let Some(planned) = sites.and_then(toml::Value::as_table_mut) {
            let words = [("engine", "elasticache"), ("replication_group", group.as_str())];
            let cache = words.map(|(key, value)| (key.to_owned(), value.into()));
            planned.insert("cache".to_owned(), toml::Table::from_iter(cache).into());
        }
        Ok(())
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
        if let Some(zone) = self.load_balancer_zone() {
            behind_load_balancers(&mut plan, zone);
        }
        let mut set = |table: &str, key: &str, value: &str| {
            if let Some(toml::Value::Table(table)) = plan.get_mut(table) {
                table.insert(key.to_owned(), value.into());
            }
        };
        if self.options.synchronous {
            set("database", "engine", "postgres");
            set("database", "replication", "synchronous");
        }
        self.set_backup(&mut plan);
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
        let name = format!("lifeboat-site-down-{APP}--{}", ACTIVE.name);
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

/// The sites of a plan behind their load balancers, whose names clients keep for 60 s.
fn behind_load_balancers(plan: &mut toml::Table, zone: &str) {
    let sites = plan.get_mut("sites").and_then(toml::Value::as_table_mut);
    if let Some(sites) = sites {
        for site in SITES {
            let name = super::deploy::load_balancer(&site);
            let words = [("dns_name", name.as_str()), ("zone_id", zone)];
            let alias =
                toml::Table::from_iter(words.map(|(key, text)| (key.to_owned(), text.into())));
            let target = toml::Table::from_iter([("alias".to_owned(), alias.into())]);
            if let Some(site) = sites.get_mut(site.name).and_then(toml::Value::as_table_mut) {
                site.insert("target".to_owned(), target.into());
            }
        }
    }
    raise_rto(plan, ALIASED_RTO_SECONDS);
}

fn raise_rto(plan: &mut toml::Table, seconds: i64) {
    let scenarios = plan.get_mut("scenarios").and_then(|all| all.get_mut("region-outage"));
    if let Some(policy) = scenarios.and_then(toml::Value::as_table_mut) {
        policy.insert("rto_seconds".to_owned(), seconds.into());
    }
}

/// The RTO of the lab behind load balancers: the example's 60 s, and the 60 s for which resolvers keep
/// an alias.
pub const ALIASED_RTO_SECONDS: i64 = 120;

/// Names and questions, as a plan has them.
fn checks(questions: &[(&str, &str)]) -> toml::Value {
    let checks = questions.iter().map(|(name, query)| {
        let parts = [("name", *name), ("query", *query)];
        toml::Table::from_iter(parts.map(|(key, text)| (key.to_owned(), text.into()))).into()
    });
    toml::Value::Array(checks.collect())
}
