"""Retry waits as the state language says.

AWS: a retry waits IntervalSeconds * BackoffRate^n, at most MaxDelaySeconds, and
with JitterStrategy FULL a random time between zero and that.
ministack: ignores both fields, and never waits more than 60 s.
"""

import random

from ministack.services import stepfunctions

from .. import pin
from ..lab import Lab


# What ministack's callers cut a wait to.
_LONGEST_SECONDS = 60


def install(lab: Lab) -> None:
    pin.expect(stepfunctions, "_scaled_sleep", "seconds")
    pin.replace(stepfunctions, "_find_matching_retrier", "retriers error retry_counts", _with_delay)


def _with_delay(original):
    def find(retriers, error, retry_counts):
        retrier, index = original(retriers, error, retry_counts)
        if retrier is None:
            return retrier, index
        wait = delay(retrier, retry_counts.get(index, 0), random.random())
        if wait > _LONGEST_SECONDS:
            stepfunctions._scaled_sleep(wait - _LONGEST_SECONDS)
            wait = _LONGEST_SECONDS
        # The caller multiplies by BackoffRate^n: give it the finished product.
        return {**retrier, "IntervalSeconds": wait, "BackoffRate": 1.0}, index

    return find


def delay(retrier: dict, attempt: int, chance: float) -> float:
    """Seconds to wait before retry number `attempt` (from 0); `chance` is uniform in [0, 1)."""
    wait = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** attempt
    wait = min(wait, retrier.get("MaxDelaySeconds", wait))
    return wait * chance if retrier.get("JitterStrategy") == "FULL" else wait
