"""AWS::CloudWatch::CompositeAlarm."""

from ministack.services import cloudwatch

from ... import pin
from ...lab import Lab
from . import registry

_TYPE = "AWS::CloudWatch::CompositeAlarm"


def install(lab: Lab) -> None:
    pin.expect(cloudwatch, "_put_composite_alarm", "params cbor_data is_cbor is_json")
    pin.expect(cloudwatch, "_delete_alarms", "params cbor_data is_cbor is_json")
    registry.add(_TYPE, _create, _update, _delete)


def _create(logical_id, properties, stack):
    name = registry.name_for(properties, "AlarmName", logical_id, stack, 255)
    request = {**properties, "AlarmName": name}
    if "ActionsEnabled" in request:
        request["ActionsEnabled"] = registry.boolean(request["ActionsEnabled"])
    registry.refuse(_TYPE, cloudwatch._put_composite_alarm({}, request, False, True))
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def _update(physical_id, old, new, stack, logical_id):
    result = _create(logical_id, new, stack)
    if result[0] != physical_id:
        _delete(physical_id, old)
    return result


def _delete(physical_id, properties):
    registry.refuse(_TYPE, cloudwatch._delete_alarms({}, {"AlarmNames": [physical_id]}, False, True))
