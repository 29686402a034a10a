"""What Step Functions refuses of a state machine's definition, before anything runs.

`check(text)` gives every fault; nothing here starts, calls or changes anything.
The codes are those that AWS names for ValidateStateMachineDefinition
(API reference, ValidateStateMachineDefinitionDiagnostic); the wording is our own,
as AWS says that nobody may rely on its own. The rules come from the Amazon States
Language specification (states-language.net) and from the developer guide's pages
on states, error handling, variables, JSONata and quotas, named where they are used.
"""

import json

from . import expressions, fields, handlers, names, transitions, variables
from .problem import Problem
from .scopes import scopes

# Developer guide, "Step Functions service quotas": maximum size of a definition, in bytes of UTF-8.
MAX_DEFINITION_BYTES = 1024 * 1024

_RULES = (names, fields, handlers, transitions, expressions, variables)

__all__ = ["Problem", "check", "MAX_DEFINITION_BYTES"]


def check(text: str) -> list[Problem]:
    """All faults of a definition; empty when the service would create the machine."""
    if not text:
        return [Problem("MISSING_DESCRIPTION", "the definition is empty", "/")]
    size = len(text.encode())
    if size > MAX_DEFINITION_BYTES:
        return [Problem("SCHEMA_VALIDATION_FAILED", f"{size} bytes exceed {MAX_DEFINITION_BYTES}", "/")]
    repeated: list[str] = []
    try:
        definition = json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, repeated))
    except ValueError as error:
        return [Problem("INVALID_JSON_DESCRIPTION", str(error), "/")]
    if not isinstance(definition, dict):
        return [Problem("INVALID_JSON_DESCRIPTION", "the definition is no JSON object", "/")]
    found = [Problem("SCHEMA_VALIDATION_FAILED", f"the field {name} is given twice", "/") for name in repeated]
    found += fields.skeleton(definition)
    if found:
        return found  # the other rules need scopes that are states by name
    machine = list(scopes(definition))
    for rule in _RULES:
        found += rule.problems(machine)
    return found


def _object(pairs: list, repeated: list[str]) -> dict:
    """JSON keeps the last of two equal names; a definition that has two is refused."""
    seen = dict(pairs)
    if len(seen) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated += sorted({key for key in keys if keys.count(key) > 1})
    return seen
