"""When a metric alarm changes state: a pure function of the alarm and its datapoints.

The rules are those of the CloudWatch user guide, "Using Amazon CloudWatch
alarms", sections on evaluation, missing data and premature transitions. The
guide's two tables are test cases. Where the guide says nothing the alarm keeps
its state.

Times are seconds since the epoch. A metric point is
`(timestamp, sample_count, sum, minimum, maximum)`.
"""

import math
from dataclasses import dataclass

OK = "OK"
ALARM = "ALARM"
INSUFFICIENT_DATA = "INSUFFICIENT_DATA"

# How many periods CloudWatch looks at beyond EvaluationPeriods, so that a few
# missing ones can be made up for: the guide's example looks at 5 for 3.
EXTRA_PERIODS = 2

_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}

_STATISTICS = {
    "SampleCount": lambda count, total, low, high: count,
    "Sum": lambda count, total, low, high: total,
    "Average": lambda count, total, low, high: total / count,
    "Minimum": lambda count, total, low, high: low,
    "Maximum": lambda count, total, low, high: high,
}


@dataclass(frozen=True)
class Rule:
    """What of an alarm's configuration decides its state."""

    statistic: str
    comparison: str
    threshold: float
    period: int
    evaluation_periods: int
    datapoints_to_alarm: int
    treat_missing: str

    @staticmethod
    def of(alarm: dict) -> "Rule":
        """The rule of a DescribeAlarms-shaped record."""
        periods = int(alarm.get("EvaluationPeriods") or 1)
        return Rule(
            statistic=alarm.get("Statistic") or "Average",
            comparison=alarm.get("ComparisonOperator") or "",
            threshold=float(alarm.get("Threshold") or 0),
            period=int(alarm.get("Period") or 60),
            evaluation_periods=periods,
            datapoints_to_alarm=int(alarm.get("DatapointsToAlarm") or periods),
            treat_missing=alarm.get("TreatMissingData") or "missing",
        )


@dataclass(frozen=True)
class Verdict:
    """The state that the alarm should be in, and why."""

    state: str
    reason: str
    # (start of the period, value or None when missing), oldest first.
    datapoints: tuple


def evaluation_interval(period: int) -> int:
    """Seconds between evaluations: CloudWatch evaluates each minute, high-resolution alarms each 10 seconds."""
    return period if period < 60 else 60


def window(rule: Rule, now: float) -> tuple[int, int]:
    """Start and end of the closed periods that an evaluation at `now` looks at."""
    end = math.floor(now / rule.period) * rule.period
    return end - rule.period * (rule.evaluation_periods + EXTRA_PERIODS), end


def evaluate(rule: Rule, current: str, points: list, now: float) -> Verdict:
    """The alarm's state after the last closed period. `current` is its state until now."""
    datapoints = _aggregate(rule, points, now)
    # Newest first: (age in periods, breaching), the newest closed period has age 1.
    real = [
        (age, _is_breaching(rule, value))
        for age, (_, value) in enumerate(reversed(datapoints), start=1)
        if value is not None
    ][: rule.evaluation_periods]
    return Verdict(_state(rule, current, real), _reason(rule, datapoints, real), datapoints)


def _state(rule: Rule, current: str, real: list) -> str:
    breaching = sum(1 for _, is_breaching in real if is_breaching)
    filled = rule.evaluation_periods - len(real)
    if breaching >= rule.datapoints_to_alarm:
        return ALARM
    if filled == 0:
        return OK
    if rule.treat_missing == "breaching":
        return ALARM if breaching + filled >= rule.datapoints_to_alarm else OK
    if rule.treat_missing == "notBreaching":
        return OK
    ignore = rule.treat_missing == "ignore"
    if not real:
        return current if ignore else INSUFFICIENT_DATA
    if breaching < len(real):
        return OK
    # Only breaching datapoints, but fewer than needed. The next one may be
    # fine, so the alarm waits until the oldest is as old as DatapointsToAlarm.
    oldest = max(age for age, _ in real)
    return ALARM if oldest >= rule.datapoints_to_alarm and not ignore else current


def _aggregate(rule: Rule, points: list, now: float) -> tuple:
    """One value, or None, for each closed period of the window, oldest first."""
    start, end = window(rule, now)
    buckets: dict[int, list] = {}
    for timestamp, *values in points:
        if start <= timestamp < end and values[0] > 0:
            buckets.setdefault(math.floor(timestamp / rule.period) * rule.period, []).append(values)
    return tuple((at, _statistic(rule, buckets.get(at))) for at in range(start, end, rule.period))


def _statistic(rule: Rule, values: list | None) -> float | None:
    if not values:
        return None
    count = sum(value[0] for value in values)
    total = sum(value[1] for value in values)
    low = min(value[2] for value in values)
    high = max(value[3] for value in values)
    return float(_STATISTICS[rule.statistic](count, total, low, high))


def _is_breaching(rule: Rule, value: float) -> bool:
    return _COMPARISONS[rule.comparison](value, rule.threshold)


def _reason(rule: Rule, datapoints: tuple, real: list) -> str:
    considered = [value for _, value in datapoints if value is not None][-rule.evaluation_periods :]
    breaching = sum(1 for _, is_breaching in real if is_breaching)
    missing = rule.evaluation_periods - len(real)
    text = (
        f"Threshold Crossed: {breaching} of the last {rule.evaluation_periods} datapoints "
        f"[{', '.join(str(value) for value in reversed(considered))}] matched {rule.comparison} {rule.threshold} "
        f"(minimum {rule.datapoints_to_alarm} datapoints to alarm)."
    )
    if missing == rule.evaluation_periods:
        text = f"Insufficient Data: {missing} datapoints were unknown."
    if missing and rule.treat_missing in ("breaching", "notBreaching"):
        kind = "Breaching" if rule.treat_missing == "breaching" else "NonBreaching"
        return f"{text} {missing} missing datapoints were treated as [{kind}]."
    return text
