"""JSONata: every expression parses, and reads of `$states` what its place has.

Developer guide, "Transforming data with JSONata": an expression is a whole string from
`{%` to `%}`, and one that is opened or closed wrongly is refused. Of `$states`, a result
is there in a Task's, Parallel's or Map's Assign and Output, and an errorOutput in a
catcher; reading them elsewhere is refused at creation.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import jsonata

from .problem import Problem, schema
from .scopes import Scope, handlers

# What the service adds to JSONata's own functions; `$eval` is taken away.
_ADDED = {"partition", "range", "hash", "random", "uuid", "parse"}
_REMOVED = {"eval"}
# JSONata 2's library (docs.jsonata.org, "Function Library").
_LIBRARY = set(
    "string length substring substringBefore substringAfter uppercase lowercase trim pad contains split join match"
    " replace base64encode base64decode encodeUrlComponent encodeUrl decodeUrlComponent decodeUrl number abs floor"
    " ceil round power sqrt random formatNumber formatBase formatInteger parseInteger sum max min average boolean not"
    " exists count append sort reverse shuffle distinct zip keys lookup spread merge sift each error assert type map"
    " filter single reduce now millis fromMillis toMillis eval clone".split()
)
FUNCTIONS = (_LIBRARY | _ADDED) - _REMOVED

_STATES = {"input", "context", "result", "errorOutput"}
_FIELDS = (
    "Arguments Output Assign Items ItemSelector Seconds Timestamp TimeoutSeconds HeartbeatSeconds MaxConcurrency"
    " Error Cause Credentials ItemReader ItemBatcher ResultWriter ToleratedFailureCount ToleratedFailurePercentage"
).split()


class Read(NamedTuple):
    """One expression of a state, and what it reads from outside itself."""

    location: str
    variables: frozenset[str]
    of_states: frozenset[str]
    has_result: bool = False
    has_error: bool = False


def problems(machine: list[Scope]) -> list[Problem]:
    found = []
    for scope in machine:
        for name, state in scope.states.items():
            if scope.is_jsonata(state):
                for location, text, has_result, has_error in _texts(state, scope.at(name)):
                    found += _faults(location, text, has_result, has_error)
    return found


def reads(state: dict, path: str) -> Iterator[Read]:
    """What the sound expressions of a JSONata state read."""
    for location, text, has_result, has_error in _texts(state, path):
        parsed = _parsed(text)
        if isinstance(parsed, tuple):
            yield Read(location, *parsed, has_result, has_error)


def _texts(state: dict, path: str) -> Iterator[tuple[str, str, bool, bool]]:
    """Every string where an expression may be: its place, and whether it sees a result, or an error."""
    gives_result = state["Type"] in ("Task", "Parallel", "Map")
    for key in _FIELDS:
        if key in state:
            yield from _strings(state[key], f"{path}/{key}", gives_result and key in ("Assign", "Output"), False)
    for kind, keys in (("Catch", ("Assign", "Output")), ("Choices", ("Condition", "Assign", "Output"))):
        for index, entry in enumerate(handlers(state, kind)):
            for key in keys:
                if key in entry:
                    yield from _strings(entry[key], f"{path}/{kind}[{index}]/{key}", False, kind == "Catch")


def _strings(value, path: str, has_result: bool, has_error: bool) -> Iterator[tuple[str, str, bool, bool]]:
    if isinstance(value, str):
        yield path, value, has_result, has_error
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner, f"{path}/{key}", has_result, has_error)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, f"{path}[{index}]", has_result, has_error)


def _faults(location: str, text: str, has_result: bool, has_error: bool) -> list[Problem]:
    if text.startswith("{%") != text.endswith("%}"):
        return [schema("an expression is a whole string, from {% to %}", location)]
    parsed = _parsed(text)
    if isinstance(parsed, str):
        return [Problem("INVALID_JSONATA_EXPRESSION", parsed, location)]
    if parsed is None:
        return []
    of_states = parsed[1]
    found = [schema(f"$states has no {name}", location) for name in sorted(of_states - _STATES)]
    if "result" in of_states and not has_result:
        found.append(schema("$states.result is not there in this field", location))
    if "errorOutput" in of_states and not has_error:
        found.append(schema("$states.errorOutput is there in a Catch only", location))
    return found


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[frozenset[str], frozenset[str]] | str | None:
    """The variables and the members of `$states` that it reads; the parser's words if it does not parse;
    None where it is no expression."""
    if not (text.startswith("{%") and text.endswith("%}")):
        return None
    try:
        root = jsonata.Jsonata.jsonata(text[2:-2].strip()).ast
    except Exception as error:  # the parser raises its own and Python's errors alike
        return f"{text[2:-2].strip()!r} does not parse: {error}"
    free: set[str] = set()
    of_states: set[str] = set()
    _walk(root, set(), free, of_states)
    return frozenset(free - {"states"}), frozenset(of_states)


def _walk(node, bound: set[str], free: set[str], of_states: set[str]) -> None:
    """Collects what is read and not bound by the expression itself; `bound` grows by what it binds."""
    if isinstance(node, (list, tuple)):
        for inner in node:
            _walk(inner, bound, free, of_states)
        return
    if not hasattr(node, "type") and not hasattr(node, "lhs_object"):
        return
    kind = getattr(node, "type", None)
    if kind == "variable" and node.value not in ("", "$") and node.value not in bound:
        free.add(node.value)
    if kind in ("block", "lambda", "path"):
        bound = set(bound)
    if kind == "lambda":
        bound |= {argument.value for argument in node.arguments or []}
        _walk(node.body, bound, free, of_states)
        return
    if kind == "bind":
        if getattr(node.rhs, "type", None) == "lambda":
            bound.add(node.lhs.value)  # it may call itself
        _walk(node.rhs, bound, free, of_states)
        bound.add(node.lhs.value)
        return
    if kind == "path":
        _note_states(node.steps, bound, of_states)
    for key in ("procedure", "lhs", "rhs", "expression", "expressions", "expr", "condition", "then", "_else", "steps"):
        _walk(getattr(node, key, None), bound, free, of_states)
    for key in ("arguments", "terms", "pattern", "update", "delete", "lhs_object", "rhs_object"):
        _walk(getattr(node, key, None), bound, free, of_states)
    bound |= {name for name in (getattr(node, "focus", None), getattr(node, "index", None)) if isinstance(name, str)}
    for key in ("predicate", "stages", "group"):
        _walk(getattr(node, key, None), bound, free, of_states)


def _note_states(steps: list, bound: set[str], of_states: set[str]) -> None:
    first = steps[0]
    if getattr(first, "type", None) == "variable" and first.value == "states" and "states" not in bound:
        if len(steps) > 1 and getattr(steps[1], "type", None) == "name":
            of_states.add(steps[1].value)
