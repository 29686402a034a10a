"""Metric alarms are evaluated by the clock, on their own metric, by CloudWatch's rules.

AWS: an alarm looks at one metric (namespace, name and exactly these
dimensions), at closed periods, each minute or each 10 s, whether data comes or not.
ministack: pools all dimensions, ignores missing data and M of N, and evaluates
only when PutMetricData is called.
"""

import json
import logging
import threading
import time

from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from .. import alarm_rules, pin
from ..lab import Lab

_log = logging.getLogger("lab.alarms")

# How long after the end of a period it is evaluated: data published in its last
# moment must have arrived.
_SETTLE_SECONDS = 0.6
_TICK_SECONDS = 0.2


def install(lab: Lab) -> None:
    pin.replace(cloudwatch, "_evaluate_alarm", "alarm", lambda original: lambda alarm: None)
    pin.replace(cloudwatch, "_evaluate_all_alarms", "", lambda original: lambda: None)
    pin.expect(cloudwatch, "_point_stats", "pt")
    pin.expect(cloudwatch, "_dims_key", "dims")
    pin.expect(cloudwatch, "_record_history", "alarm_name old_state new_state reason alarm_type reason_data")
    pin.expect(cloudwatch, "_evaluate_parent_alarms", "child seen")
    threading.Thread(target=_Clock(lab).run, daemon=True, name="lab-alarm-clock").start()


class _Clock:
    """Evaluates every alarm once per interval, just after the period closed."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        # Alarm -> the interval in which it was last evaluated.
        self._evaluated: dict[tuple, int] = {}

    def run(self) -> None:
        while True:
            time.sleep(_TICK_SECONDS)
            self.tick(time.time())

    def tick(self, now: float) -> None:
        for key, alarm in list(cloudwatch._alarms._data.items()):
            account, region, name = key
            interval = alarm_rules.evaluation_interval(int(alarm.get("Period") or 60))
            current = int((now - _SETTLE_SECONDS) // interval)
            # A new alarm is first evaluated when the running interval closes.
            if self._evaluated.setdefault(key, current) == current:
                continue
            self._evaluated[key] = current
            if self._lab.regions.mode(region) is not None:
                continue
            try:
                with request_scope(account, region):
                    evaluate(alarm, now)
            except Exception:  # one bad alarm must not stop the others
                _log.exception("alarm %s could not be evaluated", name)


def evaluate(alarm: dict, now: float) -> None:
    """Evaluate one alarm of the current account and region, and act on a change."""
    if not alarm.get("MetricName") or alarm.get("ExtendedStatistic"):
        return
    rule = alarm_rules.Rule.of(alarm)
    verdict = alarm_rules.evaluate(rule, alarm["StateValue"], _points(alarm, rule, now), now)
    old = alarm["StateValue"]
    if verdict.state == old:
        return
    reason_data = _reason_data(rule, verdict, now)
    alarm["StateValue"] = verdict.state
    alarm["StateReason"] = verdict.reason
    alarm["StateReasonData"] = json.dumps(reason_data)
    alarm["StateUpdatedTimestamp"] = int(now)
    alarm["StateTransitionedTimestamp"] = int(now)
    cloudwatch._record_history(alarm["AlarmName"], old, verdict.state, verdict.reason, "MetricAlarm", reason_data)
    cloudwatch._dispatch_alarm_actions(alarm, old, verdict.state, verdict.reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _points(alarm: dict, rule: alarm_rules.Rule, now: float) -> list[tuple]:
    """The alarm's own datapoints within its window."""
    dimensions = {entry["Name"]: entry["Value"] for entry in alarm.get("Dimensions") or []}
    key = (alarm.get("Namespace"), alarm["MetricName"], cloudwatch._dims_key(dimensions))
    start, end = alarm_rules.window(rule, now)
    unit = alarm.get("Unit")
    return [
        (point["Timestamp"], *cloudwatch._point_stats(point))
        for point in list(cloudwatch._metrics.get(key) or [])
        if start <= point["Timestamp"] < end and (not unit or point.get("Unit") == unit)
    ]


def _reason_data(rule: alarm_rules.Rule, verdict: alarm_rules.Verdict, now: float) -> dict:
    """StateReasonData in CloudWatch's shape; datapoints are newest first there."""
    recent = [value for _, value in verdict.datapoints if value is not None]
    return {
        "version": "1.0",
        "queryDate": timestamp(now),
        "statistic": rule.statistic,
        "period": rule.period,
        "recentDatapoints": recent[-rule.evaluation_periods :],
        "threshold": rule.threshold,
        "evaluatedDatapoints": [
            {"timestamp": timestamp(at)} | ({} if value is None else {"value": value})
            for at, value in reversed(verdict.datapoints[-rule.evaluation_periods :])
        ],
    }


def timestamp(at: float) -> str:
    """CloudWatch's form of a time: `2026-01-02T03:04:05.678+0000`."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return f"{whole}.{int(at * 1000) % 1000:03d}+0000"
