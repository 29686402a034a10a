//! Background work: each instance does one piece at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::AbortHandle;

use super::{Service, locked};
use crate::clock;
use crate::model::{Key, Status};
use crate::postgres::PgError;

/// Background work on one instance: one piece at a time.
#[derive(Debug, Default)]
pub(super) struct Work {
    turn: Arc<tokio::sync::Mutex<()>>,
    newest: Option<AbortHandle>,
}

impl Service {
    /// Runs `work` on the instance in the background, after what runs already. When it fails, the
    /// instance gets `on_failure` as its status (if any) and the event log the reason.
    pub(crate) fn begin(
        self: &Arc<Self>,
        key: &Key,
        name: &'static str,
        on_failure: Option<Status>,
        work: impl Future<Output = Result<(), PgError>> + Send + 'static,
    ) {
        let mut works = locked(&self.work);
        let entry = works.entry(key.clone()).or_default();
        let turn = Arc::clone(&entry.turn);
        let (service, key) = (Arc::clone(self), key.clone());
        let task = tokio::spawn(async move {
            let _turn = turn.lock().await;
            let Err(error) = work.await else { return };
            tracing::error!(region = key.region, instance = key.id, %error, "{name} failed");
            let wrong_parameters =
                error.is_about_parameters().then_some(Status::IncompatibleParameters);
            if let Some(status) = wrong_parameters.or(on_failure) {
                service.store.change(|state| {
                    if let Ok(instance) = state.instance_mut(&key) {
                        instance.status = status;
                    }
                });
            }
            service.event(&key, "failure", &format!("{name} failed: {error}"));
        });
        entry.newest = Some(task.abort_handle());
    }

    /// Gives up the work on an instance, so that it can be deleted.
    pub(crate) fn give_up(&self, key: &Key) {
        if let Some(task) = locked(&self.work).get_mut(key).and_then(|work| work.newest.take()) {
            task.abort();
        }
    }

    /// Sets the status and tells the event log.
    pub(crate) fn settle(&self, key: &Key, status: Status, category: &str, message: &str) {
        self.store.change(|state| {
            if let Ok(instance) = state.instance_mut(key) {
                instance.status = status;
                if status == Status::Available && instance.created.is_none() {
                    instance.created = Some(clock::now());
                }
            }
        });
        self.event(key, category, message);
    }

    /// Ends all work and all servers. Replicas and sources stop at the same time: a source waits
    /// for its replicas to take the last of its log, and a replica that stops lets it go.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let tasks: Vec<AbortHandle> =
            locked(&self.work).values_mut().filter_map(|work| work.newest.take()).collect();
        tasks.iter().for_each(AbortHandle::abort);
        let mut stops = tokio::task::JoinSet::new();
        for (key, running) in self.all_running() {
            stops.spawn(async move {
                if let Err(error) = running.stop().await {
                    tracing::error!(region = key.region, instance = key.id, %error, "stop the server");
                }
            });
        }
        stops.join_all().await;
    }

    /// Kills all servers without waiting: for a handle that is dropped.
    pub(crate) fn kill_now(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for (_, running) in self.all_running() {
            running.kill_now();
        }
    }
}
