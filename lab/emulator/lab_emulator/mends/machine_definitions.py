"""A definition that cannot run is refused when the machine is created or changed.

AWS: answers InvalidDefinition. ministack: accepts it, and the execution fails.
"""

import json

from ministack.services import stepfunctions

from .. import asl_check, pin
from ..lab import Lab


def install(lab: Lab) -> None:
    def make(original):
        def validate(definition_str):
            return original(definition_str) or fault(definition_str)

        return validate

    pin.replace(stepfunctions, "_validate_definition_jsonata", "definition_str", make)


def fault(text) -> str | None:
    """AWS's message for a definition that is no JSON or has a structural fault; None when it is sound."""
    try:
        definition = json.loads(text)
    except (TypeError, ValueError):
        return "INVALID_JSON_DESCRIPTION: Invalid State Machine Definition"
    found = asl_check.problem(definition)
    return f"Invalid State Machine Definition: '{found}'" if found else None
