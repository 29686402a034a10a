"""Fields: which ones a state may and must have, and what their values may be.

Developer guide, one page for each state type, and "Transforming data with JSONata" for
the fields that JSONPath states have and JSONata states refuse. States language for the rest.
"""

from collections.abc import Iterable

from . import resources
from .problem import Problem, schema
from .scopes import TYPES, Scope, handlers, parts

_MAX_SECONDS = 99_999_999

_EVERY = ("Type", "Comment", "QueryLanguage")
_PATHS = ("InputPath", "OutputPath")
_RESULT = ("Parameters", "ResultSelector", "ResultPath")
_GOES_ON = ("Next", "End", "Assign")
_HANDLES = ("Retry", "Catch")

_BOTH = {
    "Task": (*_GOES_ON, *_HANDLES, "Resource", "Credentials", "TimeoutSeconds", "HeartbeatSeconds"),
    "Pass": _GOES_ON,
    "Choice": ("Choices", "Default", "Assign"),
    "Wait": (*_GOES_ON, "Seconds", "Timestamp"),
    "Succeed": (),
    "Fail": ("Error", "Cause"),
    "Parallel": (*_GOES_ON, *_HANDLES, "Branches"),
    "Map": (*_GOES_ON, *_HANDLES, "ItemProcessor", "Iterator", "ItemSelector", "MaxConcurrency"),
}
_JSONATA = {
    "Task": ("Arguments", "Output"),
    "Pass": ("Output",),
    "Choice": ("Output",),
    "Wait": ("Output",),
    "Succeed": ("Output",),
    "Fail": (),
    "Parallel": ("Arguments", "Output"),
    "Map": ("Items", "Output"),
}
_JSONPATH = {
    "Task": (*_PATHS, *_RESULT, "TimeoutSecondsPath", "HeartbeatSecondsPath"),
    "Pass": (*_PATHS, "Parameters", "Result", "ResultPath"),
    "Choice": _PATHS,
    "Wait": (*_PATHS, "SecondsPath", "TimestampPath"),
    "Succeed": _PATHS,
    "Fail": ("ErrorPath", "CausePath"),
    "Parallel": (*_PATHS, *_RESULT),
    "Map": (*_PATHS, *_RESULT, "ItemsPath", "MaxConcurrencyPath"),
}
# "Using Map state in Distributed mode": fields that an inline Map does not have.
_TOLERATED = ("ToleratedFailureCount", "ToleratedFailurePercentage")
_DISTRIBUTED = ("ItemReader", "ItemBatcher", "ResultWriter", "Label", *_TOLERATED)
_DISTRIBUTED_JSONPATH = tuple(f"{name}Path" for name in _TOLERATED)

_MACHINE = ("Comment", "StartAt", "States", "QueryLanguage", "TimeoutSeconds", "Version")
_PART = ("Comment", "StartAt", "States", "ProcessorConfig")
_COMPARES = ("String", "Numeric", "Boolean", "Timestamp", "Is")


