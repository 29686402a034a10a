//! What the function needs of the world.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lifeboat_core::{
    AppName, Epoch, Fault,
    contract::Authority,
    plan_file::{AppPlan, Destination, RecordKind},
    vote::{CheckKind, CheckResult},
};

use crate::mark::{Held, Mark};

/// Where plans are read.
pub trait Plans {
    /// The plan of an app.
    fn plan(&self, app: &AppName) -> impl Future<Output = Result<AppPlan, Fault>> + Send;
}

/// Who says whether a recovery may act.
pub trait Authorizer {
    /// That a majority of the plan's registers confirms the recovery's claim of its site.
    ///
    /// # Errors
    /// `StaleEpoch` when someone newer acts; other names when it cannot be told.
    fn authorize(
        &self,
        authority: &Authority,
        plan: &AppPlan,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A look at one endpoint of a site, now.
pub trait Health {
    /// What the endpoint answers within the deadline.
    fn check(
        &self,
        kind: CheckKind,
        endpoint: &str,
        deadline: Duration,
    ) -> impl Future<Output = CheckResult> + Send;
}

/// The marks in this region: switch objects, and [notes](crate::is_note).
pub trait Marks {
    /// The mark under a key, if there is one.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Held>, Fault>> + Send;

    /// Writes a mark over the one that was read (`None`: where none was).
    ///
    /// # Errors
    /// `Transient` when another one is there by now.
    fn write(
        &self,
        key: &str,
        mark: &Mark,
        over: Option<&Held>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Route 53's control plane.
pub trait Records {
    /// The records that clients get, and their guard.
    fn standing(
        &self,
        zone: &str,
        name: &str,
    ) -> impl Future<Output = Result<Standing, Fault>> + Send;

    /// Makes the change as one batch, and gives the change's id.
    ///
    /// # Errors
    /// `Transient` when the batch does not fit the records any more: read them again.
    fn change(&self, change: &RecordChange) -> impl Future<Output = Result<String, Fault>> + Send;

    /// Whether every name server of Route 53 has a change.
    fn in_sync(&self, change: &str) -> impl Future<Output = Result<bool, Fault>> + Send;
}

/// The resolvers that clients ask.
pub trait Resolvers {
    /// The addresses of one kind that a resolver gives for a name, asked anew (`None`: the system's
    /// resolver).
    ///
    /// # Errors
    /// Why there is no answer, in words.
    fn ask(
        &self,
        resolver: Option<SocketAddr>,
        name: &str,
        kind: RecordKind,
    ) -> impl Future<Output = Result<Vec<IpAddr>, String>> + Send;
}

/// All of them.
pub trait Ports: Plans + Authorizer + Health + Marks + Records + Resolvers + Sync {}

impl<T: Plans + Authorizer + Health + Marks + Records + Resolvers + Sync> Ports for T {}

/// What the hosted zone holds for a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Where its records lead, by their kind.
    pub records: BTreeMap<RecordKind, Vec<Destination>>,
    /// The guard beside it.
    pub guard: Option<Guard>,
}

/// The TXT record `_lifeboat.<name>`: under which epoch the records were changed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Its values exactly as Route 53 gives them, quotes included: a deletion must repeat them.
    pub values: Vec<String>,
    /// Its time to live in seconds, for the same reason.
    pub ttl_seconds: i64,
}

impl Guard {
    /// The guard for an epoch, with the time to live of the records beside it.
    #[must_use]
    pub fn of(epoch: Epoch, ttl_seconds: u32) -> Self {
        Self { values: vec![format!("\"epoch={epoch}\"")], ttl_seconds: i64::from(ttl_seconds) }
    }

    /// The epoch that it tells; none when someone else wrote it.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        let [value] = self.values.as_slice() else { return None };
        value.trim_matches('"').strip_prefix("epoch=")?.parse().ok().map(Epoch)
    }
}

/// A change of the records, done as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// The hosted zone.
    pub zone: String,
    /// The name that clients use.
    pub name: String,
    /// Where its records will lead.
    pub records: BTreeMap<RecordKind, Destination>,
    /// The time to live of addresses, in seconds; an alias has its target's.
    pub ttl_seconds: u32,
    /// The guard that must still be there.
    pub old_guard: Option<Guard>,
    /// The guard that replaces it.
    pub new_guard: Guard,
    /// For people who read the zone's history.
    pub comment: String,
}

impl RecordChange {
    /// The guard's name.
    #[must_use]
    pub fn guard_name(&self) -> String {
        guard_name(&self.name)
    }
}

/// The name of the guard beside a name.
#[must_use]
pub fn guard_name(name: &str) -> String {
    format!("_lifeboat.{name}")
}
