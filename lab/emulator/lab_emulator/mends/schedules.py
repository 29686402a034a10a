"""Schedules fire on time, in their time zone, and not for a dark region.

AWS: a rate schedule first fires when it is created (or at its start date), then
at whole multiples of the rate; cron and at follow ScheduleExpressionTimezone.
ministack: looks every 10 s, first fires one period after creation, and reads
every expression as UTC.
What a region missed while dark is not caught up, except a one-time `at`.
"""

import json
import time
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from ministack.core.responses import new_uuid, request_scope
from ministack.services import eventbridge, scheduler

from .. import pin
from ..lab import Lab

_TICK_SECONDS = 1

# Schedule key -> number of the last occurrence that was seen (rate), or the
# moment up to which occurrences were seen (cron).
_seen: dict[tuple, float] = {}


def install(lab: Lab) -> None:
    scheduler._SCHEDULE_TICK_INTERVAL = _TICK_SECONDS
    eventbridge._SCHEDULER_TICK_INTERVAL = _TICK_SECONDS
    for name, parameters in (
        ("_parse_rate_seconds", "expr"),
        ("_parse_cron_fields", "expr"),
        ("_cron_next_fire", "fields after_dt"),
        ("_invoke_target", "target event rule view"),
    ):
        pin.expect(eventbridge, name, parameters)
    pin.expect(scheduler, "_to_epoch", "value")
    pin.replace(scheduler, "_tick_schedules", "", lambda original: lambda: tick(lab, time.time()))


def tick(lab: Lab, now: float) -> None:
    """Fire every schedule that came due since the last tick."""
    live = set()
    for key, schedule in list(scheduler._schedules._data.items()):
        # A schedule that was deleted and made again starts anew.
        identity = (*key, schedule.get("CreationDate"))
        live.add(identity)
        if schedule.get("State") != "ENABLED":
            continue
        start = scheduler._to_epoch(schedule.get("StartDate"))
        end = scheduler._to_epoch(schedule.get("EndDate"))
        if start is not None and now < start:
            continue
        if end is not None and now > end:
            if schedule.get("ActionAfterCompletion") == "DELETE":
                scheduler._schedules._data.pop(key, None)
            continue
        is_dark = lab.regions.mode(key[1]) is not None
        if _is_due(identity, schedule, now, is_dark) and not is_dark:
            _fire(key, schedule, now)
    for gone in set(_seen) - live:
        del _seen[gone]


def _is_due(identity: tuple, schedule: dict, now: float, is_dark: bool) -> bool:
    """Whether an occurrence lies between the last look and now; remembers this look."""
    expression = schedule.get("ScheduleExpression", "")
    zone = ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")
    if expression.startswith("at("):
        moment = datetime.fromisoformat(expression[3:-1].strip())
        if now < moment.replace(tzinfo=zone).timestamp() or identity in _seen or is_dark:
            return False
        _seen[identity] = now
        return True
    interval = eventbridge._parse_rate_seconds(expression)
    if interval is not None:
        anchor = scheduler._to_epoch(schedule.get("StartDate")) or float(schedule.get("CreationDate") or now)
        occurrence = (now - anchor) // interval
        due = occurrence > _seen.get(identity, -1)
        _seen[identity] = occurrence
        return due
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        return False
    since = _seen.setdefault(identity, now)
    # The calculation knows UTC only: let it work on the zone's wall clock.
    wall = datetime.fromtimestamp(since, zone).replace(tzinfo=timezone.utc)
    following = eventbridge._cron_next_fire(fields, wall)
    if following is None or following.replace(tzinfo=zone).timestamp() > now:
        return False
    _seen[identity] = now
    return True


def _fire(key: tuple, schedule: dict, now: float) -> None:
    account, region, _name = key
    target = schedule.get("Target") or {}
    if not target.get("Input"):
        # AWS sends a schedule without input an empty object.
        target = {**target, "Input": json.dumps({})}
    event = {
        "EventId": new_uuid(),
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": now,
        "Resources": [schedule.get("Arn", "")],
        "Account": account,
        "Region": region,
    }
    with request_scope(account, region):
        eventbridge._invoke_target(target, event, schedule)
    if schedule.get("ScheduleExpression", "").startswith("at(") and schedule.get("ActionAfterCompletion") == "DELETE":
        scheduler._schedules._data.pop(key, None)