def is_integer(value, low: int | None = None, high: int | None = None) -> bool:
    """Whether a JSON value is an integer within the limits, which are inclusive."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return (low is None or value >= low) and (high is None or value <= high)


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_expression(value) -> bool:
    """Whether a JSON value is written as a JSONata expression."""
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def unknown_fields(entry: dict, known: Iterable[str], path: str) -> list[Problem]:
    return [schema("Field is not supported", f"{path}/{key}") for key in entry if key not in known]


def skeleton(definition: dict, path: str = "", fields=_MACHINE) -> list[Problem]:
    """Faults that keep the other rules from reading it: no states, no type, no StartAt."""
    found = unknown_fields(definition, fields, path)
    if not isinstance(definition.get("StartAt"), str):
        found.append(schema("StartAt is missing, or is no name", f"{path}/StartAt"))
    states = definition.get("States")
    if not isinstance(states, dict) or not states:
        return [*found, schema("States is missing, or has none", f"{path}/States")]
    for name, state in states.items():
        place = f"{path}/States/{name}"
        if not isinstance(state, dict) or state.get("Type") not in TYPES:
            found.append(schema(f"Type is one of {', '.join(TYPES)}", f"{place}/Type"))
            continue
        for where, inner in parts(name, state, path):
            if isinstance(inner, dict):
                found += skeleton(inner, where, _PART)
            else:
                found.append(schema("an object with StartAt and States is wanted", where))
    return found


def problems(machine: list[Scope]) -> list[Problem]:
    top = machine[0].definition
    found = []
    if "TimeoutSeconds" in top and not is_integer(top["TimeoutSeconds"], 1, _MAX_SECONDS):
        found.append(schema(f"an integer from 1 to {_MAX_SECONDS} is wanted", "/TimeoutSeconds"))
    if top.get("QueryLanguage", "JSONPath") not in ("JSONPath", "JSONata"):
        found.append(schema("QueryLanguage is JSONPath or JSONata", "/QueryLanguage"))
    for scope in machine:
        for name, state in scope.states.items():
            found += _state(scope, state, scope.at(name))
    return found


def _state(scope: Scope, state: dict, path: str) -> list[Problem]:
    kind, is_jsonata = state["Type"], scope.is_jsonata(state)
    if is_jsonata is False and state.get("QueryLanguage") == "JSONPath" and scope.language == "JSONata":
        return [schema("a machine of JSONata has no state of JSONPath", f"{path}/QueryLanguage")]
    known = (*_EVERY, *_BOTH[kind], *(_JSONATA if is_jsonata else _JSONPATH)[kind])
    if kind == "Map" and _is_distributed(state):
        known = (*known, *_DISTRIBUTED, *(() if is_jsonata else _DISTRIBUTED_JSONPATH))
    found = unknown_fields(state, known, path)
    check = {"Task": _task, "Choice": _choice, "Wait": _wait, "Parallel": _parallel, "Map": _map}.get(kind)
    return found + (check(state, is_jsonata, path) if check else [])


def _seconds(state: dict, key: str, low: int, is_jsonata: bool, path: str) -> list[Problem]:
    value = state.get(key)
    if key not in state or is_integer(value, low, _MAX_SECONDS) or (is_jsonata and is_expression(value)):
        return []
    return [schema(f"an integer from {low} to {_MAX_SECONDS} is wanted, this is {value!r}", f"{path}/{key}")]


def _task(state: dict, is_jsonata: bool, path: str) -> list[Problem]:
    found = _seconds(state, "TimeoutSeconds", 1, is_jsonata, path)
    found += _seconds(state, "HeartbeatSeconds", 1, is_jsonata, path)
    for key in ("TimeoutSeconds", "HeartbeatSeconds"):
        if key in state and f"{key}Path" in state:
            found.append(schema(f"either {key} or {key}Path", path))
    limit, beat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    # "Task workflow state": HeartbeatSeconds is smaller than TimeoutSeconds.
    if is_integer(limit) and is_integer(beat) and beat >= limit:
        found.append(schema(f"HeartbeatSeconds must be below TimeoutSeconds ({limit})", f"{path}/HeartbeatSeconds"))
    if "Resource" not in state:
        return [*found, schema("Resource is missing", path)]
    fault = resources.fault(state["Resource"])
    return [*found, Problem("INVALID_RESOURCE", fault, f"{path}/Resource")] if fault else found


def _wait(state: dict, is_jsonata: bool, path: str) -> list[Problem]:
    given = [key for key in ("Seconds", "Timestamp", "SecondsPath", "TimestampPath") if key in state]
    if len(given) != 1:
        return [schema("exactly one of Seconds and Timestamp is wanted", path)]
    if "Timestamp" in state and not isinstance(state["Timestamp"], str):
        return [schema("a time as in RFC 3339 is wanted", f"{path}/Timestamp")]
    return _seconds(state, "Seconds", 0, is_jsonata, path)


def _choice(state: dict, is_jsonata: bool, path: str) -> list[Problem]:
    rules = handlers(state, "Choices")
    if not rules or len(rules) != len(state["Choices"]):
        return [schema("a list of rules, with one at least, is wanted", f"{path}/Choices")]
    found = []
    for index, rule in enumerate(rules):
        place = f"{path}/Choices[{index}]"
        if not isinstance(rule.get("Next"), str):
            found.append(schema("a rule has a Next", place))
        if is_jsonata:
            found += unknown_fields(rule, ("Condition", "Next", "Assign", "Output", "Comment"), place)
            if not is_expression(rule.get("Condition")):
                found.append(schema("a rule has a Condition in JSONata", f"{place}/Condition"))
        else:
            found += _comparison(rule, place)
    return found


def _comparison(rule: dict, path: str) -> list[Problem]:
    """A rule of JSONPath: one comparison of a Variable, or rules put together."""
    joined = [key for key in ("And", "Or", "Not") if key in rule]
    compared = [key for key in rule if key.startswith(_COMPARES)]
    if len(joined) + len(compared) != 1 or (compared and not isinstance(rule.get("Variable"), str)):
        return [schema("a rule has one comparison of a Variable, or one of And, Or and Not", path)]
    return []


def _parallel(state: dict, is_jsonata: bool, path: str) -> list[Problem]:
    branches = state.get("Branches")
    if not isinstance(branches, list) or not branches:
        return [schema("a list of branches, with one at least, is wanted", f"{path}/Branches")]
    return []


def _is_distributed(state: dict) -> bool:
    processor = state.get("ItemProcessor") or {}
    return (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED"


def _map(state: dict, is_jsonata: bool, path: str) -> list[Problem]:
    found = []
    if ("ItemProcessor" in state) == ("Iterator" in state):
        found.append(schema("a Map has one ItemProcessor", path))
    config = (state.get("ItemProcessor") or {}).get("ProcessorConfig", {})
    if not isinstance(config, dict) or config.get("Mode", "INLINE") not in ("INLINE", "DISTRIBUTED"):
        found.append(schema("Mode is INLINE or DISTRIBUTED", f"{path}/ItemProcessor/ProcessorConfig"))
    elif config.get("Mode") == "DISTRIBUTED" and config.get("ExecutionType") not in ("STANDARD", "EXPRESS"):
        place = f"{path}/ItemProcessor/ProcessorConfig"
        found.append(schema("a distributed Map has an ExecutionType, STANDARD or EXPRESS", place))
    many = state.get("MaxConcurrency", 0)
    if not is_integer(many, 0) and not (is_jsonata and is_expression(many)):
        found.append(schema(f"an integer of at least 0 is wanted, this is {many!r}", f"{path}/MaxConcurrency"))
    items = state.get("Items", [])
    if not isinstance(items, (list, dict)) and not is_expression(items):
        found.append(schema("an array, an object or an expression is wanted", f"{path}/Items"))
    return found
