"""Retry and Catch: `States.ALL` alone and last, and numbers in their ranges.

Developer guide, "Handling errors in Step Functions workflows": States.ALL must appear
alone in its ErrorEquals, and in the last retrier or catcher. The ranges are that page's.
"""

from .fields import is_integer, is_number, unknown_fields
from .problem import Problem, schema
from .scopes import Scope, handlers

_MAX_SECONDS = 99_999_999
_MAX_ATTEMPTS = 99_999_999
_MAX_DELAY_BELOW = 31_622_400

_DELAYS = ("IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy")
_RETRY = ("ErrorEquals", *_DELAYS, "Comment")
_CATCH = ("ErrorEquals", "Next", "Assign", "Comment")


def problems(machine: list[Scope]) -> list[Problem]:
    found = []
    for scope in machine:
        for name, state in scope.states.items():
            for kind in ("Retry", "Catch"):
                found += _list(state, kind, scope.at(name))
            for index, retry in enumerate(handlers(state, "Retry")):
                found += _retry(retry, f"{scope.at(name)}/Retry[{index}]")
            for index, catch in enumerate(handlers(state, "Catch")):
                more = ("Output",) if scope.is_jsonata(state) else ("ResultPath",)
                path = f"{scope.at(name)}/Catch[{index}]"
                found += unknown_fields(catch, (*_CATCH, *more), path)
                if not isinstance(catch.get("Next"), str):
                    found.append(schema("a catcher has a Next", path))
    return found


def _list(state: dict, kind: str, path: str) -> list[Problem]:
    if kind not in state:
        return []
    entries = state[kind]
    if not isinstance(entries, list) or len(handlers(state, kind)) != len(entries):
        return [schema("a list of objects is wanted", f"{path}/{kind}")]
    found = []
    for index, entry in enumerate(entries):
        place = f"{path}/{kind}[{index}]/ErrorEquals"
        errors = entry.get("ErrorEquals")
        if not isinstance(errors, list) or not errors or not all(isinstance(error, str) and error for error in errors):
            found.append(schema("a list of error names, with one at least, is wanted", place))
        elif "States.ALL" in errors and len(errors) > 1:
            found.append(schema("States.ALL must appear alone", place))
        elif "States.ALL" in errors and index + 1 < len(entries):
            found.append(schema(f"States.ALL must be in the last entry of {kind}", place))
    return found


def _retry(retry: dict, path: str) -> list[Problem]:
    found = unknown_fields(retry, _RETRY, path)

    def hold(key: str, is_well: bool, wanted: str) -> None:
        if key in retry and not is_well:
            found.append(schema(f"{wanted} is wanted, this is {retry[key]!r}", f"{path}/{key}"))

    interval, attempts = retry.get("IntervalSeconds", 1), retry.get("MaxAttempts", 3)
    rate, delay = retry.get("BackoffRate", 2.0), retry.get("MaxDelaySeconds")
    hold("IntervalSeconds", is_integer(interval, 1, _MAX_SECONDS), f"an integer from 1 to {_MAX_SECONDS}")
    hold("MaxAttempts", is_integer(attempts, 0, _MAX_ATTEMPTS), f"an integer from 0 to {_MAX_ATTEMPTS}")
    hold("BackoffRate", is_number(rate) and rate >= 1, "a number of at least 1")
    below = f"an integer above 0 and below {_MAX_DELAY_BELOW}"
    hold("MaxDelaySeconds", is_integer(delay, 1, _MAX_DELAY_BELOW - 1), below)
    hold("JitterStrategy", retry.get("JitterStrategy") in ("FULL", "NONE"), "FULL or NONE")
    return found
