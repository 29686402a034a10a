"""Variables: assigned before they are read on every path, and never by two nested scopes.

Developer guide, "Passing data between states with variables": a branch or item processor
reads the variables of the states around it and cannot assign them, nor have its own of
the same name; a distributed Map reads none of them; all expressions of a state see the
values from before it; a name has at most 80 characters, and `states` is taken.

That a variable is assigned on each path is stricter than the service promises: what it
does not see at creation ends the execution with States.QueryEvaluationError.
"""

import re

from .expressions import FUNCTIONS, reads
from .names import MAX_NAME
from .problem import Problem, schema
from .scopes import Scope, handlers

_NAME = re.compile(r"[^\W\d]\w*\Z")


def problems(machine: list[Scope]) -> list[Problem]:
    return _names(machine) + _flow(machine[0], frozenset(), frozenset())


def _assigned(entry: dict) -> frozenset[str]:
    given = entry.get("Assign")
    return frozenset(key.removesuffix(".$") for key in given) if isinstance(given, dict) else frozenset()


def _names(machine: list[Scope]) -> list[Problem]:
    found = []
    for scope in machine:
        for name, state in scope.states.items():
            places = [(state, scope.at(name))]
            for kind in ("Catch", "Choices"):
                places += [(entry, f"{scope.at(name)}/{kind}[{i}]") for i, entry in enumerate(handlers(state, kind))]
            for entry, path in places:
                found += _names_of(entry, path)
    return found


def _names_of(entry: dict, path: str) -> list[Problem]:
    given = entry.get("Assign", {})
    if not isinstance(given, dict):
        return [schema("an object of names and values is wanted", f"{path}/Assign")]
    return [
        schema(f"{name} is no name for a variable", f"{path}/Assign/{name}")
        for name in _assigned(entry)
        if name == "states" or len(name) > MAX_NAME or not _NAME.match(name)
    ]


def _flow(scope: Scope, before: frozenset[str], taken: frozenset[str]) -> list[Problem]:
    """Faults of a scope that begins with the variables `before`, where `taken` are names of outer scopes."""
    found = []
    own: frozenset[str] = frozenset()
    for name, state in scope.states.items():
        for entry in (state, *handlers(state, "Catch"), *handlers(state, "Choices")):
            own |= _assigned(entry)
            for variable in sorted(_assigned(entry) & taken):
                message = f"${variable} belongs to the states around this scope, which cannot assign it"
                found.append(schema(message, f"{scope.at(name)}/Assign/{variable}"))
    known = _known_at_entry(scope, before)
    for name, state in scope.states.items():
        if name not in known:
            continue  # never entered, which is a fault of its own
        for read in reads(state, scope.at(name)) if scope.is_jsonata(state) else ():
            for variable in sorted(read.variables - known[name] - FUNCTIONS):
                found.append(schema(_unknown(variable, own), read.location))
    for inner in scope.inner:
        entry = known.get(inner.owner, frozenset())
        found += _flow(inner, frozenset() if _is_distributed(inner) else entry, taken | own)
    return found


def _unknown(variable: str, own: frozenset[str]) -> str:
    if variable in own:
        return f"${variable} is read, and on some path to here nothing has assigned it"
    return f"${variable} is read, and is neither a variable nor a function"


def _known_at_entry(scope: Scope, before: frozenset[str]) -> dict[str, frozenset[str]]:
    """For each state that can be entered, what is assigned on every path to it."""
    known = {scope.definition["StartAt"]: before}
    todo = [scope.definition["StartAt"]]
    while todo:
        name = todo.pop()
        state = scope.states.get(name)
        if state is None:
            continue
        for target, assigned in _edges(state):
            after = known[name] | assigned
            if target not in known or not known[target] <= after:
                known[target] = known.get(target, after) & after
                todo.append(target)
    return known


def _edges(state: dict):
    """Where a state leads, and what it assigns on that way."""
    for key in ("Next", "Default"):
        if key in state:
            yield state[key], _assigned(state)
    for kind in ("Choices", "Catch"):
        for entry in handlers(state, kind):
            if "Next" in entry:
                yield entry["Next"], _assigned(entry)


def _is_distributed(scope: Scope) -> bool:
    return (scope.definition.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED"
