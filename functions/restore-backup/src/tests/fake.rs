//! A world in which the n-th call fails.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use lifeboat_core::{
    backup::{Catalogue, Listed, Manifest, Outcome, keys},
    plan_file::{self, HostTag},
};
use lifeboat_hosts::{Found, HostWork, Order, Progress};

use super::super::*;

#[derive(Default)]
pub(super) struct Fake {
    pub(super) calls: AtomicUsize,
    pub(super) fail_at: Option<usize>,
    pub(super) progress: Option<Progress>,
    pub(super) output: String,
    pub(super) points: Vec<(&'static str, Option<Outcome>)>,
    pub(super) no_snapshot: bool,
    pub(super) foreign: bool,
    pub(super) look: Option<Result<Seen, Fault>>,
    pub(super) sent: Mutex<Vec<Order>>,
    pub(super) instance: Mutex<Option<Instance>>,
    pub(super) restored: AtomicUsize,
    pub(super) deleted: AtomicUsize,
}

impl Fake {
    fn call(&self) -> Result<(), Fault> {
        let place = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.fail_at == Some(place) { Err(Fault::transient("a reset")) } else { Ok(()) }
    }

    /// What RDS does between two calls.
    pub(super) fn advance(&self) {
        let mut instance = self.instance.lock().unwrap();
        let Some(found) = instance.as_mut() else { return };
        match found.state {
            InstanceState::Busy(_) => {
                found.state = InstanceState::Available { host: "10.0.0.1".into(), port: 5432 };
            }
            InstanceState::Deleting => *instance = None,
            InstanceState::Available { .. } | InstanceState::Failed(_) => {}
        }
    }
}

pub(super) fn now() -> Timestamp {
    "2026-11-24T13:00:00Z".parse().unwrap()
}

pub(super) const POINT: &str = "20261124T120000Z-full";

pub(super) fn point() -> PointId {
    PointId::new(POINT).unwrap()
}

pub(super) fn app() -> AppName {
    "queue".parse().unwrap()
}

pub(super) fn ports(world: Fake) -> Ports<Fake> {
    Ports { region: "us-west-2".parse().unwrap(), world }
}

pub(super) fn start(kind: Kind, target: Target) -> Request {
    Request::Start { app: app(), kind, id: point(), target }
}

pub(super) fn poll(kind: Kind, commands: &[&str]) -> Request {
    let commands = commands.iter().map(|id| (*id).to_owned()).collect();
    Request::Poll { app: app(), kind, id: point(), target: Target::Scratch, commands }
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

impl Plans for Fake {
    async fn plan(&self, _: &AppName) -> Result<AppPlan, Fault> {
        self.call()?;
        Ok(plan_file::read(include_str!("../../../../events/plan/queue.toml")).unwrap())
    }
}

impl Backups for Fake {
    fn bucket(&self) -> &str {
        "lifeboat-backups-000000000000-us-west-2"
    }

    async fn catalogue(&self, app: &AppName, kind: Kind) -> Result<Catalogue, Fault> {
        self.call()?;
        let listed = |key: String| Listed { key, modified: now() };
        let mut manifests = Vec::new();
        let mut evidence = Vec::new();
        for (id, outcome) in &self.points {
            let id = PointId::new(*id).unwrap();
            manifests.push(listed(keys::manifest(app, kind, &id)));
            if let Some(outcome) = outcome {
                let depth = lifeboat_core::backup::Depth::Read;
                evidence.push(listed(keys::evidence(app, kind, &id, depth, *outcome)));
            }
        }
        let region = "us-west-2".parse().unwrap();
        Ok(Catalogue::from_listing(&region, &manifests, &evidence, true))
    }

    async fn manifest(
        &self,
        _: &AppName,
        kind: Kind,
        _: &PointId,
    ) -> Result<Option<Manifest>, Fault> {
        self.call()?;
        Ok(Some(manifest(kind)))
    }
}

impl HostWork for Fake {
    async fn recent(&self, _: &'static str, _: Timestamp) -> Result<Vec<Found>, Fault> {
        self.call()?;
        let sent = self.sent.lock().unwrap();
        let found = |(place, order): (usize, &Order)| Found {
            id: format!("command-{}", place + 1),
            sent_at: now(),
            parameters: order
                .parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            succeeded: None,
        };
        Ok(sent.iter().enumerate().map(found).rev().collect())
    }

    async fn pick(&self, _: &HostTag) -> Result<Option<String>, Fault> {
        self.call()?;
        Ok(Some("i-1".to_owned()))
    }

    async fn send(&self, _: &str, order: &Order) -> Result<String, Fault> {
        self.call()?;
        let mut sent = self.sent.lock().unwrap();
        sent.push(order.clone());
        Ok(format!("command-{}", sent.len()))
    }

    async fn progress(&self, _: &str) -> Result<Progress, Fault> {
        self.call()?;
        Ok(self.progress.clone().unwrap_or(Progress::Pending))
    }
}

impl Outputs for Fake {
    async fn output(&self, _: &str) -> Result<String, Fault> {
        self.call()?;
        Ok(self.output.clone())
    }
}

impl Scratch for Fake {
    async fn instance(&self, name: &str) -> Result<Option<Instance>, Fault> {
        self.call()?;
        assert_eq!(name, "lifeboat-scratch-queue-20261124120000");
        Ok(self.instance.lock().unwrap().clone())
    }

    async fn restore(
        &self,
        snapshot: &str,
        _: &str,
        like: &str,
        tags: &[(&'static str, String)],
    ) -> Result<Restoring, Fault> {
        self.call()?;
        assert_eq!((snapshot, like), ("lifeboat-queue-20261124t120000z", "queue-b"));
        if self.no_snapshot {
            return Ok(Restoring::NoSnapshot);
        }
        self.restored.fetch_add(1, Ordering::SeqCst);
        let tag = |key: &str| tags.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone());
        *self.instance.lock().unwrap() = Some(Instance {
            state: InstanceState::Busy("creating".into()),
            scratch_of: tag("lifeboat-scratch").filter(|_| !self.foreign),
            started_at: tag("lifeboat-started").and_then(|text| text.parse().ok()),
        });
        Ok(Restoring::Begun)
    }

    async fn delete(&self, _: &str) -> Result<(), Fault> {
        self.call()?;
        self.deleted.fetch_add(1, Ordering::SeqCst);
        if let Some(instance) = self.instance.lock().unwrap().as_mut() {
            instance.state = InstanceState::Deleting;
        }
        Ok(())
    }
}

impl Sql for Fake {
    async fn look(&self, _: &AppPlan, _: &str, _: u16) -> Result<Seen, Fault> {
        self.call()?;
        let tables = [("public.tickets".to_owned(), 7)].into();
        self.look.clone().unwrap_or(Ok(Seen { tables, ..Seen::default() }))
    }
}
