"""AWS::Route53::HealthCheck and AWS::Route53::RecordSetGroup."""

from ministack.services import route53
from ministack.services.cloudformation import provisioners

from ... import pin
from ...lab import Lab
from . import registry

_INTEGERS = ("Port", "RequestInterval", "FailureThreshold", "HealthThreshold")
_BOOLEANS = ("MeasureLatency", "EnableSNI", "Inverted", "Disabled")


def install(lab: Lab) -> None:
    pin.expect(route53, "_hc_id", "")
    pin.expect(provisioners, "_r53_record_set_create", "logical_id props stack_name")
    pin.expect(provisioners, "_r53_record_set_delete", "physical_id props")
    registry.add("AWS::Route53::HealthCheck", _check_create, _check_update, _check_delete)
    registry.add("AWS::Route53::RecordSetGroup", _group_create, _group_update, _group_delete)


def _check_create(logical_id, properties, stack):
    check_id = route53._hc_id()
    reference = f"{stack}-{logical_id}-{check_id}"
    with route53._lock:
        route53._health_checks[check_id] = {
            "id": check_id,
            "caller_reference": reference,
            "config": _config(properties),
            "version": 1,
        }
        route53._hc_caller_refs[reference] = check_id
    return check_id, {"HealthCheckId": check_id}


def _check_update(physical_id, old, new, stack, logical_id):
    with route53._lock:
        check = route53._health_checks[physical_id]
        check["config"] = _config(new)
        check["version"] += 1
    return physical_id, {"HealthCheckId": physical_id}


def _check_delete(physical_id, properties):
    with route53._lock:
        check = route53._health_checks.pop(physical_id, None)
        if check:
            route53._hc_caller_refs.pop(check["caller_reference"], None)


def _config(properties: dict) -> dict:
    config = dict(properties["HealthCheckConfig"])
    for name in _INTEGERS:
        if name in config:
            config[name] = int(config[name])
    for name in _BOOLEANS:
        if name in config:
            config[name] = registry.boolean(config[name])
    # What AWS fills in when the template does not say.
    if config["Type"] not in ("CALCULATED", "CLOUDWATCH_METRIC", "RECOVERY_CONTROL"):
        config = {"RequestInterval": 30, "FailureThreshold": 3, **config}
    return {"Inverted": False, "Disabled": False, **config}


def _group_create(logical_id, properties, stack):
    made = []
    try:
        for record in _records(properties):
            provisioners._r53_record_set_create(logical_id, record, stack)
            made.append(record)
    except ValueError:
        for record in made:
            provisioners._r53_record_set_delete("", record)
        raise
    return f"{stack}-{logical_id}", {}


def _group_update(physical_id, old, new, stack, logical_id):
    _group_delete(physical_id, old)
    try:
        _group_create(logical_id, new, stack)
    except ValueError:
        _group_create(logical_id, old, stack)
        raise
    return physical_id, {}


def _group_delete(physical_id, properties):
    for record in _records(properties):
        provisioners._r53_record_set_delete(physical_id, record)


def _records(properties: dict) -> list[dict]:
    zone = {name: properties[name] for name in ("HostedZoneId", "HostedZoneName") if name in properties}
    return [{**zone, **record} for record in properties.get("RecordSets") or []]
