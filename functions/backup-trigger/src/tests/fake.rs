//! A world in which the n-th call fails.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use lifeboat_core::{
    backup::{Catalogue, Listed, Manifest, keys},
    plan_file::{self, HostTag},
};
use lifeboat_hosts::{Found, HostFailure, HostWork, Order, Progress};

use super::super::*;

/// The replication group of a managed cache.
pub(super) const GROUP: &str = "queue-cache";

/// What RDS holds of a region.
pub(super) type Region_ = BTreeMap<String, Snapshot>;

#[derive(Default)]
pub(super) struct Fake {
    pub(super) calls: AtomicUsize,
    pub(super) fail_at: Option<usize>,
    pub(super) active: Option<&'static str>,
    pub(super) offline: bool,
    pub(super) dark: bool,
    pub(super) self_managed: bool,
    pub(super) no_hosts: bool,
    /// ElastiCache runs the cache of site a.
    pub(super) managed_cache: bool,
    pub(super) held: bool,
    pub(super) caches: Mutex<BTreeMap<String, CacheSnapshot>>,
    /// The objects in the staging bucket.
    pub(super) exports: Mutex<Vec<String>>,
    pub(super) backup: Option<plan_file::Backup>,
    /// What a command comes to; what it makes is made when it is asked about.
    pub(super) ends: Option<Progress>,
    pub(super) sent: Mutex<Vec<(String, Order)>>,
    pub(super) manifests: Mutex<BTreeMap<(Kind, PointId), Manifest>>,
    pub(super) rds: Mutex<BTreeMap<String, Region_>>,
    pub(super) windows: Mutex<Vec<String>>,
}

impl Fake {
    pub(super) fn call(&self) -> Result<(), Fault> {
        let place = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.fail_at == Some(place) { Err(Fault::transient("a reset")) } else { Ok(()) }
    }

    pub(super) fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    pub(super) fn become_all(&self, status: SnapshotStatus) {
        for region in self.rds.lock().unwrap().values_mut() {
            for snapshot in region.values_mut() {
                snapshot.status = status.clone();
            }
        }
    }

    pub(super) fn snapshots_in(&self, region: &str) -> Vec<String> {
        let rds = self.rds.lock().unwrap();
        rds.get(region).into_iter().flat_map(|all| all.keys().cloned()).collect()
    }
}

pub(super) fn now() -> Timestamp {
    "2026-11-24T12:03:00Z".parse().unwrap()
}

pub(super) fn point() -> PointId {
    PointId::new("20261124T120000Z-full").unwrap()
}

pub(super) fn ports(world: Fake) -> Ports<Fake> {
    Ports { region: "us-east-1".parse().unwrap(), world }
}

pub(super) fn app() -> AppName {
    "queue".parse().unwrap()
}

pub(super) fn start(kind: Kind) -> Request {
    Request::Start { app: app(), kind, id: point() }
}

pub(super) fn poll(kind: Kind, commands: &[&str]) -> Request {
    let commands = commands.iter().map(|id| (*id).to_owned()).collect();
    Request::Poll { app: app(), kind, id: point(), commands }
}

pub(super) fn manifest(kind: Kind) -> Manifest {
    Manifest {
        app: app(),
        kind,
        id: point(),
        site: "a".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        source: "a test".into(),
        versions: BTreeMap::new(),
        started_at: now(),
        ended_at: now(),
        lsn: None,
        wal: None,
        tables: Vec::new(),
        keys: BTreeMap::new(),
        entries: None,
        artifacts: Vec::new(),
    }
}

pub(super) fn failed(last_line: &str) -> Progress {
    Progress::Failed(vec![HostFailure {
        host: "i-1".into(),
        status: "Failed".into(),
        exit_code: Some(1),
        last_line: last_line.into(),
    }])
}

impl Plans for Fake {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        self.call()?;
        let text = include_str!("../../../../events/plan/queue.toml");
        let mut plan = plan_file::read(text).unwrap();
        if self.self_managed {
            plan.database.engine = plan_file::Engine::Postgres;
        }
        if self.no_hosts {
            plan.sites.values_mut().for_each(|site| site.hosts = None);
        }
        if self.managed_cache {
            let cache = plan_file::SiteCache {
                engine: plan_file::CacheEngine::Elasticache,
                replication_group: GROUP.to_owned(),
            };
            plan.sites.values_mut().for_each(|site| site.cache = Some(cache.clone()));
        }
        plan.backup = self.backup.clone();
        Ok(plan)
    }
}

impl Sites for Fake {
    async fn active(&self, _: &AppPlan) -> Result<SiteName, Fault> {
        self.call()?;
        Ok(self.active.unwrap_or("a").parse().unwrap())
    }
}

impl Manifests for Fake {
    fn bucket(&self) -> &str {
        "lifeboat-backups-000000000000-us-east-1"
    }

    async fn catalogue(&self, app: &AppName, kind: Kind, _: Timestamp) -> Result<Catalogue, Fault> {
        self.call()?;
        let manifests = self.manifests.lock().unwrap();
        let of_kind = manifests.keys().filter(|(of, _)| *of == kind);
        let listed: Vec<Listed> = of_kind
            .map(|(_, id)| Listed { key: keys::manifest(app, kind, id), modified: now() })
            .collect();
        Ok(Catalogue::from_listing(&"us-east-1".parse().unwrap(), &listed, &[], true))
    }

    async fn manifest(
        &self,
        _: &AppName,
        kind: Kind,
        id: &PointId,
    ) -> Result<Option<Manifest>, Fault> {
        self.call()?;
        Ok(self.manifests.lock().unwrap().get(&(kind, id.clone())).cloned())
    }

