//! Route 53's control plane.

use std::collections::BTreeMap;

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord,
    ResourceRecordSet, RrType,
};
use dns_failover::{Guard, RecordChange, Records, Standing, guard_name};
use lifeboat_core::{
    Fault,
    plan_file::{Destination, RecordKind},
};
use lifeboat_runtime::aws;

use crate::aws::Aws;

impl Records for Aws {
    async fn standing(&self, zone: &str, name: &str) -> Result<Standing, Fault> {
        let mut records = BTreeMap::new();
        for kind in RecordKind::ALL {
            let Some(set) = self.record(zone, name, rr_type(kind)).await? else { continue };
            if set.set_identifier().is_some() {
                // Route 53 takes no simple record beside them.
                return Err(Fault::invalid(format!(
                    "{name} has failover or weighted records; set dns.switch to \"health-check\", \
                     or replace them by one simple {} record",
                    kind.as_str()
                )));
            }
            records.insert(kind, destinations(&set));
        }
        let guard = self.record(zone, &guard_name(name), RrType::Txt).await?;
        Ok(Standing {
            records,
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
        for (kind, to) in &change.records {
            changes.push(one(ChangeAction::Upsert, leading(change, *kind, to)?)?);
        }
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

const fn rr_type(kind: RecordKind) -> RrType {
    match kind {
        RecordKind::A => RrType::A,
        RecordKind::Aaaa => RrType::Aaaa,
    }
}

/// Where a record set leads. Route 53 gives an alias's name with a final dot.
fn destinations(set: &ResourceRecordSet) -> Vec<Destination> {
    if let Some(alias) = set.alias_target() {
        let dns_name = alias.dns_name().trim_end_matches('.').to_owned();
        return vec![Destination::Alias { dns_name, zone_id: alias.hosted_zone_id().to_owned() }];
    }
    set.resource_records()
        .iter()
        .filter_map(|record| record.value().parse().ok().map(Destination::Address))
        .collect()
}

fn leading(
    change: &RecordChange,
    kind: RecordKind,
    to: &Destination,
) -> Result<ResourceRecordSet, Fault> {
    match to {
        Destination::Address(address) => {
            let ttl = i64::from(change.ttl_seconds);
            set(&change.name, rr_type(kind), ttl, &[address.to_string()])
        }
        Destination::Alias { dns_name, zone_id } => {
            let alias = AliasTarget::builder()
                .dns_name(dns_name)
                .hosted_zone_id(zone_id)
                // The only record of its name: its target's health would choose between nothing.
                .evaluate_target_health(false)
                .build()
                .map_err(unbuilt)?;
            ResourceRecordSet::builder()
                .name(&change.name)
                .r#type(rr_type(kind))
                .alias_target(alias)
                .build()
                .map_err(unbuilt)
        }
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
