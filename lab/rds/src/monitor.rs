//! Looks at the instances every second: how replication does, which slots nobody needs, and what
//! automated backups need.
//!
//! Describe calls show what was seen last, so that they never wait for a server that hangs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::automated;
use crate::clock;
use crate::model::{Instance, Key, Replication, SLOT_PREFIX, Status};
use crate::postgres::PgError;
use crate::postgres::sql::literal;
use crate::service::Service;

const EVERY: Duration = Duration::from_secs(1);
/// An instance that does not answer within this counts as not replicating.
const WITHIN: Duration = Duration::from_millis(700);
/// Slots are looked at on every n-th round.
const SLOT_ROUNDS: u32 = 5;

/// Looks for ever; aborted with the server.
pub(crate) async fn watch(service: Arc<Service>) {
    let beats = u32::try_from(service.config.archive_every.as_secs()).unwrap_or(u32::MAX).max(1);
    for round in 1_u32.. {
        clock::pause(EVERY).await;
        automated::tend(&service, clock::now()).await;
        let instances: Vec<Instance> = service.store.read(|state| {
            state.instances.values().filter(|i| i.status == Status::Available).cloned().collect()
        });
        let mut looks = tokio::task::JoinSet::new();
        for instance in instances {
            let service = Arc::clone(&service);
            looks.spawn(async move {
                if instance.source.is_some() {
                    look_at_replication(&service, &instance.key).await;
                }
                if round.is_multiple_of(beats)
                    && instance.source.is_none()
                    && instance.retention > 0
                    && let Err(error) = automated::beat(&service, &instance.key, WITHIN).await
                {
                    tracing::debug!(region = instance.key.region, instance = instance.key.id, %error, "write a beat");
                }
                if round.is_multiple_of(SLOT_ROUNDS)
                    && let Err(error) = drop_orphaned_slots(&service, &instance.key).await
                {
                    tracing::debug!(region = instance.key.region, instance = instance.key.id, %error, "look at slots");
                }
            });
        }
        looks.join_all().await;
    }
}

async fn look_at_replication(service: &Service, key: &Key) {
    let seen = match receiver_status(service, key).await {
        Ok(Some(status)) if status == "streaming" => Replication::Replicating,
        Ok(Some(status)) => Replication::Broken(format!("The receiver is {status}.")),
        Ok(None) => Replication::Broken("The replica does not reach its source.".to_owned()),
        Err(error) => Replication::Broken(format!("The replica does not answer: {error}")),
    };
    service.store.observe(|state| {
        if let Ok(instance) = state.instance_mut(key) {
            instance.replication = seen;
        }
    });
}

async fn receiver_status(service: &Service, key: &Key) -> Result<Option<String>, PgError> {
    let session = service.session(key, WITHIN).await?;
    Ok(session.texts("SELECT status FROM pg_stat_wal_receiver").await?.pop())
}

/// A replica that was promoted or deleted leaves its slot on the source, which would keep
/// write-ahead log for ever. Promotion itself never contacts the source, so it is done here, when the
/// source is there again.
async fn drop_orphaned_slots(service: &Service, key: &Key) -> Result<(), PgError> {
    let needed: BTreeSet<String> =
        service.store.read(|state| state.replicas(key).map(Instance::slot).collect());
    let session = service.session(key, WITHIN).await?;
    let prefix = literal(&format!("{SLOT_PREFIX}%"));
    let slots = session.texts(&format!("SELECT slot_name FROM pg_replication_slots WHERE NOT active AND slot_name LIKE {prefix}")).await?;
    for slot in slots.iter().filter(|slot| !needed.contains(*slot)) {
        session.run(&format!("SELECT pg_drop_replication_slot({})", literal(slot))).await?;
        tracing::info!(
            region = key.region,
            instance = key.id,
            slot,
            "dropped a slot that nobody needs"
        );
    }
    Ok(())
}
