//! A world in which the n-th call fails.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use lifeboat_core::{
    backup::{
        Automated, Base, Catalogue, Choice, Listed, Look, Manifest, Outcome, Window, choose,
        choose_base, keys,
    },
    ledger::ControlRecord,
    plan_file::{self, HostTag},
    registers::{Answer, Registers},
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
    /// Whether the plan's engine is one that somebody runs himself.
    pub(super) self_managed: bool,
    pub(super) record: Option<ControlRecord>,
    /// Of the other region's instance, replicated here, from and to.
    pub(super) window: Option<(Timestamp, Timestamp)>,
    /// Until when the archived log reaches.
    pub(super) archived_until: Option<Timestamp>,
    pub(super) restored: AtomicUsize,
    pub(super) deleted: AtomicUsize,
    /// What a look finds, by its number from 0 on; then what `look` says.
    pub(super) looks: Mutex<Vec<Looked>>,
    /// As whom it was looked into.
    pub(super) logins: Mutex<Vec<String>>,
    /// How often a password of its own was set.
    pub(super) passwords: AtomicUsize,
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

/// The replicated automated backups.
const ARN: &str = "arn:aws:rds:us-west-2:000000000000:auto-backup:ab-1";

/// What is restored into: of the snapshot, and of the moment of the same name.
const NAMES: [&str; 4] = [
    "lifeboat-scratch-queue-20261124120000",
    "lifeboat-scratch-queue-t261124120000",
    "queue-restored-20261124120000",
    "queue-restored-t261124120000",
];

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
    start_to(kind, None, target)
}

pub(super) fn start_to(kind: Kind, to: Option<Timestamp>, target: Target) -> Request {
    Request::Start { app: app(), kind, id: point(), to, target }
}

pub(super) fn poll(kind: Kind, commands: &[&str]) -> Request {
    let commands = commands.iter().map(|id| (*id).to_owned()).collect();
    Request::Poll { app: app(), kind, id: point(), to: None, target: Target::Scratch, commands }
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
        let text = include_str!("../../../../events/plan/queue.toml");
        let mut plan = plan_file::read(text).unwrap();
        if self.self_managed {
            plan.database.engine = Engine::Postgres;
        }
        Ok(plan)
    }
}

impl Ledgers for Fake {
    async fn registers(&self, _: &AppPlan) -> Result<Registers, Fault> {
        self.call()?;
        let here = "us-west-2".parse().unwrap();
        Ok(Registers::new([(here, self.record.clone().map_or(Answer::Absent, Answer::Holds))]))
    }
}

impl Backups for Fake {
    fn bucket(&self) -> &str {
        "lifeboat-backups-000000000000-us-west-2"
    }

    async fn choose(
        &self,
        app: &AppName,
        kind: Kind,
        asked: Option<&PointId>,
        to: Option<Timestamp>,
    ) -> Result<Choice, Fault> {
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
        let catalogue = Catalogue::from_listing(&region, &manifests, &evidence, true);
        let Some(to) = to else { return Ok(choose(&catalogue, app, kind, asked)) };
        let mut bases = BTreeMap::new();
        loop {
            match choose_base(&catalogue, app, asked, to, &bases) {
                Ok(choice) => return Ok(choice),
                Err(Look(id)) => {
                    let ended_at = id.time().unwrap();
                    let base = Base { ended_at, archived_until: self.archived_until };
                    bases.insert(id, Some(base));
                }
            }
        }
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

impl Instances for Fake {
    async fn instance(&self, name: &str) -> Result<Option<Instance>, Fault> {
        self.call()?;
        assert!(NAMES.contains(&name), "{name}");
        Ok(self.instance.lock().unwrap().clone())
    }

    async fn windows(&self, plan: &AppPlan) -> Result<Vec<Window>, Fault> {
        self.call()?;
        let (site, of) = plan.sites.first_key_value().unwrap();
        let window = |(earliest, latest)| Window {
            backups: Automated::Replicated { arn: ARN.into() },
            site: site.clone(),
            instance: of.database.identifier.clone(),
            earliest,
            latest,
        };
        Ok(self.window.map(window).into_iter().collect())
    }

    async fn restore(&self, source: &Source, into: NewInstance<'_>) -> Result<Restoring, Fault> {
        self.call()?;
        assert_eq!(into.like, "queue-b", "the site's own of this region");
        match source {
            Source::Snapshot(name) => assert_eq!(name, "lifeboat-queue-20261124t120000z"),
            Source::Moment(backups, to) => {
                assert_eq!(*backups, Automated::Replicated { arn: ARN.into() });
                assert_eq!(PointId::full(*to), point());
            }
        }
        if self.no_snapshot {
            return Ok(Restoring::NoSnapshot);
        }
        self.restored.fetch_add(1, Ordering::SeqCst);
        let tag = |key: &str| into.tags.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone());
        *self.instance.lock().unwrap() = Some(Instance {
            state: InstanceState::Busy("creating".into()),
            scratch_of: tag("lifeboat-scratch").filter(|_| !self.foreign),
            restored_from: tag("lifeboat-restored").filter(|_| !self.foreign),
            started_at: tag("lifeboat-started").and_then(|text| text.parse().ok()),
            master: "postgres".into(),
        });
        Ok(Restoring::Begun)
    }

    async fn set_own_password(&self, _: &AppPlan, name: &str) -> Result<(), Fault> {
        self.call()?;
        let instance = self.instance.lock().unwrap();
        assert!(instance.as_ref().unwrap().scratch_of.is_some(), "{name} is no scratch instance");
        self.passwords.fetch_add(1, Ordering::SeqCst);
        Ok(())
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
    async fn look(&self, _: &AppPlan, visit: Visit<'_>) -> Result<Looked, Fault> {
        self.call()?;
        self.logins.lock().unwrap().push(match visit.login {
            Login::Plan => "plan".to_owned(),
            Login::Master { user, instance } => format!("{user} of {instance}"),
        });
        let mut looks = self.looks.lock().unwrap();
        if !looks.is_empty() {
            return Ok(looks.remove(0));
        }
        let tables = [("public.tickets".to_owned(), Rows::Counted(7))].into();
        let look = self.look.clone().unwrap_or(Ok(Seen { tables, ..Seen::default() }));
        look.map(Looked::Whole)
    }
}
