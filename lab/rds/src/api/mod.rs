//! The operations.

mod automated;
mod create;
mod delete;
mod describe;
mod events;
mod groups;
mod lifecycle;
mod modify;
mod point_in_time;
mod quotas;
mod render;
mod replica;
mod restore;
mod snapshots;
mod tags;

pub(crate) use lifecycle::start_existing;

use std::sync::Arc;

use crate::model::Key;
use crate::query::{ApiError, Params};
use crate::service::Service;
use crate::xml::Element;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) service: Arc<Service>,
    /// The region that the caller signed for.
    pub(crate) region: String,
    pub(crate) params: Params,
}

impl Call {
    /// The instance that `DBInstanceIdentifier` names, which must be in the call's region.
    fn instance_key(&self) -> Result<Key, ApiError> {
        let text = self.params.need("DBInstanceIdentifier")?;
        let key = self.service.key(&self.region, "db", text)?;
        if key.region == self.region { Ok(key) } else { Err(ApiError::no_instance(text)) }
    }

    /// The answer with the instance in it.
    fn instance_answer(&self, result: &str, key: &Key) -> Answer {
        let element = self.service.store.read(|state| {
            state.instance(key).map(|instance| render::instance(&self.service, state, instance))
        })?;
        Ok(Some(Element::new(result).child(element)))
    }
}

/// The `...Result` element, or nothing for an operation without output.
pub(crate) type Answer = Result<Option<Element>, ApiError>;

/// Parameters of hardware and networks that a lab does not have: accepted without effect.
const HARMLESS: [&str; 20] = [
    "AutoMinorVersionUpgrade",
    "CACertificateIdentifier",
    "CopyTagsToSnapshot",
    "DBSecurityGroups",
    "DBSubnetGroupName",
    "DatabaseInsightsMode",
    "EnableCloudwatchLogsExports",
    "EnablePerformanceInsights",
    "EngineLifecycleSupport",
    "Iops",
    "LicenseModel",
    "MaxAllocatedStorage",
    "MonitoringInterval",
    "MonitoringRoleArn",
    "NetworkType",
    "OptionGroupName",
    "PerformanceInsightsRetentionPeriod",
    "StorageThroughput",
    "StorageType",
    "VpcSecurityGroupIds",
];

/// Does what the call asks for.
pub(crate) fn dispatch(action: &str, call: &Call) -> Answer {
    match action {
        "AddTagsToResource" => tags::add(call),
        "CopyDBSnapshot" => snapshots::copy(call),
        "CreateDBInstance" => create::create(call),
        "CreateDBInstanceReadReplica" => replica::create(call),
        "CreateDBParameterGroup" => groups::create(call),
        "CreateDBSnapshot" => snapshots::create(call),
        "DeleteDBInstance" => delete::delete(call),
        "DeleteDBInstanceAutomatedBackup" => automated::delete(call),
        "DeleteDBParameterGroup" => groups::delete(call),
        "DeleteDBSnapshot" => snapshots::delete(call),
        "DescribeAccountAttributes" => quotas::describe(call),
        "DescribeDBInstanceAutomatedBackups" => automated::describe(call),
        "DescribeDBInstances" => describe::instances(call),
        "DescribeDBParameterGroups" => groups::describe(call),
        "DescribeDBParameters" => groups::describe_parameters(call),
        "DescribeDBSnapshots" => snapshots::describe(call),
        "DescribeEvents" => events::describe(call),
        "ListTagsForResource" => tags::list(call),
        "ModifyDBInstance" => modify::modify(call),
        "ModifyDBParameterGroup" => groups::modify(call),
        "PromoteReadReplica" => replica::promote(call),
        "RebootDBInstance" => lifecycle::reboot(call),
        "RemoveTagsFromResource" => tags::remove(call),
        "RestoreDBInstanceFromDBSnapshot" => restore::restore(call),
        "RestoreDBInstanceToPointInTime" => point_in_time::restore(call),
        "StartDBInstanceAutomatedBackupsReplication" => automated::start_replication(call),
        "StartDBInstance" => lifecycle::start(call),
        "StopDBInstanceAutomatedBackupsReplication" => automated::stop_replication(call),
        "StopDBInstance" => lifecycle::stop(call),
        _ => Err(ApiError::new(
            "InvalidAction",
            400,
            format!("Could not find operation {action} for version {}.", crate::query::VERSION),
        )),
    }
}
