"""Transitions: every target exists, every state is reached, every scope can end.

States language, "Transitions" and "Terminal state". AWS names an unreachable state
with the code of a missing target.
"""

from collections.abc import Iterator

from .problem import Problem, schema
from .scopes import Scope, handlers

_ENDS = ("Succeed", "Fail")


def problems(machine: list[Scope]) -> list[Problem]:
    found = []
    for scope in machine:
        found += _missing(scope)
        if scope.definition["StartAt"] in scope.states:
            found += _unreached(scope)
        if not any(_is_terminal(state) for state in scope.states.values()):
            found.append(Problem("MISSING_END_STATE", "no state of these ends", f"{scope.path}/States"))
    return found


def targets(state: dict) -> Iterator[tuple[str, str]]:
    """The names that a state leads to, each with its place inside the state."""
    for key in ("Next", "Default"):
        if key in state:
            yield state[key], f"/{key}"
    for kind in ("Choices", "Catch"):
        for index, entry in enumerate(handlers(state, kind)):
            if "Next" in entry:
                yield entry["Next"], f"/{kind}[{index}]/Next"


def _missing(scope: Scope) -> list[Problem]:
    start = scope.definition["StartAt"]
    found = []
    if start not in scope.states:
        message = f"Missing 'StartAt' target: {start}"
        found.append(Problem("MISSING_TRANSITION_TARGET", message, f"{scope.path}/StartAt"))
    for name, state in scope.states.items():
        for target, place in targets(state):
            if target not in scope.states:
                message = f"Missing 'Next' target: {target}"
                found.append(Problem("MISSING_TRANSITION_TARGET", message, scope.at(name) + place))
        found += _way_on(state, scope.at(name))
    return found


def _way_on(state: dict, path: str) -> list[Problem]:
    if state["Type"] in (*_ENDS, "Choice"):
        return []  # that these have neither Next nor End is a rule of fields
    if ("Next" in state) == ("End" in state):
        return [schema("a state has either Next or End", path)]
    if "End" in state and state["End"] is not True:
        return [schema("End is true, or is not there", f"{path}/End")]
    return []


def _unreached(scope: Scope) -> list[Problem]:
    seen: set[str] = set()
    todo = [scope.definition["StartAt"]]
    while todo:
        name = todo.pop()
        if name in seen or name not in scope.states:
            continue
        seen.add(name)
        todo += [target for target, _ in targets(scope.states[name])]
    return [
        Problem("MISSING_TRANSITION_TARGET", f'State "{name}" is not reachable.', scope.at(name))
        for name in scope.states
        if name not in seen
    ]


def _is_terminal(state: dict) -> bool:
    return state["Type"] in _ENDS or state.get("End") is True
