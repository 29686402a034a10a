"""A change of an alarm's state reaches EventBridge and Lambda, not SNS alone.

AWS: each change is an `aws.cloudwatch` event on the region's default bus, and an
alarm action may be a Lambda function. ministack: only SNS topics are told.
"""

import json
import logging
import time
import uuid

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, eventbridge, lambda_svc

from .. import permissions, pin
from ..lab import Lab

_log = logging.getLogger("lab.permissions")

_ACTION_FIELDS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}
_INITIAL = {"value": "INSUFFICIENT_DATA", "reason": "Unchecked: Initial alarm creation"}

# Alarm ARN -> the `state` that was last announced: ministack overwrites the
# alarm before it tells anybody, and the event must name the state before.
_announced: dict[str, dict] = {}


def install(lab: Lab) -> None:
    pin.expect(eventbridge, "_put_events", "data allow_aws_source")
    pin.expect(lambda_svc, "_get_func_record_for_ref", "function_ref")
    pin.expect(lambda_svc, "_execution_record_for_config", "func config")
    pin.expect(lambda_svc, "invoke_async_with_retry", "func event")

    def make(to_topics):
        def dispatch(alarm, old_state, new_state, reason):
            if lab.regions.mode(get_region()) is not None:
                return
            state, previous = _states(alarm, old_state, new_state, reason)
            to_topics(alarm, old_state, new_state, reason)
            _to_functions(alarm, new_state, state, previous)
            _to_event_bus(alarm, state, previous)

        return dispatch

    pin.replace(cloudwatch, "_dispatch_alarm_actions", "alarm old_state new_state reason", make)


def _states(alarm: dict, old_value: str, new_value: str, reason: str) -> tuple[dict, dict]:
    """The new state and the one before it, as the event describes them."""
    from .alarms import timestamp

    now = timestamp(time.time())
    previous = _announced.get(alarm["AlarmArn"]) or {
        **_INITIAL,
        "timestamp": timestamp(alarm.get("AlarmConfigurationUpdatedTimestamp", time.time())),
    }
    state = {"value": new_value, "reason": reason, "timestamp": now}
    # SetAlarmState leaves the data of the change before it in the record.
    if alarm.get("StateReasonData") and alarm["StateReasonData"] != previous.get("reasonData"):
        state["reasonData"] = alarm["StateReasonData"]
    _announced[alarm["AlarmArn"]] = state
    return state, {**previous, "value": old_value}


def _configuration(alarm: dict) -> dict:
    """The `configuration` of the event: the metric, or the rule of a composite alarm."""
    described = {"description": alarm["AlarmDescription"]} if alarm.get("AlarmDescription") else {}
    if "AlarmRule" in alarm:
        return {**described, "alarmRule": alarm["AlarmRule"]}
    stat = {
        "metric": {
            "namespace": alarm.get("Namespace"),
            "name": alarm.get("MetricName"),
            "dimensions": {entry["Name"]: entry["Value"] for entry in alarm.get("Dimensions") or []},
        },
        "period": alarm.get("Period"),
        "stat": alarm.get("ExtendedStatistic") or alarm.get("Statistic"),
    }
    if alarm.get("Unit"):
        stat["unit"] = alarm["Unit"]
    metric_id = str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"]))
    return {**described, "metrics": [{"id": metric_id, "metricStat": stat, "returnData": True}]}


def _to_event_bus(alarm: dict, state: dict, previous: dict) -> None:
    detail = {
        "alarmName": alarm["AlarmName"],
        "configuration": _configuration(alarm),
        "previousState": previous,
        "state": state,
    }
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": "aws.cloudwatch",
                    "DetailType": "CloudWatch Alarm State Change",
                    "Resources": [alarm["AlarmArn"]],
                    "Detail": json.dumps(detail),
                }
            ]
        },
        allow_aws_source=True,
    )


def _to_functions(alarm: dict, new_state: str, state: dict, previous: dict) -> None:
    """Invoke each function among the actions, asynchronously, as AWS does."""
    if not alarm.get("ActionsEnabled", True):
        return
    payload = {
        "source": "aws.cloudwatch",
        "alarmArn": alarm["AlarmArn"],
        "accountId": get_account_id(),
        "time": state["timestamp"],
        "region": get_region(),
        "alarmData": {
            "alarmName": alarm["AlarmName"],
            "state": state,
            "previousState": previous,
            "configuration": _configuration(alarm),
        },
    }
    for action in alarm.get(_ACTION_FIELDS[new_state]) or []:
        if not action.startswith("arn:aws:lambda:"):
            continue
        denial = permissions.function_denial(action, "lambda.alarms.cloudwatch.amazonaws.com", alarm["AlarmArn"])
        if denial:
            _log.error("%s: not invoked: %s", alarm["AlarmArn"], denial)
            continue
        func, config, _name = lambda_svc._get_func_record_for_ref(action)
        if func and config:
            lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(func, config), payload)
