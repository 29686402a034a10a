"""A definition that the service does not take is refused when the machine is created or changed.

AWS: CreateStateMachine and UpdateStateMachine answer InvalidDefinition with every
fault, and ValidateStateMachineDefinition lists them. ministack: looks whether JSONata
parses, and says OK to everything else. The rules are in `lab_emulator.asl`.
"""

from ministack.core.responses import error_response_json, json_response
from ministack.services import stepfunctions

from .. import asl, pin
from ..lab import Lab

# API reference, ValidateStateMachineDefinition: the default and the most of maxResults.
_MOST_DIAGNOSTICS = 100


def install(lab: Lab) -> None:
    pin.replace(stepfunctions, "_validate_definition_jsonata", "definition_str", lambda original: fault)
    pin.replace(stepfunctions, "_validate_state_machine_definition", "data", lambda original: _validate)


def fault(text) -> str | None:
    """AWS's message for a definition that it refuses; None when it is sound."""
    found = asl.check(text if isinstance(text, str) else "")
    return f"Invalid State Machine Definition: '{', '.join(map(str, found))}'" if found else None


def _validate(data: dict) -> tuple:
    text = data.get("definition")
    if not isinstance(text, str):
        return error_response_json("ValidationException", "definition is required", 400)
    found = asl.check(text)
    shown = found[: data.get("maxResults") or _MOST_DIAGNOSTICS]
    diagnostics = [
        {"severity": "ERROR", "code": problem.code, "message": problem.message, "location": problem.location}
        for problem in shown
    ]
    result = "FAIL" if found else "OK"
    return json_response({"result": result, "diagnostics": diagnostics, "truncated": len(shown) < len(found)})