    async fn put(&self, manifest: &Manifest) -> Result<(), Fault> {
        self.call()?;
        let key = (manifest.kind, manifest.id.clone());
        self.manifests.lock().unwrap().entry(key).or_insert_with(|| manifest.clone());
        Ok(())
    }

    async fn hold(&self, _: &AppName) -> Result<Option<String>, Fault> {
        self.call()?;
        Ok(self.held.then(|| "an inquiry".to_owned()))
    }
}

impl HostWork for Fake {
    async fn recent(&self, _: &'static str, _: Timestamp) -> Result<Vec<Found>, Fault> {
        self.call()?;
        let succeeded = match &self.ends {
            None | Some(Progress::Pending) => None,
            Some(Progress::Succeeded { .. }) => Some(true),
            Some(Progress::NoHosts | Progress::Failed(_)) => Some(false),
        };
        let sent = self.sent.lock().unwrap();
        let found = |(place, (_, order)): (usize, &(String, Order))| Found {
            id: format!("command-{}", place + 1),
            sent_at: now(),
            parameters: order
                .parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            succeeded,
        };
        Ok(sent.iter().enumerate().map(found).rev().collect())
    }

    async fn pick(&self, _: &HostTag) -> Result<Option<String>, Fault> {
        self.call()?;
        Ok((!self.offline).then(|| "i-1".to_owned()))
    }

    async fn send(&self, host: &str, order: &Order) -> Result<String, Fault> {
        self.call()?;
        let mut sent = self.sent.lock().unwrap();
        sent.push((host.to_owned(), order.clone()));
        Ok(format!("command-{}", sent.len()))
    }

    async fn progress(&self, _: &str) -> Result<Progress, Fault> {
        self.call()?;
        Ok(self.ends.clone().unwrap_or(Progress::Pending))
    }
}

impl Snapshots for Fake {
    async fn find(&self, region: &Region, name: &str) -> Result<Option<Snapshot>, Fault> {
        self.call()?;
        if self.dark && region.as_str() != "us-east-1" {
            return Err(Fault::transient("no answer in time"));
        }
        let rds = self.rds.lock().unwrap();
        Ok(rds.get(region.as_str()).and_then(|all| all.get(name)).cloned())
    }

    async fn create(
        &self,
        database: Database<'_>,
        name: &str,
        tags: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        self.call()?;
        let started = tags.iter().find(|(key, _)| *key == "lifeboat-started").unwrap();
        let snapshot = Snapshot {
            name: name.to_owned(),
            arn: format!("arn:aws:rds:us-east-1:000000000000:snapshot:{name}"),
            status: SnapshotStatus::Creating("creating".into()),
            started_at: started.1.parse().ok(),
            alone_since: None,
            instance: database.identifier.to_owned(),
            engine_version: "16.4".into(),
        };
        let mut rds = self.rds.lock().unwrap();
        rds.entry("us-east-1".into()).or_default().entry(name.to_owned()).or_insert(snapshot);
        Ok(())
    }

    async fn copy(
        &self,
        snapshot: &Snapshot,
        to: &Region,
        _: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        self.call()?;
        let status = SnapshotStatus::Creating("creating".into());
        let copy = Snapshot { status, ..snapshot.clone() };
        let mut rds = self.rds.lock().unwrap();
        rds.entry(to.to_string()).or_default().entry(copy.name.clone()).or_insert(copy);
        Ok(())
    }

    async fn mark(&self, snapshot: &Snapshot, tag: &'static str, value: &str) -> Result<(), Fault> {
        self.call()?;
        assert_eq!(tag, ALONE_TAG);
        let mut rds = self.rds.lock().unwrap();
        let here = rds.get_mut("us-east-1").unwrap().get_mut(&snapshot.name).unwrap();
        here.alone_since = value.parse().ok();
        Ok(())
    }

    async fn window(&self, _: Database<'_>, source: &Region) -> Result<Window, Fault> {
        self.call()?;
        self.windows.lock().unwrap().push(source.to_string());
        Ok(Window { earliest: Some(now()), latest: Some(now()) })
    }
}

impl Caches for Fake {
    fn exports(&self) -> &str {
        "lifeboat-exports-000000000000-us-east-1"
    }

    async fn of_group(&self, group: &str) -> Result<Vec<CacheSnapshot>, Fault> {
        self.call()?;
        assert_eq!(group, GROUP);
        Ok(self.caches.lock().unwrap().values().cloned().collect())
    }

    async fn take(
        &self,
        group: &str,
        name: &str,
        tags: &[(&'static str, String)],
    ) -> Result<(), Fault> {
        self.call()?;
        assert_eq!(group, GROUP);
        assert!(tags.contains(&("lifeboat-app", "queue".to_owned())), "{tags:?}");
        let status = SnapshotStatus::Creating("creating".into());
        let snapshot = CacheSnapshot { name: name.to_owned(), status, node_groups: 1 };
        self.caches.lock().unwrap().entry(name.to_owned()).or_insert(snapshot);
        Ok(())
    }

    async fn export(&self, name: &str) -> Result<(), Fault> {
        self.call()?;
        let mut caches = self.caches.lock().unwrap();
        let snapshot = caches.get_mut(name).unwrap();
        assert_eq!(
            snapshot.status,
            SnapshotStatus::Available,
            "only what is available is exported"
        );
        snapshot.status = SnapshotStatus::Creating("copying".into());
        Ok(())
    }

    async fn is_exported(&self, object: &str) -> Result<bool, Fault> {
        self.call()?;
        Ok(self.exports.lock().unwrap().iter().any(|there| there == object))
    }

    async fn forget(&self, name: &str) -> Result<(), Fault> {
        self.call()?;
        self.caches.lock().unwrap().remove(name);
        Ok(())
    }
}

impl Meter for Fake {
    fn report(&self, _: &AppName, _: Window, _: Timestamp) {}
}
