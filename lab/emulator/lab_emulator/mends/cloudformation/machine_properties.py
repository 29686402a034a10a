"""AWS::StepFunctions::StateMachine: definitions are checked, logging and tracing are kept.

The logging configuration is described, and that is all: ministack writes no
execution logs.
"""

from ministack.services import stepfunctions

from ...lab import Lab
from .. import machine_definitions
from . import registry


def install(lab: Lab) -> None:
    registry.after("AWS::StepFunctions::StateMachine", _apply)


def _apply(arn, properties, old):
    machine = stepfunctions._state_machines[arn]
    fault = machine_definitions.fault(machine["definition"])
    if fault:
        if old is None:
            del stepfunctions._state_machines[arn]
        raise ValueError(fault)
    for name in ("LoggingConfiguration", "TracingConfiguration"):
        if properties.get(name) or (old or {}).get(name):
            machine[name[0].lower() + name[1:]] = _lower(properties.get(name) or {})


def _lower(value):
    """The template's names as the API's, which begin in lower case."""
    if isinstance(value, list):
        return [_lower(item) for item in value]
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _lower(item) for name, item in value.items()}
    return value
