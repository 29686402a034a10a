//! Disasters: what a drill does to an instance behind the API's back.

use crate::error::DisasterError;
use crate::model::Key;
use crate::postgres::running::Running;
use crate::processes;
use crate::server::RdsHandle;

impl RdsHandle {
    /// The identifiers of a region's instances.
    pub fn instances(&self, region: &str) -> Vec<String> {
        let here = |key: &&Key| key.region == region;
        self.service()
            .store
            .read(|state| state.instances.keys().filter(here).map(|key| key.id.clone()).collect())
    }

    /// The pids of an instance's postmaster and of all its descendants, lowest first.
    ///
    /// # Errors
    /// No such instance, or no server of it runs.
    pub fn pids(&self, region: &str, id: &str) -> Result<Vec<u32>, DisasterError> {
        Ok(processes::tree(self.server_of(region, id)?.pid))
    }

    /// Kills all processes of an instance (SIGKILL) at one moment, as when its host loses power.
    /// The API goes on to say what it said before.
    ///
    /// # Errors
    /// No such instance, or no server of it runs, or a process does not end within 5 s.
    pub async fn kill_instance(&self, region: &str, id: &str) -> Result<(), DisasterError> {
        let running = self.server_of(region, id)?;
        processes::kill(running.pid).await?;
        running.wait_ended().await;
        Ok(())
    }

    /// Stops all processes of an instance (SIGSTOP): connections hang instead of being refused.
    /// Freezing twice is freezing once.
    ///
    /// # Errors
    /// No such instance, or no server of it runs, or a process does not stop within 5 s.
    pub async fn freeze_instance(&self, region: &str, id: &str) -> Result<(), DisasterError> {
        processes::freeze(self.server_of(region, id)?.pid).await.map(drop)
    }

    /// Lets a frozen instance go on (SIGCONT).
    ///
    /// # Errors
    /// No such instance, or no server of it runs.
    pub fn thaw_instance(&self, region: &str, id: &str) -> Result<(), DisasterError> {
        processes::thaw(self.server_of(region, id)?.pid);
        Ok(())
    }

    /// Starts the server of a killed instance as it was, as when its host comes back: crash
    /// recovery, then its former role (a primary is a primary again). Returns when it answers queries.
    ///
    /// # Errors
    /// No such instance, or its server runs, or it does not start.
    pub async fn start_instance_again(&self, region: &str, id: &str) -> Result<(), DisasterError> {
        let key = self.known(region, id)?;
        if self.service().running(&key).is_some() {
            return Err(DisasterError::Running { region: region.to_owned(), id: id.to_owned() });
        }
        let started = self.service().boot(&key).await;
        started.map(drop).map_err(|error| DisasterError::Start {
            region: region.to_owned(),
            id: id.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Runs statements on an instance as the superuser that RDS keeps to itself: with it the lab
    /// makes of an instance what an administrator makes of a self-managed server.
    ///
    /// # Errors
    /// No such instance, or no server of it runs, or PostgreSQL refuses.
    pub async fn administer(
        &self,
        region: &str,
        id: &str,
        database: &str,
        statements: &str,
    ) -> Result<(), DisasterError> {
        let key = self.known(region, id)?;
        self.server_of(region, id)?;
        let run = async { self.service().session_in(&key, database).await?.run(statements).await };
        run.await.map_err(|error| DisasterError::Administer {
            region: region.to_owned(),
            id: id.to_owned(),
            reason: error.to_string(),
        })
    }

    fn known(&self, region: &str, id: &str) -> Result<Key, DisasterError> {
        let key = Key::new(region, id);
        let exists = self.service().store.read(|state| state.instances.contains_key(&key));
        if exists {
            Ok(key)
        } else {
            Err(DisasterError::NoInstance { region: region.to_owned(), id: id.to_owned() })
        }
    }

    fn server_of(&self, region: &str, id: &str) -> Result<Running, DisasterError> {
        let key = self.known(region, id)?;
        let none = || DisasterError::NotRunning { region: region.to_owned(), id: id.to_owned() };
        self.service().running(&key).ok_or_else(none)
    }
}
