"""Names of states: unique in the whole machine, nested scopes included, and at most 80 characters.

States language, "States": state names must be unique within the whole machine.
Quotas page, "General quotas": names are at most 80 characters, without control characters.
"""

from .problem import Problem
from .scopes import Scope

MAX_NAME = 80


def problems(machine: list[Scope]) -> list[Problem]:
    found = []
    seen = set()
    for scope in machine:
        for name in scope.states:
            if name in seen:
                found.append(Problem("DUPLICATE_STATE_NAME", f"Duplicate State name: {name}", scope.at(name)))
            seen.add(name)
            if not 0 < len(name) <= MAX_NAME:
                message = f"a name has 1 to {MAX_NAME} characters, this one {len(name)}"
                found.append(Problem("INVALID_STATE_NAME", message, scope.at(name)))
            elif any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in name):
                found.append(Problem("INVALID_STATE_NAME", "a name has no control characters", scope.at(name)))
    return found
