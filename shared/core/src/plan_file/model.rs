//! What a plan file says. Unknown fields are refused, so that a typing error cannot pass as a
//! default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Backup, Target};
use crate::{
    error::Fault,
    ids::{AppName, Region, SiteName},
    ledger::EpochClass,
    round_trip::RoundTrip,
    vote::CheckKind,
};

/// The system to protect, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPlan {
    /// The app's name: part of every key, so that one stack serves many apps.
    pub app: AppName,
    /// The site that is active when the plan is first applied. Later the ledger knows.
    pub initially_active: SiteName,
    /// The sites, by name. Exactly two, in two regions.
    pub sites: BTreeMap<SiteName, Site>,
    /// The third register, which decides who may write when the sites' regions cannot see each other.
    pub witness: Witness,
    /// What the sites' databases have in common.
    pub database: Database,
    /// The name that clients use, and how it is moved.
    pub dns: Dns,
    /// How a site is observed.
    #[serde(default)]
    pub detection: Detection,
    /// Objectives and policy for each scenario.
    pub scenarios: BTreeMap<Scenario, ScenarioPolicy>,
    /// Who is told.
    #[serde(default)]
    pub notifications: Notifications,
    /// What is backed up, and how it is proven. None: nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
}

impl AppPlan {
    /// The site that lives in `region`, with its name.
    #[must_use]
    pub fn site_in(&self, region: &str) -> Option<(&SiteName, &Site)> {
        self.sites.iter().find(|(_, site)| site.region.as_str() == region)
    }

    /// What the plan asks of a recovery of this scenario.
    ///
    /// # Errors
    /// [`crate::ErrorName::InvalidInput`] when it says nothing of it.
    pub fn objectives(&self, scenario: Scenario) -> Result<&ScenarioPolicy, Fault> {
        self.scenarios.get(&scenario).ok_or_else(|| {
            let (app, scenario) = (&self.app, scenario.as_str());
            Fault::invalid(format!(
                "the plan of {app} has no objectives for {scenario}; add [scenarios.{scenario}] and \
                 apply it"
            ))
        })
    }

    /// Seconds for which a site must be proven down before anything that cannot be taken back is
    /// done unattended.
    #[must_use]
    pub fn hold_seconds(&self) -> u32 {
        self.detection.hold_seconds.unwrap_or_else(|| self.database.engine.hold_seconds())
    }

    /// The round trip between the sites' regions that the plan reckons with.
    #[must_use]
    pub const fn round_trip(&self) -> RoundTrip {
        RoundTrip::from_ms(self.detection.round_trip_ms)
    }

    /// The regions that hold a register of the app: those of the sites, and the witness's.
    pub fn registers(&self) -> impl Iterator<Item = &Region> {
        self.sites.values().map(|site| &site.region).chain([&self.witness.region])
    }

    /// The epochs that recoveries of a site take; none for a site that the plan has not.
    #[must_use]
    pub fn epochs_of(&self, site: &SiteName) -> Option<EpochClass> {
        EpochClass::of(site, self.sites.keys())
    }

    /// The other site, the one to fail over to.
    #[must_use]
    pub fn other_than(&self, name: &SiteName) -> Option<(&SiteName, &Site)> {
        self.sites.iter().find(|(other, _)| *other != name)
    }
}

/// Where the third register is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// A region without a site, where `witness.yaml` is deployed.
    pub region: Region,
}

/// One deployment of the system, in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The region.
    pub region: Region,
    /// Short for `target = { address = ... }`, as plans had it before there were others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::Ipv4Addr>,
    /// Where clients reach the site. This or `address`; [`Site::records`] reads both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The site's database.
    pub database: SiteDatabase,
    /// The site's cache, where AWS runs it. None: `health.redis` is a Redis that runs on a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<SiteCache>,
    /// The hosts that run the app, as a Systems Manager tag. None means that nothing has to be
    /// started there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostTag>,
    /// Where the site's health is read.
    pub health: Health,
}

