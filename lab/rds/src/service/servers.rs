//! The servers of the instances: starting, stopping and reaching them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Service, locked};
use crate::automated;
use crate::clock;
use crate::model::{Instance, Key};
use crate::postgres::PgError;
use crate::postgres::running::Running;
use crate::postgres::settings::{self, Archive, Recovery, Upstream};
use crate::postgres::sql::Session;
use crate::postgres::tls::ServerCertificate;

/// How long a statement of an administrator may take.
const ADMINISTER_WITHIN: Duration = Duration::from_secs(10);

/// A lab's archive is replayed in seconds.
const RECOVERED_WITHIN: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(20);

impl Service {
    pub(crate) fn running(&self, key: &Key) -> Option<Running> {
        locked(&self.running).get(key).filter(|running| !running.has_ended()).cloned()
    }

    /// All servers that have not ended.
    pub(crate) fn all_running(&self) -> Vec<(Key, Running)> {
        let running = locked(&self.running);
        running
            .iter()
            .filter(|(_, r)| !r.has_ended())
            .map(|(k, r)| (k.clone(), r.clone()))
            .collect()
    }

    /// Writes the instance's configuration, starts its server and waits until it answers.
    pub(crate) async fn boot(&self, key: &Key) -> Result<Session, PgError> {
        self.boot_into(key, None).await
    }

    /// Starts the server of a copied base, lets it replay the archive, and returns when it takes writes.
    pub(crate) async fn recover(&self, key: &Key, mut recovery: Recovery) -> Result<(), PgError> {
        loop {
            match self.replay(key, &recovery).await {
                // No commit lies behind the time, so all that is archived is what was there at it.
                Err(error) if recovery.until.is_some() && self.ran_out(key) => {
                    tracing::info!(instance = key.id, %error, "the archive ends before the time");
                    recovery.until = None;
                }
                replayed => break replayed?,
            }
        }
        settings::write_upstream(&self.pgdata(key), None)
    }

    async fn replay(&self, key: &Key, recovery: &Recovery) -> Result<(), PgError> {
        let begin = Instant::now();
        let session = self.boot_into(key, Some(recovery)).await?;
        while session.texts("SELECT pg_is_in_recovery()").await?.first().is_none_or(|is| is != "f")
        {
            if begin.elapsed() > RECOVERED_WITHIN {
                return Err(PgError::Late { what: "the recovery", within: RECOVERED_WITHIN });
            }
            clock::pause(LOOK).await;
        }
        Ok(())
    }

    /// The server ended because its archive did not reach the time that it was to recover to.
    fn ran_out(&self, key: &Key) -> bool {
        let log = std::fs::read_to_string(self.directory(key).join("postgres.log"));
        log.is_ok_and(|text| text.contains("before configured recovery target was reached"))
    }

    async fn boot_into(&self, key: &Key, recovery: Option<&Recovery>) -> Result<Session, PgError> {
        let pgdata = self.pgdata(key);
        self.notice_promotion(key, &pgdata);
        let instance = self.instance(key)?;
        let tls = self.certificate(&instance).await;
        settings::write(
            &pgdata,
            instance.address,
            &self.parameters(&instance),
            self.upstream(&instance).as_ref(),
            tls.as_ref(),
            &self.archive(&instance),
        )?;
        if let Some(recovery) = recovery {
            settings::write_recovery(&pgdata, recovery)?;
        }
        let log = self.directory(key).join("postgres.log");
        let running = Running::start(&self.install, &self.launcher, &pgdata, &log).await?;
        // No await between the start and this: work that is aborted must not lose a server.
        locked(&self.running).insert(key.clone(), running.clone());
        if self.closed.load(Ordering::SeqCst) {
            running.kill().await?;
        }
        let session = running.wait_ready(instance.address, &instance.secrets.admin).await?;
        self.store.change(|state| {
            if let Ok(instance) = state.instance_mut(key) {
                instance.group_pending = false;
            }
        });
        Ok(session)
    }

    fn archive(&self, instance: &Instance) -> Archive {
        let directory = automated::directory(self, &instance.key.region, &instance.resource_id);
        Archive { segments: directory.join(automated::SEGMENTS), every: self.config.archive_every }
    }

    /// The instance's certificate; without one it serves without TLS.
    async fn certificate(&self, instance: &Instance) -> Option<ServerCertificate> {
        let authority = self.authority.as_ref()?;
        let directory = self.directory(&instance.key);
        match authority.issue(&self.launcher, &directory, instance.address).await {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::warn!(instance = instance.key.id, %error, "no TLS for this instance");
                None
            }
        }
    }

    /// A server that was killed just after it was promoted is no replica, whatever we remember: a
    /// promotion removes `standby.signal`. Made a standby again it would not find its timeline.
    fn notice_promotion(&self, key: &Key, pgdata: &Path) {
        if pgdata.join("standby.signal").exists() {
            return;
        }
        self.store.change(|state| {
            if let Ok(instance) = state.instance_mut(key)
                && instance.created.is_some()
            {
                instance.source = None;
            }
        });
    }

    /// Stops the instance's server, if one runs.
    pub(crate) async fn halt(&self, key: &Key) -> Result<(), PgError> {
        match self.running(key) {
            Some(running) => running.stop().await,
            None => Ok(()),
        }
    }

    /// A superuser's connection.
    pub(crate) async fn session(&self, key: &Key, within: Duration) -> Result<Session, PgError> {
        let instance = self.instance(key)?;
        Session::open(instance.address, &instance.secrets.admin, "postgres", within).await
    }

    /// A superuser's connection to one of the instance's databases.
    pub(crate) async fn session_in(&self, key: &Key, database: &str) -> Result<Session, PgError> {
        let instance = self.instance(key)?;
        Session::open(instance.address, &instance.secrets.admin, database, ADMINISTER_WITHIN).await
    }

    /// What the instance's parameter group sets.
    pub(crate) fn parameters(&self, instance: &Instance) -> BTreeMap<String, String> {
        let group = Key::new(&instance.key.region, &instance.group);
        self.store.read(|state| {
            let parameters = state.groups.get(&group).map(|group| group.parameters.iter());
            parameters
                .into_iter()
                .flatten()
                .map(|(name, p)| (name.clone(), p.value.clone()))
                .collect()
        })
    }

    fn upstream(&self, instance: &Instance) -> Option<Upstream> {
        let source =
            self.store.read(|state| state.instances.get(instance.source.as_ref()?).cloned());
        // A replica whose source was deleted stays a replica, with nothing to stream from.
        instance.source.as_ref().map(|_| Upstream {
            address: source
                .map_or(instance.address, |source| self.link(&instance.key.region, &source)),
            application: instance.key.id.clone(),
            password: instance.secrets.replication.clone(),
            slot: instance.slot(),
        })
    }

    /// The address under which `source` is reached from `region`.
    pub(crate) fn link(&self, region: &str, source: &Instance) -> Ipv4Addr {
        let link =
            self.config.replication_links.get(&(region.to_owned(), source.key.region.clone()));
        link.map_or(source.address, |link| link.towards(source.address))
    }
}
