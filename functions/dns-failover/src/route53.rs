//! Route 53's control plane.

use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType,
};
use dns_failover::{Guard, RecordChange, Records, Standing, guard_name};
use lifeboat_core::Fault;
use lifeboat_runtime::aws;

use crate::aws::Aws;

impl Records for Aws {
    async fn standing(&self, zone: &str, name: &str) -> Result<Standing, Fault> {
        let address = self.record(zone, name, RrType::A).await?;
        if address.as_ref().is_some_and(|set| set.set_identifier().is_some()) {
            // Route 53 takes no simple record beside them.
            return Err(Fault::invalid(format!(
                "{name} has failover or weighted records; set dns.switch to \"health-check\", or \
                 replace them by one simple A record"
            )));
        }
        let guard = self.record(zone, &guard_name(name), RrType::Txt).await?;
        Ok(Standing {
            addresses: address
                .iter()
                .flat_map(ResourceRecordSet::resource_records)
                .filter_map(|record| record.value().parse().ok())
                .collect(),
            guard: guard.map(|set| Guard {
                values: set.resource_records().iter().map(|r| r.value().to_owned()).collect(),
                ttl_seconds: set.ttl().unwrap_or_default(),
            }),
        })
    }

    async fn change(&self, change: &RecordChange) -> Result<String, Fault> {
        let mut changes = Vec::new();
        if let Some(old) = &change.old_guard {
            changes.push(one(ChangeAction::Delete, guard_set(change, old)?)?);
        }
        changes.push(one(ChangeAction::Create, guard_set(change, &change.new_guard)?)?);
        let address = set(
            &change.name,
            RrType::A,
            i64::from(change.ttl_seconds),
            &[change.address.to_string()],
        )?;
        changes.push(one(ChangeAction::Upsert, address)?);
        let batch = ChangeBatch::builder()
            .comment(&change.comment)
            .set_changes(Some(changes))
            .build()
            .map_err(unbuilt)?;
        let request = self
            .route53
            .change_resource_record_sets()
            .hosted_zone_id(&change.zone)
            .change_batch(batch);
        match request.send().await {
            Ok(done) => Ok(done.change_info().map(|info| info.id().to_owned()).unwrap_or_default()),
            // The guard was replaced since it was read, by another recovery or by an earlier try of
            // this one whose answer was lost: reading again tells which.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_invalid_change_batch()) => {
                let fault = aws::fault(&format!("change the records of {}", change.name), error);
                Err(Fault::transient(fault.message))
            }
            Err(error) => Err(aws::fault(&format!("change the records of {}", change.name), error)),
        }
    }

    async fn in_sync(&self, change: &str) -> Result<bool, Fault> {
        let got = self
            .route53
            .get_change()
            .id(change)
            .send()
            .await
            .map_err(|error| aws::fault(&format!("ask about change {change}"), error))?;
        Ok(got.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync))
    }
}

impl Aws {
    /// The record set with exactly this name and type.
    async fn record(
        &self,
        zone: &str,
        name: &str,
        kind: RrType,
    ) -> Result<Option<ResourceRecordSet>, Fault> {
        let listed = self
            .route53
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .start_record_name(name)
            .start_record_type(kind.clone())
            .max_items(1)
            .send()
            .await
            .map_err(|error| aws::fault(&format!("read the records of {name}"), error))?;
        // The list begins at the name and goes on behind it.
        Ok(listed
            .resource_record_sets()
            .iter()
            .find(|set| set.name().trim_end_matches('.') == name && *set.r#type() == kind)
            .cloned())
    }
}

fn guard_set(change: &RecordChange, guard: &Guard) -> Result<ResourceRecordSet, Fault> {
    set(&change.guard_name(), RrType::Txt, guard.ttl_seconds, &guard.values)
}

fn set(
    name: &str,
    kind: RrType,
    ttl_seconds: i64,
    values: &[String],
) -> Result<ResourceRecordSet, Fault> {
    let records: Result<Vec<ResourceRecord>, _> =
        values.iter().map(|value| ResourceRecord::builder().value(value).build()).collect();
    ResourceRecordSet::builder()
        .name(name)
        .r#type(kind)
        .ttl(ttl_seconds)
        .set_resource_records(Some(records.map_err(unbuilt)?))
        .build()
        .map_err(unbuilt)
}

fn one(action: ChangeAction, set: ResourceRecordSet) -> Result<Change, Fault> {
    Change::builder().action(action).resource_record_set(set).build().map_err(unbuilt)
}

/// The SDK's builders fail only for a field that was left out.
fn unbuilt(error: impl std::error::Error) -> Fault {
    Fault::needs_human(format!("the change batch is incomplete: {error}"))
}