/// The database of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteDatabase {
    /// `engine = "rds"`: the DB instance identifier. `engine = "postgres"`: a name for messages.
    pub identifier: String,
    /// The host name or address at which the site's app reaches it.
    pub host: String,
    /// The TCP port.
    #[serde(default = "postgres_port")]
    pub port: u16,
}

/// IANA's port for PostgreSQL.
const fn postgres_port() -> u16 {
    5432
}

/// The cache of one site that AWS runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteCache {
    /// The service.
    pub engine: CacheEngine,
    /// The replication group's identifier, in the site's region.
    pub replication_group: String,
}

/// The service that runs a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheEngine {
    /// Amazon ElastiCache, Redis OSS or Valkey, node-based.
    Elasticache,
}

/// A Systems Manager tag that selects hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostTag {
    /// The tag's key.
    pub tag: String,
    /// The tag's value.
    pub value: String,
    /// Seconds that the app's hooks may take on a host, from 10 to 180. None: 60, the default of the
    /// document `lifeboat-site-control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_seconds: Option<u32>,
    /// How many hosts must run the app for the site to be activated. None: half of those that have
    /// the tag, rounded up. Fencing always wants every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<u32>,
}

impl HostTag {
    /// The hosts with this tag, half of which are enough.
    #[must_use]
    pub fn new(tag: impl Into<String>, value: impl Into<String>) -> Self {
        Self { tag: tag.into(), value: value.into(), hook_seconds: None, enough: None }
    }
}

/// Where a site's health is read; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// URL that answers 200 when the app and all that it needs are well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// `host:port` of the PostgreSQL server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// `host:port` of Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<String>,
}

impl Endpoints {
    /// The endpoints that are set, by kind.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<CheckKind, &str> {
        [
            (CheckKind::Http, &self.http),
            (CheckKind::Postgres, &self.postgres),
            (CheckKind::Redis, &self.redis),
        ]
        .into_iter()
        .filter_map(|(kind, endpoint)| Some((kind, endpoint.as_deref()?)))
        .collect()
    }
}

/// A site's endpoints, and what they are called where another region reaches them by another name
/// (a PrivateLink endpoint, a peering address).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The site's own endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// See [`Endpoints::postgres`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// See [`Endpoints::redis`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<String>,
    /// The endpoints as they are called in the region named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen_from: BTreeMap<Region, Endpoints>,
}

impl Health {
    /// The endpoints as an observer in `region` should use them.
    #[must_use]
    pub fn from_region(&self, region: &str) -> Endpoints {
        let special = self.seen_from.iter().find(|(name, _)| name.as_str() == region);
        let special = special.map(|(_, endpoints)| endpoints.clone()).unwrap_or_default();
        Endpoints {
            http: special.http.or_else(|| self.http.clone()),
            postgres: special.postgres.or_else(|| self.postgres.clone()),
            redis: special.redis.or_else(|| self.redis.clone()),
        }
    }
}

/// The engine that runs the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Amazon RDS for PostgreSQL with a cross-region read replica.
    Rds,
    /// Self-managed PostgreSQL with streaming replication.
    Postgres,
}

impl Engine {
    /// Seconds that the engine's own repair may take, during which a failover to another region
    /// would throw away what the repair brings back. RDS: a Multi-AZ failover typically takes 60 to
    /// 120 s (user guide, "Failing over a Multi-AZ DB instance for Amazon RDS"). A PostgreSQL server
    /// of one's own repairs nothing: one alarm period, against a restart.
    #[must_use]
    pub const fn hold_seconds(self) -> u32 {
        match self {
            Self::Rds => 120,
            Self::Postgres => Detection::ALARM_PERIOD_SECONDS,
        }
    }
}

/// How the standby follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// A commit is acknowledged before the standby has it: some may be lost.
    #[default]
    Asynchronous,
    /// A commit waits for the standby: none is lost, and a lost standby stops writes.
    Synchronous,
}

