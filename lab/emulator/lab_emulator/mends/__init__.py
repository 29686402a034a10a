"""One file per mend. `install` applies them all; each checks what it replaces."""

from .. import authorize, workers
from ..lab import Lab
from . import (
    alarm_actions,
    alarms,
    batch_deletes,
    bucket_owners,
    cache_snapshots,
    change_resources,
    cloudformation,
    condition_keys,
    dark_lambda,
    dark_rules,
    embedded_metrics,
    health_checks,
    jsonata_states,
    lambda_metrics,
    latency,
    lock_permissions,
    machine_definitions,
    machine_limits,
    machine_runs,
    machine_starts,
    machine_tasks,
    metric_resolution,
    object_locks,
    object_versions,
    parameter_limits,
    part_digests,
    policy_status,
    replication,
    retries,
    schedules,
    service_roles,
)

# Order matters only where two mends wrap the same function: the later one is
# the outer one, so the dark-region gates come after what they guard.
_MENDS = (
    latency,
    metric_resolution,
    embedded_metrics,
    lambda_metrics,
    alarm_actions,
    alarms,
    health_checks,
    retries,
    machine_definitions,
    jsonata_states,
    machine_runs,
    machine_starts,
    machine_tasks,
    machine_limits,
    parameter_limits,
    condition_keys,
    service_roles,
    schedules,
    object_versions,
    part_digests,
    policy_status,
    object_locks,
    lock_permissions,
    batch_deletes,
    bucket_owners,
    replication,
    change_resources,
    cache_snapshots,
    cloudformation,
    dark_lambda,
    dark_rules,
)


def install(lab: Lab) -> None:
    """Apply every mend; raises `PinError` when one no longer fits."""
    authorize.install()
    workers.install(lab)
    for mend in _MENDS:
        mend.install(lab)
