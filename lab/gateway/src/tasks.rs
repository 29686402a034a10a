//! Background work that ends with its owner.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

/// A set of tasks that are all gone after [`Tasks::stop`], or after the last clone is dropped.
///
/// It is also the executor of the upstream connection pool, so that pooled connections are counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    running: JoinSet<()>,
    stopped: bool,
}

impl Tasks {
    /// Runs `work` in the background; does nothing once the set is stopped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        // Finished tasks are reaped here, so that the set does not grow with the number of calls.
        while state.running.try_join_next().is_some() {}
        if !state.stopped {
            state.running.spawn(work);
        }
    }

    /// Ends every task and waits until all are gone.
    pub(crate) async fn stop(&self) {
        let mut running = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.running)
        };
        running.shutdown().await;
    }

    /// Asks every task to end, without waiting: what a drop can do.
    pub(crate) fn abort(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.running.abort_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        self.spawn(async move {
            work.await;
        });
    }
}
