//! `DescribeAccountAttributes`.

use super::{Answer, Call};
use crate::xml::Element;

/// DB instances of an account and region (RDS user guide, "Quotas and constraints").
const INSTANCES: usize = 40;

/// The quotas of the caller's region that the lab counts; RDS has more of them. The operation has no
/// parameters.
pub(super) fn describe(call: &Call) -> Answer {
    call.params.only(&[], &[])?;
    let (instances, snapshots) = call.service.store.read(|state| {
        let here = |region: &String| *region == call.region;
        let instances = state.instances.keys().filter(|key| here(&key.region)).count();
        // Every snapshot of the lab is a manual one: an automated backup is no snapshot here.
        (instances, state.snapshots.keys().filter(|key| here(&key.region)).count())
    });
    let quota = |name: &str, used: usize, most: usize| {
        Element::new("AccountQuota")
            .text("AccountQuotaName", name)
            .text("Used", used.to_string())
            .text("Max", most.to_string())
    };
    let quotas = Element::new("AccountQuotas")
        .child(quota("DBInstances", instances, INSTANCES))
        .child(quota("ManualSnapshots", snapshots, call.service.config.manual_snapshots));
    Ok(Some(Element::new("DescribeAccountAttributesResult").child(quotas)))
}