/// What the sites' databases have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The engine.
    pub engine: Engine,
    /// The database's name inside the server.
    pub name: String,
    /// The role that Lifeboat logs in as, to read replication state and, for `postgres`, to
    /// promote.
    pub user: String,
    /// The name of the secret that holds its password: the SecureString parameter
    /// `/lifeboat/secrets/<app>/<name>` in each region. Never the password itself.
    pub password_secret: String,
    /// How the standby follows.
    #[serde(default)]
    pub replication: Replication,
}

/// How traffic is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// Pre-created failover records whose PRIMARY is tied to an inverted health check on an object
    /// in the standby region: one S3 PUT moves traffic through Route 53's data plane.
    #[default]
    HealthCheck,
    /// One atomic change batch through Route 53's control plane: for planned work.
    Record,
}

/// The name that clients use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The fully qualified name, without the final dot.
    pub name: String,
    /// How it is moved.
    #[serde(default)]
    pub switch: Switch,
    /// Time to live of its records, in seconds.
    pub ttl_seconds: u32,
    /// The hosted zone; needed for `switch = "record"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_zone_id: Option<String>,
    /// `address:port` of the resolvers asked to confirm a switch. Empty: the system's resolver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<std::net::SocketAddr>,
}

/// How a site is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detection {
    /// Seconds between the starts of two rounds of checks.
    pub interval_seconds: u32,
    /// Milliseconds that each check may take, less than the interval.
    pub deadline_ms: u32,
    /// `down` votes in one round that prove a site down in it.
    pub quorum: u32,
    /// Rounds within one 10 s period that must be down to raise the alarm. Ten seconds is the
    /// shortest period of a CloudWatch alarm, so the M of N that matters is taken inside it.
    pub rounds_to_alarm: u32,
    /// Seconds for which a site must be proven down before anything that cannot be taken back is
    /// done unattended. None: the engine's own, see [`Engine::hold_seconds`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
    /// Milliseconds of a round trip between the sites' regions, as planned for. Limits on calls
    /// between regions follow from it, see [`crate::round_trip`].
    pub round_trip_ms: u32,
}

impl Detection {
    /// The shortest alarm period of CloudWatch (high-resolution metrics), in seconds.
    pub const ALARM_PERIOD_SECONDS: u32 = 10;

    /// Rounds that begin within one alarm period.
    #[must_use]
    pub const fn rounds_per_period(self) -> u32 {
        match Self::ALARM_PERIOD_SECONDS.checked_div(self.interval_seconds) {
            Some(rounds) => rounds,
            None => 0,
        }
    }
}

impl Default for Detection {
    /// Five rounds in an alarm period, three of which must be down: an outage that begins anywhere
    /// in a period is proven at the end of it or of the next one, at most 16 s later.
    fn default() -> Self {
        Self {
            interval_seconds: 2,
            deadline_ms: 1800,
            quorum: 2,
            rounds_to_alarm: 3,
            hold_seconds: None,
            round_trip_ms: RoundTrip::DEFAULT_MS,
        }
    }
}

/// What happened, or what is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The active site's region is lost: fail over.
    RegionOutage,
}

impl Scenario {
    /// The name in the plan file and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RegionOutage => "region-outage",
        }
    }
}

/// Who lets a recovery act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Nobody is asked while the estimate of the loss is within the RPO.
    #[default]
    Automatic,
    /// A person approves every recovery.
    Required,
}

/// Objectives and policy of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioPolicy {
    /// Recovery time objective, in seconds.
    pub rto_seconds: u32,
    /// Recovery point objective, in seconds of acknowledged writes that may be lost.
    pub rpo_seconds: u32,
    /// Who lets it act.
    #[serde(default)]
    pub approval: Approval,
}

/// Who is told. The region's SNS topic always is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Notifications {
    /// The name of the secret that holds a webhook URL in Slack's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_webhook_secret: Option<String>,
}
